"""Every error that netsre raises on purpose.

NetsreError                 something a person can act on; one line: thing, value, next step
├── BadInput                what was given is wrong (exit 2)
│   ├── DoesNotFit          a smaller table would have no room for the connections that are known
│   ├── NoDatapath          there is none, so no policies are in force
│   ├── NoPrefilter         there is none, so nothing is filtered
│   ├── OnTrial             a canary is on trial, and nothing else comes into force until it ends
│   └── SpecErrors          files that people write, with every finding at its file and line
├── ControlRefused          a process was commanded over its socket, and said no
├── EnvironmentUnfit        the machine or a server cannot do it (exit 3)
│   ├── BlockRefused        a source cannot be blocked there; nothing was done
│   ├── BudgetExceeded      policies take more of a kernel map than they may; those in force stay
│   ├── Busy                more alerts wait for the disk than may; they are sent again
│   ├── ChannelUnusable     a channel takes no message at all; all of them wait
│   ├── ControlUnreachable  a process did not answer on its socket
│   ├── Crowded             there is no room to tell the sources of all interfaces apart; they are policed
│   ├── IdentitiesExhausted  policies tell more ends apart than there are numbers; those in force stay
│   ├── LabSilent           the lab gave no answer; what it did is found out by looking
│   ├── Locked              somebody is changing something, and we do not wait; nothing was done
│   ├── MadeDifferently     a datapath is that of another version; it goes on as it is
│   ├── NodeUnreachable     the node gave no answer; what it did is found out by looking
│   ├── NoRoom              the maps have no room for what is on trial, what lasts and what is to come
│   ├── NotOurs             a directory is no place for a datapath, or somebody else's; nothing was done
│   ├── NumbersAstray       a revision was compiled with numbers that mean something else in the kernel
│   ├── PartAway            a process of the agent that has more privileges does not answer
│   ├── ProbeUnfit          a probe cannot run on this kernel; the agent says so and serves the rest
│   ├── SourceUnreachable   a source of measurements did not answer, or answered nonsense
│   ├── StoreUnusable       the database cannot be opened, is newer than we are, or lost its chain
│   │   └── Fenced          another controller leads by now; nothing was written
│   └── ZonesExhausted      rules about one endpoint tell more networks apart than there are numbers
├── LabRefused              the lab said no, with a word, and did nothing
├── MessageUnreadable       a stored message is not of this version; it stays, and is tried again
├── NodeRefused             the node said no, with a word, and did nothing
└── Refused                 the controller understood a request, and said no
"""

from collections.abc import Sequence
from dataclasses import dataclass


class NetsreError(Exception):
    """Something a person can act on: the thing, the value, and the next step, in one line."""


class BadInput(NetsreError):
    """What was given is wrong; nothing was done."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing wrong in a file that a person wrote; in order by file, line, code and message."""

    file: str
    line: int
    code: str
    """Stable and short, like `SLO003`; documented, never reused."""
    message: str

    def __str__(self) -> str:
        """Return `file:line: code message`."""
        return f"{self.file}:{self.line}: {self.code} {self.message}"


class SpecErrors(BadInput):
    """Files that people write are wrong; carries every finding, not only the first."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        """Keep the findings in the order given."""
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class EnvironmentUnfit(NetsreError):
    """The machine or a server cannot do what was asked; nothing was done."""


class SourceUnreachable(EnvironmentUnfit):
    """A source of measurements did not answer in time, or answered something unreadable."""


class StoreUnusable(EnvironmentUnfit):
    """The database cannot be opened, is of a newer version, or is not whole."""


class Fenced(StoreUnusable):
    """Another controller leads by now: what was to be written is not, and this one acts no more."""
