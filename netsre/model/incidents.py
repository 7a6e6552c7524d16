"""Incidents: the alerts of one node that belong together, and what was told and received about them."""

from dataclasses import dataclass
from enum import StrEnum

from netsre.clock import Timestamp
from netsre.model.samples import Labels


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened to one node from the first alert until all of them ended and no run was left."""

    id: str
    node: str
    opened_at: Timestamp
    closed_at: Timestamp | None


@dataclass(frozen=True, slots=True)
class Page:
    """One firing of an alert, as one Alertmanager took it."""

    peer: str
    fingerprint: str
    fired_at: Timestamp
    accepted_at: Timestamp
    resolved_at: Timestamp | None
    """When it took that the alert ended."""


class Disposition(StrEnum):
    """What became of an alert that Alertmanager sent us."""

    NEW = "new"
    OWN = "own"
    """One that we sent there ourselves: it proves the way round, and starts nothing a second time."""
    DUPLICATE = "duplicate"
    LATE = "late"
    """A firing that is known to have ended: delivered late or out of order, and no news."""


@dataclass(frozen=True, slots=True)
class Received:
    """One state of an alert as Alertmanager sent it; the same one again only raises `times`."""

    fingerprint: str
    starts_at: Timestamp
    status: str
    """`firing` or `resolved`."""
    ends_at: Timestamp | None
    labels: Labels
    disposition: Disposition
    """Of the first time."""
    received_at: Timestamp
    times: int
