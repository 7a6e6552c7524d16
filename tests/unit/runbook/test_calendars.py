"""Maintenance calendars are read strictly: everything or, with every finding, nothing."""

import pytest

from netsre import clock
from netsre.adapters import time_zones
from netsre.clock import HOUR, MINUTE, Timestamp
from netsre.errors import SpecErrors
from netsre.model.maintenance import Maintenance, Recurring, Span
from netsre.runbook import calendars

GOOD = """\
apiVersion: netsre.dev/v1
kind: Maintenance
metadata: {name: switches}
spec:
  reason: The switches of the first row are replaced.
  timezone: Europe/Berlin
  windows:
    - {cron: '30 1 * * sun', duration: 2h}
    - {from: '2026-12-01T22:00', to: '2026-12-02T04:00'}
  runbooks: [look]
  targets: ['conntrack/*']
"""
BESIDE = "---\napiVersion: netsre.dev/v1\nkind: Runbook\nmetadata: {name: look}\nspec: {x: 1}\n"


def read(text: str) -> tuple[Maintenance, ...]:
    """Return the calendars of a text."""
    return calendars.parse({"m.yaml": text}, time_zones.find, {"look", "act"})


def findings(text: str) -> list[str]:
    """Return the findings as people see them."""
    with pytest.raises(SpecErrors) as refused:
        read(text)
    return [str(finding) for finding in refused.value.findings]


def test_a_calendar_is_read_completely() -> None:
    """Runbooks that stand beside it are read by somebody else."""
    (found,) = read(GOOD + BESIDE)
    recurring, span = found.windows

    assert (found.name, found.reason) == ("switches", "The switches of the first row are replaced.")
    assert (found.runbooks, found.targets) == (frozenset({"look"}), ("conntrack/*",))
    assert isinstance(recurring, Recurring)
    assert span == Span(
        clock.parse_rfc3339("2026-12-01T21:00:00Z"), clock.parse_rfc3339("2026-12-02T03:00:00Z")
    )


@pytest.mark.parametrize(
    ("begins", "what"),
    [
        ("2026-03-22T00:30:00Z", "half past one in winter"),
        ("2026-04-05T23:30:00Z", "half past one in summer, on the day after the 5th in UTC"),
    ],
)
def test_a_window_begins_by_the_clock_of_its_place(begins: str, what: str) -> None:
    """Two hours, wherever the hour of summer is."""
    text = GOOD.replace("sun'", "*'")
    (found,) = read(text)
    begin = clock.parse_rfc3339(begins)

    assert found.until(begin) == begin + 2 * HOUR, what
    assert found.until(Timestamp(begin - 1)) is None
    assert found.until(Timestamp(begin + 2 * HOUR)) is None


def test_a_beginning_that_the_clock_leaves_out_is_as_long_after_the_change() -> None:
    """On the last Sunday of March there is no half past two."""
    (found,) = read(GOOD.replace("30 1", "30 2"))
    begin = clock.parse_rfc3339("2026-03-29T01:30:00Z")

    assert found.until(Timestamp(begin - 1)) is None
    assert found.until(begin) == begin + 2 * HOUR


def test_a_beginning_that_the_clock_shows_twice_comes_once() -> None:
    """On the last Sunday of October, the first half past two."""
    (found,) = read(GOOD.replace("30 1", "30 2").replace("duration: 2h", "duration: 10m"))
    begin = clock.parse_rfc3339("2026-10-25T00:30:00Z")

    assert found.until(begin) == begin + 10 * MINUTE
    assert found.until(Timestamp(begin + HOUR)) is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Europe/Berlin", "Europe/Berlim", "m.yaml:6: RUN016 spec.timezone 'Europe/Berlim' is no time zone"),
        ("30 1 * * sun", "30 1 * *", "m.yaml:8: RUN016 spec.windows[0].cron '30 1 * *' has 4 fields"),
        ("30 1 * * sun", "0 0 31 2 *", "RUN016 spec.windows[0].cron '0 0 31 2 *' never comes"),
        ("duration: 2h", "duration: 25h", "RUN016 spec.windows[0].duration is longer than 1d"),
        ("duration: 2h", "duration: 2", "m.yaml:8: SPEC010 spec.windows[0].duration"),
        (", duration: 2h", "", "m.yaml:8: SPEC005 spec.windows[0].duration is missing"),
        (", duration: 2h", ", duration: 2h, to: x", "RUN016 spec.windows[0].to does not go with cron"),
        (", duration: 2h", ", from: x", "SPEC011 spec.windows[0] has cron and from; write exactly one"),
        ("2026-12-02T04:00", "2026-12-01T22:00", "m.yaml:9: RUN016 spec.windows[1].to is not later"),
        ("2026-12-02T04:00", "2027-01-02T04:00", "RUN016 spec.windows[1].to is not later than from by"),
        ("2026-12-01T22:00", "2026-12-01", "RUN016 spec.windows[1].from '2026-12-01' is no time; write"),
        ("2026-12-01T22:00", "2026-12-01T22:61", "spec.windows[1].from '2026-12-01T22:61' is no time"),
        ("T22:00'", "T22:00Z'", "spec.windows[1].from '2026-12-01T22:00Z' is no time"),
        ("[look]", "[lok]", "m.yaml:10: RUN018 spec.runbooks[0] 'lok' does not exist; did you mean 'look'?"),
        ("[look]", "[]", "m.yaml:10: RUN016 spec.runbooks is empty; name one, or leave the key out for all"),
        ("['conntrack/*']", "[]", "m.yaml:11: RUN016 spec.targets is empty"),
        ("reason:", "why:", "SPEC005 spec.reason is missing"),
        ("windows:", "windows: []\n  x:", "m.yaml:7: RUN016 spec.windows is empty; name at least one"),
    ],
)
def test_every_mistake_has_its_line_and_its_code(old: str, new: str, expected: str) -> None:
    """With what to write instead; nothing is never read as everything."""
    found = findings(GOOD.replace(old, new))

    assert any(expected in finding for finding in found), found


def test_two_of_one_name_are_refused() -> None:
    """The name stands in journals."""
    (found,) = findings(f"{GOOD}---\n{GOOD}")

    assert found.startswith("m.yaml:15: RUN017 maintenance calendar switches already stands in m.yaml:3")
