"""`netsre event`: says that something happened, such as a deploy, and lists what was said."""

import json
from collections.abc import Mapping
from typing import Any, Final

import click

from netsre.errors import EnvironmentUnfit
from netsre.model import literals

_PATH: Final = "/api/v1/events"
_CONTROLLER = click.option(
    "--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600)."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def event() -> None:
    """Say that something happened, and list what was said."""


@event.command()
@click.option("--kind", required=True, metavar="WORD", help="Such as deploy, config or traffic.")
@click.option("--text", required=True, metavar="TEXT", help="What happened, on one line.")
@click.option("--at", metavar="TIME", help="When, as 2026-01-02T03:04:05Z (default: now).")
@click.option("--node", default="", metavar="NODE", help="The node it is about (default: all).")
@click.option("--id", "key", metavar="ID", help="The same id again is the same event.")
@click.option("--data-dir", metavar="DIR", help="Where the token is (default: where the controller says).")
@_CONTROLLER
@_JSON
def add(  # noqa: PLR0913 - options of a command
    *,
    kind: str,
    text: str,
    at: str | None,
    node: str,
    key: str | None,
    data_dir: str | None,
    controller: str | None,
    as_json: bool,
) -> None:
    """Say that something happened, such as a deploy."""
    from netsre.app import request  # noqa: PLC0415  --help needs none of it

    wish = {"kind": kind, "text": text, "node": node, "at": at, "id": key}
    found = request.send(controller, data_dir, _PATH, wish)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(_line(found))


@event.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, metavar="N", help="At most so many (50).")
@_CONTROLLER
@_JSON
def list_events(limit: int, controller: str | None, *, as_json: bool) -> None:
    """List what was said, newest first."""
    from netsre.adapters import controller_client  # noqa: PLC0415
    from netsre.app import settings  # noqa: PLC0415

    document = controller_client.ask(settings.controller_url(controller), _PATH, limit=limit)
    if as_json:
        click.echo(json.dumps(document))
        return
    found = document.get("events") if isinstance(document, Mapping) else None
    if not isinstance(found, list):
        raise _strange()
    for line in map(_line, found):
        click.echo(line)


def _line(found: Any) -> str:  # noqa: ANN401 - JSON
    try:
        about = f" on {found['node']}" if found["node"] else ""
        at = f"{found['at'][:10]} {found['at'][11:19]}"
        line = f"{at}  {found['kind']:10} {found['text']}{about} ({found['person']})"
    except (KeyError, TypeError) as error:
        raise _strange() from error
    return literals.printable(line)


def _strange() -> EnvironmentUnfit:
    return EnvironmentUnfit("the controller answered what is no event; is it of this version?")
