"""Asks a Prometheus for raw samples, and for what people's own expressions come to.

`rate()` and `increase()` extrapolate, and are never used where netsre asks by itself.
"""

import datetime
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from prometheus_api_client.prometheus_connect import PrometheusConnect
from requests.adapters import DEFAULT_RETRIES

from netsre import clock
from netsre.adapters.prometheus import answers, points
from netsre.adapters.prometheus.answers import Shortfall
from netsre.adapters.prometheus.native import Conversions, Remark
from netsre.adapters.prometheus.transport import Bounds, Session, TooMuch
from netsre.clock import Timestamp
from netsre.model.levels import Selector
from netsre.model.samples import Points, RecordedSeries, Series
from netsre.slo.questions import NativeSelector

BOUNDS: Final = Bounds()
_MOST_POINTS: Final = 11_000
"""Of one series in one answer: a Prometheus refuses more."""
_SHORTEST: Final = clock.MINUTE
"""Milliseconds; an answer about less than that is not asked for in parts."""
_NATIVE_PART: Final = 8
"""An answer with native histograms is to be no more than this part of the largest."""
_NATIVE_SAMPLE: Final = 8_000
"""Bytes of a sample with 160 buckets, as many as clients make by default; 15 s from one to the next."""
_NATIVE_INTERVAL: Final = 15 * clock.SECOND


@dataclass(frozen=True, slots=True)
class Answer:
    """Series with their samples, and why these may not be all."""

    recorded: tuple[RecordedSeries, ...]
    shortfalls: tuple[Shortfall, ...]


@dataclass(frozen=True, slots=True)
class Estimates:
    """What an expression came to, series by series, and why that may not be all.

    A series that was asked for in parts is there once for each part, in the order of time.
    """

    points: tuple[Points, ...]
    shortfalls: tuple[Shortfall, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """Series that have a sample in a span of time, and why these may not be all."""

    series: tuple[Series, ...]
    shortfalls: tuple[Shortfall, ...]


class PrometheusClient:
    """A client of one Prometheus; every method raises `SourceUnreachable` when there is no usable answer."""

    def __init__(self, url: str, token: str | None = None, bounds: Bounds = BOUNDS) -> None:
        """Prepare for requests to `url` (such as `http://127.0.0.1:9090`); nothing is sent yet."""
        self._bounds = bounds
        self._session = Session(url, token, bounds)
        self._native = Conversions()
        self._series: Counter[str] = Counter()
        self._pace: dict[str, int] = {}
        # Attempts are the session's, which counts them and bounds each.
        self._library = PrometheusConnect(url=url, headers={}, session=self._session, retry=DEFAULT_RETRIES)

    @property
    def queries(self) -> int:
        """Requests that were sent, each attempt counted."""
        return self._session.sent

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What people have to be told of numbers that they can trust nevertheless."""
        return self._native.remarks

    def close(self) -> None:
        """Close every connection."""
        self._library.close()

    def samples(self, selector: Selector, since: Timestamp, until: Timestamp) -> Answer:
        """Return the raw samples in `(since, until]`; a span that is too much is asked for in halves.

        A native histogram is asked for span by span, oldest first: its counters go on from one to the next,
        and so they do from call to call.
        """
        if not isinstance(selector, NativeSelector):
            return self._halved(selector, since, until)
        parts: list[Answer] = []
        while since < until:
            end = Timestamp(min(since + self._pace_of(selector.metric), until))
            parts.append(self._halved(selector, since, end))
            since = end
        return functools.reduce(_continued, parts, Answer((), ()))

    def _halved(self, selector: Selector, since: Timestamp, until: Timestamp) -> Answer:
        try:
            return self._samples(selector, since, until)
        except TooMuch as error:
            if until - since <= _SHORTEST:
                self._session.refuse(f"{error}; make the selectors of the service levels narrower")
        middle = Timestamp(since + (until - since) // 2)
        return _continued(self._halved(selector, since, middle), self._halved(selector, middle, until))

    def _pace_of(self, metric: str) -> int:
        """Return milliseconds whose samples of a native histogram are an answer that we like to read."""
        samples = self._bounds.body_bytes // _NATIVE_PART // _NATIVE_SAMPLE
        usual = samples * _NATIVE_INTERVAL // max(self._series[metric], 1)
        return max(self._pace.get(metric, usual), _SHORTEST)

    def over(self, expression: str, first: Timestamp, last: Timestamp, step: int) -> Estimates:
        """Return what an expression came to at every `step` ms from the first to the last, in whole seconds.

        What is more than one answer may have is asked for in parts, oldest first.
        """
        longest = (_MOST_POINTS - 1) * step
        parts = [
            self._over(expression, Timestamp(since), Timestamp(min(since + longest, last)), step)
            for since in range(first, last + 1, longest + step)
        ]
        return _together(parts)

    def known(self, selectors: Iterable[Selector], since: Timestamp, until: Timestamp) -> Known:
        """Return the series that these selectors match and that have a sample between two times.

        Native histograms without a sample since the first are forgotten.
        """
        asked = tuple(selectors)
        if not asked:
            return Known((), ())  # which a Prometheus refuses to answer
        params = {"match[]": [str(selector) for selector in asked]}
        try:
            found = self._ask(lambda: self._library.get_series(_time(since), _time(until), params))
        except TooMuch as error:
            self._session.refuse(f"{error}; make the selectors of the service levels narrower")
        try:
            if not isinstance(found, list):
                raise ValueError("has no list of series")  # noqa: TRY301
            series = tuple(answers.series_of(pairs) for pairs in found)
        except ValueError as error:
            self._session.refuse(f"answered JSON of another shape ({error}); is it a Prometheus?")
        self._series = Counter(one.name for one in series)
        self._native.forget(since)
        self._native.both((one for one in asked if isinstance(one, NativeSelector)), series)
        return Known(series, self._shown(answers.shortfalls(self._document())))

    def _samples(self, selector: Selector, since: Timestamp, until: Timestamp) -> Answer:
        params = {"time": clock.unix_seconds(until), **self._params()}
        self._ask(lambda: self._library.custom_query(f"{selector}[{until - since}ms]", params))
        document = self._document()
        native = None
        if isinstance(selector, NativeSelector):
            native = functools.partial(self._native.read, selector)
            self._pace[selector.metric] = (
                (until - since) * self._bounds.body_bytes // _NATIVE_PART // max(self._session.bytes, 1)
            )
        try:
            recorded, missing = answers.recorded(document, since, until, native)
        except ValueError as error:
            self._session.refuse(f"answered JSON that {error}; is it a Prometheus?")
        return Answer(recorded, self._shown((*answers.shortfalls(document), *missing)))

    def _shown(self, shortfalls: Iterable[Shortfall]) -> tuple[Shortfall, ...]:
        """Return why an answer is not whole, in words that people may read."""
        return tuple(replace(one, about=self._session.shown(one.about)) for one in shortfalls)

    def _over(self, expression: str, first: Timestamp, last: Timestamp, step: int) -> Estimates:
        """Return an answer about so many points; one that is too much is asked for in halves."""
        try:
            self._ask(lambda: self._library.custom_query_range(
                expression, _time(first), _time(last), f"{step // clock.SECOND}s", self._params()
            ))  # fmt: skip
        except TooMuch as error:
            if first == last:
                self._session.refuse(f"{error}; let the expression add up more of its series")
        else:
            document = self._document()
            try:
                found, missing = points.read(document, first, last, step)
                return Estimates(found, self._shown(missing))
            except ValueError as error:
                self._session.refuse(f"answered JSON that {error}; is it a Prometheus?")
        middle = Timestamp(first + (last - first) // step // 2 * step)
        halves = (first, middle), (Timestamp(middle + step), last)
        return _together([self._over(expression, *half, step) for half in halves])

    def _ask(self, question: Callable[[], object]) -> object:
        """Return what the library makes of an answer."""
        try:
            return question()
        except (KeyError, TypeError):  # the library's, about an answer without data
            self._session.refuse("answered JSON without data; is it a Prometheus?")

    def _params(self) -> dict[str, str]:
        # Thanos: never what was averaged over five minutes or an hour.
        return {"timeout": f"{self._bounds.total_seconds:g}s", "max_source_resolution": "0s"}

    def _document(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self._session.last)


def _continued(earlier: Answer, later: Answer) -> Answer:
    shortfalls = tuple(dict.fromkeys((*earlier.shortfalls, *later.shortfalls)))
    return Answer(_joined(earlier.recorded, later.recorded), shortfalls)


def _together(parts: Sequence[Estimates]) -> Estimates:
    return Estimates(
        tuple(one for part in parts for one in part.points),
        tuple(dict.fromkeys(one for part in parts for one in part.shortfalls)),
    )


def _joined(earlier: Iterable[RecordedSeries], later: Iterable[RecordedSeries]) -> tuple[RecordedSeries, ...]:
    found = {one.series: one for one in earlier}
    joined: list[RecordedSeries] = []
    for one in later:
        before = found.pop(one.series, None)
        joined.append(one if before is None else RecordedSeries(one.series, (*before.samples, *one.samples)))
    return (*found.values(), *joined)


def _time(at: Timestamp) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at / clock.SECOND, tz=datetime.UTC)
