"""Sums of counters without any rounding.

Python's default decimal context rounds to 28 digits. Counters arrive as the text of 64-bit floats, whose sums
need up to about 1,400 digits at the very worst; this context has more, and raises instead of rounding.
"""

import decimal
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final

ZERO: Final = Decimal(0)
COMPARE: Final[Mapping[str, Callable[[Decimal, Decimal], bool]]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)
"""Comparisons by the signs that specs write."""

_CONTEXT: Final = decimal.Context(
    prec=2_000,
    Emin=decimal.MIN_EMIN,
    Emax=decimal.MAX_EMAX,
    traps=[decimal.InvalidOperation, decimal.Overflow, decimal.Inexact],
)
_TWELVE_DIGITS: Final = decimal.Context(prec=12, rounding=decimal.ROUND_HALF_EVEN)


def add(left: Decimal, right: Decimal) -> Decimal:
    """Return the exact sum of two usable values."""
    return _CONTEXT.add(left, right)


def subtract(left: Decimal, right: Decimal) -> Decimal:
    """Return the exact difference of two usable values."""
    return _CONTEXT.subtract(left, right)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """Return the exact product of two usable values."""
    return _CONTEXT.multiply(left, right)


def text(value: Decimal) -> str:
    """Return the one way to write a usable value: every digit, no exponent."""
    return f"{value.normalize(_CONTEXT):f}"


def twelve_digits(value: Fraction) -> Decimal:
    """Return a share as a decimal with twelve significant digits, rounded half to even."""
    return _TWELVE_DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))


def is_usable(value: Decimal) -> bool:
    """Return whether a value is a number that a 64-bit float can hold, so that sums of it stay exact."""
    if not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -1_100 and value.adjusted() <= 308
