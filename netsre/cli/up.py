"""`netsre up`: everything on this node, in one terminal."""

import contextlib
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.cells import cell_len
from rich.console import Console
from rich.constrain import Constrain
from rich.live import Live
from rich.table import Table
from rich.text import Text

from netsre import clock, conventions
from netsre.adapters.endpoints import Endpoint
from netsre.app.levels import LevelLine, worst
from netsre.app.local import up as app
from netsre.app.local.flowlog import FlowLogOptions
from netsre.app.privileges import service_user
from netsre.app.settings import Options, settings
from netsre.app.workloads import read as read_workloads
from netsre.cli import options, probe_options
from netsre.model import literals

_DATA: Final = Path("/var/lib/netsre")
_LAB_DATA: Final = Path("/var/lib/netsre-lab")
_MARGIN: Final = 4
"""Left free beside what stays: the `^C` that a terminal echoes there must not begin another line."""
_NAME_WIDTH: Final = 12
_GAP: Final = 2
_TITLE: Final = re.compile(r"[a-z]+: +")
_LEFT_OUT_FIRST: Final = ("events", "goal", "burn", "budget", "SLI")


class PlainScreen:
    """A log: one line after the other, complete in a file and in a pipe."""

    refresh_seconds = 5.0

    def __init__(self) -> None:
        """Begin with nothing announced."""
        self._waited_for = ""

    def say(self, line: str) -> None:
        """Show one line that stays; a reader that went away is no reason to leave things behind."""
        with contextlib.suppress(OSError, ValueError):
            click.echo(literals.printable(line))
            sys.stdout.flush()

    def waiting(self, what: str, seconds: float) -> None:
        """Say once what is being waited for."""
        del seconds
        if what != self._waited_for:
            self._waited_for = what
            self.say(f"waiting for {what}")

    def levels(self, levels: tuple[LevelLine, ...], note: str) -> None:
        """Show one line for each service level, of its worst group."""
        now = clock.rfc3339(clock.SystemClock().now())
        if note:
            self.say(f"{now} {note}")
        for level in worst(levels):
            group = f"{{{level.group}}}" if level.group else ""
            self.say(
                f"{now} {level.name}{group}  sli {level.sli}  objective {level.objective}  "
                f"budget left {level.budget}  burn {level.burn}  events {level.events}  {level.firing}"
            )


class LiveScreen:
    """A terminal: lines scroll away above a table that stays."""

    refresh_seconds = 2.0

    def __init__(self, live: Live) -> None:
        """Write through a started `Live`."""
        self._live = live

    def say(self, line: str) -> None:
        """Show one line that stays; a long one goes on below its text, and no word or address is broken."""
        for part in folded(literals.printable(line), self._width):
            with contextlib.suppress(OSError):
                self._live.console.print(Text(part), soft_wrap=True)

    def waiting(self, what: str, seconds: float) -> None:
        """Show what is being waited for."""
        self._update(Text(f"waiting for {what}: {seconds:.0f} s", style="dim"))

    def levels(self, levels: tuple[LevelLine, ...], note: str) -> None:
        """Show the table."""
        self._update(Text(note, style="yellow") if note else table(levels, self._width))

    @property
    def _width(self) -> int:
        return max(1, self._live.console.width - _MARGIN)

    def _update(self, shown: Table | Text) -> None:
        with contextlib.suppress(OSError):
            self._live.update(Constrain(shown, self._width), refresh=True)


def folded(line: str, width: int) -> list[str]:
    """Break a line between words; what follows a `title:   ` stays in its column."""
    title = _TITLE.match(line)
    indent = " " * (title.end() if title and title.end() < width // 2 else 2)
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [line]


def table(levels: tuple[LevelLine, ...], width: int) -> Table:
    """Return service levels as a table; the state is a word, its colour only repeats it.

    Where `width` columns do not hold all of it, whole columns are left out, those first that the page shows
    better: a number that is cut short would be another number.
    """
    lines = worst(levels)
    numbers = {
        "SLI": [level.sli for level in lines],
        "goal": [level.objective for level in lines],
        "budget": [level.budget for level in lines],
        "burn": [" ".join(level.burn.split()[:2]) for level in lines],
        "events": [level.events for level in lines],
    }
    states = [level.firing for level in lines]
    for title in _LEFT_OUT_FIRST:
        if _NAME_WIDTH + sum(_width(*column) for column in {**numbers, "state": states}.items()) > width:
            del numbers[title]
    shown = Table(box=None, pad_edge=False, header_style="bold")
    # The only column that may shrink: a long name gives way to the numbers beside it.
    shown.add_column("SLO")
    for title in numbers:
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("state", no_wrap=True)
    for index, level in enumerate(lines):
        style = "green" if level.firing == "ok" else "dim" if level.firing == "-" else "bold red"
        name = Text(f"{level.name} {level.group}", no_wrap=True, overflow="ellipsis")
        shown.add_row(name, *(column[index] for column in numbers.values()), Text(level.firing, style))
    return shown


def _width(title: str, cells: Sequence[str]) -> int:
    """Return how much of a line a column takes, with the gap before it."""
    return _GAP + max(map(cell_len, (title, *cells)))


@click.command()
@click.option("--lab", "with_lab", is_flag=True, help="Also make a small network with real traffic.")
@click.option(
    "--data-dir",
    metavar="DIR",
    help=f"Where history, alerts and runs are kept.  [default: {_DATA}, with --lab {_LAB_DATA}]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help=f"Where the page and the API are served.  [default: 127.0.0.1:{conventions.CONTROLLER_PORT}]",
)
@click.option(
    "--agent-listen",
    default=f"127.0.0.1:{conventions.AGENT_PORT}",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the agent serves its metrics.",
)
@click.option("--with-alertmanager", is_flag=True, help="Also run Debian's Alertmanager, and tell it.")
@click.option(
    "--alertmanager-listen",
    metavar="HOST:PORT",
    help=f"Where that one serves.  [default: 127.0.0.1:{conventions.ALERTMANAGER_PORT}]",
)
@click.option(
    "--flow-log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the log of connection attempts is kept.  [default: in the data directory]",
)
@click.option("--no-flow-log", is_flag=True, help="Keep none.")
@options.FLOW_LOG_SIZE
@options.FLOW_LOG_SAMPLING
@click.option("--slos", multiple=True, metavar="PATH", help="SLO files.  [default: those shipped]")
@click.option("--runbooks", multiple=True, metavar="PATH", help="Runbook files.  [default: those shipped]")
@click.option("--people", multiple=True, metavar="PATH", help="Who may decide about runs (kind: People).")
@click.option("--workloads", multiple=True, metavar="PATH", help="Files that name ends of connections.")
@options.CPU_BUDGET
@probe_options.WITHOUT
@options.NATIVE_HISTOGRAMS
@click.option("--external-url", metavar="URL", help="Where people reach the page, for links in alerts.")
@click.option("--config", metavar="FILE", help="A file with any of these (kind: Controller).")
@click.option("--user", help="Account of the controller and the lab.  [default: netsre, else nobody]")
@click.option("--interval", help="Between two evaluations.  [default: 15s, with --lab 5s]")
def up(  # noqa: PLR0913
    *,
    with_lab: bool,
    data_dir: str | None,
    listen: str | None,
    agent_listen: str,
    with_alertmanager: bool,
    alertmanager_listen: str | None,
    slos: tuple[str, ...],
    runbooks: tuple[str, ...],
    people: tuple[str, ...],
    workloads: tuple[str, ...],
    external_url: str | None,
    config: str | None,
    user: str | None,
    interval: str | None,
    **of_agent: Any,
) -> None:
    """Run agent, controller and page on this node; Ctrl-C leaves the node as it was.

    An option wins over NETSRE_* in the environment, and that over --config.
    """
    agent = Endpoint.parse(agent_listen, "--agent-listen", conventions.AGENT_PORT)
    asked = Options(
        data_dir=data_dir, listen=listen, agent=agent.url, interval=interval, slos=slos, runbooks=runbooks,
        people=people, user=user, external_url=external_url, config=config,
    )  # fmt: skip
    usual = Options(data_dir=str(_LAB_DATA), interval="5s") if with_lab else Options(data_dir=str(_DATA))
    found = settings(asked, usual)
    alertmanager = _alertmanager(alertmanager_listen, asked=with_alertmanager)
    # Before anything begins: the agent would come up, and end again.
    read_workloads(workloads)
    who = service_user(found.user)
    _run(app.UpOptions(with_lab, agent, who, found, alertmanager, workloads, *_asked_of_agent(**of_agent)))


def _asked_of_agent(
    *, cpu_budget: str | None, without: tuple[str, ...], native_histograms: bool, **log: Any
) -> tuple[FlowLogOptions | None, tuple[str, ...]]:
    """Return how the flow log is to be kept, and options that are handed on to the agent as they are."""
    measuring = (
        *(() if cpu_budget is None else ("--cpu-budget", cpu_budget)),
        *(word for name in without for word in ("--without", name)),
        *(("--native-histograms",) if native_histograms else ()),
    )
    return _flow_log(**log), measuring


def _flow_log(
    *, flow_log: Path | None, no_flow_log: bool, flow_log_size: int, flow_log_sampling: int
) -> FlowLogOptions | None:
    """Return how the flow log is to be kept, None where none is."""
    if not no_flow_log:
        return FlowLogOptions(flow_log, flow_log_size, flow_log_sampling)
    if flow_log is not None:
        raise click.UsageError("--flow-log and --no-flow-log contradict each other")
    return None


def _alertmanager(listen: str | None, *, asked: bool) -> Endpoint | None:
    """Return where an Alertmanager of our own is to serve, None where none is asked for."""
    if listen is not None and not asked:
        raise click.UsageError("--alertmanager-listen is for --with-alertmanager")
    usual = f"127.0.0.1:{conventions.ALERTMANAGER_PORT}"
    port = conventions.ALERTMANAGER_PORT
    return Endpoint.parse(listen or usual, "--alertmanager-listen", port) if asked else None


def _run(wanted: app.UpOptions) -> None:
    if sys.stdout.isatty():
        # Drawn by our own loop: a thread of the terminal's would be one too many where children are started.
        with Live(console=Console(), auto_refresh=False, transient=True) as live:
            app.run(wanted, LiveScreen(live))
    else:
        app.run(wanted, PlainScreen())
