"""Files of policies become `Policy`s: everything or, with every finding, nothing."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from netsre.model import linting, literals, specs, values
from netsre.model.policies import cilium, codes, network_policy
from netsre.model.policies.values import CILIUM_POLICY, CLUSTERWIDE_POLICY, NETWORK_POLICY, Policy

_LIST: Final = "List"

_READERS: Final[Mapping[str, tuple[str, Callable[[values.Mapping], tuple[Policy, ...]]]]] = MappingProxyType(
    {
        NETWORK_POLICY: (network_policy.API_VERSION, network_policy.read),
        CILIUM_POLICY: (cilium.API_VERSION, partial(cilium.read, kind=CILIUM_POLICY)),
        CLUSTERWIDE_POLICY: (cilium.API_VERSION, partial(cilium.read, kind=CLUSTERWIDE_POLICY)),
    }
)
_LISTS: Final = MappingProxyType(
    {_LIST: "v1", **{f"{kind}{_LIST}": version for kind, (version, _) in _READERS.items()}}
)


def parse(texts: Mapping[str, str]) -> tuple[Policy, ...]:
    """Read files (name to text) strictly; raises `SpecErrors` with all findings.

    Policies come in one order, whatever that of files and documents.
    """
    findings = linting.Findings()
    found = read(texts, findings)
    findings.raise_if_any()
    return found


def read(texts: Mapping[str, str], findings: linting.Findings) -> tuple[Policy, ...]:
    """Return the policies that could be read; what is wrong is added to the findings."""
    instead = f"write a {NETWORK_POLICY} or a {CILIUM_POLICY}"
    found: list[Policy] = []
    first: dict[tuple[str, str], str] = {}
    for file, text in texts.items():
        for root in specs.roots(text, file, instead, findings):
            for document in _documents(root):
                policies = _policy(document)
                found += policies
                if policies:
                    _once(document, policies[0], first)
    return tuple(sorted(found, key=lambda policy: policy.order))


def _documents(root: values.Value) -> Iterator[values.Mapping]:
    """Yield the objects of a document: itself, or the items of a list of Kubernetes."""
    if not isinstance(root, values.Mapping):
        message = "the document is no mapping; begin it with apiVersion: and kind:"
        root.findings.add(root.origin, linting.SHAPE, message)
        return
    kind = root.scalar("kind")
    if kind is None:
        root.scalar("apiVersion")
    elif kind.value in _LISTS:
        _version(root, _LISTS[kind.value])
        items = root.sequence("items")
        root.skip("metadata")
        root.end()
        for item in items.mappings() if items is not None else ():
            yield from _documents(item)
    else:
        yield root


def _policy(document: values.Mapping) -> tuple[Policy, ...]:
    kind = document.scalar("kind")
    if kind is None or kind.value not in _READERS:
        if kind is not None:
            hint = literals.nearest(kind.value, _READERS)
            kind.wrong(linting.KIND, f"{literals.shown(kind.value)} is not read here{hint}")
        return ()
    version, reader = _READERS[kind.value]
    _version(document, version)
    return reader(document)


def _version(document: values.Mapping, version: str) -> None:
    scalar = document.scalar("apiVersion")
    if scalar is not None and scalar.value != version:
        scalar.wrong(linting.API_VERSION, f"{literals.shown(scalar.value)} is not read; write {version}")


def _once(document: values.Mapping, policy: Policy, first: dict[tuple[str, str], str]) -> None:
    """Report a policy whose name another one of its kind has: in a cluster one would replace the other."""
    name = policy.name.partition(" ")[0]
    place = f"{document.origin.file}:{document.origin.line}"
    earlier = first.setdefault((policy.kind, name), place)
    if earlier != place and not name.endswith("/"):
        message = f"{policy.kind} {name} already stands in {earlier}; rename one"
        document.findings.add(document.line_of("metadata"), codes.DUPLICATE, message)
