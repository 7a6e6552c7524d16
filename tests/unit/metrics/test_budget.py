"""What is given up for the budget, and when it comes back."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from netsre.metrics.budget import EVERY_SECONDS, Budget, Decision, Reason

ORDER = ("loads", "drops", "tcp")


class Node:
    """A node whose cost is that of its probes."""

    def __init__(self, budget: float, base: float, prices: dict[str, float]) -> None:
        """Cost `base` of a core, and for each probe its price, beside a budget."""
        self.budget = Budget(budget, ORDER)
        self.base, self.prices = base, prices
        self.attached = set(ORDER)
        self.at = self.used = 0.0
        self.decisions: list[tuple[float, Decision]] = []
        self.budget.look(self.at, self.used)

    def run(self, looks: int) -> list[str]:
        """Let time pass; return what was given up (-) and taken back (+)."""
        before = len(self.decisions)
        for _ in range(looks):
            self.at += EVERY_SECONDS
            self.used += EVERY_SECONDS * (self.base + sum(self.prices[name] for name in self.attached))
            decision = self.budget.look(self.at, self.used)
            if decision is not None:
                self.decisions.append((self.at, decision))
                over = decision.reason is Reason.OVER_BUDGET
                (self.attached.discard if over else self.attached.add)(decision.probe)
        return [
            f"{'-' if decision.reason is Reason.OVER_BUDGET else '+'}{decision.probe}"
            for _, decision in self.decisions[before:]
        ]


def test_below_the_budget_nothing_happens() -> None:
    """Exactly at it, too."""
    node = Node(2**-7, 2**-9, dict.fromkeys(ORDER, 2**-9))

    assert node.run(1_000) == []


def test_one_look_above_the_budget_is_no_reason() -> None:
    """A scrape of a large node is over in a moment."""
    node = Node(0.01, 0.0, dict.fromkeys(ORDER, 0.0))
    node.base = 0.5
    node.run(1)
    node.base = 0.001

    assert node.run(20) == []


def test_probes_go_in_order_and_only_while_that_is_needed() -> None:
    """The first alone did not help; with the second gone it fits."""
    node = Node(0.01, 0.004, {"loads": 0.001, "drops": 0.006, "tcp": 0.002})

    assert node.run(20) == ["-loads", "-drops"]
    assert node.decisions[0][0] == 2 * EVERY_SECONDS
    assert node.decisions[1][0] == 4 * EVERY_SECONDS


def test_what_cannot_be_saved_is_not_saved_again_and_again() -> None:
    """When all are gone there is nothing left to decide."""
    node = Node(0.01, 0.5, dict.fromkeys(ORDER, 0.001))

    assert node.run(100) == ["-loads", "-drops", "-tcp"]


def test_what_was_given_up_last_comes_back_first() -> None:
    """After ten minutes with a fifth of the budget to spare, and the next after ten more."""
    node = Node(0.01, 0.004, {"loads": 0.001, "drops": 0.006, "tcp": 0.002})
    node.run(20)
    node.prices["drops"] = 0.001

    assert node.run(300) == ["+drops", "+loads"]
    # Ten minutes from the first look with room, which is the one after the last probe went.
    assert [at for at, _ in node.decisions[1:]] == [20, 625, 1_230]


def test_while_there_is_hardly_room_nothing_comes_back() -> None:
    """It would go again at the next scrape."""
    node = Node(0.01, 0.0082, {"loads": 0.003, "drops": 0.0, "tcp": 0.0})

    assert node.run(10_000) == ["-loads"]


def test_a_probe_that_is_too_dear_is_tried_ever_more_seldom() -> None:
    """Ten seconds over the budget each time: half an hour at first, a day apart in the end."""
    node = Node(0.01, 0.001, {"loads": 0.02, "drops": 0.0, "tcp": 0.0})
    week = round(7 * 86_400 / EVERY_SECONDS)

    assert node.run(week).count("-loads") <= 14
    assert node.run(week).count("-loads") == 7


def test_a_probe_that_has_to_go_again_comes_back_later_each_time() -> None:
    """Twenty minutes, forty: a load that comes and goes does not switch probes on and off."""
    node = Node(0.01, 0.0, dict.fromkeys(ORDER, 0.0))
    waits = []
    for _ in range(3):
        node.base = 0.02
        gone = node.at + 2 * EVERY_SECONDS
        assert node.run(2) == ["-loads"]
        node.base = 0.001
        while not node.run(1):
            pass
        waits.append(node.at - gone)

    assert [round(wait / 600) for wait in waits] == [1, 2, 4]


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), max_size=200))
def test_whatever_the_looks_say_each_probe_goes_and_comes_by_turns(
    looks: Iterable[tuple[float, float]],
) -> None:
    """Nothing goes twice, or comes back without having gone; in the order, and in its reverse."""
    budget = Budget(0.01, ORDER)
    gone: list[str] = []
    at = used = 0.0
    for later, more in looks:
        at, used = at + later, used + more
        decision = budget.look(at, used)
        if decision is None:
            continue
        if decision.reason is Reason.OVER_BUDGET:
            assert decision.probe == ORDER[len(gone)]
            gone.append(decision.probe)
        else:
            assert decision.probe == gone.pop()
