"""Reads recorded series: OpenMetrics text with timestamps, as `promtool tsdb dump-openmetrics` writes it.

The library's parser is asked for names and labels only. It makes floats of values, knows no lines, leaves a
second sample of one time out, and wants all samples of a series together; a budget is made of these samples,
so digits are taken from the text, and everything that could be meant in two ways is refused where it stands.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from netsre import clock
from netsre.clock import Timestamp, unix_seconds
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.samples import Recorded, Series, labels
from netsre.slo import exact

LONGEST_LINE: Final = 64 * 1024
"""Bytes; a series with every label it may have is a few hundred."""

_EOF: Final = "# EOF"
_LINE: Final = re.compile(
    r'(?P<head>(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})?)'
    r" (?P<value>[^ ]+)(?: (?P<time>[^ #][^ ]*))?(?: # .+)?"
)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_NO_NUMBER: Final = re.compile(r"nan|[+-]?inf(?:inity)?", re.IGNORECASE)


def read(
    paths: Sequence[Path],
    wanted: Callable[[str], bool],
    tell: Callable[[int], None] = lambda _bytes: None,
) -> Iterator[Recorded]:
    """Yield the samples of every metric whose sample name is wanted, file by file, each in its file's order.

    `tell` hears how many more bytes were read. Raises `BadInput` with file and line for what is no
    OpenMetrics text, a sample without time or before the one before it, and a wanted value that is no number.
    """
    reader = _Reader(wanted)
    for path in paths:
        yield from reader.file(path, tell)


class _Reader:
    """The series that were seen so far, in all files."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._series: dict[str, Series] = {}
        self._last: dict[Series, Recorded] = {}

    def file(self, path: Path, tell: Callable[[int], None]) -> Iterator[Recorded]:
        number, ended = 0, False
        for number, line in _lines(path, tell):
            if ended:
                raise BadInput(
                    f"{path}:{number}: stands after {_EOF}; write each recording into its own file"
                )
            ended = line == _EOF
            try:
                sample = None if line.startswith("#") else self._sample(line, f"{path}:{number}")
            except ValueError as error:
                raise BadInput(f"{path}:{number}: {error}") from error
            if sample is not None:
                yield sample
        if not ended:
            raise BadInput(
                f"{path}:{number or 1}: ends without {_EOF}, as if it were cut; write it as the last line"
            )

    def _sample(self, line: str, place: str) -> Recorded | None:
        found = _LINE.fullmatch(line)
        if found is None:
            example = 'name{label="value"} 12 1767225600.000'
            raise ValueError(f"{literals.shown(line)} is no sample; write {example}")
        at, value = _time(found["time"]), found["value"]
        if not self._wanted(found["name"]):
            if not (_NUMBER.fullmatch(value) or _NO_NUMBER.fullmatch(value)):
                raise ValueError(
                    f"value {literals.shown(value)} is not a number; write digits such as 12 or 0.5"
                )
            return None
        sample = Recorded(self._series_of(found["head"]), at, _value(value), place)
        before = self._last.get(sample.series)
        self._last[sample.series] = sample
        if before is not None and at <= before.at:
            _check_again(before, sample)
            return None
        return sample

    def _series_of(self, head: str) -> Series:
        """Return the series that a sample is of; the library reads it once, in whatever way it is written."""
        if head not in self._series:
            try:
                (family,) = text_string_to_metric_families(f"{head} 0\n{_EOF}\n")  # type: ignore[no-untyped-call]
                (sample,) = family.samples
            except (ValueError, KeyError, IndexError) as error:
                message = f'{literals.shown(head)} has labels that are none; write {{label="value"}}'
                raise ValueError(message) from error
            self._series[head] = Series(sample.name, labels(sample.labels))
        return self._series[head]


def _lines(path: Path, tell: Callable[[int], None]) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                tell(len(line))
                if len(line) > LONGEST_LINE:
                    raise BadInput(
                        f"{path}:{number}: is longer than {LONGEST_LINE >> 10} KiB; is it a sample?"
                    )
                yield number, line.removesuffix(b"\n").decode("utf-8")
    except OSError as error:
        raise BadInput(f"file {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}:{number}: is not UTF-8 text; unpack the file, or save it as UTF-8") from error


def _value(text: str) -> Decimal:
    if _NO_NUMBER.fullmatch(text):
        raise ValueError(
            f"value {text} is no count and no reading; leave the line out, as with grep -v ' NaN ' "
            "(a dump has it where Prometheus saw a series end)"
        )
    number = Decimal(text) if _NUMBER.fullmatch(text) else None
    if number is None or not exact.is_usable(number):
        raise ValueError(f"value {literals.shown(text)} is not a number; write digits such as 12 or 0.5")
    return number


def _time(text: str | None) -> Timestamp:
    if text is None:
        raise ValueError("has no timestamp; write seconds since 1970 after the value, such as 1767225600.000")
    number = Decimal(text) if _NUMBER.fullmatch(text) else None
    if number is None or not exact.is_usable(number):
        raise ValueError(f"timestamp {literals.shown(text)} is not a number; write seconds since 1970")
    at = int(number.scaleb(3))
    if not 0 <= at < clock.END:
        hint = " (these look like milliseconds)" if 0 <= at < clock.END * clock.SECOND else ""
        raise ValueError(f"timestamp {literals.shown(text)} is no time; write seconds since 1970{hint}")
    return Timestamp(at)


def _check_again(before: Recorded, sample: Recorded) -> None:
    """Take the same sample twice as one; anything else that is not later is refused."""
    if sample.at < before.at:
        raise ValueError(
            f"timestamp {unix_seconds(sample.at)} goes back, {before.place} has {unix_seconds(before.at)}; "
            "write the samples of a series in the order of their time"
        )
    if sample.value != before.value:
        raise ValueError(
            f"value {sample.value} is the second at {unix_seconds(sample.at)}, {before.place} has "
            f"{before.value}; keep one of them"
        )
