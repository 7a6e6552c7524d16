"""Whatever happens, in whatever order: what the gates admit breaks none of the rules of automation."""

from collections.abc import Iterable
from typing import Final

import pytest

from netsre.runbook import decide
from netsre.runbook.decide import Answer, Gate
from netsre.runbook.gates.answers import first_no
from tests.unit.runbook import hostile

SEEDS = range(100)


def test_no_history_leads_past_a_limit() -> None:
    """Of 100 histories with these seeds; a judge counts by himself what was admitted."""
    seen, changes = set[Gate](), 0
    for seed in SEEDS:
        world = hostile.played(seed)
        assert world.broken == [], f"seed {seed}"
        seen |= world.refused
        changes += len(world.done)

    # The histories ask all that is asked here, and much is admitted: otherwise they would prove nothing.
    assert changes > len(SEEDS)
    assert seen >= {
        Gate.NO_TARGET,
        Gate.KILL_SWITCH_ON,
        Gate.KILL_SWITCH_UNREADABLE,
        Gate.PAUSED,
        Gate.STORM,
        Gate.ALREADY_RUNNING,
        Gate.NEEDS_HUMAN,
        Gate.CIRCUIT_OPEN,
        Gate.COOLDOWN,
        Gate.RATE_LIMITED,
        Gate.TARGET_LIMITED,
        Gate.TOO_MANY_TARGETS,
        Gate.GLOBAL_LIMITED,
        Gate.OSCILLATION,
        Gate.QUARANTINED,
    }


RULES: Final = {
    "acted without a target": {Gate.NO_TARGET},
    "acted under the kill switch": {Gate.KILL_SWITCH_ON, Gate.KILL_SWITCH_UNREADABLE},
    "acted under a pause": {Gate.PAUSED},
    "acted in a storm": {Gate.STORM},
    "acted with an open circuit": {Gate.CIRCUIT_OPEN},
    "two runs on one target": {Gate.ALREADY_RUNNING},
    "too wide": {Gate.TOO_MANY_TARGETS},
    "too many of one runbook in a day": {Gate.RATE_LIMITED},
    "too many on one target in an hour": {Gate.TARGET_LIMITED, Gate.RATE_LIMITED, Gate.NEEDS_HUMAN},
    "changes of all in": {Gate.GLOBAL_LIMITED},
    "went to and fro": {Gate.OSCILLATION},
    "chose what had failed": {Gate.QUARANTINED, Gate.OSCILLATION},
}
"""What the judge says when these gates say nothing."""


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_is_broken_is_found(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge is judged: without its gate each rule is broken, and the judge says which."""

    def deaf(answers: Iterable[Answer]) -> Gate:
        return first_no(answer for answer in answers if answer.gate not in RULES[rule])

    monkeypatch.setattr(decide, "first_no", deaf)

    assert any(rule in found for seed in SEEDS for found in hostile.played(seed).broken)
