"""What to ask a store of samples about SLOs: one selector for each sample name, however many SLOs need it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.model.alert_rules import AlertRule
from netsre.model.levels import SLO, LatencyIndicator, Matcher, Selector
from netsre.slo import indicators

MOST_SAMPLES: Final = 200_000
"""Samples of one answer, reckoned with a scrape every 15 s: about 5 MB."""
BEFORE: Final = clock.HOUR
"""Milliseconds before the longest window in which the last scrape before it is looked for."""

USUAL_INTERVAL: Final = 15 * clock.SECOND
_SHORTEST_CHUNK: Final = 10 * clock.MINUTE
_LONGEST_CHUNK: Final = clock.DAY

Span = tuple[Timestamp, Timestamp]
"""After the first, up to and with the second."""


@dataclass(frozen=True, slots=True)
class NativeSelector(Selector):
    """A histogram that a store may keep as a native one: all its buckets in one sample of one series."""

    bounds: tuple[Decimal, ...] = ()
    """In seconds, ascending: wanted is how many events took no longer."""


def names(slo: SLO) -> frozenset[str]:
    """Return the names of the samples that an SLO is about, those of a native histogram with them."""
    return frozenset(name for name, _ in _named((slo,), ()))


def labels(slos: Iterable[SLO], rules: Iterable[AlertRule] = ()) -> frozenset[str]:
    """Return the labels that SLOs and alert rules select or group by."""
    asked = [(slo.group_by, part.selector) for slo in slos for part in indicators.parts(slo)]
    asked += [(rule.group_by, rule.selector) for rule in rules]
    return frozenset(
        label
        for group_by, selector in asked
        for label in (*group_by, *(matcher.label for matcher in selector.matchers))
    )


def selectors(slos: Iterable[SLO], node_label: str, rules: Iterable[AlertRule] = ()) -> tuple[Selector, ...]:
    """Return one selector for each sample name, with the matchers that all who need it share.

    It may match more than was asked for, never less: what is counted is decided when it is measured.
    """
    wanted = tuple(slos)
    shared: dict[str, frozenset[Matcher]] = {}
    for name, selector in _named(wanted, rules):
        matchers = frozenset(_asked(selector, node_label))
        shared[name] = shared.get(name, matchers) & matchers
    bounds: dict[str, set[Decimal]] = defaultdict(set)
    for slo in wanted:
        if isinstance(slo.indicator, LatencyIndicator):
            bounds[slo.indicator.selector.metric].add(slo.indicator.below)
    return tuple(_selector(name, _in_order(matchers), bounds) for name, matchers in sorted(shared.items()))


def span(slos: Iterable[SLO], at: Timestamp) -> Span:
    """Return the time that has to be known to say where these SLOs stand."""
    longest = max((slo.reach for slo in slos), default=clock.DAY)
    return Timestamp(at - at % clock.MINUTE + clock.MINUTE - longest - BEFORE), at


def chunks(whole: Span, series: int, interval: int = USUAL_INTERVAL) -> tuple[Span, ...]:
    """Cut a span so that one answer about so many series of one name stays small; oldest first.

    `interval` is the time from one scrape to the next in ms.
    """
    length = MOST_SAMPLES // max(series, 1) * interval
    length = min(max(length - length % clock.MINUTE, _SHORTEST_CHUNK), _LONGEST_CHUNK)
    since, until = whole
    starts = range(since, until, length)
    return tuple((Timestamp(start), Timestamp(min(start + length, until))) for start in starts)


def any_of(label: str, values: Iterable[str]) -> Matcher:
    """Return the matcher that is true for these values of a label."""
    return Matcher(label, "=~", "|".join(_literal(value) for value in sorted(set(values))))


def _literal(value: str) -> str:
    """Return a regular expression for one text that RE2 and Python read alike."""
    return "".join(f"\\{char}" if char in r"\.+*?()|[]{}^$" else char for char in value)


def _named(slos: Iterable[SLO], rules: Iterable[AlertRule]) -> Iterator[tuple[str, Selector]]:
    """Yield every sample name that somebody needs, with what selects its series."""
    yield from ((rule.selector.metric, rule.selector) for rule in rules)
    for slo in slos:
        yield from ((part.name, part.selector) for part in indicators.parts(slo))
        if isinstance(slo.indicator, LatencyIndicator):
            # Where the store keeps the histogram as a native one.
            yield slo.indicator.selector.metric, slo.indicator.selector


def _selector(name: str, matchers: tuple[Matcher, ...], bounds: Mapping[str, set[Decimal]]) -> Selector:
    """Return what selects the samples of a name; of a histogram with bounds only what is about these."""
    if name in bounds:
        return NativeSelector(name, matchers, tuple(sorted(bounds[name])))
    return Selector(name, (*matchers, *_buckets(bounds.get(name.removesuffix("_bucket"), ()))))


def _asked(selector: Selector, node_label: str) -> Iterator[Matcher]:
    """Yield the matchers that the store may decide; expressions are ours, because engines of them differ."""
    for matcher in selector.matchers:
        if matcher.op in ("=", "!="):
            label = node_label if matcher.label == conventions.NODE else matcher.label
            yield Matcher(label, matcher.op, matcher.value)


def _in_order(matchers: Iterable[Matcher]) -> tuple[Matcher, ...]:
    return tuple(sorted(matchers, key=lambda matcher: (matcher.label, matcher.op, matcher.value)))


def _buckets(bounds: Iterable[Decimal]) -> tuple[Matcher, ...]:
    """Return the matcher of some buckets, none for a name that has no buckets."""
    spellings = [spelling for bound in sorted(bounds) for spelling in _spellings(bound)]
    return (Matcher("le", "=~", "|".join(spellings)),) if spellings else ()


def _spellings(bound: Decimal) -> tuple[str, ...]:
    """Return expressions for the ways in which exporters write a bound: `1`, `1.0`, `1e+06`, `5e-05`."""
    whole, _, part = f"{bound.normalize():f}".partition(".")
    plain = f"{whole}[.]{part}0*" if part else f"{whole}([.]0*)?"
    _, digits, _ = bound.normalize().as_tuple()
    first, *rest = map(str, digits)
    mantissa = f"{first}[.]{''.join(rest)}" if rest else f"{first}([.]0)?"
    power = bound.adjusted()
    sign = "-" if power < 0 else "[+]?"
    return plain, f"{mantissa}[eE]{sign}0?{abs(power)}"
