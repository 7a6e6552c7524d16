"""What actions may know beside the readings, from a store and an agent that may not answer."""

import pathlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from netsre import clock
from netsre.app.control.records import Kept, Nothing
from netsre.clock import Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.documents import Document
from netsre.model.events import Event
from netsre.model.runbooks import Run, RunState
from netsre.runbook.actions.contract import Happened, NodeRefused, NodeUnreachable
from tests.unit import burning
from tests.unit.app.fakes import SetClock

T0 = burning.T0
RUN = Run("r1", "book", "f", T0, "t/a", RunState.SUCCEEDED, "verified", T0, T0)


class Silent:
    """An agent that is not there."""

    def refused_loads(self) -> Sequence[Document]:
        """Raise."""
        raise SourceUnreachable("agent does not answer")


def test_what_was_done_is_of_this_node_and_since_then(tmp_path: pathlib.Path) -> None:
    """A deploy of all nodes is of this one too; a run that a gate refused did nothing."""
    store = burning.store(tmp_path / "data")
    deploy = Event("e1", "deploy", "", "all", T0, T0, "ann")
    old = Timestamp(T0 - clock.DAY)
    with store.write() as transaction:
        for event in (deploy, replace(deploy, id="e2", node="b"), replace(deploy, id="e3", at=old)):
            transaction.events.add(event)
        refused = replace(RUN, id="r2", state=RunState.REFUSED, reason="cooldown")
        for run in (RUN, refused, replace(RUN, id="r3", started_at=old, ended_at=old)):
            transaction.runs.add(run)
    kept = Kept(store, SetClock(), "a", Silent())

    assert kept.happened(Timestamp(T0 - clock.HOUR)) == Happened((deploy,), (RUN,))
    store.close()


def test_an_agent_that_is_not_there_is_a_node_that_does_not_answer(tmp_path: pathlib.Path) -> None:
    """And where none is known, that is a refusal."""
    store = burning.store(tmp_path / "data")
    with pytest.raises(NodeUnreachable, match="does not answer"):
        Kept(store, SetClock(), "a", Silent()).refused_loads()
    with pytest.raises(NodeRefused):
        Nothing().refused_loads()
    assert Nothing().happened(T0) == Happened()
    store.close()
