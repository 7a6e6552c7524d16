"""What a run left in force, and the node has no longer, is not told as in force: not after a sweep either."""

import pathlib

import pytest

from netsre import clock
from netsre.app.control.incidents import facts, view
from netsre.app.control.incidents.shapes import IncidentView
from netsre.app.control.lapsing import EVERY, Lapses
from netsre.clock import Timestamp
from netsre.model.effects import Standing
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.crashing import Host, Killed, Lab
from tests.unit.app.fakes import SetClock


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Lab:
    """Return a lab whose run has helped, and whose block is still in force."""
    made = Lab(tmp_path, Host(SetClock(Timestamp(burning.T0))))
    made.live()
    assert len(made.host.effects()) == 1
    return made


def sweep(lab: Lab) -> str:
    """End what is in force, as a sweep does; return the key."""
    (one,) = lab.host.effects()
    lab.host.standings[one.key] = Standing.ENDED
    return one.key


def looking(lab: Lab) -> Lapses:
    """Return who looks, as after a start."""
    assert lab.current is not None
    return Lapses(lab.current.world)


def incident(lab: Lab) -> IncidentView:
    """Return what people are told."""
    with Store.read(lab.store) as transaction:
        (found,) = transaction.incidents.newest(10)
        return view.build(facts.read(transaction, found, lab.clock.at))


def in_force(lab: Lab) -> list[str]:
    """Return the actions that are told as in force, and whether a person is told to watch it."""
    told = incident(lab)
    steps = [step.action for run in told.runs for step in run.steps if step.in_force]
    assert any("In force until" in todo.text for todo in told.left) == bool(steps)
    return steps


def test_what_a_sweep_ended_is_no_longer_told_as_in_force(lab: Lab) -> None:
    """Once, in the journal, the audit and the timeline; what is there stays told."""
    watch = looking(lab)
    watch.look()
    assert in_force(lab) == ["datapath.block_source"]

    key = sweep(lab)
    lab.pass_time(EVERY)
    watch.look()
    watch.look()
    lab.pass_time(EVERY)
    watch.look()
    looking(lab).look()

    assert in_force(lab) == []
    assert [("effect.lapsed", key.partition("/")[2])] == [
        row for row in lab.end().audited if row[0] == "effect.lapsed"
    ]
    found = [event.text for event in incident(lab).timeline if "no longer in force" in event.text]
    assert len(found) == 1
    assert found[0].startswith("found to be no longer in force: drop packets of 10.0.0.9")


def test_a_run_that_is_not_over_is_told_too_and_goes_on(tmp_path: pathlib.Path) -> None:
    """It is verified by what is measured, as ever."""
    lab = Lab(tmp_path, Host(SetClock(Timestamp(burning.T0))))
    lab.begin()
    assert lab.current is not None
    watch = looking(lab)
    while not lab.host.effects():
        lab.pass_time(EVERY)
        lab.current.turn()
        watch.look()
    sweep(lab)
    lab.host.noisy = 0
    lab.pass_time(EVERY)
    watch.look()

    assert in_force(lab) == []
    assert not lab.runs()[-1][0].ended
    assert lab.live().runs == (("succeeded", "verified"),)


def test_a_node_that_does_not_answer_says_nothing(lab: Lab) -> None:
    """What is in force may be so all the same; it is found when the node answers again."""
    sweep(lab)
    lab.wire.silent = True
    watch = looking(lab)
    watch.look()
    assert in_force(lab) == ["datapath.block_source"]

    lab.wire.silent = False
    lab.pass_time(EVERY)
    watch.look()
    assert in_force(lab) == []


def test_what_the_list_lacks_is_asked_for_by_its_key_first(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that begins may list nothing yet, and says `applied` for the key."""
    monkeypatch.setattr(lab.host, "effects", list)
    looking(lab).look()

    assert in_force(lab) == ["datapath.block_source"]


@pytest.mark.parametrize("point", ["before commit", "after commit"])
def test_a_controller_that_dies_over_it_tells_it_once(lab: Lab, point: str) -> None:
    """Killed before or after the note is on disk."""
    sweep(lab)
    # The node is asked for its list and for the key before it.
    lab.fate.dies_at = frozenset({len(lab.fate.points) + (5 if point == "before commit" else 6)})
    with pytest.raises(Killed):
        looking(lab).look()
    assert lab.fate.points[-1].startswith(point)
    lab.pass_time(EVERY)
    looking(lab).look()

    assert in_force(lab) == []
    assert len([row for row in lab.end().audited if row[0] == "effect.lapsed"]) == 1


def test_what_ended_in_its_time_is_not_looked_for(lab: Lab) -> None:
    """Nor is the node asked where nothing should be in force."""
    lab.pass_time(clock.HOUR)
    before = len(lab.wire.calls)
    looking(lab).look()

    assert len(lab.wire.calls) == before
    assert "effect.lapsed" not in {verb for verb, _ in lab.end().audited}
