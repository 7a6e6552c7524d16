"""What the word of a person does to a run: one decision, whichever way the word comes.

A word is for one plan, counts once, and changes nothing once the run is decided. The journal has every word;
what they come to is read from it each time, the same after a crash as before it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from netsre.clock import Timestamp
from netsre.model.directory import Directory
from netsre.model.runbooks import DENIED, Approval, Run, Runbook

SHORTEST_PLAN: Final = 12
"""Digits of a plan's hash that are enough to name it."""


class Opinion(StrEnum):
    """What a person wants."""

    APPROVE = "approve"
    DENY = "deny"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Request:
    """The question about a plan, as the journal has it."""

    plan: str
    """Hash of the plan."""
    by: tuple[str, ...]
    """Names of people and groups whose yes counts; empty: everybody's."""
    quorum: int
    veto: bool
    """No word is a yes, once the time is over."""
    asked_at: Timestamp
    wait: int
    """Milliseconds."""

    @property
    def until(self) -> Timestamp:
        """Return when the time for a word is over."""
        return Timestamp(self.asked_at + self.wait)


@dataclass(frozen=True, slots=True)
class Word:
    """What one person said."""

    person: str
    opinion: Opinion
    plan: str
    """Hash of the plan that it is about, as a whole in the journal, or its first digits as said."""
    via: str
    """How it came: `api`."""
    id: str
    """The same id again is the same word."""
    at: Timestamp


class Verdict(StrEnum):
    """What a question has come to."""

    WAITING = "waiting"
    APPROVED = "approved"
    UNOPPOSED = "unopposed"
    """The time for a veto is over, and nobody said no."""
    DENIED = DENIED
    EXPIRED = "approval_expired"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a question has come to, and by whom."""

    verdict: Verdict
    by: tuple[str, ...] = ()
    """Those who said yes so far, in order, or who said no."""

    @property
    def go(self) -> bool:
        """Tell whether the run may go on."""
        return self.verdict in (Verdict.APPROVED, Verdict.UNOPPOSED)


def decide(request: Request, words: Iterable[Word], now: Timestamp) -> Decision:
    """Return what a question has come to; a word on record counts, whatever the clock says now."""
    said_yes: list[str] = []
    for word in words:
        if word.plan != request.plan:
            continue
        if word.opinion is Opinion.DENY:
            return Decision(Verdict.DENIED, (word.person,))
        if word.person not in said_yes:
            said_yes.append(word.person)
        if len(said_yes) >= request.quorum:
            return Decision(Verdict.APPROVED, tuple(said_yes))
    if request.veto:
        # Never early: a clock that was set back gives people more time, not less.
        over = now - request.asked_at >= request.wait
        return Decision(Verdict.UNOPPOSED if over else Verdict.WAITING, tuple(said_yes))
    over = abs(now - request.asked_at) >= request.wait
    return Decision(Verdict.EXPIRED if over else Verdict.WAITING, tuple(said_yes))


def ask(runbook: Runbook, approval: Approval, plan: str, now: Timestamp) -> Request:
    """Return the question about a plan."""
    return Request(plan, approval.by, approval.quorum, runbook.mode == "veto", now, approval.wait)


def possible(approval: Approval, directory: Directory, owner: str) -> bool:
    """Tell whether enough people could say yes; who asked for the run is none of them."""
    return len(directory.meant(approval.by) - {owner}) >= approval.quorum


class Answer(StrEnum):
    """What became of a word: the same reason in API, command, log and audit."""

    RECORDED = "recorded"
    """It is new, and counts."""
    REPEATED = "repeated"
    """The same request came before; it counts once."""
    KEY_REUSED = "key_reused"
    """The id stands for another word."""
    SAID_BEFORE = "said_before"
    """This person has said so already; a quorum counts people."""
    NOT_ASKED = "not_asked"
    """The run does not wait for a word: it asks nobody, or has no plan yet."""
    OTHER_PLAN = "other_plan"
    ALREADY_DECIDED = "already_decided"
    APPROVAL_EXPIRED = "approval_expired"
    NOT_AN_APPROVER = "not_an_approver"
    SELF_APPROVAL = "self_approval"
    """Who asked for a run does not approve it."""
    RUN_OVER = "run_over"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a word meets."""

    run: Run
    request: Request | None
    words: Sequence[Word]
    """Approvals and denials on record, in order."""
    cancelled: Word | None
    owner: str
    """Who asked for the run by hand; empty: an alert did."""
    begun: bool
    """A change was begun, so that the question is behind it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a word, and what the question has come to with it."""

    answer: Answer
    word: Word
    decision: Decision | None = None
    """None where there is no question."""

    @property
    def counts(self) -> bool:
        """Tell whether the word is on record, now or since before."""
        return self.answer in (Answer.RECORDED, Answer.REPEATED)


def hear(situation: Situation, word: Word, directory: Directory, now: Timestamp) -> Heard:
    """Return what a word does; nothing is to be written unless the answer is `recorded`."""
    request, words = situation.request, situation.words
    before = None if request is None else decide(request, words, now)
    earlier = next((one for one in (*words, situation.cancelled) if one and one.id == word.id), None)
    if earlier is not None:
        same = (earlier.person, earlier.opinion) == (word.person, word.opinion)
        return Heard(Answer.REPEATED if same else Answer.KEY_REUSED, earlier, before)
    if word.opinion is Opinion.CANCEL:
        return Heard(_cancel(situation), word, before)
    if request is None or before is None:
        return Heard(Answer.RUN_OVER if situation.run.ended else Answer.NOT_ASKED, word)
    whole = Word(word.person, word.opinion, request.plan, word.via, word.id, now)
    refused = _refused(situation, word, before) or _not_entitled(situation, request, word, directory)
    if refused is not None:
        return Heard(refused, word, before)
    return Heard(Answer.RECORDED, whole, decide(request, (*words, whole), now))


def _cancel(situation: Situation) -> Answer:
    if situation.run.ended:
        return Answer.RUN_OVER
    return Answer.RECORDED if situation.cancelled is None else Answer.ALREADY_DECIDED


def _refused(situation: Situation, word: Word, before: Decision) -> Answer | None:
    """Return why a word comes too late, or is about something else."""
    request = situation.request
    if request is not None and word.plan and not names(word.plan, request.plan):
        return Answer.OTHER_PLAN
    if before.verdict is Verdict.EXPIRED:
        return Answer.APPROVAL_EXPIRED
    if before.verdict is not Verdict.WAITING or situation.cancelled is not None or situation.begun:
        return Answer.ALREADY_DECIDED
    return Answer.RUN_OVER if situation.run.ended else None


def _not_entitled(situation: Situation, request: Request, word: Word, directory: Directory) -> Answer | None:
    """Return why this person may not say that; a no is heard from everybody who is known."""
    if word.person not in directory.names:
        return Answer.NOT_AN_APPROVER
    if word.opinion is Opinion.DENY:
        return None
    if word.person == situation.owner:
        return Answer.SELF_APPROVAL
    if word.person not in directory.meant(request.by):
        return Answer.NOT_AN_APPROVER
    said = any(
        one.person == word.person and one.plan == request.plan and one.opinion is word.opinion
        for one in situation.words
    )
    return Answer.SAID_BEFORE if said else None


def names(said: str, plan: str) -> bool:
    """Tell whether what was said names a plan: its hash, or enough of its first digits."""
    return len(said) >= SHORTEST_PLAN and plan.startswith(said)
