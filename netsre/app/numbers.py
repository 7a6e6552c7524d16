"""Numbers on their way out, to a program that reads JSON: here, and not before, they are rounded."""

from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Any, Final

from netsre.model.levels import Evaluation, Measured, Ratio

Number = int | float

_TWELVE_DIGITS: Final = Context(prec=12, rounding=ROUND_FLOOR)


def number(value: Fraction | Decimal) -> Number:
    """Return a number for JSON: a whole one as an integer, any other with twelve significant digits.

    Doubles keep fifteen digits, so that what is written is the decimal itself. Digits are cut, because a
    share of 0.9999999999999 must not read as 1.
    """
    numerator, denominator = value.as_integer_ratio()
    if denominator == 1:
        return numerator
    return float(_TWELVE_DIGITS.divide(Decimal(numerator), Decimal(denominator)))


def ratio(found: Ratio | None) -> Number | None:
    """Return a ratio for JSON; null where there is none."""
    return number(found.value) if isinstance(found, Measured) else None


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return every number of an evaluation for JSON, what fires, and under `reasons` why a null is one."""
    ratios = {"sli": evaluation.sli, "budget_remaining": evaluation.budget_remaining}
    ratios |= {f"burn.{window}": burn for window, burn in evaluation.burn.items()}
    return {
        "good": number(evaluation.total - evaluation.bad),
        "bad": number(evaluation.bad),
        "total": number(evaluation.total),
        "sli": ratio(evaluation.sli),
        "budget_remaining": ratio(evaluation.budget_remaining),
        "coverage": number(evaluation.coverage),
        "burn": {window: ratio(burn) for window, burn in evaluation.burn.items()},
        "firing": list(dict.fromkeys(burning.rule.severity for burning in evaluation.firing)),
        "reasons": {name: found.reason for name, found in ratios.items() if not isinstance(found, Measured)},
    }
