"""`netsre runbook`: the runbooks, and what they did."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO
from urllib.parse import urlencode

import click

from netsre.cli import runbook_scenarios, runbook_words

_RUNBOOKS = click.option(
    "--runbooks", multiple=True, metavar="PATH", help="Runbook files (default: the shipped ones)."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def runbook() -> None:
    """List, check and follow runbooks, and decide about their runs."""


runbook_words.add(runbook)
runbook.add_command(runbook_scenarios.test)


@runbook.command(name="list")
@_RUNBOOKS
@_JSON
def list_(runbooks: tuple[str, ...], *, as_json: bool) -> None:
    """List the runbooks with what starts each."""
    from netsre.app import runbooks as app  # noqa: PLC0415

    found = [app.describe(book) for book in app.read(runbooks)]
    if as_json:
        click.echo(json.dumps({"runbooks": found}))
        return
    for book in found:
        click.echo(f"{book['name']}  on {', '.join(book['on'])}  mode {book['mode']}")


@runbook.command()
@click.argument("name")
@_RUNBOOKS
@_JSON
def show(name: str, runbooks: tuple[str, ...], *, as_json: bool) -> None:
    """Show what a runbook does, its bounds, and its page."""
    from netsre.app import runbooks as app  # noqa: PLC0415

    book = app.find(name, runbooks)
    if as_json:
        click.echo(json.dumps(app.describe(book)))
        return
    lines = (("name", book.name), *app.lines(book), ("file", f"{book.origin.file}:{book.origin.line}"))
    _show(lines, app.page(name))


def _show(lines: Iterable[tuple[str, str]], page: str | None) -> None:
    from rich.console import Console  # noqa: PLC0415  --help needs none of it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False)
    for key, text in lines:
        table.add_row(key, Text(text, overflow="fold"))
    Console().print(table)
    if page is not None:
        click.echo(f"\n{page}", nl=False)


@runbook.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--people",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Also check whom they ask, by these files (kind: People).",
)
@_JSON
@click.pass_context
def lint(context: click.Context, paths: tuple[Path, ...], *, people: tuple[Path, ...], as_json: bool) -> None:
    """Check runbook files; exit 1 with every finding, at file and line.

    Scenarios, game days and maintenance calendars that lie among them are
    checked as well.
    """
    from netsre import conventions  # noqa: PLC0415
    from netsre.app import gamedays, maintenance, scenarios  # noqa: PLC0415
    from netsre.app import runbooks as app  # noqa: PLC0415

    count, found = app.lint(paths, people)
    days, beside = gamedays.lint(paths)
    calendars, others = maintenance.lint(paths)
    tests, about_them = scenarios.lint(paths)
    # All read every file: what is wrong with the file itself is found several times.
    findings = sorted({*found, *beside, *others, *about_them})
    if as_json:
        rows = [{"file": f.file, "line": f.line, "code": f.code, "message": f.message} for f in findings]
        counts = {"runbooks": count, "scenarios": tests, "gamedays": days, "calendars": calendars}
        click.echo(json.dumps({**counts, "findings": rows}))
    else:
        for finding in findings:
            click.echo(str(finding))
        if not findings:
            beside_them = ((tests, "scenario"), (days, "game day"), (calendars, "maintenance calendar"))
            also = "".join(f", {_count(number, what)}" for number, what in beside_them if number)
            click.echo(f"{_count(count, 'runbook')}{also}: nothing wrong")
    if findings:
        context.exit(conventions.EXIT_NO)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@runbook.command()
@click.argument("name")
@click.option(
    "--alert",
    required=True,
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="The alert as JSON; - is stdin.",
)
@click.option("--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600).")
@click.option("--data-dir", metavar="DIR", help="Where the token is (default: where the controller says).")
@click.option("--exit-code", is_flag=True, help="Exit 1 unless the runbook would act.")
@runbook_words.SET
@_JSON
def plan(  # noqa: PLR0913 - options of a command
    name: str,
    *,
    alert: TextIO,
    chosen: tuple[str, ...],
    controller: str | None,
    data_dir: str | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Show what a runbook would do about an alert; changes nothing.

    Every gate with its answer, the evidence, and the exact effects, from the
    running controller. FILE has one alert as Alertmanager's API has it, or a
    webhook body with just one.
    """
    from netsre import conventions  # noqa: PLC0415
    from netsre.adapters import controller_client  # noqa: PLC0415
    from netsre.app import given_alert, request  # noqa: PLC0415
    from netsre.clock import SystemClock  # noqa: PLC0415
    from netsre.errors import BadInput  # noqa: PLC0415

    wanted = runbook_words.pairs(chosen)
    try:
        text = alert.read()
    except UnicodeDecodeError as error:
        raise BadInput(f"alert {alert.name}: it is no UTF-8 text") from error
    given = given_alert.read(text, SystemClock().now())
    path = f"/api/v1/runbooks/{controller_client.part(name)}/plan"
    query = urlencode([("set", f"{key}={value}") for key, value in wanted.items()])
    document = request.send(controller, data_dir, f"{path}?{query}" if query else path, given)
    if as_json:
        click.echo(json.dumps(document))
    else:
        from netsre.cli import runbook_plan  # noqa: PLC0415

        runbook_plan.show(document)
    if exit_code and not (isinstance(document, dict) and document.get("accepted") is True):
        raise click.exceptions.Exit(conventions.EXIT_NO)


@runbook.command()
@click.argument("name", required=False, metavar="[NAME|RUN-ID]")
@click.option("--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600).")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 1000))
@click.option("--waiting", is_flag=True, help="Only those that wait for the word of people.")
@_JSON
def history(name: str | None, controller: str | None, limit: int, *, waiting: bool, as_json: bool) -> None:
    """Show the latest runs with their journals, newest first.

    Of all runbooks, of one by its name, or one run by its id.
    """
    from netsre.adapters import controller_client  # noqa: PLC0415
    from netsre.app import run_lines, settings  # noqa: PLC0415

    url, wanted = settings.controller_url(controller), {"waiting": "true"} if waiting else {}
    # An id first: whose name nobody knows is told, with the nearest.
    for key in ("run", "runbook") if name else ("",):
        chosen = {key: name} if name else {}
        document = controller_client.ask(url, "/api/v1/runs", limit=limit, **wanted, **chosen)
        lines = run_lines.read_runs(document)
        if lines:
            break
    if as_json:
        click.echo(json.dumps(document))
        return
    for line in lines or ("no run waits" if waiting else "no runs yet",):
        click.echo(line)
