"""`netsre flows`: the flow log, as a table for people and as JSON lines for programs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from netsre.cli.options import parsed
from netsre.datapath import flow_filter
from netsre.datapath.flow_filter import Wanted
from netsre.datapath.flow_lines import End, FlowLine
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.app.flows import Flows

_WIDTH: Final = 80
_USUAL_LAST: Final = 20
_STYLES: Final = {"delivered": "green", "failed": "bold red", "denied": "bold magenta"}
_HEAD: Final = f"{'time (UTC)':<12}  {'outcome':<18}  {'after':>8}  source → destination"
_INDENT: Final = 44
"""Columns before both ends."""
_SHORTEST_NAME: Final = 8


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are: one JSON object each.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="F",
    help="The log.  [default: that of netsre up on this node]",
)
@click.option(
    "--outcome",
    metavar="O",
    callback=parsed(flow_filter.outcomes),
    help="Only these: delivered, failed, denied; with commas.",
)
@click.option(
    "--reason", metavar="R", callback=parsed(flow_filter.reasons), help="Only these, such as refused,stalled."
)
@click.option(
    "--direction",
    metavar="D",
    callback=parsed(flow_filter.directions),
    help="Only of clients here (egress), or elsewhere (ingress).",
)
@click.option(
    "--src",
    metavar="X",
    callback=parsed(flow_filter.ends),
    help="Only from this address, network, or network namespace.",
)
@click.option(
    "--dst",
    metavar="X",
    callback=parsed(flow_filter.ends),
    help="Only to this address, network, or class (loopback, private, public).",
)
@click.option(
    "--protocol",
    metavar="P",
    callback=parsed(flow_filter.protocols),
    help="Only these: tcp, udp; with commas.",
)
@click.option("--port", metavar="P", callback=parsed(flow_filter.port), help="Only to this port.")
@click.option(
    "--since",
    metavar="AGO",
    callback=parsed(literals.parse_duration),
    help="Only what is younger, such as 10m.",
)
@click.option(
    "--last",
    type=click.IntRange(1),
    metavar="N",
    help=f"Only the last N.  [default: {_USUAL_LAST}, with --since all]",
)
@click.option("--all", "everything", is_flag=True, help="All that is kept.")
def flows(*, follow: bool, as_json: bool, file: Path | None, last: int | None, **asked: Any) -> None:
    """Show connection attempts: all that failed or were denied, some that were delivered.

    The end on this node comes first: → of a client here, ← of one elsewhere to a server here.

    For `xN` a line stands for N delivered attempts; netsre_flows_total counts all of them.
    """
    from netsre.app import flows as app  # noqa: PLC0415  --help needs none of it

    if asked["everything"] and (last is not None or asked["since"] is not None):
        raise click.UsageError("--all is without --last and --since")
    if last is None and asked["since"] is None and not asked["everything"]:
        last = _USUAL_LAST
    since, since_seconds = app.since(asked["since"])
    ends = asked["src"], asked["dst"], asked["port"]
    wanted = Wanted(asked["outcome"], asked["reason"], *ends, since, asked["direction"], asked["protocol"])
    found = app.Flows(file or app.find(), wanted, since_seconds)
    try:
        _show(found, last, follow=follow, as_json=as_json)
    finally:
        found.close()
        if found.unreadable:
            click.echo(f"left out: {found.unreadable} lines that are no records", err=True)


def _show(found: "Flows", last: int | None, *, follow: bool, as_json: bool) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    if not as_json:
        console.print(Text(_HEAD, style="bold"), soft_wrap=True)
    for line in _lines(found, last, follow=follow):
        if line is None:
            sys.stdout.flush()
        elif as_json:
            sys.stdout.write(f"{line.text}\n")
        else:
            for row in rows(line, console.width):
                console.print(row, soft_wrap=True)


def _lines(found: "Flows", last: int | None, *, follow: bool) -> Iterator[FlowLine | None]:
    yield from found.present(last)
    if follow:
        yield from found.following()


def rows(line: FlowLine, width: int) -> Iterator[Text]:
    """Yield a line of the log for people: one row, or more where its ends are too long for one.

    Nothing of it but the name of a network namespace is ever cut, and that with a mark.
    """
    outcome = line.outcome if line.outcome == "delivered" else f"{line.outcome} {line.reason}"
    here, arrow, there = (
        (line.dst, "←", line.src) if line.direction == "ingress" else (line.src, "→", line.dst)
    )
    row = Text(f"{literals.printable(line.time)[11:23]:<12}  ")
    row.append(f"{literals.printable(outcome):<18}", style=_STYLES[line.outcome])
    row.append(f"  {_after(line):>8}  ")
    name = literals.printable(here.name)
    if arrow == "←" and here.port is not None:
        name += f":{here.port}"
    protocol = "" if line.protocol == "tcp" else f" {line.protocol}"
    to = f" {arrow} {_address(there)}{protocol}{f' x{line.sampling}' if line.sampling > 1 else ''}"
    room = width - _INDENT - cell_len(to)
    if cell_len(name) <= room:
        yield row.append(name + to)
    elif room >= _SHORTEST_NAME:
        yield row.append(_shortened(name, room) + to)
    else:
        yield row.append(_shortened(name, width - _INDENT))
        yield Text(f"{'':<12} {to}")


def _address(end: End) -> str:
    if end.ip is None or end.port is None:
        return f"{literals.printable(end.name)}, address not known"
    host = f"[{end.ip}]" if end.ip.version == 6 else str(end.ip)
    return f"{host}:{end.port}"


def _shortened(name: str, width: int) -> str:
    """Keep the end of a name that is too long: there names of one kind differ."""
    if cell_len(name) <= width:
        return name
    kept = name
    while cell_len(kept) > width - 1:
        kept = kept[1:]
    return set_cell_size(f"…{kept}", width)


def _after(line: FlowLine) -> str:
    """Return how long it took to the outcome, in three digits."""
    if line.latency is None:
        return "-"
    for unit, scale in (("s", 1), ("ms", 1_000), ("µs", 1_000_000)):
        amount = line.latency * scale
        if amount >= 1 or unit == "µs":
            digits = 2 if amount < 10 else 1 if amount < 100 else 0
            return f"{amount:.{digits}f} {unit}"
    raise AssertionError(line.latency)
