"""`netsre policy`: what network policies decide, what is wrong with them, what becomes of them; offline."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from netsre import conventions
from netsre.cli.options import parsed
from netsre.cli.progress import Progress
from netsre.errors import Finding
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.datapath.policy.compiler import Compiled
    from netsre.datapath.policy.ends import End
    from netsre.datapath.policy.reference import Answer, Verdict

_WIDTH: Final = 80
_STYLES: Final = {"allow": "bold green", "deny": "bold red", "audit": "bold yellow"}

JSON: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)
ENDPOINTS: Final = click.option(
    "--endpoints",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    metavar="FILE",
    help="The list of endpoints.",
)


def _service(text: str) -> Any:  # noqa: ANN401 - a Service, whose module --help does not need
    from netsre.datapath.policy import ends  # noqa: PLC0415

    return ends.service(text)


@click.group()
def policy() -> None:
    """Ask network policies what they decide, and check them."""


@policy.command()
@click.option(
    "--endpoints",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="The list of endpoints.  [default: none, all is addresses]",
)
@click.option(
    "--policies",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    metavar="PATH",
    help="Files or directories of policies; may be repeated.",
)
@click.option("--from", "source", required=True, metavar="A", help="namespace/name, an address, or host.")
@click.option("--to", "destination", required=True, metavar="B", help="The same of the other end.")
@click.option(
    "--port",
    required=True,
    metavar="PORT",
    callback=parsed(_service),
    help="80/TCP, 53/UDP, 38412/SCTP; a type of ICMP as 8/ICMP or 128/ICMPv6.",
)
@click.option(
    "--monitor",
    metavar="NAME",
    multiple=True,
    help="As if this policy were on monitor, as namespace/name; may be repeated.",
)
@click.option("--off", metavar="NAME", multiple=True, help="The same of one that is off.")
@JSON
def verdict(
    *,
    endpoints: Path | None,
    policies: tuple[Path, ...],
    source: str,
    destination: str,
    as_json: bool,
    **asked: Any,
) -> None:
    """Say what policies decide, and by which rule.

    As files say it, all enforced: what a node has in force beside that is not asked (modes, orders to deny, a
    canary). With --monitor the answer may be audit: it passes, and is counted. Exits 0 with an answer,
    whichever it is.
    """
    from netsre.app import policies as app  # noqa: PLC0415  --help needs none of it
    from netsre.datapath.policy.reference import Staged  # noqa: PLC0415

    known = app.endpoints(endpoints) if endpoints is not None else ()
    staged = Staged(frozenset(asked["monitor"]), frozenset(asked["off"]))
    between = source, destination
    one, other, found = app.verdict(app.read(policies, endpoints), known, between, asked["port"], staged)
    if as_json:
        click.echo(json.dumps({**verdict_document(found), "from": _end(one), "to": _end(other)}, indent=2))
    else:
        _show(one, other, found)


@policy.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@click.option(
    "--endpoints",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="Also find what is about no endpoint of this list.",
)
@click.option(
    "--flows",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A flow log, with its rotated files; may be repeated.",
)
@click.option(
    "--unused-for",
    metavar="TIME",
    callback=parsed(literals.parse_duration),
    help="With --flows and --endpoints: also find rules that explain no flow of so long, such as 7d.",
)
@JSON
@click.pass_context
def lint(
    ctx: click.Context,
    paths: tuple[Path, ...],
    endpoints: Path | None,
    *,
    flows: tuple[Path, ...],
    unused_for: int | None,
    as_json: bool,
) -> None:
    """Find what cannot be read, does nothing, or allows too much.

    Exits 1 when there are findings; their codes are explained in docs/codes.md.
    """
    from netsre.app import policies as app  # noqa: PLC0415  --help needs none of it
    from netsre.app import policy_flows  # noqa: PLC0415

    if bool(flows) != (unused_for is not None) or (flows and endpoints is None):
        raise click.UsageError("--flows, --unused-for and --endpoints belong together")
    notes: tuple[str, ...] = ()
    if endpoints is not None and unused_for is not None:
        with Reading() as reading:
            found, told = policy_flows.linted(paths, endpoints, flows, unused_for, reading)
        findings, notes = told.findings, told.notes
    else:
        found, findings = app.findings(paths, endpoints)
    if as_json:
        names = [one.name for one in found]
        document = _lint_document(names, findings) | ({"notes": list(notes)} if flows else {})
        click.echo(json.dumps(document, indent=2))
    else:
        _show_findings(len(found), findings)
        for note in notes:
            click.echo(_wrapped(f"not said: {note}"))
    ctx.exit(conventions.EXIT_NO if findings else conventions.EXIT_OK)


@policy.command("compile")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@ENDPOINTS
@JSON
def compile_(paths: tuple[Path, ...], endpoints: Path, *, as_json: bool) -> None:
    """Show what a kernel would hold of them, and what that takes.

    Changes nothing. Exits 3 when it is more than a kernel may hold.
    """
    from netsre.app import policies as app  # noqa: PLC0415  --help needs none of it

    document = _compile_document(app.compiled(paths, endpoints))
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show_compiled(document)


def _compile_document(found: "Compiled") -> dict[str, Any]:
    from netsre.datapath.policy.budget import BUDGET  # noqa: PLC0415
    from netsre.datapath.policy.layouts import Map  # noqa: PLC0415

    encoded, seconds = found.encoded, {stage.value: took for stage, took in found.seconds.items()}
    return {
        "policies": len(found.policies),
        "endpoints": len(found.endpoints),
        "identities": len(found.resolved.numbers),
        "rules": len(encoded.numbers.rules.known),
        "tables": len(encoded.parts[Map.ENTRIES]),
        "seconds": {**seconds, "total": sum(seconds.values())},
        "maps": {one.value: {"entries": encoded.size(one), "budget": BUDGET[one]} for one in Map},
    }


def _show_compiled(document: dict[str, Any]) -> None:
    policies, endpoints = (
        _count(document["policies"], "policy", "policies"),
        _count(document["endpoints"], "endpoint"),
    )
    seconds = document["seconds"]
    click.echo(f"compiled {policies} for {endpoints} in {seconds['total']:.2f} s; nothing was changed")
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    stages = Table("stage", Column("took", justify="right"), box=None, pad_edge=False)
    for stage in [*seconds][:-1]:
        stages.add_row(stage, f"{1000 * seconds[stage]:.0f} ms")
    numbers = (Column(one, justify="right") for one in ("entries", "at most", ""))
    maps = Table("kernel map", *numbers, box=None, pad_edge=False)
    for name, one in document["maps"].items():
        maps.add_row(
            name, str(one["entries"]), str(one["budget"]), f"{_share(one['entries'], one['budget'])} %"
        )
    console.print(stages, maps, sep="\n")
    identities = _count(document["identities"], "identity", "identities")
    click.echo(f"{identities}, {_count(document['rules'], 'rule')}, {_count(document['tables'], 'table')}")
    click.echo("next: netsre policy verdict says what they decide about a connection")


def _share(part: int, whole: int) -> int:
    """Return a percentage, rounded up: what is nearly full does not look as if there were room."""
    return -(-100 * part // whole)


def warn(line: str) -> None:
    """Write a line that is no part of the answer."""
    click.echo(literals.printable(line), err=True)


class Reading(Progress):
    """Tells how far flow logs were read, and at the end what was wrong with them."""

    def __init__(self) -> None:
        """Begin now."""
        super().__init__("megabytes of flow logs")
        self._said: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line until the one that changes is gone."""
        self._said.append(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line of progress away, and write the others."""
        super().__exit__(kind, error, trace)
        for line in self._said:
            warn(line)


def _lint_document(names: list[str], findings: Sequence[Finding]) -> dict[str, object]:
    lines = [{"file": f.file, "line": f.line, "code": f.code, "message": f.message} for f in findings]
    return {"valid": not findings, "policies": names, "findings": lines}


def _show_findings(policies: int, findings: Sequence[Finding]) -> None:
    """Print each finding under its place, which stays on one line so that an editor can jump there."""
    for one in findings:
        click.echo(f"{one.file}:{one.line}: {one.code}")
        click.echo(_wrapped(one.message))
    if findings:
        files = len({one.file for one in findings})
        click.echo(f"{_count(len(findings), 'finding')} in {_count(files, 'file')}")
    else:
        click.echo(f"{_count(policies, 'policy', 'policies')}: no findings")


def _wrapped(text: str) -> str:
    # A path with a dash in it must not be broken there.
    wrapper = textwrap.TextWrapper(_WIDTH, break_on_hyphens=False, break_long_words=False)
    wrapper.initial_indent = wrapper.subsequent_indent = "  "
    return wrapper.fill(text)


def _count(number: int, what: str, several: str | None = None) -> str:
    return f"{number} {what if number == 1 else several or f'{what}s'}"


def verdict_document(found: "Verdict") -> dict[str, object]:
    """Return a verdict with what each end says."""
    return {
        "verdict": found.decision.value,
        "rule": found.rule,
        "direction": found.direction.value,
        "egress": _answer(found.egress),
        "ingress": _answer(found.ingress),
    }


def _answer(answer: "Answer") -> dict[str, object]:
    rule = answer.rule
    place: dict[str, object] = (
        {"file": rule.origin.file, "line": rule.origin.line} if rule is not None else {}
    )
    if answer.isolating:
        place = {"isolatedBy": list(answer.isolating)}
    return {
        "verdict": answer.decision.value,
        "reason": answer.reason.name.lower(),
        "rule": answer.name,
        **place,
    }


def _place(answer: "Answer") -> str:
    """Return where a rule stands, or which policies isolate where there is no rule."""
    if answer.rule is not None:
        return f"{answer.rule.origin.file}:{answer.rule.origin.line}"
    return ", ".join(answer.isolating)


def because_of(answer: "Answer") -> str:
    """Return the rule of an answer, or why there is none, with its place."""
    where = _place(answer)
    return f"{answer.name} ({where})" if where else answer.name


def _end(end: "End") -> dict[str, object]:
    return {
        "kind": end.kind.value,
        "endpoint": end.endpoint.full_name if end.endpoint is not None else None,
        "address": str(end.address) if end.address is not None else None,
    }


def _show(source: "End", destination: "End", found: "Verdict") -> None:
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    console.print(
        Text.assemble(
            (found.decision.value, _STYLES[found.decision]),
            literals.printable(f"  {source} → {destination}: {found.rule}"),
        )
    )
    table = Table("side", "says", "because", box=None, pad_edge=False)
    for side, answer in (("egress", found.egress), ("ingress", found.ingress)):
        because = Text(literals.printable(because_of(answer)), overflow="fold")
        table.add_row(side, Text(answer.decision.value, style=_STYLES[answer.decision]), because)
    console.print(table)
