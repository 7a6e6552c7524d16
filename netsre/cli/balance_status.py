"""What `netsre balance status` prints."""

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from netsre.app.balancing.status import Status, is_whole
from netsre.clock import Timestamp, duration_text, rfc3339
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.adapters.bpf.balance import BalanceCount
    from netsre.app.balancing.status import KeptRevision
    from netsre.datapath.balance.contents import Member

_WIDTH: Final = 80
_SERVICES: Final = 20


def document(found: Status) -> dict[str, object]:
    """Return everything, as one JSON document."""
    return {
        "revisions": [
            {
                "revision": one.number,
                "inForce": one.in_force,
                "services": one.made.services if one.made else None,
                "backends": one.made.backends if one.made else None,
                "at": _at(one) or None,
            }
            for one in found.revisions
        ],
        "cgroup": found.cgroup or None,
        "attached": is_whole(found),
        "backends": _backends(found),
        "refused": [
            {
                "service": one.service,
                "place": one.place,
                "connections": one.connections,
                "datagrams": one.datagrams,
            }
            for one in found.counts
            if not one.backend
        ],
        "withoutBackend": [{"service": service, "place": place} for service, place in sorted(found.refused)],
        "drained": [drain._asdict() for drain in sorted(found.wanted.drains)],
        "drainedForATime": [drain._asdict() for drain in sorted(found.wanted.passing)],
        "secondsLeft": found.seconds_left,
        "events": dict(found.events),
        "maps": {one.name: {"entries": one.entries, "capacity": one.capacity} for one in found.usage},
    }


def _backends(found: Status) -> list[dict[str, object]]:
    counted = {(one.service, one.place, one.backend): one for one in found.counts}
    return [
        {
            "service": member.service,
            "place": member.place,
            "backend": member.backend,
            "serving": member.is_serving,
            "byHand": _by_hand(found, member),
            **_given(counted.get((member.service, member.place, member.backend))),
        }
        for member in found.members
    ]


def show(found: Status) -> None:
    """Print it for people."""
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    revisions = Table("revision", "in force", "services", "backends", "since", box=None, pad_edge=False)
    for one in found.revisions:
        numbers = (str(one.made.services), str(one.made.backends)) if one.made else ("", "")
        revisions.add_row(str(one.number), "yes" if one.in_force else "", *numbers, _at(one))
    console.print(revisions, "")
    _show_places(found)
    if found.members or found.refused:
        console.print(_services(found))
    _more(len({(one.service, one.place) for one in found.members} | found.refused))
    for drain in sorted(found.wanted.drains):
        console.print(Text(literals.printable(f"drained by hand: {drain.backend} of {drain.label}")))
    for drain in sorted(found.wanted.passing):
        left = duration_text(int(found.seconds_left or 0) * 1000 or 1000)
        console.print(Text(literals.printable(f"drained for {left}: {drain.backend} of {drain.label}")))


def _show_places(found: Status) -> None:
    where = found.cgroup or "no cgroup: it is gone, or was never there; apply again"
    click.echo(literals.printable(f"balanced: processes of {where}"))
    if found.cgroup and not is_whole(found):
        click.echo("some hooks have no program; apply again")
    troubles = {name: count for name, count in found.events.items() if name != "passed" and count}
    for name, count in troubles.items():
        click.echo(f"{name}: {count} (docs/balancing.md says what that is)")
    fills = ", ".join(
        f"{one.name.removeprefix('balance_')} {one.entries} of {one.capacity}" for one in found.usage
    )
    click.echo(f"entries: {fills}\n")


def _services(found: Status) -> Table:
    """Return a row for each address of each service: first those without a backend, then the busiest."""
    serving: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for member in found.members:
        serving[member.service, member.place].append(member.is_serving)
    given = dict.fromkeys((*serving, *found.refused), (0, 0, 0))
    for one in found.counts:
        if (key := (one.service, one.place)) in given:
            made, sent, refused = given[key]
            if one.backend:
                given[key] = made + one.connections, sent + one.datagrams, refused
            else:
                given[key] = made, sent, refused + one.connections + one.datagrams
    numbers = (Column(name, justify="right") for name in ("serving", "connects", "datagrams", "refused"))
    table = Table(
        Column("service", overflow="fold"), Column("at", overflow="fold"), *numbers, box=None, pad_edge=False
    )
    order = sorted(given, key=lambda key: (key not in found.refused, -sum(given[key]), key))
    for key in order[:_SERVICES]:
        states = serving.get(key, [])
        style = "bold red" if key in found.refused else ""
        share = Text(f"{sum(states)} of {len(states)}", style=style)
        table.add_row(*(Text(literals.printable(part)) for part in key), share, *map(str, given[key]))
    return table


def _more(count: int) -> None:
    if count > _SERVICES:
        click.echo(f"and {count - _SERVICES} more: --json has all")


def _given(one: "BalanceCount | None") -> dict[str, int]:
    return {"connections": one.connections if one else 0, "datagrams": one.datagrams if one else 0}


def _by_hand(found: Status, member: "Member") -> bool:
    port, _, protocol = member.place.rpartition(":")[2].partition("/")
    return any(
        (drain.service, drain.backend) == (member.service, member.backend)
        and (str(drain.port), drain.protocol) == (port, protocol)
        for drain in found.wanted.every
    )


def _at(one: "KeptRevision") -> str:
    return rfc3339(Timestamp(one.made.at)) if one.made else ""
