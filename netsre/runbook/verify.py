"""Did it help? The service level answers, over readings made after the last effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.levels import SLO
from netsre.model.runbooks import JournalKind, Verification
from netsre.model.samples import Labels, Scrape
from netsre.runbook.journal import Line


class Outcome(StrEnum):
    """What one sample says; only `pass` is success."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the service level."""

    verdict: Outcome
    bad: Decimal
    total: Decimal
    reason: str
    """A word: `met`, `missed`, `no_reading`, `no_events`, `slo_unknown`, `group_unknown` or an anomaly's."""
    read_at: Timestamp
    """When the newest reading was made that it looked at; 0 without any."""

    def line(self) -> Line:
        """Return the line for the journal."""
        data: Document = {
            "verdict": self.verdict.value,
            "bad": f"{self.bad:f}",
            "total": f"{self.total:f}",
            "reason": self.reason,
            "read_at": self.read_at,
        }
        return Line(JournalKind.SAMPLE, -1, "", data)


def sample(
    verification: Verification,
    slo: SLO | None,
    scrapes: Sequence[Scrape],
    labels: Labels,
    since: Timestamp,
) -> Sample:
    """Judge the SLO for the group of an alert's labels, by the readings made after `since`.

    `scrapes` are those of the alert's node, oldest first; `slo` is None when there is none of that name.
    """
    raise NotImplementedError
