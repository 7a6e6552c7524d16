"""Gates beyond one runbook's own limits: windows, breaker, storm, pauses, calendars, vetoes, values."""

import dataclasses
import datetime
from typing import Any

import pytest

from netsre import clock
from netsre.clock import DAY, HOUR, MINUTE, Timestamp
from netsre.model import cron, effects
from netsre.model.alerts import Alert, fingerprint
from netsre.model.documents import Document
from netsre.model.effects import Block, Effect, Limit, PolicyRevision
from netsre.model.holds import Asked, Bounds, Pause, Quarantined, Scope
from netsre.model.levels import Origin
from netsre.model.maintenance import Maintenance, Recurring, Span
from netsre.model.runbooks import DENIED, JournalEntry, JournalKind, Limits, Run, Runbook, RunState, Veto
from netsre.model.samples import labels
from netsre.runbook import decide, journal
from netsre.runbook.decide import Circumstances, Gate, Holds, KillSwitch, Past
from netsre.runbook.gates import values
from netsre.runbook.journal import Line
from tests.unit.runbook import given

ALERT = given.ALERT
NOW = Timestamp(given.T0 + DAY)
BOOK = dataclasses.replace(given.BOOK, limits=Limits(MINUTE, 99))
LOOK = dataclasses.replace(BOOK, name="look", mode="observe", steps=BOOK.steps[:1], verify=None)
CALM = Circumstances(NOW, (), KillSwitch.OFF, firing=True, reading_age=1_000, interval=5_000, node="a")


def ran(
    ago: int,
    state: RunState = RunState.SUCCEEDED,
    runbook: str = BOOK.name,
    target: str = "conntrack/b",
) -> Run:
    """Return a run that changed something so many milliseconds ago, and ended at once where it ended."""
    at = Timestamp(NOW - ago)
    ended = (
        at if state in {RunState.SUCCEEDED, RunState.UNDONE, RunState.FAILED, RunState.NEEDS_HUMAN} else None
    )
    return Run(f"{runbook}-{ago}", runbook, "alert", given.T0, target, state, "word", at, ended, at)


def denied(ago: int) -> Run:
    """Return a run that waited for people, one of whom said no."""
    at = Timestamp(NOW - ago)
    return Run("denied", BOOK.name, "alert", given.T0, "conntrack/a", RunState.REFUSED, DENIED, at, at)


def said(gate: Gate, book: Runbook = BOOK, *history: Run, **holds: Any) -> tuple[bool, str]:
    """Return what one gate says about an alert that comes now."""
    around = dataclasses.replace(CALM, history=history, holds=Holds(**holds))
    (answer,) = (one for one in decide.decide(book, ALERT, around).answers if one.gate is gate)
    return answer.passed, answer.detail


def test_a_run_that_waited_counts_from_its_change() -> None:
    """Two hours ago it began to wait for people: what it did a minute ago is what a limit is about."""
    waited = dataclasses.replace(ran(MINUTE, target="conntrack/a"), started_at=Timestamp(NOW - 2 * HOUR))

    assert said(Gate.TARGET_LIMITED, limited(target_per_hour=1), waited)[0] is False
    assert said(Gate.RATE_LIMITED, limited(per_hour=1), waited)[0] is False


def limited(**limits: Any) -> Runbook:
    """Return the runbook with other limits."""
    return dataclasses.replace(BOOK, limits=dataclasses.replace(BOOK.limits, **limits))


@pytest.mark.parametrize(
    ("limits", "history", "gate", "detail"),
    [
        ({"per_day": 2}, [ran(2 * HOUR), ran(DAY)], None, ""),
        (
            {"per_day": 2},
            [ran(2 * HOUR), ran(DAY - 1)],
            Gate.RATE_LIMITED,
            "runs: 0 of 99 within 1h, 2 of 2 within 1d",
        ),
        ({"target_per_hour": 1}, [ran(5 * MINUTE)], None, ""),
        (
            {"target_per_hour": 1},
            [ran(5 * MINUTE, target="conntrack/a")],
            Gate.TARGET_LIMITED,
            "runs: 1 of 1 within 1h",
        ),
        (
            {"target_per_day": 1, "target_per_hour": 9},
            [ran(5 * HOUR, target="conntrack/a")],
            Gate.TARGET_LIMITED,
            "runs: 0 of 9 within 1h, 1 of 1 within 1d",
        ),
    ],
)
def test_every_window_of_a_runbook_counts_by_itself(
    limits: dict[str, int], history: list[Run], gate: Gate | None, detail: str
) -> None:
    """Of all targets and of this one, in an hour and in a day; the answer says how many of how many."""
    verdict = decide.decide(limited(**limits), ALERT, dataclasses.replace(CALM, history=tuple(history)))

    assert verdict.reason is (gate or Gate.ACCEPTED)
    assert [one.detail for one in verdict.answers if not one.passed] == ([detail] if gate else [])


@pytest.mark.parametrize(
    ("ages", "passed"),
    [
        ([1, 2], False),
        ([1, 10 * MINUTE], True),
        ([MINUTE, 20 * MINUTE, 30 * MINUTE], False),
        ([MINUTE, 20 * MINUTE, HOUR], True),
        ([HOUR, 2 * HOUR, 3 * HOUR, DAY - 1], False),
        ([-MINUTE, -2 * MINUTE], False),
    ],
)
def test_all_runbooks_together_have_limits(ages: list[int], passed: bool) -> None:
    """Whatever each may do by itself; a change of the future counts as one of the past."""
    changed = tuple(ran(age, runbook=f"book{age}") for age in ages)
    bounds = Bounds(per_ten_minutes=2, per_hour=3, per_day=4)

    answered, detail = said(Gate.GLOBAL_LIMITED, changed=changed, bounds=bounds)

    assert answered is passed
    assert detail.startswith("runs of all runbooks changed something: ")
    assert said(Gate.GLOBAL_LIMITED, LOOK, changed=changed, bounds=bounds)[0]


def test_before_a_change_the_run_itself_does_not_count_and_others_do() -> None:
    """Its own first change is one already; what others changed since the alert came is news."""
    own = ran(1_000, RunState.EXECUTING, target="conntrack/a")
    change = decide.Change(ALERT, BOOK.limits)

    def again(*changed: Run) -> Gate:
        holds = Holds(bounds=Bounds(per_ten_minutes=1), changed=changed)
        return decide.recheck(own, change, dataclasses.replace(CALM, history=(own,), holds=holds)).reason

    assert again(own) is Gate.ACCEPTED
    assert again(own, ran(2_000, runbook="other")) is Gate.GLOBAL_LIMITED


FAILED = (RunState.UNDONE, RunState.FAILED, RunState.NEEDS_HUMAN)


def test_a_circuit_opens_after_so_many_failures_in_a_row() -> None:
    """Undone, failed after a change, left to people: each counts, and a success begins the row anew."""
    row = [ran((9 - number) * HOUR, state) for number, state in enumerate(FAILED)]
    success = ran(8 * HOUR + MINUTE)

    assert said(Gate.CIRCUIT_OPEN, changed=tuple(row[:2]))[0]
    assert said(Gate.CIRCUIT_OPEN, changed=tuple(row)) == (
        False,
        "3 runs in a row did not succeed, open at 3, the last 7h ago; close it by hand",
    )
    assert said(Gate.CIRCUIT_OPEN, changed=(*row[:1], success, *row[1:]))[0]
    assert said(Gate.CIRCUIT_OPEN, changed=tuple(ran(age, runbook="other") for age in (1, 2, 3)))[0]
    assert said(
        Gate.CIRCUIT_OPEN, LOOK, changed=tuple(dataclasses.replace(run, runbook="look") for run in row)
    )[0]


def test_a_success_forgives_nothing_that_failed_in_the_same_moment() -> None:
    """Which of them came first, nobody knows."""
    together = [just_ended(ran(number + 1, RunState.UNDONE)) for number in range(3)]
    success = just_ended(ran(9))

    assert not said(Gate.CIRCUIT_OPEN, changed=(*together, success))[0]
    assert not said(Gate.CIRCUIT_OPEN, changed=(success, *together))[0]


def just_ended(run: Run) -> Run:
    """Return a run that ended a second ago."""
    return dataclasses.replace(run, ended_at=Timestamp(NOW - clock.SECOND))


def test_a_circuit_that_a_person_closed_counts_from_there() -> None:
    """What ended before is forgotten, what ended later is not."""
    row = tuple(ran(age * HOUR, RunState.UNDONE) for age in (4, 3, 2, 1))

    assert said(Gate.CIRCUIT_OPEN, changed=row, closed={BOOK.name: Timestamp(NOW - 3 * HOUR)})[0]
    assert not said(Gate.CIRCUIT_OPEN, changed=row, closed={BOOK.name: Timestamp(NOW - 4 * HOUR)})[0]
    assert not said(Gate.CIRCUIT_OPEN, changed=row, closed={"other": NOW})[0]


def test_an_open_circuit_lets_one_run_try_after_a_time() -> None:
    """One at a time; the clock begins anew with each that fails."""
    book = limited(breaker_failures=2, breaker_retry=6 * HOUR)
    row = (ran(8 * HOUR, RunState.UNDONE), ran(6 * HOUR, RunState.UNDONE))
    early = (ran(8 * HOUR, RunState.UNDONE), ran(6 * HOUR - 1, RunState.UNDONE))
    trying = dataclasses.replace(ran(MINUTE, RunState.EXECUTING), changed_at=None)

    assert not said(Gate.CIRCUIT_OPEN, book, changed=early)[0]
    assert said(Gate.CIRCUIT_OPEN, book, changed=row)[0]
    assert not said(Gate.CIRCUIT_OPEN, book, trying, changed=row)[0]
    change = decide.Change(ALERT, book.limits)
    around = dataclasses.replace(CALM, history=(trying,), holds=Holds(changed=row))
    assert decide.recheck(trying, change, around).accepted


@pytest.mark.parametrize("reason", ["cancelled", "paused", "maintenance", "kill_switch_on"])
def test_what_people_stopped_opens_no_circuit_and_closes_none(reason: str) -> None:
    """It says nothing of whether the runbook helps, unless the way back failed."""
    stopped = [dataclasses.replace(ran(age * HOUR, RunState.UNDONE), reason=reason) for age in (7, 5, 3)]
    failed = [ran(age * HOUR, RunState.UNDONE) for age in (6, 4, 2)]
    lost = dataclasses.replace(ran(HOUR, RunState.NEEDS_HUMAN), reason="undo_failed")

    assert said(Gate.CIRCUIT_OPEN, changed=tuple(stopped))[0]
    assert said(Gate.CIRCUIT_OPEN, changed=(*stopped, *failed[:2]))[0]
    assert not said(Gate.CIRCUIT_OPEN, changed=(*stopped, *failed))[0]
    assert not said(Gate.CIRCUIT_OPEN, changed=(*stopped, *failed[:2], lost))[0]


def asked(*moments: tuple[int, int]) -> tuple[Asked, ...]:
    """Return so many different alerts that wanted a change so many milliseconds ago, for each pair."""
    return tuple(Asked(f"{ago}-{n}", Timestamp(NOW - ago)) for count, ago in moments for n in range(count))


@pytest.mark.parametrize(
    ("moments", "passed"),
    [
        ([(2, 30_000)], True),
        ([(3, 30_000)], False),
        ([(3, 60_000)], True),
        ([(4, 60_000)], False),
        ([(2, 100_000), (2, 41_000)], False),
        ([(2, 101_000), (2, 41_000)], True),
        ([(4, 599_999)], False),
        ([(4, 600_000)], True),
    ],
)
def test_many_alerts_at_once_are_a_storm(moments: list[tuple[int, int]], passed: bool) -> None:
    """More than three within a minute, the one that comes now among them; then nothing for ten minutes."""
    bounds = Bounds(storm_alerts=3)

    assert said(Gate.STORM, asked=asked(*moments), bounds=bounds)[0] is passed
    assert said(Gate.STORM, LOOK, asked=asked(*moments), bounds=bounds)[0]


def test_one_alert_that_flaps_is_no_storm() -> None:
    """Different alerts count."""
    flapping = tuple(Asked(ALERT.fingerprint, Timestamp(NOW - age)) for age in range(50))

    assert said(Gate.STORM, asked=flapping) == (
        True,
        "at most 1 alerts wanted a change within 1m, a storm is more than 10",
    )


def pause(scope: Scope, name: str = "", until: int = MINUTE) -> Pause:
    """Return a pause."""
    return Pause("id", scope, name, "ada", "switch is replaced", NOW, Timestamp(NOW + until))


@pytest.mark.parametrize(
    ("one", "passed"),
    [
        (pause(Scope.ALL), False),
        (pause(Scope.RUNBOOK, BOOK.name), False),
        (pause(Scope.RUNBOOK, "other"), True),
        (pause(Scope.TARGET, "conntrack/a"), False),
        (pause(Scope.TARGET, "conntrack/b"), True),
        (pause(Scope.ALL, until=0), True),
        (dataclasses.replace(pause(Scope.ALL), ended_at=NOW), True),
    ],
)
def test_a_pause_holds_what_it_is_for_until_it_ends(one: Pause, passed: bool) -> None:
    """Also who only looks is left alone; the answer says who asked for it, and why."""
    assert said(Gate.PAUSED, pauses=(one,))[0] is passed
    if not passed:
        (_, detail) = said(Gate.PAUSED, pauses=(one,))
        assert detail.endswith(f"paused by ada until {clock.rfc3339(one.until)}: switch is replaced")
    assert not said(Gate.PAUSED, LOOK, pauses=(pause(Scope.ALL),))[0]


BERLIN = datetime.timezone(datetime.timedelta(hours=1))


def calendar(*windows: Span | Recurring, **only: Any) -> Maintenance:
    """Return a calendar."""
    whole = Maintenance("switches", "row 1", windows, frozenset(), (), Origin("m.yaml", 1))
    return dataclasses.replace(whole, **only)


@pytest.mark.parametrize(
    ("one", "passed"),
    [
        (calendar(Span(NOW, Timestamp(NOW + 1))), False),
        (calendar(Span(Timestamp(NOW - 1), NOW)), True),
        (calendar(Span(NOW, Timestamp(NOW + 1)), runbooks=frozenset({BOOK.name})), False),
        (calendar(Span(NOW, Timestamp(NOW + 1)), runbooks=frozenset({"other"})), True),
        (calendar(Span(NOW, Timestamp(NOW + 1)), targets=("conntrack/*",)), False),
        (calendar(Span(NOW, Timestamp(NOW + 1)), targets=("network/*", "conntrack/b")), True),
        (calendar(), True),
    ],
)
def test_in_a_window_of_maintenance_nothing_is_changed(one: Maintenance, passed: bool) -> None:
    """Of these runbooks, on these targets; who only looks may look."""
    assert said(Gate.MAINTENANCE, calendars=(one,))[0] is passed
    assert said(Gate.MAINTENANCE, LOOK, calendars=(one,))[0]


def test_a_window_that_comes_again_is_open_so_long_after_each_beginning() -> None:
    """By the clock of its place, and over midnight."""
    starts = cron.starts(cron.parse("30 23 * * sat"))
    window = Recurring(starts, 2 * HOUR, BERLIN)
    begin = clock.parse_rfc3339("2026-11-28T23:30:00+01:00")  # a Saturday

    assert [window.until(Timestamp(begin + after)) for after in (-1, 0, 2 * HOUR - 1, 2 * HOUR, DAY)] == [
        None,
        begin + 2 * HOUR,
        begin + 2 * HOUR,
        None,
        None,
    ]


def test_where_beginnings_are_close_the_latest_counts() -> None:
    """Every quarter of an hour for a quarter of an hour is always."""
    window = Recurring(cron.starts(cron.parse("*/15 * * * *")), 15 * MINUTE, BERLIN)
    begin = clock.parse_rfc3339("2026-11-28T23:45:00+01:00")

    assert window.until(Timestamp(begin + 14 * MINUTE)) == begin + 15 * MINUTE
    assert window.until(Timestamp(begin + 15 * MINUTE)) == begin + 30 * MINUTE


def other(**pairs: str) -> Alert:
    """Return another alert that fires."""
    found = labels({"alertname": "PolicyRollout", **pairs})
    return dataclasses.replace(ALERT, labels=found, fingerprint=fingerprint(found))


@pytest.mark.parametrize(
    ("veto", "fires", "passed"),
    [
        (Veto("PolicyRollout"), other(node="a"), False),
        (Veto("PolicyRollout"), other(node="b"), True),
        (Veto("PolicyRollout"), other(), True),
        (Veto("PolicyRollout", equal=()), other(node="b"), False),
        (Veto("PolicyRollout", equal=("node", "netns")), other(node="a", netns="lab"), False),
        (Veto("PolicyRollout", equal=("node", "netns")), other(node="a"), True),
        (Veto("PolicyRollout", match=(("batch", "7"),)), other(node="a", batch="7"), False),
        (Veto("PolicyRollout", match=(("batch", "7"),)), other(node="a", batch="8"), True),
        (Veto("Other"), other(node="a"), True),
        (Veto("ConntrackUtilization"), ALERT, True),
    ],
)
def test_an_alert_that_fires_forbids_what_names_it(veto: Veto, fires: Alert, passed: bool) -> None:
    """For the same node unless it says otherwise; no alert stands against itself."""
    book = dataclasses.replace(BOOK, unless=(veto,))

    assert said(Gate.VETOED, book, firing=(fires,))[0] is passed
    assert said(Gate.VETOED, BOOK, firing=(fires,))[0]


def entries(*lines: Line, ago: int = MINUTE) -> list[JournalEntry]:
    """Return the journal of a run so many milliseconds ago."""
    at = Timestamp(NOW - ago)
    return [
        JournalEntry("run1", number, at, line.kind, line.step, line.action, line.data)
        for number, line in enumerate(lines, 1)
    ]


UP = Limit(1000, 2000, 1)
TUNED = [journal.applying(3, "conntrack.tune", "run1/3", UP), journal.applied(3, "conntrack.tune", {})]


@pytest.mark.parametrize(
    ("lines", "effect", "word"),
    [
        (TUNED, Limit(2000, 4000, 1), None),
        (TUNED, Limit(2000, 1000, 1), "oscillation"),
        (TUNED, Limit(1000, 2000, 1), "oscillation"),
        (TUNED, Limit(3000, 2000, 1), "oscillation"),
        (TUNED[:1], Limit(2000, 1000, 1), "oscillation"),
        ([TUNED[0], journal.failed(3, "conntrack.tune", "not_applied", "no")], UP, None),
        (
            [*TUNED, journal.undoing(3, "x", "run1/3", UP), journal.undone(3, "x", {})],
            Limit(1000, 2000, 1),
            "oscillation",
        ),
        (TUNED, Block("lab", "eth0", "10.0.0.9", 1), None),
        ([], UP, None),
    ],
)
def test_a_field_does_not_go_to_and_fro(lines: list[Line], effect: Effect, word: str | None) -> None:
    """Not to a value that it had within the hour, whoever led it away; an unknown end counts as made."""
    moved = tuple(values.moves(entries(*lines)))
    own = ran(0, RunState.EXECUTING, target="conntrack/a")
    change = decide.Change(ALERT, BOOK.limits, effect=effect, past=Past(moved))

    assert decide.recheck(own, change, CALM).reason == (word or "accepted")


def test_a_revision_that_was_left_is_not_come_back_to() -> None:
    """Known by its content: under which number it is kept does not matter."""
    back = PolicyRevision(7, "bad", 6, "good")
    lines = [journal.applying(1, "policy.rollback", "run1/1", back), journal.applied(1, "x", {})]
    past = Past(tuple(values.moves(entries(*lines))))
    for effect, passed in (
        (PolicyRevision(6, "good", 7, "bad"), False),
        (PolicyRevision(9, "good", 8, "bad"), False),
        (PolicyRevision(6, "good", 5, "older"), True),
    ):
        first, _ = values.answers(effect, past, Bounds(), NOW)
        assert (first.gate.value, first.passed) == ("oscillation", passed)


def test_a_field_may_go_back_after_a_time() -> None:
    """An hour, to the millisecond."""
    for ago, passed in ((HOUR - 1, False), (HOUR, True), (-HOUR + 1, False)):
        moved = tuple(values.moves(entries(*TUNED, ago=ago)))
        first, _ = values.answers(Limit(2000, 1000, 1), Past(moved), Bounds(), NOW)
        assert first.passed is passed
    assert first.detail == "conntrack.limit 2000 to 1000: it went from 1000 to 2000 59m59s ago"


@pytest.mark.parametrize(("after", "passed"), [(DAY - 1, False), (DAY, True), (1 - DAY, False), (-DAY, True)])
def test_a_value_that_did_not_help_is_not_chosen_again(after: int, passed: bool) -> None:
    """For a day; after a clock that was set back no longer either."""
    since = Timestamp(NOW - after)
    one = Quarantined("conntrack.limit=2000", "run1", since, Timestamp(since + DAY))
    _, answer = values.answers(UP, Past(quarantined=(one,)), Bounds(), NOW)

    assert answer.passed is passed
    assert values.quarantined(effects.Setting("conntrack.limit", "1", "2001"), (one,), NOW).passed
    # Also a run that helped gives a value up: the revision that it went back from.
    assert passed or "was given up in run run1" in answer.detail


def test_the_values_of_a_run_are_those_that_were_in_force() -> None:
    """Also of one that took them back; not what the node refused, and not what sets nothing."""
    block = Block("lab", "eth0", "10.0.0.9", 1)
    lines = [
        journal.applying(1, "x", "run1/1", block),
        journal.applied(1, "x", {}),
        journal.applying(2, "x", "run1/2", Limit(1000, 9000, 1)),
        journal.failed(2, "x", "not_allowed", "no"),
        *TUNED,
        journal.undoing(3, "x", "run1/3", UP),
        journal.undone(3, "x", {}),
    ]

    assert [one.key for one in values.settings(entries(*lines))] == ["conntrack.limit=2000"]


def test_what_cannot_be_read_of_a_journal_moves_nothing() -> None:
    """A line of another version decides nothing."""
    unknown: Document = {"effect": {"kind": "sysctl", "before": 1}, "key": "run1/3"}
    line = Line(JournalKind.INTENT, 3, "x", unknown)

    assert list(values.moves(entries(line, journal.applied(3, "x", {})))) == []


@pytest.mark.parametrize(
    ("waited", "passed"),
    [
        (
            dataclasses.replace(ran(2 * HOUR, target="conntrack/a"), changed_at=Timestamp(NOW - 14 * MINUTE)),
            False,
        ),
        (
            dataclasses.replace(ran(2 * HOUR, target="conntrack/a"), changed_at=Timestamp(NOW - 15 * MINUTE)),
            True,
        ),
        (dataclasses.replace(denied(2 * HOUR), ended_at=Timestamp(NOW - 14 * MINUTE)), False),
        (dataclasses.replace(denied(2 * HOUR), ended_at=Timestamp(NOW - 15 * MINUTE)), True),
    ],
    ids=["changed lately", "changed before", "denied lately", "denied before"],
)
def test_the_cooldown_of_a_run_that_waited_begins_with_what_came_of_it(waited: Run, *, passed: bool) -> None:
    """Its change or a person's no is what the target rests from, and not the question."""
    assert said(Gate.COOLDOWN, limited(cooldown=15 * MINUTE), waited)[0] is passed


@pytest.mark.parametrize(
    ("state", "changed_at", "passed"),
    [
        (RunState.GATED, None, True),
        (RunState.PLANNED, None, True),
        (RunState.AWAITING_APPROVAL, None, True),
        (RunState.EXECUTING, NOW, False),
    ],
)
def test_who_asks_people_has_a_target_when_it_changes_something(
    state: RunState, changed_at: Timestamp | None, *, passed: bool
) -> None:
    """Until then another runbook may act on it, and its own may work on other targets."""
    run = Run("r", "asks", "alert", given.T0, "conntrack/a", state, "accepted", NOW, None, changed_at)
    asking = frozenset({"asks"})

    assert said(Gate.ALREADY_RUNNING, BOOK, run, asking=asking)[0] is passed
    own = dataclasses.replace(limited(cooldown=0), name="asks")
    assert not said(Gate.ALREADY_RUNNING, own, run, asking=asking)[0]
    elsewhere = dataclasses.replace(run, target="conntrack/b")
    assert said(Gate.TOO_MANY_TARGETS, own, elsewhere, asking=asking)[0] is passed
