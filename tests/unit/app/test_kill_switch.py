"""The kill switch: off only where that is written, made once, and every change of it on record."""

import json
import os
import pathlib
import resource
import signal
from collections.abc import Callable, Iterator

import pytest

from netsre.app import kill_switch
from netsre.app.control.snapshot import Board
from netsre.app.control.switch import SwitchWatch
from netsre.app.kill_switch import FILE_NAME, UNREADABLE
from netsre.cli.main import run
from netsre.clock import SECOND, Timestamp
from netsre.errors import EnvironmentUnfit
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.fakes import SetClock


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store in the data directory."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def started(store: Store, directory: pathlib.Path) -> SwitchWatch:
    """Return the watch of a controller that just started."""
    watch = SwitchWatch(store, directory, Board(burning.T0), SetClock())
    watch.begin()
    return watch


def verbs(store: Store) -> list[str]:
    """Return what the audit says of the switch."""
    with store.read() as transaction:
        rows = [row.verb for row in transaction.audit.rows()]
    return [verb for verb in rows if verb.startswith("kill_switch.")]


def test_the_first_start_makes_it_and_it_is_off(store: Store, tmp_path: pathlib.Path) -> None:
    """Only for its owner to read, and on record once, however often a controller starts."""
    for _ in range(3):
        watch = started(store, tmp_path)

    assert not watch.read().on
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert verbs(store) == ["kill_switch.off"]


def test_one_that_was_set_before_the_first_start_stays(store: Store, tmp_path: pathlib.Path) -> None:
    """Whoever wants no automation from the beginning gets none."""
    kill_switch.write(tmp_path, kill_switch.switched(on=True, by="me", reason="new", at=burning.T0))

    assert started(store, tmp_path).read().on


def test_one_that_is_missing_later_is_on(store: Store, tmp_path: pathlib.Path) -> None:
    """A second start is no first one: nobody knows what the file said."""
    started(store, tmp_path)
    (tmp_path / FILE_NAME).unlink()

    switch = started(store, tmp_path).read()

    assert (switch.on, switch.reason) == (True, UNREADABLE)
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"off",
        b"null",
        b"[]",
        b"{}",
        b'{"state": "OFF"}',
        b'{"state": false}',
        b'{"state": "off"',
        b'{"state": "off", "reason": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"state": "off", "reason": "' + b"x" * 20_000 + b'"}',
    ],
)
def test_whatever_is_not_clearly_off_is_on(tmp_path: pathlib.Path, content: bytes) -> None:
    """With the file and what is wrong with it."""
    (tmp_path / FILE_NAME).write_bytes(content)

    switch = kill_switch.read(tmp_path)

    assert (switch.on, switch.reason) == (True, UNREADABLE)
    assert switch.problem.startswith(str(tmp_path / FILE_NAME))


@pytest.mark.parametrize("make", [pathlib.Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_on_and_keeps_nobody_waiting(
    tmp_path: pathlib.Path, make: Callable[[pathlib.Path], None]
) -> None:
    """A directory, a pipe without a writer, a link to nothing."""
    make(tmp_path / FILE_NAME)

    assert kill_switch.read(tmp_path).reason == UNREADABLE


def test_every_change_is_audited_once_over_restarts(store: Store, tmp_path: pathlib.Path) -> None:
    """On, looked at often, a restart, off."""
    watch = started(store, tmp_path)
    kill_switch.write(tmp_path, kill_switch.switched(on=True, by="me", reason="test", at=burning.T0))
    for _ in range(3):
        watch.watch()
    again = started(store, tmp_path)
    kill_switch.write(tmp_path, kill_switch.switched(on=False, by="me", reason="", at=burning.T0))
    again.watch()

    assert verbs(store) == ["kill_switch.off", "kill_switch.on", "kill_switch.off"]
    with store.read() as transaction:
        details = [json.loads(row.details) for row in transaction.audit.rows()]
    assert (details[1]["by"], details[1]["reason"]) == ("me", "test")


@pytest.mark.requires("root")
def test_it_keeps_its_owner_whoever_sets_it(tmp_path: pathlib.Path) -> None:
    """Root sets it for the user that the controller runs as."""
    os.chown(tmp_path, 65534, 65534)
    switch = kill_switch.switched(on=True, by="root", reason="", at=burning.T0)
    kill_switch.write(tmp_path, switch)
    first = (tmp_path / FILE_NAME).stat().st_uid
    os.chown(tmp_path / FILE_NAME, 65533, 65533)
    kill_switch.write(tmp_path, switch)

    assert (first, (tmp_path / FILE_NAME).stat().st_uid) == (65534, 65533)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_where_it_cannot_be_written_it_says_so(tmp_path: pathlib.Path) -> None:
    """One line with what to do."""
    with pytest.raises(EnvironmentUnfit, match="--data-dir"):
        kill_switch.write(tmp_path / "absent", kill_switch.switched(on=True, by="", reason="", at=burning.T0))


def test_a_person_sets_it_and_reads_what_that_does(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a controller; what happens to runs is said beside it."""
    where = ["--data-dir", str(tmp_path)]

    assert run(["kill-switch", "on", "--reason", "maintenance", *where]) == 0
    said = capsys.readouterr().out
    assert run(["kill-switch", "status", "--json", *where]) == 0
    told = json.loads(capsys.readouterr().out)

    assert "kill switch is on" in said
    assert "needs_human" in said
    assert (told["state"], told["reason"], told["data_dir"]) == ("on", "maintenance", str(tmp_path))
    assert told["by"]
    assert run(["kill-switch", "off", *where]) == 0
    assert not kill_switch.read(tmp_path).on


@pytest.mark.parametrize(
    "reason", ["x" * 1_000_000, "\udcff", "\x1b[31m\n", "\N{FIRE}" * 10_000, '"' * 5_000]
)
def test_no_reason_keeps_it_from_being_set(
    tmp_path: pathlib.Path, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is pasted at night: it says what it then is, either way."""
    for state in ("on", "off"):
        assert run(["kill-switch", state, "--reason", reason, "--data-dir", str(tmp_path)]) == 0
        assert kill_switch.read(tmp_path).state == state
        assert f"kill switch is {state}" in capsys.readouterr().out


def test_the_state_of_one_that_is_missing_names_its_problem(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On, because nobody can tell."""
    assert run(["kill-switch", "status", "--data-dir", str(tmp_path)]) == 0

    said = capsys.readouterr().out
    assert "kill switch is on" in said
    assert "No such file" in said


def test_a_switch_that_nobody_may_read_is_said_to_be_one(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no controller answers, the usual directory is a guess: perhaps nothing is stopped."""
    monkeypatch.setenv("NETSRE_CONTROLLER", "http://127.0.0.1:1")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (tmp_path / "netsre").mkdir()

    assert run(["kill-switch", "on"]) == 0

    said = capsys.readouterr()
    assert f"kill switch is on ({tmp_path}/netsre)" in said.out
    assert "no controller answers at http://127.0.0.1:1" in said.err


def test_a_controller_that_was_named_must_answer(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A switch somewhere else than there would stop nothing."""
    assert run(["kill-switch", "on", "--controller", "http://127.0.0.1:1"]) == 3
    assert "does not answer" in capsys.readouterr().err
    assert run(["kill-switch", "on", "--controller", "http://127.0.0.1:1", "--data-dir", str(tmp_path)]) == 0


@pytest.fixture
def two(store: Store, tmp_path: pathlib.Path) -> tuple[SwitchWatch, SwitchWatch]:
    """Return the watches of two controllers with one database and a data directory each."""
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (
        SwitchWatch(store, tmp_path / name, Board(burning.T0), SetClock(), name) for name in "ab"
    )
    for watch in (first, second):
        watch.begin()
    return first, second


def say(directory: pathlib.Path, *, on: bool, after: int) -> None:
    """Say something to a controller, so many seconds after its start."""
    said = kill_switch.switched(on=on, by="me", reason="", at=Timestamp(burning.T0 + after * SECOND))
    kill_switch.write(directory, said)


def test_what_is_said_to_one_controller_holds_for_all_of_its_database(
    two: tuple[SwitchWatch, SwitchWatch], store: Store, tmp_path: pathlib.Path
) -> None:
    """Whoever was told of it last, whichever of them leads, and each word is on record once."""
    first, second = two
    say(tmp_path / "a", on=True, after=1)
    for watch in (*two, *two):
        watch.watch()
    assert (first.read().on, second.read().on) == (True, True)
    say(tmp_path / "b", on=False, after=2)
    for watch in (second, first):
        watch.watch()
    assert (first.read().on, second.read().on) == (False, False)
    assert verbs(store) == ["kill_switch.off"] * 2 + ["kill_switch.on", "kill_switch.off"]


def test_a_controller_that_comes_later_hears_what_was_said(store: Store, tmp_path: pathlib.Path) -> None:
    """Its own first switch, off, answers nothing."""
    for name, on in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        watch = SwitchWatch(store, tmp_path / name, Board(burning.T0), SetClock(), name)
        watch.begin()
        if on:
            say(tmp_path / name, on=True, after=-100)
            watch.watch()
    assert watch.read().on


@pytest.mark.parametrize("name", [FILE_NAME, kill_switch.ELSEWHERE])
def test_a_word_that_cannot_be_read_stops_this_controller(
    two: tuple[SwitchWatch, SwitchWatch], tmp_path: pathlib.Path, name: str
) -> None:
    """Whatever was said elsewhere, and later; it stops no other one."""
    first, second = two
    say(tmp_path / "b", on=False, after=10)
    second.watch()
    first.watch()
    (tmp_path / "a" / name).write_text("{")
    assert first.read().on
    second.watch()
    assert not second.read().on


def test_a_word_for_which_there_is_no_room_stops_this_controller(
    two: tuple[SwitchWatch, SwitchWatch], tmp_path: pathlib.Path
) -> None:
    """Until it can be kept: a stop that was said elsewhere must not be lost on the way."""
    first, second = two
    say(tmp_path / "b", on=True, after=1)
    second.watch()
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(EnvironmentUnfit, match="File too large"):
            first.watch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not kill_switch.read(tmp_path / "a").on
    assert first.read().on

    first.watch()
    assert kill_switch.read(tmp_path / "a").on
    say(tmp_path / "a", on=False, after=2)
    assert not first.read().on


def test_a_later_word_is_later_whatever_the_clocks_say(tmp_path: pathlib.Path) -> None:
    """Off here ends what was said on a machine whose clock is ahead."""
    say(tmp_path, on=False, after=0)
    ahead = kill_switch.switched(on=True, by="x", reason="", at=Timestamp(burning.T0 + 4_000_000_000_000))
    kill_switch.write(tmp_path, ahead, kill_switch.ELSEWHERE)
    assert kill_switch.read(tmp_path).on

    assert run(["kill-switch", "off", "--data-dir", str(tmp_path), "--reason", "over"]) == 0

    assert not kill_switch.read(tmp_path).on
