"""Claims about files of noisy clients."""

import datetime
import pathlib

import pytest

from netsre.alerting import codes, noisy
from netsre.app.generate_alertmanager import interval
from netsre.errors import SpecErrors

TODAY = datetime.date(2026, 1, 31)
BAD = pathlib.Path(__file__).parent / "bad_clients"
FILE = """\
apiVersion: netsre.dev/v1
kind: NoisyClients
metadata: {name: known}
spec:
  clients:
    - {src: default/scanner, until: 'DAY', owner: ann, reason: It asks every port.}
"""


def found(day: str, more: str = "") -> list[str]:
    """Return the codes of what is wrong with a client until a day."""
    try:
        noisy.parse({"f": FILE.replace("DAY", day) + more}, TODAY)
    except SpecErrors as errors:
        return [finding.code for finding in errors.findings]
    return []


@pytest.mark.parametrize(
    ("day", "wrong"),
    [
        ("2026-01-31", False),
        ("2026-01-30", True),
        ("2026-07-30", False),
        ("2026-07-31", True),
        ("2026-02-30", True),
        ("20260228", True),
        ("2026-W09-1", True),
    ],
)
def test_a_client_is_muted_until_a_day_that_comes_and_is_not_far_away(day: str, *, wrong: bool) -> None:
    """Today is the last day; 180 days later nobody would remember."""
    assert found(day) == [codes.CLIENT_END] * wrong


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_bad_file_gets_exactly_its_messages(path: pathlib.Path) -> None:
    """The lines that begin with `#=` are all findings of the file, in order."""
    text = path.read_text(encoding="utf-8")
    expected = [line.removeprefix("#= ") for line in text.splitlines() if line.startswith("#= ")]

    with pytest.raises(SpecErrors) as caught:
        noisy.parse({"f": text}, TODAY)

    assert [str(finding) for finding in caught.value.findings] == [f"f:{line}" for line in expected]


def test_a_client_is_muted_once() -> None:
    """Of two ends nobody could tell which counts."""
    again = "    - {src: default/scanner, until: '2026-03-01', owner: ben, reason: The same.}\n"
    assert found("2026-02-01", again) == [codes.SAME_CLIENT]


@pytest.mark.parametrize("until", ["2026-01-01", "2026-01-31", "2026-02-28", "2026-03-15", "2026-12-31"])
def test_the_time_of_a_mute_has_every_day_up_to_its_end_and_none_after_it(until: str) -> None:
    """Read as Alertmanager reads it: one of the parts holds, and of that every bound."""
    end = datetime.date.fromisoformat(until)
    for number in range(-400, 400):
        day = end + datetime.timedelta(days=number)
        parts = {"years": day.year, "months": day.month, "days_of_month": day.day}
        muted = any(
            all(_within(parts[name], bounds) for name, bounds in one.items()) for one in interval(end)
        )
        assert muted == (day <= end), day


def _within(value: int, bounds: list[str]) -> bool:
    [text] = bounds
    first, _, last = text.partition(":")
    return int(first) <= value <= int(last or first)
