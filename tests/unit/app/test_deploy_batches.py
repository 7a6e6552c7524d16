"""The deployment batch of an alert: found when it begins, kept while it fires, and no identity here."""

import json
import pathlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from netsre import clock
from netsre.alerting import deploys, notify, webhook
from netsre.alerting.notify import Pace
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.model.events import Event
from netsre.model.incidents import Disposition
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.fakes import Machine
from tests.unit.app.test_condition_turns import FULL, RULE

PACE = Pace(15 * clock.SECOND)


@pytest.fixture(name="machine")
def _machine(tmp_path: pathlib.Path) -> Iterator[Machine]:
    """Return a controller with one condition, which is beyond its value, and no runbook."""
    store = burning.store(tmp_path)
    made = Machine(store, tmp_path, runbooks=(), rules=(RULE,))
    made.source.gauges[FULL] = Decimal("0.93")
    yield made
    store.close()


def say(machine: Machine, name: str, *, ago: int = 0, node: str = "", kind: str = "deploy") -> None:
    """Have somebody say that something was deployed so many milliseconds ago."""
    now = machine.clock.at
    with machine.store.write() as transaction:
        transaction.events.add(Event(name, kind, node, "rollout", Timestamp(now - ago), now, "ann"))


def alerts(store: Store) -> list[Alert]:
    """Return every firing, newest first."""
    with store.read() as transaction:
        return sorted(transaction.alerts.newest(100), key=lambda alert: -alert.fired_at)


def told(machine: Machine, alert: Alert) -> dict[str, str]:
    """Return the labels that Alertmanager gets."""
    body: Any = notify.body(alert, machine.clock.at, PACE, "http://a")
    return dict(body["labels"])


def batch(machine: Machine) -> str | None:
    """Return the batch of the alert that begins with the next turn."""
    machine.turn()
    return told(machine, alerts(machine.store)[0]).get(deploys.LABEL)


def test_an_alert_is_of_the_deploy_that_was_said_last_before_it_began(machine: Machine) -> None:
    """To Alertmanager; what the alert is here, and for runbooks, does not depend on it."""
    say(machine, "one", ago=clock.HOUR)
    say(machine, "two", ago=clock.MINUTE, node="a")
    assert batch(machine) == "two"
    [alert] = alerts(machine.store)
    assert deploys.LABEL not in dict(alert.labels)


@pytest.mark.parametrize(
    ("ago", "node", "kind"),
    [
        (deploys.OPEN + clock.MINUTE, "", "deploy"),
        (-clock.MINUTE, "", "deploy"),
        (0, "another", "deploy"),
        (0, "", "config"),
    ],
    ids=["long ago", "to come", "another node", "no deploy"],
)
def test_what_is_no_deploy_before_it_makes_no_batch(machine: Machine, ago: int, node: str, kind: str) -> None:
    """The alert has no label then, not an empty one."""
    say(machine, "other", ago=ago, node=node, kind=kind)
    assert batch(machine) is None


def test_the_batch_stays_while_the_alert_fires_and_goes_with_its_end(
    machine: Machine, tmp_path: pathlib.Path
) -> None:
    """Through further deploys, also one said late, through a restart, and to the word that it is over."""
    assert batch(machine) is None
    say(machine, "late", ago=clock.HOUR)
    assert batch(machine) is None
    machine.source.gauges[FULL] = Decimal(0)
    for _ in range(3):
        machine.turn()
    machine.source.gauges[FULL] = Decimal("0.93")
    assert batch(machine) == "late"
    say(machine, "next")
    again = Machine(machine.store, tmp_path, machine.clock, machine.source, runbooks=(), rules=(RULE,))
    assert batch(again) == "late"
    machine.source.gauges[FULL] = Decimal(0)
    for _ in range(3):
        again.turn()
    assert alerts(machine.store)[0].state is AlertState.RESOLVED
    assert told(machine, alerts(machine.store)[0])[deploys.LABEL] == "late"


def test_what_fires_again_in_another_batch_ends_in_the_former_one(machine: Machine) -> None:
    """It is another alert to Alertmanager, where the former one would go on for minutes."""
    say(machine, "one")
    machine.turn()
    machine.source.gauges[FULL] = Decimal(0)
    for _ in range(3):
        machine.turn()
    say(machine, "two")
    machine.source.gauges[FULL] = Decimal("0.93")
    machine.turn()
    due = notify.plan(alerts(machine.store), {}, machine.clock.at, PACE).due
    states = [(alert.annotations[deploys.LABEL], alert.state) for alert in due]
    assert states == [("one", AlertState.RESOLVED), ("two", AlertState.FIRING)]


def test_a_series_that_names_its_deploy_has_the_last_word() -> None:
    """Whoever groups an alert by it knows better."""
    alert = burning.fired().alert
    named = Alert(
        **{field: getattr(alert, field) for field in alert.__slots__}
        | {"labels": (*alert.labels, ("deploy", "x"))}
    )
    event = Event("one", "deploy", "", "rollout", burning.T0, burning.T0, "ann")
    assert deploys.labels(deploys.join(named, event))["deploy"] == "x"
    assert deploys.LABEL not in deploys.join(named, event).annotations


def back(machine: Machine, **annotations: str) -> Disposition:
    """Return what the newest alert is to us when Alertmanager sends it back, with these annotations more."""
    alert = alerts(machine.store)[0]
    sent = notify.body(alert, machine.clock.at, PACE, "http://a")
    changed = {**dict(alert.annotations), **annotations}
    body = {"version": "4", "alerts": [{**sent, "annotations": changed, "status": "firing"}]}
    notices = webhook.read(json.dumps(body).encode()).notices
    with machine.store.write() as transaction:
        return transaction.received.keep(notices, machine.clock.at)[0]


def test_our_own_alert_comes_back_as_our_own(machine: Machine) -> None:
    """It starts nothing, is a duplicate the second time, and stands in its incident as received."""
    say(machine, "one")
    machine.turn()
    assert back(machine) is Disposition.OWN
    assert back(machine) is Disposition.DUPLICATE
    with machine.store.read() as transaction:
        [received] = transaction.received.of(alerts(machine.store))
    assert received.disposition is Disposition.OWN


def test_somebody_elses_alert_with_a_deploy_is_theirs(machine: Machine) -> None:
    """The label alone makes it none of ours: what we tell has its batch twice."""
    say(machine, "one")
    machine.turn()
    assert back(machine, deploy="two") is Disposition.NEW
