"""Budgets by slices of time: a slice is one event, however many events it had.

By `timeslices` a slice is bad when fewer than a share of its events were good. By `ratio-timeslices` the
share of its events that were bad is that part of one bad event. Both are as in OpenSLO. A slice without
events has no opinion, and one in which nobody looked is not measured.
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.model import values
from netsre.model.levels import Slices
from netsre.slo import codes, exact
from netsre.slo.indicators import Measure
from netsre.slo.track import Sums

METHODS: Final = ("occurrences", "timeslices", "ratio-timeslices")
LONGEST: Final = 30 * clock.MINUTE
"""A slice has its say when it is over: with a longer one an outage would burn unseen."""
_ONE: Final = Decimal(1)


def events_of(name: str) -> str:
    """Return under which name the events of a sliced SLO are kept; no SLO can have it."""
    return f"{name}#events"


def judge(slices: Slices, sums: Sums) -> Measure:
    """Return what a slice with these events is: one event, or none where nothing happened.

    The share of a ratio slice is kept to twelve digits: half of the last is the most that it may err.
    """
    if not sums.total:
        return Measure(exact.ZERO, exact.ZERO)
    errors = Fraction(sums.bad) / Fraction(sums.total)
    if slices.target is not None:
        return Measure(_ONE if 1 - errors < slices.target else exact.ZERO, _ONE)
    return Measure(exact.twelve_digits(errors), _ONE)


def read(spec: values.Mapping, shortest: Iterable[int]) -> Slices | None:
    """Read `budgeting`, which may be left out; `shortest` are the short windows of the policy's rules."""
    written = spec.mapping("budgeting", required=False)
    if written is None:
        return None
    method = written.choice("method", *METHODS)
    if method is None:
        return None  # whatever else it says belongs to a method that nobody knows
    sliced = method != METHODS[0]
    length = written.duration("slice") if sliced else None
    target = written.percent("target") if method == "timeslices" else None
    written.end()
    if target is not None and not 0 < target < 1:
        written.wrong("target", codes.BUDGETING, "is not above 0% and below 100%; write one such as 95%")
    most = min([LONGEST, *shortest])
    if length is not None and (length % clock.MINUTE or clock.HOUR % length or length > most):
        message = f"is no part of an hour in whole minutes up to {clock.duration_text(most)}; write 1m or 5m"
        written.wrong("slice", codes.BUDGETING, message)
    return None if length is None else Slices(length, target)
