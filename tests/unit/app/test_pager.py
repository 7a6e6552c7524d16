"""Telling one peer: what it took is on record once, what it did not take is told again, ever more rarely."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from netsre import clock
from netsre.adapters.alertmanager import Alertmanager, Answer, Bounds, Result
from netsre.alerting import webhook
from netsre.alerting.describe import Links
from netsre.alerting.notify import Pace
from netsre.app.control.intake import Busy
from netsre.app.control.pager import LONGEST_PAUSE, Pager, Peer, PeerState, Telling, pause
from netsre.clock import Timestamp
from netsre.metrics.readings import Readings
from netsre.model.alerts import AlertState, fingerprint
from netsre.model.documents import Document
from netsre.model.samples import labels
from netsre.store.database import Store
from tests.alertmanager import BadPeer
from tests.machine import PATIENCE
from tests.unit import burning
from tests.unit.app.fakes import SetClock

ALERT = burning.fired().alert
ACCEPTED = Answer(Result.ACCEPTED)


class Scripted:
    """A client that answers as it is told, and remembers what it was told."""

    name = "am:9093"

    def __init__(self) -> None:
        """Accept everything, until told otherwise."""
        self.answer = ACCEPTED
        self.refuses: set[str] = set()
        """Names of alerts of which it says that they are wrong."""
        self.has: tuple[object, ...] = ()
        self.posts: list[list[Any]] = []
        self.asked: list[str] = []

    def post(self, alerts: Sequence[Document]) -> Answer:
        """Take alerts."""
        self.posts.append(list(alerts))
        found: list[Any] = list(alerts)
        if self.refuses & {alert["labels"]["alertname"] for alert in found}:
            return Answer(Result.REJECTED, "invalid label")
        return self.answer

    def alerts(self, receiver: str) -> Answer:
        """Return what it has."""
        self.asked.append(receiver)
        return dataclasses.replace(self.answer, alerts=self.has)

    def ready(self) -> Answer:
        """Say how it is."""
        self.asked.append("ready")
        return self.answer


class Desk:
    """A peer's thread without the thread, a store and a clock."""

    def __init__(self, store: Store) -> None:
        """Begin with one alert that fires."""
        self.store = store
        self.clock = SetClock()
        self.client = Scripted()
        self.received: list[webhook.Notice] = []
        self.busy = False
        pace = Pace(15 * clock.SECOND)
        self.telling = Telling(store, self.clock, pace, Links("http://a:8600"), self.receive)
        self.peer = Peer(self.client, self.telling)
        with store.write() as transaction:
            transaction.alerts.save(ALERT)

    def receive(self, notices: Sequence[webhook.Notice]) -> None:
        """Take notices, or have no room for them."""
        if self.busy:
            raise Busy("no room")
        self.received += notices

    def after(self, seconds: int) -> int:
        """Let time pass, and take a round; return the seconds until the next."""
        self.clock.at = Timestamp(self.clock.at + seconds * clock.SECOND)
        return self.peer.tell() // clock.SECOND

    def resolve(self) -> None:
        """End the alert."""
        over = dataclasses.replace(ALERT, state=AlertState.RESOLVED, resolved_at=self.clock.at)
        with self.store.write() as transaction:
            transaction.alerts.save(over)


@pytest.fixture
def desk(tmp_path: pathlib.Path) -> Iterator[Desk]:
    """Return a desk."""
    store = burning.store(tmp_path)
    yield Desk(store)
    store.close()


def test_what_fires_is_told_at_once_and_then_every_minute(desk: Desk) -> None:
    """With the beginning that it had, and the page of the alert as its origin."""
    assert desk.after(5) == 60
    assert desk.after(20) == 40
    desk.after(40)

    assert [len(post) for post in desk.client.posts] == [1, 1]
    for (sent,) in desk.client.posts:
        assert sent["startsAt"] == clock.rfc3339(ALERT.fired_at)
        assert sent["generatorURL"] == f"http://a:8600/#alert-{ALERT.fingerprint}"


def test_the_first_time_of_each_is_on_record(desk: Desk) -> None:
    """When a peer took the firing, and when it took the end; what comes again changes nothing."""
    desk.after(5)
    desk.after(60)
    desk.resolve()
    desk.after(1)
    desk.after(60)

    with desk.store.read() as transaction:
        (page,) = transaction.pages.of([ALERT])
    t0 = burning.T0
    assert (page.peer, page.accepted_at, page.resolved_at) == ("am:9093", t0 + 5_000, t0 + 66_000)


def test_a_peer_that_fails_is_asked_ever_more_rarely(desk: Desk) -> None:
    """Up to every 30 s; then everything is told, and the pauses begin anew."""
    desk.client.answer = Answer(Result.UNREACHABLE, "connection refused")
    assert [desk.after(1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    state = desk.peer.state
    assert (state.up, state.reason, state.last_accepted_at) == (False, "connection refused", None)

    desk.client.answer = ACCEPTED
    assert desk.after(1) == 60
    assert desk.peer.state == PeerState("am:9093", up=True, last_accepted_at=desk.clock.at)
    assert dict(desk.peer.posts) == {Result.UNREACHABLE: 7, Result.ACCEPTED: 1}


def test_pauses_double_and_stay_bounded() -> None:
    """Also after years."""
    assert [pause(count) for count in (1, 2, 3, 10**9)] == [1_000, 2_000, 4_000, LONGEST_PAUSE]


def test_one_wrong_alert_does_not_hide_that_the_others_were_taken(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Told one by one it is known which; the wrong one is logged once and tried again with the rest."""
    identity = labels({"alertname": "Wrong", "severity": "page"})
    wrong = dataclasses.replace(ALERT, labels=identity, fingerprint=fingerprint(identity))
    with desk.store.write() as transaction:
        transaction.alerts.save(wrong)
    desk.client.refuses = {"Wrong"}
    desk.after(0)
    desk.after(60)

    assert [len(post) for post in desk.client.posts] == [2, 1, 1] * 2
    with desk.store.read() as transaction:
        assert [page.fingerprint for page in transaction.pages.of([ALERT, wrong])] == [ALERT.fingerprint]
    assert desk.peer.state.up is True
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    assert "invalid label" in caplog.text


def test_a_peer_that_has_nothing_to_hear_is_asked_whether_it_is_there(desk: Desk) -> None:
    """Not with every round, but often enough to know before it matters."""
    desk.resolve()
    desk.after(16 * 60)
    desk.after(10)
    desk.after(30)

    assert (desk.client.posts, desk.client.asked) == ([], ["ready", "ready"])


def test_what_a_webhook_left_out_is_fetched_until_it_is_there(desk: Desk) -> None:
    """Over a peer that fails, an answer that is none, and no room for it."""
    desk.peer.fetch("netsre")
    desk.client.answer = Answer(Result.FAILED, "answered 500")
    desk.after(0)
    desk.client.answer, desk.client.has = ACCEPTED, (7,)
    desk.after(1)
    assert desk.peer.state.reason == "answered with alerts that are none: [0] is no JSON object"
    desk.client.has = ({"labels": {"alertname": "A"}, "startsAt": "2026-01-01T00:00:00Z"},)
    desk.busy = True
    with pytest.raises(Busy):
        desk.after(1)
    desk.busy = False
    desk.after(1)
    desk.after(1)

    assert [notice.labels for notice in desk.received] == [(("alertname", "A"),)]
    assert [asked for asked in desk.client.asked if asked != "ready"] == ["netsre"] * 3


def test_peers_are_measured(desk: Desk) -> None:
    """No `up` before the first answer."""
    pager = Pager([desk.client], desk.telling)
    before = Readings()
    pager.readings(before)
    pager.peers[0].tell()
    after = Readings()
    pager.readings(after)

    assert before.numbers["netsre_alertmanager_up"] == []
    assert after.numbers["netsre_alertmanager_up"] == [({"peer": "am:9093"}, 1.0)]
    posts = {labels["result"]: count for labels, count in after.numbers["netsre_alertmanager_posts_total"]}
    assert posts == {"accepted": 1, "rejected": 0, "failed": 0, "unreachable": 0}


@pytest.mark.parametrize(
    ("how", "result", "reason"),
    [
        ("hangs", Result.UNREACHABLE, "no whole answer within 0.5 s"),
        ("drips", Result.UNREACHABLE, "no whole answer within 0.5 s"),
        ("floods", Result.FAILED, "answered more than 100000 bytes"),
        ("fails", Result.FAILED, "answered 503 no memory"),
        ("lies", Result.UNREACHABLE, ""),
        ("absent", Result.UNREACHABLE, "All connection attempts failed"),
    ],
)
def test_whatever_a_peer_does_a_request_ends_with_a_reason(how: str, result: Result, reason: str) -> None:
    """Within its deadline and below its size, on one line."""
    peer = BadPeer(how)
    seconds = 0.5 if how in {"hangs", "drips"} else PATIENCE
    client = Alertmanager(peer.url, Bounds(total_seconds=seconds, body_bytes=100_000))
    try:
        answers = [client.post([]), client.alerts("netsre"), client.ready()]
    finally:
        peer.close()

    assert [answer.result for answer in answers] == [result] * 3
    assert all(answer.reason and reason in answer.reason for answer in answers)
    assert not any("\n" in answer.reason for answer in answers)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://am:9093", "am:9093"),
        ("http://am", "am:80"),
        ("https://am.example.com/prefix", "am.example.com:443/prefix"),
        ("http://[::1]:9093", "[::1]:9093"),
    ],
)
def test_a_peer_is_called_by_its_host_and_port(url: str, name: str) -> None:
    """What its address does not say is what it means."""
    assert Alertmanager(url).name == name
