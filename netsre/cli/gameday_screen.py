"""Where a person follows a game day: a line for each stage, and what is waited for below them."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.status import Status
from rich.text import Text

from netsre.model import literals

_NEXT: Final = {
    "injected": "for the table to fill",
    "beyond": "for the alert",
    "detected": "for the page",
    "paged": "for the first effect",
    "mitigated": "for the proof that it helped",
    "verified": "for the cleaning",
}
_WORDS: Final = {
    "injected": "the fault begins",
    "beyond": "the table is beyond the alert's value",
    "detected": "the alert fires",
    "paged": "people are told",
    "mitigated": "the first effect is in force",
    "verified": "the service level says that it helped",
}
_STYLES: Final = {"passed": "bold green", "aborted": "bold yellow"}


class Screen:
    """Lines, one after the other; none when `quiet`, so that stdout is the result's alone."""

    def __init__(self, *, quiet: bool) -> None:
        """Begin with nothing shown."""
        self._console = Console(quiet=quiet, highlight=False, markup=False)
        self._status: Status = self._console.status("")

    def say(self, line: str) -> None:
        """Show what is being done."""
        self._console.print(literals.printable(line), soft_wrap=True)

    def stage(self, stage: str, drill: Mapping[str, Any]) -> None:
        """Show that a stage was reached: when, how long after the fault, and what that means."""
        seconds = drill["seconds"].get(stage)
        after = f"{seconds:7.1f} s" if seconds is not None else "         "
        clock = str(drill[f"{stage}_at"]).partition("T")[2]
        by = f" ({drill['paged_by']})" if stage == "paged" and drill.get("paged_by") else ""
        self._console.print(f"{stage:<10}{after}  {clock}  {_WORDS[stage]}{by}", soft_wrap=True)
        self._status.update(f"waiting {_NEXT[stage]}")
        if self._console.is_terminal:
            self._status.start()

    def end(self, drill: Mapping[str, Any]) -> None:
        """Show how it ended, and what it cost."""
        self._status.stop()
        state, reason = drill["state"], drill["reason"]
        detail = f": {drill['detail']}" if drill.get("detail") else ""
        said = literals.printable(f" ({reason}){detail}")
        line = Text.assemble((state, _STYLES.get(state, "bold red")), said)
        self._console.print(line, soft_wrap=True)
        burned, restored = drill.get("budget_burned"), drill.get("host_restored")
        if burned is not None:
            self._console.print(f"budget burned: {100 * burned:.4f} % of the window's")
        if restored is not None:
            left = literals.printable(", ".join(drill.get("left_behind") or ()))
            self._console.print("host: as before" if restored else f"host: NOT as before: {left}")
