"""`netsre slack check`: whether Slack is set up as netsre needs it."""

import json

import click

from netsre import conventions
from netsre.model import literals


@click.group()
def slack() -> None:
    """Incidents in Slack."""


@slack.command()
@click.option("--config", required=True, metavar="FILE", help="The settings of the controller.")
@click.option("--people", multiple=True, metavar="PATH", help="Who may decide about runs (kind: People).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check(context: click.Context, *, config: str, people: tuple[str, ...], as_json: bool) -> None:
    """Say what is missing; nothing is posted.

    Token, scopes, channel and the way in of clicks are tried. Exits 1 where something is missing.
    """
    from netsre.app import runbooks, slack_check  # noqa: PLC0415  --help needs none of it
    from netsre.app.settings import Options, settings  # noqa: PLC0415

    asked = settings(Options(config=config, people=people))
    found = slack_check.check(asked, runbooks.people(asked.people))
    if as_json:
        told = [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in found]
        click.echo(json.dumps({"checks": told}))
    else:
        for one in found:
            click.echo(literals.printable(f"{'ok' if one.ok else 'no':<3} {one.name:<8} {one.detail}"))
    if not all(one.ok for one in found):
        context.exit(conventions.EXIT_NO)
