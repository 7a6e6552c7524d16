"""`netsre top`: what an agent counts, as rates, live in a terminal or once for a script."""

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from netsre import clock, conventions
from netsre.app.top.views import NAMES, VIEWS
from netsre.cli.options import parsed
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.app.top.measuring import Interval
    from netsre.app.top.reader import Asking

_WIDTH: Final = 80
_SHORTEST: Final = 1 * clock.SECOND
_LONGEST: Final = 60 * clock.SECOND


def _interval(text: str) -> float:
    milliseconds = literals.parse_duration(f"{text}s" if text.isascii() and text.isdigit() else text)
    if not _SHORTEST <= milliseconds <= _LONGEST:
        raise ValueError(f"{literals.shown(text)} is outside 1s to 60s; write one such as 2s")
    return milliseconds / clock.SECOND


@click.command()
@click.option(
    "--agent",
    metavar="URL",
    help=f"The agent ($NETSRE_AGENT).  [default: http://127.0.0.1:{conventions.AGENT_PORT}]",
)
@click.option(
    "--interval",
    default="2s",
    show_default=True,
    metavar="TIME",
    callback=parsed(_interval),
    help="Between two readings, 1s to 60s.",
)
@click.option(
    "--view", type=click.Choice(NAMES), default=NAMES[0], show_default=True, help="What to show first."
)
@click.option("--filter", "sought", default="", metavar="TEXT", help="Only rows with this in their names.")
@click.option("--once", is_flag=True, help="Print one view after one interval, and end.")
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON document.")
@click.pass_context
def top(  # noqa: PLR0913
    context: click.Context,
    /,
    *,
    agent: str | None,
    interval: float,
    view: str,
    sought: str,
    once: bool,
    as_json: bool,
) -> None:
    """Show what an agent counts as rates: flows, TCP, connection tables, drops, BPF.

    Keys: 1 to 5 or Tab for another view, s sorts, / filters, ? shows all of
    them, q quits. Without a terminal it is as with --once.
    """
    from netsre.app import settings  # noqa: PLC0415  --help needs none of it
    from netsre.app.top.reader import Asking  # noqa: PLC0415

    address = settings.agent_url(agent)
    asking = Asking(address)
    asking.ask()
    console = Console(highlight=False)
    if once or as_json or not _is_screen(console):
        width = console.width if sys.stdout.isatty() else _WIDTH
        _once(_measured(asking, interval), address, NAMES.index(view), sought, width, as_json=as_json)
        return
    from netsre.app.top.state import State  # noqa: PLC0415
    from netsre.cli.top_screen import run  # noqa: PLC0415

    signal_number = run(console, asking, address, interval, State(NAMES.index(view), sought=sought))
    if signal_number:
        # As a shell reports a command that a signal ended.
        context.exit(128 + signal_number)


def _is_screen(console: Console) -> bool:
    """Tell whether keys can be read and a picture be drawn."""
    return os.isatty(0) and sys.stdout.isatty() and not console.is_dumb_terminal


def _measured(asking: "Asking", interval: float) -> "Interval":
    click.echo(f"measuring for {interval:g} s", err=True)
    found = None
    while found is None:
        time.sleep(interval)
        found = asking.ask()
    return found


def _once(interval: "Interval", agent: str, view: int, sought: str, width: int, *, as_json: bool) -> None:
    from netsre.app.top import frame, views  # noqa: PLC0415
    from netsre.app.top.state import State  # noqa: PLC0415

    if as_json:
        sections = frame.chosen(State(view, sought=sought), interval)
        click.echo(json.dumps(views.as_document(VIEWS[view], interval, agent, sections)))
        return
    for line in frame.plain(view, frame.Seen(agent, interval), width, sought):
        click.echo(line)
