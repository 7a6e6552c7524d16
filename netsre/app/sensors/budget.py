"""The agent's own cost against its budget; probes that are given up to keep it."""

import os
from collections.abc import Callable
from typing import Final

from netsre import conventions as c
from netsre.app.inventory.client import Inventory
from netsre.app.sensors.probes import ProbeSensor
from netsre.datapath.probes import FLOWS, PROBES
from netsre.metrics.budget import Budget, Reason
from netsre.metrics.readings import Readings

ORDER: Final = tuple(probe.name for probe in reversed(PROBES) if probe is not FLOWS)
"""What goes first stands first. Outcomes of connections never go: without them there is no alert."""


class BudgetSensor:
    """Reads what the agent costs, the kernel's part included."""

    name = "budget"

    def __init__(
        self, share: float, probes: ProbeSensor, inventory: Inventory, say: Callable[[str], None]
    ) -> None:
        """Keep to a share of one core; what is given up, or taken back, is said in one line."""
        self._inventory = inventory
        self._probes = probes
        self._say = say
        self._budget = Budget(share, [name for name in ORDER if probes.is_attached(name)])

    def scan(self, now: float) -> None:
        """Give up a probe, or take one back, if it is time."""
        times = os.times()
        used = times.user + times.system + self._inventory.usage().cpu_seconds
        decision = self._budget.look(now, used + self._probes.kernel_seconds())
        if decision is None:
            return
        took = f"{decision.share:.2%} of a core of {self._budget.limit:.2%} allowed"
        if decision.reason is Reason.OVER_BUDGET:
            self._probes.shed(decision.probe, took)
            self._say(f"probe {decision.probe} is given up: the agent took {took}")
        else:
            self._probes.resume(decision.probe)
            self._say(f"probe {decision.probe} measures again: the agent took {took}")

    def read(self, readings: Readings, now: float) -> None:
        """Add budget and cost, and how often each probe was given up."""
        del now
        readings.put(c.AGENT_BUDGET, (), self._budget.limit)
        if self._budget.share is not None:
            readings.put(c.AGENT_COST, (), self._budget.share)
        for probe in ORDER:
            readings.put(c.AGENT_SHEDS, (probe,), self._budget.sheds[probe])
