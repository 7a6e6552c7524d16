"""The effects of an agent: once per key, on file before they are made, and ended whatever happens."""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Final, Self

import pytest

from netsre.adapters import processes
from netsre.adapters.control import ControlRefused
from netsre.app.effects import ledger as ledgers
from netsre.app.effects.bounds import MOST_BLOCKS
from netsre.app.effects.ledger import Entry, Ledger, State, Where
from netsre.app.effects.manager import Effects
from netsre.clock import HOUR, MINUTE, Timestamp
from netsre.errors import EnvironmentUnfit
from netsre.gameday.ownership import Owner
from netsre.model.documents import Document
from netsre.model.effects import (
    Block,
    Effect,
    Flush,
    Limit,
    PolicyMode,
    PolicyPrograms,
    PolicyRevision,
    PrefilterMode,
    Resize,
    SourceLimit,
    Stagger,
    Standing,
    Timeout,
)
from tests.machine import wait_until

GONE: Final = Owner(4194304, 1)
"""No process can have this id."""
GONE_TOO: Final = Owner(4194304, 2)
BLOCK: Final = Block("srv", "eth0", "198.18.2.2", 10 * MINUTE)
FLUSH: Final = Flush("srv", "198.18.2.2")
LIMIT: Final = Limit(1000, 2000, 30 * MINUTE)
REVISION: Final = PolicyRevision(7, "7777aaaa", 5, "5555aaaa")
PROGRAMS: Final = PolicyPrograms("8c1f", "71d6")
MODE: Final = PolicyMode("shop/web", "inherit", "monitor", 10 * MINUTE)
TIMEOUT: Final = Timeout("srv", "syn_sent", 120, 20, 20 * MINUTE)
RESIZE: Final = Resize(65_536, 131_072, 20 * MINUTE)
STAGGER: Final = Stagger(10_000, 5 * MINUTE)
Lasting = Block | Limit | Timeout | Resize | Stagger
LASTING: Final[tuple[Lasting, ...]] = (BLOCK, LIMIT, TIMEOUT, RESIZE, STAGGER)
ALL: Final[tuple[Effect, ...]] = (*LASTING, FLUSH)
SECOND_NS: Final = 10**9


class SetClock:
    """A clock that only moves when told."""

    at = Timestamp(1_700_000_000_000)

    def now(self) -> Timestamp:
        """Return the time."""
        return self.at


class Killed(BaseException):
    """The process is gone in this instant: nothing of it runs any more."""


@dataclasses.dataclass
class Host:
    """A kernel of numbers and names. What is in `fails` is raised where its name says."""

    limit: int = 1000
    blocked: dict[Block, int] = dataclasses.field(default_factory=dict)
    entries: dict[str, int] = dataclasses.field(default_factory=lambda: {"198.18.2.2": 50})
    revision: int = 7
    programs: str = "8c1f"
    modes: dict[PolicyMode, int] = dataclasses.field(default_factory=dict)
    """Those that somebody set, and when they end."""
    others: set[Effect] = dataclasses.field(default_factory=set)
    """What else is changed, and stays so when a process ends."""
    begun: list[Effect] = dataclasses.field(default_factory=list)
    fails: dict[str, BaseException] = dataclasses.field(default_factory=dict)

    def check(self, effect: Effect) -> None:
        """Refuse a limit that is another meanwhile."""
        self._fail("check")
        if isinstance(effect, Limit) and effect.before != self.limit:
            raise ControlRefused("changed", "it is another")

    def begin(self, effect: Effect, deadline: int) -> Document:
        """Change a number or a name."""
        self._fail("before begin")
        self.begun.append(effect)
        details: Document = {}
        match effect:
            case Block():
                self.blocked[effect] = deadline
            case Flush(_, source):
                details = {"deleted": self.entries.pop(source, 0)}
            case Limit(_, after, _):
                self.limit = after
            case PolicyRevision():
                self.revision = effect.after
            case PolicyPrograms():
                self.programs = effect.after
            case PolicyMode():
                self.modes[effect] = deadline
            case Timeout() | Resize() | Stagger():
                self.others.add(effect)
            case PrefilterMode() | SourceLimit():
                raise AssertionError(f"nobody is to ask for this: {effect}")
        self._fail("after begin")
        return details

    def holds(self, effect: Effect, deadline: int) -> bool:
        """Compare."""
        self._fail("holds")
        match effect:
            case Block():
                return effect in self.blocked
            case Flush(_, source):
                return source not in self.entries
            case Limit(_, after, _):
                return self.limit == after
            case PolicyRevision() | PolicyPrograms():
                return effect.after in {self.revision, self.programs}
            case PolicyMode():
                return self.modes.get(effect) == deadline
            case Timeout() | Resize() | Stagger():
                return effect in self.others
            case PrefilterMode() | SourceLimit():
                raise AssertionError(f"nobody is to ask for this: {effect}")

    def at(self, where: Where) -> Self:
        """Have it all in one place."""
        del where
        return self

    def end(self, effect: Effect, deadline: int) -> Document:
        """Change back."""
        self._fail("end")
        if isinstance(effect, Block):
            self.blocked.pop(effect, None)
        self.others.discard(effect)
        if isinstance(effect, Limit):
            if self.limit != effect.after:
                return {"result": "changed_by_other"}
            self.limit = effect.before
        if isinstance(effect, PolicyRevision):
            self.revision = effect.before
        if isinstance(effect, PolicyPrograms):
            self.programs = effect.before
        if isinstance(effect, PolicyMode):
            if self.modes.get(effect) != deadline:
                return {"result": "changed_by_other"}
            del self.modes[effect]
        return {"result": "put_back"}

    def die(self) -> None:
        """Do what the kernel does when a process ends: what its descriptors held is gone."""
        self.blocked.clear()
        self.fails.clear()

    def _fail(self, where: str) -> None:
        if where in self.fails:
            raise self.fails[where]


@dataclasses.dataclass
class Machine:
    """One host, one ledger, and agents that come and go; time passes when it is told to."""

    directory: pathlib.Path
    host: Host = dataclasses.field(default_factory=Host)
    clock: SetClock = dataclasses.field(default_factory=SetClock)
    boottime: int = 5 * SECOND_NS

    def agent(self, owner: Owner = GONE) -> Effects:
        """Start an agent."""
        effects = Effects(Ledger(self.directory, owner), self.host, self.clock, lambda: self.boottime)
        effects.adopt()
        return effects

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass."""
        self.boottime += milliseconds * 10**6
        self.clock.at = Timestamp(self.clock.at + milliseconds)

    def on_file(self) -> dict[str, Entry]:
        """Return what the ledger says."""
        return {entry.key: entry for entry in Ledger(self.directory, GONE).entries()}

    @property
    def state(self) -> tuple[int, frozenset[Effect], bool]:
        """What effects change of the host."""
        changed = frozenset[Effect]({*self.host.blocked, *self.host.others})
        return self.host.limit, changed, "198.18.2.2" in self.host.entries


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Machine:
    """Return a host without effects."""
    ledgers.prepare(tmp_path / "effects")
    return Machine(tmp_path / "effects")


@contextlib.contextmanager
def refused(reason: str) -> Iterator[None]:
    """Expect a refusal for one reason."""
    with pytest.raises(ControlRefused) as refusal:
        yield
    assert refusal.value.reason == reason


@pytest.mark.parametrize("effect", ALL)
def test_a_key_twice_is_one_effect(machine: Machine, effect: Effect) -> None:
    """The second time tells the same figures, says that it was done already, and does nothing."""
    agent = machine.agent()
    first = agent.apply("run/1", effect)
    machine.pass_time(1000)
    second = agent.apply("run/1", effect)
    assert first.pop("already") is False  # type: ignore[attr-defined]  # a dict, as it is sent
    assert second.pop("already") is True  # type: ignore[attr-defined]
    assert first == second
    assert first["standing"] == "applied"
    assert machine.host.begun == [effect]
    assert agent.look("run/1", effect) is Standing.APPLIED


def test_what_was_never_asked_for_is_absent(machine: Machine) -> None:
    """A look finds nothing, and there is nothing to take back."""
    agent = machine.agent()
    assert agent.look("run/1", LIMIT) is Standing.ABSENT
    assert agent.undo("run/1", LIMIT) == {"standing": "absent", "undone": False}


@pytest.mark.parametrize("effect", LASTING)
def test_an_effect_that_was_taken_back_stays_so(machine: Machine, effect: Effect) -> None:
    """Once; asked again, neither the end nor the effect itself happens again."""
    before = machine.state
    agent = machine.agent()
    agent.apply("run/1", effect)
    assert machine.state != before
    assert agent.undo("run/1", effect)["undone"] is True
    assert machine.state == before
    assert agent.undo("run/1", effect)["undone"] is False
    assert agent.apply("run/1", effect)["standing"] == "ended"
    assert agent.look("run/1", effect) is Standing.ENDED
    assert machine.state == before


def test_a_controller_after_which_another_one_led_is_refused(machine: Machine) -> None:
    """Whatever it asks about; also by an agent that was started again. Who has no epoch is heard."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT, epoch=7)
    assert agent.look("run/1", LIMIT, epoch=8) is Standing.APPLIED
    state = machine.state
    for current in (agent, machine.agent(GONE_TOO)):
        with refused("stale_epoch"):
            current.apply("run/2", FLUSH, epoch=7)
        with refused("stale_epoch"):
            current.look("run/1", LIMIT, epoch=7)
        with refused("stale_epoch"):
            current.undo("run/1", LIMIT, epoch=7)
        assert machine.state == state
        current.apply("run/1", LIMIT, epoch=8)
    assert agent.look("run/2", FLUSH) is Standing.ABSENT


@pytest.mark.parametrize("content", ["", "x", "1.5"])
def test_an_epoch_that_cannot_be_known_is_a_refusal(machine: Machine, content: str) -> None:
    """Of whoever has one: which of two leads cannot be told."""
    agent = machine.agent()
    (machine.directory / "epoch").write_text(content)
    with refused("ledger_failed"):
        agent.apply("run/1", LIMIT, epoch=7)
    assert agent.apply("run/1", LIMIT)["standing"] == "applied"


@pytest.mark.parametrize("effect", ALL)
@pytest.mark.parametrize("late", [0, 1, SECOND_NS])
def test_what_is_read_after_its_deadline_is_not_begun(machine: Machine, effect: Effect, late: int) -> None:
    """Nothing is changed and nothing is on file; asked for anew, it is done."""
    agent, before = machine.agent(), machine.state
    with refused("too_late"):
        agent.apply("run/1", effect, machine.boottime - late)
    assert (machine.state, machine.on_file()) == (before, {})
    assert agent.apply("run/1", effect, machine.boottime + 1)["already"] is False


def test_what_is_done_answers_also_after_the_deadline(machine: Machine) -> None:
    """There is nothing to begin; but what is in force is not taken back any more."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT)
    assert agent.apply("run/1", LIMIT, machine.boottime)["already"] is True
    with refused("too_late"):
        agent.undo("run/1", LIMIT, machine.boottime)
    assert agent.look("run/1", LIMIT) is Standing.APPLIED
    assert agent.undo("run/1", LIMIT)["undone"] is True
    assert agent.undo("run/1", LIMIT, machine.boottime)["undone"] is False


def test_absent_is_a_promise(machine: Machine) -> None:
    """A change that was asked for before somebody looked and found nothing is not made afterwards."""
    agent, asked = machine.agent(), machine.boottime + SECOND_NS
    assert agent.look("run/1", LIMIT, asked + 1) is Standing.ABSENT
    with refused("too_late"):
        agent.apply("run/1", LIMIT, asked)
    assert agent.apply("run/2", BLOCK, asked)["already"] is False
    assert agent.look("run/3", FLUSH, asked + 2) is Standing.ABSENT
    with refused("too_late"):
        agent.apply("run/1", LIMIT, asked + 1)
    assert agent.apply("run/1", LIMIT, asked + 2)["already"] is False


def test_a_flush_has_nothing_to_take_back(machine: Machine) -> None:
    """It is done, and its count is told."""
    agent = machine.agent()
    assert agent.apply("run/1", FLUSH)["deleted"] == 50
    assert agent.undo("run/1", FLUSH)["undone"] is False
    assert agent.look("run/1", FLUSH) is Standing.APPLIED
    assert agent.in_force() == ()


@pytest.mark.parametrize("effect", LASTING)
def test_an_effect_ends_when_its_time_is_over(machine: Machine, effect: Lasting) -> None:
    """Not a moment before; and its file answers for an hour after."""
    before = machine.state
    agent = machine.agent()
    agent.apply("run/1", effect)
    machine.pass_time(effect.ttl - 1)
    agent.expire()
    assert agent.look("run/1", effect) is Standing.APPLIED
    machine.pass_time(1)
    agent.expire()
    assert agent.look("run/1", effect) is Standing.ENDED
    assert machine.state == before
    assert machine.on_file()["run/1"].details["why"] == "due"
    machine.pass_time(HOUR)
    agent.expire()
    assert agent.look("run/1", effect) is Standing.ENDED
    machine.pass_time(11 * MINUTE)
    agent.expire()
    assert agent.look("run/1", effect) is Standing.ABSENT


def test_a_limit_that_somebody_else_changed_is_left_alone(machine: Machine) -> None:
    """What is not our value any more is not put back over another hand's."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT)
    machine.host.limit = 3000
    machine.pass_time(LIMIT.ttl)
    agent.expire()
    assert machine.host.limit == 3000
    assert machine.on_file()["run/1"].details["result"] == "changed_by_other"


def test_an_orderly_end_puts_everything_back(machine: Machine) -> None:
    """The host is as before, and the next agent says that it is over."""
    before = machine.state
    agent = machine.agent()
    agent.apply("run/1", BLOCK)
    agent.apply("run/2", LIMIT)
    agent.close()
    assert machine.state == before
    assert machine.agent(GONE_TOO).look("run/2", LIMIT) is Standing.ENDED


def test_an_agent_that_ends_begins_nothing_any_more(machine: Machine) -> None:
    """A command that waited until everything was put back is refused: nobody would end its effect."""
    agent = machine.agent()
    agent.close()
    with refused("stopping"):
        agent.apply("run/1", LIMIT)
    assert (machine.host.limit, machine.on_file()) == (1000, {})


POINTS: Final = ("before begin", "after begin", "applied")


@pytest.mark.parametrize("effect", ALL)
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_agent_changes_nothing_about_the_end_state(
    machine: Machine, effect: Effect, point: str
) -> None:
    """Killed at any point of it, and asked again by who had no answer: one effect, as without the kill."""
    agent = machine.agent()
    if point != "applied":
        machine.host.fails[point] = Killed()
    with contextlib.suppress(Killed):
        agent.apply("run/1", effect)
    machine.host.die()

    next_agent = machine.agent(GONE_TOO)
    if next_agent.look("run/1", effect) is Standing.ABSENT:
        next_agent.apply("run/1", effect)
    assert next_agent.look("run/1", effect) is Standing.APPLIED

    nothing = frozenset[Effect]()
    expected: dict[Effect, object] = {FLUSH: (1000, nothing, False), LIMIT: (2000, nothing, True)}
    assert machine.state == expected.get(effect, (1000, frozenset({effect}), True))
    if not isinstance(effect, Block):
        assert machine.host.begun == [effect]
    assert machine.on_file()["run/1"].owner == (GONE if (effect, point) == (FLUSH, "applied") else GONE_TOO)


@pytest.mark.parametrize("effect", LASTING)
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_agent_does_not_lengthen_an_effect(machine: Machine, effect: Lasting, point: str) -> None:
    """An agent that comes after the deadline puts back; one that comes before keeps to that deadline."""
    before = machine.state
    agent = machine.agent()
    if point != "applied":
        machine.host.fails[point] = Killed()
    with contextlib.suppress(Killed):
        agent.apply("run/1", effect)
    machine.host.die()
    machine.pass_time(effect.ttl - 1)
    agent = machine.agent(GONE_TOO)
    for deadline in machine.host.blocked.values():
        assert deadline == machine.boottime + 10**6
    machine.host.die()
    machine.pass_time(1)
    agent = machine.agent(Owner(4194304, 3))
    assert machine.state == before
    assert agent.look("run/1", effect) in (Standing.ENDED, Standing.ABSENT)
    assert agent.in_force() == ()


def test_killed_while_it_ends_an_effect(machine: Machine) -> None:
    """The next agent ends it, and a limit that is put back already is not touched again."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT)
    machine.host.fails["end"] = Killed()
    with pytest.raises(Killed):
        agent.undo("run/1", LIMIT)
    machine.host.die()
    assert machine.agent(GONE_TOO).undo("run/1", LIMIT)["undone"] is True
    assert machine.host.limit == 1000

    agent = machine.agent()
    agent.apply("run/2", LIMIT)
    machine.host.limit = 1000  # put back, and killed before it was noted
    assert machine.agent(GONE_TOO).look("run/2", LIMIT) is Standing.ENDED
    assert machine.host.limit == 1000


@pytest.mark.parametrize("effect", ALL)
@pytest.mark.parametrize("error", [OSError(5, "I/O"), ControlRefused("gone", "x"), ZeroDivisionError()])
def test_a_failure_leaves_nothing_half_done(machine: Machine, effect: Effect, error: Exception) -> None:
    """Before the change: refused, and nothing is in force or on file."""
    before = machine.state
    agent = machine.agent()
    machine.host.fails["before begin"] = error
    with refused("gone" if isinstance(error, ControlRefused) else "failed"):
        agent.apply("run/1", effect)
    assert machine.state == before
    assert machine.on_file() == {}
    machine.host.fails.clear()
    assert agent.apply("run/1", effect)["already"] is False


@pytest.mark.parametrize("effect", ALL)
def test_an_error_after_the_change_is_looked_into(machine: Machine, effect: Effect) -> None:
    """What the kernel shows to be done counts as done, not as failed."""
    agent = machine.agent()
    machine.host.fails["after begin"] = TimeoutError()
    assert agent.apply("run/1", effect)["standing"] == "applied"
    assert agent.look("run/1", effect) is Standing.APPLIED


def test_what_cannot_be_ended_is_tried_again(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """A failing end is logged once and does not end the trying."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT)
    machine.pass_time(LIMIT.ttl)
    machine.host.fails["end"] = OSError(16, "busy")
    for _ in range(3):
        agent.expire()
    assert len(caplog.records) == 1
    assert agent.look("run/1", LIMIT) is Standing.APPLIED
    machine.host.fails.clear()
    agent.expire()
    assert machine.host.limit == 1000


def test_one_limit_at_a_time(machine: Machine) -> None:
    """A second one is refused while the first is in force, by whichever agent, and not after."""
    agent, other = machine.agent(), machine.agent(processes.this_process())
    other.apply("run/1", LIMIT)
    with refused("already_tuned"):
        agent.apply("run/2", Limit(2000, 4000, MINUTE))
    with refused("other_agent"):
        agent.undo("run/1", LIMIT)
    assert agent.look("run/1", LIMIT) is Standing.APPLIED
    other.undo("run/1", LIMIT)
    assert agent.apply("run/2", LIMIT)["standing"] == "applied"


def test_one_block_of_a_source_and_not_too_many_of_them(machine: Machine) -> None:
    """A source under two keys would end at the first one's end; more than 64 sources are no noisy source."""
    agent = machine.agent()
    agent.apply("run/0", BLOCK)
    with refused("already_blocked"):
        agent.apply("run/1", dataclasses.replace(BLOCK, ttl=MINUTE))
    for number in range(1, MOST_BLOCKS):
        agent.apply(f"run/{number}", dataclasses.replace(BLOCK, source=f"198.18.3.{number}"))
    with refused("too_many"):
        agent.apply("run/64", dataclasses.replace(BLOCK, source="198.18.4.1"))
    assert agent.counts() == {Block: MOST_BLOCKS}


@pytest.mark.parametrize("ttl", [1, 999, 24 * HOUR + 1])
@pytest.mark.parametrize("effect", LASTING)
def test_no_effect_without_a_bounded_time(machine: Machine, effect: Lasting, ttl: int) -> None:
    """From one second to a day."""
    with refused("bad_ttl"):
        machine.agent().apply("run/1", dataclasses.replace(effect, ttl=ttl))
    assert machine.on_file() == {}


@pytest.mark.parametrize(
    "key", ["", "../x", ".hidden", "a b", "a\n", "ä", "x" * 241, "/" * 10, "a" + "/" * 80]
)
def test_what_is_no_key_is_refused(machine: Machine, key: str) -> None:
    """No key can name a file outside the ledger, or one that the file system does not take."""
    with refused("bad_key"):
        machine.agent().apply(key, LIMIT)
    assert list(machine.directory.iterdir()) == []


def test_a_key_stands_for_one_effect(machine: Machine) -> None:
    """Asked with another effect, it is refused whatever is asked."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT)
    other = dataclasses.replace(LIMIT, after=3000)
    asked: tuple[Callable[[str, Effect], object], ...] = (agent.apply, agent.look, agent.undo)
    for ask in asked:
        with refused("key_reused"):
            ask("run/1", other)


def test_an_effect_of_another_boot_is_forgotten(machine: Machine) -> None:
    """It ended with that boot: nothing is put back over what this boot has."""
    machine.agent().apply("run/1", LIMIT)
    (path,) = machine.directory.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    machine.host.limit = 2000
    agent = machine.agent(GONE_TOO)
    assert (machine.host.limit, list(machine.directory.iterdir())) == (2000, [])
    assert agent.look("run/1", LIMIT) is Standing.ABSENT


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"version": 2}', b"[" * 100_000, b"\xff\x00"])
def test_a_file_that_is_none_of_ours_is_left_and_logged(
    machine: Machine, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It stops nothing else."""
    path = machine.directory / "run%2F1.json"
    path.write_bytes(content)
    agent = machine.agent()
    assert str(path) in caplog.text
    assert agent.apply("run/2", LIMIT)["standing"] == "applied"
    assert path.read_bytes() == content


def test_the_half_written_file_of_a_dead_writer_is_removed(machine: Machine) -> None:
    """And that of a living one is not."""
    dead, living = (owner.name("effect", "new") for owner in (GONE, processes.this_process()))
    for name in (dead, living, "precious"):
        (machine.directory / name).write_bytes(b"{")
    machine.agent()
    assert {path.name for path in machine.directory.iterdir()} == {living, "precious"}


def test_an_entry_is_on_file_before_the_change_and_after(machine: Machine) -> None:
    """Begun, with what must be put back, when the kernel is asked; applied when the answer is given."""
    seen: list[Entry] = []

    class Watching(Host):
        def begin(self, effect: Effect, deadline: int) -> Document:
            seen.extend(machine.on_file().values())
            return super().begin(effect, deadline)

    machine.host = Watching()
    machine.agent().apply("run/1", LIMIT)
    assert [(entry.state, entry.effect) for entry in seen] == [(State.BEGUN, LIMIT)]
    assert machine.on_file()["run/1"].state is State.APPLIED
    (path,) = machine.directory.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_ledger_nothing_is_done(machine: Machine) -> None:
    """A change that could not be told of is not made."""
    agent = machine.agent(processes.this_process())
    (machine.directory / processes.this_process().name("effect", "new")).mkdir()
    with refused("ledger_failed"):
        agent.apply("run/1", LIMIT)
    assert (machine.host.limit, machine.host.begun) == (1000, [])


def test_a_change_that_cannot_be_noted_is_taken_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up between the intent and the outcome: the host is as before."""
    agent = machine.agent()
    writes = itertools.count()
    real = Ledger.write

    def second_fails(self: Ledger, entry: Entry) -> None:
        if next(writes) > 0:
            raise OSError(28, "no space")
        real(self, entry)

    monkeypatch.setattr(Ledger, "write", second_fails)
    with refused("failed"):
        agent.apply("run/1", LIMIT)
    assert machine.host.limit == 1000
    assert machine.on_file() == {}


@pytest.mark.parametrize("effect", [*LASTING, REVISION])
def test_an_end_that_cannot_be_noted_is_an_end(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, effect: Effect
) -> None:
    """The disk is full: it is over all the same, once, and is on file when there is room again."""
    agent = machine.agent(processes.this_process())
    agent.apply("run/1", effect)
    real = Ledger.write

    def fails(self: Ledger, entry: Entry) -> None:
        raise OSError(28, "no space", entry.key, None, self.directory)

    monkeypatch.setattr(Ledger, "write", fails)
    assert agent.undo("run/1", effect)["undone"] is True
    machine.host.fails["end"] = AssertionError("it is over already")
    assert (agent.look("run/1", effect), agent.in_force()) == (Standing.ENDED, ())
    assert agent.undo("run/1", effect)["undone"] is False
    machine.pass_time(HOUR // 2)
    agent.expire()
    monkeypatch.setattr(Ledger, "write", real)
    machine.pass_time(MINUTE)
    agent.expire()
    assert machine.on_file()["run/1"].state is State.ENDED


def test_the_directory_is_closed_to_others(tmp_path: pathlib.Path) -> None:
    """Made 0700; one that others can write to, or that is none, is refused with what to do."""
    ledgers.prepare(tmp_path / "a" / "effects")
    assert (tmp_path / "a" / "effects").stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "a" / "effects")
    for path in (shared, link):
        with pytest.raises(EnvironmentUnfit, match="--effects DIR"):
            ledgers.prepare(path)
    if os.geteuid() == 0:
        os.chown(tmp_path / "a" / "effects", 65534, -1)
        with pytest.raises(EnvironmentUnfit, match="uid 0"):
            ledgers.prepare(tmp_path / "a" / "effects")


@pytest.mark.parametrize("effect", [REVISION, PROGRAMS], ids=["revision", "programs"])
@pytest.mark.parametrize("point", POINTS)
def test_a_rollback_of_a_killed_agent_is_settled_by_looking(
    machine: Machine, point: str, effect: Effect
) -> None:
    """Made once, whenever its agent was killed; the next one can take it back, once."""
    if point != "applied":
        machine.host.fails[point] = Killed()
    with contextlib.suppress(Killed):
        machine.agent().apply("run/1", effect)
    machine.host.die()

    agent = machine.agent(GONE_TOO)
    if agent.look("run/1", effect) is Standing.ABSENT:
        agent.apply("run/1", effect)
    assert (machine.host.holds(effect, 0), machine.host.begun) == (True, [effect])
    assert agent.undo("run/1", effect)["undone"] is True
    assert (machine.host.holds(effect, 0), agent.undo("run/1", effect)["undone"]) == (False, False)
    assert agent.look("run/1", effect) is Standing.ENDED


@pytest.mark.parametrize("effect", [REVISION, PROGRAMS], ids=["revision", "programs"])
def test_a_rollback_has_no_end_of_its_own(machine: Machine, effect: Effect) -> None:
    """Neither a time nor the end of its agent takes it back; for a day it can be, then it is forgotten."""
    agent = machine.agent()
    agent.apply("run/1", effect)
    assert agent.in_force() == ()
    machine.pass_time(23 * HOUR)
    agent.expire()
    agent.close()
    assert machine.host.holds(effect, 0)
    assert machine.agent(GONE_TOO).look("run/1", effect) is Standing.APPLIED

    machine.pass_time(2 * HOUR)
    machine.agent(GONE_TOO).expire()
    machine.pass_time(HOUR)
    third = machine.agent(GONE_TOO)
    third.expire()
    assert (machine.host.holds(effect, 0), third.look("run/1", effect)) == (True, Standing.ABSENT)


@pytest.mark.parametrize("effect", [REVISION, PROGRAMS], ids=["revision", "programs"])
def test_a_rollback_that_cannot_be_taken_back_is_refused_by_its_word(
    machine: Machine, effect: Effect
) -> None:
    """It stays on file, and may be asked for again."""
    agent = machine.agent()
    agent.apply("run/1", effect)
    machine.host.fails["end"] = ControlRefused("not_kept", "the other one is gone")
    with refused("not_kept"):
        agent.undo("run/1", effect)
    assert agent.look("run/1", effect) is Standing.APPLIED


@pytest.mark.parametrize("point", POINTS)
def test_what_ends_in_the_kernel_is_known_again_by_its_end(machine: Machine, point: str) -> None:
    """Killed at any point, the next agent keeps to the first end; what has another one is another hand's."""
    if point != "applied":
        machine.host.fails[point] = Killed()
    with contextlib.suppress(Killed):
        machine.agent().apply("run/1", MODE)
    first = dict(machine.host.modes)
    machine.host.die()
    machine.pass_time(MINUTE)

    agent = machine.agent(GONE_TOO)
    if point == "before begin":
        assert agent.look("run/1", MODE) is Standing.ABSENT
        return
    assert agent.look("run/1", MODE) is Standing.APPLIED
    assert machine.host.modes == first
    machine.host.modes[MODE] += 1
    assert agent.undo("run/1", MODE)["result"] == "changed_by_other"
    assert machine.host.modes != {}


BUSY: Final = ControlRefused("busy", "somebody is changing something")


@pytest.mark.parametrize("effect", ALL)
def test_what_could_not_begin_never_was(machine: Machine, effect: Effect) -> None:
    """Somebody has the lock, before and after: nothing is on file, nothing is told to be applied."""
    agent, before = machine.agent(), machine.state
    machine.host.fails |= dict.fromkeys(("before begin", "holds", "end"), BUSY)
    with refused("busy"):
        agent.apply("run/1", effect)
    assert (agent.look("run/1", effect), machine.on_file()) == (Standing.ABSENT, {})
    machine.host.fails.clear()
    assert agent.apply("run/1", effect)["already"] is False
    assert machine.state != before


@pytest.mark.parametrize("effect", LASTING)
def test_what_cannot_be_looked_at_is_not_told_to_be_applied(machine: Machine, effect: Lasting) -> None:
    """Whoever asks is told to ask again, and it ends at its time if nobody does."""
    agent, before = machine.agent(), machine.state
    machine.host.fails["after begin"] = OSError(5, "the disk is gone")
    machine.host.fails |= dict.fromkeys(("holds", "end"), BUSY)
    with refused("busy"):
        agent.apply("run/1", effect)
    for ask in (agent.look, agent.undo, agent.apply):
        with refused("busy"):
            ask("run/1", effect)
    machine.host.fails.clear()
    machine.pass_time(effect.ttl)
    agent.expire()
    assert (machine.state, agent.look("run/1", effect)) == (before, Standing.ENDED)


@pytest.mark.parametrize("effect", LASTING)
def test_what_an_agent_cannot_take_over_at_once_it_takes_over_later(
    machine: Machine, effect: Lasting
) -> None:
    """Somebody has the lock while it starts: it is not called gone, and it ends in time without a command."""
    before = machine.state
    machine.agent().apply("run/1", effect)
    machine.host.fails |= dict.fromkeys(("holds", "end", "before begin"), BUSY)
    agent = machine.agent(GONE_TOO)
    agent.expire()
    machine.host.fails.clear()
    assert machine.on_file()["run/1"].in_force
    machine.pass_time(effect.ttl)
    agent.expire()
    assert (machine.state, machine.on_file()["run/1"].state) == (before, State.ENDED)


def test_what_an_agent_left_that_died_is_taken_over_by_the_one_that_lives(machine: Machine) -> None:
    """Also where nobody commands it anything."""
    agent = machine.agent(processes.this_process())
    agent.expire()
    machine.agent().apply("run/1", LIMIT)
    machine.pass_time(LIMIT.ttl)
    agent.expire()
    assert (machine.host.limit, machine.on_file()["run/1"].state) == (1000, State.ENDED)


def test_a_key_whose_file_cannot_be_read_is_refused(machine: Machine) -> None:
    """What became of it cannot be told: it is neither absent nor made a second time."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT)
    (path,) = machine.directory.iterdir()
    path.write_text("{")
    for ask in (agent.look, agent.undo, agent.apply):
        with refused("ledger_failed"):
            ask("run/1", LIMIT)
    assert machine.host.begun == [LIMIT]


def test_where_an_effect_was_made_is_on_file(machine: Machine) -> None:
    """Unless it is the usual place; what another version adds to it is no reason to lose the rest."""
    elsewhere = Where(pathlib.Path("/sys/fs/bpf/other"), prefilter=pathlib.Path("/sys/fs/bpf/filter"))
    usual, other = (Ledger(machine.directory, GONE, where) for where in (Where(), elsewhere))
    for ledger, key in ((usual, "run/1"), (other, "run/2")):
        entry = Entry(key, LIMIT, State.APPLIED, GONE, Timestamp(0), 0, None, {}, ledger.where)
        ledger.write(entry)
    first, second = sorted(machine.directory.iterdir())
    assert "where" not in json.loads(first.read_text())
    document = json.loads(second.read_text())
    second.write_text(json.dumps({**document, "where": {**document["where"], "balancer": "/x"}}))

    assert {key: entry.where for key, entry in machine.on_file().items()} == {
        "run/1": Where(),
        "run/2": elsewhere,
    }


def test_who_holds_the_ledger_and_hangs_keeps_no_agent_from_beginning_or_ending(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """A command is refused, to be asked again; what stays in force is said, and the next agent ends it."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT)
    with Ledger(machine.directory, processes.this_process()).locked():
        other = machine.agent(GONE_TOO)
        for ask in (other.apply, other.look, other.undo):
            with refused("busy"):
                ask("run/2", BLOCK)
        agent.close()
    assert "1 effects stay in force" in caplog.text
    with refused("stopping"):
        agent.look("run/1", LIMIT)
    machine.pass_time(LIMIT.ttl)
    other.expire()
    assert (machine.host.limit, machine.on_file()["run/1"].state) == (1000, State.ENDED)


def test_who_holds_the_ledger_and_hangs_stops_no_scan(machine: Machine) -> None:
    """What is due ends when the ledger is free again."""
    agent = machine.agent()
    agent.apply("run/1", LIMIT)
    machine.pass_time(LIMIT.ttl)
    with Ledger(machine.directory, GONE_TOO).locked():
        scan = threading.Thread(target=agent.expire, daemon=True)
        scan.start()
        assert wait_until(lambda: not scan.is_alive())
    assert machine.host.limit == 2000
    agent.expire()
    assert machine.host.limit == 1000
