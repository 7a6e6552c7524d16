"""`netsre policy apply --follow`: policies in force for as long as the command runs, as their files say."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsre.model import literals

if TYPE_CHECKING:
    from netsre.app.policing.applying import Applied
    from netsre.app.policing.followed import Following, How
    from netsre.app.policing.node import Places

FOLLOW = click.option(
    "--follow",
    is_flag=True,
    help="Stay, and put into force what becomes of the files and of the interfaces of endpoints.",
)


def follow(
    places: "Places",
    paths: Sequence[Path],
    endpoints: Path,
    document: Callable[["Applied"], dict[str, object]] | None,
) -> None:
    """Follow files until somebody asks to end; with `document` each line is a JSON document."""
    from netsre.app.policing import following  # noqa: PLC0415  --help needs none of it

    says = _Text() if document is None else _Documents(document)
    revision = following.follow(
        places, paths, endpoints, following.Says(says.applied, says.policed, says.how, _nobody, says.ready)
    )
    says.ended(revision)


def _nobody(line: str) -> None:
    del line


def _out(line: str) -> None:
    """Print a line at once: who reads a log waits for it."""
    click.echo(literals.printable(line))


class _Text:
    """For people, and the journal of a service manager."""

    def applied(self, done: "Applied") -> None:
        """Say what is in force now."""
        made = done.made
        if done.before == done.number:
            _out(f"revision {done.number} is in force already; nothing has changed")
        else:
            _out(
                f"revision {done.number} is in force: {made.policies} policies with {made.rules} rules for "
                f"{made.endpoints} endpoints, in {made.seconds['total'] * 1000:.0f} ms; {done.written} "
                f"entries written, {done.removed} removed"
            )
        if done.trial is not None:
            _out(f"revision {done.trial} decides until modes of policies end: netsre policy status")
        if done.missing:
            _out(f"not there: {', '.join(done.missing)}; policed as soon as they are")
        if done.unremembered:
            click.echo(f"since when it is in force is not remembered: {done.unremembered}", err=True)

    def policed(self, come: Sequence[str], gone: Sequence[str]) -> None:
        """Say which interfaces are new, and which are no more."""
        if come:
            _out(f"policed now, too: {', '.join(come)}")
        if gone:
            _out(f"not policed any more: {', '.join(gone)}")

    def how(self, how: "How", detail: str) -> None:
        """Say what there is to be done, or that there is nothing any more."""
        if detail:
            click.echo(literals.printable(detail), err=True)
        else:
            _out(f"{how.value}: nothing is wrong any more")

    def ready(self, line: str) -> None:
        """Say that it follows."""
        _out(line)

    def ended(self, revision: int | None) -> None:
        """Say what stays."""
        stays = f"revision {revision} stays in force" if revision is not None else "what is in force stays"
        _out(f"not followed any more; {stays}")


class _Documents(_Text):
    """One JSON document on each line."""

    def __init__(self, document: Callable[["Applied"], dict[str, object]]) -> None:
        self._document = document

    def applied(self, done: "Applied") -> None:
        """Write all of it."""
        _write("applied", **self._document(done))

    def policed(self, come: Sequence[str], gone: Sequence[str]) -> None:
        """Write their names."""
        _write("policed", interfaces=[*come], gone=[*gone])

    def how(self, how: "How", detail: str) -> None:
        """Write it down; errors are for people as well."""
        _write("state", state=how.value, detail=detail or None)
        if detail:
            click.echo(literals.printable(detail), err=True)

    def ready(self, line: str) -> None:
        """Write that it follows."""
        del line
        _write("following")

    def ended(self, revision: int | None) -> None:
        """Write what stays."""
        _write("ended", revision=revision)


def _write(event: str, **more: Any) -> None:
    click.echo(json.dumps({"event": event, **more}))


def following_document(found: "tuple[Following, bool] | None") -> dict[str, object] | None:
    """Return who follows as JSON can carry it."""
    from netsre.app.policing import followed  # noqa: PLC0415  --help needs none of it
    from netsre.clock import Timestamp, rfc3339  # noqa: PLC0415

    if found is None:
        return None
    one, is_there = found
    return {
        "process": one.process if is_there else None,
        "began": rfc3339(Timestamp(one.began)),
        "state": followed.state(one, is_there),
        "since": rfc3339(Timestamp(one.since)),
        "detail": one.detail or None,
        "revision": one.revision,
    }


def shown_following(found: "tuple[Following, bool]") -> str:
    """Return who follows in one line."""
    from netsre.clock import Timestamp, rfc3339  # noqa: PLC0415

    one, is_there = found
    since = rfc3339(Timestamp(one.since))
    if not is_there:
        return f"followed by nobody: process {one.process} is gone, and did not say so"
    if not one.detail:
        return f"followed by process {one.process} since {rfc3339(Timestamp(one.began))}"
    return f"followed by process {one.process}, but since {since} {one.how.value}: {one.detail}"
