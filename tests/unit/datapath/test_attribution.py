"""Totals by name: nothing lost, nothing counted twice, whatever becomes of the namespaces."""

from hypothesis import given
from hypothesis import strategies as st

from netsre.conventions import OTHER
from netsre.datapath.attribution import MOST_NAMES, Client, Counted, Counter, Reading, Totals
from netsre.datapath.flows import UNKNOWN_BUCKET, FlowCount, FlowKind
from netsre.datapath.workloads import Names, Workload


def _failed(netns: int, count: int) -> Counted[FlowKind]:
    return Counted(Client(netns), FlowKind("failed", "refused", "private", UNKNOWN_BUCKET), count)


def _by_name(totals: Totals[FlowKind]) -> dict[str, int]:
    return {amount.name: amount.count for amount in totals.amounts()}


def test_a_name_that_becomes_known_later_takes_only_what_comes_later() -> None:
    """What was counted without a name stays without one: a total never falls."""
    totals = Totals[FlowKind]()
    totals.add([_failed(7, 3)], Names({}))
    totals.add([_failed(7, 5)], Names({7: "pod"}))

    assert _by_name(totals) == {OTHER: 3, "pod": 2}


def test_a_number_that_is_given_to_another_namespace_continues_under_the_new_name() -> None:
    """The kernel hands out numbers again; the old name keeps its total, the new one starts at nothing."""
    totals = Totals[FlowKind]()
    totals.add([_failed(7, 4)], Names({7: "old"}))
    totals.add([_failed(7, 4)], Names({7: "new"}))
    totals.add([_failed(7, 9)], Names({7: "new"}))

    assert _by_name(totals) == {"old": 4, "new": 5}


def test_a_namespace_that_is_gone_keeps_its_name_until_it_is_forgotten() -> None:
    """Gone from the list is no reason to move its total to anybody else."""
    totals = Totals[FlowKind]()
    totals.add([_failed(7, 4), _failed(8, 1)], Names({7: "gone", 8: "here"}))
    totals.add([_failed(7, 4), _failed(8, 1)], Names({8: "here"}))
    before = _by_name(totals)
    totals.forget(frozenset({Client(7)}), ["here"])

    assert before == {"gone": 4, "here": 1}
    assert _by_name(totals) == {"here": 1}


def test_a_number_that_comes_back_after_it_was_forgotten_starts_from_zero() -> None:
    """Its table was emptied, so all that it holds is new."""
    totals = Totals[FlowKind]()
    totals.add([_failed(7, 4)], Names({7: "first"}))
    totals.forget(frozenset({Client(7)}), [])
    totals.add([_failed(7, 2)], Names({7: "second"}))

    assert _by_name(totals) == {"second": 2}


def test_only_what_changed_is_active() -> None:
    """Activity keeps a namespace from being forgotten; standing still does not."""
    totals = Totals[FlowKind]()
    totals.add([_failed(7, 4), _failed(8, 4)], Names({}))

    assert totals.add([_failed(7, 4), _failed(8, 5)], Names({})) == frozenset({Client(8)})


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(1, 4), st.integers(0, 20), min_size=1),
            st.dictionaries(st.integers(1, 4), st.sampled_from(["a", "b", OTHER])),
        ),
        max_size=12,
    )
)
def test_names_may_come_and_go_and_the_sum_is_what_the_kernel_counted(
    steps: list[tuple[dict[int, int], dict[int, str]]],
) -> None:
    """The sum over names is the sum over namespaces, at every moment, and no total ever falls."""
    totals = Totals[FlowKind]()
    kernel: dict[int, int] = {}
    last: dict[str, int] = {}
    for growth, names in steps:
        for netns, more in growth.items():
            kernel[netns] = kernel.get(netns, 0) + more
        totals.add([_failed(netns, count) for netns, count in kernel.items()], Names(names))
        now = _by_name(totals)

        assert sum(now.values()) == sum(kernel.values())
        assert all(now[name] >= count for name, count in last.items())
        last = now


def test_what_belongs_to_no_namespace_is_never_forgotten_and_counted_again() -> None:
    """Number 0 is nobody's: it is not among the active, so it cannot be taken for gone."""
    totals = Totals[FlowKind]()

    assert totals.add([_failed(0, 10), _failed(7, 1)], Names({})) == frozenset({Client(7)})


def test_names_beyond_the_bound_are_other_and_nothing_is_lost() -> None:
    """The first names are kept apart; room that a forgotten name leaves is given out again."""
    totals = Totals[FlowKind]()
    many = MOST_NAMES + 5
    names = {number: f"pod-{number}" for number in range(1, many + 1)}
    totals.add([_failed(number, 1) for number in names], Names(names))

    assert len(_by_name(totals)) == MOST_NAMES + 1
    assert _by_name(totals)[OTHER] == 5
    totals.forget(frozenset({Client(1)}), [f"pod-{number}" for number in range(2, many + 1)])
    totals.add([_failed(number, 2) for number in names if number != 1], Names(names))
    assert sum(_by_name(totals).values()) == 2 * (many - 1) + 0


def test_two_services_of_one_host_are_told_apart_and_so_are_two_names_of_destinations() -> None:
    """By the cgroup of the client, and by the number of the rule that the kernel found."""
    names = Names(
        {7: "host"},
        {1: "", 11: "system.slice/nginx.service", 12: "system.slice/cron.service"},
        (Workload("database"),),
    )
    totals = Totals[FlowKind]()
    counts = [
        FlowCount(7, "failed", "refused", "private", UNKNOWN_BUCKET, 1, 0, cgroup=11, workload=1),
        FlowCount(7, "failed", "refused", "private", UNKNOWN_BUCKET, 2, 0, cgroup=12),
        FlowCount(7, "failed", "refused", "private", UNKNOWN_BUCKET, 4, 0, cgroup=1),
    ]
    totals.add([count.counted(names) for count in counts], names)

    assert {(one.name, one.kind.destination): one.count for one in totals.amounts()} == {
        ("nginx", "database"): 1, ("cron", "private"): 2, ("host", "private"): 4,
    }  # fmt: skip


def test_a_cgroup_that_nobody_knew_is_looked_for_until_its_counts_were_read() -> None:
    """One that ended before anybody looked must not have all of them looked up for ever."""
    totals = Totals[FlowKind]()
    names = Names({7: "host"}, {1: ""})
    counts = [Counted(Client(7, 11), FlowKind("failed", "refused", "private", UNKNOWN_BUCKET), 1)]
    strangers = totals.strangers(totals.reading(counts), names)
    totals.add(counts, names)

    assert strangers == {Client(7, 11)}
    assert not totals.strangers(totals.reading(counts), names)


def test_a_counter_goes_where_its_name_goes_and_counts_what_is_new() -> None:
    """The same object in each reading: what it had under its old name stays there."""
    totals, counter = Totals[FlowKind](), Counter(Client(7), _failed(7, 0).kind)
    active = [
        totals.take(Reading([counter], [count], [0]), Names({7: name}))
        for count, name in ((3, "old"), (3, "new"), (5, "new"), (1, "new"), (0, "new"))
    ]

    assert _by_name(totals) == {"old": 3, "new": 2 + 1}
    assert [bool(clients) for clients in active] == [True, False, True, True, False]


def test_a_total_that_was_dropped_is_not_counted_into_any_more() -> None:
    """A counter that outlives the total of its name finds the new one, and the reader sees it."""
    totals, counter = Totals[FlowKind](), Counter(Client(7), _failed(7, 0).kind)
    totals.take(Reading([counter], [3], [0]), Names({7: "pod"}))
    totals.forget(frozenset(), [])
    totals.take(Reading([counter], [5], [0]), Names({7: "pod"}))

    assert _by_name(totals) == {"pod": 2}


def test_a_number_that_was_read_before_is_looked_up_anew_when_it_counts_again() -> None:
    """Its namespace had ended, and another has the number by now: `~other` would be for ever."""
    totals = Totals[FlowKind]()
    kind = FlowKind("failed", "refused", "private", UNKNOWN_BUCKET)
    totals.add([Counted(Client(7), kind, 1)], Names({7: "former"}))
    later = Names({})

    assert not totals.strangers(totals.reading([Counted(Client(7), kind, 1)]), later)
    assert totals.strangers(totals.reading([Counted(Client(7), kind, 2)]), later) == {Client(7)}
