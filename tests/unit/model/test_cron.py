"""Crontab's five fields are read strictly, and days of the week mean what crontab means by them."""

import pytest

from netsre.model import cron


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("30 2 * * 0", "sun"),
        ("30 2 * * 7", "sun"),
        ("30 2 * * 1", "mon"),
        ("30 2 * * 1-5", "mon,tue,wed,thu,fri"),
        ("30 2 * * Mon-FRI", "mon,tue,wed,thu,fri"),
        ("30 2 * * 1-5/2", "mon,wed,fri"),
        ("30 2 * * 0-7", "sun,mon,tue,wed,thu,fri,sat"),
        ("30 2 * * *", "*"),
    ],
)
def test_days_of_the_week_are_named(text: str, days: str) -> None:
    """0 and 7 are Sunday: a library that begins its week with Monday cannot shift them."""
    assert cron.parse(text).day_of_week == days


@pytest.mark.parametrize("text", ["*/15 0-6,22 1,15 jan-mar *", "0 0 31 2 *"])
def test_other_fields_stay_as_they_are_written(text: str) -> None:
    """They mean the same everywhere."""
    assert list(cron.parse(text))[:4] == text.split()[:4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("@daily", "1 fields"),
        ("60 * * * *", "'60' of minute is outside 0 to 59"),
        ("* 24 * * *", "outside 0 to 23"),
        ("* * 0 * *", "outside 1 to 31"),
        ("* * * 13 *", "outside 1 to 12"),
        ("* * * * 8", "outside 0 to 7"),
        ("* * * * moon", "'moon' of day of week"),
        ("-5 * * * *", "'-5' of minute is none"),
        ("5- * * * *", "'5-' of minute is none"),
        ("1,,2 * * * *", "'' of minute is none"),
        ("*-5 * * * *", "'*-5' of minute is none"),
        ("30-10 * * * *", "runs backwards"),
        ("5/10 * * * *", "a step without a range"),
        ("*/0 * * * *", "of minute is none"),
        ("* * * * */2", "name the days"),
        ("0 0 1 * mon", "write * for one of the two"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    """With what to write instead."""
    with pytest.raises(ValueError, match=r".") as caught:
        cron.parse(text)

    assert said in str(caught.value)
