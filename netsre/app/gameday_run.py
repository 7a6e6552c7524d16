"""Has the running controller run a game day, and follows it to its end."""

import contextlib
import getpass
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, Protocol

from netsre.adapters import controller_client
from netsre.adapters.controller_client import Refused
from netsre.app import request
from netsre.errors import BadInput, EnvironmentUnfit

PATH: Final = "/api/v1/gamedays"
STAGES: Final = ("injected", "beyond", "detected", "paged", "mitigated", "verified")
"""The times of a result, in their order."""
_TURN_SECONDS: Final = 0.5
_SILENCE_SECONDS: Final = 30.0
"""A controller may be started again meanwhile."""

View = Mapping[str, Any]
"""A run of a game day, as the API tells of it."""

_asked_to_end: Final = threading.Event()
"""Until somebody takes note: what a signal raises in a finalizer, the interpreter throws away."""


class Screen(Protocol):
    """Where a person reads along."""

    def say(self, line: str) -> None:
        """Show what is being done."""

    def stage(self, stage: str, drill: View) -> None:
        """Show that a stage was reached."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    name: str
    profile: str | None = None
    """None: that of its file."""


def _nothing() -> None:
    """Do nothing meanwhile."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Take SIGTERM and a lost terminal as Ctrl-C: what was begun is ended in an orderly way."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        _asked_to_end.set()
        raise KeyboardInterrupt

    # What a shell, or nohup, has a background job ignore stays so.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    base: str, data_dir: str | None, wish: Wish, screen: Screen, meanwhile: Callable[[], None] = _nothing
) -> View:
    """Run a game day and return what came of it, a refusal too; Ctrl-C ends it and goes on when it is clean.

    `meanwhile` is done again and again. Raises `BadInput` for a name that nobody knows, `EnvironmentUnfit`
    when nobody answers.
    """
    try:
        name = begin(base, data_dir, wish)
    except Refused as refusal:
        refused = refusal.document.get("id")
        if not isinstance(refused, str):
            raise
        screen.say(str(refusal))
        return find(base, refused)
    screen.say(f"run {name} of {wish.name}")
    try:
        return watch(base, name, screen, meanwhile)
    except KeyboardInterrupt:
        _asked_to_end.clear()
        screen.say("ending the fault and cleaning up")
        with contextlib.suppress(Refused):
            abort(base, data_dir, name)
        for _ in follow(base, name, meanwhile):
            pass
        raise


def has_lab(base: str) -> bool:
    """Tell whether a controller with a lab answers."""
    try:
        return listed(base).get("lab") is True
    except EnvironmentUnfit:
        return False


def active(base: str) -> str | None:
    """Return the run that is not over."""
    return next((str(run["id"]) for run in listed(base)["runs"] if not run["ended_at"]), None)


def latest(base: str) -> str | None:
    """Return the newest run."""
    return next((str(run["id"]) for run in listed(base)["runs"]), None)


def listed(base: str) -> View:
    """Return the game days and their runs; raises `EnvironmentUnfit`."""
    found = controller_client.ask(base, PATH)
    if not isinstance(found, Mapping) or not isinstance(found.get("gamedays"), Sequence):
        raise EnvironmentUnfit(f"controller {base} tells of no game days; is it another version?")
    return found


def begin(base: str, data_dir: str | None, wish: Wish) -> str:
    """Ask for a game day and return the name of its run.

    A name that nobody knows raises `BadInput`, any other no `Refused`; nobody there, `EnvironmentUnfit`.
    """
    asked = {"name": wish.name, "id": secrets.token_hex(16), "by": _user()}
    if wish.profile is not None:
        asked["profile"] = wish.profile
    try:
        answered = request.send(base, data_dir, PATH, asked)
    except Refused as refusal:
        if refusal.document.get("reason") == "unknown_gameday":
            raise BadInput(f"game day {wish.name!r}: {refusal.document.get('detail')}") from refusal
        raise
    if not isinstance(answered, Mapping) or not isinstance(answered.get("id"), str):
        raise EnvironmentUnfit(f"controller {base} does not name the run; is it another version?")
    return str(answered["id"])


def abort(base: str, data_dir: str | None, run: str) -> None:
    """Ask for the end of a run; raises `Refused` when it is over, `BadInput` for a name that is none."""
    request.send(base, data_dir, f"{_of(run)}/abort", {"by": _user()})


def find(base: str, run: str) -> View:
    """Return a run; raises `BadInput` when there is none of that name."""
    told = controller_client.ask(base, _of(run))
    drill = told.get("drill") if isinstance(told, Mapping) else None
    if not isinstance(drill, Mapping):
        raise EnvironmentUnfit(f"controller {base} tells nothing of run {run}; is it another version?")
    return drill


def follow(base: str, run: str, meanwhile: Callable[[], None] = _nothing) -> Iterator[View]:
    """Yield a run until it is over; raises `EnvironmentUnfit` when nobody answers for long."""
    heard = time.monotonic()
    while True:
        if _asked_to_end.is_set():
            raise KeyboardInterrupt
        try:
            drill = find(base, run)
        except EnvironmentUnfit:
            if time.monotonic() - heard > _SILENCE_SECONDS:
                raise
        else:
            heard = time.monotonic()
            yield drill
            if drill.get("ended_at"):
                return
        meanwhile()
        time.sleep(_TURN_SECONDS)


def watch(base: str, run: str, screen: Screen, meanwhile: Callable[[], None]) -> View:
    """Follow a run, show every stage once, and return it when it is over."""
    told: set[str] = set()
    drill: View = {}
    for drill in follow(base, run, meanwhile):
        for stage in STAGES:
            if drill.get(f"{stage}_at") and stage not in told:
                told.add(stage)
                screen.stage(stage, drill)
    return drill


def _of(run: str) -> str:
    """Return the path of a run; whatever is in its name leads nowhere else."""
    return f"{PATH}/{controller_client.part(run)}"


def passed(drill: View) -> bool:
    """Tell whether a run went as it should."""
    return drill.get("state") == "passed"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
