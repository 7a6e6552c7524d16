"""An Alertmanager and an HTTP server in memory, which live on while controllers die around every call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from netsre.adapters.alertmanager import Answer, Result
from netsre.adapters.http_calls import Heard, Outcome
from netsre.clock import parse_rfc3339
from netsre.model.documents import Document
from tests.unit.app.crashing import Fate
from tests.unit.app.fakes import SetClock

_Said = TypeVar("_Said")
LOST_BEFORE, LOST_AFTER = "not done, no answer", "done, no answer"


@dataclass
class Line:
    """The way to somebody outside: calls are counted, and some are lost."""

    fate: Fate
    faults: dict[int, str] = field(default_factory=dict)
    """What befalls a call, by its number from 1."""
    silent: bool = False
    calls: list[str] = field(default_factory=list)

    def call(self, name: str, do: Callable[[], _Said], lost: _Said) -> _Said:
        """Have something done, or not; `lost` is what is known without an answer."""
        self.calls.append(name)
        self.fate.point(f"before {name}")
        fault = LOST_BEFORE if self.silent else self.faults.get(len(self.calls))
        if fault == LOST_BEFORE:
            return lost
        answer = do()
        self.fate.point(f"after {name}")
        return lost if fault == LOST_AFTER else answer


NO_ANSWER = Answer(Result.UNREACHABLE, "no answer")


@dataclass
class MemoryAlertmanager:
    """Keeps silences, and ends them in time."""

    clock: SetClock
    line: Line
    name: str = "am:9093"
    kept: list[dict[str, object]] = field(default_factory=list)
    refuses: bool = False

    def silence(self, silence: Document) -> Answer:
        """Take a silence."""

        def take() -> Answer:
            if self.refuses:
                return Answer(Result.REJECTED, "no")
            self.kept.append({**silence, "id": str(len(self.kept) + 1)})
            return Answer(Result.ACCEPTED)

        return self.line.call("silence", take, NO_ANSWER)

    def silences(self) -> Answer:
        """List silences."""
        found = tuple({**one, "status": {"state": self.state(one)}} for one in self.kept)
        return self.line.call("silences", lambda: Answer(Result.ACCEPTED, alerts=found), NO_ANSWER)

    def expire(self, silence_id: str) -> Answer:
        """End one."""

        def end() -> Answer:
            self.kept[int(silence_id) - 1]["over"] = True
            return Answer(Result.ACCEPTED)

        return self.line.call("expire", end, NO_ANSWER)

    def state(self, one: Mapping[str, object]) -> str:
        """Return whether a silence is in force."""
        over = "over" in one or parse_rfc3339(str(one["endsAt"])) <= self.clock.at
        return "expired" if over else "active"


@dataclass
class MemoryServer:
    """Does what it is asked with POST, takes it back with DELETE, and tells with GET whether it is done."""

    line: Line
    done: list[str] = field(default_factory=list)
    """Keys of what was done, in order."""
    undone: list[str] = field(default_factory=list)
    answers: int = 200
    over: int = 404
    """What it says of what it did and that is over."""
    at_once: bool = False
    """What it does is over as soon as it is done."""
    bodies: list[bytes] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    """The tokens of all requests."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Heard:
        """Do what is asked; a key that is known is one that was done."""
        del url, seconds
        lost = Heard(Outcome.UNKNOWN, reason="no answer")
        key = headers["Idempotency-Key"]
        self.shown.append(headers.get("Authorization", ""))

        def answer() -> Heard:
            if self.answers != 200:
                return Heard(Outcome.ANSWERED, self.answers)
            match method:
                case "GET":
                    if key not in self.done:
                        return Heard(Outcome.ANSWERED, 404)
                    over = self.at_once or f"{key}/undo" in self.undone
                    return Heard(Outcome.ANSWERED, self.over if over else 200)
                case "DELETE":
                    self.undone.append(key)
                case _:
                    self.done.append(key)
                    self.bodies.append(body)
            return Heard(Outcome.ANSWERED, 200)

        return self.line.call(method.lower(), answer, lost)
