"""A page of what was measured: a section for each thing; who measures one again renews that alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BEGINS: Final = "\n## "
_DOCS: Final = Path(__file__).parent.parent / "docs"


@dataclass(frozen=True, slots=True)
class Page:
    """A file of Markdown; a section begins with a title of the second level."""

    path: Path

    def sections(self) -> dict[str, str]:
        """Return the text of each section, by its title."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        found = (part.partition("\n") for part in text.split(_BEGINS)[1:])
        return {title: body.strip("\n") for title, _, body in found}

    def renew(self, head: str, new: Mapping[str, str], order: Sequence[str]) -> None:
        """Write the page: these sections, and the others as they are, in this order."""
        known = {**self.sections(), **new}
        parts = (f"{_BEGINS}{title}\n\n{known[title].strip()}\n" for title in order if title in known)
        self.path.write_text(f"{head.rstrip()}\n{''.join(parts)}", encoding="utf-8")

    def put(self, title: str, body: str) -> None:
        """Renew one section where it stands, or add it at the end."""
        head, _, _ = self.path.read_text(encoding="utf-8").partition(_BEGINS)
        known = {**self.sections(), title: body}
        self.renew(head, known, [*known])


BENCHMARKS: Final = Page(_DOCS / "benchmarks.md")
SOAK: Final = Page(_DOCS / "soak.md")
