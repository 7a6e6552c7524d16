"""Policies beside the flows that were observed: what would allow them, and what a change does to them."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from netsre.app import policies as app
from netsre.app.flows import Flows
from netsre.datapath.flow_filter import Wanted
from netsre.datapath.policy import changes, suggest, unused
from netsre.datapath.policy.changes import Change
from netsre.datapath.policy.observed import Observed, Observing
from netsre.datapath.policy.suggest import Suggestion
from netsre.datapath.policy.unused import Unused
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.policies.values import Endpoint, Kind, Network, Policy

_MEGABYTE: Final = 1_000_000


class Listener(Protocol):
    """Who hears what is no part of the answer."""

    def say(self, line: str) -> None:
        """Hear of lines that are no records."""

    def show(self, done: int, of: int) -> None:
        """Hear how many megabytes of logs were read."""


def observed(logs: Iterable[Path], endpoints: Sequence[Endpoint], listener: Listener) -> Observed:
    """Return what flow logs have, each with the files that were rotated.

    Raises `EnvironmentUnfit` for a log that cannot be read.
    """
    known = tuple(dict.fromkeys(logs))
    size, done = sum(map(_size, known)), 0
    taking = Observing(endpoints)
    for path in known:
        with closing(Flows(path, Wanted(), 0.0)) as flows:
            for line in flows.present(None):
                taking.take(line, str(path))
                done += len(line.text)
                listener.show(done // _MEGABYTE, size // _MEGABYTE)
        if flows.unreadable:
            listener.say(f"{path}: left out {flows.unreadable} lines that are no records")
    return taking.done()


def _size(path: Path) -> int:
    """Return the bytes of a log with those of its rotated files, as far as they can be seen now."""
    try:
        return sum(one.stat().st_size for one in (path, *path.parent.glob(f"{path.name}.[0-9]*")))
    except OSError:
        return 0  # whoever reads it learns why


def suggestions(
    logs: Iterable[Path], endpoints: Path, namespace: str | None, join: Iterable[Network], listener: Listener
) -> tuple[tuple[Suggestion, ...], Observed]:
    """Return a policy for every group of endpoints, and what they were made of.

    Raises `SpecErrors` for endpoints that cannot be read, `BadInput` for a namespace of none of them, and as
    `observed` does.
    """
    known = app.endpoints(endpoints)
    namespaces = {one.namespace for one in known if one.kind is Kind.ENDPOINT}
    if namespace is not None and namespace not in namespaces:
        hint = literals.nearest(namespace, namespaces)
        raise BadInput(f"namespace {literals.shown(namespace)} has no endpoint in {endpoints}{hint}")
    found = observed(logs, known, listener)
    return suggest.suggest(known, found.flows, namespace, join), found


def changed(
    old: Path, new: Path, logs: Iterable[Path], endpoints: Path, listener: Listener
) -> tuple[tuple[Change, ...], Observed]:
    """Return the flows whose verdict changes from the old policies to the new ones; raises as `read` does."""
    known = app.endpoints(endpoints)
    before, after = app.read([old], endpoints), app.read([new], endpoints)
    found = observed(logs, known, listener)
    return changes.changes(before, after, found.flows), found


def linted(
    paths: Iterable[Path], endpoints: Path, logs: Iterable[Path], period: int, listener: Listener
) -> tuple[tuple[Policy, ...], Unused]:
    """Return policies with all that is wrong with them, and rules that nothing used for so many milliseconds.

    Where something cannot be read nothing is said about use. Raises as `observed` does.
    """
    policies, findings = app.findings(paths, endpoints)
    if not policies:
        return policies, Unused(findings, ())
    found = unused.unused(policies, observed(logs, app.endpoints(endpoints), listener), period)
    return policies, Unused(tuple(sorted((*findings, *found.findings))), found.notes)
