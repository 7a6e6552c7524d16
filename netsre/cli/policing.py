"""`netsre policy apply` and what goes with it: policies in force on this node."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from netsre import conventions
from netsre.cli import policy_canary, policy_follow
from netsre.cli.options import parsed
from netsre.cli.policy import JSON, policy
from netsre.cli.policy_status import document, listed, show
from netsre.cli.policy_trials import tell_trial
from netsre.cli.times import words_of
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.app.policing.applying import Applied
    from netsre.app.policing.node import Places

_SHORTEST: Final = 1_000
"""Milliseconds."""

PINS: Final = click.option(
    "--pins",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Below a BPF file system.  [default: /sys/fs/bpf/netsre/policy]",
)
STATE: Final = click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="What is remembered of numbers.  [default: /var/lib/netsre-policy]",
)
PROGRAMS: Final = click.option(
    "--programs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="C sources.  [default: those shipped with netsre]",
)


def ttl(text: str) -> int:
    """Return how long something is to last, in milliseconds; raises `ValueError`."""
    found = literals.parse_duration(text)
    if found < _SHORTEST:
        raise ValueError(f"{literals.shown(text)} is over before anybody sees it; write one such as 30m")
    return found


def places(pins: Path | None, state: Path | None, programs: Path | None = None) -> "Places":
    """Return where a node has its datapath, by what was asked for."""
    from netsre.app import resources  # noqa: PLC0415  --help needs none of it
    from netsre.app.policing import node, places  # noqa: PLC0415

    where = pins or places.PINS, state or places.STATE, programs or resources.directory("bpf")
    return node.Places(*where, _complain)


def _complain(line: str) -> None:
    click.echo(line, err=True)


TTL: Final = click.option(
    "--ttl",
    metavar="TIME",
    callback=parsed(ttl),
    help="It ends by itself, in the kernel: 30m, 1h30m.  [default: it stays]",
)


@policy.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@click.option(
    "--endpoints",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    metavar="FILE",
    help="The list of endpoints; those with an interface of this node are policed.",
)
@policy_canary.CANARY
@TTL
@policy_follow.FOLLOW
@policy_canary.options
@PINS
@STATE
@PROGRAMS
@JSON
@click.pass_context
def apply(
    context: click.Context,
    /,
    paths: tuple[Path, ...],
    endpoints: Path,
    *,
    canary: tuple[str, ...],
    ttl: int | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Put policies into force on this node.

    Built beside those in force, and switched to in one step; it stays when this command ends. With --canary
    some endpoints have them, until --ttl is over or somebody says promote; with --promote-after the command
    stays, and promotes or withdraws them by what it sees. It exits 1 where it did not promote them. With
    --follow it stays until it is asked to end, and puts into force what becomes of the files.
    """
    follow = asked.pop("follow")
    if follow and canary:
        raise click.UsageError("--follow is for all endpoints: leave out --canary, and try it by itself")
    wanted = policy_canary.question(paths, endpoints, canary, ttl, asked)
    if follow:
        policy_follow.follow(places(**asked), paths, endpoints, _applied if as_json else None)
        return
    if wanted is not None:
        promoted = policy_canary.judge(places(**asked), wanted, as_json=as_json)
        context.exit(conventions.EXIT_OK if promoted else conventions.EXIT_NO)
    _put(paths, endpoints, canary, ttl, places(**asked), as_json=as_json)


def _put(
    paths: tuple[Path, ...],
    endpoints: Path,
    canary: tuple[str, ...],
    ttl: int | None,
    where: "Places",
    *,
    as_json: bool,
) -> None:
    from netsre.app.policing import applying, trials  # noqa: PLC0415  --help needs none of it

    with _saying(quiet=as_json) as said:
        if ttl is None:
            done = applying.apply(where, paths, endpoints, said)
        else:
            trial = trials.begin(where, paths, endpoints, canary, ttl / 1000, said)
    if ttl is not None:
        tell_trial(trial, as_json=as_json)
    else:
        _tell_applied(done, as_json=as_json)


@policy.command()
@PINS
@STATE
@PROGRAMS
@JSON
def promote(*, as_json: bool, **asked: Any) -> None:
    """Put the policies of the canary into force for all endpoints.

    To take them back instead: netsre policy rollback.
    """
    from netsre.app.policing import trials  # noqa: PLC0415  --help needs none of it

    with _saying(quiet=as_json) as said:
        done = trials.promote(places(**asked), said)
    _tell_applied(done, as_json=as_json)


@contextlib.contextmanager
def _saying(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show how far a change is, on a terminal."""
    if quiet or not Console(stderr=True).is_terminal:
        yield _quiet
        return
    yield _progress
    click.echo("\r\033[K", nl=False, err=True)


def _tell_applied(done: "Applied", *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_applied(done), indent=2))
    else:
        _show_applied(done)
    if done.unremembered:
        _complain(
            f"revision {done.number} is in force, but since when is not remembered: {done.unremembered}"
        )


def _quiet(line: str) -> None:
    del line


def _progress(line: str) -> None:
    click.echo(f"\r\033[K{line}", nl=False, err=True)


@policy.command()
@click.argument("revision", required=False, type=click.IntRange(1))
@PINS
@STATE
def rollback(revision: int | None, pins: Path | None, state: Path | None) -> None:
    """Go back to an earlier revision, in one step.

    Without a number it is the one before that in force; a canary, and modes that end by themselves, end now.
    """
    from netsre.app.policing import applying  # noqa: PLC0415  --help needs none of it

    before, now = applying.rollback(places(pins, state), revision)
    if before.number == now:
        click.echo(f"revision {now} is in force already")
    elif before.until_ns:
        click.echo(f"revision {now} is in force; {before.number} was on trial, and is not any more")
    else:
        number = before.number
        click.echo(f"revision {now} is in force; {number} is kept: netsre policy rollback {number}")


@policy.command()
@click.argument("mode", type=click.Choice(["off", "monitor", "enforce", "inherit"]))
@click.option("--endpoint", metavar="NAME", help="Of this one alone, as namespace/name.  [default: all]")
@click.option(
    "--policy",
    "policies",
    metavar="NAME",
    multiple=True,
    help="What this policy denies, as namespace/name; may be repeated.  [default: all]",
)
@TTL
@PINS
@STATE
@PROGRAMS
def mode(
    mode: str, endpoint: str | None, *, policies: tuple[str, ...], ttl: int | None, **asked: Any
) -> None:
    """Say how strictly policies are treated.

    `enforce` drops what is not allowed, `monitor` counts it and lets it pass, `off` lets it pass; `inherit`
    has an endpoint follow all others again.
    """
    from netsre.app.policing import modes, policy_modes  # noqa: PLC0415  --help needs none of it
    from netsre.datapath.policy.modes import Mode, Setting  # noqa: PLC0415

    if policies and endpoint is not None:
        raise click.UsageError("a mode is of endpoints or of policies: leave out --endpoint or --policy")
    seconds = None if ttl is None else ttl / 1000
    if policies:
        with _saying(quiet=False) as said:
            set_now = policy_modes.change(places(**asked), Mode(mode), policies, seconds, said)
        for name in policies:
            click.echo(literals.printable(f"{name}: {words_of(set_now.get(name, Setting(Mode.ENFORCE)))}"))
        return
    setting = modes.change(places(**asked), Mode(mode), endpoint, seconds)
    click.echo(f"{endpoint or 'all endpoints'}: {words_of(setting)}")


@policy.command()
@PINS
@STATE
@JSON
def status(pins: Path | None, state: Path | None, *, as_json: bool) -> None:
    """Show what is in force, and what was decided.

    Revisions, modes, interfaces, and every verdict with its rule.
    """
    from netsre.app.policing import status as app  # noqa: PLC0415  --help needs none of it

    found = app.read(places(pins, state))
    if as_json:
        click.echo(json.dumps(document(found), indent=2))
    else:
        show(found)


@policy.command()
@PINS
@STATE
def detach(pins: Path | None, state: Path | None) -> None:
    """Take the policy datapath away; all passes.

    Connections and counts are forgotten.
    """
    from netsre.app.policing import applying  # noqa: PLC0415  --help needs none of it

    done = applying.detach(places(pins, state))
    click.echo(f"the policy datapath is gone ({_interfaces(done.interfaces)} policed); all passes")
    if done.packets:
        counted = ", ".join(f"{packets} {verdict}" for verdict, packets in done.packets.items())
        click.echo(f"so are its counters: {counted}; agents have not seen the last half second of them")


def _interfaces(count: int) -> str:
    return f"{count} interface was" if count == 1 else f"{count} interfaces were"


def _applied(done: "Applied") -> dict[str, object]:
    return {
        "revision": done.number,
        "before": done.before,
        "policies": done.made.policies,
        "endpoints": done.made.endpoints,
        "rules": done.made.rules,
        "seconds": dict(done.made.seconds),
        "written": done.written,
        "removed": done.removed,
        "interfaces": list(done.attached),
        "missing": list(done.missing),
        "trial": done.trial,
        "unremembered": done.unremembered,
    }


def _show_applied(done: "Applied") -> None:
    made = done.made
    if done.before == done.number:
        click.echo(f"revision {done.number} is in force already; nothing has changed")
    else:
        click.echo(
            f"revision {done.number} is in force: {made.policies} policies with {made.rules} rules for "
            f"{made.endpoints} endpoints"
        )
        stages = ", ".join(f"{stage} {took * 1000:.0f} ms" for stage, took in made.seconds.items())
        click.echo(f"{stages}; {done.written} entries written, {done.removed} removed")
    click.echo(f"policed: {listed(done.attached) or 'no interface of this node'}")
    if done.trial is not None:
        click.echo(f"revision {done.trial} decides until modes of policies end: netsre policy status")
    if done.missing:
        click.echo(f"not there: {listed(done.missing)}; apply again when they are")
    if done.before and done.before != done.number:
        click.echo(f"to go back: netsre policy rollback {done.before}")
