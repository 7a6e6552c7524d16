"""Times as text: what is read can be written, and is read again as the same."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+00:01",
        "0000-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "00010101T000000Z",
        "0001-01-01 00:00:00Z",
        "2026-W48-5T00:50:00Z",
        "2026-11-27T00:50Z",
        "2026-11-27T00:50:00,5Z",
        "2026-11-27T00:50:00+05:30:10",
        "2026-11-27T00:50:00",
        "2026-11-27T00:50:00Z\n",
        "\uff12026-11-27T00:50:00Z",
    ],
)
def test_what_is_no_rfc_3339_or_outside_its_years_is_refused(text: str) -> None:
    """Python reads more forms than the standard has, and times that it cannot write in UTC."""
    with pytest.raises(ValueError, match="write it as 2026-01-02T03:04:05Z"):
        clock.parse_rfc3339(text)


_ZONES = st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)).map(
    lambda offset: datetime.timezone(datetime.timedelta(minutes=offset // datetime.timedelta(minutes=1)))
)


@given(st.datetimes(timezones=_ZONES))
def test_every_time_that_is_read_can_be_written(at: datetime.datetime) -> None:
    """In any year and at any offset; or it is refused at the door, before it is kept."""
    try:
        read = clock.parse_rfc3339(at.isoformat())
    except ValueError:
        with pytest.raises(OverflowError):
            at.astimezone(datetime.UTC)
        return
    assert clock.parse_rfc3339(clock.rfc3339(read)) == read


def test_a_year_is_written_with_four_digits() -> None:
    """Also the first ones."""
    assert clock.rfc3339(Timestamp(-62_135_596_800_000)) == "0001-01-01T00:00:00.000Z"
