"""What an agent says of its own CPU."""

from netsre.metrics.share import CpuShare


def test_the_share_is_of_the_last_span_that_was_long_enough() -> None:
    """Two scrapers within a second do not make it jump, and before a span there is none."""
    share = CpuShare()
    seen = []
    for at, used in ((100.0, 5.0), (101.0, 5.9), (110.0, 6.0), (115.0, 9.0), (130.0, 7.0), (150.0, 57.0)):
        share.read(at, used)
        seen.append(share.value)

    assert seen == [None, None, 0.1, 0.1, 0.05, 2.5]


def test_cpu_time_that_falls_is_no_negative_share() -> None:
    """It cannot; nothing is made of it."""
    share = CpuShare()
    share.read(0.0, 5.0)
    share.read(10.0, 4.0)

    assert share.value == 0.0
