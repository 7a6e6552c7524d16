"""When service levels speak against new policies on trial: a table of cases."""

from decimal import Decimal

import pytest

from netsre.datapath.policy.canary import Outcome, Reason
from netsre.slo import canary
from netsre.slo.canary import FAST, FEWEST, Key, Level, Levels, chosen

KEY = Key("policy-correctness", "node=a")
PASS, FAIL, UNKNOWN, WAITING = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.WAITING


def level(
    burn: str | None = "0", bad: int = 0, *firing: str, service: str = "node-policy", reason: str = ""
) -> Level:
    """Return where a level stands."""
    return Level(service, frozenset(firing), None if burn is None else Decimal(burn), Decimal(bad), reason)


WELL = level()
IDLE = level(None, reason="no_traffic")
BLIND = level(None, reason="source_down")


@pytest.mark.parametrize(
    ("before", "now", "over", "expected"),
    [
        (WELL, WELL, False, (WAITING, Reason.WATCHING)),
        (WELL, WELL, True, (PASS, Reason.HEALTHY)),
        (WELL, level("0", 0, "ticket"), False, (FAIL, Reason.ALERT)),
        (WELL, level("99", 99, "page"), True, (FAIL, Reason.ALERT)),
        # What fired before is nobody's fault but its own; another severity is.
        (level("2", 9, "ticket"), level("2", 12, "ticket"), True, (PASS, Reason.HEALTHY)),
        (level("2", 9, "ticket"), level("9", 99, "ticket", "page"), False, (FAIL, Reason.ALERT)),
        # Fast enough to page, and not by a handful of events.
        (WELL, level(str(FAST), FEWEST), False, (FAIL, Reason.BURN)),
        (WELL, level("14.3", 1000), True, (PASS, Reason.HEALTHY)),
        (WELL, level("1000", FEWEST - 1), True, (PASS, Reason.HEALTHY)),
        (level("0", 100), level("1000", 100 + FEWEST - 1), True, (PASS, Reason.HEALTHY)),
        (level(str(FAST), 9), level("1000", 999), True, (PASS, Reason.HEALTHY)),
        (IDLE, level("1000", 999), False, (FAIL, Reason.BURN)),
        # No data is never healthy.
        (WELL, BLIND, False, (WAITING, Reason.WATCHING)),
        (WELL, BLIND, True, (UNKNOWN, Reason.NO_LEVEL)),
        (WELL, None, False, (WAITING, Reason.WATCHING)),
        (WELL, None, True, (UNKNOWN, Reason.CONTROLLER_SILENT)),
    ],
)
def test_a_level_speaks_against_a_canary_where_it_became_worse(
    before: Level, now: Level | None, over: bool, expected: tuple[Outcome, Reason]
) -> None:
    """At once; and at the end where it cannot say that it did not."""
    levels = None if now is None else {KEY: now}
    found = canary.judged({KEY: before}, levels, over=over, named=False)

    assert (found.outcome, found.reason) == expected


@pytest.mark.parametrize(("named", "outcome"), [(False, PASS), (True, UNKNOWN)])
def test_a_level_without_traffic_is_no_answer_to_who_asked_for_it(named: bool, outcome: Outcome) -> None:
    """Nobody else is kept from promoting by a level that has nothing to count."""
    assert canary.judged({KEY: WELL}, {KEY: IDLE}, over=True, named=named).outcome is outcome


def test_a_level_that_is_gone_is_no_answer() -> None:
    """Somebody took it out of the files meanwhile."""
    found = canary.judged({KEY: WELL}, {}, over=True, named=False)

    assert (found.outcome, found.reason) == (UNKNOWN, Reason.NO_LEVEL)
    assert "policy-correctness (node=a)" in found.detail


def test_levels_about_policies_with_data_are_looked_at_unless_others_are_named() -> None:
    """By name all that there are, whatever they know."""
    flows, agent, correctness = (
        Key("flow-success", "node=a"),
        Key("agent-cpu", "node=a"),
        Key("policy-correctness", "node=b"),
    )
    levels: Levels = {
        KEY: WELL,
        correctness: BLIND,
        flows: level(service="node-datapath"),
        agent: level(service="agent"),
    }

    assert set(chosen(levels, ())) == {KEY, flows}
    assert set(chosen(levels, ["policy-correctness"])) == {KEY, correctness}
    assert set(chosen(levels, ["agent-cpu"])) == {agent}


def test_what_burns_already_is_known_to() -> None:
    """By a rule that fires, or by its rate."""
    assert level("0", 0, "ticket").burns
    assert level(str(FAST)).burns
    assert not level("14.3").burns
    assert not IDLE.burns
