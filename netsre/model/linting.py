"""What can be wrong with a file that people write: codes that are stable, and what collects the findings."""

from types import MappingProxyType
from typing import Final

from netsre.errors import Finding, SpecErrors
from netsre.model.levels import Origin
from netsre.model.literals import printable

SYNTAX: Final = "SPEC001"
REFUSED_YAML: Final = "SPEC002"
DUPLICATE_KEY: Final = "SPEC003"
UNKNOWN_KEY: Final = "SPEC004"
MISSING: Final = "SPEC005"
SHAPE: Final = "SPEC006"
API_VERSION: Final = "SPEC007"
KIND: Final = "SPEC008"
NUMBER: Final = "SPEC009"
DURATION: Final = "SPEC010"
CHOICE: Final = "SPEC011"
NAME: Final = "SPEC012"
EMPTY: Final = "SPEC013"

CODES: Final = MappingProxyType(
    {
        SYNTAX: "The file is not YAML.",
        REFUSED_YAML: "YAML that is refused: aliases, anchors, tags, keys that are no words, deep nesting.",
        DUPLICATE_KEY: "A key is written twice in one mapping.",
        UNKNOWN_KEY: "A key that nothing reads.",
        MISSING: "A required key or its value is missing.",
        SHAPE: "A list, a mapping or a single value stands where another of the three belongs.",
        API_VERSION: "The file is of another API version.",
        KIND: "The file is of a kind that is not read here.",
        NUMBER: "Not an exact decimal number.",
        DURATION: "Not a length of time.",
        CHOICE: "Not one of the accepted words, or not exactly one of the accepted keys.",
        NAME: "Not a name.",
        EMPTY: "The file holds no document.",
    }
)
"""Every code this reader gives; stable, never reused."""

_LONGEST: Final = 4_000
"""Characters of a message that are kept: room for a list of every metric there is."""


class Findings:
    """Collects what is wrong, across files."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self._findings: set[Finding] = set()

    def add(self, origin: Origin, code: str, message: str) -> None:
        """Record one finding; the same one twice counts once. Whatever it repeats, it is one line to read."""
        line = printable(message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…")
        self._findings.add(Finding(origin.file, origin.line, code, line))

    def __len__(self) -> int:
        """Return how many findings there are, so that a reader can see whether its part added any."""
        return len(self._findings)

    def sorted(self) -> tuple[Finding, ...]:
        """Return all findings by file, line, code and message."""
        return tuple(sorted(self._findings))

    def raise_if_any(self) -> None:
        """Raise `SpecErrors` with everything that was found, or return when nothing was."""
        if self._findings:
            raise SpecErrors(self.sorted())
