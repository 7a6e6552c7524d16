"""A node, a clock, people and a reaper that do their worst to one run, and a judge who trusts none of it.

A runbook is made by chance: loops, tries, conditions, proofs; so is what happens to it. The judge looks at
what the node was asked for, and at the lines that stood in the journal by then.
"""

import dataclasses
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from netsre import clock
from netsre.app.control.calling import Caller
from netsre.app.control.reach import Outside
from netsre.app.control.silencing import Silencer
from netsre.model import effects
from netsre.model.alerts import AlertState
from netsre.model.documents import Document
from netsre.model.effects import Block, Effect, Limit
from netsre.model.runbooks import (
    Approval,
    JournalEntry,
    JournalKind,
    Manner,
    Mode,
    Retry,
    Runbook,
    RunState,
    Step,
    Verification,
)
from netsre.runbook import conditions, loops, parsing, progress
from netsre.runbook.actions.catalogue import ACTIONS, allowing
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable
from netsre.runbook.decide import KillSwitch
from tests.unit.app.crashing import Fate
from tests.unit.app.fakes import SetClock
from tests.unit.app.outsiders import LOST_BEFORE, Line, MemoryAlertmanager, MemoryServer
from tests.unit.runbook import given
from tests.unit.runbook.machine import Died, Machine

COLLECT = Step("evidence.collect", {"what": ("top-sources",)})
FLUSH = Step("conntrack.flush", {"source": given.SOURCE})
TUNE = Step("conntrack.tune", {"limit": "x2", "max": 8_000, "ttl": 3_600_000})
NOTICE = Step("notify", {"text": "full on {node}", "values": {"source": given.SOURCE}})
SILENCE = Step(
    "alertmanager.silence",
    {"matchers": {"alertname": "Slow", "node": "a"}, "ttl": 1_800_000, "comment": "c"},
)
URL = "https://tools.example/drain"
BLIND = Step("http.call", {"url": URL, "method": "POST", "timeout": 5_000})
CALL = Step(
    "http.call",
    {**BLIND.parameters, "look": {"url": URL, "method": "GET"}, "undo": {"url": URL, "method": "DELETE"}},
)
TYPED = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: typed}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  parameters: [{name: ttl, type: duration, default: 10m, min: 1m, max: 30m}]
  approval: {mode: auto}
  steps:
    - {action: evidence.collect, with: {what: [top-sources]}}
    - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: '${param.ttl}'}}
  verify: {slo: conntrack-headroom, window: 15s, samples: 3}
"""
(TYPED_BOOK,) = parsing.parse({"t.yaml": TYPED}, ACTIONS, parsing.Known({"ConntrackUtilization"}))
BLOCK = TYPED_BOOK.steps[1]
LENGTHS = {"1m": 60_000, "7m": 420_000, "30m": 1_800_000}
"""What people choose for it."""
LONGEST = 4 * clock.HOUR
"""No runbook made here has the time to last so long: a run that does would never end."""

Said = TypeVar("Said")


@dataclass
class Trouble(given.MemoryNode):
    """A node that hears, forgets, and refuses by chance, and tells the judge what it did."""

    chance: random.Random = field(default_factory=random.Random)
    machine: "Watched | None" = None
    deaf: float = 0.0
    """How often nothing is heard, or no answer comes back."""

    def apply(self, key: str, effect: Effect) -> Document:
        """Do it, or not, and answer, or not."""
        assert self.machine is not None
        self.machine.judge_apply(key, effect)
        if self.chance.random() < self.deaf:
            raise NodeUnreachable("it was not heard")
        if isinstance(effect, Limit) and effect.before != self.limit_now and key not in self.standings:
            raise NodeRefused("changed_meanwhile", "the limit is another by now")
        figures = super().apply(key, effect)
        if self.chance.random() < self.deaf:
            raise NodeUnreachable("its answer was lost")
        return figures

    def undo(self, key: str, effect: Effect) -> Document:
        """Take it back, or not, and answer, or not."""
        assert self.machine is not None
        self.machine.judge_undo(key)
        if self.chance.random() < self.deaf:
            raise NodeUnreachable("it was not heard")
        return super().undo(key, effect)

    def _answer(self) -> None:
        super()._answer()
        if self.chance.random() < self.deaf:
            raise NodeUnreachable("it was not heard")


@dataclass
class Way(Line):
    """The way to somebody outside, on which requests and answers get lost."""

    trouble: Trouble | None = None

    def call(self, name: str, do: Callable[[], Said], lost: Said) -> Said:
        """Have something done, or not, and tell, or not."""
        trouble = self.trouble
        assert trouble is not None
        assert trouble.machine is not None
        if name in ("silence", "post"):
            trouble.machine.judge_outside()
        before = trouble.chance.random() < trouble.deaf
        self.faults = {len(self.calls) + 1: LOST_BEFORE} if before else {}
        answer = super().call(name, do, lost)
        return lost if trouble.chance.random() < trouble.deaf else answer


@dataclass
class Watched(Machine):
    """A run whose every step is judged while it is made."""

    chance: random.Random = field(default_factory=random.Random)
    spite: float = 0.0
    """How often something happens between two commands."""
    broken: list[str] = field(default_factory=list)
    hands: SetClock = field(default_factory=lambda: SetClock(given.T0))
    """The clock of whoever is outside."""

    def pass_time(self, length: int) -> None:
        """Let time pass for everybody."""
        super().pass_time(length)
        self.hands.at = self.now

    def judge_apply(self, key: str, effect: Effect) -> None:
        """Check what must be so at the moment in which a node is asked for a change."""
        last = [entry for entry in self.entries if entry.kind is JournalKind.INTENT][-1:]
        if not last or last[0].data.get("key") != key:
            self.broken.append(f"{key} without an intent on disk")
        if self.kill_switch is not KillSwitch.OFF:
            self.broken.append(f"{key} while the kill switch is {self.kill_switch}")
        gates = [entry for entry in self.entries if entry.kind is JournalKind.GATES][-1]
        if gates.data.get("accepted") is not True or not last or gates.seq != last[0].seq - 1:
            self.broken.append(f"{key} without the word of the gates")
        if getattr(effect, "source", "x") == "":
            self.broken.append(f"{key} for an empty target")
        if isinstance(effect, Block) and effect.ttl != LENGTHS.get(self.chosen.get("ttl", ""), 600_000):
            self.broken.append(f"{key} for another time than was chosen")
        if any(entry.kind in (JournalKind.CANCEL, JournalKind.UNDO_INTENT) for entry in self.entries):
            self.broken.append(f"{key} after the way back had begun")
        if self.book is not None and self.book.mode == "veto" and not self._planned(effect):
            self.broken.append(f"{key} does what nobody was asked about")

    def judge_outside(self) -> None:
        """Check what must be so at the moment in which somebody outside is asked for something."""
        last = self.entries[-1]
        if last.kind is not JournalKind.INTENT or last.action not in (SILENCE.action, CALL.action):
            self.broken.append("somebody outside was asked without an intent on disk")
        if self.kill_switch is not KillSwitch.OFF:
            self.broken.append(f"somebody outside was asked while the kill switch is {self.kill_switch}")
        if any(entry.kind in (JournalKind.CANCEL, JournalKind.UNDO_INTENT) for entry in self.entries):
            self.broken.append("somebody outside was asked after the way back had begun")

    def judge_undo(self, key: str) -> None:
        """Check that a way back is on disk before it begins."""
        last = [entry for entry in self.entries if entry.kind is JournalKind.UNDO_INTENT][-1:]
        if not last or last[0].data.get("key") != key:
            self.broken.append(f"{key} taken back without an intent on disk")

    def _planned(self, effect: Effect) -> bool:
        plans = [entry for entry in self.entries if entry.kind is JournalKind.PLAN and entry.step == -1]
        steps = plans[-1].data.get("steps") if plans else ()
        return any(step.get("effect") == effects.write(effect) for step in _mappings(steps))

    def point(self, name: str) -> None:
        """Let something happen, or die, by chance."""
        if self.spite and self.chance.random() < self.spite / 4:
            self.points.append(name)
            raise Died
        super().point(name)

    def next(self) -> progress.Command:
        """Let something happen before the run is asked what is next."""
        if self.chance.random() < self.spite:
            self._meddle()
        return super().next()

    def _meddle(self) -> None:
        node = self.node
        match self.chance.randrange(8):
            case 0:
                self.kill_switch = self.chance.choice(list(KillSwitch))
            case 1:
                node.silent = not node.silent
            case 2:
                state = self.chance.choice((AlertState.FIRING, AlertState.FIRING, AlertState.RESOLVED))
                self.alert = dataclasses.replace(self.alert, state=state)
            case 3:
                self.readings = not self.readings
            case 4:
                node.sources[self.chance.choice(list(node.sources))] = self.chance.choice((0, 50, 400))
            case 5:
                node.refuses = self.chance.choice(("", "", "too_late"))
            case 6:
                node.refuses_undo = self.chance.choice(("", "", "busy"))
            case _:
                self.kill_switch, node.silent, self.readings = KillSwitch.OFF, False, True
                node.refuses = node.refuses_undo = ""


def runbook(chance: random.Random) -> Runbook:
    """Return a runbook that somebody could have written."""
    steps: list[Step] = [_manner(chance, COLLECT, looks=True)]
    before = {"top_source": 0}
    for _ in range(chance.randint(1, 3)):
        if chance.random() < 0.3:
            steps.append(_manner(chance, NOTICE, looks=True))
        if chance.random() < 0.3:
            steps.append(_manner(chance, chance.choice((SILENCE, CALL, CALL, BLIND))))
        if chance.random() < 0.6:
            steps.extend(_loop(chance, len(steps), before))
        else:
            steps.append(_manner(chance, chance.choice((BLOCK, FLUSH, TUNE))))
    samples = chance.randint(1, 5)
    need = chance.choice((None, chance.randint(samples // 2 + 1, samples)))
    verify = Verification("conntrack-headroom", 15_000, samples, "inconclusive", 90_000, need)
    modes: tuple[Mode, ...] = ("auto", "auto", "veto")
    mode = chance.choice(modes)
    return dataclasses.replace(
        given.BOOK,
        steps=tuple(steps),
        parameters=TYPED_BOOK.parameters,
        verify=verify,
        mode=mode,
        on_failure=chance.choice(("undo", "undo", "stop")),
        approval=Approval((), 1, clock.MINUTE) if mode == "veto" else None,
    )


def _loop(chance: random.Random, begins: int, before: dict[str, int]) -> Iterator[Step]:
    body = [_manner(chance, COLLECT, looks=True)] if chance.random() < 0.8 else []
    within = {"top_source": 0} if body else {}
    body += [_manner(chance, chance.choice((BLOCK, FLUSH, TUNE))) for _ in range(chance.randint(1, 2))]
    until = conditions.parse(chance.choice(("not still(alert)", 'evidence.top_source == ""', 'state == "x"')))
    bounds = loops.Bounds(chance.randint(2, 4), chance.choice((1_000, 10_000, 60_000)))
    return loops.rounds(bounds, until, body, loops.Around(begins, within, before))


def _manner(chance: random.Random, step: Step, *, looks: bool = False) -> Step:
    retry = chance.choice((None, Retry(chance.randint(0, 3), chance.choice((1_000, 30_000)))))
    ways = ("stop", "undo", "continue") if looks else ("stop", "undo")
    on_failure = chance.choice((None, None, *ways))
    manner = Manner(chance.choice((None, 3_000, 120_000)), retry, on_failure)
    asked = None if looks or chance.random() < 0.7 else conditions.parse("still(alert)")
    return dataclasses.replace(step, condition=asked, manner=manner)


def played(seed: int) -> Watched:
    """Return a run of a seed, played to its end and judged."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    sources = {
        f"10.0.0.{last}": chance.choice((50, 300, 400, 900)) for last in range(1, chance.randint(2, 7))
    }
    node = Trouble(sources=sources, blocks_help=chance.random() < 0.7, most=chance.choice((1_010, 100_000)))
    node.chance, node.deaf = chance, chance.choice((0.0, 0.05, 0.3))
    way = Way(Fate(), trouble=node)
    hands = SetClock(given.T0)
    there, server = MemoryAlertmanager(hands, way), MemoryServer(way)
    outside = Outside(Silencer((there,), hands), Caller(server, allow=(URL,)))
    chosen = chance.choice(({}, {}, {"ttl": chance.choice(list(LENGTHS))}))
    made = Watched(
        node, runbook(chance), down=chance.choice((1_000, clock.MINUTE)), chosen=chosen,
        actions=allowing((URL,)), outside=outside, hands=hands,
    )  # fmt: skip
    made.chance, made.spite, node.machine = chance, chance.choice((0.0, 0.05, 0.2)), made
    way.fate.reached = lambda: made.point(way.fate.points[-1])
    finish = made.live()
    _judge(made, finish)
    _judge_outside(made, finish, there, server)
    return made


def _judge_outside(
    made: Watched, finish: progress.Finish, there: MemoryAlertmanager, server: MemoryServer
) -> None:
    """Check what others were asked for."""
    makers = [one["createdBy"] for one in there.kept]
    for what, keys in (("made", makers), ("called", server.done), ("taken back", server.undone)):
        if len(keys) != len(set(keys)):
            made.broken.append(f"{what} twice")
    # Of which nobody says whether it was made, no run waits for: it is looked for and ended afterwards.
    unknown = {
        f"netsre/run1/{line.step}" for line in made.entries if line.data.get("skipped") == "unreachable"
    }
    if finish.state in (RunState.REFUSED, RunState.EXPIRED) and ({*makers} - unknown or server.done):
        made.broken.append(f"{finish.state}, and somebody outside was asked")
    lasting = [one for one in there.kept if there.state(one) == "active" and one["createdBy"] not in unknown]
    if finish.state is RunState.UNDONE and lasting:
        made.broken.append("undone, and silent")


def _judge(made: Watched, finish: progress.Finish) -> None:
    """Check what must be so of a run that is over."""
    node, book = made.node, made.book
    assert book is not None
    assert book.verify is not None
    if len(node.applications) != len(set(node.applications)):
        made.broken.append("an effect happened twice")
    if made.now - given.T0 > LONGEST:
        made.broken.append("it lasted for ever")
    for number, step in enumerate(book.steps):
        begun = [
            e for e in made.entries if e.kind is JournalKind.INTENT and e.step == number and "key" in e.data
        ]
        retry = step.manner.retry
        # One more where it was left out, and stood again.
        if len(begun) > 2 + (1 if retry is None else retry.times):
            made.broken.append(f"step {number} was begun {len(begun)} times")
    in_force = [held.key for held in node.effects()]
    if finish.state is RunState.UNDONE and in_force:
        made.broken.append(f"undone, and {in_force} in force")
    if finish.state in (RunState.REFUSED, RunState.EXPIRED) and node.applications:
        made.broken.append(f"{finish.state}, and {node.applications} were applied")
    if finish.state is RunState.SUCCEEDED and not _proven(made.entries, book.verify):
        made.broken.append("succeeded without a proof")


def _proven(entries: list[JournalEntry], verify: Verification) -> bool:
    changes = (JournalKind.INTENT, JournalKind.OUTCOME)
    changed = [e.at for e in entries if e.kind in changes and {"result", "recovered"} & set(e.data)]
    samples = [e.data for e in entries if e.kind is JournalKind.SAMPLE][-verify.samples :]
    times = [int(str(sample["read_at"])) for sample in samples if sample["verdict"] == "pass"]
    return len(times) >= verify.needed and len(set(times)) == len(times) and min(times) > max(changed)


def _mappings(value: object) -> Iterator[dict[str, object]]:
    yield from (item for item in (value if isinstance(value, list | tuple) else ()) if isinstance(item, dict))
