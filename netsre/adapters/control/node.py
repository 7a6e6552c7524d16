"""The node that automation acts upon, over its agent's control socket."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn, Protocol, TypeVar

from netsre.adapters.control import ControlRefused, ControlUnreachable, call
from netsre.clock import Timestamp, boottime
from netsre.model import effects as model
from netsre.model.documents import Document, Json
from netsre.model.effects import (
    DatapathFacts,
    Effect,
    Enforcement,
    InForce,
    LimitFacts,
    ModeFacts,
    RevisionFacts,
    Route,
    SourceCount,
    Standing,
    StateCount,
    Table,
)
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable

_SECONDS: Final = 5.0
_SLOW_SECONDS: Final = 15.0
"""For what reads, deletes or exchanges a whole connection table, or polices every interface anew."""
_BEGIN_WITHIN: Final = 5 * 10**9
"""Nanoseconds within which an effect is begun or taken back, or not at all: nobody waits any longer for it.

The same for every command about an effect, so that the later one has the later deadline.
"""
_NOT_NOW: Final = frozenset({"busy", "too_late"})
"""No verdicts on a command: it is as if it had never arrived, and may be asked again."""

_Answer = TypeVar("_Answer")


class Fence(Protocol):
    """For how long whoever asks may ask."""

    @property
    def epoch(self) -> int | None:
        """Return which of several that follow each other it is; None where there is one alone."""
        ...

    def leads(self) -> bool:
        """Tell whether it may ask now."""
        ...


class Unfenced:
    """For ever."""

    epoch = None

    def leads(self) -> bool:
        """Say yes."""
        return True


_UNFENCED: Final = Unfenced()


class AgentNode:
    """Asks the agent anew for every call, so one that was started again is found again."""

    def __init__(self, socket: Path, fence: Fence = _UNFENCED) -> None:
        """Ask the agent that serves this socket; of effects only as long as the fence says so."""
        self._socket = socket
        self._fence = fence

    def table(self, netns: str) -> Table:
        """Return who fills a namespace's connection table."""
        return self._ask({"do": "table", "netns": netns}, _table, _SLOW_SECONDS)

    def route(self, netns: str, source: str) -> Route:
        """Return where packets of a source come in."""
        return self._ask({"do": "route", "netns": netns, "source": source}, _route)

    def limit(self) -> LimitFacts:
        """Return what the limit of the connection tables is, and may be."""
        return self._ask(
            {"do": "limit"}, lambda answer: LimitFacts(_whole(answer, "limit"), _whole(answer, "most"))
        )

    def enforcement(self, endpoint: str) -> Enforcement:
        """Return which revision of policies is in force, and how strictly an endpoint is treated by it."""
        return self._ask({"do": "enforcement", "endpoint": endpoint}, _enforcement)

    def prefilter(self) -> ModeFacts:
        """Return how strictly the rules of the prefilter are taken."""
        return self._ask({"do": "prefilter"}, _mode)

    def timeouts(self, netns: str) -> Mapping[str, int]:
        """Return the timeouts of a namespace's connection tracking."""
        return self._ask({"do": "timeouts", "netns": netns}, _timeouts)

    def datapath(self) -> DatapathFacts:
        """Return what is known of the policy datapath."""
        return self._ask({"do": "datapath"}, _datapath)

    def apply(self, key: str, effect: Effect) -> Document:
        """Apply an effect once per key; return figures for the journal (`deleted`, `until`, …)."""
        return self._ask(self._about("apply", key, effect), dict, _patience(effect))

    def look(self, key: str, effect: Effect) -> Standing:
        """Return what became of the effect of a key."""
        return self._ask(self._about("look", key, effect), lambda answer: Standing(_text(answer, "standing")))

    def undo(self, key: str, effect: Effect) -> Document:
        """Take an effect back; one that is absent or over is none to take back, and no error."""
        return self._ask(self._about("undo", key, effect), dict, _patience(effect))

    def effects(self) -> Sequence[InForce]:
        """Return what is in force now."""
        return self._ask({"do": "effects"}, lambda answer: tuple(map(_in_force, _list(answer, "effects"))))

    def _about(self, command: str, key: str, effect: Effect) -> Document:
        # Before the look at the fence: however long this process sleeps from here on, it is too late then.
        # On one host, agent and controller have this clock in common.
        deadline = boottime() + _BEGIN_WITHIN
        if not self._fence.leads():
            raise NodeUnreachable("this controller does not lead; nothing was asked")
        epoch = {} if self._fence.epoch is None else {"epoch": self._fence.epoch}
        return {"do": command, "key": key, "effect": model.write(effect), "deadline": deadline, **epoch}

    def _ask(
        self, command: Document, read: Callable[[Document], _Answer], seconds: float = _SECONDS
    ) -> _Answer:
        try:
            return read(call(self._socket, command, seconds))
        except ControlRefused as refusal:
            if refusal.reason in _NOT_NOW:
                raise NodeUnreachable(str(refusal)) from refusal
            raise NodeRefused(refusal.reason, str(refusal)) from refusal
        except ControlUnreachable as error:
            raise NodeUnreachable(str(error)) from error
        except ValueError as error:
            raise NodeUnreachable(
                f"{self._socket} answered {command['do']} with nonsense: {error}"
            ) from error


class NoNode:
    """Stands where no control socket is configured: every call is refused, and automation only observes."""

    def table(self, netns: str) -> Table:
        """Refuse."""
        _refuse(f"read the connection table of {netns}")

    def route(self, netns: str, source: str) -> Route:
        """Refuse."""
        _refuse(f"find the way from {source} into {netns}")

    def limit(self) -> LimitFacts:
        """Refuse."""
        _refuse("read the limit of the connection tables")

    def enforcement(self, endpoint: str) -> Enforcement:
        """Refuse."""
        _refuse(f"read the policies in force for {endpoint}")

    def prefilter(self) -> ModeFacts:
        """Refuse."""
        _refuse("read the mode of the prefilter")

    def timeouts(self, netns: str) -> Mapping[str, int]:
        """Refuse."""
        _refuse(f"read the timeouts of {netns}")

    def datapath(self) -> DatapathFacts:
        """Refuse."""
        _refuse("read what is known of the policy datapath")

    def apply(self, key: str, effect: Effect) -> Document:
        """Refuse."""
        _refuse(f"apply {model.write(effect)['kind']} for {key}")

    def look(self, key: str, effect: Effect) -> Standing:
        """Refuse."""
        _refuse(f"look for {model.write(effect)['kind']} of {key}")

    def undo(self, key: str, effect: Effect) -> Document:
        """Refuse."""
        _refuse(f"undo {model.write(effect)['kind']} of {key}")

    def effects(self) -> Sequence[InForce]:
        """Refuse."""
        _refuse("list what is in force")


def _patience(effect: Effect) -> float:
    """Return for how many seconds an answer is waited for: what is done at once may be much."""
    return _SLOW_SECONDS if isinstance(effect, model.DoneAtOnce | model.Resize) else _SECONDS


def _refuse(wish: str) -> NoReturn:
    raise NodeRefused(
        "no_agent_control", f"cannot {wish}: no control socket of an agent is known; name it with --control"
    )


def _table(answer: Document) -> Table:
    sources = tuple(
        SourceCount(_text(source, "source"), _whole(source, "entries"))
        for source in map(_object, _list(answer, "sources"))
    )
    states = tuple(
        StateCount(_text(state, "state"), _whole(state, "entries"))
        for state in map(_object, _list(answer, "states"))
    )
    return Table(_text(answer, "netns"), _whole(answer, "entries"), _whole(answer, "limit"), sources, states)


def _route(answer: Document) -> Route:
    return Route(_text(answer, "interface"), _text(answer, "protected"))


def _mode(answer: Document) -> ModeFacts:
    now, lasting = _text(answer, "now"), _text(answer, "lasting")
    return ModeFacts(now, lasting, ends=_yes(answer, "ends"), enforced=_yes(answer, "enforced"))


def _enforcement(answer: Document) -> Enforcement:
    earlier = answer.get("earlier")
    return Enforcement(
        _mode(_object(answer.get("mode"))),
        _revision(_object(answer.get("revision"))),
        None if earlier is None else _revision(_object(earlier)),
        on_trial=_yes(answer, "on_trial"),
        stricter=_text(answer, "stricter"),
        programs=_text(answer, "programs"),
        kept_programs=_text(answer, "kept_programs"),
        programs_age=_age(answer, "programs_age"),
        revision_age=_age(answer, "revision_age"),
    )


def _age(answer: Document, key: str) -> int | None:
    # Agents of before do not say.
    return None if answer.get(key) is None else _whole(answer, key)


def _revision(answer: Document) -> RevisionFacts:
    return RevisionFacts(_whole(answer, "number"), _text(answer, "digest"))


def _timeouts(answer: Document) -> Mapping[str, int]:
    found = _object(answer.get("timeouts"))
    return {state: _whole(found, state) for state in found}


def _datapath(answer: Document) -> DatapathFacts:
    capacity, connections, most = (_whole(answer, key) for key in ("capacity", "connections", "most"))
    return DatapathFacts(capacity, connections, most, _yes(answer, "followed"))


def _in_force(item: Json) -> InForce:
    found = _object(item)
    effect = model.read(_object(found.get("effect")))
    return InForce(_text(found, "key"), effect, Timestamp(_whole(found, "until")))


def _object(value: Json) -> Document:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")
    return value


def _list(answer: Document, key: str) -> Sequence[Json]:
    value = answer.get(key)
    if not isinstance(value, list):
        raise ValueError(f"{key} is {value!r}, no list")
    return value


def _text(answer: Document, key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}, no text")
    return value


def _yes(answer: Document, key: str) -> bool:
    value = answer.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}, neither true nor false")
    return value


def _whole(answer: Document, key: str) -> int:
    value = answer.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}, no whole number")
    return value
