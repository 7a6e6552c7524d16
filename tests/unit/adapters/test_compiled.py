"""What a compiler made is kept, and nothing is believed that somebody else could have put there."""

import os
import pathlib
from collections.abc import Callable, Sequence

import pytest

from netsre.adapters.bpf import compiled
from netsre.adapters.bpf.compiled import Compiled, Map
from netsre.adapters.bpf.syscalls import MapShape

pytestmark = pytest.mark.requires("bcc")

_MADE = Compiled(
    {"first": Map(MapShape(1, 4, 8, 1), 16), "next": Map(MapShape(6, 4, 24), 2)}, {"f": bytes(range(256))}
)


class _Compiler:
    """Counts how often it was asked."""

    def __init__(self, made: Compiled = _MADE) -> None:
        self.asked = 0
        self._made = made

    def __call__(self) -> Compiled:
        self.asked += 1
        return self._made


def of(*parts: bytes) -> Callable[[], Sequence[bytes]]:
    """Return what it is made of."""
    return lambda: parts


def test_what_was_made_once_is_read_ever_after(tmp_path: pathlib.Path) -> None:
    """The second time nobody compiles, and it is the same to the last byte."""
    compiler, place = _Compiler(), tmp_path / "run" / "kept"

    assert [compiled.kept(of(b"text"), compiler, place) for _ in range(3)] == [_MADE] * 3
    assert compiler.asked == 1
    assert place.stat().st_mode & 0o777 == 0o700
    assert place.parent.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "other", [(b"text", b"-DA=2"), (b"Text", b"-DA=1"), (b"text-", b"DA=1"), (b"text",), (b"-DA=1", b"text")]
)
def test_what_was_made_of_something_else_is_not_it(tmp_path: pathlib.Path, other: tuple[bytes, ...]) -> None:
    """Another text, another flag, or the same bytes in other parts."""
    compiler = _Compiler()
    compiled.kept(of(b"text", b"-DA=1"), compiler, tmp_path / "kept")
    compiled.kept(of(*other), compiler, tmp_path / "kept")

    assert compiler.asked == 2


def test_what_was_changed_while_it_was_compiled_is_not_kept(tmp_path: pathlib.Path) -> None:
    """Nobody knows which of both texts the compiler has read, so the next one compiles again."""
    texts, compiler = iter([b"old", b"new", b"old", b"old", b"old"]), _Compiler()
    for _ in range(3):
        assert compiled.kept(lambda: [next(texts)], compiler, tmp_path / "kept") == _MADE

    assert compiler.asked == 2


def _readable_by_all(place: pathlib.Path) -> None:
    place.chmod(0o755)


def _writable_by_its_group(place: pathlib.Path) -> None:
    place.chmod(0o720)


def _of_somebody_else(place: pathlib.Path) -> None:
    os.chown(place, 12345, 12345)


def _somewhere_else(place: pathlib.Path) -> None:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to("elsewhere")


@pytest.mark.requires("root")
@pytest.mark.parametrize(
    "changed", [_readable_by_all, _writable_by_its_group, _of_somebody_else, _somewhere_else]
)
def test_a_directory_that_is_not_ours_alone_is_neither_read_nor_written_to(
    tmp_path: pathlib.Path, changed: Callable[[pathlib.Path], None]
) -> None:
    """What lies there may be anybody's, and would run in the kernel: it is compiled each time."""
    place, ours = tmp_path / "kept", _Compiler()
    compiled.kept(of(b"text"), _Compiler(Compiled({}, {"f": b"forged"})), place)
    changed(place)
    before = sorted(path.name for path in place.iterdir())

    assert [compiled.kept(of(b"text"), ours, place) for _ in range(2)] == [_MADE] * 2
    assert compiled.kept(of(b"other"), ours, place) == _MADE
    assert ours.asked == 3
    assert sorted(path.name for path in place.iterdir()) == before


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"[" * 100_000, b'{"maps": {}}', b'{"maps": {"a": [1, 2]}, "functions": {}}'],
    ids=range(6),
)
def test_what_cannot_be_read_is_made_again_and_is_whole_then(tmp_path: pathlib.Path, damage: bytes) -> None:
    """A file that is not what we write is as good as none."""
    compiler = _Compiler()
    compiled.kept(of(b"text"), compiler, tmp_path / "kept")
    [file] = (tmp_path / "kept").iterdir()
    file.write_bytes(damage)

    assert [compiled.kept(of(b"text"), compiler, tmp_path / "kept") for _ in range(2)] == [_MADE] * 2
    assert compiler.asked == 2


def test_where_nothing_can_be_kept_it_is_made_each_time(tmp_path: pathlib.Path) -> None:
    """A file in the place of the directory, as good as a file system that is full or read-only."""
    (tmp_path / "kept").touch()
    compiler = _Compiler()

    assert [compiled.kept(of(b"text"), compiler, tmp_path / "kept") for _ in range(2)] == [_MADE] * 2
    assert compiler.asked == 2


def test_what_cannot_be_put_there_leaves_nothing(tmp_path: pathlib.Path) -> None:
    """A directory has its name; so it is where a file system is full, which nobody is to fill up."""
    place, compiler = tmp_path / "kept", _Compiler()
    compiled.kept(of(b"text"), compiler, place)
    [file] = place.iterdir()
    file.unlink()
    file.mkdir()

    assert compiled.kept(of(b"text"), compiler, place) == _MADE
    assert [*place.iterdir()] == [file]


def test_only_what_was_asked_for_last_is_kept(tmp_path: pathlib.Path) -> None:
    """As many as there may be, whatever was compiled before them: one that is in use is not forgotten."""
    place, used, others = tmp_path / "kept", _Compiler(), _Compiler()
    for number in range(compiled.MOST + 3):
        # A clock of files may stand still for a while; now is later than all that was before.
        for file in place.glob("*"):
            os.utime(file, (number, number))
        compiled.kept(of(b"used"), used, place)
        compiled.kept(of(b"%d" % number), others, place)

    assert used.asked == 1
    assert len(list(place.iterdir())) == compiled.MOST
