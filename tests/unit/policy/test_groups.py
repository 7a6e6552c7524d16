"""Groups of endpoints, and the selectors that tell them apart."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import groups
from netsre.datapath.policy.groups import Labels
from netsre.model.policies import endpoints
from netsre.model.policies.values import Operator, Requirement, Scope

LABELS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(("1", "2")), max_size=5).map(
    lambda labels: tuple(sorted(labels.items()))
)


def means(selector: tuple[Requirement, ...], labels: Labels) -> bool:
    """Return whether a selector selects something with these labels."""
    facts = {(Scope.LABEL, key): value for key, value in labels}
    return all(one.holds(facts) for one in selector)


@given(everybody=st.lists(LABELS, min_size=1, max_size=8, unique=True))
def test_the_fewest_requirements_tell_a_group_from_all_others(everybody: list[Labels]) -> None:
    """Every smaller choice would mean somebody else too, or would have none of its own labels."""
    for labels in everybody:
        found = groups.smallest(labels, everybody)
        assert [one for one in everybody if means(found, one)] == [labels]
        assert not labels or any(one.operator is Operator.IN for one in found)

        keys = {key for one in everybody for key, _ in one} - {key for key, _ in labels}
        own = [Requirement(Scope.LABEL, key, Operator.IN, (value,)) for key, value in labels]
        usable = [*own, *(Requirement(Scope.LABEL, key, Operator.DOES_NOT_EXIST) for key in keys)]
        for smaller in itertools.combinations(usable, max(len(found) - 1, 0)):
            alone = [one for one in everybody if means(smaller, one)] == [labels]
            assert not found or not alone or (labels and not {*smaller} & {*own})


@given(everybody=st.lists(LABELS, min_size=1, max_size=8, unique=True))
def test_the_order_of_others_does_not_matter(everybody: list[Labels]) -> None:
    """The same selector, whoever is listed first."""
    assert [groups.smallest(one, everybody) for one in everybody] == [
        groups.smallest(one, everybody[::-1]) for one in everybody
    ]


def test_who_has_no_labels_is_told_apart_by_the_fewest_too() -> None:
    """Four of five labels that others have: the one that most have is not among them."""
    others: list[Labels] = [
        (("d", "1"),),
        (("b", "1"), ("e", "1")),
        (("e", "2"),),
        (("a", "2"),),
        (("b", "1"), ("c", "2"), ("d", "1"), ("f", "2")),
        (("c", "2"),),
    ]

    assert [one.key for one in groups.smallest((), [*others, ()])] == ["a", "c", "d", "e"]


def test_beyond_what_can_be_tried_nothing_superfluous_is_left() -> None:
    """Six labels of others, of which the one that two have is made superfluous by the rest."""
    others: list[Labels] = [
        *(((key, "1"),) for key in "bdef"),
        (("a", "2"), ("c", "2")),
        (("c", "2"),),
        (("a", "1"), ("d", "1")),
    ]

    assert [one.key for one in groups.smallest((), [*others, ()])] == ["b", "c", "d", "e", "f"]


def test_more_labels_than_can_be_tried_are_found_all_the_same() -> None:
    """Of twenty labels that each tell it from one other, all are needed."""
    mine = tuple((f"k{number:02}", "1") for number in range(20))
    others = [mine[:number] + mine[number + 1 :] for number in range(20)]

    assert len(groups.smallest(mine, [mine, *others])) == len(mine)


def test_the_usual_labels_are_preferred() -> None:
    """Where others would do as well; and one is asked for even of a group that is alone."""
    labels = (("a", "1"), ("app", "web"), ("app.kubernetes.io/name", "web"))

    (alone,) = groups.smallest(labels, [labels])
    assert (alone.key, alone.values) == ("app.kubernetes.io/name", ("web",))
    (one,) = groups.smallest(labels[:2], [labels[:2], (("app", "db"),)])
    assert one.key == "app"


def test_a_rollout_makes_no_new_group() -> None:
    """Labels that differ from one pod to the next do not count, and nodes are in no group."""
    known = endpoints.parse(
        {
            "e.yaml": "- {name: a, labels: {app: web, pod-template-hash: '1'}}\n"
            "- {name: b, labels: {app: web, pod-template-hash: '2'}}\n"
            "- {name: c, namespace: x, labels: {app: web}}\n"
            "- {name: node, labels: {'reserved:host': ''}}\n"
        }
    )

    assert [(str(one), one.members) for one in groups.groups(known)] == [
        ("default app=web", ("default/a", "default/b")),
        ("x app=web", ("x/c",)),
    ]
