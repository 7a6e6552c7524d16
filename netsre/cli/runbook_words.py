"""`netsre runbook approve|deny|cancel|run`: what people say about runs, and a run by hand."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import click

_CONTROLLER = click.option(
    "--controller", metavar="URL", help="The controller (default: http://127.0.0.1:8600)."
)
_DATA_DIR = click.option(
    "--data-dir", metavar="DIR", help="Where the token is (default: where the controller says)."
)
_PLAN = click.option(
    "--plan", default="", metavar="HASH", help="Only if it asks about this plan (12 digits are enough)."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def pairs(given: Sequence[str]) -> dict[str, str]:
    """Return what `--set` says; raises `UsageError`."""
    from netsre.errors import BadInput  # noqa: PLC0415
    from netsre.runbook import parameters  # noqa: PLC0415

    try:
        found = parameters.pairs(given)
    except BadInput as error:
        raise click.UsageError(f"--{error}") from error
    for text in given:
        # What was typed that is no UTF-8 stands there as what cannot be sent.
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise click.UsageError(f"--set {text!r}: it is no UTF-8 text")
    return found


SET = click.option(
    "--set",
    "chosen",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value for a parameter of the runbook.",
)
_DONE = {"approve": "approved", "deny": "denied", "cancel": "cancelled"}


def add(group: click.Group) -> None:
    """Give a group these commands."""
    for command in (approve, deny, cancel, run):
        group.add_command(command)


@click.command()
@click.argument("run_id", metavar="RUN")
@_PLAN
@_CONTROLLER
@_DATA_DIR
@_JSON
def approve(run_id: str, *, plan: str, **said: Any) -> None:
    """Say yes to the plan of a run that waits for it.

    Who you are is told by the token: the controller's own is the operator's,
    NETSRE_API_TOKEN names another.
    """
    _say("approve", run_id, {"plan": plan}, **said)


@click.command()
@click.argument("run_id", metavar="RUN")
@_PLAN
@_CONTROLLER
@_DATA_DIR
@_JSON
def deny(run_id: str, *, plan: str, **said: Any) -> None:
    """Say no to the plan of a run that waits; it ends."""
    _say("deny", run_id, {"plan": plan}, **said)


@click.command()
@click.argument("run_id", metavar="RUN")
@_CONTROLLER
@_DATA_DIR
@_JSON
def cancel(run_id: str, **said: Any) -> None:
    """End a run before its next change, and take back what it changed."""
    _say("cancel", run_id, {}, **said)


@click.command()
@click.argument("name")
@click.option("--node", metavar="NAME", help="For an alert about this node.")
@click.option(
    "--alert", type=click.File(encoding="utf-8"), metavar="FILE", help="For this alert, as JSON; - is stdin."
)
@SET
@_CONTROLLER
@_DATA_DIR
@_JSON
def run(name: str, *, node: str | None, alert: TextIO | None, chosen: tuple[str, ...], **said: Any) -> None:
    """Begin a run by hand, through all gates.

    It is for an alert that fires; without --node and --alert for the only one
    that starts this runbook. What it may do without a word of others stays as it is
    written; your own approval does not count.
    """
    from netsre.app import given_alert  # noqa: PLC0415
    from netsre.clock import SystemClock  # noqa: PLC0415
    from netsre.errors import BadInput  # noqa: PLC0415

    wish: dict[str, Any] = {} if node is None else {"node": node}
    if chosen:
        wish["set"] = pairs(chosen)
    if alert is not None:
        try:
            text = alert.read()
        except UnicodeDecodeError as error:
            raise BadInput(f"alert {alert.name}: it is no UTF-8 text") from error
        wish["alert"] = given_alert.read(text, SystemClock().now())
    path = f"/api/v1/runbooks/{_part(name)}/run"
    _ask(path, wish, lambda told: f"run {told['run']} of {name} begun: {told['state']}", **said)


def _say(verb: str, run_id: str, word: Mapping[str, str], **said: Any) -> None:
    def line(told: Mapping[str, Any]) -> str:
        again = " before" if told["answer"] == "repeated" else ""
        return f"{_DONE[verb]}{again} by {told['person']}: run {told['run']}, {told['detail']}"

    given = {key: text for key, text in word.items() if text}
    _ask(f"/api/v1/runs/{_part(run_id)}/{verb}", given, line, **said)


def _ask(
    path: str,
    document: Mapping[str, Any],
    line: Callable[[Mapping[str, Any]], str],
    *,
    controller: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Have the controller do something, and say what became of it; what it refuses is exit 1."""
    from netsre import conventions  # noqa: PLC0415  --help needs none of it
    from netsre.adapters.controller_client import Refused  # noqa: PLC0415
    from netsre.app import request  # noqa: PLC0415
    from netsre.errors import SourceUnreachable  # noqa: PLC0415
    from netsre.model import literals  # noqa: PLC0415

    try:
        told = request.send(controller, data_dir, path, document)
    except Refused as error:
        if not as_json:
            raise
        click.echo(json.dumps(error.document))
        raise click.exceptions.Exit(conventions.EXIT_NO) from error
    if as_json:
        click.echo(json.dumps(told))
        return
    try:
        found = told if isinstance(told, dict) else {}
        said, follow = line(found), found["run"]
    except KeyError as error:
        raise SourceUnreachable("the controller's answer is not readable: is it of this version?") from error
    click.echo(literals.printable(said))
    click.echo(literals.printable(f"Follow it with: netsre runbook history {follow}"))


def _part(name: str) -> str:
    from netsre.adapters import controller_client  # noqa: PLC0415

    return controller_client.part(name)
