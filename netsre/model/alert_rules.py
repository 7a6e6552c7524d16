"""Condition alerts as people write them (`kind: Alert`): for what is not a budget."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from netsre.model.levels import Origin, Selector, Severity
from netsre.model.samples import Labels

KIND: Final = "Alert"

Comparison = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alert that fires while a gauge is beyond a value."""

    name: str
    """The `alertname`."""
    service: str
    description: str
    labels: Labels
    selector: Selector
    group_by: tuple[str, ...]
    op: Comparison
    value: Decimal
    hold: int
    """`for`: milliseconds for which the condition must hold before it fires."""
    clear_value: Decimal
    """The condition is over once every value is on the good side of this; between the two nothing changes."""
    clear_hold: int
    """Milliseconds for which it must be over before the alert ends."""
    severity: Severity
    runbook: str | None
    origin: Origin
    summary: str = ""
    """What is wrong, in words for whoever is woken; empty: the meaning of the metric stands for it."""
