"""Plays one scenario: time goes from one moment at which something happens to the next, and never waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from netsre import clock
from netsre.app.rehearsing import judging
from netsre.app.rehearsing.deeds import AWAY, Dead, Deeds
from netsre.app.rehearsing.judging import Difference, State
from netsre.app.rehearsing.life import Life
from netsre.app.rehearsing.node import VirtualNode
from netsre.app.rehearsing.outside import VirtualOthers
from netsre.app.rehearsing.points import Points
from netsre.app.rehearsing.series import Tracks
from netsre.app.rehearsing.stage import BEGIN, Stage, VirtualClock
from netsre.clock import Timestamp
from netsre.model.levels import Origin
from netsre.model.runbooks import Run
from netsre.model.scenarios import LONGEST, NODE, Event, Look, Moment, Says, Scenario

PATIENCE: Final = 5 * clock.MINUTE
"""How long after the last event a first run may still begin."""
_QUIET: Final = 1
"""Turns without anything to do; in one more, nothing happens either."""
_RETRY: Final = clock.SECOND
"""How often whoever acts looks while the node gives no answer."""


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened."""

    at: int
    """Milliseconds since the beginning."""
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a scenario."""

    name: str
    runbook: str
    origin: Origin
    differences: tuple[Difference, ...]
    """Between what was expected and what was seen, at the first look that shows one; none: it passes."""
    story: tuple[Told, ...]
    points: tuple[str, ...]
    """Every point that its runs passed."""
    end: Mapping[str, str]
    """What stands in the end."""
    deaths: int = 0
    """How many times it was played again, with a death at another point each time."""

    @property
    def passed(self) -> bool:
        """Tell whether everything was as expected."""
        return not self.differences


@dataclass
class Play:
    """A scenario while it is played."""

    stage: Stage
    scenario: Scenario
    dies_at: int | None = None
    """At which point the controller is killed, counted from 1, beside what the scenario says."""
    clock: VirtualClock = field(default_factory=VirtualClock)
    told: list[tuple[Timestamp, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Set the stage."""
        scenario = self.scenario
        self.stage.clear()
        self.points = Points([event for event in scenario.events if not isinstance(event.when, Moment)])
        self.points.happen = self._happen
        self.points.seen = self._die
        self._open()
        tracks = Tracks(self.clock.at, dict(scenario.given.series))
        self.node = VirtualNode(scenario, self.points, tracks)
        self.others = VirtualOthers(self.node, scenario.given.others)
        self.deeds = Deeds(self.stage, self.others, self.told)
        self._timed = sorted(
            (event for event in scenario.events if isinstance(event.when, Moment)),
            key=lambda event: event.when.at if isinstance(event.when, Moment) else 0,
        )
        self._last_event = max((_at(event) for event in self._timed), default=self.clock.at)
        self._looks = list(scenario.looks)
        self._watched = self.stage.watched(scenario)
        self._next_turn = self.clock.at
        self._quiet = 0
        self._unheard: list[Event] = []
        """What people said to a controller that was killed by then: they say it again."""
        self._differences: tuple[Difference, ...] = ()
        self._remember_runs()
        self._life: Life | None = None

    def run(self) -> Played:
        """Play it to its end, or to the first look that shows a difference."""
        while not self._differences and self._quiet <= _QUIET:
            try:
                self._moment()
            except Dead:
                self._life = None
                self._open()
                self._next_turn = Timestamp(self.clock.at + AWAY)
            if self.clock.at - BEGIN > LONGEST + self.scenario.given.interval:
                self.node.mistakes.append(f"a run has not ended after {clock.duration_text(LONGEST)}")
                break
            self._pass_time()
        return self._end()

    def _open(self) -> None:
        """Open the database, as every life of a controller does."""
        self.store = self.stage.store()
        self.store.points = self.points

    def _die(self) -> None:
        if len(self.points.passed) == self.dies_at:
            self.told.append((self.clock.at, f"the controller is killed {self.points.passed[-1]}"))
            raise Dead

    def _moment(self) -> None:
        """Have everything happen that is due now, in one life of the controller."""
        if self.deeds.back_at is not None and self.deeds.back_at <= self.clock.at:
            self.deeds.agent_back()
        if self._life is None and self.clock.at < self._next_turn:
            return  # nobody is there; the world alone goes on
        life = self._life = self._life or self._new_life()
        while self._unheard:
            self._happen(self._unheard.pop(0))
        while self._timed and _at(self._timed[0]) <= self.clock.at:
            # Taken before it happens: the controller may be killed by it.
            self._happen(self._timed.pop(0))
        self.node.silent = False
        if self.clock.at >= self._next_turn:
            self._next_turn = Timestamp(self.clock.at + self.scenario.given.interval)
            life.turn()
            busy = bool(self._timed or self._timed_looks() or self._going_on())
            self._quiet = 0 if busy else self._quiet + 1
        else:
            life.act()
        while self._looks and self._looks[0].at is not None and BEGIN + self._looks[0].at <= self.clock.at:
            self._judge(self._looks.pop(0))

    def _timed_looks(self) -> Sequence[Look]:
        return [look for look in self._looks if look.at is not None]

    def _pass_time(self) -> None:
        """Go to the next moment at which anything can happen."""
        now = self.clock.at
        moments = [self._next_turn]
        if self._life is not None:
            moments += [_at(event) for event in self._timed[:1]]
            moments += [Timestamp(BEGIN + (look.at or 0)) for look in self._timed_looks()[:1]]
        moments += [at for at in (self.node.next_end(), self.deeds.back_at) if at is not None]
        if self.node.silent:
            moments.append(Timestamp(now + _RETRY))
        self.clock.at = Timestamp(max(now + 1, min(moments)))
        self.node.pass_time(self.clock.at)

    def _new_life(self) -> Life:
        world = self.stage.world(self.store, self.scenario, self.others, self.clock)
        return Life(world, self.node, self._watched)

    def _happen(self, event: Event) -> None:
        if self._life is None:
            return
        try:
            self.deeds.happen(event, self._life.world)
        except Dead:
            if isinstance(event.deed, Says):
                # It may have been heard: whatever is answered then is right.
                self._unheard.append(replace(event, deed=replace(event.deed, answer=None)))
            raise

    def _going_on(self) -> bool:
        """Tell whether a run goes on, or the first one may still begin: alerts can hold before they fire."""
        with self.store.read() as transaction:
            if transaction.runs.unended():
                return True
            newest = next(iter(transaction.runs.newest(1)), None)
        began = newest is not None and newest.started_at >= BEGIN
        return not began and self.clock.at < self._last_event + PATIENCE

    def _state(self) -> State:
        return judging.state(self.store, self.node)

    def _judge(self, look: Look) -> None:
        if not self._differences:
            self._differences = tuple(judging.compare(look, self._state()))

    def _end(self) -> Played:
        for look in self._looks:
            if look.at is None:
                self._judge(look)
        mistakes = [Difference(self.scenario.origin, "", None, text) for text in self.node.mistakes]
        if not self._differences:
            mistakes += [
                Difference(
                    event.origin, "event", f"it happens {event.when.text()}", "the run never came there"
                )
                for event in self.points.waiting
                if not isinstance(event.when, Moment)
            ]
        told = [*self.told, *self.node.told]
        return Played(
            self.scenario.name,
            self.scenario.runbook,
            self.scenario.origin,
            (*mistakes, *self._differences),
            tuple(Told(at - BEGIN, who, text) for at, who, text in judging.story(self.store, told)),
            tuple(self.points.passed),
            judging.end(self._state()),
        )

    def _remember_runs(self) -> None:
        """Put the runs on record that were before."""
        book = self.stage.books[self.scenario.runbook]
        if not self.scenario.given.runs:
            return
        with self.store.write() as transaction:
            for number, one in enumerate(self.scenario.given.runs):
                at = Timestamp(BEGIN - one.ago)
                target = one.target or book.lock.replace("{node}", NODE)
                changed_at = at if one.changed else None
                run = Run(
                    f"earlier-{number}",
                    book.name,
                    "earlier",
                    at,
                    target,
                    one.state,
                    one.reason,
                    at,
                    at,
                    changed_at,
                )
                transaction.runs.add(run)


def _at(event: Event) -> Timestamp:
    return Timestamp(BEGIN + (event.when.at if isinstance(event.when, Moment) else 0))
