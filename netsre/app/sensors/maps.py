"""Every BPF map of the node: how full, how large, and whose.

Nothing of it is asked of the kernel during a scrape. A little is looked at in each scan, for a fixed share of
a core, so that thousands of maps or processes make the readings older, and never the agent dearer.
"""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Final

from netsre import conventions as c
from netsre.adapters.part.client import PartAway
from netsre.app.inventory.client import Inventory
from netsre.app.inventory.wire import MOST_FACTS
from netsre.app.sensors.map_counts import MapCounts
from netsre.app.sensors.map_owners import MapOwners
from netsre.datapath.maps import MapFacts, MapSeries, MapState, series
from netsre.metrics.readings import Readings

PROBE: Final = "maps"
NOT_PERMITTED: Final = "not_permitted"

_SLICE_SECONDS: Final = 0.001
"""Spent in one scan on looking and counting: with two scans a second 0.2 % of a core."""
_SEARCH: Final = 3
"""As many slices are spent on looking for owners, as long as there are maps without one."""
_LISTED_AT_ONCE: Final = 256
_AGAIN_SECONDS: Final = 5.0
"""From the end of one look at which maps there are to the next."""
_DESCRIBED_SECONDS: Final = 30.0
"""How long what is known of a map holds: of a few kinds the memory grows, all else is for ever."""


class MapSensor:
    """Reads the maps of everybody."""

    name = "maps"

    def __init__(self, inventory: Inventory, slice_seconds: float = _SLICE_SECONDS) -> None:
        """Begin without knowing any map."""
        self._inventory = inventory
        self._slice = slice_seconds
        self._now = 0.0
        self._known: dict[int, MapFacts] = {}
        self._counts = MapCounts(inventory.map)
        self._owners = MapOwners(os.getpid(), inventory)
        self._refused = False
        self._described_at = float("-inf")
        self._works = (self._looking(), self._searching())

    def scan(self, now: float) -> None:
        """Go on for a moment with what is to be looked at."""
        self._now = now
        for work, slices in zip(self._works, (1, _SEARCH), strict=True):
            end = time.perf_counter() + self._slice * slices
            try:
                while next(work) and time.perf_counter() < end:
                    pass
            except Exception as error:
                # What failed has ended; begin anew the next time.
                self._works = (self._looking(), self._searching())
                if not isinstance(error, PartAway):
                    raise
                # That is said already, by the part's own reading.
                self._refused = True
                self._known = {}

    @property
    def lacks(self) -> list[str]:
        """Say whether the maps of others may not be looked at."""
        loss = "the inventory, which may look at them, is not there; the maps of others are not shown"
        return [f"{PROBE}: {NOT_PERMITTED}: {loss}"] if self._refused and self._inventory.wanted else []

    def read(self, readings: Readings, now: float) -> None:
        """Add what is known of the maps, except what another sensor has said of ours already."""
        del now
        refusal = NOT_PERMITTED if self._refused else ""
        if self._inventory.wanted or not refusal:
            readings.put(c.AGENT_PROBE_UP, (PROBE, refusal), 0 if refusal else 1)
        said = {(labels["map"], labels["owner"]) for labels, _ in readings.numbers[c.BPF_MAP_CAPACITY]}
        found = [(facts, self._owners.of(facts.number)) for facts in self._known.values()]
        states = [
            MapState(facts, owner, self._counts.entries.get(facts.number))
            for facts, owner in found
            if owner is not None and (facts.name, owner) not in said
        ]
        for one in series(states):
            _put(readings, one)
        countable = [facts.number for facts in self._known.values() if facts.countable]
        counted = len(self._counts.entries.keys() & set(countable))
        readings.put(c.BPF_MAPS, ("counted",), counted)
        readings.put(c.BPF_MAPS, ("uncounted",), len(countable) - counted)
        readings.put(c.BPF_MAPS, ("fixed",), len(self._known) - len(countable))

    def _looking(self) -> Iterator[bool]:
        """Look at all maps again and again, and count meanwhile; yield whether there is more to do now."""
        while True:
            yield from self._look()
            self._refused = False
            self._counts.plan(self._known, self._now)
            self._owners.keep(self._known)
            ended = self._now
            while self._now - ended < _AGAIN_SECONDS:
                if self._counts.due(self._now):
                    self._counts.step(self._known, self._now)
                yield self._counts.due(self._now)

    def _look(self) -> Iterator[bool]:
        # Listed before they are looked at: new ones may come faster than we look.
        listed: list[int] = []
        for number in self._inventory.map_ids():
            listed.append(number)
            if not len(listed) % _LISTED_AT_ONCE:
                yield True
        there = set(listed)
        for numbers in self._undescribed(listed):
            found = {one.number: one for one in self._inventory.map_facts(numbers)}
            self._known |= found
            there -= set(numbers).difference(found)
            yield True
        self._known = {number: facts for number, facts in self._known.items() if number in there}

    def _undescribed(self, listed: Sequence[int]) -> Iterator[Sequence[int]]:
        """Yield the maps that are to be described, as many as are described together, with those between."""
        again = self._now - self._described_at >= _DESCRIBED_SECONDS
        if again:
            self._described_at = self._now
        for at in range(0, len(listed), MOST_FACTS):
            numbers = listed[at : at + MOST_FACTS]
            if again or not self._known.keys() >= set(numbers):
                yield numbers

    def _searching(self) -> Iterator[bool]:
        while True:
            if due := self._owners.due(self._known, self._now):
                for _ in self._owners.search(due, self._now):
                    yield True
            yield False


def _put(readings: Readings, one: MapSeries) -> None:
    labels = (one.name, one.owner)
    if one.entries is not None:
        readings.put(c.BPF_MAP_ENTRIES, labels, one.entries)
    if one.capacity is not None:
        readings.put(c.BPF_MAP_CAPACITY, labels, one.capacity)
    readings.put(c.BPF_MAP_MEMORY, labels, one.memory_bytes)
    if one.pressure is not None:
        readings.put(c.BPF_MAP_PRESSURE, labels, one.pressure)
    if one.exhaustion is not None:
        readings.put(c.BPF_MAP_EXHAUSTION, labels, one.exhaustion)
