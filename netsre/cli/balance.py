"""`netsre balance`: services balanced at the sockets of this node, and what files of services say."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from netsre import conventions
from netsre.cli.options import parsed
from netsre.cli.policing import ttl
from netsre.cli.policy import JSON
from netsre.cli.progress import Progress
from netsre.errors import Finding, SpecErrors
from netsre.model import literals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netsre.app.balancing.applying import Applied
    from netsre.app.balancing.ending import Ended
    from netsre.app.balancing.node import Places
    from netsre.app.balancing.offline import Shares
    from netsre.datapath.balance.drains import Drain
    from netsre.model.balance.values import Service

WIDTH: Final = 80

_PINS: Final = click.option(
    "--pins",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Below a BPF file system.  [default: /sys/fs/bpf/netsre/balance]",
)
_STATE: Final = click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="What is remembered of names.  [default: /var/lib/netsre-balance]",
)
_PATHS: Final = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
_END_SOCKETS: Final = click.option(
    "--end-sockets",
    is_flag=True,
    help="End connected UDP sockets whose backend is taken out (ECONNABORTED); they would go on sending.",
)
_SERVICE: Final = click.option("--service", metavar="NAME", help="Of this one alone, as namespace/name.")


def _places(pins: Path | None, state: Path | None, programs: Path | None = None) -> "Places":
    from netsre.app import resources  # noqa: PLC0415  --help needs none of it
    from netsre.app.balancing import node, places  # noqa: PLC0415

    where = pins or places.PINS, state or places.STATE, programs or resources.directory("bpf")
    return node.Places(*where, _complain)


def _complain(line: str) -> None:
    click.echo(line, err=True)


@click.group()
def balance() -> None:
    """Balance services at the sockets of this node, and ask files of services."""


@balance.command()
@_PATHS
@click.option(
    "--cgroup",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Balance for its processes alone.  [default: as before, at first all]",
)
@_PINS
@_STATE
@click.option(
    "--programs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="C sources.  [default: those shipped with netsre]",
)
@_END_SOCKETS
@JSON
def apply(  # noqa: PLR0913
    paths: tuple[Path, ...],
    *,
    cgroup: Path | None,
    pins: Path | None,
    state: Path | None,
    programs: Path | None,
    end_sockets: bool,
    as_json: bool,
) -> None:
    """Balance the services of files, and no others.

    Built beside what is in force, and switched to in one step; it stays when this command ends.
    """
    from netsre.app.balancing import applying  # noqa: PLC0415  --help needs none of it

    with Progress("tables of backends made") as progress:
        places = _places(pins, state, programs)
        done = applying.apply(places, paths, cgroup, progress.show, end_sockets=end_sockets)
    if as_json:
        click.echo(json.dumps(_applied(done), indent=2))
    else:
        _show_applied(done)


@balance.command()
@click.argument("revision", required=False, type=click.IntRange(1))
@_PINS
@_STATE
@_END_SOCKETS
def rollback(revision: int | None, pins: Path | None, state: Path | None, *, end_sockets: bool) -> None:
    """Go back to an earlier revision, in one step.

    Without a number it is the one before that in force.
    """
    from netsre.app.balancing import applying  # noqa: PLC0415  --help needs none of it

    done = applying.rollback(_places(pins, state), revision, end_sockets=end_sockets)
    if done.before == done.number:
        click.echo(f"revision {done.number} is in force already")
    else:
        kept = f"{done.before} is kept: netsre balance rollback {done.before}"
        gone = f"{done.before} had an end, and is not kept"
        click.echo(f"revision {done.number} is in force; {kept if done.is_kept else gone}")
    _some("drained by hand no more:", [f"{one.backend} of {one.label}" for one in sorted(done.freed)])
    _show_ended(done.ended)


@balance.command()
@click.argument("backend")
@_SERVICE
@click.option(
    "--ttl",
    metavar="TIME",
    callback=parsed(ttl),
    help="It ends by itself, in the kernel, with all that are drained for a time: 30m.  [default: it stays]",
)
@click.option("--force", is_flag=True, help="Also where a service is left without a backend.")
@_PINS
@_STATE
def drain(backend: str, service: str | None, ttl: int | None, *, force: bool, **where: Path | None) -> None:
    """Send nobody new to a backend, an ADDRESS or ADDRESS:PORT.

    Who has it keeps it. It stays drained, also when files are applied, until `undrain`.
    """
    from netsre.app.balancing import applying  # noqa: PLC0415  --help needs none of it
    from netsre.clock import duration_text  # noqa: PLC0415

    with Progress("tables of backends made") as progress:
        seconds = None if ttl is None else ttl / 1000
        places = _places(**where)
        found, done = applying.drain(places, backend, service, progress.show, seconds=seconds, force=force)
    word = "is drained" if ttl is None else f"is drained for {duration_text(ttl)}"
    _show_drained(found, word)
    _show_revision(done, f"; to undo: netsre balance undrain {backend}")


@balance.command()
@click.argument("backend")
@_SERVICE
@_PINS
@_STATE
def undrain(backend: str, service: str | None, pins: Path | None, state: Path | None) -> None:
    """Send newcomers to a backend again that was drained by hand."""
    from netsre.app.balancing import applying  # noqa: PLC0415  --help needs none of it
    from netsre.datapath.balance import drains  # noqa: PLC0415

    with Progress("tables of backends made") as progress:
        found, done = applying.undrain(_places(pins, state), backend, service, progress.show)
    by_file = found & drains.by_file(done.wanted.services)
    for word, some in (
        ("takes connections again", found - by_file),
        ("is drained by its file alone: edit it, and apply", by_file),
    ):
        _show_drained(some, word)
    _show_revision(done)


@balance.command()
@_PINS
@_STATE
@JSON
def status(pins: Path | None, state: Path | None, *, as_json: bool) -> None:
    """Show what is balanced, and who was given what.

    Revisions, services, backends, and what went wrong.
    """
    from netsre.app.balancing import status as app  # noqa: PLC0415  --help needs none of it
    from netsre.cli import balance_status as shown  # noqa: PLC0415

    found = app.read(_places(pins, state))
    if as_json:
        click.echo(json.dumps(shown.document(found), indent=2))
    else:
        shown.show(found)


@balance.command()
@_PINS
@_STATE
def detach(pins: Path | None, state: Path | None) -> None:
    """Take the balancer away; nothing is balanced.

    Established connections stay; counts are forgotten.
    """
    from netsre.app.balancing import applying  # noqa: PLC0415  --help needs none of it

    applying.detach(_places(pins, state))
    click.echo("the balancer is gone; calls go where they ask to")


@balance.command()
@_PATHS
@JSON
@click.pass_context
def lint(ctx: click.Context, paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Check files of services; offline.

    Exits 1 when there are findings; their codes are explained in docs/codes.md.
    """
    from netsre.app.balancing import offline  # noqa: PLC0415  --help needs none of it

    found: tuple[Service, ...] = ()
    findings: tuple[Finding, ...] = ()
    try:
        found = offline.read(paths)
    except SpecErrors as errors:
        findings = errors.findings
    if as_json:
        lines = [{"file": f.file, "line": f.line, "code": f.code, "message": f.message} for f in findings]
        names = [one.full_name for one in found]
        click.echo(json.dumps({"valid": not findings, "services": names, "findings": lines}, indent=2))
    else:
        for one in findings:
            click.echo(literals.printable(str(one)))
        click.echo(f"{len(findings)} findings" if findings else f"{len(found)} services: no findings")
    ctx.exit(conventions.EXIT_NO if findings else conventions.EXIT_OK)


@balance.command()
@click.argument("place", metavar="ADDRESS:PORT/PROTOCOL")
@click.option(
    "--services",
    "paths",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    metavar="PATH",
    help="Files or directories of services; may be repeated.",
)
@click.option("--cookie", type=click.IntRange(0, (1 << 64) - 1), metavar="N", help="Of a socket (SO_COOKIE).")
@JSON
def lookup(place: str, paths: tuple[Path, ...], *, cookie: int | None, as_json: bool) -> None:
    """Say which backends a service's connections get; offline.

    With the cookie of a socket, which one it gets on every node.
    """
    from netsre.app.balancing import offline  # noqa: PLC0415  --help needs none of it

    found = offline.shares(paths, place, cookie)
    if as_json:
        click.echo(json.dumps(_shares(found), indent=2))
    else:
        _show_shares(found, cookie)


def _applied(done: "Applied") -> dict[str, object]:
    return {
        "revision": done.number,
        "before": done.before,
        "services": done.made.services,
        "backends": done.made.backends,
        "tables": done.tables,
        "seconds": done.seconds,
        "cgroup": str(done.cgroup),
        "drained": [drain._asdict() for drain in sorted(done.wanted.drains)],
        "drainedForATime": [drain._asdict() for drain in sorted(done.wanted.passing)],
        "withoutBackend": list(done.refused),
        "notBalanced": list(done.unbalanced),
        "endedSockets": done.ended.sockets if done.ended else None,
    }


def _show_applied(done: "Applied") -> None:
    if done.before == done.number:
        click.echo(f"revision {done.number} is in force already; nothing has changed")
    else:
        made = done.made
        click.echo(
            f"revision {done.number} is in force: {made.services} services, {made.backends} backends; "
            f"{done.tables} tables made in {done.seconds:.1f} s"
        )
    click.echo(literals.printable(f"balanced: processes of {done.cgroup}"))
    _some("nobody takes connections of", done.refused)
    _some("not balanced, for its protocol:", done.unbalanced)
    by_hand = sorted(done.wanted.every)
    _some("drained by hand, and still so:", [f"{one.backend} of {one.label}" for one in by_hand])
    _show_ended(done.ended)
    if done.before and done.before != done.number:
        click.echo(f"to go back: netsre balance rollback {done.before}")


def _show_ended(ended: "Ended | None") -> None:
    if ended is not None:
        unseen = f"; {ended.unseen} network namespaces could not be looked into" if ended.unseen else ""
        click.echo(f"{ended.sockets} connected UDP sockets ended{unseen}")


def _show_drained(found: "Iterable[Drain]", what: str) -> None:
    for one in sorted(found):
        click.echo(literals.printable(f"{one.backend} of {one.label} {what}"))


def _show_revision(done: "Applied", undo: str = "") -> None:
    click.echo(f"revision {done.number} is in force{undo}")


def _some(what: str, names: "Iterable[str]") -> None:
    for name in names:
        click.echo(literals.printable(f"{what} {name}"))


def _shares(found: "Shares") -> dict[str, object]:
    whole = sum(found.slots.values())
    return {
        "service": found.frontend.service,
        "place": found.frontend.place,
        "backends": [
            {"backend": name, "slots": slots, "share": slots / whole if whole else 0, "draining": not slots}
            for name, slots in found.slots.items()
        ],
        "given": found.given,
    }


def _show_shares(found: "Shares", cookie: int | None) -> None:
    click.echo(literals.printable(f"{found.frontend.service} at {found.frontend.place}"))
    whole = sum(found.slots.values())
    table = Table("backend", Column("share", justify="right"), "", box=None, pad_edge=False)
    for name, slots in sorted(found.slots.items(), key=lambda one: (-one[1], one[0])):
        share = f"{100 * slots / whole:.2f} %" if whole else ""
        table.add_row(Text(name, overflow="fold"), share, "" if slots else "draining")
    if found.slots:
        Console(width=None if Console().is_terminal else WIDTH, highlight=False).print(table)
    if not whole:
        click.echo("nobody takes new connections: they are refused (EHOSTUNREACH)")
    elif cookie is not None:
        click.echo(f"the socket with the cookie {cookie} gets {found.given}")
