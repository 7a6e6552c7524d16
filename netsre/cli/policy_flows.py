"""`netsre policy suggest` and `diff`: policies beside the flows that were observed, offline."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.text import Text

from netsre import conventions
from netsre.cli import policing  # noqa: F401 - its commands are of the same group
from netsre.cli.policy import ENDPOINTS, JSON, Reading, because_of, policy, verdict_document, warn
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.datapath.policy.changes import Change
    from netsre.datapath.policy.observed import Observed
    from netsre.datapath.policy.suggest import Suggestion

_WIDTH: Final = 80
_INDENT: Final = "    "
_STYLES: Final = {"allow": "bold green", "deny": "bold red"}

_FLOWS: Final = click.option(
    "--flows",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    metavar="FILE",
    help="A flow log, with its rotated files; may be repeated, once for each node.",
)


def _networks(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[Any]:
    from netsre.model.policies import parts  # noqa: PLC0415  --help needs none of it

    try:
        return [parts.network(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


@policy.command()
@_FLOWS
@ENDPOINTS
@click.option("--namespace", metavar="NS", help="Only for the endpoints of this namespace.  [default: all]")
@click.option(
    "--join-networks",
    multiple=True,
    metavar="CIDR",
    callback=_networks,
    help="Allow all of it where one address of it was seen; may be repeated.  [default: single addresses]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a file for each namespace there.  [default: one text on stdout]",
)
def suggest(
    flows: tuple[Path, ...],
    endpoints: Path,
    namespace: str | None,
    join_networks: list[Any],
    out: Path | None,
) -> None:
    """Write policies that allow what was delivered alone.

    They are NetworkPolicies. What failed or was denied is listed in comments, and not allowed.
    """
    from netsre.app import generate, policy_flows  # noqa: PLC0415  --help needs none of it
    from netsre.datapath.policy import suggest_yaml  # noqa: PLC0415

    with Reading() as reading:
        found, observed = policy_flows.suggestions(flows, endpoints, namespace, join_networks, reading)
    if out is None:
        click.echo(suggest_yaml.text(found, observed), nl=False)
    else:
        files = suggest_yaml.files(found, observed)
        report = generate.write(files, out)
        for name in sorted(files):
            click.echo(f"{out / name}: {'written' if name in report.outdated else 'current'}")
    warn(_summary(found, observed))


def _summary(found: Sequence["Suggestion"], observed: "Observed") -> str:
    refused = sum(len(some) for one in found for some in one.refused.values())
    silent = sum(not any(one.rules.values()) for one in found)
    return (
        f"{len(found)} {'policy' if len(found) == 1 else 'policies'} from {len(observed.flows)} flows; "
        f"{silent} allow nothing; not allowed: {refused}, listed in comments"
    )


@policy.command()
@click.argument("old", type=click.Path(exists=True, path_type=Path), metavar="OLD")
@click.argument("new", type=click.Path(exists=True, path_type=Path), metavar="NEW")
@_FLOWS
@ENDPOINTS
@JSON
@click.pass_context
def diff(
    ctx: click.Context,
    old: Path,
    new: Path,
    flows: tuple[Path, ...],
    endpoints: Path,
    *,
    as_json: bool,
) -> None:
    """Say which observed flows get another verdict.

    With the rules that decide. OLD and NEW are files or directories of policies. Exits 1 when a flow that
    was allowed is denied.
    """
    from netsre.app import policy_flows  # noqa: PLC0415  --help needs none of it

    with Reading() as reading:
        found, observed = policy_flows.changed(old, new, flows, endpoints, reading)
    denied = sum(one.denies for one in found)
    if as_json:
        document = {
            "flows": len(observed.flows),
            "denied": denied,
            "allowed": len(found) - denied,
            "withoutAddress": observed.without_address,
            "changes": [_document(one) for one in found],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _show(found, denied, observed)
    ctx.exit(conventions.EXIT_NO if denied else conventions.EXIT_OK)


def _document(change: "Change") -> dict[str, object]:
    flow, tally = change.flow, change.flow.all
    return {
        "from": str(flow.source),
        "to": str(flow.destination),
        "service": f"{flow.service.port}/{flow.service.protocol}",
        "count": tally.count,
        "outcomes": {outcome: one.count for outcome, one in flow.tallies.items()},
        "first": tally.first,
        "last": tally.last,
        "before": verdict_document(change.before),
        "after": verdict_document(change.after),
    }


def _show(found: Sequence["Change"], denied: int, observed: "Observed") -> None:
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    for one in found:
        for line in _lines(one):
            console.print(line, soft_wrap=True)
    console.print(
        f"{len(observed.flows)} observed flows: {denied} denied now, {len(found) - denied} allowed now, "
        f"{len(observed.flows) - len(found)} as before",
        soft_wrap=True,
    )
    if observed.without_address:
        warn(f"left out: {observed.without_address} attempts with an end of no known address")


def _lines(change: "Change") -> Iterator[Text]:
    flow, tally, after = change.flow, change.flow.all, change.after.decision.value
    what = f"{flow.source} → {flow.destination} {flow.service.port}/{flow.service.protocol}"
    first, *rest = _wrapped(f"{change.before.decision.value} → {after}  {what}", "", _INDENT)
    head = Text(first)
    begin = len(f"{change.before.decision.value} → ")
    head.stylize(_STYLES[after], begin, begin + len(after))
    yield head
    # The end that makes the difference: what the other one says may be the same.
    side = (change.after if change.denies else change.before).direction.value
    outcomes = ", ".join(f"{one.count} {outcome}" for outcome, one in flow.tallies.items())
    texts = [
        f"{outcomes}; last {tally.last}",
        f"before: {side}, {because_of(getattr(change.before, side))}",
        f"after: {side}, {because_of(getattr(change.after, side))}",
    ]
    for line in (*rest, *(row for text in texts for row in _wrapped(text, _INDENT, _INDENT * 2))):
        yield Text(line)


def _wrapped(text: str, first: str, later: str) -> list[str]:
    wrapper = textwrap.TextWrapper(_WIDTH, break_on_hyphens=False, break_long_words=False)
    wrapper.initial_indent, wrapper.subsequent_indent = first, later
    return wrapper.wrap(literals.printable(text))
