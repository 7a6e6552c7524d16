"""`netsre prefilter`: networks that are dropped or limited before the kernel spends anything on them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Column, Table

from netsre.cli.options import parsed
from netsre.cli.policing import PROGRAMS, ttl
from netsre.cli.policy import JSON
from netsre.cli.times import document_of, words_of
from netsre.errors import BadInput
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.adapters.bpf.prefilter_pins import Said
    from netsre.app.prefiltering import Asked, Places
    from netsre.datapath.block import Drops
    from netsre.datapath.prefilter import Limit, Network, Rule
    from netsre.datapath.prefilter_totals import Counted

_WIDTH: Final = 80
_SHOWN: Final = 20
_FOR_EVER: Final = float("inf")

_PINS: Final = click.option(
    "--pins",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Below a BPF file system.  [default: /sys/fs/bpf/netsre/prefilter]",
)


def _places(pins: Path | None, programs: Path | None = None) -> "Places":
    from netsre.app import prefiltering, resources  # noqa: PLC0415  --help needs none of it
    from netsre.app.policing import places  # noqa: PLC0415

    return prefiltering.Places(pins or places.PREFILTER, programs or resources.directory("bpf"))


def _limit(text: str) -> "Limit":
    from netsre.app import prefiltering  # noqa: PLC0415  --help needs none of it

    return prefiltering.limit_of(text)


@click.group()
def prefilter() -> None:
    """Drop or limit whole networks where packets come in (XDP).

    Rules go by the source alone, the longest prefix decides, and all ends come by themselves.
    """


@prefilter.command()
@click.argument("interfaces", nargs=-1, metavar="[INTERFACE]...")
@click.option(
    "--xdp",
    type=click.Choice(["driver", "generic"]),
    help="Where packets are filtered.  [default: driver where it can; generic on veth]",
)
@_PINS
@PROGRAMS
def attach(interfaces: tuple[str, ...], xdp: str | None, pins: Path | None, programs: Path | None) -> None:
    """Have interfaces filtered.

    Begins without rules: all passes. Also exchanges the program for that of this version, in place.
    """
    from netsre.adapters.bpf.xdp import Where  # noqa: PLC0415  --help needs none of it
    from netsre.app import prefiltering  # noqa: PLC0415

    done = prefiltering.attach(_places(pins, programs), interfaces, Where(xdp) if xdp else None)
    if done.renewed:
        click.echo("the program is exchanged for that of this version")
    click.echo(_filtered((name, where.value) for name, where in done.interfaces.items()))


@prefilter.command()
@click.argument("interfaces", nargs=-1, metavar="[INTERFACE]...")
@_PINS
def detach(interfaces: tuple[str, ...], pins: Path | None) -> None:
    """Filter interfaces no more.

    Without a name: none, and rules and counts are gone.
    """
    from netsre.app import prefiltering  # noqa: PLC0415  --help needs none of it

    gone = prefiltering.detach(_places(pins), interfaces)
    names = ", ".join(map(literals.printable, gone))
    words = f"not filtered any more: {names}" if gone else "no interface was filtered"
    click.echo(words if interfaces else f"{words}; rules and counts are gone")


@prefilter.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@click.option("--drop", is_flag=True, help="Drop their packets.")
@click.option(
    "--limit",
    metavar="RATE[/BURST]",
    callback=parsed(_limit),
    help="Let each source send so many packets a second, and so many at once.",
)
@click.option("--pass", "passes", is_flag=True, help="An exception: a shorter prefix is not asked.")
@click.option(
    "--ttl",
    metavar="TIME",
    callback=parsed(ttl),
    help="The rule ends by itself, in the kernel: 30m.  [default: it stays]",
)
@click.option("--monitor", is_flag=True, help="Only count what it would drop.")
@click.option(
    "--monitor-for",
    metavar="TIME",
    callback=parsed(ttl),
    help="Only count for so long, and enforce it from then on.",
)
@click.option(
    "--from",
    "file",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="More networks, one in a line; - reads them from the input.",
)
@_PINS
def add(networks: tuple[str, ...], file: Any, pins: Path | None, **asked: Any) -> None:  # noqa: ANN401  click's
    """Follow a rule for networks from the next packet on.

    A rule for a network takes the place of the one that there is, and its counts go on.
    """
    from netsre.app import prefiltering  # noqa: PLC0415  --help needs none of it

    rule = _asked(**asked)
    wanted = prefiltering.networks_of(networks)
    if file is not None:
        wanted += prefiltering.networks_in(file.name, _text(file))
    if not wanted:
        raise BadInput("there is no network; write one, or a file of them: --from FILE")
    said = prefiltering.add(_places(pins), wanted, rule)
    _show_added(_of({*wanted}, said), said)


def _of(networks: "set[Network]", said: "Said") -> "list[Rule]":
    return [each.rule for each in said.rules if each.rule.network in networks]


def _text(file: Any) -> str:  # noqa: ANN401  click's
    try:
        text: str = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file.name} cannot be read: {error}") from error
    return text


def _asked(
    *,
    drop: bool,
    limit: "Limit | None",
    passes: bool,
    ttl: int | None,
    monitor: bool,
    monitor_for: int | None,
) -> "Asked":
    """Return what is asked for; raises `BadInput` where that is not one thing."""
    from netsre.app.prefiltering import Asked  # noqa: PLC0415  --help needs none of it
    from netsre.datapath.prefilter import Action  # noqa: PLC0415

    if drop + passes + (limit is not None) != 1:
        raise BadInput("write what becomes of packets: one of --drop, --limit RATE and --pass")
    if monitor and monitor_for is not None:
        raise BadInput("write one of --monitor and --monitor-for TIME")
    if ttl is not None and monitor_for is not None and monitor_for >= ttl:
        raise BadInput("the rule would end before it is enforced; write a longer --ttl")
    action = Action.DROP if drop else Action.PASS if passes else Action.LIMIT
    watches = _FOR_EVER if monitor else None if monitor_for is None else monitor_for / 1000
    return Asked(action, limit, None if ttl is None else ttl / 1000, watches)


@prefilter.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@click.option("--all", "everything", is_flag=True, help="All rules that there are.")
@_PINS
def remove(networks: tuple[str, ...], *, everything: bool, pins: Path | None) -> None:
    """Follow rules no more, and say what they have counted."""
    from netsre.app import prefiltering  # noqa: PLC0415  --help needs none of it

    if bool(networks) == everything:
        raise BadInput("write the networks of the rules, or --all")
    wanted = None if everything else prefiltering.networks_of(networks)
    gone = prefiltering.remove(_places(pins), wanted)
    for network, counts in list(gone.items())[:_SHOWN]:
        words = ", ".join(f"{name} {each.packets}" for name, each in counts._asdict().items() if each.packets)
        click.echo(f"removed: {network}; packets: {words or 'none'}")
    if len(gone) > _SHOWN or not gone:
        click.echo(f"{len(gone)} rules are removed")


@prefilter.command()
@click.argument("mode", type=click.Choice(["off", "monitor", "enforce"]))
@click.option(
    "--ttl",
    metavar="TIME",
    callback=parsed(ttl),
    help="It ends by itself, in the kernel: 30m, 1h30m.  [default: it stays]",
)
@_PINS
def mode(mode: str, ttl: int | None, pins: Path | None) -> None:
    """Say how strictly all rules are taken.

    `enforce` drops, `monitor` counts what would be dropped and lets it pass, `off` lets it pass.
    """
    from netsre.app import prefiltering  # noqa: PLC0415  --help needs none of it
    from netsre.datapath.policy.modes import Mode  # noqa: PLC0415

    setting = prefiltering.change(_places(pins), Mode(mode), None if ttl is None else ttl / 1000)
    click.echo(f"all rules: {words_of(setting)}")


@prefilter.command("list")
@_PINS
@JSON
def list_(pins: Path | None, *, as_json: bool) -> None:
    """Show the rules and what each has counted.

    With the mode, the interfaces, and what could not be decided.
    """
    from netsre.app import prefiltering  # noqa: PLC0415  --help needs none of it

    said = prefiltering.read(_places(pins))
    if as_json:
        click.echo(json.dumps(_document(said), indent=2))
    else:
        _show(said)


def _filtered(interfaces: Iterable[tuple[str, str]]) -> str:
    words = ", ".join(f"{literals.printable(name)} ({where})" for name, where in interfaces)
    return f"filtered: {words or 'no interface; netsre prefilter attach INTERFACE'}"


def _interfaces(said: "Said") -> list[tuple[str, str]]:
    from netsre.app import prefiltering  # noqa: PLC0415  --help needs none of it

    return [(name, where.value) for name, where in prefiltering.named(said).items()]


def _show_added(rules: "list[Rule]", said: "Said") -> None:
    for rule in rules[:_SHOWN]:
        click.echo(f"{rule.network}: {_action(rule)}, {_in_force(rule)}")
    if len(rules) > _SHOWN:
        click.echo(f"and {len(rules) - _SHOWN} more")
    for_all = words_of(said.state.mode)
    if for_all != "enforce":
        click.echo(f"all rules: {for_all}")
    if not said.interfaces:
        click.echo(_filtered([]))


def _action(rule: "Rule") -> str:
    word = rule.action.name.lower()
    return f"{word} {rule.limit.rate}/{rule.limit.burst}" if rule.limit else word


def _in_force(rule: "Rule") -> str:
    """Return how strictly a rule is taken, and until when."""
    from netsre.clock import boottime, duration_text  # noqa: PLC0415  --help needs none of it

    now = boottime()
    if rule.is_over(now):
        return "over"
    words = words_of(rule.mode)
    if rule.until_ns:
        words += f", ends in {duration_text((rule.until_ns - now) // 10**9 * 1000 or 1000)}"
    return words


def _document(said: "Said") -> dict[str, object]:
    from netsre.adapters.bpf.prefilter import USUAL  # noqa: PLC0415  --help needs none of it
    from netsre.clock import boottime  # noqa: PLC0415

    now = boottime()
    return {
        "mode": document_of(said.state.mode),
        "interfaces": [{"interface": name, "xdp": where} for name, where in _interfaces(said)],
        "rules": [
            {
                "network": each.name,
                "action": each.rule.action.name.lower(),
                "limit": each.rule.limit._asdict() if each.rule.limit else None,
                "mode": document_of(each.rule.mode),
                "secondsLeft": max(0, each.rule.until_ns - now) / 1e9 if each.rule.until_ns else None,
                **{word: one._asdict() for word, one in _counted(each).items()},
            }
            for each in _sorted(said)
        ],
        "events": {event.name.lower(): count for event, count in said.events.items()},
        "capacity": USUAL.rules,
    }


def _counted(one: "Counted") -> "dict[str, Drops]":
    from netsre.datapath.prefilter import Verdict  # noqa: PLC0415  --help needs none of it

    return {verdict.name.lower(): one.drops(verdict) for verdict in Verdict}


def _sorted(said: "Said") -> "list[Counted]":
    """Return rules, those that drop most first."""
    from netsre.datapath.prefilter import Verdict  # noqa: PLC0415  --help needs none of it

    return sorted(
        said.rules,
        key=lambda one: (
            *(-one.drops(verdict).packets for verdict in (Verdict.DROPPED, Verdict.AUDITED)),
            one.rule.network.version,
            one.rule.network,
        ),
    )


def _show(said: "Said") -> None:
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    click.echo(f"mode: {words_of(said.state.mode)}")
    click.echo(_filtered(_interfaces(said)))
    rules = _sorted(said)
    counts = (Column(word, justify="right") for word in ("passed", "dropped", "audited", "missed"))
    table = Table(Column("network", overflow="fold"), "action", "in force", *counts, box=None, pad_edge=False)
    for each in rules[:_SHOWN]:
        packets = (str(one.packets) for one in _counted(each).values())
        table.add_row(each.name, _action(each.rule), _in_force(each.rule), *packets)
    console.print()
    console.print(table if rules else "there are no rules; netsre prefilter add NETWORK --drop --monitor")
    if len(rules) > _SHOWN:
        click.echo(f"and {len(rules) - _SHOWN} more: --json has all")
    undecided = {event.name.lower(): count for event, count in said.events.items() if count}
    if undecided:
        click.echo(f"\npassed undecided: {', '.join(f'{name} {count}' for name, count in undecided.items())}")
