"""A compiler that has compiled before says what a new one says, and does less."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsre.datapath.policy import budget, encode, resolve, sync
from netsre.datapath.policy.budget import BudgetExceeded
from netsre.datapath.policy.compiler import Compiled, Compiler, Stage
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbers
from netsre.errors import SpecErrors
from netsre.model.policies import codes, endpoints, files
from tests import thorough
from tests.unit.policy import generated
from tests.unit.policy.cluster import cilium, kubernetes

_LABELS = ("a", "b", "c")


def new_compiler() -> Compiler:
    """Return a compiler that knows nothing, with a clock that counts how often it is asked."""
    return Compiler(itertools.count().__next__)


def endpoint(chance: random.Random, number: int, space: str) -> str:
    """Return one entry of a list, whose namespace has its labels in some entries."""
    labels = f", namespaceLabels: {{ns: {space}}}" if chance.random() < 0.5 else ""
    ports = (
        f", namedPorts: {{serve-80: {chance.choice((80, 8080))}, dns: 53/UDP}}"
        if chance.random() < 0.5
        else ""
    )
    host = number + chance.choice((0, 0, 0, 100))
    ips = f"10.0.{ord(space)}.{host}, 'fd00:{ord(space):x}::{host}'"
    return (
        f"- {{name: e{number}, namespace: {space}, labels: {{pod: {chance.choice(_LABELS)}}}{labels}, "
        f"ips: [{ips}]{ports}}}\n"
    )


def endpoint_files(chance: random.Random) -> dict[str, str]:
    """Return lists of endpoints, of one namespace or of several, and one of nodes."""
    found = {
        f"{space}.yaml": "".join(endpoint(chance, number, space) for number in range(chance.randint(1, 4)))
        for space in ("x", "y", "z")
    }
    found["more.yaml"] = endpoint(chance, 9, "x") + endpoint(chance, 9, "y")
    found["nodes.yaml"] = "- {name: node, labels: {'reserved:host': ''}, ips: [192.168.0.1]}\n"
    return found


def policy_files(chance: random.Random) -> dict[str, str]:
    """Return policies, most of them in a file of their own."""
    texts = generated.documents(chance, 8)
    found = {f"p{number}.yaml": text for number, text in enumerate(texts)}
    if len(texts) > 2:
        found["p0.yaml"] += found.pop("p1.yaml")
    return found


def changed(chance: random.Random, policies: dict[str, str], ends: dict[str, str]) -> None:
    """Make one change, as somebody makes it who works on a cluster."""
    fresh = (policy_files(chance), endpoint_files(chance))
    for known, other in zip((policies, ends), fresh, strict=True):
        kind = chance.random()
        if kind < 0.4 and other:
            file = chance.choice(sorted(other))
            known[file] = other[file]
        elif kind < 0.6 and known:
            del known[chance.choice(sorted(known))]
        elif kind < 0.7 and known:
            file = chance.choice(sorted(known))
            known[file] = f"# a line more\n{known[file]}"


def bytes_of(compiled: Compiled) -> object:
    """Return all that a compile decides, in its order."""
    encoded = compiled.encoded
    parts = [
        (where, number, [*entries.items()])
        for where in Map
        for number, entries in encoded.parts[where].items()
    ]
    return encoded.addresses, encoded.endpoints, parts, encoded.numbers


def renewed(before: Compiled, after: Compiled) -> set[tuple[str, str]]:
    """Return the endpoints and directions whose tables were not taken over."""
    return {
        (name, way.value)
        for name, ways in after.resolved.tables.items()
        for way, table in ways.items()
        if before.resolved.tables[name][way] is not table
    }


def outcome(
    compiler: Compiler, policies: dict[str, str], ends: dict[str, str], numbers: Numbers
) -> tuple[object, Numbers]:
    """Return all that comes of a compile, or why nothing does, and the numbers to go on with."""
    try:
        found = compiler.compile(policies, ends, numbers)
    except SpecErrors as refused:
        return refused.findings, numbers
    return (bytes_of(found), found.policies, found.endpoints, found.resolved), found.encoded.numbers


@settings(max_examples=thorough.cases(60))
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_the_result_is_that_of_a_new_compiler(seed: int) -> None:
    """Byte by byte, after any changes of policies and endpoints, and after input that is refused."""
    chance = generated.chance_of(seed)
    compiler, numbers = new_compiler(), Numbers()
    policies, ends = policy_files(chance), endpoint_files(chance)
    for _ in range(6):
        found, after = outcome(compiler, policies, ends, numbers)
        assert found == outcome(new_compiler(), policies, ends, numbers)[0]
        numbers = after if chance.random() < 0.8 else numbers
        changed(chance, policies, ends)


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_compile_is_its_three_stages(seed: int) -> None:
    """Parsed at once, resolved and encoded without anything that was kept: the same."""
    chance = generated.chance_of(seed)
    texts, ends = policy_files(chance), endpoint_files(chance)
    found = new_compiler().compile(texts, ends, Numbers())

    policies, known = files.parse(texts), endpoints.parse(ends)
    resolved = resolve.resolve(policies, known, {})
    assert (sorted(found.policies, key=lambda one: one.order), found.endpoints) == ([*policies], known)
    assert found.encoded == encode.encode(resolved, policies, known, Numbers())


def test_stages_are_timed_by_the_clock_that_is_given() -> None:
    """Each from where the one before it ended."""
    found = new_compiler().compile({}, {}, Numbers())

    assert found.seconds == {Stage.PARSE: 1, Stage.RESOLVE: 1, Stage.ENCODE: 1}


def test_one_change_touches_what_it_is_about() -> None:
    """Tables of others are those of before, and only what is new is written."""
    ends = {
        "e.yaml": "".join(
            f"- {{name: e{n}, namespace: x, labels: {{n: '{n}'}}, ips: [10.0.0.{n}]}}\n" for n in range(9)
        )
    }
    policies = {
        f"p{n}.yaml": kubernetes(
            f"podSelector: {{matchLabels: {{n: '{n}'}}}}\ningress: [{{ports: [{{port: {n + 80}}}]}}]", f"p{n}"
        )
        for n in range(9)
    }
    compiler = new_compiler()
    before = compiler.compile(policies, ends, Numbers())
    policies["p3.yaml"] = policies["p3.yaml"].replace("port: 83", "port: 8083")
    after = compiler.compile(policies, ends, before.encoded.numbers)

    assert renewed(before, after) == {("x/e3", "ingress"), ("x/e3", "egress")}
    held = sync.plan(sync.Held(), before.encoded).after
    written = [one for one in sync.plan(held, after.encoded).operations if isinstance(one, sync.Put)]
    assert [(one.where, len(one.entries)) for one in written] == [(Map.ENTRIES, 4), (Map.ENDPOINTS, 9)]


def test_an_endpoint_that_comes_changes_the_tables_that_mean_it() -> None:
    """And the others are taken over."""
    ends = {
        n: f"- {{name: {n}, namespace: x, labels: {{pod: {n}}}, ips: [10.0.0.{ord(n)}]}}\n"
        for n in ("a", "b")
    }
    from_c = "ingress: [{from: [{podSelector: {matchLabels: {pod: c}}}]}]"
    from_a = "ingress: [{fromEndpoints: [{matchLabels: {pod: a}}]}]"
    policies = {
        "a": kubernetes(f"podSelector: {{matchLabels: {{pod: a}}}}\n{from_c}", "a"),
        "b": cilium(f"endpointSelector: {{matchLabels: {{pod: b}}}}\n{from_a}", "b"),
    }
    compiler = new_compiler()
    before = compiler.compile(policies, ends, Numbers())
    ends["c"] = "- {name: c, namespace: x, labels: {pod: c}, ips: [10.0.0.9]}\n"
    after = compiler.compile(policies, ends, before.encoded.numbers)

    assert renewed(before, after) == {("x/a", "ingress")}
    assert bytes_of(after) == bytes_of(new_compiler().compile(policies, ends, before.encoded.numbers))


def test_two_files_with_one_policy_are_refused_however_they_came() -> None:
    """One would replace the other in a cluster."""
    compiler = new_compiler()
    text = kubernetes("podSelector: {}")
    compiler.compile({"a": text}, {}, Numbers())

    with pytest.raises(SpecErrors) as caught:
        compiler.compile({"a": text, "b": text}, {}, Numbers())
    assert [(one.file, one.code) for one in caught.value.findings] == [("b", codes.DUPLICATE)]


def test_two_files_with_one_address_are_refused_however_they_came() -> None:
    """Nobody could say whose a packet is."""
    compiler = new_compiler()
    ends = {n: f"- {{name: {n}, ips: [10.0.0.1]}}\n" for n in ("a", "b")}
    compiler.compile({}, {"a": ends["a"]}, Numbers())

    with pytest.raises(SpecErrors) as caught:
        compiler.compile({}, ends, Numbers())
    assert [(one.file, one.code) for one in caught.value.findings] == [("b", codes.TAKEN)]


def test_a_compile_that_is_refused_leaves_no_trace() -> None:
    """The next one is as if it had not been."""
    ends = {"e": "- {name: a, namespace: x, ips: [10.0.0.1]}\n"}
    text = kubernetes("podSelector: {}\ningress: [{ports: [{port: 80}]}]")
    wide = kubernetes("podSelector: {}\ningress: [{ports: [{port: 1, endPort: 65534}]}]", "wide")
    compiler = Compiler(itertools.count().__next__, {**budget.BUDGET, Map.ENTRIES: 10})
    before = compiler.compile({"p": text}, ends, Numbers())

    with pytest.raises(BudgetExceeded, match="x/wide alone takes 60"):
        compiler.compile({"p": text, "wide": wide}, ends, before.encoded.numbers)
    again = compiler.compile({"p": text}, ends, before.encoded.numbers)
    assert again.encoded == before.encoded
