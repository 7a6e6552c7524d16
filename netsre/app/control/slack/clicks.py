"""What a click in Slack does: whose it is, what it is about, and the one decision that all words go through.

A button carries only a token that says nothing by itself. What it stands for is on record here, and a click
counts once: the id of a word is made of the message, the account and the time of the click, and is kept with
the word.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from netsre import clock
from netsre.app.control import pausing, run_api, words
from netsre.app.control.incidents import facts
from netsre.app.control.slack import questions, talk
from netsre.app.control.words import Saying
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model.holds import Pause, Scope
from netsre.runbook.approval import Answer, Opinion
from netsre.store.database import Transaction
from netsre.store.slack import PARENT, Told

VIA: Final = "slack"
TAKEN_FOR: Final = 1 * clock.HOUR
"""For how long nothing new is begun on what somebody took over."""
_TEAM: Final = re.compile(r"[A-Z][A-Z0-9]{1,30}")
_USER: Final = re.compile(r"[UW][A-Z0-9]{1,30}")
_APP: Final = re.compile(r"A[A-Z0-9]{1,30}")
_CHANNEL: Final = re.compile(r"[A-Z][A-Z0-9]{1,30}")
_TS: Final = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}")
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")
_ACTION: Final = re.compile(r"[a-z_.]{1,60}")


@dataclass(frozen=True, slots=True)
class Click:
    """One press of a button, as Slack tells it."""

    app: str
    team: str
    account: str
    """Who pressed it."""
    channel: str
    message: str
    """The name of the message in Slack."""
    thread: str
    """The message that it is a reply to; empty for one that is none."""
    action: str
    token: str
    at: str
    """When it was pressed, as Slack's own clock says; with message and account unique."""

    @property
    def id(self) -> str:
        """Return what is the same for the same click, however often and whichever way it comes."""
        return f"slack/{self.channel}/{self.message}/{self.account}/{self.at}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a click."""

    answer: str
    """The word in log and metric."""
    text: str = ""
    """What the person alone is told; empty: the message itself will show it."""


def read(payload: object) -> Click:
    """Return the click that an interaction is about; raises `BadInput` for anything else."""
    found = _object(payload, "payload")
    if found.get("type") != "block_actions":
        raise BadInput("payload is no block_actions; only buttons of messages are answered")
    actions, container = found.get("actions"), _object(found.get("container"), "container")
    if not isinstance(actions, list) or len(actions) != 1:
        raise BadInput("payload has not exactly one action")
    action, message = _object(actions[0], "action"), found.get("message")
    thread = message.get("thread_ts") if isinstance(message, Mapping) else None
    return Click(
        app=_text(found, "api_app_id", _APP),
        team=_text(_object(found.get("team"), "team"), "id", _TEAM),
        account=_text(_object(found.get("user"), "user"), "id", _USER),
        channel=_text(container, "channel_id", _CHANNEL),
        message=_text(container, "message_ts", _TS),
        thread=thread if isinstance(thread, str) and _TS.fullmatch(thread) else "",
        action=_text(action, "action_id", _ACTION),
        token=_text(action, "value", _TOKEN),
        at=_text(action, "action_ts", _TS),
    )


def parse(text: str | bytes) -> Click:
    """Return the click of an interaction in JSON; raises `BadInput` for anything else."""
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("payload is no JSON") from error
    return read(payload)


def hear(world: World, click: Click) -> Reply:
    """Do what a click asks for, if the person may; raises `StoreUnusable` where nothing can be kept."""
    with world.store.read() as transaction:
        row = transaction.slack.find(click.token)
    if row is None or (row.ts and (row.channel, row.ts) != (click.channel, click.message)):
        return Reply("unknown_button", "This button is of another netsre, or of a forgotten incident.")
    person = world.directory.in_slack(click.account)
    if person is None:
        advice = f"`slack: {click.account}` must stand beside your name in its file of people"
        return Reply("unknown_person", f"netsre does not know you: {advice}.")
    opinion, about = questions.OPINIONS.get(click.action), questions.meant(row.key)
    if opinion is not None and about is not None:
        return _word(world, click, person, opinion, about)
    if click.action == talk.TAKE_OVER and row.key == PARENT:
        return _take_over(world, click, person, row)
    return Reply("unknown_button", "netsre does not know this button; its message is of another version.")


def _word(world: World, click: Click, person: str, opinion: Opinion, about: tuple[str, str]) -> Reply:
    run, plan = about
    said = words.say(world, run, Saying(person, opinion, VIA, plan, click.id))
    if said is None:
        return Reply("unknown_run", "The run of this question is not on record any more.")
    answer = said.heard.answer
    return Reply(
        answer.value, "" if said.heard.counts else f"Not counted: {run_api.why_not(run, said).detail}."
    )


def _take_over(world: World, click: Click, person: str, row: Told) -> Reply:
    """Make a person the owner of an incident: what is going on ends, and nothing new is begun.

    All of it or nothing: whoever owns an incident relies on it that no run goes on, whatever was killed.
    """
    ended: list[tuple[str, Saying, words.Said]] = []
    with world.store.write() as transaction:
        now = world.clock.now()
        incident = transaction.incidents.find(row.incident)
        known = None if incident is None else facts.read(transaction, incident, now)
        standing = talk.pause_of(transaction.holds.pauses(now), row.incident)
        if known is None or not talk.may_be_taken(known):
            return Reply("incident_over", "This incident is over: there is nothing to take over.")
        if standing is not None and standing.owner != person:
            until = clock.rfc3339(standing.until)
            return Reply("already_taken", f"Already taken over by {standing.owner}, until {until}.")
        if standing is None and not _pause(transaction, world, click, person, known):
            return Reply(Answer.REPEATED.value)
        saying = Saying(person, Opinion.CANCEL, VIA, "", click.id)
        for run in known.runs:
            said = None if run.ended else words.say_within(transaction, world, run.id, saying)
            ended += [] if said is None else [(run.id, saying, said)]
    for one in ended:
        words.log(*one)
    return Reply("taken_over")


def _pause(transaction: Transaction, world: World, click: Click, person: str, known: facts.Facts) -> bool:
    """Keep what runs act on from new ones; False where this very click did so before, and it is over."""
    until = Timestamp(known.now + TAKEN_FOR)
    reason = talk.taking(known.incident.id)
    for target in dict.fromkeys(run.target for run in known.runs if run.target):
        name = hashlib.sha256(f"{click.id}\n{target}".encode()).hexdigest()[:16]
        asked = Pause(name, Scope.TARGET, target, person, reason, known.now, until)
        if not pausing.pause_within(transaction, world, asked).stands(known.now):
            return False
    return True


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"payload has no {what}")
    return value


def _text(part: Mapping[str, Any], key: str, form: re.Pattern[str]) -> str:
    found = part.get(key)
    if not isinstance(found, str) or form.fullmatch(found) is None:
        raise BadInput(f"payload has no {key} of Slack's")
    return found
