"""`netsre audit`: the audit log as JSON lines, and the proof that such lines are whole."""

import json
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Final

import click

from netsre import conventions

if TYPE_CHECKING:
    from netsre.app.auditing import Verified

_EVERY_SECONDS: Final = 1.0


@click.group()
def audit() -> None:
    """Export the audit log as JSON lines for a SIEM, and verify such lines anywhere."""


@audit.command()
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="N", help="Only rows after number N.")
@click.option("--follow", is_flag=True, help="Go on with new rows until Ctrl-C.")
@click.option("--data-dir", metavar="DIR", help="Where the controller keeps its state.")
@click.option("--database", metavar="URL", help="The PostgreSQL database (NETSRE_DATABASE_URL).")
def export(after: int, data_dir: str | None, database: str | None, *, follow: bool) -> None:
    """Print every row, oldest first, one JSON document a line."""
    from netsre.app import auditing, request, settings  # noqa: PLC0415  --help needs none of it

    address = settings.database(database, data_dir)
    where, _ = (settings.data_dir(data_dir), "") if address else request.data_dir(data_dir)
    for line in auditing.export(where, address, after, _wait if follow else None):
        click.echo(line)


@audit.command()
@click.argument("files", nargs=-1, required=True, type=click.File("rb"), metavar="FILE...")
@click.option("--head", metavar="N:HASH", help="The newest row there must be, as `netsre db check` tells it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def verify(context: click.Context, files: tuple[IO[bytes], ...], head: str | None, *, as_json: bool) -> None:
    """Check exported lines, files in order; exit 1 when broken."""
    from netsre.app import auditing  # noqa: PLC0415

    found = auditing.verify(_lines(files))
    short = found.broken is None and head is not None and str(found.head) != head
    whole = found.broken is None and not short and found.rows > 0
    if as_json:
        click.echo(json.dumps(_document(found, whole=whole)))
    else:
        click.echo(_said(found, head if short else None))
    if not whole:
        context.exit(conventions.EXIT_NO)


def _wait() -> None:
    time.sleep(_EVERY_SECONDS)


def _lines(files: tuple[IO[bytes], ...]) -> Iterator[str]:
    for file in files:
        # What is no UTF-8 must be told as a broken line, not as an error of ours.
        yield from (line.decode(errors="replace") for line in file)


def _document(found: "Verified", *, whole: bool) -> dict[str, object]:
    broken = found.broken
    return {
        "whole": whole,
        "rows": found.rows,
        "first": found.first,
        "head": str(found.head),
        "first_link_trusted": found.trusted,
        "first_broken": broken.seq if broken else None,
        "line": found.line or None,
        "why": broken.why if broken else None,
    }


def _said(found: "Verified", head: str | None) -> str:
    if found.broken is not None:
        return f"line {found.line}: broken at row {found.broken.seq}: {found.broken.why}"
    if not found.rows:
        return "no row at all; is it the right file?"
    if head is not None:
        return (
            f"whole, but ends at {found.head} instead of {head}: rows are missing at the end, or are of later"
        )
    trust = "; the row before them is not here, so keep the file that has it" if found.trusted else ""
    return f"rows {found.first} to {found.head.seq} are whole, head {found.head}{trust}"
