"""The words of people about runs: each is judged, and put on record once; the thread that acts hears it.

Only the journal is written here. What a word comes to for the run is read from it by `progress`, so that one
thread alone moves runs, and a word that is on disk is heard over any crash.
"""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from netsre.app.control import runs
from netsre.app.control.starts import Asker, Occasion, start
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.documents import Document
from netsre.model.runbooks import Run, Runbook
from netsre.runbook import approval, journal, parameters, story
from netsre.runbook.approval import Answer, Heard, Opinion, Situation, Word
from netsre.store.database import Transaction

_log: Final = logging.getLogger("netsre.runbook")


@dataclass(frozen=True, slots=True)
class Saying:
    """What a person says about a run, as it comes in."""

    person: str
    opinion: Opinion
    via: str
    plan: str = ""
    """Which plan is meant, by its hash or enough of its digits; empty: the one that is asked about."""
    id: str = ""
    """The same id again is the same word; empty: it is a new one."""


@dataclass(frozen=True, slots=True)
class Said:
    """What became of it."""

    heard: Heard
    situation: Situation


def say(world: World, run_id: str, saying: Saying) -> Said | None:
    """Hear what a person says about a run; None when there is no such run."""
    with world.store.write() as transaction:
        said = say_within(transaction, world, run_id, saying)
    if said is not None:
        log(run_id, saying, said)
    return said


def say_within(transaction: Transaction, world: World, run_id: str, saying: Saying) -> Said | None:
    """Hear the same in a transaction of the caller, who tells the log once that is on disk."""
    run = transaction.runs.find(run_id)
    if run is None:
        return None
    now = world.clock.now()
    situation = situation_of(transaction, run)
    word = Word(saying.person, saying.opinion, saying.plan, saying.via, saying.id or new_id(), now)
    heard = approval.hear(situation, word, world.directory, now)
    if heard.answer is Answer.RECORDED:
        _record(transaction, run, heard, now)
    return Said(heard, situation)


def log(run_id: str, saying: Saying, said: Said) -> None:
    """Tell the log what became of a word."""
    answer = said.heard.answer
    told = pairs(run=run_id, person=saying.person, said=saying.opinion, via=saying.via, answer=answer)
    _log.info("word about a run %s", told)


def situation_of(transaction: Transaction, run: Run) -> Situation:
    """Return what a word about a run meets now."""
    told = story.read(transaction.runs.journal([run.id])[run.id])
    return Situation(run, told.request, told.words, told.cancelled, told.owner, told.touched)


def begin(world: World, runbook: Runbook, alert: Alert, asker: Asker) -> Run | None:
    """Begin a run by hand, through all gates; None where this runbook is not for this alert.

    Raises `BadInput` for a parameter that it does not have, or a value beyond its bounds.
    """
    key = f"by-hand/{asker.person}/{asker.id}"
    chosen = parameters.bound(runbook, asker.given, world.actions)
    with world.store.write() as transaction:
        now = world.clock.now()
        made = start(world, transaction, chosen, alert, Occasion(key, asker), now)
        if made is not None:
            given: Document = {"set": dict(asker.given)} if asker.given else {}
            asked: Document = {"runbook": runbook.name, "via": asker.via, **given}
            transaction.audit.append(now, asker.person, "run.requested", made.id, asked)
        return made or transaction.runs.find(runs.run_name(runbook.name, key))


def given(world: World, run: Run) -> Mapping[str, str]:
    """Return the parameters that a run was begun with by hand."""
    with world.store.read() as transaction:
        return story.read(transaction.runs.journal([run.id])[run.id]).given


def new_id() -> str:
    """Return an id for a word that came without one."""
    return secrets.token_hex(8)


def _record(transaction: Transaction, run: Run, heard: Heard, now: Timestamp) -> None:
    word = heard.word
    runs.write(transaction, run, journal.said(word), now)
    details: Document = {"runbook": run.runbook, "plan": word.plan, "via": word.via, "id": word.id}
    transaction.audit.append(now, word.person, f"run.{_VERBS[word.opinion]}", run.id, details)


_VERBS: Final = {Opinion.APPROVE: "approved_by", Opinion.DENY: "denied_by", Opinion.CANCEL: "cancelled_by"}
