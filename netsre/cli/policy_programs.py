"""`netsre policy programs`: which programs police this node, and back to those of before."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsre.cli import policing
from netsre.cli.policy import JSON, policy

if TYPE_CHECKING:
    from netsre.adapters.bpf.policy_programs import Running


@policy.command()
@click.option("--rollback", "back", is_flag=True, help="Have those of before run again.")
@click.option("--accept", "forward", is_flag=True, help="Have those run again that were gone back from.")
@policing.PINS
@policing.STATE
@policing.PROGRAMS
@JSON
def programs(
    *,
    back: bool,
    forward: bool,
    pins: Path | None,
    state: Path | None,
    programs: Path | None,
    as_json: bool,
) -> None:
    """Show which programs decide, and go back to those of before.

    Another version of netsre brings its own with its first apply; those of before are kept beside them.
    Policies, modes and connections stay. Those that were gone back from run again by --accept alone, as long
    as they are kept: until another version brings its own.
    """
    from netsre.app.policing import node  # noqa: PLC0415  --help needs none of it
    from netsre.app.policing import programs as app  # noqa: PLC0415

    if back and forward:
        raise click.UsageError("--rollback and --accept are two ways: leave out one of them")
    places = policing.places(pins, state, programs)
    found = app.go_back(places) if back else app.accept(places) if forward else app.read(places)
    ours = node.digest(places.programs)
    if as_json:
        click.echo(json.dumps(_document(found, ours), indent=2))
    else:
        for line in _lines(found, ours):
            click.echo(line)


def _document(found: "Running", ours: str) -> dict[str, object]:
    from netsre import clock  # noqa: PLC0415

    return {
        "programs": found.digest or None,
        "since": clock.rfc3339(clock.Timestamp(found.since_ms)),
        "kept": found.kept or None,
        "goneBackFrom": found.is_left,
        "ofThisVersion": ours,
    }


def _lines(found: "Running", ours: str) -> list[str]:
    from netsre import clock  # noqa: PLC0415
    from netsre.app.policing.programs import shown  # noqa: PLC0415

    since = clock.rfc3339(clock.Timestamp(found.since_ms))
    whose = ", those of this version" if found.digest == ours else ""
    lines = [f"programs {shown(found.digest)} decide since {since}{whose}"]
    if not found.kept:
        return [*lines, "none from before are kept"]
    if found.is_left:
        return [
            *lines,
            f"gone back from: {shown(found.kept)}; to have them run again: netsre policy programs --accept",
        ]
    return [*lines, f"kept: {shown(found.kept)}; to go back: netsre policy programs --rollback"]
