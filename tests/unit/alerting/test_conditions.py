"""Condition alerts begin beyond a value, and end only after they were read to be over for a while."""

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal

import hypothesis
import pytest
from hypothesis import strategies

from netsre import clock
from netsre.alerting import conditions
from netsre.alerting.conditions import Memory, Opinion
from netsre.alerting.describe import Links
from netsre.alerting.transitions import Reason, Transition
from netsre.clock import Timestamp
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.levels import Matcher, Origin, Selector
from netsre.model.samples import Scrape, Series, labels
from tests.unit import burning

METRIC = "netsre_conntrack_utilization_ratio"
TURN = 5 * clock.SECOND
HOLD = 30 * clock.SECOND
RULE = AlertRule(
    name="TableFull",
    service="node-conntrack",
    description="It is full soon.",
    labels=(),
    selector=Selector(METRIC, (Matcher("table", "=", "kernel"),)),
    group_by=("node", "netns"),
    op=">",
    value=Decimal("0.8"),
    hold=0,
    clear_value=Decimal("0.7"),
    clear_hold=HOLD,
    severity="page",
    runbook="look",
    origin=Origin("f", 1),
)

Values = Mapping[str, str | int]
"""Readings by namespace."""


def scrape(values: Values, turn: int = 0, table: str = "kernel", node: str = "a") -> Scrape:
    """Return what was read at a turn."""
    read = {
        Series(METRIC, labels({"table": table, "netns": netns})): Decimal(value)
        for netns, value in values.items()
    }
    return Scrape(Timestamp(burning.T0 + turn * TURN), node, burning.T0, read)


class Play:
    """A rule, turn after turn."""

    def __init__(self, *rules: AlertRule) -> None:
        """Begin with no alert."""
        self.rules = rules or (RULE,)
        self.active: dict[str, Alert] = {}
        self.memory = Memory()
        self.number = 0

    def turn(self, values: Values | None) -> list[Transition]:
        """Take one turn; None is one without a reading."""
        read = () if values is None else (scrape(values, self.number),)
        now = Timestamp(burning.T0 + self.number * TURN)
        decision = conditions.decide(
            self.rules, read, self.active, self.memory, now, Links("http://localhost:8600")
        )
        self.memory = decision.memory
        self.number += 1
        for transition in decision.transitions:
            name = transition.alert.fingerprint
            self.active[name] = transition.alert
            if transition.alert.state is AlertState.RESOLVED:
                del self.active[name]
        return list(decision.transitions)

    def story(self, turns: Sequence[Values | str | int | None]) -> list[Reason | None]:
        """Return the reason of each turn, None without an alert; a bare value is of one namespace."""
        told = [self.turn({"x": read} if isinstance(read, str | int) else read) for read in turns]
        return [found[0].reason if found else None for found in told]


def test_a_condition_begins_at_the_first_reading_beyond_the_value() -> None:
    """With the labels that are its identity, as the engine's own alert."""
    (began,) = Play().turn({"x": "0.81"})

    assert (began.reason, began.alert.fired_at) == (Reason.CONDITION_STARTED, burning.T0)
    assert began.alert.source is AlertSource.CONDITION
    assert dict(began.alert.labels) == {
        "alertname": "TableFull",
        "severity": "page",
        "service": "node-conntrack",
        "node": "a",
        "netns": "x",
    }


def test_a_reading_at_the_value_is_not_beyond_it() -> None:
    """`>` is not `>=`, to the last digit."""
    assert Play().story(["0.8", "0.80000000000000000000001"]) == [None, Reason.CONDITION_STARTED]


def test_a_condition_ends_after_the_hold_and_not_before() -> None:
    """Six turns of 5 s are thirty seconds."""
    story = Play().story(["0.9", *["0.7"] * 7])

    assert story == [Reason.CONDITION_STARTED, *[Reason.CLEARING_HELD] * 6, Reason.CONDITION_ENDED]


def test_between_the_two_values_nothing_changes_and_the_hold_starts_over() -> None:
    """Neither a beginning nor an end, however long."""
    story = Play().story(["0.75", "0.9", *["0.6"] * 6, "0.75", *["0.6"] * 6, "0.75"])

    assert story[:2] == [None, Reason.CONDITION_STARTED]
    assert set(story[2:]) == {Reason.CLEARING_HELD, Reason.BETWEEN}


def test_a_turn_without_a_reading_or_with_none_that_is_a_number_is_no_opinion() -> None:
    """It ends nothing, and what had to be so without a break begins anew."""
    for nothing in (None, "NaN", "Infinity"):
        story = Play().story([nothing, "0.9", *["0.6"] * 6, nothing, *["0.6"] * 6])

        assert story[0] is None
        assert story.count(Reason.NO_OPINION_KEPT) == 1
        assert Reason.CONDITION_ENDED not in story


def test_an_alert_that_goes_on_keeps_the_time_it_fired_and_tells_the_value_of_now() -> None:
    """Downstream dedupes on the one, people read the other."""
    play = Play()
    (first,), (second,) = play.turn({"x": "0.9"}), play.turn({"x": "0.95"})

    assert second.reason is Reason.STILL_TRUE
    assert second.alert.fired_at == first.alert.fired_at < second.alert.updated_at
    assert "95%" in second.alert.annotations["summary"]


def test_a_condition_must_hold_for_as_long_as_the_file_says() -> None:
    """Ten seconds are two turns; one in between that is not beyond starts over, and so does a blind one."""
    play = Play(dataclasses.replace(RULE, hold=10 * clock.SECOND))

    story = play.story(["0.9", "0.9", "0.8", "0.9", "0.9", None, "0.9", "0.9", "0.9"])

    assert story == [None] * 8 + [Reason.CONDITION_STARTED]


def test_a_group_is_beyond_when_any_of_its_series_is() -> None:
    """One namespace of a node is enough, and the worst one is told."""
    play = Play(dataclasses.replace(RULE, group_by=()))

    (began,) = play.turn({"x": "0.1", "y": "0.9", "z": "0.85"})

    assert "90%" in began.alert.annotations["summary"]
    assert dict(began.alert.labels)["node"] == "a"
    assert play.story([{"x": "0.1", "y": "0.75"}]) == [Reason.BETWEEN]
    assert play.story([{"x": "0.1", "y": "NaN"}]) == [Reason.NO_OPINION_KEPT]


def test_every_group_has_an_alert_of_its_own() -> None:
    """Two namespaces fill up, one after the other."""
    play = Play()

    play.turn({"x": "0.9", "y": "0.1"})
    reasons = {dict(t.alert.labels)["netns"]: t.reason for t in play.turn({"x": "0.9", "y": "0.9"})}

    assert reasons == {"x": Reason.STILL_TRUE, "y": Reason.CONDITION_STARTED}


def test_an_alert_about_services_has_the_name_of_each() -> None:
    """Where a rule groups by service, that is what its alerts are about; else by the rule's own."""
    rule = dataclasses.replace(RULE, group_by=("node", "service"))
    read = {
        Series(METRIC, labels({"service": name, "table": "kernel"})): Decimal(1) for name in ("", "b", "c")
    }
    read[Series(METRIC, labels({"service": "d", "table": "kernel"}))] = Decimal(0)
    now = Timestamp(burning.T0)
    scraped = Scrape(now, "a", burning.T0, read)
    decision = conditions.decide((rule,), (scraped,), {}, Memory(), now, Links("http://localhost:8600"))
    begun = {dict(one.alert.labels)["service"]: one.alert for one in decision.transitions}

    assert begun.keys() == {"node-conntrack", "b", "c"}
    assert conditions.opinion(rule, begun["b"].labels, scraped) is Opinion.TRUE
    active = {alert.fingerprint: alert for alert in begun.values()}
    again = conditions.decide(
        (rule,), (scraped,), active, decision.memory, now, Links("http://localhost:8600")
    )
    assert {one.alert.state for one in again.transitions} <= {AlertState.FIRING}


def test_series_that_the_matchers_leave_out_are_not_judged() -> None:
    """Another table of the same metric."""
    decision = conditions.decide((RULE,), [scrape({"x": 1}, table="datapath")], {}, Memory(), burning.T0)

    assert decision.transitions == ()


def test_a_group_that_is_gone_ends_its_alert_after_five_minutes_of_readings() -> None:
    """A table may be gone for a moment; whoever does not look cannot say that it is gone."""
    sixty = 5 * clock.MINUTE // TURN

    story = Play().story(["0.9", *[{"y": "0.1"}] * sixty, None, *[{"y": "0.1"}] * (sixty + 1)])

    assert story[-1] is Reason.GROUP_REMOVED
    assert story[1:-1] == [Reason.NO_OPINION_KEPT] * (len(story) - 2)


def test_a_group_that_comes_back_is_judged_as_if_it_had_never_been_away() -> None:
    """The time away counts neither for the end nor for the next time away."""
    sixty = 5 * clock.MINUTE // TURN
    away: list[Values | str | int | None] = [{}] * sixty

    story = Play().story(["0.9", *away, "0.6", *away, "0.9"])

    assert Reason.GROUP_REMOVED not in story
    assert story.count(Reason.CLEARING_HELD) == 1


@pytest.mark.parametrize("change", [{"name": "Other"}, {"severity": "ticket"}, {"group_by": ("table",)}])
def test_an_alert_that_no_rule_would_make_any_more_ends_even_when_blind(change: dict[str, str]) -> None:
    """Its file was removed or changed while it fired."""
    play = Play()
    play.turn({"x": "0.9"})
    play.rules = (dataclasses.replace(RULE, **change),)  # type: ignore[arg-type]  # one of three

    (ended,) = play.turn(None)

    assert (ended.reason, ended.alert.state) == (Reason.RULE_REMOVED, AlertState.RESOLVED)


def test_a_condition_downwards_is_the_mirror_image() -> None:
    """Below 0.2 it begins, at or above 0.3 it is over."""
    down = dataclasses.replace(RULE, op="<", value=Decimal("0.2"), clear_value=Decimal("0.3"))

    story = Play(down).story(["0.2", "0.19", "0.29", *["0.3"] * 7])

    assert story[:3] == [None, Reason.CONDITION_STARTED, Reason.BETWEEN]
    assert story[-1] is Reason.CONDITION_ENDED


def test_a_clock_that_is_set_back_makes_no_hold_longer() -> None:
    """The hold began in what is now the future."""
    play = Play()
    play.story(["0.9", "0.6", "0.6"])
    play.number -= 1000

    assert play.story(["0.6"] * 7)[-1] is Reason.CONDITION_ENDED


def test_what_a_reading_says_of_one_alert_can_be_asked() -> None:
    """A run asks before it does more."""
    (began,) = Play().turn({"x": "0.9"})

    def opinion(values: Values) -> Opinion:
        return conditions.opinion(RULE, began.alert.labels, scrape(values))

    assert opinion({"x": "0.9"}) is Opinion.TRUE
    assert opinion({"x": "0.75", "y": 1}) is Opinion.BETWEEN
    assert opinion({"x": "0.7"}) is Opinion.OVER
    assert opinion({"y": 1}) is Opinion.NONE


@hypothesis.given(
    strategies.lists(
        strategies.sampled_from(["0.9", "0.801", "0.8", "0.75", "0.7", "0.1", None]), max_size=60
    )
)
def test_no_alert_ends_while_it_is_beyond_and_every_one_ends_after_its_hold(
    story: list[str | None],
) -> None:
    """Whatever happened before: an end follows a hold of readings that were over, and such a hold an end."""
    play = Play()
    turns = HOLD // TURN
    for turn, value in enumerate(story):
        fired = bool(play.active)
        found = play.turn(None if value is None else {"x": value})
        last = story[max(0, turn - turns) : turn + 1]
        over = len(last) == turns + 1 and all(value in ("0.7", "0.1") for value in last)
        if fired:
            assert (found[0].reason is Reason.CONDITION_ENDED) == over
        else:
            assert bool(found) == (value in ("0.9", "0.801"))


def test_nodes_are_judged_apart_and_one_that_is_silent_keeps_its_alert_for_an_hour() -> None:
    """What another node shows neither ends it nor makes it older; a node that is gone ends it."""
    both = [scrape({"x": "0.9"}, node="a"), scrape({"x": "0.9"}, node="b")]
    begun = conditions.decide((RULE,), both, {}, Memory(), burning.T0)
    active = {one.alert.fingerprint: one.alert for one in begun.transitions}
    assert sorted(dict(alert.labels)["node"] for alert in active.values()) == ["a", "b"]

    memory, told = begun.memory, {}
    for minutes in (0, 59, 60):
        now = Timestamp(burning.T0 + minutes * clock.MINUTE)
        over = [scrape({"x": "0.9"}, node="b")]
        decision = conditions.decide((RULE,), over, active, memory, now)
        memory = decision.memory
        told[minutes] = {dict(one.alert.labels)["node"]: one.reason for one in decision.transitions}

    assert told[0] == told[59] == {"a": Reason.NO_OPINION_KEPT, "b": Reason.STILL_TRUE}
    assert told[60] == {"a": Reason.GROUP_REMOVED, "b": Reason.STILL_TRUE}
