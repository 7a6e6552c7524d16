"""Policies that are not enforced, and canaries: the entries decide what the reference decides."""

import ipaddress
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsre.datapath.policy import compiler, encode, ends, layouts, lookup, reference, resolve, sync
from netsre.datapath.policy.compiler import Compiler
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.reference import Answer, Decision, Reason, Staged, Verdict
from netsre.datapath.policy.resolve import Canary, Trial
from netsre.model.policies import files
from netsre.model.policies.values import Direction, Policy
from tests import thorough
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS, ENDPOINTS_TEXT, address, cilium, kubernetes, read
from tests.unit.policy.maps import Maps, said

SEEDS = 60
QUESTIONS = 300
ITSELF = Answer(Decision.ALLOW, Reason.ITSELF)
ORDER = (Decision.ALLOW, Decision.AUDIT, Decision.DENY)
ISOLATES = kubernetes("podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Ingress]", "isolates")
ALLOWS = kubernetes(
    "podSelector: {matchLabels: {pod: a}}\ningress: [{ports: [{port: 80}]}]\npolicyTypes: [Ingress]", "allows"
)
DENIES = cilium(
    "endpointSelector: {matchLabels: {pod: a}}\nenableDefaultDeny: {ingress: false}\n"
    "ingressDeny: [{fromEntities: [all], toPorts: [{ports: [{port: '80'}]}]}]",
    "denies",
)


def some_policies(chance: random.Random, most: int) -> tuple[Policy, ...]:
    """Return generated policies."""
    return files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, most))})


def some_stages(chance: random.Random, policies: tuple[Policy, ...]) -> Staged:
    """Return stages by chance."""
    words = {policy.name.partition(" ")[0]: chance.choice("emo") for policy in policies}
    return Staged(*(frozenset(name for name, one in words.items() if one == word) for word in "mo"))


def expected(
    trial: Trial, policies: tuple[Policy, ...], source: End, destination: End, service: Service
) -> Verdict:
    """Return what the reference says, each end by the policies that it has."""

    def side(subject: End, peer: End, way: Direction) -> Answer:
        about = trial.staged, subject, peer, service, way
        new = reference.staged_answer(policies, *about)
        if trial.canary is None:
            return new
        old = reference.staged_answer(trial.canary.before, *about)
        is_new = subject.endpoint is not None and subject.endpoint.full_name in trial.canary.endpoints
        return reference.replacing(new, old) if is_new else old

    if source.is_same(destination):
        return reference.joined(ITSELF, ITSELF)
    return reference.joined(
        side(source, destination, Direction.EGRESS), side(destination, source, Direction.INGRESS)
    )


def agree(chance: random.Random, trial: Trial, policies: tuple[Policy, ...], count: int) -> None:
    """Hold entries to the reference on so many connections."""
    found = lookup.Lookup(resolve.resolve(policies, ENDPOINTS, {}, trial=trial))
    for source, destination, port in generated.questions(chance, count):
        one, other = ends.between(source, destination, ENDPOINTS)
        service = ends.service(port)
        assert found.verdict(one, other, service) == expected(trial, policies, one, other, service), (
            source,
            destination,
            port,
        )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_entries_of_staged_policies_agree_with_the_reference(seed: int) -> None:
    """On decision, rule and reason of 18,000 connections, with any policies on monitor or off."""
    chance = generated.chance_of(seed)
    policies = some_policies(chance, 12)
    agree(chance, Trial(some_stages(chance, policies)), policies, QUESTIONS)


@given(seed=st.integers(min_value=SEEDS, max_value=2**32))
def test_they_agree_whatever_the_seed(seed: int) -> None:
    """The same with policies that no list of seeds has."""
    chance = generated.chance_of(seed)
    policies = some_policies(chance, 6)
    agree(chance, Trial(some_stages(chance, policies)), policies, 40)


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_canary_has_the_new_policies_and_others_those_of_before(seed: int) -> None:
    """Each end by its own set, staged or not, and all by the identities of both sets.

    What the new ones take away by allowing it no more is told by the rule of before.
    """
    chance = generated.chance_of(seed)
    old, new = some_policies(chance, 6), some_policies(chance, 6)
    chosen = frozenset(one.full_name for one in ENDPOINTS if chance.random() < 0.3)
    agree(chance, Trial(some_stages(chance, (*old, *new)), Canary(chosen, old)), new, 40)


@pytest.mark.parametrize("seed", range(10))
def test_the_canaries_of_the_law_above_lose_what_they_had(seed: int) -> None:
    """Otherwise it would say nothing about that."""
    chance = generated.chance_of(seed)
    reasons = set()
    for _ in range(20):
        trial = Trial(canary=Canary(frozenset(one.full_name for one in ENDPOINTS), some_policies(chance, 6)))
        found = lookup.Lookup(resolve.resolve(some_policies(chance, 6), ENDPOINTS, {}, trial=trial))
        for source, destination, port in generated.questions(chance, 40):
            verdict = found.verdict(*ends.between(source, destination, ENDPOINTS), ends.service(port))
            reasons |= {(one.reason, one.rule is None) for one in (verdict.egress, verdict.ingress)}

    assert {(Reason.WITHDRAWN, True), (Reason.WITHDRAWN, False), (Reason.DEFAULT_DENY, True)} <= reasons


@settings(max_examples=thorough.cases(20))
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_so_do_the_bytes_that_a_kernel_holds(seed: int) -> None:
    """Looked up as programs do it, fallback to anybody included."""
    chance = generated.chance_of(seed)
    old, new = some_policies(chance, 4), some_policies(chance, 4)
    chosen = frozenset(one.full_name for one in ENDPOINTS if chance.random() < 0.5)
    trial = Trial(some_stages(chance, (*old, *new)), Canary(chosen, old))
    resolved = resolve.resolve(new, ENDPOINTS, {}, trial=trial)
    encoded = encode.encode(resolved, new, ENDPOINTS, Numbers())
    maps = Maps()
    maps.apply(sync.plan(maps.held(), encoded).operations)
    decider = maps.decider()
    for source, destination, port in generated.questions(chance, 40):
        one, other = ends.between(source, destination, ENDPOINTS)
        assert one.address is not None
        assert other.address is not None
        service = ends.service(port)
        verdict = expected(trial, new, one, other, service)
        if not one.is_same(other):
            found = decider.answers(one.address, other.address, service)
            assert found == said(verdict, dict(encoded.numbers.rules.known))


@pytest.mark.parametrize(
    ("staged", "lenient"), [(reference.ENFORCED, 0b10), (Staged(frozenset({"x/isolates"})), 0b11)]
)
def test_a_table_that_denies_nothing_says_so(staged: Staged, lenient: int) -> None:
    """A bit for each direction: where it is set, packets pass whose ports nobody can tell."""
    policies = read(ISOLATES)
    resolved = resolve.resolve(policies, ENDPOINTS, {}, trial=Trial(staged))
    encoded = encode.encode(resolved, policies, ENDPOINTS, Numbers())
    [entries] = encoded.parts[Map.ENDPOINTS].values()
    key = layouts.endpoint_key(encoded.endpoints, ipaddress.ip_address(address("x/a")))

    assert layouts.ENDPOINT.unpack(entries[key])[-2] == lenient


@settings(max_examples=thorough.cases(15))
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_what_a_compiler_keeps_changes_no_answer(seed: int) -> None:
    """One that has compiled other stages and canaries of the same policies, and one that knows nothing."""
    chance = generated.chance_of(seed)
    known, numbers = Compiler(lambda: 0.0), Numbers()
    listed = {"e.yaml": ENDPOINTS_TEXT}
    sets = [{f"{n}": text for n, text in enumerate(generated.documents(chance, 4))} for _ in "ab"]
    for _ in range(5):
        texts, before = chance.choice(sets), chance.choice(sets)
        chosen = frozenset(one.full_name for one in ENDPOINTS if chance.random() < 0.5)
        stages = some_stages(chance, (*files.parse(texts), *files.parse(before)))
        asked = stages, chance.choice((None, compiler.Canary(chosen, before)))
        found = known.compile(texts, listed, numbers, *asked).encoded
        again = Compiler(lambda: 0.0).compile(texts, listed, numbers, *asked).encoded
        assert (found.parts, found.numbers) == (again.parts, again.numbers)
        numbers = found.numbers


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_not_enforcing_makes_nothing_stricter(seed: int) -> None:
    """However many are staged: what was let through with fewer of them staged is let through with more."""
    chance = generated.chance_of(seed)
    policies = some_policies(chance, 6)
    fewer = some_stages(chance, policies)
    more = frozenset(policy.name.partition(" ")[0] for policy in policies if chance.random() < 0.3)
    both = Staged(fewer.monitored, fewer.off | (more - fewer.monitored))
    for source, destination, port in generated.questions(chance, 40):
        one, other = ends.between(source, destination, ENDPOINTS)
        service = ends.service(port)
        before, after = (
            reference.staged_answer(policies, stages, one, other, service, Direction.EGRESS).decision
            for stages in (fewer, both)
        )
        assert ORDER.index(after) <= ORDER.index(before)


def answer(policies: tuple[Policy, ...], staged: Staged) -> tuple[str, str]:
    """Return what x/a says to x/b at port 80, and by what."""
    one, other = ends.between("x/b", "x/a", ENDPOINTS)
    found = reference.staged_answer(policies, staged, other, one, ends.service("80"), Direction.INGRESS)
    return found.decision.value, found.name


def test_what_a_policy_that_is_not_enforced_does_stands_in_a_table() -> None:
    """The table of docs/policy.md, row by row."""
    monitored = {name: Staged(frozenset({f"x/{name}"})) for name in ("isolates", "allows", "denies")}
    off = {name: Staged(off=frozenset({f"x/{name}"})) for name in ("isolates", "denies")}

    assert answer(read(ISOLATES), monitored["isolates"]) == ("audit", "default deny")
    assert answer(read(ISOLATES), off["isolates"]) == ("allow", "no policy selects it")
    assert answer(read(ISOLATES, ALLOWS), monitored["allows"]) == ("allow", "x/allows ingress[0]")
    assert answer(read(ISOLATES, ALLOWS, DENIES), monitored["denies"]) == ("audit", "x/denies ingressDeny[0]")
    assert answer(read(ISOLATES, ALLOWS, DENIES), off["denies"]) == ("allow", "x/allows ingress[0]")
    assert answer(read(ISOLATES, ALLOWS, DENIES), monitored["allows"]) == ("deny", "x/denies ingressDeny[0]")
    assert answer(read(ISOLATES, DENIES), monitored["denies"]) == ("deny", "default deny")


def test_what_new_policies_take_away_stands_in_a_table() -> None:
    """What no rule allows any longer, of what passed; not what a rule denies, and not what never passed."""
    [allows] = read(ALLOWS)
    [rule] = allows.rules[Direction.INGRESS]
    allowed, default = Answer(Decision.ALLOW, Reason.RULE, rule), Answer(Decision.DENY, Reason.DEFAULT_DENY)
    free, ruled = Answer(Decision.ALLOW, Reason.NO_POLICY), Answer(Decision.DENY, Reason.RULE, rule)
    audited = Answer(Decision.AUDIT, Reason.DEFAULT_DENY)
    cases = [
        (default, allowed, Answer(Decision.DENY, Reason.WITHDRAWN, rule)),
        (default, free, Answer(Decision.DENY, Reason.WITHDRAWN)),
        (default, audited, Answer(Decision.DENY, Reason.WITHDRAWN)),
        *((default, one, default) for one in (default, ruled)),
        *((new, allowed, new) for new in (allowed, free, ruled, audited)),
    ]

    assert [reference.replacing(new, old) for new, old, _ in cases] == [one for _, _, one in cases]
