"""Service levels: what people ask for (`SLO`) and what was measured (`Evaluation`)."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final, Literal

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import Labels

Severity = Literal["page", "ticket"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in a file something was written."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label, with the meaning Prometheus gives it (regexes are anchored)."""

    label: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """The series of one metric that satisfy every matcher."""

    metric: str
    matchers: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        """Return the selector as PromQL writes it."""
        if not self.matchers:
            return self.metric
        conditions = ",".join(f"{m.label}{m.op}{quoted(m.value)}" for m in self.matchers)
        return f"{self.metric}{{{conditions}}}"


def quoted(text: str) -> str:
    """Return a text as PromQL writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@dataclass(frozen=True, slots=True)
class RatioIndicator:
    """Bad events over all events, both counters."""

    bad: Selector
    total: Selector


@dataclass(frozen=True, slots=True)
class LatencyIndicator:
    """Events of a histogram that took longer than `below` are bad.

    `below` in seconds must be a bucket bound of the histogram: the spec is refused otherwise.
    """

    selector: Selector
    below: Decimal


@dataclass(frozen=True, slots=True)
class ThresholdIndicator:
    """Each reading of a gauge is one event; it is good when `reading op value` holds."""

    selector: Selector
    op: Literal["<", "<=", ">", ">="]
    value: Decimal


@dataclass(frozen=True, slots=True)
class PromqlIndicator:
    """Bad events over all events, each as an expression that a Prometheus answers with events per second.

    Time is cut into pieces of `every`, at whole multiples of it since the epoch. At the end of each piece
    both are asked, with its length for `$window`: the events of the piece are the answer times its seconds.
    """

    bad: str
    total: str
    every: int
    """Milliseconds; whole minutes that divide an hour."""


Indicator = RatioIndicator | LatencyIndicator | ThresholdIndicator | PromqlIndicator


@dataclass(frozen=True, slots=True)
class BurnRule:
    """Alert when `budget_share` of the period's budget burns inside `long`, and still does in `short`."""

    severity: Severity
    short: int
    """Milliseconds."""
    long: int
    """Milliseconds."""
    budget_share: Fraction

    def factor(self, period: int) -> Fraction:
        """Return the burn rate that spends `budget_share` in `long`: share * period / long."""
        return self.budget_share * period / self.long


@dataclass(frozen=True, slots=True)
class BurnPolicy:
    """A named set of burn rules."""

    name: str
    rules: tuple[BurnRule, ...]
    minimum_bad_events: int
    """Fewer bad events than this in the long window never alert, whatever the ratio."""
    confidence: Fraction | None = None
    """How sure a rule must be that errors are above its factor, from a half to 1; None: a ratio is enough.

    It is that sure when so many bad events in its long window would have a chance of at most one minus this,
    were errors at exactly the factor.
    """

    @property
    def windows(self) -> tuple[int, ...]:
        """Return the windows of all rules in milliseconds, shortest first, each once."""
        return tuple(sorted({length for rule in self.rules for length in (rule.short, rule.long)}))


Unit = Literal["day", "week", "month", "quarter"]


@dataclass(frozen=True, slots=True)
class Calendar:
    """A period that begins at midnight on the first day of a unit, somewhere; weeks begin on Monday."""

    unit: Unit
    timezone: str
    """Its name, such as `Europe/Berlin`; always whole quarters of an hour from UTC."""
    zone: datetime.tzinfo = field(compare=False, repr=False)

    @property
    def nominal(self) -> int:
        """Milliseconds by which burn rates of the period are reckoned, whatever its month."""
        return _DAYS[self.unit][0] * clock.DAY

    @property
    def longest(self) -> int:
        """Milliseconds that it may last, the hour of a clock that goes back included."""
        return _DAYS[self.unit][1] * clock.DAY + clock.HOUR

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.unit} {self.timezone}"


_DAYS: Final[Mapping[Unit, tuple[int, int]]] = MappingProxyType(
    {"day": (1, 1), "week": (7, 7), "month": (30, 31), "quarter": (91, 92)}
)
"""Days of a unit: nominal, and at most."""


@dataclass(frozen=True, slots=True)
class Slices:
    """A budget of slices of time instead of events."""

    length: int
    """Milliseconds; whole minutes that divide an hour."""
    target: Fraction | None
    """The share of a slice's events that must be good; None: its error ratio counts as part of an event."""


@dataclass(frozen=True, slots=True)
class SLO:
    """A service level objective, as read from its file."""

    name: str
    service: str
    description: str
    labels: Labels
    objective: Fraction
    """The share of events that must be good, between 0 and 1, both excluded; exact."""
    window: int
    """Rolling period in milliseconds; of a calendar, its nominal length."""
    group_by: tuple[str, ...]
    indicator: Indicator
    policy: BurnPolicy | None
    runbook: str | None
    origin: Origin
    calendar: Calendar | None = None
    """The period, where it is one of the calendar."""
    slices: Slices | None = None
    """Where its budget is one of slices: these are then its events."""
    absent: int | None = None
    """Milliseconds without a reading, or without an event, after which people are told; None: never."""

    @property
    def reach(self) -> int:
        """Milliseconds of the past that its longest window needs."""
        return self.window if self.calendar is None else self.calendar.longest

    @property
    def window_text(self) -> str:
        """Return the period as people read it: `30d`, or `month Europe/Berlin`."""
        return clock.duration_text(self.window) if self.calendar is None else str(self.calendar)


@dataclass(frozen=True, slots=True)
class Measured:
    """A number that was measured, exactly."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class NoData:
    """Nothing was measured, and why.

    `no_traffic`: the source was read, and there were no events. `source_down`: it was read before, and not in
    this window. `no_history`: it was never read within the period. `needs_prometheus`: only a Prometheus can
    answer it, and none was named. `needs_datapath`: its metric is that of a policy datapath, a flow log or
    services, and no node that was read has it. `not_evaluated`: the policy has no such window any more.

    From a store of samples: `no_series`: it has none of what the SLO is about. `partial_answer`: it said that
    its answer is not whole. `native_histogram`: it holds one where an SLO needs a number.
    `contradictory_samples`: two samples of one time. `ambiguous_target`: several targets under one node.
    `no_node_label`: nothing says which node it was. `unanswered`: it does not answer an expression.
    """

    reason: str


Ratio = Measured | NoData


@dataclass(frozen=True, slots=True)
class Burning:
    """A burn rule whose condition holds."""

    rule: BurnRule
    short_burn: Fraction
    long_burn: Fraction
    factor: Fraction
    bad: Decimal
    total: Decimal
    """Sums over its long window; exact."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one SLO looks like for one group at one moment."""

    slo: SLO
    group: Labels
    at: Timestamp
    bad: Decimal
    total: Decimal
    """Sums over the SLO's whole window; exact."""
    sli: Ratio
    budget_remaining: Ratio
    """1 when untouched, 0 when spent, negative beyond."""
    coverage: Fraction
    """Minutes of the window with at least one successful reading over all minutes of the window."""
    burn: Mapping[str, Ratio]
    """Burn rate by window (`5m`, `1h`, …): error ratio over the error budget."""
    firing: tuple[Burning, ...]
    """The burn rules whose condition holds, worst first (page before ticket, then by factor)."""
    read_at: Timestamp | None = None
    """The minute in which its source was read last; None when it never was."""
    event_at: Timestamp | None = None
    """The minute of the last event that is known; None when there was none."""
