"""When new policies on trial are promoted: what the kernel counted, as a table of cases."""

from collections.abc import Mapping

import pytest

from netsre.datapath.policy import canary
from netsre.datapath.policy.canary import WAITING, Asked, Outcome, Reason, Sample, Verdict, Withdrawn
from netsre.datapath.policy.conntrack import Connection
from netsre.datapath.policy.layouts import COUNT, COUNT_KEY, REASONS
from netsre.datapath.policy.reference import Reason as Why
from netsre.datapath.policy.verdicts import Names

BEFORE = "allowed before by x/p egress[0]"
OTHER = "allowed before by x/p ingress[0]"
PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ALLOWED, DENIED, AUDITED, UNASKED = range(4)


def counted(rules: Mapping[str, int]) -> Mapping[bytes, Withdrawn]:
    """Return what one counter of each rule has."""
    return {rule.encode(): Withdrawn(rule, packets) for rule, packets in rules.items()}


def sample(
    denied: int = 0, passed: int = 0, *, off: bool = False, uncounted: int = 0, other: int = 0
) -> Sample:
    """Return one of a canary of one endpoint."""
    return Sample(
        counted({BEFORE: denied, OTHER: other}),
        {"x/own": passed},
        frozenset({"x/own"} if off else ()),
        uncounted,
    )


@pytest.mark.parametrize(
    ("before", "now", "asked", "over", "expected"),
    [
        (sample(), sample(), Asked(), False, (Outcome.WAITING, Reason.WATCHING)),
        (sample(), sample(passed=9), Asked(), False, (Outcome.WAITING, Reason.WATCHING)),
        (sample(), sample(passed=1), Asked(), True, (PASS, Reason.HEALTHY)),
        (sample(), sample(), Asked(), True, (UNKNOWN, Reason.NO_TRAFFIC)),
        (sample(), sample(passed=9), Asked(least=10), True, (UNKNOWN, Reason.NO_TRAFFIC)),
        (sample(), sample(passed=10), Asked(least=10), True, (PASS, Reason.HEALTHY)),
        # One denied packet is enough, whenever it comes.
        (sample(), sample(1, 9), Asked(), False, (FAIL, Reason.DENIES)),
        (sample(), sample(1, 9), Asked(), True, (FAIL, Reason.DENIES)),
        (sample(), sample(3, 9), Asked(allowed=3), True, (PASS, Reason.HEALTHY)),
        (sample(), sample(3, 9, other=1), Asked(allowed=3), False, (FAIL, Reason.DENIES)),
        # What an earlier canary was denied is on the same counters.
        (sample(7), sample(7, 9), Asked(), True, (PASS, Reason.HEALTHY)),
        (sample(7), sample(8, 9), Asked(), True, (FAIL, Reason.DENIES)),
        # What nobody can know is no health, but what is known to be bad is.
        (sample(), sample(0, 9, off=True), Asked(), True, (UNKNOWN, Reason.NOT_ENFORCED)),
        (sample(), sample(0, 9, off=True), Asked(), False, (Outcome.WAITING, Reason.WATCHING)),
        (sample(), sample(1, 9, off=True), Asked(), True, (FAIL, Reason.DENIES)),
        (sample(), sample(0, 9, uncounted=1), Asked(), True, (UNKNOWN, Reason.NOT_COUNTED)),
        (sample(uncounted=4), sample(0, 9, uncounted=4), Asked(), True, (PASS, Reason.HEALTHY)),
    ],
)
def test_a_canary_is_judged_by_what_its_policies_take_away(
    before: Sample, now: Sample, asked: Asked, over: bool, expected: tuple[Outcome, Reason]
) -> None:
    """At once where it is too much, at the end where it is not; without traffic nothing is healthy."""
    found = canary.judged(before, now, asked, over=over)

    assert (found.outcome, found.reason) == expected


@pytest.mark.parametrize(
    ("denied", "detail"),
    [
        ({BEFORE: 1}, f"1 packet was denied, {BEFORE}"),
        ({BEFORE: 2, OTHER: 5}, f"7 packets were denied, {OTHER}, {BEFORE}"),
        ({f"r{n}": n for n in range(1, 6)}, "15 packets were denied, r5, r4, r3 and 2 more"),
    ],
)
def test_what_is_taken_away_has_the_name_of_who_gave_it(denied: Mapping[str, int], detail: str) -> None:
    """The worst first."""
    assert canary.judged(Sample(), Sample(counted(denied)), Asked(), over=False).detail == detail


@pytest.mark.parametrize("then", [{}, {b"gone": Withdrawn(BEFORE, 2)}], ids=["it stays away", "it is back"])
def test_a_counter_that_leaves_the_table_hides_no_other_of_its_rule(then: Mapping[bytes, Withdrawn]) -> None:
    """Those of ends that are gone are taken out at any time, with what an earlier canary was denied."""
    before = Sample({b"gone": Withdrawn(BEFORE, 100), b"mine": Withdrawn(BEFORE, 7)})
    now = Sample({b"mine": Withdrawn(BEFORE, 8), **then})

    assert canary.gained(before, now) == {BEFORE: 3 if then else 1}


def test_forged_sources_are_denied_as_well() -> None:
    """As many as there are more than before; there is no rule that allows them."""
    assert canary.gained(Sample(forged=5), Sample(forged=7)) == {canary.FORGED: 2}
    assert canary.judged(Sample(forged=5), Sample(forged=7), Asked(), over=False).outcome is FAIL


def test_nothing_that_was_seen_is_forgotten() -> None:
    """Connections end, and a mode that was off may be on again when it is judged."""
    first, second = sample(0, 5, off=True), sample(2, 3)
    both = second.including(first)

    assert both == Sample(second.withdrawn, {"x/own": 5}, frozenset({"x/own"}), 0)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((PASS, PASS), PASS),
        ((PASS, Outcome.WAITING), Outcome.WAITING),
        ((UNKNOWN, Outcome.WAITING), Outcome.WAITING),
        ((PASS, UNKNOWN), UNKNOWN),
        ((UNKNOWN, FAIL), FAIL),
        ((Outcome.WAITING, FAIL), FAIL),
        ((), PASS),
    ],
)
def test_all_must_pass(outcomes: tuple[Outcome, ...], expected: Outcome) -> None:
    """And one that fails waits for nobody."""
    verdicts = [Verdict(one, Reason.WATCHING, str(number)) for number, one in enumerate(outcomes)]

    assert canary.joined(verdicts).outcome is expected


def test_what_both_say_is_told_together() -> None:
    """Where all is well."""
    verdicts = [Verdict(PASS, Reason.HEALTHY, "a"), Verdict(PASS, Reason.HEALTHY, ""), WAITING]

    assert canary.joined(verdicts[:2]) == Verdict(PASS, Reason.HEALTHY, "a")
    assert canary.joined(verdicts) is WAITING


def test_only_what_the_revision_before_allows_counts_as_taken_away() -> None:
    """Over both verdicts, all ends and all CPUs; a default deny of old and a rule that denies do not."""
    withdrawn, default, rule = (REASONS[one] for one in (Why.WITHDRAWN, Why.DEFAULT_DENY, Why.RULE))
    counts = [
        (COUNT_KEY.pack(7, 300, 301, DENIED, 1, withdrawn, 0), COUNT.pack(2, 0, 0) + COUNT.pack(3, 0, 0)),
        (COUNT_KEY.pack(7, 300, 302, AUDITED, 1, withdrawn, 0), COUNT.pack(4, 0, 0)),
        (COUNT_KEY.pack(0, 300, 302, DENIED, 0, withdrawn, 0), COUNT.pack(1, 0, 0)),
        (COUNT_KEY.pack(0, 300, 302, DENIED, 1, default, 0), COUNT.pack(100, 0, 0)),
        (COUNT_KEY.pack(7, 300, 302, DENIED, 1, rule, 0), COUNT.pack(100, 0, 0)),
    ]
    found = canary.withdrawn(counts, Names({7: "x/p egress[0]"}))

    assert canary.gained(Sample(), Sample(found)) == {BEFORE: 9, "allowed before": 1}


@pytest.mark.parametrize(
    ("revision", "endpoint", "verdict", "reason", "counts"),
    [
        (5, 1, ALLOWED, Why.RULE, True),
        (5, 1, ALLOWED, Why.NO_POLICY, True),
        (5, 1, AUDITED, Why.DEFAULT_DENY, True),
        (5, 1, UNASKED, Why.DEFAULT_DENY, False),
        (4, 1, ALLOWED, Why.RULE, False),
        (5, 2, ALLOWED, Why.RULE, False),
        (5, 1, ALLOWED, Why.NODE, False),
        (5, 1, ALLOWED, Why.ITSELF, False),
    ],
)
def test_a_connection_is_evidence_where_the_new_policies_of_the_canary_decided_it(
    revision: int, endpoint: int, verdict: int, reason: Why, counts: bool
) -> None:
    """Not by the revision before, of no other endpoint, and nothing that passes whatever policies say."""
    one = Connection(9, revision, 0, 7, 300, 301, endpoint, 1, verdict, REASONS[reason], 0, 0)

    assert canary.connections([(b"", one.packed())], 5, {1: "x/own"}) == {"x/own": int(counts)}
