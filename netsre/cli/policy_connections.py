"""`netsre policy connections`: what the policy datapath of this node knows of connections, told and tuned."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Column, Table

from netsre.cli import (
    policing,
    policy_flows,  # noqa: F401 - its commands are of this group
    policy_orders,  # noqa: F401 - and so are these
    policy_programs,  # noqa: F401 - and these
)
from netsre.cli.options import parsed
from netsre.cli.policy import JSON, policy
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.app.policing.connections import Connections
    from netsre.datapath.policy.conntrack import State

_WIDTH: Final = 80
_LEAST, _MOST = 1_024, 4_194_304


def _timeout(text: str) -> "tuple[State, float]":
    from netsre.datapath.policy.conntrack import State  # noqa: PLC0415  --help needs none of it

    word, equals, length = text.partition("=")
    known = {_word(state): state for state in State}
    if word not in known or not equals:
        hint = literals.nearest(word, known)
        raise ValueError(f"{literals.shown(text)} is no timeout{hint}; write one such as tcp-established=2h")
    return known[word], literals.parse_duration(length) / 1000


def _timeouts(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> "dict[State, float]":
    read = parsed(_timeout)
    return dict(read(context, parameter, text) for text in texts)


@policy.command()
@click.option(
    "--limit",
    type=click.IntRange(_LEAST, _MOST),
    metavar="N",
    help="Have room for so many; those that there are stay.",
)
@click.option(
    "--timeout",
    "timeouts",
    multiple=True,
    metavar="STATE=TIME",
    callback=_timeouts,
    help="A connection in this state ends after so long without a packet; may be repeated.",
)
@policing.PINS
@policing.STATE
@JSON
def connections(
    *,
    limit: int | None,
    timeouts: "dict[State, float]",
    pins: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Show the connections that are known, and tune them.

    Holds at once, also for those that there are; none is forgotten.
    """
    from netsre.app.policing import connections as app  # noqa: PLC0415  --help needs none of it

    places = policing.places(pins, state)
    changes = limit is not None or bool(timeouts)
    found = app.tune(places, limit, timeouts) if changes else app.read(places)
    if as_json:
        click.echo(json.dumps(_document(found), indent=2))
    else:
        _show(found)


def _word(state: "State") -> str:
    return state.name.lower().replace("_", "-")


def _document(found: "Connections") -> dict[str, object]:
    return {
        "entries": found.entries,
        "limit": found.capacity,
        "over": found.over,
        "states": {
            _word(state): {"entries": found.states.get(state, 0), "timeoutSeconds": seconds}
            for state, seconds in found.timeouts.items()
        },
    }


def _show(found: "Connections") -> None:
    from netsre.clock import duration_text  # noqa: PLC0415

    share = found.entries / found.capacity
    click.echo(f"{found.entries} of {found.capacity} connections ({share:.0%}); {found.over} have ended")
    table = Table("state", Column("entries", justify="right"), "timeout", box=None, pad_edge=False)
    for state, seconds in found.timeouts.items():
        table.add_row(_word(state), str(found.states.get(state, 0)), duration_text(int(seconds * 1000)))
    Console(width=None if Console().is_terminal else _WIDTH, highlight=False).print(table)
