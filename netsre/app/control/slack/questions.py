"""The question about a plan in Slack: its buttons while it waits, and a stamp once it is decided."""

from typing import Final

from netsre.app import step_lines
from netsre.app.control.incidents import steps
from netsre.app.control.incidents.facts import Facts
from netsre.app.control.slack import blocks
from netsre.app.control.slack.blocks import Button, Said
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.runbooks import JournalKind, Run
from netsre.runbook import approval, story
from netsre.runbook.approval import Opinion, Request, Verdict
from netsre.runbook.story import Story

ASK: Final = "ask/"
APPROVE: Final = "netsre.approve"
DENY: Final = "netsre.deny"
OPINIONS: Final = {APPROVE: Opinion.APPROVE, DENY: Opinion.DENY}
_WITHOUT_A_WORD: Final = {
    Verdict.UNOPPOSED: "✅ *Nobody denied it* in time, and it acts",
    Verdict.EXPIRED: "⌛ *Expired*: nobody decided in time, and it changes nothing",
}
_DIGITS: Final = 12
_MOST_WORDS: Final = 20


def keys(run: Run, facts: Facts) -> list[str]:
    """Return the key of each plan of a run that people were asked about, the newest last."""
    plans = (
        str(entry.data.get("plan", ""))
        for entry in facts.journals[run.id]
        if entry.kind is JournalKind.APPROVAL_REQUESTED
    )
    return [f"{ASK}{run.id}/{plan}" for plan in dict.fromkeys(plans)]


def meant(key: str) -> tuple[str, str] | None:
    """Return the run and the plan that a question is about; None for the key of something else."""
    run, slash, plan = key.removeprefix(ASK).partition("/")
    return (run, plan) if key.startswith(ASK) and slash else None


def say(key: str, run: Run, facts: Facts, token: str) -> Said:
    """Return the question of a key, or what it came to."""
    journal = story.read(facts.journals[run.id])
    request = journal.request
    plan = key.rpartition("/")[2]
    if request is None or request.plan != plan:
        return _overtaken(run, plan)
    stamp = _stamp(run, journal, request, facts.now)
    does = [f"• {blocks.escape(words, 300)}" for words in _effects(journal)]
    verb = "will act" if request.veto else "asks to act"
    head = f"*{blocks.escape(run.runbook, 100)}* {verb} on {blocks.code(run.target)}"
    lines = [head, *does, f"*Plan* {blocks.code(plan[:_DIGITS])} of run {blocks.code(run.id)}"]
    parts: list[Document] = [blocks.section(lines)]
    if stamp is not None:
        return Said(
            f"{head}: {stamp}", (*parts, blocks.section([stamp, *_words(journal, plan)])), broadcast=True
        )
    waits = _waits(request, journal)
    parts.append(blocks.section([waits, *_words(journal, plan)]))
    parts.append(blocks.actions(_buttons(run, request, token)))
    return Said(f"{head}. {waits}", tuple(parts), broadcast=True)


def _effects(journal: Story) -> list[str]:
    """Return what the plan would do, and may do again, whatever became of it since."""
    if journal.plan is None:
        return []
    effects = (step.effect for step in journal.plan.steps)
    does = [steps.words(effect) for effect in effects if effect is not None]
    return [*does, *step_lines.further(journal.plan)]


def _overtaken(run: Run, plan: str) -> Said:
    text = (
        f"{blocks.escape(run.runbook, 100)}: plan {blocks.code(plan[:_DIGITS])} was replaced by another one"
    )
    return Said(text, (blocks.section([text]),), broadcast=True)


def _waits(request: Request, journal: Story) -> str:
    until = blocks.moment(request.until)
    if request.veto:
        return f"*Acts by itself* at {until} unless somebody denies it."
    said = approval.decide(request, journal.words, request.asked_at).by
    whose = blocks.escape(" or ".join(request.by) or "anybody who is known", 300)
    return f"*Waits* until {until} for approval by {whose}: {len(said)} of {request.quorum} so far."


def _stamp(run: Run, journal: Story, request: Request, now: Timestamp) -> str | None:
    """Return what a question came to; None while it waits."""
    decided = approval.decide(request, journal.words, now)
    by = blocks.escape(" and ".join(decided.by), 500)
    if decided.verdict is Verdict.DENIED:
        return f"⛔ *Denied* by {by}"
    if decided.verdict is Verdict.APPROVED:
        return f"✅ *Approved* by {by}"
    if journal.cancelled is not None:
        return f"⛔ *Cancelled* by {blocks.escape(journal.cancelled.person, 100)}"
    if run.ended and run.reason != Verdict.EXPIRED.value:
        return f"It is over: {run.state.value.replace('_', ' ')} ({blocks.escape(run.reason, 100)})"
    if decided.verdict is Verdict.WAITING:
        return None if run.waits else "It is behind this question"
    return _WITHOUT_A_WORD[decided.verdict]


def _words(journal: Story, plan: str) -> list[str]:
    said = [word for word in journal.words if word.plan == plan][-_MOST_WORDS:]
    return [
        f"{blocks.escape(word.person, 100)}: {word.opinion.value}, {blocks.moment(word.at)}, "
        f"via {blocks.escape(word.via, 50)}"
        for word in said
    ]


def _buttons(run: Run, request: Request, token: str) -> list[Button]:
    about = f"{run.runbook} on {run.target}, plan {request.plan[:_DIGITS]}"
    yes = Button("Approve", APPROVE, token, "primary", "Approve?", f"{about}. It acts at once.", "Approve")
    no = Button(
        "Deny", DENY, token, "danger", "Deny?", f"{about}. The run ends, and changes nothing.", "Deny"
    )
    return [yes, no]
