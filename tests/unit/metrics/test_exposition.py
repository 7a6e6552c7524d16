"""From counters to registered readings, and to the wire."""

from prometheus_client.parser import text_string_to_metric_families

from netsre import conventions as c
from netsre.adapters.exposition import render
from netsre.datapath.attribution import Totals
from netsre.datapath.buckets import CONNECT_BOUNDS
from netsre.datapath.flows import UNKNOWN_BUCKET, FlowCount, FlowKind
from netsre.datapath.growth import Growth
from netsre.datapath.workloads import Names
from netsre.metrics.conntrack import Table, put_events, put_table
from netsre.metrics.node import put_flows
from netsre.metrics.readings import Readings


def _parsed(readings: Readings) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, _ = render(readings, "")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_outcomes_are_added_up_and_latencies_cumulated() -> None:
    """Two buckets of one flow are one outcome, and a histogram whose last bucket is the count."""
    readings = Readings()
    counts = [
        FlowCount(7, "delivered", "none", "private", 2, 5, 400_000),
        FlowCount(7, "delivered", "none", "private", len(CONNECT_BOUNDS), 1, 2_900_000_000),
        FlowCount(7, "delivered", "none", "private", UNKNOWN_BUCKET, 2, 0),
        FlowCount(7, "failed", "refused", "private", UNKNOWN_BUCKET, 3, 0),
    ]
    totals = Totals[FlowKind]()
    names = Names({7: "pod-a"})
    totals.add([count.counted(names) for count in counts], names)
    put_flows(readings, totals.amounts())

    parsed = _parsed(readings)
    end = (("direction", "egress"), ("dst", "private"))
    flow = (*end, ("outcome", "delivered"), ("protocol", "tcp"), ("reason", "none"), ("src", "pod-a"))
    assert parsed[(c.FLOWS, flow)] == 8
    tail = (*end, ("protocol", "tcp"), ("src", "pod-a"))
    assert parsed[(f"{c.FLOW_CONNECT_SECONDS}_count", tail)] == 6
    assert parsed[(f"{c.FLOW_CONNECT_SECONDS}_sum", tail)] == 2.9004
    quarter = (*end, ("le", "0.25"), ("protocol", "tcp"), ("src", "pod-a"))
    assert parsed[(f"{c.FLOW_CONNECT_SECONDS}_bucket", quarter)] == 5


def test_a_namespace_without_a_name_is_other() -> None:
    """Nothing is left out because nobody knows what it is called."""
    readings, totals = Readings(), Totals[FlowKind]()
    reset = FlowCount(9, "failed", "reset", "public", UNKNOWN_BUCKET, 1, 0)
    totals.add([reset.counted(Names({}))], Names({}))
    put_flows(readings, totals.amounts())

    [(labels, value)] = readings.numbers[c.FLOWS]
    expected = {"outcome": "failed", "reason": "reset", "src": c.OTHER, "dst": "public"}
    assert (labels, value) == ({**expected, "direction": "egress", "protocol": "tcp"}, 1)


def test_hostile_names_stay_label_values() -> None:
    """A namespace may be called anything; the exposition still parses to exactly that."""
    name = 'a"b\\c\n# HELP x'
    readings = Readings()
    table = Table("kernel", name, 10, 40, Growth())
    put_table(readings, table)
    put_events(readings, table, {"insert_failed": 1, "drop": 2, "early_drop": 3})

    parsed = _parsed(readings)
    labels = (("netns", name), ("table", "kernel"))
    assert parsed[(c.CONNTRACK_UTILIZATION, labels)] == 0.25
    assert parsed[(c.CONNTRACK_EARLY_DROPS, labels)] == 3
    assert parsed[(c.CONNTRACK_EVENTS, (("event", "drop"), *labels))] == 2


def test_without_a_limit_there_is_no_utilisation() -> None:
    """A table without a limit cannot be full: absent, not zero."""
    readings = Readings()
    put_table(readings, Table("kernel", "host", 10, 0, Growth()))

    assert readings.numbers.keys() == {c.CONNTRACK_ENTRIES, c.CONNTRACK_LIMIT}


def test_openmetrics_is_served_to_those_who_ask() -> None:
    """The same readings, the content type of the form, and its end marker."""
    readings = Readings()
    readings.put(c.BUILD_INFO, ("1",), 1)
    body, content_type = render(readings, "application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
