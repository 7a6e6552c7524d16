"""`netsre slo status`: where every service level stands, from the running controller."""

import json
from typing import TYPE_CHECKING

import click

from netsre import conventions

if TYPE_CHECKING:
    from netsre.app.levels import LevelLine


@click.command()
@click.option("--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600).")
@click.option("--exit-code", is_flag=True, help="Exit 1 unless every service level is known to be well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def status(context: click.Context, *, controller: str | None, exit_code: bool, as_json: bool) -> None:
    """Show where every service level stands.

    With --exit-code 0 means that each was measured, none burns, and no error
    budget is spent; what was not measured is not well, and is named.
    """
    from netsre.adapters import controller_client  # noqa: PLC0415
    from netsre.app import levels, settings  # noqa: PLC0415

    document = controller_client.ask(settings.controller_url(controller), "/api/v1/slos")
    lines = levels.read_levels(document)
    if as_json:
        click.echo(json.dumps(document))
    else:
        _print(lines)
    if exit_code and not levels.all_well(lines):
        context.exit(conventions.EXIT_NO)


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
