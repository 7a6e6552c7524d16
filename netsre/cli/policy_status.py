"""What `netsre policy status` prints."""

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from netsre.cli.policy_follow import following_document, shown_following
from netsre.cli.policy_trials import shown_trial, trial_document
from netsre.cli.times import document_of, words_of
from netsre.model import literals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsre.app.policing.status import KeptRevision, Status

_WIDTH: Final = 80
_RULES: Final = 10
_NAMES: Final = 6


def listed(names: "Sequence[str]") -> str:
    """Return names for people: some of many, and how many there are."""
    if len(names) <= _NAMES:
        return ", ".join(names)
    return (
        f"{len(names)} interfaces: {', '.join(names[:_NAMES])} and {len(names) - _NAMES} more; --json has all"
    )


def document(found: "Status") -> dict[str, object]:
    """Return it as JSON can carry it."""
    return {
        "revisions": [
            {
                "revision": one.number,
                "inForce": one.in_force,
                "policies": one.made.policies if one.made else None,
                "rules": one.made.rules if one.made else None,
                "at": _at(one) or None,
            }
            for one in found.revisions
        ],
        "mode": document_of(found.everybody),
        "endpointModes": {name: document_of(one) for name, one in found.endpoints.items()},
        "policyModes": {name: document_of(one) for name, one in found.policies.items()},
        "canary": trial_document(found.trial) if found.trial is not None else None,
        "following": following_document(found.following),
        "staggered": found.staggered,
        "interfaces": list(found.interfaces),
        "elsewhere": found.elsewhere,
        "programs": found.programs.digest or None,
        "programsGoneBackFrom": found.programs.kept if found.programs.is_left else None,
        "unreadable": list(found.unreadable),
        "orders": found.orders,
        "verdicts": [{**one._asdict(), "direction": one.direction.value} for one in found.verdicts],
        "events": {event.name.lower(): count for event, count in found.events.items()},
        "maps": {name: {"entries": used, "capacity": most} for name, (used, most) in found.entries.items()},
    }


def _at(one: "KeptRevision") -> str:
    from netsre.clock import Timestamp, rfc3339  # noqa: PLC0415

    return rfc3339(Timestamp(one.made.at)) if one.made else ""


def show(found: "Status") -> None:
    """Print it for people."""
    console = Console(width=None if Console().is_terminal else _WIDTH, highlight=False)
    revisions = Table("revision", "in force", "policies", "rules", "since", box=None, pad_edge=False)
    for one in found.revisions:
        numbers = (str(one.made.policies), str(one.made.rules)) if one.made else ("", "")
        revisions.add_row(str(one.number), "yes" if one.in_force else "", *numbers, _at(one))
    console.print(revisions)
    console.print(f"\nmode: {words_of(found.everybody)}")
    for name, setting in found.endpoints.items():
        console.print(Text(literals.printable(f"mode of {name}: {words_of(setting)}")))
    for name, setting in found.policies.items():
        console.print(Text(literals.printable(f"mode of policy {name}: {words_of(setting)}")))
    if found.trial is not None:
        console.print(Text(literals.printable(shown_trial(found.trial))))
    if found.following is not None:
        console.print(Text(literals.printable(shown_following(found.following))))
    if found.orders:
        count = "1 order" if found.orders == 1 else f"{found.orders} orders"
        console.print(f"denied before all policies: {count}; netsre policy deny lists them")
    console.print(Text(literals.printable(f"policed: {listed(found.interfaces) or 'no interface'}")))
    left = _left(found)
    for line in (*filter(None, (found.staggered, found.elsewhere, left)), *found.unreadable):
        console.print(Text(literals.printable(line), style="yellow"))
    fills = ", ".join(
        f"{name.removeprefix('policy_')} {used} of {most}" for name, (used, most) in found.entries.items()
    )
    console.print(f"entries: {fills}")
    beside = (f"{event.name.lower()} {count}" for event, count in found.events.items() if count)
    console.print(f"beside policies: {', '.join(beside) or 'no packet'}\n")
    _show_verdicts(console, found)


def _left(found: "Status") -> str | None:
    """Return in one line that somebody went back from programs; None where nobody did."""
    if not found.programs.is_left:
        return None
    from netsre.app.policing.programs import shown  # noqa: PLC0415

    return (
        f"policy programs {shown(found.programs.kept)} were gone back from: {shown(found.programs.digest)} "
        "decide; netsre policy programs"
    )


def _show_verdicts(console: Console, found: "Status") -> None:
    table = Table("verdict", "direction", "packets", "connections", "rule", box=None, pad_edge=False)
    for one in found.verdicts[:_RULES]:
        style = {"denied": "bold red", "audited": "yellow"}.get(one.verdict, "green")
        rule = Text(literals.printable(one.rule), overflow="fold")
        verdict = Text(one.verdict, style=style)
        table.add_row(verdict, one.direction.value, str(one.packets), str(one.connections), rule)
    console.print(table if found.verdicts else "nothing was decided yet")
    if len(found.verdicts) > _RULES:
        console.print(f"and {len(found.verdicts) - _RULES} more: --json has all")
