"""What somebody does next who follows files of policies and interfaces of endpoints."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

QUIET: Final = 0.012
"""Seconds without a stir after which files are read: some clocks of file systems go on every 10 ms."""
NEW: Final = 0.25
"""The same where somebody may have begun to write before anybody was told."""
WRITTEN: Final = 5.0
"""So many seconds a file is waited for to which somebody has written last, and which he does not close."""
UNREST: Final = 2.0
"""So many seconds whole files are waited for that are never quiet."""
LONGEST: Final = 30.0
"""So many seconds anything is waited for."""
TURN: Final = 60.0
"""Seconds between two looks at all files, whatever was told."""
GLANCE: Final = 5.0
"""Seconds between two looks at what other commands have put into force, of which nobody is told."""


class Step(StrEnum):
    """What is done."""

    WAIT = "wait"
    READ = "read"
    """Read the files, and put into force what is new in them."""
    GLANCE = "glance"
    """See what is in force."""
    POLICE = "police"
    """Police the interfaces that are there."""


class Reason(StrEnum):
    """Why."""

    NOTHING = "nothing"
    SETTLING = "settling"
    """Files have stirred a moment ago."""
    WRITTEN = "written"
    """A file is open that somebody writes to."""
    CHANGED = "changed"
    """Files have stirred, and are quiet."""
    RESTLESS = "restless"
    """Files stir for so long that they are read as they are."""
    AGAIN = "again"
    """What could not be done the last time may be possible now."""
    INTERFACES = "interfaces"
    """Interfaces have come or gone."""
    STAGGERED = "staggered"
    """It is too soon after the last change."""
    TURN = "turn"
    """It is time for a look, whatever was told."""


class Outcome(StrEnum):
    """How it ended when files were read last."""

    DONE = "done"
    UNREADABLE = "unreadable"
    """They make no sense; somebody may be about to write more."""
    WRONG = "wrong"
    """They make no sense still, and somebody was told."""
    ON_TRIAL = "on_trial"
    """A canary is on trial, and nothing else can come into force."""
    REFUSED = "refused"
    """The machine could not do it."""


_AGAIN: Final = MappingProxyType({Outcome.UNREADABLE: 0.25, Outcome.ON_TRIAL: 2.0, Outcome.REFUSED: 20.0})
"""After so many seconds they are read again, though nothing stirs."""


@dataclass(frozen=True, slots=True)
class Situation:
    """How things stand; times are seconds on one clock that nobody sets."""

    looked: float
    """When files were read last."""
    glanced: float
    """When what is in force was seen last."""
    outcome: Outcome = Outcome.DONE
    first: float | None = None
    """When files first stirred since then."""
    last: float | None = None
    """When they did so last."""
    is_written: bool = False
    """Whether somebody writes to a file, and has not closed it."""
    is_new: bool = False
    """Whether it was in directories that nobody had watched before."""
    interfaces: bool = False
    """Whether interfaces have changed since they were policed."""
    held: float = float("-inf")
    """Until when nothing else comes into force, because changes are staggered."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done, and why."""

    step: Step
    reason: Reason
    seconds: float = 0.0
    """For how long nothing is to be done, unless something happens."""


def next_step(now: float, found: Situation) -> Decision:
    """Return what is done next."""
    if found.interfaces:
        return Decision(Step.POLICE, Reason.INTERFACES)
    decision = _unheld(now, found)
    if decision.step is not Step.READ or now >= found.held:
        return decision
    # What comes until then is read together; what others have put into force is seen meanwhile.
    glance = found.glanced + GLANCE
    if now >= glance:
        return Decision(Step.GLANCE, Reason.TURN)
    return Decision(Step.WAIT, Reason.STAGGERED, min(found.held, glance) - now)


def _unheld(now: float, found: Situation) -> Decision:
    if found.first is not None and found.last is not None:
        return _stirred(now, found, found.first, found.last)
    again = _AGAIN.get(found.outcome)
    due, glance = found.looked + (TURN if again is None else again), found.glanced + GLANCE
    if now >= due:
        return Decision(Step.READ, Reason.TURN if again is None else Reason.AGAIN)
    if now >= glance:
        return Decision(Step.GLANCE, Reason.TURN)
    return Decision(Step.WAIT, Reason.NOTHING, min(due, glance) - now)


def _stirred(now: float, found: Situation, first: float, last: float) -> Decision:
    # Half of a file may make sense, too.
    quiet = last + (WRITTEN if found.is_written else NEW if found.is_new else QUIET)
    longest = first + (LONGEST if found.is_written else UNREST)
    if now >= quiet:
        return Decision(Step.READ, Reason.CHANGED)
    if now >= longest:
        return Decision(Step.READ, Reason.RESTLESS)
    return Decision(
        Step.WAIT, Reason.WRITTEN if found.is_written else Reason.SETTLING, min(quiet, longest) - now
    )
