"""A run that is killed anywhere ends as if nothing had happened, and does nothing twice.

The points are not listed but counted: those that an undisturbed run passes are those at which others die.
"""

import itertools
import pathlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from netsre import clock
from netsre.app.control.incidents import steps
from netsre.clock import Timestamp
from netsre.model.alerts import AlertState
from netsre.model.documents import Document
from netsre.model.effects import Block, Effect, Flush, SourceCount, Table
from netsre.model.runbooks import JournalKind, Runbook, Step
from netsre.runbook import parsing, story
from netsre.runbook.actions.catalogue import ACTIONS
from tests import thorough
from tests.unit.app.crashing import BOOK, FAULTS, NOISY, End, Fate, Host, Lab
from tests.unit.app.fakes import SetClock
from tests.unit.app.policed_host import PolicedHost

assert BOOK.verify is not None
IMPATIENT = replace(BOOK, verify=replace(BOOK.verify, within=20 * clock.SECOND))
"""The shipped runbook, with less patience: what never helps is given up after four samples."""
BACK = replace(BOOK, steps=(Step("policy.rollback", {}),))
LOOSE = replace(
    IMPATIENT,
    steps=(
        Step("policy.mode", {"mode": "monitor", "endpoint": "*", "ttl": clock.HOUR}),
        Step("prefilter.mode", {"mode": "monitor", "ttl": clock.HOUR}),
        Step("prefilter.limit_source", {"source": NOISY, "rate": 5, "ttl": clock.HOUR}),
    ),
)
PAIRS = thorough.cases(4)


def flooded() -> Host:
    """Return a node that blocking the source and deleting its entries cures."""
    return Host(SetClock())


def grown() -> Host:
    """Return a node that needs a higher limit beside that."""
    return Host(SetClock(), noisy=150, others=(42,) * 20)


def hopeless() -> Host:
    """Return a node without the memory for a limit that would help: everything is taken back."""
    return Host(SetClock(), noisy=150, others=(42,) * 20, most=1100)


def spread() -> Host:
    """Return a node whose load has no source to block: the plan is refused."""
    return Host(SetClock(), noisy=46, others=(46,) * 20)


def misruled() -> Host:
    """Return a node that going back a revision of policies cures."""
    return PolicedHost(SetClock())


def misjudged() -> Host:
    """Return a node that has policies, which are not to blame."""
    return PolicedHost(SetClock(), bad=None)


ROUND = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: conntrack-exhaustion}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  approval: {mode: auto}
  steps:
    - repeat:
        times: 3
        until: 'not still(alert)'
        steps:
          - {action: evidence.collect, with: {what: [top-sources]}, retry: {times: 2, wait: 5s}, timeout: 20s}
          - action: datapath.block_source
            with: {source: '${evidence.top_source}', ttl: 10m}
            retry: {times: 3, wait: 5s}
          - {action: conntrack.flush, with: {source: '${evidence.top_source}'}, retry: {times: 3, wait: 5s}}
  verify: {slo: conntrack-headroom, window: 15s, samples: 4, need: 3}
"""
(LOOP,) = parsing.parse({"round.yaml": ROUND}, ACTIONS, parsing.Known({"ConntrackUtilization"}))


@dataclass
class Crowd(Host):
    """A node with several noisy sources, each of which comes back until it is blocked."""

    crowd: tuple[str, ...] = ("10.0.2.1", "10.0.2.2", "10.0.2.3")
    each: int = 400

    def __post_init__(self) -> None:
        """Begin flooded, by these alone."""
        self.noisy = self.held = 0
        self.others = (self.each,) * len(self.crowd)

    def pass_time(self) -> None:
        """End what is past its deadline, and let each source do what it can."""
        super().pass_time()
        effects = [held.effect for held in self.effects()]
        blocked = {effect.source for effect in effects if isinstance(effect, Block)}
        held = zip(self.crowd, self.others, strict=True)
        self.others = tuple(count if source in blocked else self.each for source, count in held)

    def table(self, netns: str) -> Table:
        """Return who fills the table."""
        rows = [SourceCount(*row) for row in zip(self.crowd, self.others, strict=True) if row[1]]
        return Table(netns, sum(self.others), self.limit_now, tuple(rows))

    def apply(self, key: str, effect: Effect) -> Document:
        """Apply once per key."""
        again = key in self.standings
        figures = super().apply(key, effect)
        if isinstance(effect, Flush) and not again:
            held = zip(self.crowd, self.others, strict=True)
            self.others = tuple(0 if source == effect.source else count for source, count in held)
        return figures


def crowded() -> Host:
    """Return a node that takes two rounds of a loop."""
    return Crowd(SetClock())


SCENARIOS: dict[str, tuple[Callable[[], Host], Runbook, tuple[str, str]]] = {
    "succeeds": (flooded, BOOK, ("succeeded", "verified")),
    "succeeds with a higher limit": (grown, BOOK, ("succeeded", "verified")),
    "succeeds in the second round": (crowded, LOOP, ("succeeded", "verified")),
    "is undone": (hopeless, IMPATIENT, ("undone", "verify_failed")),
    "goes back a revision": (misruled, BACK, ("succeeded", "verified")),
    "goes forward again": (misjudged, replace(IMPATIENT, steps=BACK.steps), ("undone", "verify_failed")),
    "loosens in vain": (misjudged, LOOSE, ("undone", "verify_failed")),
    "is refused": (spread, BOOK, ("refused", "no_source")),
}
every_scenario = pytest.mark.parametrize("name", SCENARIOS)


class Bench:
    """Makes labs, each in a directory of its own, and checks what must hold for every one."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Make labs under a directory."""
        self._directory = directory
        self._numbers = itertools.count()

    def lab(self, name: str, *dies_at: int) -> Lab:
        """Return the lab of a scenario whose processes die at some points."""
        make, book, _ = SCENARIOS[name]
        directory = self._directory / str(next(self._numbers))
        directory.mkdir()
        lab = Lab(directory, make(), Fate(frozenset(dies_at)))
        lab.books = (book,)
        return lab

    def live(self, lab: Lab) -> End:
        """Let a lab run to its end, and check it."""
        end = lab.live()
        lab.store.close()
        assert lab.fate.died_at == lab.fate.dies_at, "a point was not reached"
        assert not lab.host.asked_again, "an effect was to be applied a second time"
        assert len(set(lab.host.applied)) == len(lab.host.applied)
        assert len(set(end.audited)) == len(end.audited), "an effect is in the audit twice"
        assert [step for verb, step in end.audited if verb == "effect.applied"] == sorted(end.applied)
        for run, journal in lab.runs():
            assert [entry.seq for entry in journal] == list(range(1, len(journal) + 1))
            intents = {
                str(e.data["key"]) for e in journal if e.kind is JournalKind.INTENT and "key" in e.data
            }
            assert intents >= {key for key in lab.host.applied if key.startswith(run.id)}
        ends_by_itself(lab)
        return end


def ends_by_itself(lab: Lab) -> None:
    """Check that without any controller nothing is left in force beyond its end."""
    limit = type(lab.host)(SetClock()).limit_now
    lab.clock.at = Timestamp(lab.clock.at + clock.DAY)
    lab.host.pass_time()
    assert not lab.host.effects()
    assert lab.host.limit_now == limit


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    """Return a bench."""
    return Bench(tmp_path)


@every_scenario
def test_undisturbed_a_run_ends_as_it_should(bench: Bench, name: str) -> None:
    """Every scenario has its one end, and people are called unless it is a success."""
    end = bench.live(bench.lab(name))

    assert end.runs == (SCENARIOS[name][2],)
    assert bool(end.calls) == (end.runs[0][0] != "succeeded")


def test_each_round_has_keys_of_its_own(bench: Bench) -> None:
    """Two sources are blocked and freed, in two rounds; the third one is not needed."""
    lab = bench.lab("succeeds in the second round")

    assert bench.live(lab).applied == ("1", "2", "4", "5")
    ((_, journal),) = lab.runs()
    told = steps.read(journal, story.read(journal).plan)
    assert [step.number for step in told] == [0, 1, 2, 3, 4, 5, 6], "an incident shows the rounds that came"


@every_scenario
def test_killed_at_any_point_a_run_ends_the_same(
    bench: Bench, name: str, record_property: Callable[[str, object], None]
) -> None:
    """Before and after commits and calls of the node."""
    whole = bench.lab(name)
    expected = bench.live(whole)
    assert {what.partition(" ")[0] for what in whole.fate.points} == {"before", "after"}

    for point in thorough.some(whole.fate.points):
        assert bench.live(bench.lab(name, point)) == expected, f"{point}: {whole.fate.points[point - 1]}"
    record_property("points", len(whole.fate.points))


@every_scenario
def test_killed_again_while_it_recovers_a_run_ends_the_same(bench: Bench, name: str) -> None:
    """Pairs of points, the second one in the life after the first; drawn with a fixed seed."""
    chance = random.Random(name)  # noqa: S311 - no secret
    whole = bench.lab(name)
    expected = bench.live(whole)

    for first in chance.choices(range(1, len(whole.fate.points) + 1), k=PAIRS):
        once = bench.lab(name, first)
        bench.live(once)
        second = chance.randint(first + 1, len(once.fate.points))
        end = bench.live(bench.lab(name, first, second))
        assert end == expected or _unheard(end), f"{first}, {second}"


def _unheard(end: End) -> bool:
    """Tell whether the node never heard of a change, begun or taken back twice, and people were told."""
    change = end.runs == (("failed", "not_applied"),) and not end.applied
    back = end.runs == (("needs_human", "undo_failed"),) and "applied" in {held for _, held in end.standings}
    return (change or back) and bool(end.calls)


@pytest.mark.parametrize("fault", FAULTS)
@every_scenario
def test_an_answer_that_is_lost_changes_no_end(bench: Bench, name: str, fault: str) -> None:
    """At every call of the node: not done, done, or done by an agent that dies right after it."""
    whole = bench.lab(name)
    expected = bench.live(whole)

    for number in range(1, len(whole.wire.calls) + 1):
        # A third of them here, and another third of them with each of the other faults.
        if not thorough.ALL and number % len(FAULTS) != FAULTS.index(fault):
            continue
        lab = bench.lab(name)
        lab.wire.faults = {number: fault}
        assert bench.live(lab) == expected, f"call {number}: {whole.wire.calls[number - 1]}"
        assert lab.wire.befallen == [fault]


def test_a_node_that_is_gone_between_plan_and_apply_is_left_to_people(bench: Bench) -> None:
    """The intent stays open for a minute; what cannot be known is not guessed."""
    lab = bench.lab("succeeds")

    def vanish(name: str) -> None:
        lab.wire.silent = lab.wire.silent or name == "apply"

    lab.wire.before_call = vanish
    end = bench.live(lab)

    assert (end.runs, end.applied) == ((("needs_human", "effect_unknown"),), ())
    assert end.calls == ("firing",)


def test_a_node_that_comes_back_in_time_is_asked_and_the_run_goes_on(bench: Bench) -> None:
    """Half a minute without an answer in the middle of it."""
    lab = bench.lab("succeeds")

    def vanish(name: str) -> None:
        if name == "apply" and not lab.wire.down_until:
            lab.wire.down_until = Timestamp(lab.clock.at + 30 * clock.SECOND)

    lab.wire.before_call = vanish

    assert bench.live(lab).runs == (("succeeded", "verified"),)


def test_a_slow_node_delays_a_run_and_nothing_else(bench: Bench) -> None:
    """Every call takes four seconds; each of them is made once."""
    lab, quick = bench.lab("succeeds"), bench.lab("succeeds")

    lab.wire.before_call = lambda _name: lab.dawdle(4 * clock.SECOND)

    assert bench.live(lab) == bench.live(quick)
    assert lab.wire.calls == quick.wire.calls


def test_a_kill_switch_in_the_middle_stops_the_run_where_it_is(bench: Bench) -> None:
    """After the first change: no second one, nothing taken back, and people are called."""
    lab = bench.lab("succeeds")

    def stop(name: str) -> None:
        if name == "apply":
            lab.switch(on=True)

    lab.wire.before_call = stop
    end = bench.live(lab)

    assert end.runs == (("needs_human", "kill_switch_on"),)
    assert (end.applied, end.calls) == (("1",), ("firing",))
    assert "kill_switch_on" in lab.calls()[0].annotations["summary"]


def test_a_kill_switch_that_is_lost_in_the_middle_stops_the_run_too(bench: Bench) -> None:
    """Nobody knows what the file said."""
    lab = bench.lab("succeeds")

    def lose(name: str) -> None:
        if name == "apply":
            (lab.directory / "kill-switch.json").unlink()

    lab.wire.before_call = lose

    assert bench.live(lab).runs == (("needs_human", "kill_switch_unreadable"),)


@pytest.mark.parametrize(("on", "applied"), [("table", ()), ("apply", ("1",))])
def test_an_alert_that_ends_in_the_middle_leads_to_no_further_change(
    bench: Bench, on: str, applied: tuple[str, ...]
) -> None:
    """Nobody is called for what is over, and what was done until then is judged by the service level."""
    lab = bench.lab("succeeds")
    lab.afterwards = clock.MINUTE
    seen: list[str] = []

    def end_alert(name: str) -> None:
        if name == on and not seen:
            seen.append(name)
            lab.host.noisy = lab.host.held = 0
            lab.resolve()

    lab.wire.before_call = end_alert
    end = bench.live(lab)

    assert end.applied == applied
    assert end.runs == ((("succeeded", "verified"),) if applied else (("failed", "alert_resolved"),))
    assert end.calls == ()


@pytest.mark.parametrize("books", [(), (IMPATIENT,)], ids=["removed", "changed"])
@pytest.mark.parametrize("on", ["table", "apply"])
def test_a_runbook_that_changes_in_the_middle_is_not_followed(
    bench: Bench, books: tuple[Runbook, ...], on: str
) -> None:
    """Before the first change the run ends, after it the run goes on from its own plan."""
    lab = bench.lab("succeeds", point_of(bench, on))
    lab.on_death = lambda: setattr(lab, "books", books)
    end = bench.live(lab)

    word = "runbook_changed" if books else "runbook_removed"
    assert end.runs == ((("failed", word),) if on == "table" else (("succeeded", "verified"),))
    assert bool(end.calls) == (on == "table")


def point_of(bench: Bench, call: str) -> int:
    """Return the point right after the first call of a name."""
    whole = bench.lab("succeeds")
    whole.live()
    whole.store.close()
    return whole.fate.points.index(f"after {call}") + 1


def test_a_call_for_people_ends_with_the_alert_it_is_about(bench: Bench) -> None:
    """The node recovers by itself, later: both alerts end, and the call said what to do."""
    lab = bench.lab("is undone")
    lab.afterwards = 2 * clock.MINUTE

    def recover(name: str) -> None:
        if name == "undo":
            lab.host.others = ()
            lab.host.noisy = 0

    lab.wire.before_call = recover
    end = bench.live(lab)

    assert end.calls == ("resolved",)
    (call,) = lab.calls()
    ((run, _),) = lab.runs()
    assert dict(call.labels) == {
        "alertname": "RunbookNeedsHuman",
        "severity": "page",
        "runbook": "conntrack-exhaustion",
        "node": "a",
        "service": "node-conntrack",
    }
    assert call.annotations["runs"] == run.id
    assert "verify_failed" in call.annotations["description"]
    assert "taken back" in call.annotations["description"]
    (cause,) = lab.alerts("ConntrackUtilization")
    assert cause.state is AlertState.RESOLVED
    assert call.resolved_at is not None
    assert cause.resolved_at is not None
    assert call.resolved_at >= cause.resolved_at
