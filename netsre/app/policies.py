"""Policies and endpoints, from where people keep them."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from netsre.app import resources
from netsre.datapath.policy import ends, lint, reference
from netsre.datapath.policy.compiler import Compiled, Compiler
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.reference import Staged, Verdict
from netsre.errors import BadInput, Finding, SpecErrors
from netsre.model import literals
from netsre.model.policies import endpoints as endpoint_files
from netsre.model.policies import files
from netsre.model.policies.values import Endpoint, Policy

SUFFIXES = (".yaml", ".yml", ".json")


def texts(
    paths: Iterable[Path], beside: Path | None = None, read: Callable[[Path], str] | None = None
) -> dict[str, str]:
    """Return the text of every file of policies, by name; `beside` is the file of endpoints among them.

    Raises `BadInput` for what cannot be read, by `read` as `resources.texts` has it.
    """
    found = resources.texts(list(paths), *SUFFIXES, read=read)
    other = _identity(beside) if beside is not None else None
    policies = {file: text for file, text in found.items() if other is None or _identity(file) != other}
    if not policies:
        raise BadInput(f"nothing but endpoints in {', '.join(found)}; name a file of policies")
    return policies


def _identity(file: str | Path) -> tuple[int, int] | None:
    """Return what a file is known by under any name."""
    try:
        found = os.stat(file)  # noqa: PTH116  a thousand of them at each change
    except OSError:  # who reads it learns why
        return None
    return found.st_dev, found.st_ino


def read(paths: Iterable[Path], beside: Path | None = None) -> tuple[Policy, ...]:
    """Return what files, or directories of files, of policies say; people keep endpoints beside them.

    Raises `SpecErrors` with every finding, and `BadInput` for what cannot be read.
    """
    return files.parse(texts(paths, beside))


def compiled(paths: Iterable[Path], endpoint_path: Path) -> Compiled:
    """Return the revision that policies are for some endpoints, as a node without one before would have it.

    Raises as `read` does, and `IdentitiesExhausted`, `ZonesExhausted` and `BudgetExceeded`.
    """
    known = resources.texts([endpoint_path], *SUFFIXES)
    return Compiler(time.monotonic).compile(texts(paths, endpoint_path), known, Numbers())


def endpoints(path: Path) -> tuple[Endpoint, ...]:
    """Return what a file of endpoints, or a directory of them, says; raises as `read` does."""
    return endpoint_files.parse(resources.texts([path], *SUFFIXES))


def verdict(
    policies: tuple[Policy, ...],
    known: tuple[Endpoint, ...],
    between: tuple[str, str],
    service: Service,
    staged: Staged = reference.ENFORCED,
) -> tuple[End, End, Verdict]:
    """Return both ends as they were understood, and what the policies decide.

    Raises `BadInput`, also for policies that are not enforced and not there.
    """
    names = {policy.document for policy in policies}
    for name in sorted(staged.monitored | staged.off):
        if name not in names:
            hint = literals.nearest(name, names)
            raise BadInput(f"policy {literals.shown(name)} is not among those that are asked{hint}")
    one, other = ends.between(*between, known)
    return one, other, reference.verdict(policies, one, other, service, staged)


def findings(
    paths: Iterable[Path], endpoint_path: Path | None
) -> tuple[tuple[Policy, ...], tuple[Finding, ...]]:
    """Return the policies of some files and everything that is wrong with them, by file and line.

    What cannot be read hides what only whole sets of policies show. Raises `BadInput` for a path of nothing.
    """
    try:
        policies = read(paths, endpoint_path)
        known = endpoints(endpoint_path) if endpoint_path is not None else None
    except SpecErrors as errors:
        return (), errors.findings
    return policies, lint.findings(policies, known)
