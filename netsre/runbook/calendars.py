"""Files of maintenance calendars become `Maintenance`s: everything or, with every finding, nothing.

apiVersion: netsre.dev/v1
kind: Maintenance
metadata: {name: switches}
spec:
  reason: The switches of the first row are replaced.
  timezone: Europe/Berlin
  windows:
    - {cron: '0 2 * * sun', duration: 2h}
    - {from: '2026-12-01T22:00', to: '2026-12-02T04:00'}
  runbooks: [conntrack-exhaustion]
  targets: ['conntrack/*']
"""

import datetime
from collections.abc import Collection, Mapping
from typing import Final

from netsre import clock
from netsre.model import cron, gamedays, linting, literals, scenarios, specs, values
from netsre.model.maintenance import KIND, Maintenance, Recurring, Span, Window, moment
from netsre.runbook import codes
from netsre.slo.calendars import Zones

_BESIDE: Final = frozenset({"Runbook", gamedays.KIND, scenarios.KIND})
LONGEST_RECURRING: Final = clock.DAY
LONGEST_SPAN: Final = 31 * clock.DAY
"""Who forgets an end must not leave automation away for good."""
LOCAL: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}"
_ADVICE: Final = "write a local time such as '2026-12-01T22:00'"


def parse(texts: Mapping[str, str], zones: Zones, runbooks: Collection[str]) -> tuple[Maintenance, ...]:
    """Read files (name to text) strictly, by name; raises `SpecErrors` with all findings."""
    findings = linting.Findings()
    documents = specs.of_files(texts, {KIND}, findings, _BESIDE)
    specs.refuse_duplicates(documents, codes.CALENDAR_NAME, "maintenance calendar", findings)
    read = [_calendar(document, zones, runbooks) for document in documents]
    findings.raise_if_any()
    return tuple(sorted((one for one in read if one is not None), key=lambda one: one.name))


def _calendar(document: specs.Document, zones: Zones, runbooks: Collection[str]) -> Maintenance | None:
    document.metadata.end()
    spec = document.spec
    reason, zone = spec.text("reason"), _zone(spec, zones)
    windows = _windows(spec, zone)
    named, targets = spec.sequence("runbooks", required=False), spec.sequence("targets", required=False)
    books = () if named is None else named.scalars()
    patterns = () if targets is None else targets.texts()
    spec.end()
    for book in books:
        if book.value not in runbooks:
            hint = literals.nearest(book.value, runbooks)
            book.wrong(codes.UNKNOWN_RUNBOOK, f"{literals.shown(book.value)} does not exist{hint}")
    for key, sequence in (("runbooks", named), ("targets", targets)):
        if sequence is not None and not sequence.nodes:
            # Nothing is never read as everything.
            spec.wrong(key, codes.CALENDAR, "is empty; name one, or leave the key out for all")
    if reason is None or zone is None:
        return None
    only = frozenset(book.value for book in books)
    return Maintenance(document.name, reason, windows, only, patterns, document.origin)


def _zone(spec: values.Mapping, zones: Zones) -> datetime.tzinfo | None:
    name = spec.text("timezone")
    zone = None if name is None else zones(name)
    if name is not None and zone is None:
        message = f"{literals.shown(name)} is no time zone; write one such as UTC or Europe/Berlin"
        spec.wrong("timezone", codes.CALENDAR, message)
    return zone


def _windows(spec: values.Mapping, zone: datetime.tzinfo | None) -> tuple[Window, ...]:
    sequence = spec.sequence("windows")
    if sequence is None:
        return ()
    if not sequence.nodes:
        spec.wrong("windows", codes.CALENDAR, "is empty; name at least one")
    # With a zone that nobody knows the rest is read all the same: one run shows everything.
    there = zone or datetime.UTC
    found = [_window(item, there) for item in sequence.mappings()]
    return tuple(window for window in found if window is not None)


def _window(item: values.Mapping, zone: datetime.tzinfo) -> Window | None:
    kind = item.one_of("cron", "from")
    if kind is None:
        item.end()
        return None
    item.skip("duration", "to")
    other = "to" if kind == "cron" else "duration"
    if other in item:
        item.wrong(other, codes.CALENDAR, f"does not go with {kind}; leave one of them out")
    return _recurring(item, zone) if kind == "cron" else _span(item, zone)


def _recurring(item: values.Mapping, zone: datetime.tzinfo) -> Recurring | None:
    text, duration = item.text("cron"), item.duration("duration")
    item.end()
    if text is None:
        return None
    try:
        starts = cron.starts(cron.parse(text))
    except ValueError as error:
        item.wrong("cron", codes.CALENDAR, str(error))
        return None
    if not _comes(starts):
        item.wrong("cron", codes.CALENDAR, f"{literals.shown(text)} never comes; write another")
    if duration is not None and duration > LONGEST_RECURRING:
        longest = clock.duration_text(LONGEST_RECURRING)
        item.wrong("duration", codes.CALENDAR, f"is longer than {longest}; write one of from and to")
    return None if duration is None else Recurring(starts, duration, zone)


def _comes(starts: cron.Starts) -> bool:
    """Tell whether there is such a day: in four years every day of a year has come."""
    first = datetime.date(2024, 1, 1)
    return any(starts.on(first + datetime.timedelta(days=day)) for day in range(4 * 366))


def _span(item: values.Mapping, zone: datetime.tzinfo) -> Span | None:
    begin, end = (_local(item, key, zone) for key in ("from", "to"))
    item.end()
    if begin is None or end is None:
        return None
    if not 0 < end - begin <= LONGEST_SPAN:
        longest = clock.duration_text(LONGEST_SPAN)
        item.wrong("to", codes.CALENDAR, f"is not later than from by at most {longest}")
        return None
    return Span(begin, end)


def _local(item: values.Mapping, key: str, zone: datetime.tzinfo) -> clock.Timestamp | None:
    text = item.text(key)
    if text is None:
        return None
    try:
        local = datetime.datetime.fromisoformat(text)
        if len(text) != len("2026-12-01T22:00") or local.tzinfo is not None:
            raise ValueError(text)  # noqa: TRY301
        return moment(local, zone)
    except (ValueError, OverflowError):
        item.wrong(key, codes.CALENDAR, f"{literals.shown(text)} is no time; {_ADVICE}")
        return None
