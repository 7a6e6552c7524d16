"""Where measurements come from: an agent, which is read at once, or a Prometheus, which recorded many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from netsre.model.samples import Scrape
from netsre.slo.targets import Doubt, Reading

AGENT: Final = "agent"
PROMETHEUS: Final = "prometheus"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a source brought."""

    readings: tuple[Reading, ...]
    """New ones, oldest first; those of one node in the order in which they were made."""
    latest: Mapping[str, Scrape]
    """By node, the last reading that can be taken for the present."""
    doubts: tuple[Doubt, ...] = ()
    """What of it cannot be trusted, and is not among the readings."""
    caught_up: bool = True
    """Whether it came to the present; else the next looks go on with the past."""


class Source(Protocol):
    """Something that can be looked at."""

    name: str

    def look(self) -> Look:
        """Return what is new, or raise `SourceUnreachable`; nothing is lost then, where it can be kept."""
        ...


class Client(Protocol):
    """Something that can be read."""

    def scrape(self) -> Scrape:
        """Return a complete reading, or raise `SourceUnreachable`."""
        ...


class AgentSource:
    """One agent, whose every reading is the present."""

    name: str = AGENT

    def __init__(self, client: Client) -> None:
        """Read through a client."""
        self._client = client

    def look(self) -> Look:
        """Return one reading."""
        scrape = self._client.scrape()
        return Look((Reading(scrape, first=False),), {scrape.node: scrape})
