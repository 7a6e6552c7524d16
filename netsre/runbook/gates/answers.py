"""What gates say: an answer each, and the verdict on all of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.runbooks import JournalKind
from netsre.runbook.gates.names import Gate
from netsre.runbook.journal import Line


@dataclass(frozen=True, slots=True)
class Answer:
    """What one gate says."""

    gate: Gate
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates say about one runbook and one transition, or about one change of a run."""

    reason: Gate
    target: str = ""
    answers: tuple[Answer, ...] = ()
    definition: str = ""
    """Hash of the runbook that was judged; empty for the gates before a change."""

    @property
    def accepted(self) -> bool:
        """Tell whether the run may go on."""
        return self.reason is Gate.ACCEPTED

    def also(self, answers: Iterable[Answer]) -> Self:
        """Return the verdict with what further gates say."""
        both = (*self.answers, *answers)
        return replace(self, answers=both, reason=first_no(both))

    def document(self) -> Document:
        """Return the verdict as the journal keeps it."""
        return {
            "accepted": self.accepted,
            "reason": self.reason.value,
            "definition": self.definition,
            "gates": [
                {"gate": answer.gate.value, "passed": answer.passed, "detail": answer.detail}
                for answer in self.answers
            ],
        }

    def line(self, step: int = -1, action: str = "") -> Line:
        """Return the line for the journal: of the whole run (-1), or before the change of a step."""
        return Line(JournalKind.GATES, step, action, self.document())


def first_no(answers: Iterable[Answer]) -> Gate:
    """Return the word of the first gate that says no, or of the acceptance."""
    return next((answer.gate for answer in answers if not answer.passed), Gate.ACCEPTED)


def within(now: Timestamp, at: Timestamp, length: int) -> bool:
    """Tell whether a time is less than so many milliseconds away.

    Either way: what is of the future happened before the clock was set back, and limits as long.
    """
    return abs(now - at) < length


def age_text(age: int) -> str:
    """Return an age for people: nobody reads milliseconds beside minutes."""
    return clock.duration_text(age if age < clock.SECOND else age - age % clock.SECOND)
