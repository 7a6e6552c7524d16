"""Several controllers on one PostgreSQL: one leads, another takes over, and no effect is made twice."""

import collections
import contextlib
import pathlib
import re
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from netsre.app import database, privileges, resources
from netsre.model.effects import Block, Flush
from netsre.store.database import Store
from netsre.store.migrations import Migrations
from tests import postgresql, slack_server
from tests.machine import open_directory
from tests.postgresql import Server
from tests.system.commanded_node import CommandedNode, node
from tests.system.test_controller import BLIND, Controller

pytestmark = [pytest.mark.requires("postgresql", "root"), pytest.mark.timeout(240)]
TAKEOVER = 90
"""Seconds; a lease lasts 15."""


class Site:
    """A node, a server, and controllers of both."""

    def __init__(self, home: pathlib.Path, server: Server, one: CommandedNode) -> None:
        """Begin with an empty database and without a controller."""
        self.home, self.server, self.node = home, server, one
        name = f"several_{secrets.token_hex(4)}"
        server.run(f"CREATE DATABASE {name}")
        self.address = server.address(name)
        self.controllers: list[Controller] = []
        self.options: tuple[str, ...] = ()

    def start(self, name: str) -> Controller:
        """Start a controller with a data directory of this name."""
        options = ("--database", self.address, "--control", str(self.node.control))
        books = ("--runbooks", str(self.home / "runbooks"))
        program = (sys.executable, "-P", "-c", BLIND)
        data = self.home / name / "data"
        made = Controller(data, self.node.url, *options, *books, *self.options, program=program)
        self.controllers.append(made)
        return made

    def two(self) -> tuple[Controller, Controller]:
        """Start one that leads, and one that stands by."""
        first = self.start("a")
        first.until(leads, TAKEOVER)
        second = self.start("b")
        second.until(stands_by, TAKEOVER)
        return first, second

    def lease_ends_at(self) -> int:
        """Return what the database says of the lease."""
        migrations = Migrations.load(str(resources.directory("migrations")))
        with contextlib.closing(Store.served(self.address, migrations)) as store, store.read() as read:
            found = read.leases.find()
        assert found is not None
        return found.expires_at

    def run(self, controller: Controller) -> Any:  # noqa: ANN401 - JSON
        """Return the one run of the runbook."""
        found = controller.get("/api/v1/runs?runbook=conntrack-exhaustion")["runs"]
        return found[0] if len(found) == 1 else None


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start a server for these tests, one of which has it go away."""
    with postgresql.running() as one:
        yield one


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    """Have everything but controllers, and leave none behind."""
    with open_directory() as home, contextlib.ExitStack() as stack:
        books = home / "runbooks"
        shutil.copytree(resources.directory("runbooks"), books)
        book = books / "conntrack-exhaustion.yaml"
        book.write_text(book.read_text().replace("window: 15s, samples: 3", "window: 3s, samples: 1"))
        one = stack.enter_context(node(home, privileges.service_user(None)))
        for name in "ab":
            (home / name).mkdir()
        made = Site(home, server, one)
        try:
            yield made
        finally:
            for controller in made.controllers:
                controller.stop(signal.SIGKILL)


def leads(controller: Controller) -> bool:
    """Tell whether it does the work, and says so everywhere."""
    answered = controller.get("/readyz")
    return bool(answered["ready"] and answered["role"] == "leader")


def stands_by(controller: Controller) -> bool:
    """Tell whether it is ready to take over."""
    answered = controller.get("/readyz")
    return bool(answered["ready"] and answered["role"] == "standby")


def metric(controller: Controller, name: str) -> float:
    """Return one of its metrics."""
    text = httpx.get(f"http://127.0.0.1:{controller.port}/metrics", timeout=5).text
    [value] = [line.split()[1] for line in text.splitlines() if line.split()[0] == name]
    return float(value)


def ended(site: Site, controller: Controller) -> bool:
    """Tell whether the run is over, as a success."""
    run = site.run(controller)
    return bool(run and run["result"] == "succeeded")


def verify(site: Site, controller: Controller) -> None:
    """Each effect was made once, each intent has one outcome, and the audit is whole."""
    assert [type(effect) for effect in site.node.host.begun] == [Block, Flush]
    assert len(site.node.ledger.entries()) == 2
    journal = site.run(controller)["journal"]
    for step in (0, 1, 2):
        kinds = collections.Counter(entry["kind"] for entry in journal if entry["step"] == step)
        assert kinds["intent"] == kinds["outcome"] > 0
    checked = database.check(site.home, site.address)
    assert (checked.broken_seq, checked.why) == (None, None)
    assert not [one for one in site.controllers if "IMPORTED LATE" in one.log.read_text()]


def test_another_one_goes_on_where_the_leader_was_killed(site: Site) -> None:
    """With its run; a server that is away stops both, and ends no term; who ends gives the lease back."""
    first, second = site.two()
    assert (metric(first, "netsre_controller_leader"), metric(second, "netsre_controller_leader")) == (1, 0)
    refused = httpx.post(f"http://127.0.0.1:{second.port}/api/v1/gamedays", json={}, timeout=5)
    assert (refused.status_code, "stands by; ask the one that leads" in refused.text) == (503, True)
    alert = {"status": "firing", "labels": {"alertname": "Elsewhere"}, "startsAt": "2026-01-02T03:04:05Z"}
    token = (site.home / "b" / "data" / "webhook.token").read_text().strip()
    taken = httpx.post(
        f"http://127.0.0.1:{second.port}/api/v1/alerts",
        json={"version": "4", "alerts": [alert]},
        headers={"Authorization": f"Bearer {token}"},
        timeout=5,
    )
    assert taken.status_code == 200, taken.text
    fire = [one["labels"].get("alertname") for one in first.get("/api/v1/alerts")["alerts"]]
    assert "Elsewhere" in fire
    epoch = metric(first, "netsre_controller_lease_epoch")

    held = site.node.hold("apply", Block, after=True)
    site.node.host.flood()
    assert held.arrived.wait(60), first.log.read_text()
    first.stop(signal.SIGKILL)
    held.released.set()
    second.until(lambda controller: ended(site, controller), TAKEOVER)

    verify(site, second)
    assert metric(second, "netsre_controller_lease_epoch") > epoch
    again = metric(second, "netsre_controller_lease_epoch")
    with site.server.away():
        second.until(lambda controller: not controller.get("/readyz")["ready"], TAKEOVER)
    second.until(leads, TAKEOVER)
    assert metric(second, "netsre_controller_lease_epoch") == again
    assert second.stop() == 0
    assert site.lease_ends_at() == 0


def test_a_leader_that_was_frozen_does_nothing_twice(site: Site) -> None:
    """Its command arrives after another one leads and is refused; what it writes is not; it stands by."""
    first, second = site.two()
    held = site.node.hold("apply", Block)
    site.node.host.flood()
    assert held.arrived.wait(60), first.log.read_text()

    first.process.send_signal(signal.SIGSTOP)
    second.until(lambda controller: ended(site, controller), TAKEOVER)
    held.released.set()
    assert held.answered.wait(60)
    first.process.send_signal(signal.SIGCONT)
    first.until(stands_by, TAKEOVER)

    assert held.refused == "stale_epoch"
    assert "controller is fenced" in first.log.read_text()
    verify(site, second)
    assert leads(second)
    assert metric(first, "netsre_controller_leader") == 0


SLACK = """\
apiVersion: netsre.dev/v1
kind: Controller
metadata: {name: here}
spec:
  people: %s/people.yaml
  slack: {channel: C0NETSRE, apiUrl: '%s', tokenFile: %s/token, signingSecretFile: %s/secret}
"""
PEOPLE = """\
apiVersion: netsre.dev/v1
kind: People
metadata: {name: on-call}
spec: {people: [{name: ann, slack: U0ANN00}]}
"""


def test_one_of_them_speaks_in_slack_and_each_hears_a_click(site: Site) -> None:
    """Who stands by takes a word for the leader; who takes over says nothing a second time."""
    with slack_server.slack() as slack:
        for name, text in (
            ("people.yaml", PEOPLE),
            ("token", slack_server.TOKEN),
            ("secret", slack_server.SECRET),
        ):
            (site.home / name).write_text(text)
        (site.home / "slack.yaml").write_text(SLACK % (site.home, slack.url, site.home, site.home))
        book = site.home / "runbooks" / "conntrack-exhaustion.yaml"
        book.write_text(re.sub(r"approval: .*", "approval: {mode: propose, timeout: 30m}", book.read_text()))
        site.options = ("--config", str(site.home / "slack.yaml"))
        first, second = site.two()
        site.node.host.flood()
        first.until(lambda _: slack.question() is not None, TAKEOVER)
        first.stop(signal.SIGKILL)
        second.until(leads, TAKEOVER)
        third = site.start("a")
        third.until(stands_by, TAKEOVER)

        asked = slack.question()
        assert asked is not None
        payload = slack.payload(asked, "netsre.approve", "U0ANN00")
        assert slack_server.press(f"http://127.0.0.1:{third.port}", payload).status_code == 200
        assert slack_server.press(f"http://127.0.0.1:{second.port}", payload).status_code == 200
        second.until(lambda controller: ended(site, controller), TAKEOVER)

        verify(site, second)
        second.until(lambda _: "*succeeded*" in slack.parents()[0].shown, TAKEOVER)
        assert len(slack.parents()) == 1
        words = [entry for entry in site.run(second)["journal"] if entry["kind"] == "approval"]
        assert [(one["data"]["person"], one["data"]["via"]) for one in words] == [("ann", "slack")]
