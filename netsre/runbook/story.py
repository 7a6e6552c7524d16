"""What a journal says so far: how far each step came, the plan, and the samples."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from netsre.clock import Timestamp
from netsre.model import deeds
from netsre.model.deeds import Deed
from netsre.model.documents import Document
from netsre.model.runbooks import JournalEntry, JournalKind
from netsre.runbook import plan
from netsre.runbook.approval import Opinion, Request, Word
from netsre.runbook.journal import UNREACHABLE
from netsre.runbook.plan import Plan, Planned
from netsre.runbook.verify import Outcome

_NEVER: Final = Timestamp(0)
WHOLE: Final = -1
"""The step of lines that are about the whole run."""


@dataclass(slots=True)
class Turn:
    """How far one step came."""

    begun: int = 0
    """Intents so far."""
    open: bool = False
    """Begun, and nobody knows how it ended."""
    outcome: Document | None = None
    failures: int = 0
    """Outcomes so far that were not ok."""
    ended_at: Timestamp = _NEVER
    effect: Deed | None = None
    """What the last intent was about; None for an observation."""
    planned: Planned | None = None
    """As planned anew at its turn."""
    gate: Document | None = None
    """What the gates said last, since the last intent or outcome."""
    silent: list[Timestamp] = field(default_factory=list)
    """When the node gave no answer, since the last line of another kind."""
    undo_begun: int = 0
    undo_open: bool = False
    undo_outcome: Document | None = None

    @property
    def done(self) -> bool:
        """Tell whether it ended well, which leaving it out does too."""
        return self.outcome is not None and self.outcome.get("ok") is True

    @property
    def applied(self) -> bool:
        """Tell whether it changed the node."""
        return self.done and not {"result", "recovered"}.isdisjoint(self.outcome or ())

    @property
    def reversible(self) -> bool:
        """Tell whether there is something to take back: what is deleted stays deleted."""
        return self.applied and self.effect is not None and deeds.reversible(self.effect)

    @property
    def undone(self) -> bool:
        """Tell whether it was taken back."""
        return self.undo_outcome is not None and self.undo_outcome.get("ok") is True


@dataclass(frozen=True, slots=True)
class Looked:
    """One sample, as far as it decides anything."""

    verdict: Outcome
    reason: str
    read_at: Timestamp


@dataclass(slots=True)
class Story:
    """What a journal says so far."""

    run: str = ""
    last_at: Timestamp = _NEVER
    """When the last line was written."""
    definition: str = ""
    """Hash of the runbook that the gates judged; empty where they did not say."""
    plan: Plan | None = None
    planned_at: Timestamp = _NEVER
    plans: int = 0
    """How many were written, those that cannot be read counted."""
    turns: dict[int, Turn] = field(default_factory=dict)
    samples: list[Looked] = field(default_factory=list)
    owner: str = ""
    """Who asked for the run by hand; empty: an alert did."""
    given: dict[str, str] = field(default_factory=dict)
    """Parameters of the runbook that they chose."""
    request: Request | None = None
    """The newest question to people about the plan."""
    words: list[Word] = field(default_factory=list)
    """What people said to it."""
    cancelled: Word | None = None

    def turn(self, step: int) -> Turn:
        """Return how far a step came."""
        return self.turns.get(step, Turn())

    @property
    def touched(self) -> bool:
        """Tell whether a change was begun, so that the node may not be as it was."""
        return any(turn.effect is not None or turn.applied for turn in self.turns.values())

    @property
    def applied(self) -> bool:
        """Tell whether something was changed."""
        return any(turn.applied for turn in self.turns.values())

    @property
    def lasting(self) -> tuple[str, ...]:
        """Return the actions, by name, that changed what nothing takes back."""
        steps = () if self.plan is None else self.plan.steps
        turns = ((step.action, self.turn(step.step)) for step in steps)
        return tuple(sorted({name for name, turn in turns if turn.applied and not turn.reversible}))

    @property
    def changed_at(self) -> Timestamp | None:
        """Return when the last change was known to be done."""
        return max((turn.ended_at for turn in self.turns.values() if turn.applied), default=None)

    @property
    def undoing(self) -> bool:
        """Tell whether taking back was begun."""
        return any(turn.undo_begun for turn in self.turns.values())

    def evidence(self) -> Mapping[int, Document]:
        """Return what every observation saw, by step."""
        found = {}
        for step, turn in self.turns.items():
            seen = turn.outcome.get("evidence") if turn.outcome is not None and turn.done else None
            if isinstance(seen, Mapping):
                found[step] = seen
        return found


def read(journal: Iterable[JournalEntry]) -> Story:
    """Return what a journal says; a line that says nothing readable decides nothing."""
    story = Story()
    for entry in journal:
        story.run, story.last_at = entry.run, entry.at
        turn = story.turns.setdefault(entry.step, Turn())
        if entry.kind is JournalKind.NOTE:
            if entry.data.get("note") == UNREACHABLE:
                turn.silent.append(entry.at)
            continue
        turn.silent.clear()
        _take(story, turn, entry)
    return story


def _take(story: Story, turn: Turn, entry: JournalEntry) -> None:
    data = entry.data
    match entry.kind:
        case JournalKind.GATES if entry.step == WHOLE:
            story.definition = str(data.get("definition", ""))
        case JournalKind.GATES:
            turn.gate = data
        case JournalKind.PLAN:
            _take_plan(story, turn, entry)
        case JournalKind.INTENT:
            turn.begun += 1
            turn.open, turn.outcome, turn.gate = True, None, None
            turn.effect = deeds.known(data.get("effect"))
        case JournalKind.OUTCOME:
            turn.open, turn.outcome, turn.gate, turn.ended_at = False, data, None, entry.at
            turn.failures += not turn.done
        case JournalKind.UNDO_INTENT:
            turn.undo_begun += 1
            turn.undo_open, turn.undo_outcome = True, None
        case JournalKind.UNDO_OUTCOME:
            turn.undo_open, turn.undo_outcome = False, data
        case JournalKind.SAMPLE:
            story.samples.extend(_looked(data))
        case _:
            _take_word(story, entry)


def _take_word(story: Story, entry: JournalEntry) -> None:
    """Take what people asked for, were asked, and said."""
    data = entry.data
    match entry.kind:
        case JournalKind.REQUESTED:
            story.owner, given = str(data.get("person", "")), data.get("set")
            story.given = (
                {name: str(text) for name, text in given.items()} if isinstance(given, Mapping) else {}
            )
        case JournalKind.APPROVAL_REQUESTED:
            story.request = _request(entry)
        case JournalKind.APPROVAL:
            story.words.extend(_word(entry, data.get("verdict")))
        case JournalKind.CANCEL:
            (story.cancelled,) = _word(entry, Opinion.CANCEL)
        case _:
            pass


def _request(entry: JournalEntry) -> Request | None:
    by, quorum, wait = (entry.data.get(key) for key in ("by", "quorum", "wait"))
    if not (isinstance(quorum, int) and isinstance(wait, int) and isinstance(by, list | tuple)):
        return None  # of another version, or written by hand: it is asked anew
    veto = entry.data.get("veto") is True
    names = tuple(str(name) for name in by)
    return Request(str(entry.data.get("plan", "")), names, quorum, veto, entry.at, wait)


def _word(entry: JournalEntry, opinion: object) -> Sequence[Word]:
    if opinion not in set(Opinion):
        return ()
    said = {key: str(entry.data.get(key, "")) for key in ("person", "plan", "via", "id")}
    return (Word(**said, opinion=Opinion(str(opinion)), at=entry.at),)


def _take_plan(story: Story, turn: Turn, entry: JournalEntry) -> None:
    try:
        if entry.step == WHOLE:
            story.plans += 1
            story.plan, story.planned_at = plan.read(entry.data), entry.at
        else:
            turn.planned = plan.read_step(entry.data)
    except ValueError:
        # Of another version, or written by hand: as if it were not there.
        return


def _looked(data: Document) -> Sequence[Looked]:
    verdict, read_at = data.get("verdict"), data.get("read_at")
    if not isinstance(read_at, int) or verdict not in set(Outcome):
        return ()
    return (Looked(Outcome(str(verdict)), str(data.get("reason", "")), Timestamp(read_at)),)
