"""Laws that hold for every set of policies, tried on generated ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import ends, reference
from netsre.model.policies import files
from tests.unit.policy import cluster, generated
from tests.unit.policy.cluster import ENDPOINTS

SEEDS = st.integers(min_value=0, max_value=2**32)


def decisions(texts: list[str], asked: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return decision, rule and direction of every question."""
    policies = files.parse({f"{index}.yaml": text for index, text in enumerate(texts)}) if texts else ()
    found = []
    for source, destination, port in asked:
        one, other = ends.between(source, destination, ENDPOINTS)
        verdict = reference.verdict(policies, one, other, ends.service(port))
        found.append((verdict.decision.value, verdict.rule, verdict.direction.value))
    return found


@given(seed=SEEDS)
def test_the_order_of_documents_does_not_matter(seed: int) -> None:
    """Not for the decision, and not for the rule that is named."""
    chance = generated.chance_of(seed)
    texts = generated.documents(chance, 6)
    asked = generated.questions(chance, 20)
    shuffled = texts.copy()
    chance.shuffle(shuffled)

    assert decisions(texts, asked) == decisions(shuffled, asked)


@given(seed=SEEDS)
def test_another_rule_that_allows_never_denies(seed: int) -> None:
    """While the isolation of endpoints stays as it is."""
    chance = generated.chance_of(seed)
    texts = generated.documents(chance, 5)
    asked = generated.questions(chance, 20)
    extra = generated.cilium_document(chance, "extra", deny=False, isolating=False)

    for before, after in zip(decisions(texts, asked), decisions([*texts, extra], asked), strict=True):
        assert (before[0], after[0]) != ("allow", "deny")


@given(seed=SEEDS)
def test_another_rule_that_denies_never_allows(seed: int) -> None:
    """Whether it isolates or not."""
    chance = generated.chance_of(seed)
    texts = generated.documents(chance, 5)
    asked = generated.questions(chance, 20)
    extra = generated.cilium_document(chance, "extra", deny=True, isolating=chance.random() < 0.5)

    for before, after in zip(decisions(texts, asked), decisions([*texts, extra], asked), strict=True):
        assert (before[0], after[0]) != ("deny", "allow")


@given(seed=SEEDS)
def test_policies_of_another_namespace_do_not_matter(seed: int) -> None:
    """To connections with no end in it."""
    chance = generated.chance_of(seed)
    texts = [cluster.kubernetes(generated.kubernetes_spec(chance), f"p{n}", "y") for n in range(5)]
    of_y = {name for name in cluster.NAMES if name.startswith("y/")}
    of_y |= {cluster.address(name, 6) for name in of_y}
    asked = [one for one in generated.questions(chance, 40) if not {one[0], one[1]} & of_y]

    assert asked
    assert {decision for decision, _, _ in decisions(texts, asked)} == {"allow"}


@pytest.mark.parametrize("seed", range(4))
def test_the_generator_makes_both_answers_by_every_reason(seed: int) -> None:
    """Otherwise the laws above would say nothing."""
    chance = generated.chance_of(seed)
    seen = set()
    for _ in range(120):
        texts = generated.documents(chance, 5)
        for decision, rule, _ in decisions(texts, generated.questions(chance, 20)):
            seen.add((decision, "rule" if "[" in rule else rule))

    assert seen >= {
        ("allow", "rule"),
        ("deny", "rule"),
        ("deny", "default deny"),
        ("allow", "no policy selects it"),
        ("allow", "the node may reach its endpoints"),
        ("allow", "an endpoint may reach itself"),
    }
