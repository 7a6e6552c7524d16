"""`netsre slo status`: where every service level stands, from the running controller."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from netsre import conventions
from netsre.errors import BadInput

if TYPE_CHECKING:
    from netsre.app.levels import LevelLine


@click.command()
@click.option("--source", metavar="URL", help="A Prometheus to read instead of the controller.")
@click.option("--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600).")
@click.option("--at", metavar="TIME", help="A moment of the past; needs --source.")
@click.option("--exit-code", is_flag=True, help="Exit 1 when a burn rule fires or a budget is spent.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def status(
    context: click.Context,
    *,
    source: str | None,
    controller: str | None,
    at: str | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Show where every service level stands."""
    from netsre.adapters import controller_client  # noqa: PLC0415
    from netsre.app import levels, settings  # noqa: PLC0415

    if source is not None:
        raise BadInput(
            f"--source {source}: a Prometheus is not supported yet; leave it out to ask the controller"
        )
    if at is not None:
        raise BadInput(f"--at {at}: the controller shows the present only; leave it out")
    document = controller_client.ask(settings.controller_url(controller), "/api/v1/slos")
    lines = levels.read_levels(document)
    if as_json:
        click.echo(json.dumps(document))
    else:
        _print(lines)
    if exit_code and _breached(document):
        context.exit(conventions.EXIT_NO)


def _breached(document: object) -> bool:
    slos = document.get("slos", ()) if isinstance(document, Mapping) else ()
    return any(_is_breached(slo) for slo in slos if isinstance(slo, Mapping))


def _is_breached(slo: Mapping[str, object]) -> bool:
    remaining = slo.get("budget_remaining")
    return bool(slo.get("firing")) or (isinstance(remaining, int | float) and remaining <= 0)


def _print(lines: "tuple[LevelLine, ...]") -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for title in ("SLO", "objective", "measured", "budget left", "burn", "state"):
        table.add_column(title, overflow="fold", no_wrap=title != "state")
    for line in lines:
        name = f"{line.name}\n{line.group}" if line.group else line.name
        style = "" if line.firing in ("ok", "-") else "bold red"
        state = f"BURNS\n{line.firing}" if style else line.firing
        words = line.burn.split()
        burn = "\n".join(" ".join(words[at : at + 2]) for at in range(0, len(words), 2))
        table.add_row(name, line.objective, line.sli, line.budget, burn, state, style=style)
    console = Console()
    if lines:
        console.print(table)
    else:
        console.print("no service level was evaluated yet")
