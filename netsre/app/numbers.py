"""Numbers on their way out, to a program that reads JSON: here, and not before, they are rounded."""

from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Final

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
