"""`netsre deploy announce`: no tickets of services while they are deployed; pages come all the same."""

import json
from typing import Any

import click

from netsre.cli.options import parsed
from netsre.model import literals


def _checked(text: str) -> str:
    literals.parse_duration(text)
    return text


@click.group()
def deploy() -> None:
    """Say that something is deployed, so that nobody is bothered with what follows from it."""


@deploy.command()
@click.option(
    "--service",
    "services",
    required=True,
    multiple=True,
    metavar="NAME",
    callback=lambda context, parameter, texts: [
        parsed(literals.parse_name)(context, parameter, text) for text in texts
    ],
    help="Whose tickets are muted; may be repeated.",
)
@click.option(
    "--for",
    "length",
    required=True,
    metavar="TIME",
    callback=parsed(_checked),
    help="At most 4h; such as 20m.",
)
@click.option("--comment", required=True, metavar="TEXT", help="What; it is shown and kept on record.")
@click.option("--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600).")
@click.option("--data-dir", metavar="DIR", help="Where the token is (default: where the controller says).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def announce(
    *,
    services: list[str],
    length: str,
    comment: str,
    controller: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Mute the tickets of services for a while; never a page."""
    from netsre.app import kill_switch, request  # noqa: PLC0415  --help needs none of it

    asked: dict[str, Any] = {"services": services, "for": length, "comment": comment}
    found: Any = request.send(controller, data_dir, "/api/v1/deploys", {**asked, "by": kill_switch.caller()})
    if as_json:
        click.echo(json.dumps(found))
        return
    named = ", ".join(found["services"])
    click.echo(literals.printable(f"no tickets of {named} until {found['until']}; pages come all the same"))
    for one in found["peers"]:
        said = f" ({one['reason']})" if one["reason"] else ""
        click.echo(literals.printable(f"  {one['peer']}: {one['result']}{said}"))
    for warning in found.get("warnings", ()):
        click.echo(literals.printable(f"warning: {warning}"), err=True)
