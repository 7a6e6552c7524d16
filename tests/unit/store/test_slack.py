"""What is told in Slack: noted once, known by a token, and due as long as there may be more to say."""

import pathlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertState
from netsre.model.samples import labels
from netsre.store.database import Store, Transaction
from netsre.store.slack import PARENT
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")
T0 = burning.T0


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def opened(transaction: Transaction, node: str, seconds: int = 0) -> str:
    """Open an incident on a node; return its name."""
    identity = labels({"alertname": "Full", "severity": "page", "node": node})
    at = Timestamp(T0 + seconds * clock.SECOND)
    alert = replace(
        burning.fired().alert, labels=identity, fingerprint=alerts.fingerprint(identity), fired_at=at
    )
    transaction.alerts.save(alert)
    (name,) = transaction.incidents.attach([alert], at)
    return name


def closed(transaction: Transaction, at: Timestamp) -> None:
    """End every alert, and close what is left without any."""
    for alert in list(transaction.alerts.since(T0)):
        transaction.alerts.save(_ended(alert, at))
    transaction.incidents.close(at)


def _ended(alert: Alert, at: Timestamp) -> Alert:
    return replace(alert, state=AlertState.RESOLVED, resolved_at=at)


def test_a_message_is_noted_once_and_known_by_its_token(store: Store) -> None:
    """Also when two rounds note it; what it carries is nobody's to guess."""
    with store.write() as transaction:
        transaction.slack.note("i", [PARENT, "run/1"], T0)
        first = transaction.slack.of("i")
        transaction.slack.note("i", [PARENT, "run/1", "run/2"], Timestamp(T0 + 1))
        transaction.slack.note("i", [], T0)
        rows = transaction.slack.of("i")

    assert set(rows) == {PARENT, "run/1", "run/2"}
    assert {key: rows[key] for key in first} == first
    assert len({row.token for row in rows.values()}) == 3
    assert all(len(row.token) == 32 for row in rows.values())
    with store.read() as transaction:
        assert transaction.slack.find(rows["run/1"].token) == rows["run/1"]
        assert transaction.slack.find("0" * 32) is None


def test_where_a_message_is_and_what_it_says_is_kept(store: Store) -> None:
    """Being sent, being there, being gone."""
    with store.write() as transaction:
        transaction.slack.note("i", [PARENT], T0)
        token = transaction.slack.of("i")[PARENT].token
        transaction.slack.tried(token, T0)
        tried = transaction.slack.find(token)
        transaction.slack.told(token, "C1", "1.2", "digest")
        told = transaction.slack.find(token)
        transaction.slack.done("i", Timestamp(T0 + 5))
        done = transaction.slack.find(token)

    assert tried is not None
    assert told is not None
    assert done is not None
    assert (tried.tried_at, tried.ts) == (T0, "")
    assert (told.tried_at, told.channel, told.ts, told.digest, told.done_at) == (
        None,
        "C1",
        "1.2",
        "digest",
        None,
    )
    assert done.done_at == T0 + 5
    with store.write() as transaction:
        assert transaction.slack.prune(Timestamp(T0 + 5)) == 0
        assert transaction.slack.prune(Timestamp(T0 + 6)) == 1


def test_what_is_open_or_not_told_to_its_end_is_due(store: Store) -> None:
    """Open ones newest first; closed ones until nothing is left to say, or if they are too old to tell of."""
    with store.write() as transaction:
        names = [opened(transaction, node, n) for n, node in enumerate("abc")]
        assert transaction.slack.due(T0, 2) == [names[2], names[1]]
        transaction.slack.note(names[0], [PARENT], T0)
        transaction.slack.note(names[1], [PARENT, "run/1"], T0)
        end = Timestamp(T0 + clock.MINUTE)
        closed(transaction, end)

        assert set(transaction.slack.due(T0, 9)) == set(names)
        assert set(transaction.slack.due(end, 9)) == {names[0], names[1]}
        transaction.slack.done(names[0], end)
        transaction.slack.done(names[1], end)
        assert transaction.slack.due(end, 9) == []
        transaction.slack.note(names[1], ["run/2"], end)
        assert transaction.slack.due(end, 9) == [names[1]]
