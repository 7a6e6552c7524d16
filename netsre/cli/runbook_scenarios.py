"""`netsre runbook test`: scenarios are played offline, in virtual time."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsre.cli import options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from netsre.app.rehearsing.judging import Difference
    from netsre.app.rehearsing.play import Played


@click.command()
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--runbooks",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Runbooks to test (default: the shipped ones).",
)
@options.SLOS
@click.option(
    "--crashes",
    is_flag=True,
    help="Play each again, killed before and after every line of its journal and every effect.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell what happened in those that pass, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def test(  # noqa: PLR0913 - options of a command
    context: click.Context,
    scenarios: tuple[Path, ...],
    *,
    runbooks: tuple[Path, ...],
    slos: tuple[Path, ...],
    crashes: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Play scenarios of runbooks; exit 1 when one fails.

    SCENARIO is a file or a directory of files (kind: Scenario); without any,
    those shipped are played. Offline and in virtual time, by the engine that
    the controller has: alerts, gates, plans, approvals, effects, verification,
    undoing and crashes. Nothing outside of this process is read or changed.
    """
    from netsre import conventions  # noqa: PLC0415  # only when the command runs
    from netsre.app.rehearsing import running  # noqa: PLC0415

    ready = running.prepare(scenarios, runbooks, slos)
    played: list[Played] = []
    for one in running.play(ready, crashes=crashes):
        played.append(one)
        if not as_json:
            _show(one, verbose=verbose)
    failed = sum(not one.passed for one in played)
    if as_json:
        click.echo(json.dumps(running.document(played), indent=2))
    else:
        count = f"{len(played)} scenario{'' if len(played) == 1 else 's'}"
        deaths = sum(one.deaths for one in played)
        count += f", controllers killed {deaths} times" if crashes else ""
        click.echo(f"{count}: {len(played) - failed} passed, {failed} failed")
    if failed:
        context.exit(conventions.EXIT_NO)


def _show(one: "Played", *, verbose: bool) -> None:
    from rich.console import Console  # noqa: PLC0415  # --help needs none of it
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    word = Text("PASS", "bold green") if one.passed else Text("FAIL", "bold red")
    console.print(word.append(f"  {one.name}", "default not bold"), soft_wrap=True)
    for found in one.differences:
        _difference(console, found)
    if verbose or not one.passed:
        _story(console, one)


def _difference(console: "Console", found: "Difference") -> None:
    from rich.text import Text  # noqa: PLC0415

    where = f"{found.origin.file}:{found.origin.line}"
    if found.expected is None:
        console.print(Text(f"  {where}: {found.seen}"), soft_wrap=True)
        return
    console.print(Text(f"  {where}: {found.what}"), soft_wrap=True)
    console.print(_rows([("expected", found.expected), ("seen", found.seen)]))


def _story(console: "Console", one: "Played") -> None:
    from netsre.app.rehearsing.running import since  # noqa: PLC0415

    rows = []
    last: int | None = None
    for told in one.story:
        rows.append(("" if told.at == last else since(told.at), told.who, told.text))
        last = told.at
    console.print(_rows(rows))


def _rows(rows: "Iterable[tuple[str, ...]]") -> "Table":
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1))
    table.add_column(width=2)
    for row in rows:
        table.add_row("", *(Text(cell, overflow="fold") for cell in row))
    return table
