"""How a canary of policies is told."""

import json
from typing import TYPE_CHECKING

import click

from netsre.cli.times import time_left
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.app.policing.trials import Trial


def tell_trial(found: "Trial", *, as_json: bool) -> None:
    """Print a canary that has begun, with what to do next."""
    if as_json:
        click.echo(json.dumps({**trial_document(found), "missing": list(found.missing)}, indent=2))
        return
    click.echo(literals.printable(shown_trial(found)))
    if found.missing:
        click.echo(f"not there: {_missing(found)}")
    click.echo("for all: netsre policy promote; to end it now: netsre policy rollback")


def _missing(found: "Trial") -> str:
    """Return the interfaces of a canary that are not there, with what to do."""
    names = literals.printable(", ".join(found.missing))
    return f"{names}; end the canary and begin it again when they are"


def trial_document(found: "Trial") -> dict[str, object]:
    """Return a canary as JSON can carry it."""
    from netsre.clock import boottime  # noqa: PLC0415  --help needs none of it

    return {
        "revision": found.number,
        "before": found.before,
        "secondsLeft": max(0.0, (found.until_ns - boottime()) / 1e9),
        "endpoints": list(found.endpoints),
        "rules": list(found.rules),
    }


def shown_trial(found: "Trial") -> str:
    """Return a canary in one line."""
    from netsre.clock import boottime  # noqa: PLC0415

    rules = "1 rule" if len(found.rules) == 1 else f"{len(found.rules)} rules"
    return (
        f"canary: revision {found.number} with {rules} for {', '.join(found.endpoints)}, for "
        f"{time_left(found.until_ns, boottime())}; then revision {found.before}"
    )
