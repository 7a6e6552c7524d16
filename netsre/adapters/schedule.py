"""Calls something when a time table says so; whether it is done then is for others to decide."""

import datetime
import logging
import threading
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Final

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent, JobSubmissionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

from netsre import clock
from netsre.clock import Clock, Timestamp
from netsre.model import cron
from netsre.model.gamedays import Schedule

_log: Final = logging.getLogger("netsre.schedule")

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_PROBE: Final = Timestamp(1_767_225_600_000)
"""2026-01-01: a time table that has no time after this never comes."""

Call = Callable[[str, Timestamp], None]
"""Takes the name and the time that the table said."""


class TimeTable:
    """The moments at which a schedule comes, in its own time zone.

    A local time that a change of the clock leaves out comes when it would have been; one that the clock shows
    twice comes once, the first time.
    """

    def __init__(self, schedule: Schedule) -> None:
        """Read a schedule; raises `ValueError` with what is wrong."""
        times = cron.parse(schedule.cron)
        try:
            self._zone = zoneinfo.ZoneInfo(schedule.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            message = f"{schedule.timezone!r} is no time zone; write one such as UTC or Europe/Berlin"
            raise ValueError(message) from error
        self._trigger = CronTrigger(**times._asdict(), timezone=self._zone)

    def after(self, at: Timestamp) -> Timestamp | None:
        """Return the first moment after a time; None when there is none."""
        while (found := self._next(at)) is not None:
            moment = _timestamp(found)
            # The wall clock repeats itself in autumn: what it showed an hour ago had its turn.
            if not found.astimezone(datetime.UTC).astimezone(self._zone).fold and moment > at:
                return moment
            at = Timestamp(max(moment, at + clock.SECOND))
        return None

    def _next(self, at: Timestamp) -> datetime.datetime | None:
        now = _time(Timestamp(at + 1)).astimezone(self._zone)
        found: datetime.datetime | None = self._trigger.get_next_fire_time(None, now)
        return found


def problem(schedule: Schedule) -> str | None:
    """Return what is wrong with a schedule, or None."""
    try:
        table = TimeTable(schedule)
    except ValueError as error:
        return str(error)
    return None if table.after(_PROBE) is not None else f"{schedule.cron!r} never comes; write another"


class Scheduler:
    """Calls `call(name, at)` once for each moment of each time table, in a thread of its own.

    Moments that were missed (a machine asleep, a clock set forward) are one call, with the last of them: who
    is called sees that it is late.
    """

    def __init__(self, schedules: Mapping[str, Schedule], call: Call, the_clock: Clock) -> None:
        """Know the schedules by name; nothing is called before `start`."""
        self._tables = {name: TimeTable(schedule) for name, schedule in schedules.items()}
        self._call = call
        self._clock = the_clock
        self._lock = threading.Lock()
        self._due: dict[str, Timestamp | None] = {}
        self._scheduler = BackgroundScheduler(timezone=datetime.UTC)
        self._scheduler.add_listener(_complain, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        """Begin to call, for moments after now."""
        now = self._clock.now()
        for name, table in self._tables.items():
            self._due[name] = table.after(now)
            self._scheduler.add_job(
                self._tick,
                _Trigger(table),
                args=(name,),
                id=name,
                coalesce=True,
                max_instances=1,
                # Run however late: the one who is called refuses it then, and puts that on record.
                misfire_grace_time=None,
            )
        if self._tables:
            self._scheduler.start()

    def stop(self) -> None:
        """Call nobody any more; a call that goes on is waited for."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def next_times(self) -> Mapping[str, Timestamp | None]:
        """Return when each schedule comes next, by name."""
        now = self._clock.now()
        return {name: table.after(now) for name, table in self._tables.items()}

    def _tick(self, name: str) -> None:
        with self._lock:
            at = self._take(name, self._clock.now())
        if at is not None:
            self._call(name, at)

    def _take(self, name: str, now: Timestamp) -> Timestamp | None:
        """Return the last moment that is due, once."""
        table, due = self._tables[name], self._due.get(name)
        if due is None or due > now:
            return None
        while (later := table.after(due)) is not None and later <= now:
            due = later
        self._due[name] = later
        return due


class _Trigger(BaseTrigger):  # type: ignore[misc]  # the library has no annotations
    """Tells APScheduler when to wake, by our time table."""

    def __init__(self, table: TimeTable) -> None:
        self._table = table

    def get_next_fire_time(
        self, previous_fire_time: datetime.datetime | None, now: datetime.datetime
    ) -> datetime.datetime | None:
        """Return the first moment after the previous one and after now: what was missed is not counted up."""
        found = self._table.after(_timestamp(max(previous_fire_time or now, now)))
        return None if found is None else _time(found)


def _complain(event: JobExecutionEvent | JobSubmissionEvent) -> None:
    if isinstance(event, JobSubmissionEvent):
        _log.error("schedule %s came while its last turn went on; left out", event.job_id)
    else:
        _log.error("schedule %s failed: %s", event.job_id, event.exception)


def _timestamp(at: datetime.datetime) -> Timestamp:
    return Timestamp((at - _EPOCH) // datetime.timedelta(milliseconds=1))


def _time(at: Timestamp) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(milliseconds=at)
