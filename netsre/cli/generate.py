"""`netsre generate`: write artefacts for other programs from what netsre knows."""

import json
from collections.abc import Mapping
from pathlib import Path

import click

from netsre import conventions
from netsre.cli import options


@click.group()
def generate() -> None:
    """Write artefacts for other programs: boards for Grafana, schemas for editors, routes for alerts."""


@generate.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write.  [with --check, default: the boards shipped with netsre]",
)
@options.SLOS
@click.option(
    "--console-url",
    default=f"http://127.0.0.1:{conventions.CONTROLLER_PORT}",
    show_default=True,
    metavar="URL",
    help="Where the boards' links to the console and the runbooks lead.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a board is stale or missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def dashboards(
    ctx: click.Context,
    out: Path | None,
    slos: tuple[Path, ...],
    console_url: str,
    *,
    check: bool,
    as_json: bool,
) -> None:
    """Write the Grafana boards.

    Other files in DIR stay as they are.
    """
    from netsre.app import generate as app  # noqa: PLC0415  # only when the command runs

    if out is None and not check:
        raise click.UsageError("--out is missing; say where to write, such as --out dashboards/generated")
    if not console_url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{console_url!r} is no address; write https://netsre.example:8600")
    target = out if out is not None else app.shipped_dashboards()
    files = app.dashboards(slos, console_url)
    answer(ctx, files, target, "netsre generate dashboards", check=check, as_json=as_json)


@generate.command()
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where to write, or to look."
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a schema is stale or missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def schemas(ctx: click.Context, out: Path, *, check: bool, as_json: bool) -> None:
    """Write the JSON Schemas of files, for editors.

    One for each kind (SLO, BurnPolicy, Alert, Runbook, GameDay, Controller, …), and netsre.json for a file of
    any of them. Other files in DIR stay as they are.
    """
    from netsre.app.schemas import published  # noqa: PLC0415  # only when the command runs

    answer(ctx, published.files(), out, "netsre generate schemas", check=check, as_json=as_json)


def answer(
    ctx: click.Context, files: Mapping[str, bytes], target: Path, command: str, *, check: bool, as_json: bool
) -> None:
    """Write the files or only look, and say what was found."""
    from netsre.app import generate as app  # noqa: PLC0415  # only when the command runs

    report = app.compare(files, target) if check else app.write(files, target)
    if as_json:
        document = {
            "out": str(target),
            "written": [] if check else list(report.outdated),
            "current": list(report.current),
            "stale": list(report.stale) if check else [],
            "missing": list(report.missing) if check else [],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        again = f"{command} --out {target}"
        for name in report.outdated:
            state = "stale" if name in report.stale else "missing"
            click.echo(f"{target / name}: {state}; run {again}" if check else f"{target / name}: written")
        for name in report.current:
            click.echo(f"{target / name}: current")
    ctx.exit(conventions.EXIT_NO if check and report.outdated else conventions.EXIT_OK)
