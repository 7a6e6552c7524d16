"""Claims about SLO and burn policy files."""

import pathlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.adapters import time_zones
from netsre.app import resources, service_levels
from netsre.errors import SpecErrors
from netsre.model import linting
from netsre.model.levels import SLO, Matcher, RatioIndicator, Selector
from netsre.slo import codes, parsing, selectors
from netsre.slo.policies import PolicySpec

BAD = pathlib.Path(__file__).parent / "bad"
SHIPPED = resources.directory("slos")


def policies() -> tuple[PolicySpec, ...]:
    """Return the shipped burn policies."""
    texts = resources.texts([SHIPPED / "policies"], ".yaml")
    return parsing.parse(texts, service_levels.BOUNDS).policies


def findings_of(texts: dict[str, str]) -> list[str]:
    """Return what is wrong with these files, one line each."""
    with pytest.raises(SpecErrors) as caught:
        parsing.parse(texts, service_levels.BOUNDS, policies(), {"network-evidence"}, time_zones.find)
    return [str(finding) for finding in caught.value.findings]


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_bad_file_gets_exactly_its_messages(path: pathlib.Path) -> None:
    """The lines that begin with `#=` are all findings of the file, in order."""
    text = path.read_text()
    expected = [line.removeprefix("#= ") for line in text.splitlines() if line.startswith("#= ")]

    found = findings_of({"f": text})

    assert found == [f"f:{line}" for line in expected]


def test_every_code_has_a_bad_file_that_shows_it() -> None:
    """No code is documented that nothing can produce; SLO020 needs a program without bounds, shown below."""
    shown = {word for path in BAD.glob("*.yaml") for word in path.read_text().split()}

    assert {*linting.CODES, *codes.CODES} - shown == {codes.BOUNDS_UNKNOWN}


def test_a_histogram_without_known_bounds_is_a_finding() -> None:
    """A limit that cannot be checked against buckets is refused."""
    text = (SHIPPED / "connect-latency.yaml").read_text()

    with pytest.raises(SpecErrors) as caught:
        parsing.parse({"f": text}, {}, policies())

    assert [finding.code for finding in caught.value.findings] == [codes.BOUNDS_UNKNOWN]


def test_findings_of_all_files_come_sorted_by_file_and_line() -> None:
    """One run shows everything, whatever the order in which the files were given."""
    base = (SHIPPED / "flow-success.yaml").read_text()
    late, early = base.replace("99.9", "101").replace("30d", "-1d"), base.replace("99.9", "0")

    found = findings_of({"b.yaml": late, "a.yaml": early})

    assert [line.split(" ")[0] for line in found] == ["a.yaml:9:", "b.yaml:5:", "b.yaml:9:", "b.yaml:10:"]


def test_one_name_in_two_files_is_reported_in_the_second() -> None:
    """The message names the first place."""
    base = (SHIPPED / "flow-success.yaml").read_text()

    found = findings_of({"one.yaml": base, "two.yaml": base})

    assert found == ["two.yaml:5: SLO010 SLO flow-success already stands in one.yaml:5; rename one"]


def test_the_shipped_files_read_as_designed() -> None:
    """Names, objectives, windows and groups of the shipped service levels."""
    found = service_levels.load()

    assert [(slo.name, slo.objective, slo.window, slo.group_by) for slo in found.slos] == [
        ("agent-cpu", Fraction(99, 100), 30 * clock.DAY, ("node",)),
        ("bpf-load-balancing", Fraction(99, 100), 30 * clock.DAY, ("node",)),
        ("connect-latency", Fraction(99, 100), 30 * clock.DAY, ("node",)),
        ("conntrack-headroom", Fraction(99, 100), 30 * clock.DAY, ("node", "netns")),
        ("drops", Fraction(999, 1000), 30 * clock.DAY, ("node",)),
        ("flow-log", Fraction(99, 100), 30 * clock.DAY, ("node",)),
        ("flow-success", Fraction(999, 1000), 30 * clock.DAY, ("node",)),
        ("policy-compile", Fraction(99, 100), 30 * clock.DAY, ("node",)),
        ("policy-correctness", Fraction(9999, 10_000), 30 * clock.DAY, ("node",)),
        ("policy-headroom", Fraction(99, 100), 30 * clock.DAY, ("node",)),
        ("prefilter-drops", Fraction(999, 1000), 30 * clock.DAY, ("node",)),
        ("probes-up", Fraction(999, 1000), 30 * clock.DAY, ("node",)),
        ("udp-answered", Fraction(99, 100), 30 * clock.DAY, ("node",)),
    ]
    assert [policy.name for policy in found.policies] == ["guide", "low-traffic", "tickets", "workbook"]


@pytest.mark.parametrize("name", ["policy-compile", "flow-log"])
def test_nobody_is_woken_by_what_can_wait(name: str) -> None:
    """Slow changes of policies and a log that loses lines are tickets, told as soon as a page would be."""
    (slo,) = service_levels.load([SHIPPED / "datapath" / f"{name}.yaml"]).slos
    assert slo.policy is not None
    assert {(rule.severity, rule.long) for rule in slo.policy.rules} == {
        ("ticket", long) for long in (clock.HOUR, 6 * clock.HOUR, clock.DAY, 3 * clock.DAY)
    }


def flow_success() -> SLO:
    """Return the shipped flow SLO."""
    return service_levels.load([SHIPPED / "flow-success.yaml"]).slos[0]


def test_a_ratio_reads_into_its_selectors() -> None:
    """What was written is what is selected, and writes itself as PromQL."""
    indicator = flow_success().indicator

    assert isinstance(indicator, RatioIndicator)
    ends = Matcher("direction", "=", "egress"), Matcher("protocol", "=", "tcp")
    assert indicator.bad == Selector("netsre_flows_total", (*ends, Matcher("outcome", "=", "failed")))
    assert str(indicator.total) == (
        'netsre_flows_total{direction="egress",protocol="tcp",outcome=~"delivered|failed"}'
    )


def test_the_workbook_policy_has_the_factors_of_the_book() -> None:
    """14.4, 6, 3 and 1 over 30 days, exactly, although no factor is written anywhere."""
    slo = flow_success()

    assert slo.policy is not None
    factors = [rule.factor(slo.window) for rule in slo.policy.rules]
    assert factors == [Fraction(144, 10), 6, 3, 1]


@given(days=st.integers(14, 92))
def test_the_guide_keeps_its_burn_rates_whatever_the_window(days: int) -> None:
    """`factor: 5` is 5 for every period, because the share of the budget follows from it."""
    guide = next(policy for policy in POLICIES if policy.name == "guide")
    period = days * clock.DAY

    rules = guide.resolved(period).rules

    assert {5, 3} <= {rule.factor(period) for rule in rules}


@given(days=st.integers(1, 400))
def test_factor_times_long_over_period_is_the_share_that_was_written(days: int) -> None:
    """No rounding comes between the policy and the threshold."""
    workbook = next(policy for policy in POLICIES if policy.name == "workbook")
    period = days * clock.DAY

    for rule, written in zip(workbook.resolved(period).rules, workbook.rules, strict=True):
        assert rule.factor(period) * rule.long / period == written.budget_share


@given(units=st.integers(1_000_001, 99_999_999))
def test_an_objective_is_the_decimal_that_was_written(units: int) -> None:
    """No float touches it: 99.99999 percent is 9999999/10000000."""
    percent = Fraction(units, 1_000_000)
    text = FLOW.replace("objective: 99.9", f"objective: {units // 10**6}.{units % 10**6:06d}")

    slo = parsing.parse({"f": text.replace("policy: workbook", "policy: none")}, service_levels.BOUNDS).slos[
        0
    ]

    assert slo.objective * 100 == percent


def test_no_policy_means_no_rules() -> None:
    """`policy: none` is a decision, not a default."""
    text = FLOW.replace("policy: workbook", "policy: none")

    assert parsing.parse({"f": text}, service_levels.BOUNDS).slos[0].policy is None


def test_a_policy_of_ones_own_replaces_the_shipped_one() -> None:
    """A file may define `workbook` anew; its SLOs then use that one."""
    own = (
        (SHIPPED / "policies" / "workbook.yaml")
        .read_text()
        .replace("minimumBadEvents: 5", "minimumBadEvents: 50")
    )

    slo = parsing.parse({"a": FLOW, "b": own}, service_levels.BOUNDS, POLICIES).slos[0]

    assert slo.policy is not None
    assert slo.policy.minimum_bad_events == 50


POLICIES = policies()
FLOW = (SHIPPED / "flow-success.yaml").read_text()


@pytest.mark.parametrize(
    ("hook", "reason", "bad"),
    [
        ("kernel", "no_socket", False),
        ("kernel", "netfilter_drop", False),
        ("kernel", "xdp", False),
        ("tc_ingress", "blocked_source", False),
        ("tc_ingress", "no_room", True),
        ("xdp", "parse_error", True),
    ],
)
def test_the_shipped_level_of_drops_is_about_our_own_programs(hook: str, reason: str, *, bad: bool) -> None:
    """What the kernel drops by itself is normal on a quiet node, and burns nothing."""
    [drops] = [slo for slo in service_levels.required((SHIPPED,)).slos if slo.name == "drops"]
    assert isinstance(drops.indicator, RatioIndicator)
    labels = {"hook": hook, "reason": reason, "rule": "", "netns": "host"}

    assert selectors.selects(drops.indicator.bad, labels, "node") is bad
