"""Game day files are read strictly: what is wrong has its line, its code, and what to write instead."""

from fractions import Fraction

import pytest

from netsre import clock
from netsre.app import gamedays
from netsre.errors import SpecErrors
from netsre.gameday import codes, parsing
from netsre.model.gamedays import Expectation, Flood, GameDay, Schedule

RIGHT = """\
apiVersion: netsre.dev/v1
kind: GameDay
metadata: {name: conntrack-flood}
spec:
  hypothesis: It heals.
  faults:
    - {kind: conntrack.flood, profile: udp, duration: 3m}
  targets: {lab: true}
  expect: {alert: ConntrackUtilization, runbook: conntrack-exhaustion, slo: conntrack-headroom}
  deadlines: {detected: 30s, paged: 35s, mitigated: 40s, verified: 60s}
  abort: {budgetBelow: 50%}
  schedule: {cron: '0 10 * * tue', timezone: Europe/Berlin}
"""
FAULT = "    - {kind: conntrack.flood, profile: udp, duration: 3m}\n"
KNOWN = parsing.Known({"ConntrackUtilization"}, {"conntrack-exhaustion"}, {"conntrack-headroom"})


def read(text: str, problem: str | None = None) -> tuple[GameDay, ...]:
    """Read one file."""
    return parsing.parse({"day.yaml": text}, lambda _: problem, KNOWN)


def test_a_game_day_is_read_whole() -> None:
    """Every part of it, with lengths of time in milliseconds."""
    (day,) = read(RIGHT)

    assert day.fault == Flood("udp", 3 * clock.MINUTE)
    assert day.expect == Expectation("ConntrackUtilization", "conntrack-exhaustion", "conntrack-headroom")
    assert day.deadlines == {"detected": 30_000, "paged": 35_000, "mitigated": 40_000, "verified": 60_000}
    assert day.abort_below == Fraction(1, 2)
    assert day.schedule == Schedule("0 10 * * tue", "Europe/Berlin")


@pytest.mark.parametrize(
    ("old", "new", "line", "code"),
    [
        (f"\n{FAULT}", " []\n", 6, codes.FAULTS),
        (FAULT, FAULT + FAULT, 6, codes.FAULTS),
        ("kind: conntrack.flood", "kind: conntrack.fload", 7, "SPEC011"),
        ("profile: udp", "profile: sctp", 7, "SPEC011"),
        ("duration: 3m", "duration: 11m", 7, codes.DURATION),
        ("duration: 3m", "duration: 90500ms", 7, codes.DURATION),
        ("lab: true", "lab: false", 8, codes.TARGET),
        ("lab: true", "node: mine", 8, "SPEC004"),
        ("alert: ConntrackUtilization", "alert: ConntrackUtilisation", 9, codes.UNKNOWN),
        ("slo: conntrack-headroom", "slo: headroom", 9, codes.UNKNOWN),
        ("runbook: conntrack-exhaustion", "runbook: reboot", 9, codes.UNKNOWN),
        ("detected: 30s", "detected: 4m", 10, codes.DEADLINE),
        ("verified: 60s", "verified: 39s", 10, codes.DEADLINE),
        (", verified: 60s", "", 10, "SPEC005"),
        ("50%", "150%", 11, codes.ABORT),
        ("budgetBelow: 50%", "budgetBelow: 50", 11, "SPEC009"),
        (", timezone: Europe/Berlin", "", 12, "SPEC005"),
        ("  hypothesis: It heals.\n", "", 5, "SPEC005"),
        ("spec:\n", "spec:\n  owner: ann\n", 5, "SPEC004"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_place_and_code(old: str, new: str, line: int, code: str) -> None:
    """One mistake, one finding of that code where it is written."""
    assert old in RIGHT
    with pytest.raises(SpecErrors) as caught:
        read(RIGHT.replace(old, new, 1))

    assert (line, code) in {(finding.line, finding.code) for finding in caught.value.findings}


def test_a_schedule_that_cannot_be_is_a_finding() -> None:
    """Whoever knows time tables says why."""
    with pytest.raises(SpecErrors, match=r"day.yaml:12: GDY007 spec.schedule is wrong"):
        read(RIGHT, "is wrong")


def test_two_of_one_name_are_refused() -> None:
    """The name is what history is kept under."""
    with pytest.raises(SpecErrors, match=codes.DUPLICATE):
        read(f"{RIGHT}---\n{RIGHT}")


def test_runbooks_beside_game_days_are_left_to_others() -> None:
    """They lie in one directory."""
    text = "apiVersion: netsre.dev/v1\nkind: Runbook\nmetadata: {name: x}\nspec: {whatever: 1}\n"

    assert read(text) == ()


def test_the_shipped_game_day_can_be_read_and_runs_by_hand_only() -> None:
    """It expects what is shipped, and verifies within a minute."""
    (day,) = gamedays.read(())

    assert (day.name, day.schedule) == ("conntrack-flood", None)
    assert day.deadlines["verified"] <= clock.MINUTE
