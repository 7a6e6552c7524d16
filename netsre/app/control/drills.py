"""Runs game days: one at a time, over any crash, and every one of them cleans up.

The intent of an effect is on disk before the effect, its outcome after it. What a crash left open is settled
by asking the lab and the node, and nothing is begun twice.
"""

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from netsre import clock
from netsre.app.control import ACTOR, drill_facts
from netsre.app.control.drill_world import Ground, LabRefused, LabSilent
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.errors import Fenced, StoreUnusable
from netsre.gameday import decide, progress, results
from netsre.gameday import journal as lines
from netsre.gameday.decide import Gate
from netsre.gameday.journal import Line
from netsre.gameday.progress import Finish, Inject, Prove, Release, Stop, Wait, Write
from netsre.model.documents import Document
from netsre.model.gamedays import Drill, DrillKind, DrillState, GameDay, Profile
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable
from netsre.store.database import Transaction

_log: Final = logging.getLogger("netsre.gameday")

BY_SCHEDULE: Final = "schedule"
_MOST_COMMANDS: Final = 50
"""In one turn; what is left is for the next."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a game day."""

    gameday: str
    by: str
    profile: Profile | None = None
    """None: that of its file."""
    key: str | None = None
    """The same key again is the same request."""
    scheduled_at: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Replied:
    """What became of a request."""

    gate: Gate
    drill: Drill | None
    """None when nothing was recorded, as for a name that nobody knows."""


class Drills:
    """Takes requests for game days, and takes the drill that is not over to its end."""

    def __init__(self, ground: Ground, wake: Callable[[], None]) -> None:
        """Stand on `ground`; `wake` is called when there is something to do at once."""
        self._ground = ground
        self._wake = wake
        self._asking = threading.Lock()

    def request(self, asked: Asked) -> Replied:
        """Judge a request, record it whatever the answer, and begin it soon if nothing is against it."""
        # One at a time: two that ask together would both see a lab without a drill.
        with self._asking:
            replied = self._judge(asked)
        if replied.gate is Gate.ACCEPTED:
            self._wake()
        return replied

    def scheduled(self, gameday: str, at: Timestamp) -> None:
        """Ask for a game day whose time has come."""
        self.request(Asked(gameday, BY_SCHEDULE, scheduled_at=at))

    def abort(self, drill_id: str, by: str) -> Drill | None:
        """Ask for the end of a drill; return it, None when there is none of that name or it is over."""
        with self._ground.store.write() as transaction:
            drill = transaction.drills.active()
            if drill is None or drill.id != drill_id:
                return None
            if lines.read(transaction.drills.journal(drill_id)).abort is None:
                drill = self._write(transaction, drill, lines.aborting(by))
                transaction.audit.append(self._ground.clock.now(), by, "gameday.abort", drill_id, {})
        self._wake()
        return drill

    def advance(self) -> bool:
        """Take the drill that is not over as far as it can go now; tell whether there is more to do."""
        with self._ground.store.read() as transaction:
            drill = transaction.drills.active()
        try:
            return self._advance(drill)
        except Fenced:
            raise  # another controller goes on with it
        except StoreUnusable:
            if drill is not None:
                self._end_fault(drill)
            raise

    def _advance(self, drill: Drill | None) -> bool:
        count = 0
        while drill is not None and not drill.ended and count < _MOST_COMMANDS:
            command = self._next(drill)
            if isinstance(command, Wait):
                break
            drill = self._carry_out(drill, command)
            count += 1
            if isinstance(command, Stop | Release) and command.again:
                # It was asked for before, and is still there: that takes time, and not more asking.
                break
        return count >= _MOST_COMMANDS

    def _judge(self, asked: Asked) -> Replied:
        ground, now = self._ground, self._ground.clock.now()
        drill_id, gameday = _name(asked), ground.gamedays.get(asked.gameday)
        with ground.store.read() as transaction:
            known = transaction.drills.find(drill_id)
        if known is not None:
            return Replied(_gate_of(known) if _is_answer(known, asked) else Gate.KEY_REUSED, known)
        around = drill_facts.surroundings(ground, gameday, asked.scheduled_at)
        gate = decide.decide(gameday, asked.scheduled_at or now, around, now)
        if gameday is None or gate is Gate.ALREADY_RAN:
            return Replied(gate, None)
        accepted = gate is Gate.ACCEPTED
        drill = Drill(
            id=drill_id,
            gameday=gameday.name,
            profile=asked.profile or gameday.fault.profile,
            by=asked.by,
            scheduled_at=asked.scheduled_at,
            state=DrillState.REQUESTED if accepted else DrillState.REFUSED,
            reason=gate.value,
            requested_at=now,
            ended_at=None if accepted else now,
            result={},
        )
        drill = replace(drill, result=results.result(drill, ()))
        if gate is Gate.RUNBOOK_REFUSES:
            drill = replace(drill, result={**drill.result, "detail": around.refusal})
        with ground.store.write() as transaction:
            transaction.drills.add(drill)
            _audit(transaction, drill, asked.by, now)
        return Replied(gate, drill)

    def _next(self, drill: Drill) -> progress.Command:
        gameday = self._ground.gamedays.get(drill.gameday)
        with self._ground.store.read() as transaction:
            journal = transaction.drills.journal(drill.id)
        seen = drill_facts.facts(self._ground, drill, gameday, lines.read(journal))
        return progress.next_command(drill, gameday, journal, seen, self._ground.clock.now())

    def _carry_out(self, drill: Drill, command: progress.Command) -> Drill:
        after = drill
        match command:
            case Inject():
                after = self._inject(drill, self._ground.gamedays[drill.gameday])
            case Write(line):
                after = self._keep(drill, line)
            case Stop(again):
                after = self._stop(drill, again=again)
            case Release():
                after = self._release(drill, command)
            case Prove(problems):
                after = self._prove(drill, problems)
            case Finish(state, reason):
                after = self._finish(drill, state, reason)
            case Wait():
                pass
        return after

    def _inject(self, drill: Drill, gameday: GameDay) -> Drill:
        ground = self._ground
        limit = ground.sight.node.limit().limit
        drill = self._keep(drill, lines.injecting(limit, drill_facts.before(ground, gameday)))
        if ground.lab is None:
            return drill
        try:
            begun = ground.lab.begin(drill.id, drill.profile, gameday.fault.duration)
        except LabRefused as refusal:
            return self._keep(drill, lines.not_injected(refusal.reason, str(refusal)))
        except LabSilent as error:
            # Whether it began is found out by looking, next.
            _log.warning("drill %s", pairs(drill=drill.id, error=error))
            return drill
        return self._keep(drill, lines.injected(begun))

    def _stop(self, drill: Drill, *, again: bool) -> Drill:
        if not again:
            drill = self._keep(drill, lines.stopping())
        self._end_fault(drill)
        return drill

    def _end_fault(self, drill: Drill) -> None:
        """Have the lab end the fault: what cannot be put on record tells nobody, and is not healed either.

        This alone may come before its line in the journal: it takes away, as often as it is asked for.
        """
        try:
            if self._ground.lab is not None:
                self._ground.lab.stop(drill.id)
        except (LabSilent, LabRefused) as error:
            _log.warning("drill %s", pairs(drill=drill.id, error=error))

    def _release(self, drill: Drill, command: Release) -> Drill:
        if not command.again:
            drill = self._keep(drill, lines.releasing(command.key, command.effect))
        try:
            self._ground.sight.node.undo(command.key, command.effect)
        except (NodeUnreachable, NodeRefused) as error:
            _log.warning("drill %s", pairs(drill=drill.id, effect=command.key, error=error))
        return drill

    def _prove(self, drill: Drill, problems: tuple[str, ...]) -> Drill:
        gameday = self._ground.gamedays.get(drill.gameday)
        with self._ground.store.read() as transaction:
            told = lines.read(transaction.drills.journal(drill.id))
        figures = {} if gameday is None else drill_facts.figures(self._ground, drill, gameday, told)
        return self._keep(drill, lines.proof(restored=not problems, problems=problems, figures=figures))

    def _keep(self, drill: Drill, line: Line) -> Drill:
        with self._ground.store.write() as transaction:
            kept = self._write(transaction, drill, line)
        # After the commit: a disk that is full has kept no line.
        _log.info("drill %s", pairs(drill=drill.id, gameday=drill.gameday, **_said(line)))
        return kept

    def _write(self, transaction: Transaction, drill: Drill, line: Line) -> Drill:
        """Append a line, and bring the drill's state and result up to it."""
        now = self._ground.clock.now()
        transaction.drills.write(drill.id, now, line.kind, line.data)
        journal = transaction.drills.journal(drill.id)
        drill = replace(drill, state=progress.state_of(journal), result=results.result(drill, journal))
        transaction.drills.change(drill)
        if line.kind in (DrillKind.INTENT, DrillKind.VERDICT, DrillKind.PROOF):
            transaction.audit.append(now, ACTOR, f"gameday.{line.kind}", drill.id, line.data)
        return drill

    def _finish(self, drill: Drill, state: DrillState, reason: str) -> Drill:
        with self._ground.store.write() as transaction:
            now = self._ground.clock.now()
            ended = replace(drill, state=state, reason=reason, ended_at=now)
            ended = replace(ended, result=results.result(ended, transaction.drills.journal(drill.id)))
            transaction.drills.change(ended)
            _audit(transaction, ended, ACTOR, now)
        return ended


def _name(asked: Asked) -> str:
    """Return the name of the drill of a request: of the same request, the same."""
    if asked.scheduled_at is not None:
        return _digest("scheduled", asked.gameday, str(asked.scheduled_at))
    return secrets.token_hex(8) if asked.key is None else _digest("asked", asked.by, asked.key)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _is_answer(drill: Drill, asked: Asked) -> bool:
    """Tell whether a drill is what is asked for; a profile that is left open is any."""
    return drill.gameday == asked.gameday and asked.profile in (None, drill.profile)


def _gate_of(drill: Drill) -> Gate:
    """Return what was answered when a drill was asked for."""
    return Gate(drill.reason) if drill.state is DrillState.REFUSED else Gate.ACCEPTED


def _said(line: Line) -> dict[str, object]:
    shown = ("key", "stage", "state", "reason", "restored")
    return {"line": line.kind, **{name: line.data[name] for name in shown if name in line.data}}


def _audit(transaction: Transaction, drill: Drill, actor: str, now: Timestamp) -> None:
    scheduled = None if drill.scheduled_at is None else clock.rfc3339(drill.scheduled_at)
    details: Document = {
        "gameday": drill.gameday,
        "profile": drill.profile,
        "by": drill.by,
        "reason": drill.reason,
        "scheduled_at": scheduled,
    }
    transaction.audit.append(now, actor, f"gameday.{drill.state}", drill.id, details)
    said = pairs(drill=drill.id, gameday=drill.gameday, state=drill.state, reason=drill.reason)
    _log.log(logging.WARNING if drill.ended else logging.INFO, "drill %s", said)
