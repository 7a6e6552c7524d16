"""What a benchmark says: one row of the page."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the page."""

    what: str
    figure: str
    baseline: str
    budget: str
    met: bool | None
    """None where nothing is budgeted."""

    def row(self) -> str:
        """Return the row as Markdown."""
        verdict = {True: "met", False: "**missed**", None: ""}[self.met]
        return f"| {self.what} | {self.figure} | {self.baseline} | {self.budget} | {verdict} |"
