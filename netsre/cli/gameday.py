"""`netsre gameday`: faults on purpose, what answers them, and nothing of them left behind."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_CONTROLLER = click.option(
    "--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600)."
)
_DATA_DIR = click.option("--data-dir", metavar="DIR", help="Where that controller keeps its token.")


@click.group()
def gameday() -> None:
    """Run game days, follow them, and sweep away what was left behind."""


@gameday.command("list")
@_CONTROLLER
@_JSON
def list_(*, controller: str | None, as_json: bool) -> None:
    """List game days, what each expects, and their latest runs."""
    from netsre.app import gameday_run, settings  # noqa: PLC0415  --help needs none of it

    found = gameday_run.listed(settings.controller_url(controller))
    if as_json:
        click.echo(json.dumps(found))
        return
    for day in found["gamedays"]:
        expect = day["expect"]
        click.echo(f"{day['name']}  {day['fault']} {day['profile']} for {day['duration']}")
        click.echo(f"  expects {expect['alert']}, {expect['runbook']}, {expect['slo']}")
    if not found["gamedays"]:
        click.echo("no game days")
    if not found["lab"]:
        click.echo("no lab: start netsre up --lab, or run one with --lab")
    for run in found["runs"]:
        click.echo(f"{run['requested_at']}  {run['id']}  {run['gameday']}  {run['state']} ({run['reason']})")


@gameday.command()
@click.argument("name")
@click.option("--profile", type=click.Choice(["udp", "tcp"]), help="How the table is filled.")
@click.option("--lab", "own_lab", is_flag=True, help="Bring a lab when none runs, and take it down again.")
@_CONTROLLER
@_DATA_DIR
@_JSON
@click.pass_context
def run(  # noqa: PLR0913
    context: click.Context,
    name: str,
    *,
    profile: str | None,
    own_lab: bool,
    controller: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Run a game day and follow it; exit 1 unless it passed.

    Ctrl-C ends the fault and cleans up first.
    """
    from netsre import conventions  # noqa: PLC0415
    from netsre.app import gameday_run, settings  # noqa: PLC0415
    from netsre.app.local import gameday as local  # noqa: PLC0415
    from netsre.cli.gameday_screen import Screen  # noqa: PLC0415

    screen = Screen(quiet=as_json)
    base, wish = settings.controller_url(controller), gameday_run.Wish(name, profile)
    with gameday_run.interruptible():
        if own_lab and not gameday_run.has_lab(base):
            drill = local.run(wish, screen)
        else:
            drill = gameday_run.run(base, data_dir, wish, screen)
    if as_json:
        click.echo(json.dumps(drill))
    else:
        screen.end(drill)
    if not gameday_run.passed(drill):
        context.exit(conventions.EXIT_NO)


@gameday.command()
@click.argument("run_id", metavar="[ID]", required=False)
@_CONTROLLER
@_DATA_DIR
@_JSON
def abort(*, run_id: str | None, controller: str | None, data_dir: str | None, as_json: bool) -> None:
    """End the run that goes on, or that of an id; it still cleans up."""
    from netsre.app import gameday_run, settings  # noqa: PLC0415
    from netsre.errors import BadInput  # noqa: PLC0415

    base = settings.controller_url(controller)
    name = run_id or gameday_run.active(base)
    if name is None:
        raise BadInput("no run of a game day goes on; see netsre gameday list")
    gameday_run.abort(base, data_dir, name)
    click.echo(json.dumps({"id": name, "aborting": True}) if as_json else f"{name} ends and cleans up")


@gameday.command()
@_CONTROLLER
@_JSON
def schedule(*, controller: str | None, as_json: bool) -> None:
    """Show when game days come by themselves."""
    from netsre.app import gameday_run, settings  # noqa: PLC0415

    found = gameday_run.listed(settings.controller_url(controller))
    planned = [
        {"name": day["name"], **day["schedule"], "next_at": day["next_at"]}
        for day in found["gamedays"]
        if day["schedule"]
    ]
    if as_json:
        click.echo(json.dumps({"schedules": planned}))
        return
    for day in planned:
        click.echo(f"{day['name']}  {day['cron']} {day['timezone']}  next {day['next_at']}")
    if not planned:
        click.echo("none: no game day has a schedule")


@gameday.command()
@click.argument("run_id", metavar="[ID]", required=False)
@_CONTROLLER
@_JSON
def report(*, run_id: str | None, controller: str | None, as_json: bool) -> None:
    """Show what came of the latest run, or of that of an id."""
    from netsre.app import gameday_run, settings  # noqa: PLC0415
    from netsre.cli.gameday_screen import Screen  # noqa: PLC0415
    from netsre.errors import BadInput  # noqa: PLC0415

    base = settings.controller_url(controller)
    name = run_id or gameday_run.latest(base)
    if name is None:
        raise BadInput("no game day was ever run; see netsre gameday run --help")
    drill = gameday_run.find(base, name)
    if as_json:
        click.echo(json.dumps(drill))
        return
    _show(drill, Screen(quiet=False))


def _show(drill: Mapping[str, Any], screen: Any) -> None:  # noqa: ANN401  imported late
    from netsre.app import gameday_run  # noqa: PLC0415
    from netsre.model import literals  # noqa: PLC0415

    by = literals.printable(drill["by"])
    click.echo(f"{drill['gameday']} {drill['id']}, asked for by {by} at {drill['requested_at']}")
    for stage in gameday_run.STAGES:
        if drill.get(f"{stage}_at"):
            screen.stage(stage, drill)
    screen.end(drill)


@gameday.command("sweep")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Also clear temporary files of ours in this directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sweep(*, data_dir: Path | None, as_json: bool) -> None:
    """Remove what a killed netsre left behind, and only that.

    Never what a living process owns, nor anything of anybody else's; policies, a prefilter and a balancer are
    in force on purpose, and only named.
    """
    from netsre.app import privileges  # noqa: PLC0415  --help needs none of it
    from netsre.app.local import sweep as app  # noqa: PLC0415
    from netsre.app.standing import in_force  # noqa: PLC0415

    privileges.require_root("netsre gameday sweep", "to see and remove namespaces and processes")
    removed = app.sweep(data_dir)
    if as_json:
        document = {
            "removed": [dataclasses.asdict(thing) for thing in removed],
            "inForce": [one.name for one in in_force()],
        }
        click.echo(json.dumps(document, indent=2))
        return
    for thing in removed:
        click.echo(f"removed {thing.kind} {thing.name} ({thing.detail})")
    if not removed:
        click.echo("nothing left behind")
    for one in in_force():
        click.echo(f"in force on purpose, and left so: {one.name}; {one.detach} takes it away")
