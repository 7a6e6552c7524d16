"""`netsre kill-switch`: stop all automation at once, and let it act again."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from netsre.app.kill_switch import Switch

_DATA_DIR = click.option("--data-dir", metavar="DIR", help="Where the controller keeps its state.")
_CONTROLLER = click.option(
    "--controller", metavar="URL", help="Ask this controller where that is (default: http://127.0.0.1:8600)."
)
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why; it is shown and kept on record.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

_ON = (
    "No run begins, changes anything or takes anything back from now on. A run that has changed\n"
    "something ends as needs_human; what it changed ends by itself, at its own deadline."
)
_OFF = "Automation may act again, for alerts that begin from now on. Runs that the switch ended stay ended."


@click.group("kill-switch")
def kill_switch() -> None:
    """Stop all automation at once; works without a running controller."""


@kill_switch.command()
@_REASON
@_DATA_DIR
@_CONTROLLER
@_JSON
def on(reason: str, data_dir: str | None, controller: str | None, *, as_json: bool) -> None:
    """Stop all automation."""
    _set(data_dir, controller, reason, on=True, as_json=as_json)


@kill_switch.command()
@_REASON
@_DATA_DIR
@_CONTROLLER
@_JSON
def off(reason: str, data_dir: str | None, controller: str | None, *, as_json: bool) -> None:
    """Let automation act again."""
    _set(data_dir, controller, reason, on=False, as_json=as_json)


@kill_switch.command()
@_DATA_DIR
@_CONTROLLER
@_JSON
def status(data_dir: str | None, controller: str | None, *, as_json: bool) -> None:
    """Say whether automation is stopped, since when, by whom and why."""
    from netsre.app import kill_switch as app  # noqa: PLC0415  --help needs none of it
    from netsre.app import request  # noqa: PLC0415

    where, doubt = request.data_dir(data_dir, controller)
    _show(where, app.read(where), doubt, as_json=as_json)


def _set(data_dir: str | None, controller: str | None, reason: str, *, on: bool, as_json: bool) -> None:
    from netsre.app import kill_switch as app  # noqa: PLC0415
    from netsre.app import request  # noqa: PLC0415
    from netsre.clock import SystemClock  # noqa: PLC0415

    where, doubt = request.data_dir(data_dir, controller)
    switch = app.switched(on=on, by=app.caller(), reason=reason, at=app.said_now(where, SystemClock().now()))
    app.write(where, switch)
    _show(where, switch, doubt, as_json=as_json)
    if not as_json:
        click.echo(_ON if on else _OFF)


def _show(where: "Path", switch: "Switch", doubt: str, *, as_json: bool) -> None:
    from netsre.model import literals  # noqa: PLC0415

    if doubt:
        advice = "only one that keeps its state there reads it; --controller or --data-dir names another"
        click.echo(f"note: {doubt}: {advice}", err=True)
    if as_json:
        click.echo(json.dumps({"data_dir": str(where), **switch.document()}))
        return
    told = (
        ("since", switch.at),
        ("by", switch.by),
        ("reason", switch.reason),
        ("problem", switch.problem),
    )
    said = "".join(f"\n  {name}: {literals.printable(text)}" for name, text in told if text)
    click.echo(f"kill switch is {switch.state} ({where}){said}")
