"""A drill injects once, sees what answers, and cleans up however it goes, over any crash."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest

from netsre import clock
from netsre.app.control.drills import Asked, Drills
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.gameday.decide import Gate
from netsre.model.gamedays import Drill, DrillState
from netsre.model.runbooks import RunState
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.drill_lab import BLOCK, GAMEDAY, LIMIT, RUN, Fuse, Killed, Range

ASKED = Asked(GAMEDAY.name, "ann", key="k1")
LONGEST = 400
"""Seconds after which every drill has ended, whatever happens."""


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def ground(store: Store) -> Range:
    """Return a quiet lab."""
    return Range(store)


def ask(drills: Drills, asked: Asked = ASKED) -> str:
    """Ask for a drill that is accepted, and return its name."""
    replied = drills.request(asked)
    assert replied.gate is Gate.ACCEPTED
    assert replied.drill is not None
    return replied.drill.id


def run(ground: Range, each: Callable[[int, Drills, str], None] = lambda *_: None) -> Drill:
    """Ask for a drill and let seconds pass until it has ended."""
    drills = ground.drills()
    name = ask(drills)
    for second in range(LONGEST):
        each(second, drills, name)
        drills.advance()
        if ground.drill(name).ended:
            return ground.drill(name)
        ground.second()
    pytest.fail(f"it never ends: {ground.drill(name)}")


def assert_clean(ground: Range) -> None:
    """Nothing that the drill was the cause of is left."""
    assert ground.lab is not None
    assert not any(ground.lab.runs(key) for key in ground.lab.begun)
    assert not ground.node.standing


def test_a_drill_that_is_healed_passes_with_every_time_and_figure(ground: Range) -> None:
    """Times come in order, the fault is over, the block is taken back, and the budget is counted exactly."""
    drill = run(ground)

    assert (drill.state, drill.reason) == (DrillState.PASSED, "verified")
    result = drill.result
    assert result["seconds"] == {
        "beyond": "3.000",
        "detected": "3.000",
        "paged": "4.000",
        "mitigated": "4.000",
        "verified": "18.000",
    }
    assert (result["injected_at"], result["paged_by"]) == (burning.T0, "http://am")
    assert (result["alertmanager_received"], result["host_restored"]) == (True, True)
    assert result["left_behind"] == []
    # 16 of 18 readings were bad: 16/18 of the events, 100 times what may be, for 18 s of thirty days.
    burned = Fraction(16, 18) * 100 * Fraction(18 * clock.SECOND, 30 * clock.DAY)
    assert abs(Fraction(str(result["budget_burned"])) - burned) < burned / 10**11
    assert result["run"] == RUN
    assert result["fault"] == {"sent": 1000, "failed": 0, "peak_utilization": "0.97"}
    assert result["reasons"] == {}
    assert_clean(ground)


def test_without_an_alertmanager_the_alert_log_is_who_was_paged(store: Store) -> None:
    """And nobody says that anything was received: null, with the reason."""
    ground = Range(store, alertmanagers=False)

    result = run(ground).result

    assert (result["paged_by"], result["paged_at"]) == ("log", burning.T0 + 3 * clock.SECOND)
    assert result["alertmanager_received"] is None
    assert result["reasons"] == {"alertmanager_received": "no_alertmanager"}


@pytest.mark.parametrize(
    ("trouble", "reason", "latest"),
    [
        ({"beyond_after": None}, "detected", 34),
        ({"paged_after": None}, "paged", 39),
        ({"run_after": None}, "mitigated", 44),
        ({"verified_after": None}, "verified", 64),
        ({"run_after": 38, "verified_after": 45}, "mitigated", 44),
        ({"run_ends": RunState.UNDONE}, "verified", 20),
    ],
)
def test_a_stage_that_is_missed_fails_the_drill_by_its_name(
    ground: Range, trouble: dict[str, object], reason: str, latest: int
) -> None:
    """The fault is ended at once, and what automation changed is taken back."""
    for name, value in trouble.items():
        setattr(ground, name, value)
    judged: list[int] = []

    def watch(second: int, _drills: Drills, name: str) -> None:
        if ground.drill(name).state is DrillState.CLEANING:
            judged.append(second)

    drill = run(ground, watch)

    assert (drill.state, drill.reason) == (DrillState.FAILED, reason)
    assert judged[0] <= latest
    assert drill.result["host_restored"] is (trouble.get("verified_after", 15) is not None)
    assert_clean(ground)


def test_the_slow_profile_counts_from_the_moment_the_table_is_beyond(ground: Range) -> None:
    """A table that takes 100 s to fill is no miss, and both times are on record."""
    ground.beyond_after = 100
    drills = ground.drills()
    name = ask(drills, dataclasses.replace(ASKED, profile="tcp"))
    while not ground.drill(name).ended:
        drills.advance()
        ground.second()

    drill = ground.drill(name)
    assert (drill.state, drill.profile) == (DrillState.PASSED, "tcp")
    assert drill.result["beyond_at"] == burning.T0 + 100 * clock.SECOND
    assert drill.result["injected_at"] == burning.T0


def test_a_slow_fault_that_never_shows_fails_when_it_ends(ground: Range) -> None:
    """What was not seen was not proven, whatever the lab says it sent."""
    ground.beyond_after = None
    drills = ground.drills()
    name = ask(drills, dataclasses.replace(ASKED, profile="tcp"))
    while not ground.drill(name).ended:
        drills.advance()
        ground.second()

    assert (ground.drill(name).state, ground.drill(name).reason) == (DrillState.FAILED, "fault_ended")


@pytest.mark.parametrize("second", [0, 2, 10, 17])
def test_an_abort_ends_the_fault_and_cleans_up(ground: Range, second: int) -> None:
    """At any stage, and asked twice it is one abort; nobody can abort what is over."""

    def abort(now: int, drills: Drills, name: str) -> None:
        if now == second:
            assert drills.abort(name, "bob") is not None
            assert drills.abort(name, "bob") is not None

    drill = run(ground, abort)

    assert (drill.state, drill.reason) == (DrillState.ABORTED, "asked")
    assert drill.result["detail"] == "by bob"
    assert ground.drills().abort(drill.id, "bob") is None
    assert_clean(ground)


def test_the_kill_switch_ends_a_drill_that_goes_on(ground: Range) -> None:
    """The fault is ours to end, and cleaning is allowed."""

    def switch(second: int, _drills: Drills, _name: str) -> None:
        if second == 5:
            ground.switch = Gate.KILL_SWITCH_ON

    drill = run(ground, switch)

    assert (drill.state, drill.reason) == (DrillState.ABORTED, "kill_switch_on")
    assert_clean(ground)


def test_a_budget_that_runs_low_ends_a_drill(ground: Range) -> None:
    """The share of the window that is left is looked at again and again."""
    ground.gamedays = {GAMEDAY.name: dataclasses.replace(GAMEDAY, abort_below=Fraction(-1))}

    drill = run(ground)

    # Of a third of the window a tenth is bad in the end: 1 - 100 x 0.1 / 3.
    assert (drill.state, drill.reason) == (DrillState.ABORTED, "budget_low")
    assert_clean(ground)


def _late(ground: Range) -> Asked:
    ground.clock.at = Timestamp(burning.T0 + 31 * clock.SECOND)
    return dataclasses.replace(ASKED, scheduled_at=burning.T0)


def _switch(gate: Gate) -> Callable[[Range], Asked]:
    def turn(ground: Range) -> Asked:
        ground.switch = gate
        return ASKED

    return turn


def _no_lab(ground: Range) -> Asked:
    ground.lab = None
    return ASKED


def _no_node(ground: Range) -> Asked:
    ground.node.silent = True
    return ASKED


def _active(ground: Range) -> Asked:
    ask(ground.drills(), dataclasses.replace(ASKED, key="other"))
    return ASKED


def _firing(ground: Range) -> Asked:
    ground.fire()
    return ASKED


def _refusing(ground: Range) -> Asked:
    ground.refusal = "cooldown: last run 3m ago, cooldown 15m"
    return ASKED


def _budget(ground: Range) -> Asked:
    ground.bad = 50
    ground.scrape()
    ground.gamedays = {GAMEDAY.name: dataclasses.replace(GAMEDAY, abort_below=Fraction(1, 2))}
    return ASKED


def _blind(ground: Range) -> Asked:
    ground.sight.evaluated(())
    ground.gamedays = {GAMEDAY.name: dataclasses.replace(GAMEDAY, abort_below=Fraction(1, 2))}
    return ASKED


@pytest.mark.parametrize(
    ("arrange", "gate"),
    [
        (_late, Gate.LATE),
        (_switch(Gate.KILL_SWITCH_ON), Gate.KILL_SWITCH_ON),
        (_switch(Gate.KILL_SWITCH_UNREADABLE), Gate.KILL_SWITCH_UNREADABLE),
        (_no_lab, Gate.NO_LAB),
        (_no_node, Gate.NO_NODE),
        (_active, Gate.DRILL_ACTIVE),
        (_firing, Gate.ALERT_FIRING),
        (_refusing, Gate.RUNBOOK_REFUSES),
        (_budget, Gate.BUDGET_LOW),
        (_blind, Gate.BUDGET_UNKNOWN),
    ],
)
def test_every_gate_says_no_by_its_name_and_on_record(
    ground: Range, arrange: Callable[[Range], Asked], gate: Gate
) -> None:
    """Refused is an end like any other: in the history, in the count, and nothing was injected for it."""
    asked = arrange(ground)

    replied = ground.drills().request(asked)

    assert replied.gate is gate
    assert replied.drill is not None
    assert (replied.drill.state, replied.drill.reason) == (DrillState.REFUSED, gate.value)
    with ground.store.read() as transaction:
        assert transaction.drills.counts()[GAMEDAY.name, "refused", gate.value] == 1
    assert ground.lab is None or not ground.lab.began


def test_an_unknown_name_is_refused_and_leaves_no_trace(ground: Range) -> None:
    """What anybody can write must not become rows and labels."""
    replied = ground.drills().request(Asked("conntrack-flod", "ann"))

    assert (replied.gate, replied.drill) == (Gate.UNKNOWN_GAMEDAY, None)
    with ground.store.read() as transaction:
        assert transaction.drills.newest(10) == []


def test_the_same_request_is_one_drill(ground: Range) -> None:
    """Also after it has ended, and also one that was refused."""
    first = run(ground)

    again = ground.drills().request(ASKED)

    assert (again.gate, again.drill) == (Gate.ACCEPTED, first)
    refused = ground.drills().request(dataclasses.replace(ASKED, key="k2"))
    assert refused.gate is Gate.ALERT_FIRING
    assert ground.drills().request(dataclasses.replace(ASKED, key="k2")) == refused


def test_a_scheduled_time_has_one_turn(ground: Range) -> None:
    """Told twice, before and after a restart, it is one drill."""
    for _ in range(2):
        ground.drills().scheduled(GAMEDAY.name, burning.T0)

    with ground.store.read() as transaction:
        assert [drill.scheduled_at for drill in transaction.drills.newest(10)] == [burning.T0]


def test_a_request_that_waited_for_a_restart_is_not_begun_late(ground: Range) -> None:
    """Whoever asked has gone by then."""
    name = ask(ground.drills())
    ground.clock.at = Timestamp(burning.T0 + 31 * clock.SECOND)
    ground.drills().advance()

    drill = ground.drill(name)
    assert (drill.state, drill.reason) == (DrillState.REFUSED, "late")
    assert ground.lab is not None
    assert not ground.lab.began


def test_a_lab_that_refuses_fails_the_drill(ground: Range) -> None:
    """With the lab's own word."""
    assert ground.lab is not None
    ground.lab.refuses = "busy"

    drill = run(ground)

    assert (drill.state, drill.reason, drill.result["injected_at"]) == (DrillState.FAILED, "busy", None)


def test_a_lab_that_did_it_and_did_not_say_so_is_asked_and_not_told_again(ground: Range) -> None:
    """The answer was lost, the fault was not."""
    assert ground.lab is not None
    ground.lab.deaf = True

    drill = run(ground)

    assert drill.state is DrillState.PASSED
    assert ground.lab.began == [drill.id]


def test_a_lab_that_went_away_fails_the_drill(ground: Range) -> None:
    """A restarted noisy client knows nothing of the fault, which ended with it."""

    def restart(second: int, _drills: Drills, _name: str) -> None:
        assert ground.lab is not None
        if second == 5:
            ground.lab.begun.clear()

    drill = run(ground, restart)

    assert (drill.state, drill.reason) == (DrillState.FAILED, "fault_ended")


@pytest.mark.parametrize(
    ("trouble", "left"),
    [
        (lambda ground: setattr(ground.node, "now", 2 * LIMIT), f"limit {2 * LIMIT}, before {LIMIT}"),
        (lambda ground: setattr(ground.node, "silent", True), "node_silent"),
    ],
)
def test_a_host_that_is_not_as_before_is_no_success(
    ground: Range, trouble: Callable[[Range], None], left: str
) -> None:
    """Everything else went well: the proof decides, and says what is left."""

    def make(second: int, _drills: Drills, _name: str) -> None:
        if second == 16:
            trouble(ground)

    drill = run(ground, make)

    assert (drill.state, drill.reason) == (DrillState.FAILED, "not_restored")
    assert drill.result["host_restored"] is False
    assert drill.result["left_behind"] == [left]


def test_a_disk_that_is_full_ends_the_fault_at_once(ground: Range, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing could be told of it or heal it; when there is room again, the drill has failed by that."""
    caplog.set_level("INFO")
    drills, name = ground.drills(), ask(ground.drills())
    drills.advance()
    assert ground.lab is not None
    assert ground.lab.runs(name)
    ground.fuse.disk_full = True
    for _ in range(3):
        ground.second()
    caplog.clear()
    with pytest.raises(StoreUnusable):
        drills.advance()

    assert not ground.lab.runs(name)
    assert not [record for record in caplog.records if record.levelname == "INFO"], "a line that is not kept"
    ground.fuse.disk_full = False
    for _ in range(60):
        ground.second()
        drills.advance()
    drill = ground.drill(name)
    assert (drill.state, drill.reason) == (DrillState.FAILED, "fault_ended")
    assert_clean(ground)


@pytest.mark.parametrize("step", [clock.HOUR, -clock.HOUR])
@pytest.mark.parametrize("when", [5, 19, 36, 44])
@pytest.mark.parametrize("answered", [True, False])
def test_a_clock_that_is_set_makes_no_drill_longer(
    ground: Range, step: int, when: int, *, answered: bool
) -> None:
    """Whatever it says by then, it ends with its fault at the latest, and everything is taken back."""
    if not answered:
        ground.run_after = None

    def set_clock(second: int, _drills: Drills, _name: str) -> None:
        if second == when:
            ground.set_clock(step)

    began = ground.clock.at
    drill = run(ground, set_clock)

    assert drill.ended_at is not None
    assert abs(drill.ended_at - began) < clock.HOUR + GAMEDAY.fault.duration + 2 * clock.MINUTE
    assert drill.result["host_restored"] is True
    assert_clean(ground)


def test_a_fault_that_cannot_be_stopped_is_waited_for_until_its_own_end(ground: Range) -> None:
    """No drill is over while its fault goes on."""
    assert ground.lab is not None
    ground.lab.stubborn = True

    drill = run(ground)

    assert drill.ended_at is not None
    assert drill.ended_at >= burning.T0 + GAMEDAY.fault.duration
    assert_clean(ground)


def test_an_effect_that_is_not_given_up_at_once_is_asked_for_again(ground: Range) -> None:
    """One intent, one outcome, and as many attempts as it takes."""

    def hold(second: int, _drills: Drills, _name: str) -> None:
        ground.node.silent = second in (18, 19)

    drill = run(ground, hold)

    assert drill.state is DrillState.PASSED
    with ground.store.read() as transaction:
        kinds = [
            line.kind
            for line in transaction.drills.journal(drill.id)
            if line.data.get("key") == f"release/{RUN}/1"
        ]
    assert kinds == ["intent", "outcome"]


def _through(ground: Range, fuse: Fuse) -> tuple[Drill, int]:
    """Run a drill with an engine that dies at the fuse, and is started again a second later."""
    drills, deaths, name = ground.drills(), 0, None
    for _ in range(LONGEST):
        try:
            if name is None:
                # The client asks again until it is answered, with the same key.
                name = ask(drills)
            drills.advance()
        except Killed:
            drills, deaths = ground.drills(), deaths + 1
            fuse.at = None
        if name is not None and ground.drill(name).ended:
            return ground.drill(name), deaths
        ground.second()
    pytest.fail("it never ends")


def test_a_crash_at_every_point_leads_to_the_same_end(tmp_path: pathlib.Path) -> None:
    """Killed before and after every write and effect: one fault, the same verdict, nothing left."""
    for number in itertools.count():
        store = burning.store(tmp_path / str(number))
        ground = Range(store)
        ground.fuse.at = number

        drill, deaths = _through(ground, ground.fuse)

        if deaths == 0:
            store.close()
            assert number > 30
            break
        said = f"killed at point {number}: {drill}"
        assert ground.lab is not None
        assert len(ground.lab.began) <= 1, said
        if ground.lab.began:
            assert (drill.state, drill.reason) == (DrillState.PASSED, "verified"), said
            assert drill.result["host_restored"] is True, said
        else:
            # Nobody can tell a lab that never heard of it from one that lost it: it is not sent twice.
            assert (drill.state, drill.reason) == (DrillState.FAILED, "not_injected"), said
        assert_clean(ground)
        store.close()


def test_the_effects_of_others_are_left_alone(ground: Range) -> None:
    """Only what the runs of this drill changed is taken back."""
    ground.node.standing["somebody/1"] = BLOCK

    drill = run(ground)

    assert drill.state is DrillState.PASSED
    assert ground.node.standing == {"somebody/1": BLOCK}
