"""`netsre slo`: check service levels, see where they stand, and replay series through them."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click

from netsre import conventions
from netsre.cli.main import LazyCommand
from netsre.errors import Finding, SpecErrors

# Commands of modules of their own, imported when called: `validate` needs neither HTTP nor tables.
_ELSEWHERE: Final[Mapping[str, LazyCommand]] = MappingProxyType(
    {
        "simulate": LazyCommand(
            "netsre.cli.slo_simulate:simulate", "Replay recorded series: what fires when."
        ),
        "status": LazyCommand("netsre.cli.slo_status:status", "Show where every service level stands."),
    }
)


class _SloGroup(click.Group):
    """The commands here, and those of `_ELSEWHERE`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = _ELSEWHERE[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx  # nothing is imported to be listed
        lines = {name: command.get_short_help_str(60) for name, command in self.commands.items()}
        lines.update({name: command.help for name, command in _ELSEWHERE.items()})
        with formatter.section("Commands"):
            formatter.write_dl(sorted(lines.items()))


@click.group(cls=_SloGroup)
def slo() -> None:
    """Check service levels and show where they stand."""


@slo.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[PATH]...")
@click.option(
    "--policies",
    type=click.Path(exists=True, path_type=Path),
    help="Burn policies beside those in PATH.  [default: those shipped with netsre]",
)
@click.option(
    "--runbooks",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Runbooks that service levels and alerts may name beside those shipped.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def validate(
    ctx: click.Context,
    paths: tuple[Path, ...],
    policies: Path | None,
    runbooks: tuple[Path, ...],
    *,
    as_json: bool,
) -> None:
    """Check files of service levels and alerts.

    By default those shipped; burn policies are checked with them. Exits 1 when there are findings; their
    codes are explained in docs/codes.md.
    """
    from netsre.app import runbooks as books  # noqa: PLC0415  # only when the command runs
    from netsre.app import service_levels  # noqa: PLC0415

    findings: tuple[Finding, ...] = ()
    names: dict[str, list[str]] = {"slos": [], "alerts": [], "policies": []}
    try:
        found = service_levels.load(paths, policies, books.known(runbooks))
        names = {
            "slos": [one.name for one in found.slos],
            "alerts": [one.name for one in found.alerts],
            "policies": [one.name for one in found.policies],
        }
    except SpecErrors as error:
        findings = error.findings
    if as_json:
        click.echo(json.dumps(_document(findings, names), indent=2))
    else:
        for finding in findings:
            click.echo(str(finding))
        click.echo(_summary(findings, names))
    ctx.exit(conventions.EXIT_NO if findings else conventions.EXIT_OK)


def _document(findings: tuple[Finding, ...], names: Mapping[str, list[str]]) -> dict[str, object]:
    lines = [{"file": f.file, "line": f.line, "code": f.code, "message": f.message} for f in findings]
    return {"valid": not findings, **names, "findings": lines}


def _summary(findings: tuple[Finding, ...], names: Mapping[str, list[str]]) -> str:
    if findings:
        files = len({finding.file for finding in findings})
        return f"{_count(len(findings), 'finding')} in {_count(files, 'file')}"
    words = {"slos": "SLO", "alerts": "alert", "policies": "burn policy"}
    counted = ", ".join(_count(len(names[key]), word) for key, word in words.items())
    return f"{counted}: no findings"


def _count(number: int, what: str) -> str:
    plural = what.removesuffix("y") + "ies" if what.endswith("y") else what + "s"
    return f"{number} {what if number == 1 else plural}"
