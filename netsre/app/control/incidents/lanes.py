"""The picture of an incident: what went on when, as bars and dots along one axis of time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.alerting import describe
from netsre.app.control.incidents import causes
from netsre.app.control.incidents.shapes import IncidentView, RunStory
from netsre.clock import Timestamp

_SHORTEST: Final = 10 * clock.SECOND
"""Length of the axis at least, so that what took a moment is not stretched over the page."""
_MOST_ALERTS: Final = 6
_MOST_CALLS: Final = 2
_TICKS: Final = 5
_STEPS: Final = (
    *(seconds * clock.SECOND for seconds in (2, 5, 10, 15, 30)),
    *(minutes * clock.MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * clock.HOUR for hours in (1, 2, 4, 6, 12)),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar, or a dot where its width is 0; both in percent of the axis, as decimal text."""

    kind: str
    left: str
    width: str
    title: str

    @property
    def dot(self) -> bool:
        """Tell whether this is a moment."""
        return self.width == "0"


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the picture."""

    name: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on the axis."""

    left: str
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]


def draw(incident: IncidentView, now: Timestamp) -> Picture:
    """Return the picture of an incident: from its fault, or first alert, to its end or now."""
    start, end = _span(incident, now)
    axis = _Axis(start, end)
    lanes = (
        Lane("Fault", tuple(_faults(incident, axis))),
        *_alerts(incident, axis),
        Lane("Paged", tuple(_pages(incident, axis))),
        Lane("Effects", tuple(_effects(incident.runs, axis))),
        Lane("Verified", tuple(_samples(incident.runs, axis))),
    )
    zero = _at(incident.times.detected) or start
    return Picture(tuple(lane for lane in lanes if lane.marks), tuple(axis.ticks(zero)))


@dataclass(frozen=True, slots=True)
class _Axis:
    start: int
    end: int

    def bar(self, kind: str, begin: int, end: int | None, title: str) -> Mark:
        stop = self.end if end is None else min(end, self.end)
        begin = max(begin, self.start)
        # Never thinner than what can be seen.
        width = max(self._share(max(stop - begin, 0)), Fraction(1, 2))
        return Mark(kind, _text(self._share(begin - self.start)), _text(width), title)

    def dot(self, kind: str, at: int, title: str) -> Mark:
        return Mark(kind, _text(self._share(at - self.start)), "0", title)

    def holds(self, at: int) -> bool:
        return self.start <= at <= self.end

    def ticks(self, zero: int) -> Iterator[Tick]:
        """Yield round times after the first alert."""
        length = self.end - self.start
        step = next((step for step in _STEPS if length / step <= _TICKS), None)
        if step is None:
            step = -(-length // _TICKS // clock.DAY) * clock.DAY or clock.DAY
        first = -((zero - self.start) // step)
        for number in range(first, (self.end - zero) // step + 1):
            after = number * step
            sign = "" if after == 0 else "+" if after > 0 else "-"
            yield Tick(_text(self._share(zero + after - self.start)), sign + clock.duration_text(abs(after)))

    def _share(self, length: int) -> Fraction:
        return Fraction(100 * length, self.end - self.start)


def _span(incident: IncidentView, now: Timestamp) -> tuple[int, int]:
    times = incident.times
    known = [
        at for text in (times.fault, times.detected, incident.opened_at) if (at := _at(text)) is not None
    ]
    start = min(known)
    last = [at for event in incident.timeline if (at := _at(event.at)) is not None]
    end = max([*last, *([now] if incident.closed_at is None else [])], default=start)
    length = max(end - start, _SHORTEST)
    margin = length // 50
    return start - margin, start + length + margin


def _faults(incident: IncidentView, axis: _Axis) -> Iterator[Mark]:
    for drill in incident.drills:
        began = _at(drill.fault_began_at)
        if began is not None:
            title = f"drill {drill.gameday} ({drill.profile}), by {drill.by}"
            yield axis.bar("fault", began, _at(drill.fault_ended_at), title)


def _alerts(incident: IncidentView, axis: _Axis) -> Iterator[Lane]:
    shown = [alert for alert in incident.alerts if not describe.is_call(alert.labels)]
    shown.sort(key=lambda alert: causes.place(alert.labels, alert.state))
    calls = [alert for alert in incident.alerts if describe.is_call(alert.labels)]
    for alert in [*calls[-_MOST_CALLS:], *shown][:_MOST_ALERTS]:
        began, name = _at(alert.fired_at) or axis.start, causes.named(alert.labels)
        kind = alert.labels.get("severity", "")
        title = f"{name} since {alert.fired_at}" + (
            f" until {alert.resolved_at}" if alert.resolved_at else ""
        )
        yield Lane(name, (axis.bar(kind, began, _at(alert.resolved_at), title),))


def _pages(incident: IncidentView, axis: _Axis) -> Iterator[Mark]:
    for page in incident.pages:
        yield axis.dot("told", _at(page.accepted_at) or 0, f"{page.peer} took {page.alert}")


def _effects(runs: Sequence[RunStory], axis: _Axis) -> Iterator[Mark]:
    for run in runs:
        for step in run.steps:
            done = _at(step.ended_at)
            if step.effect is None or done is None or step.state not in ("done", "undone", "not_undone"):
                continue
            until = _at(step.until)
            lasting = until is not None and until > done
            yield (
                axis.bar("effect", done, until, step.said) if lasting else axis.dot("effect", done, step.said)
            )


def _samples(runs: Sequence[RunStory], axis: _Axis) -> Iterator[Mark]:
    for run in runs:
        for sample in run.samples:
            kind = "pass" if sample.verdict == "pass" else "fail"
            yield axis.dot(kind, _at(sample.at) or 0, f"{sample.verdict}: {sample.reason} at {sample.at}")


def _at(text: str | None) -> Timestamp | None:
    return None if text is None else clock.parse_rfc3339(text)


def _text(share: Fraction) -> str:
    return f"{float(share):.3f}".rstrip("0").rstrip(".") or "0"
