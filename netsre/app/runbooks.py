"""What `netsre runbook` reads from files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from netsre import clock
from netsre.app import resources, service_levels
from netsre.errors import BadInput, Finding, SpecErrors
from netsre.model import gamedays, literals, specs
from netsre.model.runbooks import Runbook
from netsre.runbook import parsing
from netsre.runbook.actions.catalogue import ACTIONS

_SUFFIXES: Final = (".yaml", ".yml")


def read(paths: Sequence[str | Path], slos: Sequence[Path] = ()) -> tuple[Runbook, ...]:
    """Read runbooks, the shipped ones when no path is given; raises `SpecErrors`.

    They may name the alerts and SLOs in `slos`, and always those shipped: a runbook whose alert nobody asks
    for waits, and harms nobody.
    """
    levels = [service_levels.load(), *([service_levels.load(slos)] if slos else [])]
    names = parsing.Known(
        alerts=frozenset(name for found in levels for name in found.alert_names),
        slos=frozenset(slo.name for found in levels for slo in found.slos),
    )
    return parsing.parse(resources.texts(_chosen(paths), *_SUFFIXES), ACTIONS, names)


def known(paths: Sequence[str | Path]) -> frozenset[str]:
    """Return what an alert may name as its runbook: whatever has a page, also when it cannot be read yet.

    What is wrong with a file is for `read` to say, which needs the alerts first.
    """
    texts = resources.texts(_chosen(paths), *_SUFFIXES)
    documents = (
        document
        for file, text in texts.items()
        for document in specs.documents(text, file, {parsing.KIND, gamedays.KIND}, specs.Findings())
        if document.kind == parsing.KIND
    )
    return frozenset(document.name for document in documents) | resources.runbook_pages().keys()


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
        "max_targets": book.limits.max_targets,
        "min_healthy": f"{book.limits.min_healthy}%",
        "steps": [step.action for step in book.steps],
        "verify": book.verify.slo if book.verify else None,
        "on_failure": book.on_failure,
        "file": f"{book.origin.file}:{book.origin.line}",
    }


def _chosen(paths: Sequence[str | Path]) -> list[Path]:
    return [Path(path) for path in paths] or [resources.directory("runbooks")]


def _lines(book: Runbook) -> Iterator[str]:
    for key, value in describe(book).items():
        yield f"- {key}: {', '.join(map(str, value)) if isinstance(value, list) else value}\n"
