"""Keeps Slack as it should be: what is on record says what every message is to say, and what it says already.

There is no queue to fill: a message that changed ten times while Slack was away is changed once, to the last.
Before a message is sent for the first time that is on disk, so that after a crash, or an answer that never
came, it is looked for in Slack by its token, and not sent twice.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from netsre import clock
from netsre import conventions as c
from netsre.adapters.slack import api
from netsre.adapters.slack.api import Answer, Message, Result
from netsre.app.control import muting
from netsre.app.control.incidents import causes, facts
from netsre.app.control.incidents.facts import Facts
from netsre.app.control.slack import pages, questions, talk
from netsre.app.control.slack.blocks import Said
from netsre.app.control.slack.talk import Known
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.metrics.readings import Readings
from netsre.model.documents import canonical
from netsre.store.slack import PARENT, Told

_log: Final = logging.getLogger("netsre.slack")

MOST_INCIDENTS: Final = 100
"""Incidents of each kind that are looked at in a round: Slack takes about one message a second."""
MOST_SENT: Final = 5
"""Messages of a round: after so many it is looked anew what is most urgent."""
SETTLES: Final = 15 * clock.SECOND
"""After so long a message that was sent without an answer is there, or never will be."""
RECENT: Final = 1 * clock.HOUR
"""An incident that closed longer ago without a word is not told of any more."""
FIRST_PAUSE: Final = 1 * clock.SECOND
LONGEST_PAUSE: Final = 1 * clock.MINUTE
_REFUSED_PAUSE: Final = 30 * clock.SECOND
_RESTS: Final = 4
"""Times as long as a look takes until the next one: a fifth of a core at most."""
_MOST_PAGES: Final = 5
_NO_SCOPE: Final = "missing_scope"
_EARLY: Final = 60
"""Seconds by which Slack's clock may be behind ours."""


class Client(Protocol):
    """Slack, as far as it is needed here."""

    def post(self, channel: str, message: Message, thread: str = "") -> Answer:
        """Say something."""
        ...

    def update(self, channel: str, ts: str, message: Message) -> Answer:
        """Say something else instead."""
        ...

    def history(self, channel: str, oldest: str, cursor: str = "", limit: int = 200) -> Answer:
        """Ask for the messages of the channel."""
        ...

    def replies(self, channel: str, thread: str, oldest: str, cursor: str = "") -> Answer:
        """Ask for the messages of a thread."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One message that is not as it should be."""

    urgency: int
    row: Told
    said: Said
    digest: str
    channel: str
    thread: str
    """The message that it is a reply to; empty for the first one of an incident."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait between two messages."""

    wait: Callable[[], bool]
    """Waits a while; tells whether to stop."""
    monotonic: Callable[[], int]
    """Milliseconds of a clock that nobody sets."""


class Teller:
    """Brings Slack up to date, round by round, in one thread."""

    def __init__(
        self, client: Client, channel: str, world: World, leads: Callable[[], bool], pace: Pace
    ) -> None:
        """Begin without knowing how Slack fares."""
        self._client, self._channel, self._world = client, channel, world
        self._leads, self._pace = leads, pace
        self._held_until = 0
        self._rests_until = 0
        self._failures = 0
        self._hopeless: dict[str, str] = {}
        self.waiting = 0
        """Messages that were not as they should be in the last round."""
        self.problem: str | None = None
        """Why nothing is said, in one line."""
        self.last_success: Timestamp | None = None
        self.results: Counter[Result] = Counter()

    def round(self) -> bool:
        """Say the most urgent of what is to be said; tell whether more of it can be said at once.

        Raises `StoreUnusable` where the database is away.
        """
        began = self._pace.monotonic()
        if not self._leads() or began < self._rests_until:
            return False
        jobs = sorted(self._jobs(), key=lambda job: (job.urgency, job.row.noted_at, job.row.key))
        # In a storm there is much to look through; whatever measures and acts comes first.
        now = self._pace.monotonic()
        self._rests_until = now + _RESTS * (now - began)
        self.waiting = len(jobs)
        for job in jobs[:MOST_SENT]:
            if self.held() or not self._leads():
                return False
            self._send(job)
            if self._pace.wait():
                return False
        return len(jobs) > MOST_SENT

    def held(self) -> bool:
        """Tell whether Slack is to be left alone for now."""
        return self._pace.monotonic() < self._held_until

    def heard(self, answer: Answer) -> None:
        """Keep how Slack fares, and for how long to leave it alone."""
        self.results[answer.result] += 1
        if answer.result in (Result.DONE, Result.GONE, Result.REJECTED):
            if self.problem is not None:
                _log.info("slack works again")
            self.problem, self._failures = None, 0
            if answer.result is Result.DONE:
                self.last_success = self._world.clock.now()
            return
        self._failures += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE << min(self._failures - 1, 20))
        if answer.result is Result.LIMITED:
            pause = answer.wait
        elif answer.result is Result.REFUSED:
            pause = _REFUSED_PAUSE
        self._held_until = self._pace.monotonic() + pause
        if answer.result is not Result.LIMITED and self.problem != answer.reason:
            advice = (
                "messages wait; see netsre slack check"
                if answer.result is Result.REFUSED
                else "messages wait"
            )
            _log.warning(
                "slack is not told %s", pairs(result=answer.result, reason=answer.reason, note=advice)
            )
            self.problem = answer.reason

    def readings(self, into: Readings) -> None:
        """Add how it fares."""
        for result in Result:
            into.put(c.SLACK_REQUESTS, (result.value,), float(self.results.get(result, 0)))
        into.put(c.SLACK_WAITING, (), float(self.waiting))
        if self.last_success is not None:
            into.put(c.SLACK_LAST_SUCCESS, (), self.last_success / clock.SECOND)

    def _jobs(self) -> Iterator[Job]:
        now = self._world.clock.now()
        with self._world.store.read() as transaction:
            due = transaction.slack.due(Timestamp(now - RECENT), MOST_INCIDENTS)
        for incident in due:
            found = self._known(incident)
            if found is None:
                self._finish(incident)
                continue
            known, rows = found
            if PARENT not in rows:
                continue
            jobs = list(self._unlike(known, rows))
            closed = known.facts.incident.closed_at is not None
            done = {row.done_at is not None for row in rows.values()}
            if closed and not jobs and False in done:
                self._finish(incident)
            elif not closed and True in done:
                self._finish(incident, again=True)
            yield from jobs

    def _known(self, incident: str) -> tuple[Known, Mapping[str, Told]] | None:
        """Return what is on record about an incident, and its messages, all of them noted; none if muted."""
        now = self._world.clock.now()
        with self._world.store.read() as transaction:
            one = transaction.incidents.find(incident)
            if one is None:
                return None
            read = facts.read(transaction, one, now)
            pause = talk.pause_of(transaction.holds.pauses(now), incident)
            rows = transaction.slack.of(incident)
            # Who was told hears how it goes on.
            mutes = None if _is_told(rows) else muting.read(transaction, self._world.noisy)
        muted = mutes is not None and mutes.cover(read.alerts, read.alerts_total, now)
        known = Known(read, pause, self._world.links)
        if muted:
            if rows and one.closed_at is not None:
                self._finish(incident)
            return known, {}
        if missing := [key for key in talk.keys(read) if key not in rows]:
            with self._world.store.write() as transaction:
                transaction.slack.note(incident, missing, now)
                rows = transaction.slack.of(incident)
        return known, rows

    def _unlike(self, known: Known, rows: Mapping[str, Told]) -> Iterator[Job]:
        parent = rows[PARENT]
        for key, said in talk.say(known, {key: row.token for key, row in rows.items()}).items():
            row, digest = rows[key], digest_of(said)
            if row.digest == digest or self._hopeless.get(row.token) == digest:
                continue
            if key == PARENT or parent.ts:
                urgency = _urgency(row, known.facts)
                first = key == PARENT
                channel = self._channel if first else parent.channel
                yield Job(urgency, row, said, digest, channel, "" if first else parent.ts)

    def _send(self, job: Job) -> None:
        row = job.row
        if not row.ts:
            if row.tried_at is not None and not self._absent(job):
                return
            # On disk before it is sent; a controller that leads no more is refused here.
            with self._world.store.write() as transaction:
                transaction.slack.tried(row.token, self._world.clock.now())
        if not self._leads():
            return  # it was frozen meanwhile: another one looks for the message, and sends it
        answer = self._say(job, job.said)
        self.heard(answer)
        if answer.result is Result.REJECTED and job.said.blocks:
            said = pairs(incident=row.incident, message=row.key or "first", reason=answer.reason)
            _log.error("slack does not take a message as it is, its text is sent %s", said)
            answer = self._say(job, job.said.plain())
            self.heard(answer)
        self._keep(job, answer)

    def _say(self, job: Job, said: Said) -> Answer:
        row = job.row
        message = Message(said.text, said.blocks, row.token, said.broadcast)
        if row.ts:
            return self._client.update(row.channel, row.ts, message)
        return self._client.post(job.channel, message, job.thread)

    def _keep(self, job: Job, answer: Answer) -> None:
        """Keep what became of a message; one in doubt stays as it is, and is looked for."""
        row, ts = job.row, job.row.ts or answer.text("ts")
        if answer.result is Result.REJECTED:
            self._hopeless[row.token] = job.digest
        with self._world.store.write() as transaction:
            if answer.result is Result.DONE and ts:
                channel = row.channel or answer.text("channel") or job.channel
                transaction.slack.told(row.token, channel, ts, job.digest)
            elif answer.result is Result.GONE and row.ts:
                # Somebody removed it: it is posted anew.
                transaction.slack.told(row.token, "", "", "")
            elif answer.result is Result.GONE:
                # Whether the first message is gone is found out by changing it.
                first = transaction.slack.of(row.incident)[PARENT]
                transaction.slack.told(first.token, first.channel, first.ts, "")
                transaction.slack.tried(row.token, None)
            elif answer.result not in (Result.DONE, Result.IN_DOUBT):
                transaction.slack.tried(row.token, None)

    def _absent(self, job: Job) -> bool:
        """Tell whether a message that was sent without an answer is not there; one that is, is kept."""
        row, now = job.row, self._world.clock.now()
        tried = row.tried_at or now
        if abs(now - tried) < SETTLES:
            return False
        oldest, cursor = f"{tried // clock.SECOND - _EARLY}.000000", ""
        for _ in range(_MOST_PAGES):
            answer = self._look(job, oldest, cursor)
            if answer.result is Result.REFUSED and answer.reason.startswith(_NO_SCOPE):
                _log.warning(
                    "slack may not be searched, a message may come twice %s", pairs(reason=answer.reason)
                )
                return True
            self.heard(answer)
            if answer.result is not Result.DONE:
                return answer.result is Result.GONE
            if ts := api.found((answer.data or {}).get("messages"), row.token):
                with self._world.store.write() as transaction:
                    # What it says is not known: it is said again in its place.
                    transaction.slack.told(row.token, job.channel, ts, "")
                return False
            if not (cursor := api.next_page(answer)):
                break
        return True

    def _look(self, job: Job, oldest: str, cursor: str) -> Answer:
        if job.thread:
            return self._client.replies(job.channel, job.thread, oldest, cursor)
        return self._client.history(job.channel, oldest, cursor)

    def _finish(self, incident: str, *, again: bool = False) -> None:
        with self._world.store.write() as transaction:
            transaction.slack.done(incident, None if again else self._world.clock.now())


def _is_told(rows: Mapping[str, Told]) -> bool:
    """Tell whether Slack knows of an incident, or may: then it hears how it goes on."""
    first = rows.get(PARENT)
    return first is not None and bool(first.ts or first.tried_at is not None)


def digest_of(said: Said) -> str:
    """Return what tells two texts of a message apart."""
    return hashlib.sha256(canonical([said.text, list(said.blocks)]).encode()).hexdigest()


def _urgency(row: Told, known: Facts) -> int:
    """Return how urgent a message is: 0 where it waits for people, then those who do not know yet."""
    if row.key.startswith(questions.ASK):
        return 0
    if row.key == PARENT:
        return 2 if row.ts or not _pages(known) else 1
    if row.key.startswith(pages.JOINED):
        return 2 if row.ts else 1
    return 4 if row.ts else 3


def _pages(known: Facts) -> bool:
    return any(causes.is_page(dict(alert.labels)) for alert in known.alerts)
