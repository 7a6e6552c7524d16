"""`netsre slo status`: where every service level stands, from the running controller or from a Prometheus."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsre import conventions
from netsre.errors import BadInput

if TYPE_CHECKING:
    from netsre.app.levels import LevelLine


@click.command()
@click.option("--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600).")
@click.option("--source", metavar="URL", help="A Prometheus (Thanos, Mimir, VictoriaMetrics) instead.")
@click.option("--at", metavar="TIME", help="Of --source: RFC 3339, or seconds since 1970 (default: now).")
@click.option(
    "--slos", multiple=True, metavar="PATH", help="Of --source: SLO files (default: those shipped)."
)
@click.option("--node-label", metavar="LABEL", help="Of --source: what names a node (default: instance).")
@click.option("--token-file", metavar="FILE", help="Of --source: a bearer token ($NETSRE_PROMETHEUS_TOKEN).")
@click.option("--exit-code", is_flag=True, help="Exit 1 unless every service level is known to be well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def status(
    context: click.Context, /, *, controller: str | None, exit_code: bool, as_json: bool, **asked: Any
) -> None:
    """Show where every service level stands.

    With --source the raw samples of a Prometheus are counted as a controller
    counts what it reads from its agent; no controller has to run.

    With --exit-code 0 means that each was measured, none burns, and no error
    budget is spent; what was not measured is not well, and is named.
    """
    from netsre.app import levels  # noqa: PLC0415

    document = _of_controller(controller, asked) if asked["source"] is None else _recorded(controller, asked)
    lines = levels.read_levels(document)
    if as_json:
        click.echo(json.dumps(document))
    else:
        _print(lines)
    if exit_code and not levels.all_well(lines):
        context.exit(conventions.EXIT_NO)


def _of_controller(controller: str | None, asked: dict[str, Any]) -> object:
    from netsre.adapters import controller_client  # noqa: PLC0415
    from netsre.app import settings  # noqa: PLC0415

    for name, value in asked.items():
        if value:
            option = f"--{name.replace('_', '-')}"
            raise BadInput(f"{option} is about a Prometheus; name it with --source, or leave {option} out")
    return controller_client.ask(settings.controller_url(controller), "/api/v1/slos")


def _recorded(controller: str | None, asked: dict[str, Any]) -> object:
    from netsre.app import prometheus_source  # noqa: PLC0415
    from netsre.cli.progress import Progress  # noqa: PLC0415
    from netsre.clock import SystemClock  # noqa: PLC0415

    if controller is not None:
        raise BadInput("--controller and --source are two answers to one question; leave one of them out")
    token_file = asked["token_file"]
    question = prometheus_source.Question(
        source=asked["source"],
        at=asked["at"],
        node_label=asked["node_label"],
        token_file=None if token_file is None else Path(token_file),
        slos=tuple(map(Path, asked["slos"])),
    )
    with Progress("reading samples") as progress:
        found = prometheus_source.ask(question, SystemClock().now(), progress.show)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    return found.document


def _print(lines: "tuple[LevelLine, ...]") -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for title in ("SLO", "objective", "measured", "budget left", "burn", "state"):
        # A long group folds, or the last column, which matters most, would be cut.
        table.add_column(title, overflow="fold", no_wrap=title != "SLO")
    for line in lines:
        name = f"{line.name}\n{line.group}" if line.group else line.name
        style = "bold red" if line.burns else ""
        state = f"BURNS\n{line.firing}" if line.burns else line.trouble or "ok"
        words = line.burn.split()
        burn = "\n".join(" ".join(words[at : at + 2]) for at in range(0, len(words), 2))
        # Labels come from outside: nothing in them is markup.
        cells = map(Text, (name, line.objective, line.sli, line.budget, burn, state))
        table.add_row(*cells, style=style)
    console = Console()
    if lines:
        console.print(table)
    else:
        console.print("no service level was evaluated yet")
