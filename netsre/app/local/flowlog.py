"""The flow log that `netsre up` keeps, as it asks its agent for it."""

from dataclasses import dataclass
from pathlib import Path

from netsre.app import flows


@dataclass(frozen=True, slots=True)
class FlowLogOptions:
    """How the flow log is kept."""

    path: Path | None
    """None for the data directory."""
    most_bytes: int
    sampling: int

    def within(self, data_dir: Path) -> Path:
        """Return where the log is."""
        return (self.path or flows.usual_path(data_dir)).absolute()

    def for_agent(self, data_dir: Path) -> tuple[str, ...]:
        """Return the options of the agent."""
        return (
            *("--flow-log", str(self.within(data_dir))),
            *("--flow-log-size", str(self.most_bytes)),
            *("--flow-log-sampling", str(self.sampling)),
        )

    def command(self, data_dir: Path) -> str:
        """Return how to look at it."""
        path = self.within(data_dir)
        usual = path in map(flows.usual_path, flows.DATA_DIRS)
        return "netsre flows --follow" if usual else f"netsre flows --follow --file {path}"
