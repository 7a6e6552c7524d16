"""`netsre doctor`: what this node can do, why not, and how to mend it."""

import dataclasses
import json
import sys
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from netsre import conventions
from netsre.datapath.requirements import Feature, Status, overall

_WIDTH: Final = 80
_STYLES: Final = {Status.OK: "green", Status.DEGRADED: "yellow", Status.NO: "bold red"}
_VERDICTS: Final = {
    Status.OK: "verdict: ok, the agent can run fully",
    Status.DEGRADED: "verdict: degraded, the agent can run, with the limits above",
    Status.NO: "verdict: no, something required is missing",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(*, as_json: bool) -> None:
    """Say what this node can do, and how to get the rest; changes nothing.

    Exits with 0 when the agent can run, fully or degraded, and with 3 when something required is missing.
    """
    from netsre.app.doctor import examine  # noqa: PLC0415  --help needs none of it

    features = examine()
    verdict = overall(features)
    if as_json:
        document = {"features": [dataclasses.asdict(feature) for feature in features], "verdict": verdict}
        click.echo(json.dumps(document, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else _WIDTH)
        console.print(render(features))
        console.print(Text(_VERDICTS[verdict], style=_STYLES[verdict]))
    if verdict is Status.NO:
        raise click.exceptions.Exit(conventions.EXIT_ENVIRONMENT)


def render(features: tuple[Feature, ...]) -> Table:
    """Return the table; what is required is marked, and a fix stands below its reason."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("feature", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("what was found, and the fix")
    for feature in features:
        # A missing thing that nobody needs is not to be shouted about.
        style = _STYLES[feature.status] if feature.required or feature.status is not Status.NO else "dim"
        explanation = Text(feature.reason)
        if feature.fix:
            explanation.append(f"\nfix: {feature.fix}", style="cyan")
        name = f"{feature.name}{'*' if feature.required else ''}"
        table.add_row(name, Text(feature.status, style=style), explanation)
    table.add_row("", "", Text("* required", style="dim"))
    return table
