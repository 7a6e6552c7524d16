"""What `netsre runbook` reads from files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from netsre import clock
from netsre.app import resources, service_levels, step_lines
from netsre.errors import BadInput, Finding, SpecErrors
from netsre.model import linting, literals, specs
from netsre.model.directory import ALONE, Directory
from netsre.model.runbooks import Runbook, Trigger, Veto
from netsre.runbook import conditions, parameters, parsing, people_files
from netsre.runbook.actions.catalogue import ACTIONS

_SUFFIXES: Final = (".yaml", ".yml")


def read(
    paths: Sequence[str | Path], slos: Sequence[Path] = (), directory: Directory | None = None
) -> tuple[Runbook, ...]:
    """Read runbooks, the shipped ones when no path is given; raises `SpecErrors`.

    `directory` has the people that they may ask; None: anybody will do.

    They may name the alerts and SLOs in `slos`, and always those shipped: a runbook whose alert nobody asks
    for waits, and harms nobody.
    """
    levels = [service_levels.load(), *([service_levels.load(slos)] if slos else [])]
    names = parsing.Known(
        alerts=frozenset(name for found in levels for name in found.alert_names),
        slos=frozenset(slo.name for found in levels for slo in found.slos),
        directory=directory,
    )
    return parsing.parse(resources.texts(_chosen(paths), *_SUFFIXES), ACTIONS, names)


def people(paths: Sequence[str | Path]) -> Directory:
    """Return everybody that files of people name, beside the operator; raises `SpecErrors`."""
    chosen = [Path(path) for path in paths]
    return people_files.parse(resources.texts(chosen, *_SUFFIXES)) if chosen else ALONE


def known(paths: Sequence[str | Path]) -> frozenset[str]:
    """Return what an alert may name as its runbook: whatever has a page, also when it cannot be read yet.

    What is wrong with a file is for `read` to say, which needs the alerts first.
    """
    texts = resources.texts(_chosen(paths), *_SUFFIXES)
    documents = specs.of_files(texts, {parsing.KIND}, linting.Findings(), parsing.BESIDE)
    return frozenset(document.name for document in documents) | resources.runbook_pages().keys()


def pages(books: Iterable[Runbook]) -> Mapping[str, str]:
    """Return the page of every runbook by name: the shipped ones as written, of others what they do."""
    plain = {book.name: f"# {book.name}\n\n" + "".join(_list(book)) for book in books}
    return MappingProxyType({**plain, **resources.runbook_pages()})


def find(name: str, paths: Sequence[str | Path]) -> Runbook:
    """Return one runbook; an unknown name raises `BadInput` with the nearest known."""
    found = {book.name: book for book in read(paths)}
    if name not in found:
        message = f"runbook {literals.shown(name)} does not exist{literals.nearest(name, found)}"
        raise BadInput(message)
    return found[name]


def lint(paths: Sequence[Path], named: Sequence[Path] = ()) -> tuple[int, tuple[Finding, ...]]:
    """Return how many runbooks are right, and everything that is wrong; `named` are files of people."""
    try:
        return len(read(paths, directory=people(named) if named else None)), ()
    except SpecErrors as error:
        return 0, error.findings


def page(name: str) -> str | None:
    """Return the page of a shipped runbook."""
    return resources.runbook_pages().get(name)


def _started(trigger: Trigger) -> str:
    asked = ", ".join(f'{name}="{value}"' for name, value in trigger.match)
    return f"{trigger.alert}{f'{{{asked}}}' if asked else ''} {trigger.transition.value}"


def describe(book: Runbook) -> dict[str, Any]:
    """Return a runbook as JSON; lengths of time are texts such as `15m`."""
    limits, verify = book.limits, book.verify
    return {
        "name": book.name,
        "on": [_started(trigger) for trigger in book.triggers],
        "when": None if book.when is None else conditions.text(book.when),
        "mode": book.mode,
        "approval": _asked(book),
        "lock": book.lock,
        "cooldown": clock.duration_text(limits.cooldown),
        "per_hour": limits.per_hour,
        "max_targets": limits.max_targets,
        "min_healthy": f"{limits.min_healthy}%",
        **_gates(book),
        "parameters": [parameters.write(one) for one in book.parameters],
        "steps": [step_lines.describe(step) for step in book.steps],
        "verify": None
        if verify is None
        else {
            "slo": verify.slo or None,
            "query": None if verify.query is None else str(verify.query),
            "window": clock.duration_text(verify.window),
            "samples": verify.samples,
            "need": verify.needed,
            "within": clock.duration_text(verify.within),
            "no_data": verify.no_data,
        },
        "on_failure": book.on_failure,
        "file": f"{book.origin.file}:{book.origin.line}",
    }


def _asked(book: Runbook) -> dict[str, Any] | None:
    asked = book.approval
    if asked is None:
        return None
    return {"by": list(asked.by), "quorum": asked.quorum, "wait": clock.duration_text(asked.wait)}


def _gates(book: Runbook) -> dict[str, Any]:
    limits = book.limits
    return {
        "per_day": limits.per_day,
        "per_target": {"per_hour": limits.target_per_hour, "per_day": limits.target_per_day},
        "breaker": {
            "failures": limits.breaker_failures,
            "retry_after": limits.breaker_retry and clock.duration_text(limits.breaker_retry),
        },
        "unless": [
            {"alert": veto.alert, "match": dict(veto.match), "equal": list(veto.equal)}
            for veto in book.unless
        ],
    }


def lines(book: Runbook) -> Iterator[tuple[str, str]]:
    """Yield what a runbook says, for people: a key of its file, or nothing where one goes on, and text."""
    said = describe(book)
    yield "on", ", ".join(said["on"])
    if said["when"]:
        yield "when", said["when"]
    yield "approval", _approval(book)
    yield "lock", f"{book.lock}, one run at a time"
    targets = f"{said['max_targets']} target{'' if said['max_targets'] == 1 else 's'}"
    often = f"cooldown {said['cooldown']} on each target, at most {said['per_hour']} runs an hour"
    yield "limits", f"{often} and {targets} at a time, {said['min_healthy']} of the others healthy"
    yield from _further_limits(book)
    for number, parameter in enumerate(book.parameters):
        yield "" if number else "parameters", step_lines.parameter(parameter)
    for number, text in enumerate(step_lines.lines(book)):
        yield "" if number else "steps", text
    if (verify := said["verify"]) is None:
        return
    need = "" if verify["need"] == verify["samples"] else f"{verify['need']} of "
    what = verify["slo"] or verify["query"]
    proof = f"{what}: {need}{verify['samples']} samples in a row, each over {verify['window']}"
    yield "verify", f"{proof}, within {verify['within']} of the last change; no data is {verify['no_data']}"
    yield "onFailure", book.on_failure


def _further_limits(book: Runbook) -> Iterator[tuple[str, str]]:
    limits = book.limits
    counts = (
        (limits.per_day, "runs a day"),
        (limits.target_per_hour, "runs an hour on each target"),
        (limits.target_per_day, "runs a day on each target"),
    )
    said = [f"at most {count} {what}" for count, what in counts if count is not None]
    if said:
        yield "", ", ".join(said)
    if book.changes:
        retry = limits.breaker_retry
        again = "a person" if retry is None else f"a person, or one run after {clock.duration_text(retry)},"
        yield "", f"after {limits.breaker_failures} runs in a row without success {again} closes the circuit"
    for veto in book.unless:
        match = "".join(f", {name}={value}" for name, value in veto.match)
        yield "unless", f"{veto.alert}{match} fires {_where(veto)}"


def _where(veto: Veto) -> str:
    return f"with the same {' and '.join(veto.equal)}" if veto.equal else "anywhere"


def _approval(book: Runbook) -> str:
    asked = book.approval
    if asked is None:
        return "auto: it acts by itself" if book.mode == "auto" else "observe: it only looks"
    whose, wait = " or ".join(asked.by) or "anybody who is known", clock.duration_text(asked.wait)
    if book.mode == "veto":
        said = f"veto: it acts by itself after {wait}, unless somebody denies it"
        return f"{said}; {whose} may approve it before"
    needed = "1 approval" if asked.quorum == 1 else f"{asked.quorum} approvals"
    return f"propose: it acts after {needed} of {whose}, within {wait}"


def _chosen(paths: Sequence[str | Path]) -> list[Path]:
    return [Path(path) for path in paths] or [resources.directory("runbooks")]


def _list(book: Runbook) -> Iterator[str]:
    for key, text in lines(book):
        yield f"- {key}: {text}\n" if key else f"  {text}\n"
