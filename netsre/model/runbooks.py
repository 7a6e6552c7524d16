"""Runbooks as people write them, their runs, and the journal of a run."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal

from netsre.clock import Timestamp
from netsre.model.alert_rules import Comparison
from netsre.model.alerts import Alert, AlertState
from netsre.model.conditions import Condition
from netsre.model.documents import Document
from netsre.model.levels import Origin, Selector
from netsre.model.samples import Labels
from netsre.model.yamltree import MappingNode

Mode = Literal["observe", "propose", "veto", "auto"]
"""Who decides about a change: nobody makes one, people say yes, people may say no, the runbook itself."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Whose word is asked before the first change of a run."""

    by: tuple[str, ...]
    """Names of people and groups; empty: everybody who is known."""
    quorum: int
    """How many of them must say yes."""
    wait: int
    """Milliseconds until the run is given up (`propose`), or goes on without a word (`veto`)."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The alert and the transition that start a runbook."""

    alert: str
    transition: AlertState
    match: Labels = ()
    """Labels that the alert must have; one name is that of many alerts, such as all burns."""

    def starts(self, alert: Alert) -> bool:
        """Say whether an alert is meant."""
        same = dict(alert.labels).get("alertname", "") == self.alert and alert.state is self.transition
        return same and set(self.match) <= set(alert.labels)


@dataclass(frozen=True, slots=True)
class Limits:
    """How often and how widely a runbook may act; counted from stored runs, which survive restarts."""

    cooldown: int
    """Milliseconds between what a run did on a target, or people refused, and the start of the next."""
    per_hour: int
    """Runs on all targets together within any hour."""
    max_targets: int = 1
    """Targets that runs of this runbook may act upon at one time."""
    min_healthy: int = 0
    """Percent of the other targets without the same alert; fewer is a common cause, which is for people."""
    per_day: int | None = None
    """Runs on all targets together within any day; None: as many as the other limits leave."""
    target_per_hour: int | None = None
    target_per_day: int | None = None
    """Runs on one target within any hour, and within any day."""
    breaker_failures: int = 3
    """Runs in a row that changed something and did not succeed, after which the circuit is open."""
    breaker_retry: int | None = None
    """Milliseconds after which one run may try again; None: not before a person closed the circuit."""


@dataclass(frozen=True, slots=True)
class Veto:
    """An alert beside which a runbook must not act."""

    alert: str
    match: Labels = ()
    """Labels that it must have."""
    equal: tuple[str, ...] = ("node",)
    """Labels whose values it must share with the alert of the run; without any it counts wherever it is."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step that failed is tried again."""

    times: int
    """After the first try."""
    wait: int
    """Milliseconds between the end of one try and the beginning of the next."""


@dataclass(frozen=True, slots=True)
class Round:
    """The place of a step in a loop: a loop of 3 rounds and 2 steps is 6 steps of the runbook."""

    loop: int
    """Index of the first step of the first round: it names the loop."""
    number: int
    """From 1."""
    times: int
    """Rounds at most."""
    until: Condition
    """No further round begins once this holds."""
    wait: int
    """Milliseconds between the end of one round and the beginning of the next."""
    first: bool = False
    """Whether the round begins with this step."""
    sees: tuple[tuple[str, int], ...] = ()
    """Names of evidence that `until` asks for, each with the step that saw it; of a first step alone."""


OnFailure = Literal["stop", "undo", "continue"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a step is gone about, beside what it does."""

    timeout: int | None = None
    """Milliseconds for which a node that gives no answer is asked again; None: a minute."""
    retry: Retry | None = None
    on_failure: OnFailure | None = None
    """What follows when it fails; None: what the runbook says."""
    round: Round | None = None
    """None for a step outside of any loop."""
    sees: tuple[tuple[str, int], ...] = ()
    """Names of evidence, each with the step that saw it: those under `if`, and, in a loop, in parameters."""


USUAL: Final = Manner()


ParameterType = Literal["duration", "integer", "address", "text", "choice"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a person may choose who begins a run by hand."""

    name: str
    type: ParameterType
    value: str
    """As people write it: the default, unless a run was begun with another one."""
    least: str | None = None
    most: str | None = None
    """Bounds, both included, of what has a size; None: any."""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One action with its parameters."""

    action: str
    parameters: Document
    condition: Condition | None = None
    """`if`: the step is left out when this does not hold at its turn."""
    manner: Manner = USUAL
    written: MappingNode | None = None
    """What stands under `with`, where it names parameters of the runbook."""


@dataclass(frozen=True, slots=True)
class Query:
    """What the readings of the alert's own node must say, of the series with the alert's labels."""

    selector: Selector
    op: Comparison
    value: Decimal
    """A gauge passes while every reading compares so, a counter while its increase within the window does."""
    group_by: tuple[str, ...]
    """Labels whose values are those of the alert."""

    def __str__(self) -> str:
        """Return the query as people read it."""
        by = f" by {', '.join(self.group_by)}" if self.group_by else ""
        return f"{self.selector}{by} {self.op} {self.value:f}"


NoData = Literal["inconclusive", "fail", "keep"]
"""What a sample without data says. `keep` is inconclusive, too, and takes nothing back where all are."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How a run proves that it helped."""

    slo: str
    """The service level that says so; empty where a query does."""
    window: int
    """Milliseconds that one sample looks back, never to before the last effect."""
    samples: int
    """Samples in a row that are looked at."""
    no_data: NoData
    within: int
    """Milliseconds after the last effect by which they must have passed."""
    need: int | None = None
    """How many of the samples must pass; None: all."""
    query: Query | None = None

    @property
    def needed(self) -> int:
        """Return how many of the samples must pass."""
        return self.samples if self.need is None else self.need

    @property
    def proof(self) -> str:
        """Return what says so, as people read it."""
        return self.slo if self.query is None else str(self.query)


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook, as read from its file."""

    name: str
    triggers: tuple[Trigger, ...]
    when: Condition | None
    lock: str
    """The target, with `{label}` in place of the alert's labels: two runs never share one at a time."""
    limits: Limits
    mode: Mode
    steps: tuple[Step, ...]
    origin: Origin
    verify: Verification | None = None
    """Always there for a runbook that changes anything."""
    on_failure: Literal["undo", "stop"] = "undo"
    unless: tuple[Veto, ...] = ()
    approval: Approval | None = None
    """Always there in the modes `propose` and `veto`, and in no other."""
    parameters: tuple[Parameter, ...] = ()

    @property
    def changes(self) -> bool:
        """Tell whether it may change something."""
        return self.mode != "observe"


class RunState(StrEnum):
    """Where a run is in its life."""

    RECEIVED = "received"
    GATED = "gated"
    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    """It has a plan, and waits for the word of people; nothing is changed yet, and its target is free."""
    EXECUTING = "executing"
    VERIFYING = "verifying"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    UNDONE = "undone"
    """It did not help, and everything it changed was taken back."""
    FAILED = "failed"
    """It ended before it changed anything, or by a runbook that leaves its effects to their own end."""
    REFUSED = "refused"
    EXPIRED = "expired"
    """Nobody approved it in time; it changed nothing."""
    NEEDS_HUMAN = "needs_human"
    """It cannot say in which state it left the target, or may not go on."""


ENDED: Final = frozenset(
    {
        RunState.SUCCEEDED,
        RunState.UNDONE,
        RunState.FAILED,
        RunState.REFUSED,
        RunState.EXPIRED,
        RunState.NEEDS_HUMAN,
    }
)
"""States that a run never leaves."""
DENIED: Final = "denied"
CANCELLED: Final = "cancelled"
SAID_NO: Final = frozenset({DENIED, CANCELLED})
"""Reasons of refused runs that people ended."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a runbook for one transition of one alert."""

    id: str
    """Derived from the runbook and the transition: the same message twice is the same run."""
    runbook: str
    alert: str
    """Fingerprint of the alert."""
    fired_at: Timestamp
    """With the fingerprint, which firing of the alert it was."""
    target: str
    state: RunState
    reason: str
    """The gate's word until execution, then the word that says how it ended."""
    started_at: Timestamp
    ended_at: Timestamp | None
    changed_at: Timestamp | None = None
    """When its first change was begun; None: it changed nothing so far."""

    @property
    def ended(self) -> bool:
        """Tell whether the run is over."""
        return self.state in ENDED

    @property
    def counts(self) -> bool:
        """Tell whether limits count it: a gate's no did nothing, a person's no stands for a cooldown."""
        return self.state is not RunState.REFUSED or self.reason in SAID_NO

    @property
    def rests_from(self) -> Timestamp:
        """Return from when a cooldown counts: however long it waited, what came of it is what matters."""
        if self.changed_at is not None:
            return self.changed_at
        over = self.ended_at if self.state is RunState.REFUSED else None
        return self.started_at if over is None else over

    @property
    def waits(self) -> bool:
        """Tell whether people are asked about it now."""
        return self.state is RunState.AWAITING_APPROVAL


class JournalKind(StrEnum):
    """What a line of the journal says."""

    REQUESTED = "requested"
    """A person asked for the run by hand: who, and how."""
    GATES = "gates"
    """Every gate with its answer."""
    PLAN = "plan"
    """The exact effects, and the hash that names this plan."""
    APPROVAL_REQUESTED = "approval_requested"
    """People are asked about the plan: whose word counts, how many, until when."""
    APPROVAL = "approval"
    """The word of one person about the plan."""
    CANCEL = "cancel"
    """A person wants the run to end, and what it changed to be taken back."""
    INTENT = "intent"
    """Written, and on disk, before a step begins."""
    OUTCOME = "outcome"
    """Written after the step."""
    SAMPLE = "sample"
    """One look at the service level after the last effect."""
    UNDO_INTENT = "undo_intent"
    UNDO_OUTCOME = "undo_outcome"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of a run's journal; never changed once written."""

    run: str
    seq: int
    at: Timestamp
    kind: JournalKind
    step: int
    """Index into the runbook's steps; -1 where a line is about the whole run."""
    action: str
    data: Document
