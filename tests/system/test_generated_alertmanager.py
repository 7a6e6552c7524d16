"""The generated configuration, as Debian's amtool reads it and as a real pair of peers obeys it."""

import contextlib
import datetime
import http.server
import json
import pathlib
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from netsre import clock
from netsre.alerting import notify, transitions, webhook
from netsre.alerting.notify import Pace
from netsre.alerting.transitions import Reason
from netsre.app.control import tick
from netsre.app.local.alertmanager import PROGRAM
from netsre.cli import main
from netsre.model.alerts import AlertSource
from netsre.model.events import Event
from netsre.model.incidents import Disposition
from netsre.model.samples import labels as named
from netsre.store.database import Store
from tests.alertmanager import TOKEN, Alertmanager
from tests.machine import free_port, wait_until
from tests.unit import burning

pytestmark = pytest.mark.requires("prometheus-alertmanager")

NOISY: Final = """
apiVersion: netsre.dev/v1
kind: NoisyClients
metadata: {{name: known}}
spec:
  clients: [{{src: 'a"b\\c', source: 10.0.0.9, until: '{day}', owner: ann, reason: "Scans\\n: nightly."}}]
"""
NOISE: Final = 'a"b\\c'
RECEIVERS: Final = """
receivers:
  - {{name: pages, webhook_configs: [{{url: '{url}pages'}}]}}
  - {{name: tickets, webhook_configs: [{{url: '{url}tickets'}}]}}
"""


class Inbox:
    """What was notified, by receiver."""

    def __init__(self) -> None:
        """Listen."""
        self.told: dict[str, list[list[dict[str, str]]]] = {"netsre": [], "pages": [], "tickets": []}
        """The labels of the alerts of each notification."""
        self.webhooks: list[bytes] = []
        """What the controller was told, as it came."""
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                body = json.loads(content)
                if body["receiver"] == "netsre":
                    inbox.webhooks.append(content)
                firing = [alert["labels"] for alert in body["alerts"] if alert["status"] == "firing"]
                inbox.told[body["receiver"]].append(firing)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
                """Keep quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def groups(self, receiver: str) -> list[list[str]]:
        """Return what each notification was about: service and node of its alerts, in order."""
        told = (sorted(f"{alert['service']}/{alert['node']}" for alert in one) for one in self.told[receiver])
        return sorted(told)

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


def generate(directory: pathlib.Path, url: str, *more: str) -> pathlib.Path:
    """Have the configuration written, for everything shipped and one noisy client."""
    day = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=40)
    (directory / "token").write_text(TOKEN)
    (directory / "noisy.yaml").write_text(NOISY.format(day=day))
    (directory / "receivers.yaml").write_text(RECEIVERS.format(url=url))
    told = ["--out", str(directory), "--noisy", str(directory / "noisy.yaml"), "--console-url", url]
    told += ["--receivers", str(directory / "receivers.yaml"), "--token-file", str(directory / "token")]
    assert main.run(["generate", "alertmanager", *told, *more]) == 0
    return directory / "alertmanager.yml"


def labels(name: str, severity: str, service: str, node: str, **more: str) -> dict[str, str]:
    """Return the labels of an alert, as netsre gives them."""
    return {"alertname": name, "severity": severity, "service": service, "node": node, **more}


def burn(severity: str, node: str, slo: str = "flow-success", **more: str) -> dict[str, str]:
    """Return the labels of an alert about a budget of the datapath."""
    return labels("ErrorBudgetBurn", severity, "node-datapath", node, slo=slo, **more)


def denied(node: str, **more: str) -> dict[str, str]:
    """Return the labels of a ticket about denies."""
    return labels("UnexpectedEgressDenied", "ticket", "node-policy", node, **more)


@pytest.fixture(scope="module", name="written")
def _written(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a configuration that is read and not run."""
    return generate(tmp_path_factory.mktemp("written"), "http://127.0.0.1:9/")


@pytest.mark.parametrize("more", [(), ("--receivers",), ("--noisy",)])
def test_amtool_takes_the_configuration_with_and_without_files(
    tmp_path: pathlib.Path, written: pathlib.Path, more: tuple[str, ...]
) -> None:
    """It is whole without any, as it is what runs as soon as it is written."""
    files = {"--receivers": "receivers.yaml", "--noisy": "noisy.yaml"}
    told = [word for option in more for word in (option, str(written.parent / files[option]))]
    for check in ((), ("--check",)):
        assert main.run(["generate", "alertmanager", "--out", str(tmp_path), *told, *check]) == 0
    subprocess.run(["amtool", "check-config", tmp_path / "alertmanager.yml"], check=True, capture_output=True)
    assert main.run(["generate", "alertmanager", "--out", str(tmp_path), "--page-wait", "3s", "--check"]) == 1


@pytest.mark.parametrize(
    ("alert", "receiver"),
    [
        (burn("page", "a"), "pages"),
        (burn("ticket", "a"), "tickets"),
        (labels("UnexpectedEgress", "page", "node-policy", "a", src=NOISE), "pages"),
        (denied("a", src=NOISE), "tickets"),
        (labels("RunbookNeedsHuman", "page", "node-conntrack", "a", runbook="r"), "pages"),
        ({"alertname": "PodNetworkDown", "team": "x"}, "tickets"),
        ({"alertname": "KubeAPIDown", "severity": "critical"}, "pages"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["alertname"],
)
def test_an_alert_goes_to_netsre_and_to_one_receiver(
    written: pathlib.Path, alert: dict[str, str], receiver: str
) -> None:
    """By amtool's own walk through the routes; what says nothing of how urgent it is, is a ticket."""
    named = [f"{name}={json.dumps(value)}" for name, value in alert.items()]
    command = ["amtool", "config", "routes", "test", f"--config.file={written}", *named]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == f"netsre,{receiver}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("receivers: [{name: pages}]", "pages and tickets, once each"),
        ("receivers: [{name: pages}, {name: tickets}]\nroute: {}", "nothing else in it"),
        (
            "receivers: [{name: pages, pagerduty_configs: [{routing_key: x}]}, {name: tickets}]",
            "routing_key_file",
        ),
        ("receivers: [{name: pages, slack_configs: [{api_url: x}]}, {name: tickets}]", "api_url_file"),
        ("receivers: [&a {name: pages}, *a]", "receivers.yaml:1"),
    ],
)
def test_receivers_that_are_not_two_or_hold_a_secret_are_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    """Before anything is written."""
    (tmp_path / "receivers.yaml").write_text(text)
    told = ("--out", str(tmp_path / "out"), "--receivers", str(tmp_path / "receivers.yaml"))
    assert main.run(["generate", "alertmanager", *told]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@contextlib.contextmanager
def pair(configuration: pathlib.Path) -> Iterator[tuple[Alertmanager, Alertmanager]]:
    """Run two peers that know each other."""
    ports, gossip = (free_port(), free_port()), (free_port(), free_port())
    with contextlib.ExitStack() as stack:
        for own, port in enumerate(ports):
            command = (
                str(PROGRAM),
                f"--config.file={configuration}",
                f"--storage.path={configuration.parent / str(own)}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--cluster.listen-address=127.0.0.1:{gossip[own]}",
                f"--cluster.peer=127.0.0.1:{gossip[1 - own]}",
                "--cluster.gossip-interval=50ms",
                "--cluster.peer-timeout=5s",
            )
            log = stack.enter_context((configuration.parent / f"log{own}").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, 15)
            stack.callback(process.terminate)
        one, other = (Alertmanager(port) for port in ports)
        assert wait_until(lambda: all(map(_settled, (one, other))))
        yield one, other


def _settled(peer: Alertmanager) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        cluster = httpx.get(f"{peer.url}/api/v2/status", timeout=1).json()["cluster"]
        return cluster["status"] == "ready" and len(cluster["peers"]) == 2
    return False


def silence(peers: tuple[Alertmanager, Alertmanager], **values: str) -> None:
    """Tell one peer of a silence, and wait until both know it."""
    now = datetime.datetime.now(datetime.UTC)
    body = {
        "matchers": [{"name": name, "value": value, "isRegex": False} for name, value in values.items()],
        "startsAt": now.isoformat(),
        "endsAt": (now + datetime.timedelta(minutes=10)).isoformat(),
        "createdBy": "ann",
        "comment": "deploy",
    }
    httpx.post(f"{peers[0].url}/api/v2/silences", json=body, timeout=5).raise_for_status()
    assert wait_until(lambda: all(httpx.get(f"{peer.url}/api/v2/silences").json() for peer in peers))


def test_a_pair_of_peers_tells_each_thing_once(tmp_path: pathlib.Path) -> None:
    """One notification for an incident and for a batch; none of what is inhibited, noisy or announced.

    Each peer is told of everything. In the end each alone is told of one thing more: when both have come,
    whatever a peer had to say of the things before has come too.
    """
    inbox = Inbox()
    try:
        configuration = generate(tmp_path, inbox.url, "--page-wait", "2s", "--ticket-wait", "2s")
        with pair(configuration) as peers:
            silence(peers, severity="ticket", node="announced")
            sent = [*told(), *unheard()]
            for peer in peers:
                peer.post(*({"labels": alert} for alert in sent))
            assert wait_until(lambda: len(inbox.told["pages"]) >= 3 and len(inbox.told["tickets"]) >= 5)
            for number, peer in enumerate(peers):
                peer.post({"labels": burn("page", f"last{number}")})
            assert wait_until(lambda: {("node-datapath/last0",), ("node-datapath/last1",)} <= _pages(inbox))
    finally:
        inbox.close()

    assert inbox.groups("pages") == [
        ["node-conntrack/a", "node-conntrack/a"],
        ["node-datapath/a"],
        ["node-datapath/announced"],
        ["node-datapath/last0"],
        ["node-datapath/last1"],
    ]
    assert inbox.groups("tickets") == [
        ["node-conntrack/a"],
        ["node-conntrack/n8"],
        ["node-datapath/b"],
        ["node-policy/n0"],
        sorted(f"node-policy/n{number}" for number in range(20)),
    ]
    heard = Counter(json.dumps(alert) for one in inbox.told["netsre"] for alert in one)
    assert set(heard.values()) == {1}
    assert heard.keys() >= {json.dumps(dict(sorted(alert.items()))) for alert in told()}


def _pages(inbox: Inbox) -> set[tuple[str, ...]]:
    return {tuple(group) for group in inbox.groups("pages")}


def told() -> list[dict[str, str]]:
    """Return what people hear of."""
    headroom: dict[str, Any] = {"slo": "conntrack-headroom"}
    room = ("node-conntrack", "a")
    return [
        burn("page", "a"),
        labels("ErrorBudgetBurn", "page", *room, **headroom, netns="host"),
        labels("ConntrackUtilization", "page", *room, netns="host"),
        # The page is about another namespace, and inhibits nothing here.
        labels("ErrorBudgetBurn", "ticket", *room, **headroom, netns="other"),
        burn("ticket", "b"),
        burn("page", "announced"),
        *(denied(f"n{number}", src="x", deploy="one") for number in range(20)),
        denied("n0", src="x", deploy="two"),
        labels("NoisyClient", "ticket", "node-conntrack", "n8", netns="host", source="10.0.0.8"),
    ]


def unheard() -> list[dict[str, str]]:
    """Return what nobody hears of; the first is a level without a namespace, which both alerts lack."""
    return [
        burn("ticket", "a"),
        labels("ErrorBudgetBurn", "ticket", "node-conntrack", "a", slo="conntrack-headroom", netns="host"),
        burn("ticket", "announced"),
        denied("n1", src=NOISE, deploy="one"),
        labels("NoisyClient", "ticket", "node-conntrack", "n9", netns="host", source="10.0.0.9"),
    ]


def test_alerts_of_netsre_are_grouped_by_the_deploy_before_them(tmp_path: pathlib.Path) -> None:
    """Two rollouts are two tickets, also when both fire at once; and each alert comes back as one of ours."""
    inbox, store = Inbox(), burning.store(tmp_path)
    try:
        configuration = generate(tmp_path, inbox.url, "--ticket-wait", "2s")
        with pair(configuration) as peers:
            _roll_out(store, "one", ("n0", "n1", "n2"))
            _roll_out(store, "two", ("n3", "n4"))
            # What was told before the second deploy is told again after it, in today's words.
            _tell(store, peers)
            _go_on(store)
            _tell(store, peers)
            assert wait_until(lambda: len(inbox.told["tickets"]) >= 2 and len(inbox.webhooks) >= 5)
    finally:
        inbox.close()

    assert inbox.groups("tickets") == [
        ["node-policy/n0", "node-policy/n1", "node-policy/n2"],
        ["node-policy/n3", "node-policy/n4"],
    ]
    with store.write() as transaction:
        for body in inbox.webhooks:
            found = transaction.received.keep(webhook.read(body).notices, clock.SystemClock().now())
            assert set(found) == {Disposition.OWN}
    store.close()


def _roll_out(store: Store, deploy: str, nodes: tuple[str, ...]) -> None:
    """Say that something is deployed; then a policy denies on some nodes what nobody expected."""
    with store.write() as transaction:
        now = clock.SystemClock().now()
        transaction.events.add(Event(deploy, "deploy", "", "rollout", now, now, "ann"))
        for node in nodes:
            identity = named(denied(node, src="x"))
            reason, source = Reason.CONDITION_STARTED, AlertSource.CONDITION
            tick.record(transaction, transitions.begin(identity, {"summary": "x"}, now, reason, source), now)


def _go_on(store: Store) -> None:
    with store.write() as transaction:
        now = clock.SystemClock().now()
        for alert in transaction.alerts.active().values():
            goes_on = transitions.go_on(alert, {"summary": "y"}, now, Reason.STILL_TRUE)
            tick.record(transaction, goes_on, now)


def _tell(store: Store, peers: tuple[Alertmanager, Alertmanager]) -> None:
    now, pace = clock.SystemClock().now(), Pace(15 * clock.SECOND)
    with store.read() as transaction:
        bodies = [
            dict(notify.body(alert, now, pace, "http://a")) for alert in transaction.alerts.active().values()
        ]
    for peer in peers:
        peer.post(*bodies)
