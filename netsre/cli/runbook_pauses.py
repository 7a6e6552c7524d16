"""`netsre runbook pause`, `resume`, `pauses`, `close` and `release`: what automation is kept from."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from netsre.cli.options import parsed
from netsre.cli.runbook import runbook
from netsre.model import literals

_CONTROLLER = click.option(
    "--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600)."
)
_DATA_DIR = click.option(
    "--data-dir", metavar="DIR", help="Where the token is (default: where the controller says)."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_NAME = click.argument("name", required=False)
_ALL = click.option("--all", "everything", is_flag=True, help="All runbooks on all targets.")
_TARGET = click.option("--target", metavar="TARGET", help="A target, such as conntrack/NODE.")
_REASON = click.option("--reason", required=True, metavar="TEXT", help="Why; it is shown and kept on record.")
_PATH: Final = "/api/v1/pauses"


def _checked(text: str) -> str:
    literals.parse_duration(text)
    return text


@runbook.command()
@_NAME
@_ALL
@_TARGET
@click.option(
    "--for",
    "length",
    required=True,
    metavar="TIME",
    callback=parsed(_checked),
    help="At most 7d; such as 2h.",
)
@_REASON
@_CONTROLLER
@_DATA_DIR
@_JSON
def pause(  # noqa: PLR0913 - options of a command
    name: str | None,
    *,
    everything: bool,
    target: str | None,
    length: str,
    reason: str,
    controller: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Keep a runbook, a target or all from acting for a while.

    A run that is at work takes back what it changed. It ends by itself.
    """
    about = _about(name, target, everything=everything)
    found = _send(controller, data_dir, _PATH, {**about, "for": length, "reason": reason})
    _tell(found, [_pause_text(found)], as_json=as_json)


@runbook.command()
@_NAME
@_ALL
@_TARGET
@_CONTROLLER
@_DATA_DIR
@_JSON
@click.pass_context
def resume(  # noqa: PLR0913 - options of a command
    context: click.Context,
    name: str | None,
    *,
    everything: bool,
    target: str | None,
    controller: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """End a pause; exit 1 when nothing of it was paused."""
    from netsre import conventions  # noqa: PLC0415  --help needs none of it

    about = _about(name, target, everything=everything)
    found = _send(controller, data_dir, f"{_PATH}/resume", about)
    ended = found["resumed"]
    lines = [f"resumed: {_pause_text(one)}" for one in ended] or ["nothing of it was paused"]
    _tell(found, lines, as_json=as_json)
    if not ended:
        context.exit(conventions.EXIT_NO)


@runbook.command()
@_CONTROLLER
@_JSON
def pauses(controller: str | None, *, as_json: bool) -> None:
    """Show what keeps runbooks from acting now.

    The kill switch, a storm, the limits of all together, pauses, open
    circuits, values in quarantine, maintenance. What depends on the alert
    or the target, such as a cooldown, is what runbook plan shows.
    """
    from netsre.adapters import controller_client  # noqa: PLC0415
    from netsre.app import settings  # noqa: PLC0415

    found = controller_client.ask(settings.controller_url(controller), _PATH)
    _tell(found, list(_held(_mapping(found))) or ["nothing keeps automation from acting"], as_json=as_json)


@runbook.command()
@click.argument("name")
@_REASON
@_CONTROLLER
@_DATA_DIR
@_JSON
def close(name: str, reason: str, controller: str | None, data_dir: str | None, *, as_json: bool) -> None:
    """Let a runbook act again that did not help several times."""
    from netsre.adapters import controller_client  # noqa: PLC0415

    path = f"/api/v1/runbooks/{controller_client.part(name)}/close"
    found = _send(controller, data_dir, path, {"reason": reason})
    _tell(found, [f"circuit of {name} is closed: it may act again"], as_json=as_json)


@runbook.command()
@click.argument("key")
@_REASON
@_CONTROLLER
@_DATA_DIR
@_JSON
def release(key: str, reason: str, controller: str | None, data_dir: str | None, *, as_json: bool) -> None:
    """Take a value out of quarantine, such as conntrack.limit=524288."""
    found = _send(controller, data_dir, "/api/v1/quarantine/release", {"key": key, "reason": reason})
    _tell(found, [f"{key} may be chosen again"], as_json=as_json)


def _about(name: str | None, target: str | None, *, everything: bool) -> dict[str, Any]:
    chosen = {"runbook": name, "target": target, "all": True if everything else None}
    found = {key: value for key, value in chosen.items() if value is not None}
    if len(found) != 1:
        raise click.UsageError("name one of a runbook, --target and --all")
    return found


def _send(
    controller: str | None, data_dir: str | None, path: str, document: Mapping[str, Any]
) -> Mapping[str, Any]:
    from netsre.app import kill_switch, request  # noqa: PLC0415

    asked = {**document, "by": kill_switch.caller()}
    return _mapping(request.send(controller, data_dir, path, asked))


def _mapping(found: object) -> Mapping[str, Any]:
    from netsre.errors import SourceUnreachable  # noqa: PLC0415

    if not isinstance(found, Mapping):
        raise SourceUnreachable("the controller's answer is not readable: is it of this version?")
    return found


def _tell(found: object, lines: list[str], *, as_json: bool) -> None:
    for line in [json.dumps(found)] if as_json else map(literals.printable, lines):
        click.echo(line)


def _held(found: Mapping[str, Any]) -> Iterator[str]:
    for one in found.get("stops", ()):
        yield f"all runbooks stopped ({one['gate']}): {one['detail']}"
    yield from map(_pause_text, found["pauses"])
    for one in found["circuits"]:
        by_hand = f"netsre runbook close {one['runbook']} --reason TEXT closes it"
        again = f"one run may try at {one['retry_at']}" if one["retry_at"] else by_hand
        yield f"circuit of {one['runbook']} open after {one['failures']} runs without success; {again}"
    for one in found["quarantined"]:
        yield f"value {one['key']} was given up in run {one['run']}, in quarantine until {one['until']}"
    for one in found["maintenance"]:
        yield f"maintenance {one['name']} until {one['until']}: {one['reason']}"


def _pause_text(one: Mapping[str, Any]) -> str:
    what = " ".join(filter(None, (one["scope"], one["name"])))
    return f"{what} paused by {one['owner']} until {one['until']}: {one['reason']}"
