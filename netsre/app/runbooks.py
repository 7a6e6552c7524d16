"""What `netsre runbook` reads from files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from netsre import clock
from netsre.app import resources
from netsre.errors import BadInput, Finding, SpecErrors
from netsre.model import literals
from netsre.model.runbooks import Runbook
from netsre.runbook import parsing
from netsre.runbook.actions.catalogue import ACTIONS


def read(paths: Sequence[str | Path]) -> tuple[Runbook, ...]:
    """Read runbooks, the shipped ones when no path is given; raises `SpecErrors`."""
    chosen = [Path(path) for path in paths] or [resources.directory("runbooks")]
    return parsing.parse(resources.texts(chosen, ".yaml", ".yml"), ACTIONS)


def pages(books: Iterable[Runbook]) -> Mapping[str, str]:
    """Return the page of every runbook by name: the shipped ones as written, of others what they do."""
    plain = {book.name: f"# {book.name}\n\n" + "".join(_lines(book)) for book in books}
    return MappingProxyType({**plain, **resources.runbook_pages()})


def find(name: str, paths: Sequence[str | Path]) -> Runbook:
    """Return one runbook; an unknown name raises `BadInput` with the nearest known."""
    found = {book.name: book for book in read(paths)}
    if name not in found:
        message = f"runbook {literals.shown(name)} does not exist{literals.nearest(name, found)}"
        raise BadInput(message)
    return found[name]


def lint(paths: Sequence[Path]) -> tuple[int, tuple[Finding, ...]]:
    """Return how many runbooks are right, and everything that is wrong."""
    try:
        return len(read(paths)), ()
    except SpecErrors as error:
        return 0, error.findings


def page(name: str) -> str | None:
    """Return the page of a shipped runbook."""
    return resources.runbook_pages().get(name)


def describe(book: Runbook) -> dict[str, Any]:
    """Return a runbook as JSON."""
    return {
        "name": book.name,
        "on": [f"{trigger.alert} {trigger.transition.value}" for trigger in book.triggers],
        "mode": book.mode,
        "lock": book.lock,
        "cooldown": clock.duration_text(book.limits.cooldown),
        "per_hour": book.limits.per_hour,
        "steps": [step.action for step in book.steps],
        "file": f"{book.origin.file}:{book.origin.line}",
    }


def _lines(book: Runbook) -> Iterator[str]:
    for key, value in describe(book).items():
        yield f"- {key}: {', '.join(map(str, value)) if isinstance(value, list) else value}\n"
