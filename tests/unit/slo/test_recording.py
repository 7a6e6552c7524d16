"""Claims about recorded series: what is read, what is refused and where, and which scrapes they were."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.adapters import openmetrics
from netsre.errors import BadInput
from netsre.model.samples import Recorded, Scrape, Series
from netsre.slo.recording import Recording
from tests.unit.slo.given import RATIO, THRESHOLD, after, series, slo
from tests.unit.slo.sources import LIVES, Life, scraped

AT = 1_767_225_600
"""`given.START`, in seconds."""
START_TIME = series("process_start_time_seconds")


def read(path: Path, text: str) -> list[Recorded]:
    """Return what a file of this text holds."""
    path.write_bytes(text.encode())
    return list(openmetrics.read([path], lambda name: name == "flows"))


def scrapes(path: Path, *lines: str) -> list[Scrape]:
    """Return the scrapes that these lines were."""
    recording = Recording([slo(RATIO)])
    path.write_text("".join(f"{line}\n" for line in (*lines, "# EOF")))
    for sample in openmetrics.read([path], recording.wants):
        recording.add(sample)
    return [reading.scrape for reading in recording.readings()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", "9007199254740993"),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ("1e+06", "1000000"),
        ("0.30000000000000004", "0.30000000000000004"),
    ],
)
def test_a_value_has_every_digit_of_its_text(tmp_path: Path, text: str, value: str) -> None:
    """A float would have 9007199254740992 connections, and the budget of somebody else."""
    (sample,) = read(tmp_path / "a", f"flows {text} {AT}.5\n# EOF\n")

    assert (sample.value, sample.at) == (Decimal(value), after(0.5))


@pytest.mark.parametrize(
    "head",
    [
        'flows{a="1",b="x\\"}{ # \\\\"}',
        'flows{a="1", b="x\\"}{ # \\\\"}',
        'flows{b="x\\"}{ # \\\\",a="1"}',
    ],
)
def test_labels_are_read_however_they_are_written(tmp_path: Path, head: str) -> None:
    """With and without a space, in any order, with what would end them inside of a value."""
    (sample,) = read(tmp_path / "a", f'# TYPE flows counter\n{head} 3 {AT} # {{trace="9"}} 1\n# EOF\n')

    assert sample == Recorded(series("flows", a="1", b='x"}{ # \\'), after(0), Decimal(3), f"{tmp_path}/a:2")


def test_samples_may_be_ordered_by_series_or_by_time(tmp_path: Path) -> None:
    """A dump has one series after the other, a backfill one time after the other."""
    rows = [(name, at) for name in "ab" for at in (0, 15)]
    text = {(name, at): f'flows{{outcome="{name}"}} {at} {AT + at}' for name, at in rows}

    dump = scrapes(tmp_path / "dump", *(text[row] for row in rows))
    backfill = scrapes(tmp_path / "backfill", *(text[row] for row in sorted(rows, key=lambda row: row[1])))

    assert dump == backfill
    assert [len(scrape.values) for scrape in dump] == [2, 2]


BAD = [
    (f"flows 1 {AT}\n", 1, "ends without # EOF"),
    ("", 1, "ends without # EOF"),
    (f"flows 1 {AT}\n# EOF\nflows 2 {AT + 1}\n", 3, "stands after # EOF"),
    (f"flows NaN {AT}\n# EOF\n", 1, "value NaN is no count"),
    (f"flows +Inf {AT}\n# EOF\n", 1, "value +Inf is no count"),
    (f"flows 1,5 {AT}\n# EOF\n", 1, "value '1,5' is not a number; write digits"),
    (f"flows 0x1p3 {AT}\n# EOF\n", 1, "value '0x1p3' is not a number"),
    (f"flows 1_000 {AT}\n# EOF\n", 1, "value '1_000' is not a number"),
    (f"flows 1e400 {AT}\n# EOF\n", 1, "value '1e400' is not a number"),
    (f"other twelve {AT}\n# EOF\n", 1, "value 'twelve' is not a number"),
    ("flows 1\n# EOF\n", 1, "has no timestamp; write seconds since 1970"),
    ("flows 1 yesterday\n# EOF\n", 1, "timestamp 'yesterday' is not a number"),
    (f"flows 1 {AT * 1000}\n# EOF\n", 1, "these look like milliseconds"),
    ("flows 1 -5\n# EOF\n", 1, "timestamp '-5' is no time"),
    (f"flows 1 {AT + 1}\nflows 2 {AT}\n# EOF\n", 2, f"timestamp {AT}.000 goes back"),
    (f"flows 1 {AT}\nflows 2 {AT}\n# EOF\n", 2, f"value 2 is the second at {AT}.000"),
    (f'flows{{outcome="a}} 1 {AT}\n# EOF\n', 1, "is no sample; write name{label"),
    (f"flows{{outcome=a}} 1 {AT}\n# EOF\n", 1, "has labels that are none"),
    (f'flows{{a="1",a="2"}} 1 {AT}\n# EOF\n', 1, "has labels that are none"),
    (f"flows  1 {AT}\n# EOF\n", 1, "is no sample"),
    (f"\nflows 1 {AT}\n# EOF\n", 1, "is no sample"),
    (f"flows 1 {AT}\r\n# EOF\r\n", 1, "timestamp"),
    ("<html>\n# EOF\n", 1, "is no sample"),
    (f'flows{{a="{"x" * 70_000}"}} 1 {AT}\n# EOF\n', 1, "is longer than 64 KiB"),
]


@pytest.mark.parametrize(
    ("text", "line", "message"), BAD, ids=[case[2] + str(at) for at, case in enumerate(BAD)]
)
def test_what_can_be_misread_is_refused_where_it_stands(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    """File, line, the value, and what to write: never a budget of half a file."""
    with pytest.raises(BadInput) as refused:
        read(tmp_path / "a", text)

    said = str(refused.value)
    assert said.startswith(f"{tmp_path}/a:{line}: ")
    assert message in said
    assert "\n" not in said


def test_a_packed_file_is_refused_in_one_line(tmp_path: Path) -> None:
    """What is no text has no line to be quoted."""
    path = tmp_path / "a.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00\xff\xfe\n")

    with pytest.raises(BadInput, match=r"a\.gz:1: is not UTF-8 text; unpack the file"):
        list(openmetrics.read([path], lambda _: True))


def test_the_same_sample_twice_is_one(tmp_path: Path) -> None:
    """Two dumps that overlap say nothing new where they do."""
    assert len(read(tmp_path / "a", f"flows 1 {AT}\nflows 1 {AT}\n# EOF\n")) == 1


def test_not_a_number_in_a_series_that_nobody_needs_is_let_be(tmp_path: Path) -> None:
    """A summary without observations has NaN in every dump."""
    assert read(tmp_path / "a", f'other NaN {AT}\nother{{quantile="1"}} -Inf {AT}\n# EOF\n') == []


@given(lives=LIVES, by_series=st.booleans())
def test_what_was_scraped_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, lives: list[Life], *, by_series: bool
) -> None:
    """Restarts, gaps, missing series, digits and all: a replay sees what the controller saw."""
    scrapes_of = scraped(lives)
    rows = [
        (written(key, scrape.node), scrape.at, f"{value:f}")
        for scrape in scrapes_of
        for key, value in {**scrape.values, START_TIME: Decimal(scrape.started_at) / 1000}.items()
    ]
    path = tmp_path_factory.mktemp("recorded") / "a.om"
    if by_series:
        rows.sort(key=lambda row: row[0])
    text = [f"{name} {value} {at // 1000}.{at % 1000:03d}\n" for name, at, value in rows]
    path.write_text("".join([*text, "# EOF\n"]))
    recording = Recording([slo(), slo(THRESHOLD, name="used")])
    for sample in openmetrics.read([path], recording.wants):
        recording.add(sample)

    assert shown(reading.scrape for reading in recording.readings()) == shown(scrapes_of)


def shown(scrapes_of: Iterable[Scrape]) -> dict[tuple[int, str], tuple[int, dict[Series, Decimal]]]:
    """Return the flows and gauges of scrapes and their starts, by time and node."""
    return {
        (one.at, one.node): (
            one.started_at,
            {key: value for key, value in one.values.items() if key.name in ("flows", "used")},
        )
        for one in scrapes_of
    }


def written(key: Series, node: str) -> str:
    """Return a series as a dump has it."""
    pairs = ",".join(f'{name}="{value}"' for name, value in (*key.labels, ("node", node)))
    return f"{key.name}{{{pairs}}}"


def test_a_scrape_is_what_a_source_showed_at_one_time(tmp_path: Path) -> None:
    """The labels that Prometheus added are off, and so is the start, which is the scrape's."""
    one = 'job="agent",instance="10.0.0.1:8601",node="n1"'

    found = scrapes(
        tmp_path / "a",
        f'flows{{{one},outcome="failed"}} 1 {AT}',
        f'flows{{{one},outcome="failed"}} 2 {AT + 15}',
        f"process_start_time_seconds{{{one}}} {AT - 100} {AT}",
        f"process_start_time_seconds{{{one}}} {AT - 100} {AT + 15}",
        f'flows{{{one},outcome="delivered"}} 7 {AT + 15}',
    )

    failed, delivered = series("flows", outcome="failed"), series("flows", outcome="delivered")
    assert found == [
        Scrape(after(0), "n1", after(-100), {failed: Decimal(1)}),
        Scrape(after(15), "n1", after(-100), {failed: Decimal(2), delivered: Decimal(7)}),
    ]


@pytest.mark.parametrize(
    ("pairs", "name"),
    [('node="n1",instance="i"', "n1"), ('instance="i"', "i"), ('outcome="failed"', "recording")],
)
def test_a_source_is_its_node_or_else_its_instance(tmp_path: Path, pairs: str, name: str) -> None:
    """Without either there is one source."""
    (found,) = scrapes(tmp_path / "a", f"flows{{{pairs}}} 1 {AT}")

    assert found.node == name


@pytest.mark.parametrize(("start", "first"), [(-100, False), (7, False), (-50, True), (None, True)])
def test_a_source_that_is_called_otherwise_goes_on_when_its_start_says_so(
    tmp_path: Path, start: int | None, *, first: bool
) -> None:
    """The same start, or one since the last scrape; anything else may be another process: it counts anew."""
    path, of = tmp_path / "a", 'flows{node="n1",instance="%s"} %d %d'
    when = 'process_start_time_seconds{node="n1",instance="%s"} %d %d'
    text = [of % ("old", 500, AT), when % ("old", AT - 100, AT), of % ("new", 507, AT + 15)]
    text += [] if start is None else [when % ("new", AT + start, AT + 15)]
    path.write_text("".join(f"{line}\n" for line in (*text, "# EOF")))
    recording = Recording([slo(RATIO)])
    for sample in openmetrics.read([path], recording.wants):
        recording.add(sample)

    found = list(recording.readings())

    assert [dict(reading.scrape.values) for reading in found] == [
        {series("flows"): Decimal(500)},
        {series("flows"): Decimal(507)},
    ]
    assert [reading.first for reading in found] == [True, first]


@pytest.mark.parametrize("apart", [0, 5])
def test_two_jobs_are_never_taken_for_one_source(tmp_path: Path, apart: int) -> None:
    """Their counters would be each other's resets."""
    lines = [
        f'flows{{node="n1",job="{job}"}} {at} {AT + at + shift}'
        for job, shift in (("a", 0), ("b", apart))
        for at in (0, 15)
    ]

    with pytest.raises(BadInput, match=r"a:1: node='n1' names several targets: .*keep one of them"):
        scrapes(tmp_path / "a", *lines)


@pytest.mark.parametrize("start", ["0", "-5", "1e300"])
def test_a_source_that_began_at_no_time_is_refused(tmp_path: Path, start: str) -> None:
    """It would make a restart of every scrape, or none of any."""
    with pytest.raises(BadInput, match=r"a:1: value \S+ is no time; write seconds since 1970"):
        scrapes(tmp_path / "a", f"process_start_time_seconds {start} {AT}")


def test_a_job_that_only_says_when_it_began_is_nobody(tmp_path: Path) -> None:
    """Every program of a node has a start time; only that of the one with the series counts."""
    found = scrapes(
        tmp_path / "a",
        f'flows{{node="n1",job="agent"}} 1 {AT}',
        f'process_start_time_seconds{{node="n1",job="other"}} {AT - 5} {AT}',
        f'process_start_time_seconds{{node="n2",job="other"}} {AT - 5} {AT}',
    )

    assert found == [Scrape(after(0), "n1", after(-AT), {series("flows"): Decimal(1)})]
