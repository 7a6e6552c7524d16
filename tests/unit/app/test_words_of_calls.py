"""What people are told of a run that did not help is true of what it did."""

import pathlib

from netsre.model.alerts import Alert, AlertSource
from tests.unit.app.test_outside_crashes import BLIND, Bench, book, hopeless


def test_what_cannot_be_undone_is_not_said_to_be_taken_back(tmp_path: pathlib.Path) -> None:
    """A server was asked to do something, and nobody asked it to undo that: it is still done."""
    ground = Bench(tmp_path).ground(book(BLIND, helps=False), hopeless())
    end = ground.lab.live()
    with ground.lab.store.read() as transaction:
        (call,) = [one for one in transaction.alerts.newest(20) if _calls(one)]
    ground.lab.store.close()

    assert (len(ground.server.done), len(ground.server.undone)) == (1, 0)
    assert end.runs[-1] == ("undone", "verify_failed")
    assert "everything it changed was taken back" not in call.annotations["description"]


def _calls(alert: Alert) -> bool:
    return alert.source is AlertSource.AUTOMATION
