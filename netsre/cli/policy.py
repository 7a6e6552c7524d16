"""`netsre policy`: what network policies decide, and what is wrong with them, offline."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from netsre import conventions
from netsre.cli.options import parsed
from netsre.errors import Finding
from netsre.model import literals

if TYPE_CHECKING:
    from netsre.datapath.policy.ends import End
    from netsre.datapath.policy.reference import Answer, Verdict

_WIDTH: Final = 80
_STYLES: Final = {"allow": "bold green", "deny": "bold red"}


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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def verdict(
    *,
    endpoints: Path | None,
    policies: tuple[Path, ...],
    source: str,
    destination: str,
    as_json: bool,
    **asked: Any,
) -> None:
    """Say what policies decide about a connection, and by which rule.

    Exits 0 with an answer, whichever it is.
    """
    from netsre.app import policies as app  # noqa: PLC0415  --help needs none of it

    known = app.endpoints(endpoints) if endpoints is not None else ()
    one, other, found = app.verdict(app.read(policies, endpoints), known, source, destination, asked["port"])
    if as_json:
        click.echo(json.dumps(_document(one, other, found), indent=2))
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def lint(ctx: click.Context, paths: tuple[Path, ...], endpoints: Path | None, *, as_json: bool) -> None:
    """Find what cannot be read, does nothing, or allows too much.

    Exits 1 when there are findings; their codes are explained in docs/codes.md.
    """
    from netsre.app import policies as app  # noqa: PLC0415  --help needs none of it

    found, findings = app.findings(paths, endpoints)
    if as_json:
        click.echo(json.dumps(_lint_document([one.name for one in found], findings), indent=2))
    else:
        _show_findings(len(found), findings)
    ctx.exit(conventions.EXIT_NO if findings else conventions.EXIT_OK)


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
        click.echo(f"{policies} {'policy' if policies == 1 else 'policies'}: no findings")


def _wrapped(text: str) -> str:
    # A path with a dash in it must not be broken there.
    wrapper = textwrap.TextWrapper(_WIDTH, break_on_hyphens=False, break_long_words=False)
    wrapper.initial_indent = wrapper.subsequent_indent = "  "
    return wrapper.fill(text)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _document(source: "End", destination: "End", found: "Verdict") -> dict[str, object]:
    return {
        "verdict": found.decision.value,
        "rule": found.rule,
        "direction": found.direction.value,
        "egress": _answer(found.egress),
        "ingress": _answer(found.ingress),
        "from": _end(source),
        "to": _end(destination),
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
        place = f" ({_place(answer)})" if _place(answer) else ""
        because = Text(literals.printable(f"{answer.name}{place}"), overflow="fold")
        table.add_row(side, Text(answer.decision.value, style=_STYLES[answer.decision]), because)
    console.print(table)
