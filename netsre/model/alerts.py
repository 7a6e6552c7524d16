"""Alerts: what the engine decided to tell people and automation."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from netsre.clock import Timestamp
from netsre.model.samples import Labels


class AlertSource(StrEnum):
    """Who decides whether an alert begins and ends."""

    SLO = "slo"
    CONDITION = "condition"
    AUTOMATION = "automation"
    """A run that people must look at."""
    WEBHOOK = "webhook"
    """Somebody else's alert that Alertmanager sent us."""


class AlertState(StrEnum):
    """Where an alert is in its life."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; its labels are its identity, as in Alertmanager."""

    fingerprint: str
    labels: Labels
    annotations: Mapping[str, str]
    state: AlertState
    fired_at: Timestamp
    resolved_at: Timestamp | None
    updated_at: Timestamp
    clearing_since: Timestamp | None = None
    """Since when the condition is measured false without a break; it resolves after a hold of that."""
    source: AlertSource = AlertSource.SLO


def fingerprint(labels: Labels) -> str:
    """Return the identity of a label set: FNV-1a 64 over sorted `name 0xFF value 0xFF`, 16 hex digits.

    The same sum as Alertmanager's, so that an alert has one name on both sides.
    """
    digest = 0xCBF29CE484222325
    for name, value in sorted(labels):
        for byte in b"\xff".join((name.encode(), value.encode(), b"")):
            digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"
