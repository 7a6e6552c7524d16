"""`netsre gameday`: faults on purpose, and nothing of them left behind."""

import dataclasses
import json
from pathlib import Path

import click


@click.group()
def gameday() -> None:
    """Game days; sweep away what was left behind."""


@gameday.command("sweep")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Also clear temporary files of ours in this directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sweep(*, data_dir: Path | None, as_json: bool) -> None:
    """Remove everything of ours whose owner is gone; never what a living process owns, nor anybody else's."""
    from netsre.app import privileges  # noqa: PLC0415  --help needs none of it
    from netsre.app.local import sweep as app  # noqa: PLC0415

    privileges.require_root("netsre gameday sweep", "to see and remove namespaces and processes")
    removed = app.sweep(data_dir)
    if as_json:
        click.echo(json.dumps({"removed": [dataclasses.asdict(thing) for thing in removed]}, indent=2))
        return
    for thing in removed:
        click.echo(f"removed {thing.kind} {thing.name} ({thing.detail})")
    if not removed:
        click.echo("nothing left behind")
