"""A world that does its worst to the gates, and a judge who counts by himself.

A history is made by chance, of a seed: alerts, ends of runs, failures, pauses, kill switches, and time. What
the gates admit happens; what must never happen is counted here, from a plain record of what did, and the
gates are asked nothing.
"""

import random
from dataclasses import dataclass, field, replace

from netsre.clock import DAY, HOUR, MINUTE, SECOND, Timestamp
from netsre.model.alerts import Alert, fingerprint
from netsre.model.effects import Limit, Setting
from netsre.model.effects import setting as setting_of
from netsre.model.holds import Asked, Bounds, Pause, Quarantined, Scope
from netsre.model.runbooks import Limits, Run, Runbook, RunState
from netsre.model.samples import labels
from netsre.runbook import decide
from netsre.runbook.decide import Change, Circumstances, Holds, KillSwitch, Past
from netsre.runbook.gates import storm
from netsre.runbook.gates.values import Move
from tests.unit.runbook import given

STRICT = Bounds(1, 2, 6, storm_alerts=4)
WIDE = Bounds(99, 99, 99, storm_alerts=6)
BOOKS = tuple(
    replace(
        given.BOOK,
        name=f"book{number}",
        when=None,
        lock="conntrack/{netns}",
        limits=Limits(MINUTE, 3, 2, 0, 5, 2, 3, 2, retry),
    )
    for number, retry in enumerate((None, 2 * HOUR))
)
TARGETS = 6
RESTS = (SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 11 * MINUTE, 40 * MINUTE, 3 * HOUR, 20 * HOUR)
VALUES = tuple(str(number) for number in range(1000, 1008))
START = Timestamp(given.T0 + 30 * DAY)


@dataclass(frozen=True)
class Done:
    """A run began to change something."""

    at: Timestamp
    run: Run


@dataclass
class World:
    """What is so, and what happened; `broken` says which rule did not hold."""

    chance: random.Random
    bounds: Bounds
    targets: int = TARGETS
    rests: tuple[int, ...] = RESTS
    now: Timestamp = START
    switch: KillSwitch = KillSwitch.OFF
    runs: dict[str, Run] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    closed: dict[str, Timestamp] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    chosen: dict[str, Setting] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    ends: list[tuple[Timestamp, str, RunState]] = field(default_factory=list)
    limit: str = VALUES[0]
    refused: set[decide.Gate] = field(default_factory=set)
    """Gates that said no, ever."""
    broken: list[str] = field(default_factory=list)

    def play(self, events: int) -> None:
        """Let so many things happen."""
        things = (
            *(self.alert, self.alert, self.act, self.act, self.act),
            *(self.end, self.end, self.rest, self.rest, self.meddle),
        )
        for _ in range(events):
            self.chance.choice(things)()

    def alert(self) -> None:
        """Let an alert come, or several at once."""
        for _ in range(self.chance.choice((1, 1, 1, 1, 1, 2, 9))):
            netns = f"n{self.chance.randrange(self.targets)}"
            pairs = {"alertname": "ConntrackUtilization", "node": "a", "netns": netns}
            if self.chance.random() < 0.2:
                del pairs["netns"]  # no target: nothing is never everything
            found = labels(pairs)
            alert = replace(given.ALERT, labels=found, fingerprint=fingerprint(found))
            for book in BOOKS:
                self._announce(book, alert)

    def _announce(self, book: Runbook, alert: Alert) -> None:
        verdict = decide.decide(book, alert, self._around())
        name = f"r{len(self.runs)}"
        state = RunState.EXECUTING if verdict.accepted else RunState.REFUSED
        run = Run(name, book.name, alert.fingerprint, self.now, verdict.target, state, "", self.now, None)
        self.refused.update(answer.gate for answer in verdict.answers if not answer.passed)
        if verdict.accepted:
            if not verdict.target:
                self.broken.append("acted without a target")
            if any(other.target == run.target for other in self._going_on()):
                self.broken.append("two runs on one target")
        self.runs[name] = run
        self.asked.append(Asked(alert.fingerprint, self.now))

    def act(self) -> None:
        """Let a run change something, if the gates admit it."""
        going_on = self._going_on()
        if not going_on:
            return
        run = self.chance.choice(going_on)
        book = next(book for book in BOOKS if book.name == run.runbook)
        after = self.chance.choice([value for value in VALUES if value != self.limit])
        effect = Limit(int(self.limit), int(after), HOUR)
        setting = setting_of(effect)
        assert setting is not None
        past = Past(tuple(self.moves), tuple(self.quarantined))
        alert = replace(given.ALERT, fingerprint=run.alert)
        verdict = decide.recheck(run, Change(alert, book.limits, (), effect, past), self._around())
        self.refused.update(answer.gate for answer in verdict.answers if not answer.passed)
        if verdict.accepted:
            self._judge(run, book, setting)
            self._change(run, setting)

    def _change(self, run: Run, setting: Setting) -> None:
        self.moves.append(Move(setting.field, setting.before, setting.after, self.now))
        self.limit, self.chosen[run.id] = setting.after, setting
        if run.changed_at is None:
            self.runs[run.id] = replace(run, changed_at=self.now)
            self.done.append(Done(self.now, self.runs[run.id]))

    def end(self) -> None:
        """Let a run end, for better or, mostly, for worse."""
        going_on = self._going_on()
        if not going_on:
            return
        run = self.chance.choice(going_on)
        good = self.chance.random() < 0.5
        bad = (RunState.UNDONE, RunState.FAILED, RunState.NEEDS_HUMAN)
        state = RunState.SUCCEEDED if good else self.chance.choice(bad)
        self.runs[run.id] = replace(run, state=state, ended_at=self.now)
        if run.changed_at is not None:
            self.ends.append((self.now, run.runbook, state))
        setting = self.chosen.get(run.id)
        if state is RunState.UNDONE and setting is not None:
            # Taking back is asked of no gate but the kill switch, and goes back by design.
            self.moves.append(Move(setting.field, self.limit, setting.before, self.now))
            self.limit = setting.before
            until = Timestamp(self.now + self.bounds.quarantine)
            self.quarantined.append(Quarantined(setting.key, run.id, self.now, until))

    def rest(self) -> None:
        """Let time pass."""
        self.now = Timestamp(self.now + self.chance.choice(self.rests))

    def meddle(self) -> None:
        """Let a person do something."""
        match self.chance.randrange(4):
            case 0:
                self.switch = self.chance.choice(list(KillSwitch))
            case 1:
                scope, name = self.chance.choice(
                    ((Scope.ALL, ""), (Scope.RUNBOOK, "book0"), (Scope.TARGET, "conntrack/n1"))
                )
                until = Timestamp(self.now + self.chance.choice((MINUTE, HOUR)))
                self.pauses.append(Pause("p", scope, name, "ada", "x", self.now, until))
            case 2:
                self.closed[self.chance.choice(BOOKS).name] = self.now
            case _:
                self.switch = KillSwitch.OFF

    def _going_on(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.ended]

    def _around(self) -> Circumstances:
        back = decide.lookback(book.limits for book in BOOKS)
        start = self.now - back
        known = [
            run
            for run in self.runs.values()
            if not run.ended or run.started_at >= start or (run.changed_at or 0) >= start
        ]
        changed = [run for run in self.runs.values() if run.changed_at is not None]
        since = self.now - storm.lookback(self.bounds)
        holds = Holds(
            bounds=self.bounds,
            changed=tuple(changed),
            asked=tuple(one for one in self.asked if one.at >= since),
            pauses=tuple(self.pauses),
            closed=self.closed,
        )
        return Circumstances(
            self.now,
            tuple(known),
            self.switch,
            firing=True,
            reading_age=0,
            interval=5_000,
            node="a",
            holds=holds,
        )

    def _judge(self, run: Run, book: Runbook, setting: Setting) -> None:
        """Note every rule that a change breaks which the gates admitted just now."""
        now = self.now
        first = run.changed_at is None
        others = [one for one in self.done if one.run.id != run.id]

        def within(length: int, *, target: str | None = None, runbook: str | None = None) -> int:
            return sum(
                now - one.at < length
                for one in others
                if target in (None, one.run.target) and runbook in (None, one.run.runbook)
            )

        for length, most in self._most():
            self._must(not first or within(length) < most, f"more than {most} changes of all in {length}")
        self._must(not first or within(DAY, runbook=book.name) < 5, "too many of one runbook in a day")
        here = within(HOUR, target=run.target, runbook=book.name)
        self._must(not first or here < 2, "too many on one target in an hour")
        self._must(self.switch is KillSwitch.OFF, "acted under the kill switch")
        paused = [one for one in self.pauses if one.until > now and one.name in ("", run.runbook, run.target)]
        self._must(not paused, "acted under a pause")
        self._must(not self._storm(), "acted in a storm")
        self._must(not self._open(book, run), "acted with an open circuit")
        self._must(len({one.target for one in self._going_on() if one.runbook == book.name}) <= 2, "too wide")
        lately = [one for one in self.moves if now - one.at < self.bounds.oscillation]
        had = {value for one in lately for value in (one.before, one.after)}
        self._must(setting.after not in had, "went to and fro")
        bad = {one.key for one in self.quarantined if now < one.until}
        self._must(setting.key not in bad, "chose what had failed")

    def _most(self) -> tuple[tuple[int, int], ...]:
        bounds = self.bounds
        return (10 * MINUTE, bounds.per_ten_minutes), (HOUR, bounds.per_hour), (DAY, bounds.per_day)

    def _storm(self) -> bool:
        """Tell whether more alerts than allowed wanted a change in a minute of the last ten."""
        ends = [one.at for one in self.asked if self.now - one.at < self.bounds.storm_hold]
        return any(
            len({one.alert for one in self.asked if end - MINUTE < one.at <= end}) > self.bounds.storm_alerts
            for end in ends
        )

    def _open(self, book: Runbook, run: Run) -> bool:
        """Tell whether three runs in a row failed since a person closed the circuit, and no try is due."""
        row, last = 0, None
        for at, name, state in self.ends:
            if name != book.name or at <= self.closed.get(name, Timestamp(0)):
                continue
            row, last = (0, None) if state is RunState.SUCCEEDED else (row + 1, at)
        if row < book.limits.breaker_failures or last is None:
            return False
        retry = book.limits.breaker_retry
        alone = all(one.id == run.id or one.runbook != book.name for one in self._going_on())
        return retry is None or self.now - last < retry or not alone

    def _must(self, holds: bool, rule: str) -> None:
        if not holds:
            self.broken.append(rule)


def played(seed: int, events: int = 70) -> World:
    """Return a world after so many events, made of a seed."""
    chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
    # In every third, all happens to one target, without much rest.
    targets, rests = (1, RESTS[:5]) if seed % 3 == 0 else (TARGETS, RESTS)
    world = World(chance, STRICT if seed % 2 else WIDE, targets, rests)
    world.play(events)
    return world
