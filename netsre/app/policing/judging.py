"""A canary that is watched: promoted in the end if nothing became worse, withdrawn as soon as something does.

Whoever watches may die at any moment: the kernel ends the trial then, as it ends every trial.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final

from netsre.adapters.bpf import policy_maps
from netsre.app.policing import canary_counts, canary_levels, node, trials
from netsre.app.policing.canary_levels import Watched
from netsre.app.policing.node import Places
from netsre.app.policing.trials import Trial
from netsre.clock import boottime
from netsre.datapath.policy import canary
from netsre.datapath.policy.canary import Asked, Outcome, Reason, Sample, Verdict
from netsre.errors import BadInput, NetsreError

SPARE: Final = 60.0
"""Seconds that the kernel lets a trial go on after it is to be judged: promoting takes a while, too."""
_EVERY: Final = 1.0
"""Seconds between two looks at the least."""
_REST: Final = 19
"""So many times as long as a look at all connections took nobody looks at them: there can be many."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Question:
    """What is tried on whom, for how long, and what it must show."""

    paths: Sequence[Path]
    endpoints: Path
    canary: Sequence[str]
    seconds: float
    """Until it is judged at last."""
    ttl: float
    """Seconds until the kernel ends it, whatever became of us; longer than `seconds`."""
    asked: Asked
    controller: str | None
    levels: Sequence[str]
    """Names of service levels; none are those about policies that have data."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How things stand while a canary is watched."""

    trial: Trial
    passed: int
    """Connections of the canary at once, the most so far."""
    denied: int
    """Packets that the revision before allows."""
    left: float
    """Seconds until it is judged at last."""
    levels: int
    """How many service levels are watched."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How it ended."""

    verdict: Verdict
    trial: Trial
    in_force: int | None
    """The revision that decides now; None where somebody else has seen to it."""
    seconds: float
    """For how long it was watched."""
    connections: Mapping[str, int]
    denied: Mapping[str, int]
    levels: tuple[str, ...]

    @property
    def promoted(self) -> bool:
        """Return whether all have the new policies now."""
        return self.verdict.outcome is Outcome.PASS


def judge(
    places: Places,
    question: Question,
    said: Callable[[str], None],
    seen: Callable[[Seen], None],
) -> Judged:
    """Begin a canary, watch it, and promote or withdraw it; `said` has lines about what is done.

    Raises as `trials.begin`; once it has begun, whatever is raised it is withdrawn before.
    """
    levels = canary_levels.watched(question.controller, question.levels, question.seconds)
    if levels.note:
        said(levels.note)
    before = canary_counts.read(places, (), 0, boottime(), connections=False)
    with _stopped() as stop:
        trial = trials.begin(
            places, question.paths, question.endpoints, question.canary, question.ttl, lambda _: None
        )
        if trial.missing:
            said(f"not there, and not policed: {', '.join(trial.missing)}")
        watch = _Watch(places, question, trial, before, levels)
        try:
            verdict = watch.until_judged(stop, seen)
            return _settled(places, watch, verdict)
        except BaseException:
            # Whatever it is, nobody watches any more; and should this fail as well, the kernel ends it.
            with contextlib.suppress(NetsreError):
                _withdraw(places, trial)
            raise


class _Watch:
    """What was seen of one trial so far."""

    def __init__(
        self, places: Places, question: Question, trial: Trial, before: Sample, levels: Watched
    ) -> None:
        self.trial = trial
        self.levels = levels
        self.before = before
        self.now = before
        self._places = places
        self._question = question
        self._began = boottime()
        self._due = 0.0
        """When connections are looked at again, on the monotonic clock."""

    @property
    def seconds(self) -> float:
        """Return for how long it was watched."""
        return (boottime() - self._began) / 1e9

    def until_judged(self, stop: threading.Event, seen: Callable[[Seen], None]) -> Verdict:
        """Look again and again; return the verdict."""
        while True:
            verdict = self._look()
            if verdict.outcome is not Outcome.WAITING:
                return verdict
            left = self._question.seconds - self.seconds
            passed = sum(self.now.connections.values())
            denied = sum(canary.gained(self.before, self.now).values())
            seen(Seen(self.trial, passed, denied, max(0.0, left), len(self.levels.before)))
            if stop.wait(max(0.0, min(_EVERY, left))):
                return Verdict(Outcome.INCONCLUSIVE, Reason.INTERRUPTED, "somebody stopped the command")

    def _look(self) -> Verdict:
        if _on_trial(self._places) != self.trial.number:
            return self.ended()
        over = self.seconds >= self._question.seconds
        self.now = self._sample(connections=over or time.monotonic() >= self._due).including(self.now)
        verdicts = [canary.judged(self.before, self.now, self._question.asked, over=over)]
        told = self.levels.verdict(boottime() / 1e9, over=over)
        return canary.joined([*verdicts, told] if told is not None else verdicts)

    def _sample(self, *, connections: bool) -> Sample:
        began, mine = time.monotonic(), self.trial
        found = canary_counts.read(
            self._places, mine.endpoints, mine.number, boottime(), connections=connections
        )
        if not mine.unlisted:
            found = replace(found, forged=self.before.forged)
        if connections:
            ended = time.monotonic()
            self._due = ended + _REST * (ended - began)
        return found

    def ended(self) -> Verdict:
        """Return who ended it, where it was not us."""
        if boottime() >= self.trial.until_ns:
            return Verdict(
                Outcome.INCONCLUSIVE, Reason.ENDED, "the kernel ended the trial before it was judged"
            )
        return Verdict(
            Outcome.INCONCLUSIVE, Reason.TAKEN_OVER, "somebody else promoted or withdrew it meanwhile"
        )


def _settled(places: Places, watch: _Watch, verdict: Verdict) -> Judged:
    try:
        in_force = _carried_out(places, watch.trial, verdict)
    except BadInput:
        # It ended in this very moment: there is nothing left to promote.
        verdict = watch.ended()
        in_force = _carried_out(places, watch.trial, verdict)
    return Judged(
        verdict,
        watch.trial,
        in_force,
        watch.seconds,
        watch.now.connections,
        canary.gained(watch.before, watch.now),
        tuple(map(str, watch.levels.before)),
    )


def _carried_out(places: Places, trial: Trial, verdict: Verdict) -> int | None:
    """Promote or withdraw; return the revision that decides then, None where somebody else has seen to it."""
    match verdict.reason:
        case Reason.HEALTHY:
            return trials.promote(places, lambda _: None, trial.number).number
        case Reason.ENDED:
            return trial.before
        case Reason.TAKEN_OVER:
            return None
        case _:
            return _withdraw(places, trial)


def _withdraw(places: Places, trial: Trial) -> int:
    """End our trial, and no other one; return the revision that decides then."""
    with contextlib.suppress(BadInput):  # it has ended meanwhile
        trials.withdraw(places, trial.number)
    return trial.before


def _on_trial(places: Places) -> int | None:
    """Return the number of the revision on trial; raises `EnvironmentUnfit`."""
    with node.there(places) as datapath, node.kernel("what is in force cannot be read"):
        one = policy_maps.revisions(datapath).trial(boottime()) if datapath is not None else None
    return one.number if one is not None else None


@contextlib.contextmanager
def _stopped() -> Iterator[threading.Event]:
    """Yield what is set by Ctrl-C, and by whoever asks us to end; asked twice, we wait for nothing."""
    asked = threading.Event()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    # What a caller has us ignore (nohup) stays ignored.
    before = {number: one for number, one in handlers.items() if one is not signal.SIG_IGN}

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
