"""`netsre policy refused` and `deny`: who no rule allows, by address, and what is to pass no more."""

import json
import shlex
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from netsre.cli import policing
from netsre.cli.options import parsed
from netsre.cli.policy import JSON, policy
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.app.policing.orders import Named
    from netsre.app.policing.refused import Found
    from netsre.datapath.policy.refused import Refused

_WIDTH: Final = 80
_LINES: Final = 20
_TTL: Final = "1h"
"""For how long a command denies that we propose."""
_STYLES: Final = {"denied": "bold red", "let pass": "bold yellow"}
_NS: Final = 10**6
"""Nanoseconds of a millisecond."""


def _network(text: str) -> Any:  # noqa: ANN401 - a Network, whose module --help does not need
    from netsre.model.policies import parts  # noqa: PLC0415

    if "/" in text:
        return parts.network(text)
    address = parts.address(text)
    return ip_network((address.packed, address.max_prefixlen))


@policy.command()
@click.argument("address", required=False, callback=parsed(_network), metavar="[ADDRESS[/LEN]]")
@click.option("--endpoint", metavar="NAME", help="For this one alone, as namespace/name.  [default: all]")
@click.option(
    "--ttl",
    metavar="TIME",
    callback=parsed(policing.ttl),
    help="It ends by itself, in the kernel: 30m, 1h30m.  [default: it stays]",
)
@click.option("--remove", is_flag=True, help="Take the order back: policies decide again.")
@policing.PINS
@policing.STATE
@JSON
def deny(
    address: Any,  # noqa: ANN401 - a Network
    endpoint: str | None,
    ttl: int | None,
    *,
    remove: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Let nothing pass to and from an address.

    Whatever policies and modes say, connections that are there included. Without ADDRESS, lists what is in
    force.
    """
    from netsre.app.policing import orders  # noqa: PLC0415  --help needs none of it

    if address is None and (endpoint, ttl, remove) != (None, None, False):
        raise click.UsageError("name the address; without one, orders in force are listed")
    if remove and ttl is not None:
        raise click.UsageError("--remove ends the order now; leave out --ttl")
    places = policing.places(**asked)
    if address is not None and remove:
        orders.allow(places, address, endpoint)
    elif address is not None:
        orders.deny(places, address, endpoint, None if ttl is None else ttl / 1000)
    found = orders.read(places)
    if as_json:
        click.echo(json.dumps({"orders": [_order(one) for one in found]}, indent=2))
    elif address is None:
        _show_orders(found)
    else:
        whom = endpoint or "all endpoints"
        what = "no more denied by an order for" if remove else "denied for"
        click.echo(f"{_short(address)} is {what} {whom}{'' if remove else _ends(ttl)}")
        if not remove:
            click.echo(f"to end it: {_command(address, endpoint)} --remove")


def _ends(ttl: int | None) -> str:
    from netsre.clock import duration_text  # noqa: PLC0415

    return "" if ttl is None else f", and no more in {duration_text(ttl)}"


def _short(network: Any) -> str:  # noqa: ANN401 - a Network
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address if whole else network)


def _command(address: object, endpoint: str | None) -> str:
    text = address if isinstance(address, str) else _short(address)
    return f"netsre policy deny {text}" + (f" --endpoint {shlex.quote(endpoint)}" if endpoint else "")


def _left(until_ns: int) -> float | None:
    from netsre.clock import boottime  # noqa: PLC0415

    return max((until_ns - boottime()) / 1e9, 0) if until_ns else None


def _order(one: "Named") -> dict[str, object]:
    left = _left(one.order.until_ns)
    return {"address": str(one.order.network), "endpoint": one.endpoint, "secondsLeft": left}


def _show_orders(found: tuple["Named", ...]) -> None:
    from netsre.clock import duration_text  # noqa: PLC0415

    table = Table("denied", "endpoint", "ends in", box=None, pad_edge=False)
    for one in found:
        left = _left(one.order.until_ns)
        ends = "stays" if left is None else duration_text(max(int(left), 1) * 1000)
        name = Text(literals.printable(one.endpoint or "all"), overflow="fold")
        table.add_row(_short(one.order.network), name, ends)
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    console.print(table if found else "no order to deny is in force")


@policy.command()
@click.option("--egress", "direction", flag_value="egress", help="Only what endpoints asked for.")
@click.option("--ingress", "direction", flag_value="ingress", help="Only what was asked of endpoints.")
@click.option("--busiest", is_flag=True, help="Those of most packets first.  [default: the newest first]")
@policing.PINS
@policing.STATE
@JSON
def refused(
    direction: str | None, *, busiest: bool, pins: Path | None, state: Path | None, as_json: bool
) -> None:
    """Show who no rule allows, by address.

    Denied, or let pass because the mode is monitor; with the next step.
    """
    from netsre.app.policing import refused as app  # noqa: PLC0415  --help needs none of it

    found = app.read(policing.places(pins, state))
    listed = [pair for pair in found.refused if direction in {None, pair[1].direction.value}]
    if busiest:
        listed.sort(key=lambda pair: -(pair[1].denied + pair[1].passed))
    if as_json:
        document = {
            "refused": [_refused(name, one, found.now_ns) for name, one in listed],
            "entries": len(found.refused),
            "capacity": found.capacity,
            "evicted": found.evicted,
            "lost": found.lost,
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _show_refused(listed, found)


def _became(one: "Refused") -> str:
    """Return what became of the last packet."""
    return "denied" if one.denied_ns >= one.passed_ns else "let pass"


def _refused(name: str, one: "Refused", now_ns: int) -> dict[str, object]:
    from netsre.clock import SystemClock, Timestamp, rfc3339  # noqa: PLC0415

    wall = SystemClock().now()

    def at(then_ns: int) -> str | None:
        return rfc3339(Timestamp(wall - (now_ns - then_ns) // _NS)) if then_ns else None

    return {
        "endpoint": name,
        "direction": one.direction.value,
        "address": str(one.service.address),
        "service": one.service.what,
        "denied": one.denied,
        "letPass": one.passed,
        "connections": one.connections,
        "first": at(one.first_ns),
        "last": at(one.last_ns),
        "became": _became(one),
        "deny": f"{_command(str(one.service.address), name)} --ttl {_TTL}",
    }


def _ago(then_ns: int, now_ns: int) -> str:
    from netsre.alerting.describe import coarse  # noqa: PLC0415

    past = (now_ns - then_ns) // _NS
    return f"{coarse(past)} ago" if past >= 1000 else "now"


def _show_refused(listed: "list[tuple[str, Refused]]", found: "Found") -> None:
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    if not listed:
        console.print("nothing was refused that no rule is about")
        return
    packets = Column("packets", justify="right")
    table = Table("endpoint", "", "address", packets, "last", "first", "became", box=None, pad_edge=False)
    for name, one in listed[:_LINES]:
        way = "to" if one.direction.value == "egress" else "from"
        # Of what came in the service is the endpoint's own.
        who = str(one.service) if way == "to" else f"{one.service.address} at {one.service.what}"
        cells = (Text(literals.printable(name), overflow="fold"), way, Text(who, overflow="fold"))
        times = (_ago(one.last_ns, found.now_ns), _ago(one.first_ns, found.now_ns))
        became = _became(one)
        table.add_row(*cells, str(one.denied + one.passed), *times, Text(became, style=_STYLES[became]))
    console.print(table)
    if len(listed) > _LINES:
        console.print(f"and {len(listed) - _LINES} more: --json has all")
    if found.evicted or found.lost:
        console.print(f"not shown: {found.evicted} that made room for others, {found.lost} packets lost")
    name, one = listed[0]
    console.print("\nnext, of the first line:")
    denies = f"{_command(str(one.service.address), name)} --ttl {_TTL}"
    console.print(Text(literals.printable(f"  to cut it:   {denies}")), soft_wrap=True)
    console.print("  to allow it: netsre policy suggest --flows FILE --endpoints FILE", soft_wrap=True)
