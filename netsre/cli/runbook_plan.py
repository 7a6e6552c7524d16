"""The plan of a runbook, for people: gates, evidence that counts, and the exact effects."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from netsre.app import run_lines
from netsre.errors import SourceUnreachable
from netsre.model import literals
from netsre.runbook import decide


def show(document: object) -> None:
    """Print the controller's answer; raises `SourceUnreachable` for one that is no plan."""
    try:
        tables = list(_parts(document))
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceUnreachable("the controller's plan is not readable: is it of this version?") from error
    console = Console()
    for part in tables:
        console.print(part)


def _parts(document: Any) -> Iterator[Table | Text]:  # noqa: ANN401 - JSON
    asks = {"propose": "would ask people to act", "veto": "would act unless people deny it"}
    verdict = asks.get(document["mode"], "would act") if document["accepted"] else "would not act"
    said = f"{document['runbook']} {verdict} on {document['target'] or 'no target'} ({document['reason']})"
    yield Text(literals.printable(said), style="bold green" if document["accepted"] else "bold red")
    if document["problem"]:
        yield _text(document["problem"])
    yield _gates(document["gates"])
    if document["plan"] is not None:
        yield _steps(document["plan"]["steps"])
        given = document["plan"].get("parameters", {})
        with_them = f" with {', '.join(f'{key}={value}' for key, value in given.items())}" if given else ""
        yield _text(f"plan {document['plan']['hash']}{with_them}")


def _gates(gates: list[Mapping[str, Any]]) -> Table:
    table = Table("gate", "answer", "because", box=None, pad_edge=False)
    for gate in gates:
        passed = bool(gate["passed"])
        style = "" if passed else "bold red"
        table.add_row(
            _text(decide.title(gate["gate"]) if passed else gate["gate"]),
            "yes" if passed else "REFUSES",
            _text(gate["detail"]),
            style=style,
        )
    return table


def _steps(steps: list[Mapping[str, Any]]) -> Table:
    table = Table("step", "does", "effect", box=None, pad_edge=False)
    for step in steps:
        said = _said(step)
        if step["if"]:
            said = f"only if {step['if']}: {said}"
        table.add_row(_text(f"{step['step']} {step['action']}"), _text(step["kind"]), _text(said))
    return table


def _said(step: Mapping[str, Any]) -> str:
    if step["effect"]:
        return run_lines.effect_text(step["effect"])
    loop = step.get("round")
    if step["kind"] == "later":
        where = f"round {loop['number']} of {loop['times']}, " if loop else ""
        return f"{where}by what is seen then"
    return " ".join(str(step[key]) for key in ("reason", "message")).strip()


def _text(value: object) -> Text:
    # Labels of an alert come from outside: nothing in them is markup.
    return Text(literals.printable(str(value)), overflow="fold")
