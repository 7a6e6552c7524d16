"""Whether so many bad events can be chance: the one-sided binomial test, decided without rounding.

With `n` events of which each is bad with probability `p`, independently, `k` or more are bad with a chance of
`P(X >= k)`. They are unlikely where that is at most one minus the confidence.

The chance is summed in decimals that are rounded once all down and once all up; and should the limit be
between the two sums, in whole numbers. That has as many terms as there are bad events, so that bounds come
first where these are many. With `D(k) = k ln(k / np) + (n - k) ln((n - k) / n(1 - p))`, `Q` the upper tail of
the normal law and `k - 1 > np`, the universal inequalities for the binomial law (A. M. Zubkov, A. A. Serov,
Theory of Probability and its Applications 57 (2013), 539-544) say, for every `n` and `p`:

    Q(sqrt(2 D(k)))  <=  P(X >= k)  <=  Q(sqrt(2 D(k - 1)))

One event that is bad instead of good moves the left side to the right one, so that of all `k` there is one at
which this does not decide, or two where a bound meets the limit. No logarithm is needed far above the ratio,
where `2 D(k) >= (k - np)^2 / k`: the integral of `(k - x) / (x(n - x) / n)` from `np` to `k` is `D(k)`, and
`x(n - x) / n <= k`.
"""

import functools
import math
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from statistics import NormalDist
from typing import Final

MOST_SUMMED: Final = 1_000
"""Beyond so many bad events nothing is summed, and the left side decides: as the chance itself does, or as it
would with one event that is bad instead of good. Were it the right side, one bad event more could make likely
again what the last sum said was not."""

_FEW: Final = 50
"""So many are summed as fast as two logarithms are taken."""
_DIGITS: Final = 60
_NEAREST: Final = Context(_DIGITS, ROUND_HALF_EVEN, MIN_EMIN, MAX_EMAX)
_DOWN: Final = Context(_DIGITS, ROUND_FLOOR, MIN_EMIN, MAX_EMAX)
_UP: Final = Context(_DIGITS, ROUND_CEILING, MIN_EMIN, MAX_EMAX)
_SLACK: Final = Decimal("1e-9")
"""More than the squares of normal quantiles, below 150 as doubles, and `2 D` in sixty digits can be off."""


def is_unlikely(bad: Decimal, good: Decimal, ratio: Fraction, confidence: Fraction) -> bool:
    """Tell whether so many bad events beside so few good ones are no chance where `ratio` of all are bad.

    `confidence` is above a half and below 1, `ratio` above 0. What is no whole event counts in favour of
    chance: bad events are rounded down, good ones up.
    """
    failed = math.floor(bad)
    events = failed + max(0, math.ceil(good))
    # The median of the law is at least `np` rounded down (R. Kaas and J. M. Buhrman, Statistica Neerlandica
    # 34 (1980), 13-18): so many or more have a chance of a half. This is also every ratio of 1 and above.
    if failed <= events * ratio:
        return False
    limit = _square_of_quantile(confidence)
    if failed - 1 > events * ratio:
        if _is_far(failed - 1, events, ratio, limit):
            return True
        if failed > _FEW and _distance(failed - 1, events, ratio) > limit + _SLACK:
            return True
    if failed > MOST_SUMMED:
        return _distance(failed, events, ratio) >= limit
    if failed > _FEW and _distance(failed, events, ratio) < limit - _SLACK:
        return False
    return _is_summed_unlikely(failed, events, ratio, confidence)


def _is_far(bad: int, events: int, ratio: Fraction, limit: Decimal) -> bool:
    """Tell whether so many bad events, more than the ratio's, are beyond the limit without any logarithm."""
    likely, unit = ratio.as_integer_ratio()
    return (bad * unit - events * likely) ** 2 > math.ceil(limit + _SLACK) * bad * unit**2


@functools.lru_cache(maxsize=256)
def _square_of_quantile(confidence: Fraction) -> Decimal:
    # Of the small tail: the other is 1 to a double when that is below 1e-16.
    return Decimal(NormalDist().inv_cdf(float(1 - confidence)) ** 2)


def _distance(bad: int, events: int, ratio: Fraction) -> Decimal:
    """Return `2 D`: how far from the ratio so many bad events are."""
    likely, unit = ratio.as_integer_ratio()
    good = events - bad
    found = _times_log(bad, bad * unit, events * likely)
    if good:
        found = _NEAREST.add(found, _times_log(good, good * unit, events * (unit - likely)))
    return _NEAREST.multiply(found, 2)


def _times_log(times: int, number: int, unit: int) -> Decimal:
    return _NEAREST.multiply(times, _NEAREST.ln(_NEAREST.divide(number, unit)))


def _is_summed_unlikely(bad: int, events: int, ratio: Fraction, confidence: Fraction) -> bool:
    """Decide by the chance of fewer bad events, which has as few terms as there are bad events."""
    if Fraction(_fewer(bad, events, ratio, _DOWN)) >= confidence:
        return True
    if Fraction(_fewer(bad, events, ratio, _UP)) < confidence:
        return False
    likely, unit = ratio.as_integer_ratio()
    every: int = unit**events
    ways: int = (unit - likely) ** events
    found = ways
    for count in range(1, bad):
        ways = ways * (events - count + 1) * likely // (count * (unit - likely))
        found += ways
    return found * confidence.denominator >= confidence.numerator * every


def _fewer(bad: int, events: int, ratio: Fraction, context: Context) -> Decimal:
    """Return the chance of fewer bad events, below or above the true one as the context rounds.

    Nothing is ever subtracted, so that rounding all steps to one side rounds the sum to that side.
    """
    likely, unit = ratio.as_integer_ratio()
    term = found = _power(context.divide(unit - likely, unit), events, context)
    for count in range(1, bad):
        more = context.multiply(term, (events - count + 1) * likely)
        term = context.divide(more, count * (unit - likely))
        found = context.add(found, term)
    return found


def _power(base: Decimal, exponent: int, context: Context) -> Decimal:
    """Return a power, every step rounded as the context says; `Context.power` rounds to the nearest."""
    found = Decimal(1)
    while exponent:
        if exponent % 2:
            found = context.multiply(found, base)
        base = context.multiply(base, base)
        exponent //= 2
    return found
