"""`netsre policy apply --canary … --promote-after`: new policies on trial, judged while the command runs."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import click

from netsre.cli.options import parsed
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.app.policing.judging import Judged, Question, Seen
    from netsre.app.policing.node import Places

_EVERY: Final = 30.0
"""Seconds between two lines where nobody looks at a terminal."""

_OPTIONS: Final = MappingProxyType(
    {
        "promote_after": "--promote-after",
        "allow_denies": "--allow-denies",
        "at_least": "--at-least",
        "levels": "--slo",
        "controller": "--controller",
    }
)

CANARY: Final = click.option(
    "--canary",
    metavar="NAME",
    multiple=True,
    help="For this endpoint alone, as namespace/name, for a time; may be repeated.",
)
PROMOTE_AFTER: Final = click.option(
    "--promote-after",
    metavar="TIME",
    callback=parsed(literals.parse_duration),
    help="Watch the canary for so long, then promote it; withdraw it as soon as anything becomes worse.",
)
ALLOW_DENIES: Final = click.option(
    "--allow-denies",
    type=click.IntRange(0),
    metavar="N",
    help="With --promote-after: packets that may be denied though they were allowed before.  [default: 0]",
)
LEAST: Final = click.option(
    "--at-least",
    type=click.IntRange(1),
    metavar="N",
    help="With --promote-after: connections of the canary that must have passed at once.  [default: 1]",
)
SLO: Final = click.option(
    "--slo",
    "levels",
    multiple=True,
    metavar="NAME",
    help="With --promote-after: a service level; repeatable.  [default: those about policies with data]",
)
CONTROLLER: Final = click.option(
    "--controller",
    metavar="URL",
    help="With --promote-after: whose service levels.  [default: http://127.0.0.1:8600, if it answers]",
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a canary that is judged."""
    for option in (CONTROLLER, SLO, LEAST, ALLOW_DENIES, PROMOTE_AFTER):
        command = option(command)
    return command


def question(
    paths: tuple[Path, ...],
    endpoints: Path,
    canary: tuple[str, ...],
    ttl: int | None,
    asked: dict[str, Any],
) -> "Question | None":
    """Return what a canary is to be judged by, and take its options out of what was `asked`.

    None where it is not to be judged. Raises `click.UsageError` for options that do not go together.
    """
    mine = {name: asked.pop(name) for name in _OPTIONS}
    after: int | None = mine["promote_after"]
    _refuse(canary, ttl, mine)
    if after is None:
        return None
    # What asks a controller is a third of a start, and who judges no canary asks none.
    from netsre.app.policing import judging  # noqa: PLC0415
    from netsre.datapath.policy.canary import Asked  # noqa: PLC0415

    return judging.Question(
        paths,
        endpoints,
        canary,
        after / 1000,
        judging.SPARE + after / 1000 if ttl is None else ttl / 1000,
        Asked(mine["allow_denies"] or 0, mine["at_least"] or 1),
        mine["controller"],
        mine["levels"],
    )


def _refuse(canary: tuple[str, ...], ttl: int | None, mine: Mapping[str, Any]) -> None:
    from netsre.clock import duration_text  # noqa: PLC0415  --help needs none of it

    after = mine["promote_after"]
    given = [option for name, option in _OPTIONS.items() if mine[name] not in (None, ())]
    if after is None and given:
        raise click.UsageError(f"{given[0]} says how a canary is judged: write --promote-after, too")
    if (after or ttl) and not canary:
        option = "--promote-after" if after else "--ttl"
        raise click.UsageError(f"{option} is for a canary; name its endpoints with --canary")
    if canary and ttl is None and after is None:
        raise click.UsageError(
            "a canary ends by itself, also when nobody is left to end it: add --ttl 10m, or --promote-after"
        )
    if after is not None and ttl is not None and ttl <= after:
        raise click.UsageError(
            f"--ttl {duration_text(ttl)} ends the canary before it is judged, after "
            f"{duration_text(after)}; write a longer one, or leave it out"
        )


def judge(places: "Places", asked: "Question", *, as_json: bool) -> bool:
    """Watch a canary to its end and tell how it ended; return whether it was promoted."""
    from netsre.app.policing import judging  # noqa: PLC0415  --help needs none of it

    notes: list[str] = []

    def said(line: str) -> None:
        notes.append(line)
        if not as_json:
            click.echo(line, err=True)

    with _Line() as line:
        found = judging.judge(places, asked, said, line.show)
    if as_json:
        click.echo(json.dumps(_document(found, notes), indent=2))
    else:
        _show(found)
    return found.promoted


class _Line:
    """How a canary fares, on stderr: one line that changes, or one now and then where nobody looks."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = 0.0

    def show(self, seen: "Seen") -> None:
        """Tell it."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now if self._terminal else now + _EVERY
        start, end = ("\r\033[K", "") if self._terminal else ("", "\n")
        click.echo(f"{start}{_seen(seen)}{end}", nl=False, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._next:
            click.echo("\r\033[K", nl=False, err=True)


def _seen(seen: "Seen") -> str:
    from netsre.clock import duration_text  # noqa: PLC0415

    left = duration_text(int(seen.left) * 1000)
    return (
        f"canary {seen.trial.number}: {_count(seen.passed, 'connection')} passed, "
        f"{_count(seen.denied, 'packet')} denied; judged in {left}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _document(found: "Judged", notes: list[str]) -> dict[str, object]:
    return {
        "verdict": found.verdict.outcome.value,
        "reason": found.verdict.reason.value,
        "detail": found.verdict.detail,
        "promoted": found.promoted,
        "revision": found.trial.number,
        "before": found.trial.before,
        "inForce": found.in_force,
        "seconds": round(found.seconds, 3),
        "endpoints": list(found.trial.endpoints),
        "connections": dict(found.connections),
        "denied": dict(found.denied),
        "slos": list(found.levels),
        "notes": notes,
    }


def _show(found: "Judged") -> None:
    verdict = found.verdict
    why = literals.printable(f"{verdict.outcome.value}, {verdict.reason.value}: {verdict.detail}")
    if found.promoted:
        click.echo(f"promoted: revision {found.in_force} is in force for all")
        click.echo(why)
        click.echo(f"to go back: netsre policy rollback {found.trial.before}")
    elif found.in_force is None:
        click.echo(f"not promoted by this command\n{why}")
        click.echo("what is in force: netsre policy status")
    else:
        click.echo(f"not promoted: revision {found.in_force} is in force for all again")
        click.echo(why)
        click.echo("every verdict with its rule: netsre policy status")
