"""Staying with files of policies and endpoints, and putting into force what becomes of them.

Whatever becomes of us, one whole revision decides; what is in force rests on nobody being here.
"""

import contextlib
import gc
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters.bpf import policy_maps, policy_reading
from netsre.adapters.file_changes import FileChanges
from netsre.adapters.link_changes import LinkChanges
from netsre.app.policing import applying, followed, interfaces, node, staggering
from netsre.app.policing.applying import Applied, Policed
from netsre.app.policing.changing import OnTrial
from netsre.app.policing.followed import Following, How
from netsre.app.policing.memory import Memory
from netsre.app.policing.node import Places
from netsre.app.policing.sources import Sources, Texts, is_of_files, matters, one_line
from netsre.app.policing.stopping import Stop, stopped_by_signals
from netsre.clock import SECOND, SystemClock, boottime
from netsre.datapath.policy.following import GLANCE, Outcome, Reason, Situation, Step, next_step
from netsre.datapath.policy.programs import ACTIVE
from netsre.errors import BadInput, EnvironmentUnfit

_READY: Final = "following {paths}; Ctrl-C ends it, and what is in force stays"


class _Seen(NamedTuple):
    """What is in force; 0 for none."""

    datapath: int
    """The kernel's number of one of its maps: a datapath that is made anew begins with revision 1."""
    lasting: int
    decides: int

    @property
    def lasts(self) -> tuple[int, int]:
        """Return what tells the revision that lasts from every other one."""
        return self.datapath, self.lasting


@dataclass(frozen=True, slots=True)
class Says:
    """Who is told what."""

    applied: Callable[[Applied], None]
    """What came into force."""
    policed: Callable[[Sequence[str], Sequence[str]], None]
    """Interfaces that are policed now and were not, and those that are gone."""
    how: Callable[[How, str], None]
    """What there is to be done, or that there is nothing any more."""
    progress: Callable[[str], None]
    """How far a change is."""
    ready: Callable[[str], None]
    """That it follows now."""


def follow(places: Places, paths: Sequence[Path], endpoints: Path, says: Says) -> int | None:
    """Put policies into force, and again whenever the files change; return the revision that stays.

    It ends when somebody asks. Raises as `apply` at the beginning, and `EnvironmentUnfit` later where it
    cannot go on: what is in force stays then, too.
    """
    with stopped_by_signals() as stop, followed.alone(places.state), contextlib.ExitStack() as stack:
        with _told():
            files = stack.enter_context(FileChanges(matters))
            links = stack.enter_context(LinkChanges())
        follower = _Follower(places, Sources(paths, endpoints), says, files, links)
        with contextlib.suppress(KeyboardInterrupt):
            follower.begin()
            says.ready(_READY.format(paths=", ".join(map(str, [*paths, endpoints]))))
            while not stop.is_asked:
                follower.turn(stop)
        return follower.revision


class _Follower:
    """What one process knows while it follows."""

    def __init__(
        self, places: Places, sources: Sources, says: Says, files: FileChanges, links: LinkChanges
    ) -> None:
        self.revision: int | None = None
        """That lasts, as far as we have seen."""
        self._places = places
        self._sources = sources
        self._says = says
        self._files = files
        self._links = links
        self._memory = Memory(places.place)
        self._programs = _programs(places)
        self._tried: Texts | None = None
        """What has come to something: into force, or to a complaint."""
        self._refuted: Texts | None = None
        """Those of the tried that made no sense."""
        self._put_at = float("-inf")
        """When we have put something into force last, in seconds of the clock that nobody sets."""
        self._put_last: tuple[Texts, tuple[int, int]] | None = None
        """What we have put into force, and as what it lasts."""
        self._in_force: Texts | None = None
        self._policed = Policed()
        self._there: Mapping[str, tuple[int, str]] | None = None
        """What the kernel knew the interfaces of endpoints by when they were policed."""
        self._numbers: _Seen | None = None
        """What was in force when we last looked."""
        self._lasts: tuple[int, int] | None = None
        """What lasts as far as we have told."""
        self._now = Situation(time.monotonic(), time.monotonic())
        moment = SystemClock().now()
        self._following = Following(os.getpid(), moment, How.FOLLOWING, moment)
        self._is_written = True
        """Whether others can know how it goes."""

    def begin(self) -> None:
        """Put into force what the files say; raises as `apply` does, but waits for the end of a canary.

        What others took back stays, where one who followed these files was killed and they are the same.
        """
        self._watch()
        self._tried = texts = self._sources.read()
        outcome = Outcome.DONE
        killed = followed.left(self._places.state, lambda line: self._says.how(How.FOLLOWING, line))
        try:
            if killed is None or not self._is_elsewhere(killed, texts):
                self._put(texts)
        except OnTrial as error:
            outcome = Outcome.ON_TRIAL
            self.revision, self._tried = self._seen().lasting or None, None
            self._tell(How.ON_TRIAL, str(error))
        self._looked(outcome)
        self._write()
        # What is there now stays for long; nobody need look through all of it again and again.
        gc.collect()
        gc.freeze()

    def _is_elsewhere(self, before: Following, texts: Texts) -> bool:
        """Return whether others have put something else into force since these files were."""
        if self._seen().lasting in {0, before.revision} or before.files != texts.digest():
            return False
        self._following = replace(self._following, revision=before.revision, files=before.files)
        self._glance()
        return True

    def turn(self, stop: Stop) -> None:
        """Do what is to be done next, or wait for it."""
        decision = next_step(time.monotonic(), replace(self._now, held=self._held()))
        if decision.step is Step.WAIT:
            if decision.reason is Reason.STAGGERED:
                self._tell_staggered()
            self._wait(stop, decision.seconds)
        elif decision.step is Step.POLICE:
            self._police()
        elif decision.step is Step.GLANCE:
            self._glance()
        else:
            self._read(decision.reason)

    def _held(self) -> float:
        """Return until when nothing else comes into force."""
        staggered = staggering.read(self._places.state, boottime())
        return self._put_at + staggered.every / SECOND if staggered is not None else float("-inf")

    def _tell_staggered(self) -> None:
        """Say that files have changed and wait, unless there is something worse to say."""
        if self._now.first is None or self._following.how is not How.FOLLOWING:
            return
        if (words := staggering.words(self._places.state)) is not None:
            self._tell(How.STAGGERED, f"the files have changed, which waits its turn: {words}")

    def _wait(self, stop: Stop, seconds: float) -> None:
        numbers = [one.fileno() for one in (stop, self._files, self._links)]
        ready, _, _ = select.select(numbers, [], [], seconds)
        if self._files.fileno() in ready:
            told = self._files.take()
            if told.matters:
                self._stir(is_new=told.directories and self._watch())
        if self._links.fileno() in ready and self._links.take() and self._have_moved():
            self._now = replace(self._now, interfaces=True)
        self._now = replace(self._now, is_written=self._files.is_written)

    def _read(self, reason: Reason) -> None:
        if _programs(self._places) != self._programs:
            raise EnvironmentUnfit(
                "netsre itself is another version now; what is in force stays: start the command again"
            )
        before, texts = self._now.outcome, None
        try:
            texts = self._sources.read()
            outcome = self._take(texts, before, reason)
        except OnTrial as error:
            outcome, self._tried = Outcome.ON_TRIAL, None
            self._tell(How.ON_TRIAL, str(error))
        except (BadInput, EnvironmentUnfit) as error:
            if is_of_files(error, texts):
                # Somebody may be about to write more of it.
                outcome = Outcome.UNREADABLE if reason is Reason.CHANGED else Outcome.WRONG
                self._refute(texts)
                if outcome is Outcome.WRONG:
                    self._tell(How.WRONG, one_line(error))
            else:
                outcome, self._tried = Outcome.REFUSED, None
                self._tell(How.REFUSED, str(error))
        if outcome is Outcome.DONE and self._following.how is How.STAGGERED:
            self._tell(How.FOLLOWING, "")
        self._looked(outcome)

    def _take(self, texts: Texts, before: Outcome, reason: Reason) -> Outcome:
        """Put texts into force unless they are, or were tried in vain; raises what becomes of it."""
        if texts == self._tried and self._is_settled(texts, before):
            return before if texts == self._refuted else Outcome.DONE
        if texts == self._in_force and before is not Outcome.REFUSED and self._seen().lasts == self._lasts:
            self._tried = texts
            self._tell(How.FOLLOWING, "")
            return Outcome.DONE
        if reason is Reason.CHANGED:
            self._memory.compiler.policies(texts.policies)
            self._memory.compiler.endpoints(texts.endpoints)
        self._tried = texts
        self._put(texts)
        return Outcome.DONE

    def _refute(self, texts: Texts | None) -> None:
        """Know again what made no sense; none are files that could not be read."""
        if texts is not None:
            self._refuted = texts
        elif self._tried == self._refuted:
            # What is wrong with them is told once more when they are there again.
            self._tried = None

    def _is_settled(self, texts: Texts, before: Outcome) -> bool:
        """Return whether it is known already what becomes of these texts, which were tried."""
        if before is Outcome.DONE or texts == self._refuted:
            return before in {Outcome.DONE, Outcome.WRONG}
        if before not in {Outcome.UNREADABLE, Outcome.WRONG}:
            return False
        # For a while they could not be read: how it goes is told anew.
        self._lasts, self._now = None, replace(self._now, glanced=-GLANCE)
        return True

    def _looked(self, outcome: Outcome) -> None:
        self._now = Situation(time.monotonic(), self._now.glanced, outcome, interfaces=self._now.interfaces)
        if self._watch():
            # Nobody has told what happened there until now.
            self._stir(is_new=True)

    def _stir(self, *, is_new: bool = False) -> None:
        now, known = time.monotonic(), self._now
        first = known.first if known.first is not None else now
        self._now = replace(known, first=first, last=now, is_new=known.is_new or is_new)

    def _watch(self) -> bool:
        with _told():
            return self._files.watch(self._sources.directories())

    def _put(self, texts: Texts) -> None:
        done = applying.put_texts(self._places, *texts, self._says.progress, self._memory)
        self.revision, self._in_force, self._put_at = done.number, texts, time.monotonic()
        self._policed = Policed(done.attached, done.missing)
        # What came meanwhile, and whether the kernel goes by the names that were compiled, is seen at once.
        self._there, self._numbers = self._at() if not done.missing else None, None
        self._lasts = self._seen().datapath, done.number
        self._put_last = texts, self._lasts
        self._following = replace(self._following, revision=done.number, files=texts.digest())
        # Before anybody hears of it: who goes back then, and kills us, is understood by the next one.
        self._write()
        self._says.applied(done)
        self._tell(How.FOLLOWING, "")

    def _police(self) -> None:
        there = self._at()
        self._now = replace(self._now, interfaces=False)
        try:
            policed = applying.police_again(self._places, self._memory)
        except (BadInput, EnvironmentUnfit) as error:
            if self._at() != there:
                self._now = replace(self._now, interfaces=True)
            else:
                # Once more at the next look.
                self._there = None
                self._tell(How.REFUSED, str(error))
            return
        before = self._policed.attached
        self._policed, self._there = policed, there
        come, gone = {*policed.attached} - {*before}, {*before} - {*policed.attached}
        if come or gone:
            self._says.policed(sorted(come), sorted(gone))
        if policed.unknown and self._in_force is not None:
            # By what is in force no source is believed there: that cannot wait.
            self._tried = self._in_force = None
            self._put_at = float("-inf")
            self._stir()
        self._well()

    def _at(self) -> Mapping[str, tuple[int, str]]:
        return interfaces.at([*self._policed.attached, *self._policed.missing])

    def _have_moved(self) -> bool:
        return self._at() != self._there

    def _glance(self) -> None:
        """Say so where another command has put something else into force; it stays until the files change."""
        if not self._is_written:
            self._write()
        try:
            numbers = self._seen()
        except EnvironmentUnfit as error:
            self._now = replace(self._now, glanced=time.monotonic())
            self._tell(How.REFUSED, str(error))
            return
        # Others may have other endpoints.
        is_other, self._numbers = numbers != self._numbers, numbers
        moved = is_other or self._have_moved()
        self._now = replace(self._now, glanced=time.monotonic(), interfaces=moved)
        self._well()
        self.revision = numbers.lasting or None
        # Otherwise what the files say is to come yet, whatever is in force until then.
        is_done = self._now.outcome not in {Outcome.ON_TRIAL, Outcome.REFUSED}
        if is_done and numbers.lasts != self._lasts:
            self._lasts = numbers.lasts
            self._is_another()

    def _is_another(self) -> None:
        """Tell whether what lasts now is what the files say."""
        texts, lasts = self._put_last or (None, None)
        self._in_force = texts if lasts == self._lasts else None
        if self._in_force is not None and self._in_force == self._tried:
            self._tell(How.FOLLOWING, "")
            return
        revision = self.revision
        now = f"revision {revision} is in force" if revision is not None else "no policies are in force"
        self._tell(How.ELSEWHERE, f"{now} by another command; it stays until the files change")

    def _well(self) -> None:
        """Take back that the machine could not do something, where it can now."""
        is_policed = self._there is not None
        if self._following.how is How.REFUSED and self._now.outcome is Outcome.DONE and is_policed:
            self._tell(How.FOLLOWING, "")

    def _seen(self) -> _Seen:
        """Return what is in force; raises `EnvironmentUnfit`."""
        place = self._places.place
        with (
            place.locked(),
            node.there(self._places) as datapath,
            node.kernel("what is in force cannot be read"),
        ):
            if datapath is None:
                return _Seen(0, 0, 0)
            held = policy_maps.revisions(datapath)
            number = policy_reading.number_of(datapath.maps[ACTIVE])
        each = held.slots[held.lasting], held.decides(boottime())
        lasting, decides = (one.number if one.is_whole else 0 for one in each)
        return _Seen(number, lasting, decides)

    def _tell(self, how: How, detail: str) -> None:
        known = self._following
        if (known.how, known.detail) != (how, detail):
            since = known.since if known.how is how else SystemClock().now()
            self._following = replace(known, how=how, detail=detail, since=since)
            self._says.how(how, detail)
            self._write()

    def _write(self) -> None:
        # Who cannot write it down goes on: what is in force does not rest on it.
        try:
            followed.write(self._places.state, self._following)
        except EnvironmentUnfit as error:
            if self._is_written:
                self._says.how(self._following.how, str(error))
            self._is_written = False
        else:
            self._is_written = True


def _programs(places: Places) -> str | None:
    """Return what our programs are known by; None while somebody puts others there."""
    try:
        return node.digest(places.programs)
    except OSError:
        return None


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what the kernel refuses to tell into one line."""
    try:
        yield
    except OSError as error:
        what = f" in {error.filename}" if error.filename else ""
        raise EnvironmentUnfit(
            f"changes{what} cannot be watched: {error.strerror}; sysctl fs.inotify says how many may be"
        ) from error
