"""The part of the agent that has the privileges which the serving process gave away: whether it is there."""

from netsre import conventions as c
from netsre.app.inventory.client import Inventory
from netsre.datapath.requirements import INVENTORY, INVENTORY_LOSS
from netsre.metrics.readings import Readings


class InventorySensor:
    """Reads whether the inventory answers, and what its process takes."""

    name = "inventory"

    def __init__(self, inventory: Inventory) -> None:
        """Speak of this one, and end it with the agent."""
        self._inventory = inventory

    def scan(self, now: float) -> None:
        """Do nothing."""

    def read(self, readings: Readings, now: float) -> None:
        """Add its state; one that was left out on purpose has none."""
        del now
        if not self._inventory.wanted:
            return
        away = self._inventory.absence
        readings.put(c.AGENT_PROBE_UP, (INVENTORY, away.reason if away else ""), 0 if away else 1)
        readings.put(c.AGENT_PART_RESTARTS, (INVENTORY,), self._inventory.restarts)
        usage = self._inventory.usage()
        readings.put(c.AGENT_PART_CPU, (INVENTORY,), usage.cpu_seconds)
        readings.put(c.AGENT_PART_RSS, (INVENTORY,), usage.resident_bytes)

    @property
    def lacks(self) -> list[str]:
        """Return a line about it if it is wanted, and not there."""
        away = self._inventory.absence
        return (
            [f"{INVENTORY}: {away.reason}: {away}; {INVENTORY_LOSS}"]
            if away and self._inventory.wanted
            else []
        )

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU time of its process so far."""
        return self._inventory.usage().cpu_seconds

    def close(self) -> None:
        """Have it end."""
        self._inventory.close()
