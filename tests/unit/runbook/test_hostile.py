"""Whatever happens, in whatever order: what the gates admit breaks none of the rules of automation."""

from netsre.runbook.decide import Gate
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
