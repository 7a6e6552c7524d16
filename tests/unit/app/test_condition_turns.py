"""Turns of the controller with conditions: told at the first reading that shows them, whatever else fails."""

import pathlib
from collections.abc import Iterator
from decimal import Decimal

import pytest

from netsre.app import service_levels
from netsre.clock import Timestamp
from netsre.model.alerts import AlertSource, AlertState
from netsre.model.samples import Series, labels
from netsre.slo.engine import Engine
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.fakes import Machine

RULES = {rule.name: rule for rule in service_levels.load().alerts}
RULE = RULES["ConntrackUtilization"]
FULL = Series(
    "netsre_conntrack_utilization_ratio", labels({"table": "kernel", "netns": "netsre-lab", "node": "a"})
)


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Iterator[Machine]:
    """Return a controller with the shipped alert and no runbook."""
    store = burning.store(tmp_path)
    yield Machine(store, tmp_path, runbooks=(), rules=(RULE,))
    store.close()


def of_table(table: str, netns: str) -> Series:
    """Return how full a table is."""
    return Series(FULL.name, labels({"table": table, "netns": netns, "node": "a"}))


def states(store: Store) -> list[tuple[str, AlertSource, AlertState]]:
    """Return name, source and state of every alert."""
    with store.read() as transaction:
        return [
            (dict(alert.labels)["alertname"], alert.source, alert.state)
            for alert in transaction.alerts.newest(100)
        ]


def test_a_condition_fires_with_the_first_reading_and_ends_after_its_hold(machine: Machine) -> None:
    """The first reading of all, even: nothing before it is needed. Its incident opens and closes with it."""
    machine.source.gauges[FULL] = Decimal("0.93")
    machine.turn()
    after_one = states(machine.store)
    with machine.store.read() as transaction:
        (opened,) = transaction.incidents.newest(10)
    machine.source.gauges[FULL] = Decimal("0.5")
    for _ in range(3):
        machine.turn()

    assert after_one == [("ConntrackUtilization", AlertSource.CONDITION, AlertState.FIRING)]
    assert (opened.node, opened.closed_at) == ("a", None)
    with machine.store.read() as transaction:
        (closed,) = transaction.incidents.newest(10)
    assert closed.closed_at == machine.clock.at
    assert ("ConntrackUtilization", AlertSource.CONDITION, AlertState.RESOLVED) in states(machine.store)


def test_conditions_and_burns_do_not_end_each_other(machine: Machine) -> None:
    """Each engine knows its own alerts only."""
    machine.source.gauges[FULL] = Decimal("0.93")
    machine.burn()
    machine.turn(failed=100)

    firing = [name for name, _, state in states(machine.store) if state is AlertState.FIRING]
    assert firing.count("ErrorBudgetBurn") == 2
    assert firing.count("ConntrackUtilization") == 1


def test_a_source_that_is_down_begins_and_ends_nothing(machine: Machine) -> None:
    """Whoever sees nothing says nothing."""
    machine.source.gauges[FULL] = Decimal("0.93")
    machine.turn()
    machine.source.down = "agent does not answer"
    for _ in range(40):
        machine.turn()

    assert ("ConntrackUtilization", AlertSource.CONDITION, AlertState.FIRING) in states(machine.store)


def test_a_condition_waits_for_no_service_level(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the evaluation of SLOs fails, the page about the table is out already."""

    def fail(_engine: Engine, _now: Timestamp) -> None:
        raise RuntimeError("evaluation is broken")

    monkeypatch.setattr(Engine, "evaluate", fail)
    machine.source.gauges[FULL] = Decimal("0.93")

    machine.turn()

    assert states(machine.store)[0] == ("ConntrackUtilization", AlertSource.CONDITION, AlertState.FIRING)


def test_an_alert_whose_rule_is_gone_ends_with_the_next_turn(
    machine: Machine, tmp_path: pathlib.Path
) -> None:
    """Its file was removed while the controller was away."""
    machine.source.gauges[FULL] = Decimal("0.93")
    machine.turn()

    Machine(machine.store, tmp_path, machine.clock, machine.source).turn()

    assert ("ConntrackUtilization", AlertSource.CONDITION, AlertState.RESOLVED) in states(machine.store)


def test_the_table_of_policies_fills_without_a_word_about_the_kernels(tmp_path: pathlib.Path) -> None:
    """Each has its alert, and starts its own runbook; that of policies acts, and nobody can say on what."""
    store = burning.store(tmp_path)
    machine = Machine(store, tmp_path, rules=(*RULES.values(),))
    machine.source.gauges = {of_table("datapath", "host"): Decimal("0.93")}
    for _ in range(4):
        machine.turn()
    with store.read() as transaction:
        runs = {run.runbook for run in transaction.runs.newest(10)}
    fired = [name for name, _, _ in states(store)]
    store.close()

    assert set(fired) == {"PolicyConnections", "RunbookNeedsHuman"}
    assert runs == {"policy-connections"}
