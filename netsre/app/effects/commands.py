"""The commands of the agent's control socket: what may be asked, how it is read, and how often it was."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final, TypeVar

from netsre.adapters.control import ControlRefused, Handler
from netsre.app.effects.host import Host
from netsre.app.effects.manager import Effects
from netsre.errors import NetsreError
from netsre.model import effects as model
from netsre.model.documents import Document, Json
from netsre.model.effects import Effect

_USUAL_SOURCES: Final = 10
_MOST_SOURCES: Final = 100

_Answer = TypeVar("_Answer")


class Commands:
    """What the control socket serves."""

    def __init__(self, effects: Effects, host: Host) -> None:
        """Change the host through its effects, and look at it directly."""
        self._effects = effects
        self._host = host
        self._lock = threading.Lock()
        self._asked: Counter[tuple[str, str]] = Counter()
        meant: Mapping[str, Handler] = {
            "table": self._table,
            "route": self._route,
            "limit": self._limit,
            "enforcement": self._enforcement,
            "prefilter": self._prefilter,
            "timeouts": self._timeouts,
            "datapath": self._datapath,
            "apply": self._apply,
            "look": self._look,
            "undo": self._undo,
            "effects": self._in_force,
        }
        self.handlers: Mapping[str, Handler] = {
            name: self._counted(name, handler) for name, handler in meant.items()
        }

    def asked(self) -> Mapping[tuple[str, str], int]:
        """Return how often each command came to each result: `ok`, or the word of its refusal."""
        with self._lock:
            return {**{(name, "ok"): 0 for name in self.handlers}, **self._asked}

    def _counted(self, name: str, handler: Handler) -> Handler:
        def asked(command: Document) -> Document:
            result = "internal_error"
            try:
                answer = handler(command)
                result = "ok"
            except ControlRefused as refusal:
                result = refusal.reason
                raise
            except (NetsreError, OSError) as error:
                result = "kernel_refused"
                raise ControlRefused(result, str(error)) from error
            finally:
                with self._lock:
                    self._asked[(name, result)] += 1
            return answer

        return asked

    def _table(self, command: Document) -> Document:
        most = command.get("most", _USUAL_SOURCES)
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= _MOST_SOURCES:
            raise ControlRefused("bad_command", f"most is {most!r}; write a number from 1 to {_MOST_SOURCES}")
        table = self._host.table(_text(command, "netns"), most)
        sources: list[Json] = [{"source": found.source, "entries": found.entries} for found in table.sources]
        states: list[Json] = [{"state": found.state, "entries": found.entries} for found in table.states]
        numbers: Document = {"netns": table.netns, "entries": table.entries, "limit": table.limit}
        return {**numbers, "sources": sources, "states": states}

    def _route(self, command: Document) -> Document:
        route = self._host.route(_text(command, "netns"), _text(command, "source"))
        return {"interface": route.interface, "protected": route.protected}

    def _limit(self, command: Document) -> Document:
        del command
        facts = self._host.limit()
        return {"limit": facts.limit, "most": facts.most}

    def _enforcement(self, command: Document) -> Document:
        return {**asdict(self._host.enforcement(_text(command, "endpoint")))}

    def _prefilter(self, command: Document) -> Document:
        del command
        return {**asdict(self._host.prefilter())}

    def _timeouts(self, command: Document) -> Document:
        return {"timeouts": {**self._host.timeouts(_text(command, "netns"))}}

    def _datapath(self, command: Document) -> Document:
        del command
        return {**asdict(self._host.datapath())}

    def _apply(self, command: Document) -> Document:
        return _about(command, self._effects.apply)

    def _look(self, command: Document) -> Document:
        return {"standing": _about(command, self._effects.look).value}

    def _undo(self, command: Document) -> Document:
        return _about(command, self._effects.undo)

    def _in_force(self, command: Document) -> Document:
        del command
        return {
            "effects": [
                {"key": found.key, "effect": model.write(found.effect), "until": found.until}
                for found in self._effects.in_force()
            ]
        }


def _about(command: Document, ask: Callable[[str, Effect, int, int | None], _Answer]) -> _Answer:
    """Read which effect a command is about, by when it must be begun, and in whose term; and ask."""
    written = command.get("effect")
    try:
        if not isinstance(written, dict):
            raise ValueError(f"effect is {written!r}; write an object")  # noqa: TRY301
        effect = model.read(written)
    except ValueError as error:
        raise ControlRefused("bad_effect", str(error)[:300]) from error
    deadline = command.get("deadline")
    if type(deadline) is not int:
        message = f"deadline is {str(deadline)[:80]!r}; write nanoseconds of CLOCK_BOOTTIME"
        raise ControlRefused("bad_command", message)
    epoch = command.get("epoch")
    if epoch is not None and type(epoch) is not int:
        raise ControlRefused("bad_command", f"epoch is {str(epoch)[:80]!r}; write a whole number")
    return ask(_text(command, "key"), effect, deadline, epoch)


def _text(command: Document, key: str) -> str:
    value = command.get(key)
    if not isinstance(value, str) or not value:
        raise ControlRefused("bad_command", f"{key} is {str(value)[:80]!r}; write a text")
    return value
