"""`netsre incident`: incidents of the running controller, and drafts of their postmortems."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from netsre.errors import BadInput, EnvironmentUnfit

_PATH = "/api/v1/incidents"
_CONTROLLER = click.option(
    "--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600)."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def incident() -> None:
    """List incidents, show one, and draft its postmortem."""


@incident.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, metavar="N", help="At most so many (20).")
@_CONTROLLER
@_JSON
def list_incidents(limit: int, controller: str | None, *, as_json: bool) -> None:
    """List the latest incidents, newest first."""
    document = _ask(controller, _PATH, limit=limit)
    if as_json:
        click.echo(json.dumps(document))
        return
    try:
        lines = [
            f"{one['id']:16} {one['state']:7} {one['severity']:7} {_moment(one['opened_at'])}  {one['title']}"
            f"{' (muted)' if one['muted'] else ''}"
            for one in document["incidents"]
        ]
    except (KeyError, TypeError) as error:
        raise _strange() from error
    for line in lines or ["no incident yet"]:
        _echo(line)


@incident.command()
@click.argument("name", metavar="ID")
@_CONTROLLER
@_JSON
def show(name: str, controller: str | None, *, as_json: bool) -> None:
    """Show what happened in an incident, and what is left to do."""
    document = _ask(controller, _path(name))
    if as_json:
        click.echo(json.dumps(document))
        return
    try:
        lines = [
            f"{document['title']} ({', '.join(_stands(document))})",
            *(
                f"  {_moment(event['at'])} {event['seconds']:>+10.1f} s  {event['kind']:12} {event['text']}"
                for event in document["timeline"]
            ),
            "left to do:" if document["left"] else "nothing is left to do",
            *(f"  {todo['text']}" for todo in document["left"]),
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _strange() from error
    from netsre.app import run_lines  # noqa: PLC0415

    for line in lines:
        for folded in run_lines.wrapped(line, "      "):
            click.echo(folded)


@incident.command()
@click.argument("name", metavar="ID")
@click.option("--format", "form", type=click.Choice(("md", "html", "json")), default="md", help="As what.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="A new file.")
@_CONTROLLER
def postmortem(name: str, form: str, out: Path | None, controller: str | None) -> None:
    """Draft a postmortem from what is on record."""
    from netsre.adapters import controller_client  # noqa: PLC0415  --help needs none of it
    from netsre.app import settings  # noqa: PLC0415

    base = settings.controller_url(controller)
    text = controller_client.text(base, f"{_path(name)}/postmortem", format=form)
    if out is None:
        click.echo(text)
        return
    try:
        # People write into the draft: one that is there is theirs.
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise BadInput(f"{out} is there already, and may have somebody's words; choose another") from error
    except OSError as error:
        raise EnvironmentUnfit(f"{out}: {error.strerror}; choose another file") from error
    click.echo(f"wrote {out}")


def _ask(controller: str | None, path: str, **parameters: int) -> Mapping[str, Any]:
    from netsre.adapters import controller_client  # noqa: PLC0415
    from netsre.app import settings  # noqa: PLC0415

    document = controller_client.ask(settings.controller_url(controller), path, **parameters)
    if not isinstance(document, Mapping):
        raise _strange()
    return document


def _stands(document: Mapping[str, Any]) -> list[str]:
    return [document["state"], document["severity"], *(["muted"] if document["muted"] else [])]


def _strange() -> EnvironmentUnfit:
    return EnvironmentUnfit("the controller answered what is no incident; is it of this version?")


def _path(name: str) -> str:
    from netsre.adapters import controller_client  # noqa: PLC0415  --help needs none of it

    return f"{_PATH}/{controller_client.part(name)}"


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:19]}"


def _echo(line: str) -> None:
    from netsre.model import literals  # noqa: PLC0415

    click.echo(literals.printable(line))
