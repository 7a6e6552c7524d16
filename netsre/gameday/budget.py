"""What a drill costs: the error budget of the service level that it is about, exactly."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from netsre import conventions
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.levels import SLO, Evaluation, Measured, NoData, Ratio
from netsre.slo import exact

NOT_MEASURED: Final = "not_measured"
NO_READINGS: Final = "no_readings"


@dataclass(frozen=True, slots=True)
class Sums:
    """What one group of a service level had counted at one time."""

    at: Timestamp
    bad: Decimal
    total: Decimal

    def document(self) -> Document:
        """Return it for a journal."""
        return {"at": self.at, "bad": f"{self.bad:f}", "total": f"{self.total:f}"}


def read(document: object) -> Sums | None:
    """Return what `document` wrote; None for anything else."""
    match document:
        case {"at": int(at), "bad": str(bad), "total": str(total)}:
            return Sums(Timestamp(at), Decimal(bad), Decimal(total))
        case _:
            return None


def sums(evaluation: Evaluation) -> Sums:
    """Return what an evaluation had counted."""
    return Sums(evaluation.at, evaluation.bad, evaluation.total)


def of_target(evaluations: Iterable[Evaluation], slo: str, netns: str) -> Evaluation | None:
    """Return the evaluation of a service level for a namespace, or for all where it has no such groups."""
    for evaluation in evaluations:
        if evaluation.slo.name == slo and dict(evaluation.group).get(conventions.NETNS, netns) == netns:
            return evaluation
    return None


def left(evaluation: Evaluation | None) -> Ratio:
    """Return the share of the window's budget that is left, minutes that nobody measured counted as good.

    After a few minutes of history the share of bad events says little about thirty days: a drill of a minute
    would seem to spend the budget many times over.
    """
    if evaluation is None:
        return NoData(NOT_MEASURED)
    if evaluation.total == 0:
        return NoData(NO_READINGS)
    return Measured(1 - _burn(evaluation.slo, evaluation.bad, evaluation.total) * evaluation.coverage)


def burned(slo: SLO | None, before: Sums | None, after: Sums | None) -> Ratio:
    """Return the share of the window's budget burned between two moments: burn rate x time / window."""
    if slo is None or before is None or after is None:
        return NoData(NOT_MEASURED)
    total = after.total - before.total
    if total <= 0:
        return NoData(NO_READINGS)
    # A window that moved on may have let older bad events go; less than nothing was never burned.
    bad = max(Decimal(0), after.bad - before.bad)
    return Measured(_burn(slo, bad, total) * Fraction(after.at - before.at, slo.window))


def _burn(slo: SLO, bad: Decimal, total: Decimal) -> Fraction:
    return Fraction(bad) / Fraction(total) / (1 - slo.objective)


def text(value: Fraction) -> str:
    """Write a share as a decimal with twelve significant digits."""
    return f"{exact.twelve_digits(value):f}"
