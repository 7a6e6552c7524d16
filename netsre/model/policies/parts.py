"""Pieces that both kinds of policies have: names, networks, ports and label selectors."""

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv6Network, ip_address, ip_network
from typing import Final

from netsre.model import literals, values
from netsre.model.policies import codes
from netsre.model.policies.values import (
    LAST_PORT,
    NAMESPACE,
    Address,
    Network,
    Operator,
    Requirement,
    Scope,
    Selector,
)

OBJECT_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
PORT_NAME: Final = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_LABEL_PREFIX: Final = r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?"
LABEL_KEY: Final = re.compile(_LABEL_PREFIX + r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
LABEL_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", re.ASCII)

_OF_OTHERS: Final = (
    "annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers",
    "generateName", "generation", "labels", "managedFields", "ownerReferences", "resourceVersion", "selfLink",
    "uid",
)  # fmt: skip
"""Keys of `metadata` that Kubernetes and its users write for themselves."""

ReadKey = Callable[[values.Mapping | values.Scalar, str], tuple[Scope, str] | None]
"""Turns the key of a label, as written, into a fact; what is wrong with it is a finding by then."""


def object_name(text: str) -> str:
    """Return the name of an object of Kubernetes; raises `ValueError`."""
    if not OBJECT_NAME.fullmatch(text):
        raise ValueError(
            f"{literals.shown(text)} is not a name; use lower-case letters, digits, inner dashes and dots"
        )
    return text


def metadata(document: values.Mapping, *, namespaced: bool) -> tuple[str, str] | None:
    """Return namespace and name of an object; the namespace is `default` where none is written."""
    part = document.mapping("metadata")
    if part is None:
        return None
    name = part.scalar("name")
    named = name.read(object_name, codes.NAME) if name else None
    namespace = part.scalar("namespace", required=False) if namespaced else None
    placed = namespace.read(object_name, codes.NAME) if namespace else "default"
    part.skip(*_OF_OTHERS)
    part.end()
    return (placed or "", named) if named else None


def network(text: str) -> Network:
    """Return a network; raises `ValueError` for one with an address inside, or an IPv4 one in IPv6 dress."""
    try:
        found = ip_network(text) if "/" in text else None
    except ValueError:
        found = None
    if found is None:
        try:
            meant = str(ip_network(text, strict=False))
        except ValueError:
            meant = "one such as 10.1.0.0/16"
        raise ValueError(f"{literals.shown(text)} is no network; write {meant}")
    if isinstance(found, IPv6Network) and found.network_address.ipv4_mapped and found.prefixlen >= 96:
        meant = f"{found.network_address.ipv4_mapped}/{found.prefixlen - 96}"
        raise ValueError(f"{literals.shown(text)} is an IPv4 network in IPv6 dress; write {meant}")
    return found


def address(text: str) -> Address:
    """Return an address, an IPv4 one in IPv6 dress as IPv4; raises `ValueError`."""
    try:
        found = ip_address(text)
    except ValueError as error:
        raise ValueError(
            f"{literals.shown(text)} is no address; write one such as 10.1.2.3 or 2001:db8::7"
        ) from error
    return (found.ipv4_mapped or found) if found.version == 6 else found


def exceptions(part: values.Mapping, outer: Network | None) -> tuple[Network, ...]:
    """Return the networks under `except`, each of which must be a part of the one around it."""
    listed = part.sequence("except", required=False)
    found = []
    for scalar in listed.scalars() if listed is not None else ():
        inner = scalar.read(network, codes.NETWORK)
        if inner is None or outer is None:
            continue
        # Two families have no order between them.
        if inner.version != outer.version or inner == outer or not inner.subnet_of(outer):  # type: ignore[arg-type]
            message = f"{inner} is no part of {outer}; write a smaller network inside of it"
            scalar.wrong(codes.EXCEPTION, message)
        found.append(inner)
    return tuple(found)


def number(text: str, most: int = LAST_PORT, least: int = 1) -> int:
    """Return a port; raises `ValueError`."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"{literals.shown(text)} is no port; write a number from {least} to {most}")


def end_port(part: values.Mapping, first: int | None) -> int | None:
    """Return the last port of a range that begins at `first` (None: at no number), or None for no range."""
    scalar = part.scalar("endPort", required=False)
    if scalar is None:
        return None
    last = scalar.read(number, codes.PORT)
    if first is None:
        scalar.wrong(codes.PORT, "is the end of no range; write port as a number")
    elif last is not None and last < first:
        scalar.wrong(codes.PORT, f"{last} is below port {first}; write a number from {first} to {LAST_PORT}")
    return last


def plain_key(scope: Scope) -> ReadKey:
    """Return a reader of keys that are what Kubernetes takes for one."""

    def read(where: values.Mapping | values.Scalar, key: str) -> tuple[Scope, str] | None:
        if LABEL_KEY.fullmatch(key):
            return scope, key
        complain(
            where, key, f"{literals.shown(key)} is no key of a label; write one such as app or my.org/team"
        )
        return None

    return read


def complain(where: values.Mapping | values.Scalar, key: str, message: str) -> None:
    """Record what is wrong with the key of a label, where it stands."""
    if isinstance(where, values.Mapping):
        where.findings.add(where.line_of(key), codes.SELECTOR, f"{where.path} {message}")
    else:
        where.wrong(codes.SELECTOR, message)


def selector(part: values.Mapping, read_key: ReadKey) -> Selector:
    """Return a label selector as Kubernetes has it; an empty one selects everything."""
    found: set[Requirement] = set()
    labels = part.mapping("matchLabels", required=False)
    for key, value in labels.pairs().items() if labels is not None else ():
        fact = read_key(labels, key) if labels is not None else None
        if not LABEL_VALUE.fullmatch(value) and labels is not None:
            labels.wrong(key, codes.SELECTOR, _no_value(value))
        if fact is not None:
            found.add(Requirement(*fact, Operator.IN, (value,)))
    expressions = part.sequence("matchExpressions", required=False)
    for one in expressions.mappings() if expressions is not None else ():
        requirement = _expression(one, read_key)
        if requirement is not None:
            found.add(requirement)
    part.end()
    return Selector(frozenset(found))


def _expression(part: values.Mapping, read_key: ReadKey) -> Requirement | None:
    key = part.scalar("key")
    operator = part.choice("operator", *Operator)
    listed = part.sequence("values", required=False)
    values = listed.scalars() if listed is not None else ()
    part.end()
    for value in values:
        if not LABEL_VALUE.fullmatch(value.value):
            value.wrong(codes.SELECTOR, _no_value(value.value))
    needs = operator in {Operator.IN, Operator.NOT_IN}
    if operator is not None and needs and not values:
        part.wrong("operator", codes.SELECTOR, f"{operator} compares with nothing; write values")
    elif operator is not None and not needs and values:
        part.wrong("values", codes.SELECTOR, f"mean nothing to {operator}; leave them out")
    fact = read_key(key, key.value) if key is not None else None
    if fact is None or operator is None:
        return None
    return Requirement(*fact, Operator(operator), tuple(sorted({value.value for value in values})))


def _no_value(value: str) -> str:
    return f"{literals.shown(value)} is no value of a label; use at most 63 letters, digits, - _ and ."


def in_namespace(found: Selector, namespace: str) -> Selector:
    """Return a selector that asks for a namespace too."""
    return joined(found, Selector(frozenset({Requirement(*NAMESPACE, Operator.IN, (namespace,))})))


def joined(*selectors: Selector) -> Selector:
    """Return what selects only what all of these select."""
    return Selector(frozenset().union(*(one.requirements for one in selectors)))


def refuse(part: values.Mapping, keys: Iterable[str], why: str) -> None:
    """Report each of these keys that is written as something that is not enforced, and why."""
    for key in keys:
        part.skip(key)
        if key in part:
            part.wrong(key, codes.UNSUPPORTED, why)
