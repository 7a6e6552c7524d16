"""Budgets by hand: each scenario with its table and its sums, which the engine has to the last digit."""

from collections.abc import Iterable
from fractions import Fraction

import pytest

from netsre import clock
from netsre.alerting import decide
from netsre.model.alerts import Alert
from netsre.model.levels import SLO, Evaluation, Measured, NoData
from netsre.model.samples import Scrape, Series
from netsre.slo.engine import Engine
from tests.unit.slo import reference
from tests.unit.slo.given import DELIVERED, FAILED, after, scrape, series, slo

HOUR, DAY = 3600, 86_400


def stands(scrapes: Iterable[Scrape], now: float, level: SLO | None = None) -> Evaluation:
    """Return where a service level stands at a time, in seconds after `given.START`."""
    engine = Engine([level or slo()])
    for one in scrapes:
        engine.observe(one)
    (found,) = engine.evaluate(after(now))
    return found


def agreed(scrapes: Iterable[Scrape], now: float, level: SLO | None = None) -> Evaluation:
    """Return the same, once the reference says so as well; it counts event by event."""
    kept, level = list(scrapes), level or slo()
    found = stands(kept, now, level)
    again = reference.stand(level, [reference.ledger(level, kept)], after(now))
    assert (Fraction(found.bad), Fraction(found.total)) == (again.bad, again.total)
    assert found.coverage == again.coverage
    return found


def sums(found: Evaluation) -> tuple[int, int]:
    """Return bad events and all events."""
    assert found.bad % 1 == found.total % 1 == 0
    return int(found.bad), int(found.total)


# 10 days, a scrape every 2 minutes, nights and days of 12 h. A night has 10 requests in 5 minutes, 4 in a
# scrape; a day has 100 times as many.
#
# | errors at | of a night | of a day  | a night     | a day         | 10 d            | ratio  |
# |-----------|------------|-----------|-------------|---------------|-----------------|--------|
# | night     | 1 of 10    | none      | 144 of 1440 | 0 of 144000   | 1440 of 1454400 | 1/1010 |
# | day       | none       | 2 of 1000 | 0 of 1440   | 288 of 144000 | 2880 of 1454400 | 2/1010 |
#
# | errors at | of a budget of 1/1000 | mean of the 5 min ratios, as Sloth has it | which would be       |
# |-----------|-----------------------|-------------------------------------------|----------------------|
# | night     | 100/101 =  99.01 %    | (1/10 + 0) / 2    = 5.0 %                 | 5000 % of the budget |
# | day       | 200/101 = 198.02 %    | (0 + 2/1000) / 2  = 0.1 %                 | 100 %, not breached  |
TENTH, NONE, FIFTH_OF_A_PERCENT = Fraction(1, 10), Fraction(0), Fraction(2, 1000)
DIURNAL = [
    ("night", TENTH, NONE, 1_440, Fraction(100, 101)),
    ("day", NONE, FIFTH_OF_A_PERCENT, 2_880, Fraction(200, 101)),
]


@pytest.mark.parametrize(("when", "night", "day", "bad", "used"), DIURNAL, ids=[row[0] for row in DIURNAL])
def test_quiet_nights_and_busy_days_are_weighed_by_their_traffic(
    when: str, night: Fraction, day: Fraction, bad: int, used: Fraction
) -> None:
    """A ratio of sums: neither is a night's one error made 50 times too large, nor a day's half hidden."""
    scrapes, by_night, by_day = [scrape(-1, counters(0, 0))], 0, 0
    for number in range(10 * 720):
        if number % 720 < 360:
            by_night += 4
        else:
            by_day += 400
        failed = int(by_night * night) + int(by_day * day)
        scrapes.append(scrape(120 * (number + 1) - 1, counters(failed, by_night + by_day - failed)))

    found = stands(scrapes, 10 * DAY - 1)

    assert sums(found) == (bad, 1_454_400), when
    assert found.sli == Measured(1 - used / 1000)
    assert found.budget_remaining == Measured(1 - used)
    assert found.coverage == Fraction(7_201, 43_200)  # one for each scrape, the first before it all included


def counters(failed: int, delivered: int) -> dict[Series, int | str]:
    """Return both counters."""
    return {FAILED: failed, DELIVERED: delivered}


# An hour at 10/s of which 1 in 1000 fails, 2 h without traffic, an hour like the first; a scrape a minute. At
# a full hour the window of 30 d has 719 hours and the minute that has just begun: 43141 minutes.
#
# | hour    | failed | all    |  at the end of the gap          | at the end of all                |
# |---------|--------|--------|---------------------------------|----------------------------------|
# | 1       | 36     | 36000  |  1h: no traffic                 | 1h: 36 / 36000 = burn 1          |
# | 2, 3    | 0      | 0      |  6h: 36 / 36000 = burn 1        | 6h: 72 / 72000 = burn 1          |
# | 4       | 36     | 36000  |  budget 1 - 1 = 0               | budget 1 - 1 = 0                 |
# | together| 72     | 72000  |  181 of 43141 minutes measured  | 241 of 43141 minutes measured    |
def idle_gap(*, read: bool) -> list[Scrape]:
    """Return the scrapes of the table; whether somebody looked during the gap makes the difference."""
    found = []
    for at in range(0, 4 * HOUR + 1, 60):
        busy = min(at, HOUR) + max(0, at - 3 * HOUR)
        if read or not HOUR < at < 3 * HOUR:
            found.append(scrape(at, counters(busy // 100, 10 * busy - busy // 100)))
    return found


def test_two_hours_without_traffic_change_no_budget() -> None:
    """No opinion where nothing happened, and not a poisoned month: the sums are those of what happened."""
    gap = agreed(idle_gap(read=True)[:181], 3 * HOUR)
    whole = agreed(idle_gap(read=True), 4 * HOUR)

    assert gap.burn["1h"] == gap.burn["5m"] == NoData("no_traffic")
    assert (gap.burn["6h"], gap.budget_remaining) == (Measured(Fraction(1)), Measured(Fraction(0)))
    assert (sums(whole), whole.budget_remaining) == ((72, 72_000), Measured(Fraction(0)))
    assert (gap.coverage, whole.coverage) == (Fraction(181, 43_141), Fraction(241, 43_141))


def test_two_hours_in_which_nobody_looked_show_in_the_coverage() -> None:
    """119 scrapes are missing: the budget is the same, and 122 of 241 minutes say what it rests on."""
    found = agreed(idle_gap(read=False), 4 * HOUR)

    assert (sums(found), found.budget_remaining) == ((72, 72_000), Measured(Fraction(0)))
    assert found.coverage == Fraction(122, 43_141)


# | scenario           | scrapes of FAILED (DELIVERED always has 100 more each)     | counted         | sum |
# |--------------------|------------------------------------------------------------|-----------------|-----|
# | forgets            | 500, 507, 4, 9            the source does not say so       | 7 + 4 + 5       | 16  |
# | restarts           | 500, 507, 4, 9            it began anew before the third   | 7 + 4 + 5       | 16  |
# | restarts higher    | 500, 507, 600, 605        it began anew before the third   | 7 + 600 + 5     | 612 |
# | born non-zero      | 500, 500, 500             its events are older than we are | 0 + 0           | 0   |
# | born while we look | -, 500, 507               the scrape before was without it | 500 + 7         | 507 |
# | appears late       | -, -, -, 3                                                 | 3               | 3   |
# | missing            | 1, -, -, 13               two scrapes lost                 | 12              | 12  |
# | hidden             | 1, no series, 13          the scrape came without it       | 12              | 12  |
# | duplicate          | 1, 5, 5 again, 9          the third is the second          | 4 + 4           | 8   |
LOST, HIDDEN = "lost", "hidden"
COUNTING: list[tuple[str, list[int | str], int | None, int]] = [
    ("forgets", [500, 507, 4, 9], None, 16),
    ("restarts", [500, 507, 4, 9], 2, 16),
    ("restarts higher", [500, 507, 600, 605], 2, 612),
    ("born non-zero", [500, 500, 500], None, 0),
    ("born while we look", [HIDDEN, 500, 507], None, 507),
    ("appears late", [HIDDEN, HIDDEN, HIDDEN, 3], None, 3),
    ("missing", [1, LOST, LOST, 13], None, 12),
    ("hidden", [1, HIDDEN, 13], None, 12),
    ("duplicate", [1, 5, "again", 9], None, 8),
]


@pytest.mark.parametrize(("what", "shown", "restart", "bad"), COUNTING, ids=[row[0] for row in COUNTING])
def test_every_failure_is_counted_once(
    what: str, shown: list[int | str], restart: int | None, bad: int
) -> None:
    """Whatever happens to a counter on the way; no delivered connection is lost with it."""
    scrapes: list[Scrape] = []
    for number, value in enumerate(shown):
        restarted = restart is not None and number >= restart
        values: dict[Series, int | str] = {DELIVERED: 100 * (number + 1 - (restart or 0) * restarted)}
        if value == "again":
            scrapes.append(scrapes[-1])
        elif value != LOST:
            if value != HIDDEN:
                values[FAILED] = value
            scrapes.append(
                scrape(15 * number, values, started=15 * (restart or 0) - 5 if restarted else -100)
            )

    found = agreed(scrapes, 15 * len(shown))

    assert sums(found) == (bad, bad + 100 * (len(shown) - 1)), what


# 12 failures between two scrapes, the first at 0 s, by minute.
#
# | apart | they happened at              | 0 | 1 | 2  | 3 |
# |-------|-------------------------------|---|---|----|---|
# | 120 s | no gap: with the later scrape |   |   | 12 |   |
# | 150 s | 12.5, 25, 37.5 … 150 s        | 4 | 5 | 3  |   |
# | 180 s | 15, 30, 45 … 180 s            | 4 | 4 | 4  | 0 |
GAPS = [(120, {2: 12}), (150, {0: 4, 1: 5, 2: 3}), (180, {0: 4, 1: 4, 2: 4, 3: 0})]


@pytest.mark.parametrize(("apart", "by_minute"), GAPS)
def test_events_of_a_gap_are_spread_over_it(apart: int, by_minute: dict[int, int]) -> None:
    """In whole events, evenly; what happened on the border of two minutes belongs to the earlier one."""
    scrapes = [scrape(0, counters(0, 0)), scrape(apart, counters(12, 0))]
    engine = Engine([slo()])
    engine.observe(scrapes[0])

    buckets = engine.observe(scrapes[1]).buckets

    found = {
        (bucket.begin - after(0)) // clock.MINUTE: bucket.bad
        for bucket in buckets
        if bucket.step == clock.MINUTE
    }
    events = reference.ledger(slo(), scrapes).events
    assert found == by_minute
    assert {
        minute: sum(one.amount for one in events if one.minute == reference.minute_of(after(60 * minute)))
        for minute in by_minute
    } == by_minute


# An upgrade gives the series a label more; the source restarts with it. DELIVERED is as FAILED, times 100.
#
# | at    | without the label | with it | counted | since                |
# |-------|-------------------|---------|---------|----------------------|
# | 0 s   | 500               |         |         | the first scrape     |
# | 15 s  | 507               |         | 7       |                      |
# | 30 s  |                   | 4       | 4       | the restart at 20 s  |
# | 45 s  |                   | 6       | 2       |                      |
# | 60 s  |                   | 6       | 0       |                      |
# | sum   |                   |         | 13      |                      |
RELABELLED = [(0, 500, -100), (15, 507, -100), (30, 4, 20), (45, 6, 20), (60, 6, 20)]


def test_a_label_more_neither_hides_nor_repeats_an_event() -> None:
    """The old series and the new are two, and each event is in one of them."""
    scrapes = []
    for at, value, started in RELABELLED:
        extra = {"protocol": "tcp"} if started > 0 else {}
        failed, delivered = (series("flows", outcome=how, **extra) for how in ("failed", "delivered"))
        scrapes.append(scrape(at, {failed: value, delivered: 100 * value}, started=started))

    assert sums(agreed(scrapes, 60)) == (13, 13 * 101)


def pages(scrapes: Iterable[Scrape], level: SLO | None = None) -> list[tuple[int, str]]:
    """Return when alerts began, in seconds, and their severities."""
    engine, active = Engine([level or slo()]), dict[str, Alert]()
    began = []
    for one in scrapes:
        engine.observe(one)
        for step in decide.decide(engine.evaluate(one.at), active, one.at, decide.HOLD):
            active[step.alert.fingerprint] = step.alert
            if step.reason == "burn_started":
                began.append(((one.at - after(0)) // clock.SECOND, dict(step.alert.labels)["severity"]))
    return began


# 60 requests an hour, one of which fails in the third hour; 99.9 %.
#
# | window | failed | all | burn              | factor | above | failures needed |
# |--------|--------|-----|-------------------|--------|-------|-----------------|
# | 5m     | 1      | 5   | 1/5 / 1/1000  200 | 14.4   | yes   |                 |
# | 1h     | 1      | 60  | 1/60 / 1/1000  16 2/3 | 14.4 | yes | 5: there is 1   |
def test_one_failure_in_an_hour_of_60_requests_pages_nobody() -> None:
    """Both burn rates are above their factor, and one failure is no reason to wake anybody."""
    scrapes = [scrape(60 * n, counters(int(n >= 150), n - int(n >= 150))) for n in range(241)]

    found = agreed(scrapes[:152], 151 * 60)

    assert found.burn["5m"] == Measured(Fraction(200))
    assert found.burn["1h"] == Measured(Fraction(50, 3))
    assert found.firing == ()
    assert pages(scrapes) == []


# 99.9 %, 10/s, six hours without a failure, then none succeeds; a scrape every 15 s.
#
# | after | failed | of the hour (59 min to 60)      | burn at least    | factor |
# |-------|--------|---------------------------------|------------------|--------|
# | 15 s  | 150    | 36000                           | 4.17             | 14.4   |
# | 30 s  | 300    | 36000                           | 8.33             | 14.4   |
# | 45 s  | 450    | 36000                           | 12.5             | 14.4   |
# | 60 s  | 600    | 36000                           | 16.7, above      | 14.4   |
@pytest.mark.parametrize("into", [0, 15, 30, 45])
def test_a_total_outage_pages_within_a_minute(into: int) -> None:
    """In whatever second of a minute it begins, and not before it has spent 1.44 % of the hour."""
    begins = 6 * HOUR + into
    scrapes = []
    for at in range(0, begins + 121, 15):
        failed = 10 * max(0, at - begins)
        scrapes.append(scrape(at, counters(failed, 10 * at - failed)))

    began = [at - begins for at, severity in pages(scrapes) if severity == "page"]

    assert began == [60]


# | after    | read minutes of 43141 | traffic | sli, budget, burn | coverage  |
# |----------|-----------------------|---------|-------------------|-----------|
# | nothing  | 0                     | none    | no history        | 0         |
# | 60 min   | 61                    | none    | no traffic        | 61/43141  |
def test_without_traffic_there_is_no_opinion_and_the_coverage_says_that_somebody_looked() -> None:
    """Neither healthy nor burning, and nothing fires."""
    found = agreed([scrape(60 * n, counters(7, 700)) for n in range(61)], HOUR)

    assert found.sli == found.budget_remaining == NoData("no_traffic")
    assert set(found.burn.values()) == {NoData("no_traffic")}
    assert (found.firing, found.coverage) == ((), Fraction(61, 43_141))
    assert sums(found) == (0, 0)
