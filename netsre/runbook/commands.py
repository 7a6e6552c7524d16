"""What a run can be told to do next; each says which lines of the journal carrying it out writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from netsre.clock import Timestamp
from netsre.model.deeds import Deed
from netsre.model.documents import Document
from netsre.model.runbooks import RunState, Verification
from netsre.runbook.approval import Request
from netsre.runbook.plan import Plan, Planned


@dataclass(frozen=True, slots=True)
class Observe:
    """Write `observing` (or `recovered`, where `again`), look, write `observed` or `failed`.

    The node did not answer: write `unanswered` instead of an outcome.
    """

    step: int
    action: str
    parameters: Document
    again: bool
    """It was begun before, and nobody knows how it ended; looking has no effect."""


@dataclass(frozen=True, slots=True)
class MakePlan:
    """Make the plan (`plan.make`) and write its line; `unanswered(-1, "", …)` when the node is silent."""

    evidence: Mapping[int, Document]
    given: Mapping[str, str] = field(default_factory=dict)
    """Parameters that the runbook is bound to first (`parameters.bound`)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Write `asked`, and tell people in the same transaction."""

    request: Request
    plan: Plan


@dataclass(frozen=True, slots=True)
class Replan:
    """Plan one step anew (`plan.again`) and write its line; `unanswered` when the node is silent."""

    planned: Planned


@dataclass(frozen=True, slots=True)
class Skip:
    """Write `skipped`."""

    step: int
    action: str
    reason: str
    over: bool = False
    """The loop that the step is in ends with it."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Write `failed`."""

    step: int
    action: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Ask the gates (`decide.recheck` with `plan.limits`) and write their line for the step.

    They say no: that is all. They say yes: write `applying` in the same transaction, then have the node apply
    it, then write `applied`, or `failed` with the word of the node's refusal. No answer: write nothing.
    """

    step: int
    action: str
    key: str
    effect: Deed
    plan: Plan


@dataclass(frozen=True, slots=True)
class Settle:
    """A change was begun and nobody knows how it ended: look, and write `settled`; never repeat it.

    The node did not answer: write `unanswered`. It refuses to look: write `unanswered` likewise.
    """

    step: int
    action: str
    key: str
    effect: Deed


@dataclass(frozen=True, slots=True)
class Sample:
    """Write the line of `verify.sample`."""

    verify: Verification
    since: Timestamp


@dataclass(frozen=True, slots=True)
class Undo:
    """Ask the kill switch (`decide.kill_switch`) and, when it is not off, write its line for the step.

    It is off: write `undoing`, have the node take the effect back, write `undone`, or `undo_failed` with the
    word of the node's refusal. No answer: write nothing.
    """

    step: int
    action: str
    key: str
    effect: Deed


@dataclass(frozen=True, slots=True)
class SettleUndo:
    """Taking back was begun and nobody knows how it ended: look, and write `undo_settled` or `unanswered`."""

    step: int
    action: str
    key: str
    effect: Deed


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to do before a time, or before the next reading."""

    until: Timestamp
    what: str
    """A word: `node`, `reading`, `approval`, `retry`, `round`."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over."""

    state: RunState
    reason: str


Command = (
    Observe
    | MakePlan
    | Ask
    | Replan
    | Skip
    | Fail
    | Apply
    | Settle
    | Sample
    | Undo
    | SettleUndo
    | Wait
    | Finish
)
