"""The flow log on disk: its bound, its order, and what crashes and full disks do to it."""

import contextlib
import errno
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from netsre.adapters.flow_log import rotated
from netsre.adapters.flow_log.background import FlowLogWriter, Line
from netsre.adapters.flow_log.reading import FlowLogReader
from netsre.adapters.flow_log.writing import FlowLogFile, Written
from netsre.datapath import flow_lines
from tests.machine import PATIENCE, wait_until
from tests.system.flow_log_lines import line, number

LINE_BYTES = len(line(1))
PART = 100 * LINE_BYTES
MOST = 8 * PART


def numbers(path: pathlib.Path) -> list[int]:
    """Read everything that is kept."""
    reader = FlowLogReader(path)
    try:
        return [number(raw) for raw in reader.read()]
    finally:
        reader.close()


def kept(path: pathlib.Path) -> int:
    """Return the bytes of all files."""
    return sum(file.stat().st_size for file in path.parent.iterdir())


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return where a log can be, in a directory that is not there yet."""
    return tmp_path / "log" / "flows.jsonl"


def test_the_newest_lines_are_kept_in_order_and_never_more_than_the_bound(path: pathlib.Path) -> None:
    """Whatever the batches; most of the bound is used, and the oldest file goes first."""
    file, made = FlowLogFile(path, MOST), 0
    for batch in (1, 7, 99, 100, 101, 350, 3, 1_200, 50, 1):
        written = file.append([line(made + each) for each in range(batch)])
        made += batch
        assert written == (batch, None)
        assert kept(path) <= MOST
    found = numbers(path)

    assert found == list(range(made - len(found), made))
    assert len(found) >= 600
    with contextlib.closing(FlowLogReader(path)):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_rotation_gives_the_next_number_and_touches_nothing_else(path: pathlib.Path) -> None:
    """Files of others, also those that look alike, stay as they are."""
    path.parent.mkdir()
    others = ["flows.jsonl.old", "flows.jsonl.01", "flows.jsonl.9x", "flows.jsonl.", "alerts.jsonl"]
    for name in others:
        (path.parent / name).write_text("x" * MOST, encoding="ascii")
    (path.parent / "flows.jsonl.7").write_bytes(line(0))
    file = FlowLogFile(path, MOST)
    for begin in range(0, 2_000, 50):
        file.append([line(begin + each) for each in range(50)])
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.name not in others)

    assert [(path.parent / name).stat().st_size for name in others] == [MOST] * len(others)
    assert "flows.jsonl.7" not in names
    assert all(int(name.rpartition(".")[2]) > 7 for name in names if name != "flows.jsonl")


@contextlib.contextmanager
def writing(path: pathlib.Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a writer of its own, and kill it."""
    command = [sys.executable, "-m", "tests.system.flow_log_writer", str(path), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_reader_follows_across_files_without_a_gap_or_a_repetition(path: pathlib.Path) -> None:
    """While another process rotates two thousand times, also between two looks of the reader."""
    found: list[bytes] = []
    file = FlowLogFile(path, 8 * 64 * LINE_BYTES)
    file.append([line(0)])
    reader, until = FlowLogReader(path), time.monotonic() + 2 * PATIENCE
    with writing(path, 8 * 64 * LINE_BYTES, 1, 50, "asked") as process:
        assert process.stdin is not None
        for turn in range(1, 401):
            process.stdin.write("\n")
            process.stdin.flush()
            while len(found) <= 5 * 50 * turn and time.monotonic() < until:
                found += reader.read()
    reader.close()
    read = [number(raw) for raw in found]

    assert read == list(range(len(read)))
    assert len(read) == 100_001


def test_a_reader_that_is_slow_goes_on_with_the_oldest_that_is_left(path: pathlib.Path) -> None:
    """What was removed under it is a gap; nothing comes twice, and nothing out of order."""
    file = FlowLogFile(path, MOST)
    file.append([line(each) for each in range(10)])
    reader = FlowLogReader(path)
    found = [number(raw) for raw in reader.read()]
    for begin in range(10, 3_000, 10):
        file.append([line(begin + each) for each in range(10)])
    late = [number(raw) for raw in reader.read()]
    reader.close()

    assert found == list(range(10))
    left = numbers(path)
    assert late == [*range(10, late[-1 - len(left)] + 1), *left]
    assert left == list(range(left[0], 3_000))
    assert left[0] > 2_000


def test_a_line_is_read_when_it_is_whole_and_not_before(path: pathlib.Path) -> None:
    """Byte by byte, as a slow disk or a crash would have it."""
    path.parent.mkdir()
    path.touch()
    reader = FlowLogReader(path)
    found: list[bytes] = []
    with path.open("ab", buffering=0) as file:
        for byte in line(5):
            assert found == []
            file.write(bytes([byte]))
            found += list(reader.read())
    reader.close()

    assert list(map(number, found)) == [5]


def test_a_log_that_was_removed_or_moved_by_hand_goes_on(path: pathlib.Path) -> None:
    """Under its name a new file begins; whoever follows reads it, and nothing of the old one again."""
    file = FlowLogFile(path, MOST)
    for begin in range(0, 300, 50):
        file.append([line(begin + each) for each in range(50)])
    reader = FlowLogReader(path)
    before = [number(raw) for raw in reader.read()]
    path.unlink()
    between = list(reader.read())
    file.append([line(300)])
    path.rename(path.with_name("moved"))
    file.append([line(301)])
    after = [number(raw) for raw in reader.read()]
    reader.close()

    assert before == list(range(300))
    assert between == []
    assert after == [301]


def test_a_log_that_was_cut_off_by_hand_is_read_from_its_beginning(path: pathlib.Path) -> None:
    """As other programs rotate, that copy and truncate."""
    file = FlowLogFile(path, MOST)
    file.append([line(each) for each in range(5)])
    reader = FlowLogReader(path)
    before = [number(raw) for raw in reader.read()]
    os.truncate(path, 0)
    file.append([line(5)])
    after = [number(raw) for raw in reader.read()]
    reader.close()

    assert (before, after) == ([0, 1, 2, 3, 4], [5])


def test_kill_9_while_writing_tears_no_line_that_is_read_as_a_record(path: pathlib.Path) -> None:
    """Thirty writers, each killed in the middle of its work, each going on where the last one was.

    All lines that a writer was told are on disk are there; what is read is whole and in order.
    """
    made = 0
    for turn in range(30):
        with writing(path, 64 << 20, made, 400) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(turn / 1_000)
            process.kill()
            made = int([first, *process.stdout.read().split()][-1])
    found = []
    reader = FlowLogReader(path)
    for raw in reader.read():
        with contextlib.suppress(ValueError):
            found.append(number(raw))
    reader.close()

    assert sorted(set(found)) == list(range(max(found) + 1))
    assert set(range(made)) <= set(found)


def test_after_a_line_that_was_not_finished_the_next_is_whole(path: pathlib.Path) -> None:
    """Wherever it was cut, also just before its end; nothing is cut off that somebody may be reading."""
    for cut in (1, LINE_BYTES // 2, LINE_BYTES - 1):
        path.unlink(missing_ok=True)
        file = FlowLogFile(path, MOST)
        file.append([line(1)])
        with path.open("ab") as torn:
            torn.write(line(2)[:cut])
        reader = FlowLogReader(path)
        first = list(reader.read())
        file.append([line(3)])
        first += list(reader.read())
        reader.close()

        assert number(first[0]) == 1
        with pytest.raises(ValueError):  # noqa: PT011  json's own among them
            flow_lines.parse(first[1])
        assert [number(raw) for raw in first[2:]] == [3]


@contextlib.contextmanager
def small_disk(where: pathlib.Path, kilobytes: int) -> Iterator[pathlib.Path]:
    """Mount a tiny file system of this test's own."""
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def lines(begin: int, count: int) -> list[Line]:
    """Return lines as the agent offers them."""
    return [Line("failed", line(begin + each)) for each in range(count)]


@pytest.mark.requires("root")
def test_a_full_disk_loses_lines_that_are_counted_and_said_once(tmp_path: pathlib.Path) -> None:
    """Offered is written and lost, to the line; when there is room again, it goes on."""
    said: list[str] = []
    with small_disk(tmp_path / "disk", 256) as disk:
        writer = FlowLogWriter(FlowLogFile(disk / "flows.jsonl", 8 << 20), said.append)
        writer.open()
        for begin in range(0, 3_000, 100):
            writer.offer(lines(begin, 100))
            assert wait_until(lambda: writer.settled)
        lost = writer.lost()["failed"]
        written = numbers_on(disk / "flows.jsonl")
        full = list(said)
        (disk / "flows.jsonl").unlink()
        writer.offer(lines(3_000, 1))
        assert wait_until(lambda: writer.settled)
        after = numbers_on(disk / "flows.jsonl")
        writer.close(10)

    assert lost > 0
    assert len(written) + lost == 3_000
    assert written == list(range(len(written)))
    assert full == [
        (
            f"the flow log {disk}/flows.jsonl cannot be written: {os.strerror(errno.ENOSPC)}; "
            "lines are lost and counted until it can, which is said once"
        )
    ]
    assert after == [3_000]
    assert said == [*full, f"the flow log {disk}/flows.jsonl is written again"]


def numbers_on(path: pathlib.Path) -> list[int]:
    """Return the records of one log, without what a full disk cut off."""
    found = []
    reader = FlowLogReader(path)
    for raw in reader.read():
        with contextlib.suppress(ValueError):
            found.append(number(raw))
    reader.close()
    return found


@pytest.mark.requires("root")
def test_a_disk_that_cannot_be_written_loses_all_and_stops_nothing(tmp_path: pathlib.Path) -> None:
    """Read-only from the beginning, and writable later."""
    said: list[str] = []
    with small_disk(tmp_path / "disk", 256) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        writer = FlowLogWriter(FlowLogFile(disk / "log" / "flows.jsonl", 8 << 20), said.append)
        writer.open()
        writer.offer(lines(0, 23))
        assert wait_until(lambda: writer.settled)
        lost = writer.lost()
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        writer.offer(lines(23, 1))
        writer.close(10)
        found = numbers(disk / "log" / "flows.jsonl")

    assert lost == {"failed": 23}
    assert found == [23]
    assert [os.strerror(errno.EROFS) in sentence for sentence in said] == [True, False]


class Hanging:
    """A file on a disk that answers when it is told to."""

    def __init__(self, file: FlowLogFile) -> None:
        """Hang from now on."""
        self.file, self.path = file, file.path
        self.answers = threading.Event()

    def open(self) -> int:
        """Find the directory."""
        return self.file.open()

    def append(self, lines: Sequence[bytes]) -> Written:
        """Wait for the disk, and write."""
        self.answers.wait()
        return self.file.append(lines)

    def close(self) -> None:
        """Let go of it."""
        self.file.close()


def test_a_disk_that_hangs_keeps_nobody_waiting(tmp_path: pathlib.Path) -> None:
    """What it cannot take waits within a bound, the rest is lost and counted."""
    file = Hanging(FlowLogFile(tmp_path / "flows.jsonl", MOST))
    writer = FlowLogWriter(file, print, most_waiting=50 * LINE_BYTES)
    for begin in range(0, 200, 10):
        writer.offer(lines(begin, 10))
    lost = writer.lost()["failed"]
    file.answers.set()
    writer.close(10)

    assert lost == 150
    assert numbers(tmp_path / "flows.jsonl") == list(range(50))


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe", "directory"])
def test_a_file_that_is_not_ours_alone_is_not_written(tmp_path: pathlib.Path, kind: str) -> None:
    """Whoever can make files there must not have the agent write into another one."""
    precious, path = tmp_path / "precious", tmp_path / "flows.jsonl"
    precious.write_text("precious\n", encoding="ascii")
    makers: dict[str, Callable[[], None]] = {
        "symlink": lambda: path.symlink_to(precious),
        "hardlink": lambda: path.hardlink_to(precious),
        "pipe": lambda: os.mkfifo(path),
        "directory": path.mkdir,
    }
    makers[kind]()
    written = FlowLogFile(path, MOST).append([line(1)])

    assert written.lines == 0
    assert isinstance(written.error, OSError)
    assert precious.read_text(encoding="ascii") == "precious\n"


def test_the_directory_may_not_be_a_link(tmp_path: pathlib.Path) -> None:
    """Nor what stands in its place."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")

    assert FlowLogFile(tmp_path / "log" / "flows.jsonl", MOST).append([line(1)]).lines == 0
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_files_are_listed_by_number_and_not_by_name(tmp_path: pathlib.Path) -> None:
    """The tenth comes after the ninth."""
    for name in ("f.10", "f.9", "f.2", "f.0", "f"):
        (tmp_path / name).touch()
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    found = [file.name for file in rotated(directory, "f")]
    os.close(directory)

    assert found == ["f.2", "f.9", "f.10"]
