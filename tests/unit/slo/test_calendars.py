"""Claims about calendar windows: they begin where people's months do, and count from there, exactly."""

import dataclasses
import datetime
import zoneinfo
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.adapters import time_zones
from netsre.app import service_levels
from netsre.clock import Timestamp, parse_rfc3339
from netsre.errors import SpecErrors
from netsre.model.levels import SLO, Calendar, Measured, NoData, Unit
from netsre.slo import calendars, parsing
from netsre.slo.buckets import Bucket
from netsre.slo.engine import Engine
from tests.unit.slo.given import DELIVERED, FAILED, scrape, slo

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MONTH = Calendar("month", "Europe/Berlin", BERLIN)
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "Africa/Cairo", "Pacific/Apia",
    "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham", "Australia/Adelaide", "Australia/Lord_Howe",
    "America/St_Johns",
)  # fmt: skip
LEVEL = """---
apiVersion: netsre.dev/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: s
  objective: 99.9
  window: {{calendar: {unit}, timezone: {zone}}}
  indicator:
    ratio:
      bad: {{metric: netsre_flows_total, match: 'outcome="failed"'}}
      total: {{metric: netsre_flows_total}}
  alerting: {{policy: none}}
"""


@pytest.mark.parametrize(
    ("unit", "zone", "now", "begin"),
    [
        ("month", "Europe/Berlin", "2026-03-31T21:59:59Z", "2026-02-28T23:00:00Z"),
        ("month", "Europe/Berlin", "2026-03-31T22:00:00Z", "2026-03-31T22:00:00Z"),
        ("month", "UTC", "2026-03-31T22:00:00Z", "2026-03-01T00:00:00Z"),
        ("week", "Europe/Berlin", "2026-11-29T22:59:59Z", "2026-11-22T23:00:00Z"),
        ("day", "America/New_York", "2026-11-02T04:59:59Z", "2026-11-01T04:00:00Z"),
        ("day", "America/New_York", "2026-11-02T05:00:00Z", "2026-11-02T05:00:00Z"),
        ("quarter", "Pacific/Auckland", "2026-01-01T00:00:00Z", "2025-12-31T11:00:00Z"),
        ("quarter", "UTC", "2026-12-31T23:59:59Z", "2026-10-01T00:00:00Z"),
        ("month", "Asia/Kolkata", "2026-03-31T18:29:59Z", "2026-02-28T18:30:00Z"),
        ("month", "Asia/Kathmandu", "2026-03-31T18:15:00Z", "2026-03-31T18:15:00Z"),
        ("quarter", "Australia/Lord_Howe", "2026-06-30T00:00:00Z", "2026-03-31T13:00:00Z"),
        ("month", "Australia/Lord_Howe", "2026-05-31T13:29:59Z", "2026-04-30T13:30:00Z"),
        # The clock is set at midnight: the day of the 26th of April 2024 begins at one.
        ("day", "Africa/Cairo", "2024-04-26T10:00:00Z", "2024-04-25T22:00:00Z"),
    ],
)
def test_a_period_begins_at_midnight_of_its_first_day_there(
    unit: Unit, zone: str, now: str, begin: str
) -> None:
    """Whatever the clocks are set to meanwhile."""
    calendar = Calendar(unit, zone, zoneinfo.ZoneInfo(zone))

    assert clock.rfc3339(calendars.start(calendar, parse_rfc3339(now))) == begin.replace("Z", ".000Z")


@given(
    at=st.integers(0, 4_000_000_000_000),
    unit=st.sampled_from(["day", "week", "month", "quarter"]),
    zone=st.sampled_from(ZONES),
)
def test_a_period_holds_its_moment_and_is_no_longer_than_it_may_be(at: int, unit: Unit, zone: str) -> None:
    """Its begin is one of the same period, and the moment before it belongs to another."""
    calendar = Calendar(unit, zone, zoneinfo.ZoneInfo(zone))
    begin = calendars.start(calendar, Timestamp(at))

    assert 0 <= at - begin < calendar.longest
    assert calendars.start(calendar, begin) == begin
    assert calendars.start(calendar, Timestamp(begin - 1)) < begin
    local = datetime.datetime.fromtimestamp(begin / 1000, tz=calendar.zone)
    assert local.hour * 60 + local.minute in (0, 60)


@given(
    at=st.integers(parse_rfc3339("1990-01-01T00:00:00Z"), 4_000_000_000_000),
    unit=st.sampled_from(["day", "week", "month", "quarter"]),
    zone=st.sampled_from(ZONES),
)
def test_an_edge_is_what_is_left_of_the_hour_in_which_a_period_begins(at: int, unit: Unit, zone: str) -> None:
    """Whole quarters; none of a period that begins with an hour."""
    calendar = Calendar(unit, zone, zoneinfo.ZoneInfo(zone))
    begin, is_edge = calendars.start(calendar, Timestamp(at)), calendars.edges([calendar])
    end = begin + -begin % clock.HOUR

    assert begin % (15 * clock.MINUTE) == 0
    assert all(is_edge(Timestamp(minute)) for minute in range(begin, end, clock.MINUTE))
    assert not is_edge(Timestamp(begin - 1))
    assert not is_edge(Timestamp(end))


def month_level() -> SLO:
    """Return a level of 99 % over a month in Berlin."""
    return dataclasses.replace(slo(objective="99", window=MONTH.nominal, policy=None), calendar=MONTH)


def test_a_budget_counts_from_the_first_of_the_month_there_and_a_restart_changes_nothing() -> None:
    """A failure at 23:59 of the last day is last month's; the one at 00:00 is this one's."""
    level = month_level()
    engine, kept = Engine([level]), dict[tuple[int, int], Bucket]()
    begin = parse_rfc3339("2026-03-31T22:00:00Z")
    offset = (begin - parse_rfc3339("2026-01-01T00:00:00Z")) // 1000
    bad = good = 0
    for minute in range(-90, 30):
        bad += minute in (-1, 0)
        good += 10
        seen = engine.observe(scrape(offset + minute * 60, {FAILED: bad, DELIVERED: good}))
        kept |= {(bucket.step, bucket.begin): bucket for bucket in seen.buckets}
        if minute == -1:
            (before,) = engine.evaluate(Timestamp(begin - 1))
    now = Timestamp(begin + 29 * clock.MINUTE)

    (found,) = engine.evaluate(now)
    (restored,) = Engine([level], kept.values()).evaluate(now)

    assert (int(before.bad), int(before.total)) == (1, 1 + 89 * 10)
    assert (int(found.bad), int(found.total)) == (1, 1 + 30 * 10)
    assert found.coverage == 1
    assert found.budget_remaining == Measured(1 - Fraction(1, 301) / Fraction(1, 100))
    assert restored == found


def test_a_month_that_just_began_has_no_opinion_yet() -> None:
    """And not that of the month before."""
    engine = Engine([month_level()])
    engine.observe(scrape(0, {FAILED: 0, DELIVERED: 0}))
    engine.observe(scrape(60, {FAILED: 5, DELIVERED: 5}))

    (found,) = engine.evaluate(parse_rfc3339("2026-02-01T00:00:00+01:00"))

    assert found.sli == NoData("no_history")
    assert found.coverage == 0


def test_amounts_that_are_no_whole_events_count_from_there_too() -> None:
    """As exactly."""
    engine = Engine([month_level()])
    engine.observe(scrape(0, {FAILED: 0, DELIVERED: 0}))
    engine.observe(scrape(60, {FAILED: "0.25", DELIVERED: "1"}))

    (found,) = engine.evaluate(parse_rfc3339("2026-01-01T00:01:00Z"))

    assert (found.bad, found.total) == (Decimal("0.25"), Decimal("1.25"))


def test_a_calendar_is_read_from_a_file_and_named_as_people_read_it() -> None:
    """Its nominal length is what burn rates are reckoned by."""
    text = LEVEL.format(name="flow", unit="quarter", zone="America/New_York")

    (found,) = parsing.parse({"f": text}, service_levels.BOUNDS, zones=time_zones.find).slos

    assert found.calendar == Calendar("quarter", "America/New_York", BERLIN)
    assert (found.window, found.reach) == (91 * clock.DAY, 92 * clock.DAY + clock.HOUR)
    assert found.window_text == "quarter America/New_York"


def test_every_zone_of_the_tz_database_has_calendars() -> None:
    """All of them are whole quarters of an hour from UTC, and will be."""
    zones = sorted(zoneinfo.available_timezones())
    texts = {zone: LEVEL.format(name=f"flow-{at}", unit="month", zone=zone) for at, zone in enumerate(zones)}

    found = parsing.parse(texts, service_levels.BOUNDS, zones=time_zones.find).slos

    assert len(found) == len(zones) > 400


def test_a_zone_of_other_minutes_is_refused() -> None:
    """In Amsterdam it was 20 minutes later than in Greenwich until 1940: inside of a quarter of an hour."""
    text = LEVEL.format(name="flow", unit="month", zone="Old")
    old = datetime.timezone(datetime.timedelta(minutes=20))

    with pytest.raises(SpecErrors, match=r"SLO003 .* Old is no whole quarters of an hour from UTC"):
        parsing.parse({"f": text}, service_levels.BOUNDS, zones=lambda _: old)
