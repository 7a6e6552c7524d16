"""Policies and endpoints, from where people keep them."""

from collections.abc import Iterable
from pathlib import Path

from netsre.app import resources
from netsre.datapath.policy import ends, lint, reference
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.reference import Verdict
from netsre.errors import BadInput, Finding, SpecErrors
from netsre.model.policies import endpoints as endpoint_files
from netsre.model.policies import files
from netsre.model.policies.values import Endpoint, Policy

_SUFFIXES = (".yaml", ".yml", ".json")


def read(paths: Iterable[Path], beside: Path | None = None) -> tuple[Policy, ...]:
    """Return what files, or directories of files, of policies say.

    `beside` is the file of endpoints, which people keep in the same directory. Raises `SpecErrors` with every
    finding, and `BadInput` for what cannot be read.
    """
    texts = resources.texts(list(paths), *_SUFFIXES)
    known = beside.resolve() if beside is not None else None
    policies = {file: text for file, text in texts.items() if Path(file).resolve() != known}
    if not policies:
        raise BadInput(f"nothing but endpoints in {', '.join(texts)}; name a file of policies")
    return files.parse(policies)


def endpoints(path: Path) -> tuple[Endpoint, ...]:
    """Return what a file of endpoints, or a directory of them, says; raises as `read` does."""
    return endpoint_files.parse(resources.texts([path], *_SUFFIXES))


def verdict(
    policies: Iterable[Policy], known: tuple[Endpoint, ...], source: str, destination: str, service: Service
) -> tuple[End, End, Verdict]:
    """Return both ends as they were understood, and what the policies decide; raises `BadInput`."""
    one, other = ends.between(source, destination, known)
    return one, other, reference.verdict(policies, one, other, service)


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
