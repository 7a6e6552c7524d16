"""Readings in protobuf, as Debian's Prometheus understands them beside the same readings in text."""

import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from netsre import conventions as c
from netsre.adapters.agent_server import AgentServer, Reply, Route
from netsre.adapters.exposition import protobuf, render
from netsre.datapath.attribution import Amount
from netsre.datapath.buckets import CLASSIC_AND_NATIVE
from netsre.datapath.flows import UNKNOWN_BUCKET, FlowKind
from netsre.metrics.node import put_flows
from netsre.metrics.readings import Readings
from tests import prometheus
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.system, pytest.mark.requires("prometheus")]

HOSTILE: Final = 'a"b\\c\n# HELP x \N{SNOWMAN}'
CELLS: Final = {0: 5, 1: 1, 20: 7, 21: 2, 60: 1, len(CLASSIC_AND_NATIVE.ends_ns): 3}
"""How many were counted in which cells; the last is beyond all ends."""
QUIET: Final = "zero-only"


def readings() -> Readings:
    """Return one of everything, with values that a careless writer would lose."""
    found = Readings()
    put_flows(
        found,
        [
            *(
                Amount(HOSTILE, FlowKind("delivered", "none", "private", cell), n, n * 1_000_000)
                for cell, n in CELLS.items()
            ),
            Amount(QUIET, FlowKind("delivered", "none", "private", 0), 2, 20_000),
            Amount(QUIET, FlowKind("failed", "refused", "private", UNKNOWN_BUCKET), 2**53, 0),
        ],
        CLASSIC_AND_NATIVE,
    )
    for index, value in enumerate((0.0, -1.5, 1e-300, math.inf, -math.inf, 2.0**70)):
        found.put(c.CONNTRACK_GROWTH, (str(index), ""), value)
    found.put(c.PROCESS_CPU, (), 0.25)
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the same readings with and without protobuf to a real Prometheus; yields its address."""
    routes: dict[str, Route] = {
        "/text": lambda accept: Reply(200, *render(readings(), accept)),
        "/protobuf": lambda accept: Reply(200, *render(readings(), accept, may_be_protobuf=True)),
    }
    server = AgentServer("127.0.0.1", 0, routes)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    targets = [
        {"targets": [address], "labels": {"instance": path, "__metrics_path__": path}} for path in routes
    ]
    job = {"job_name": "x", "scrape_interval": "250ms", "scrape_timeout": "250ms", "static_configs": targets}
    directory: Path = tmp_path_factory.mktemp("prometheus")
    configuration = json.dumps({"scrape_configs": [job]})
    with prometheus.running(directory, configuration, "--enable-feature=native-histograms") as (_, port):
        moments = list[str]()

        def all_answer() -> bool:
            # On a busy machine a scrape may fail at any later moment, and its series are gone until the next.
            moments.append(f"http://127.0.0.1:{port}/api/v1/query?time={time.time():.3f}")
            return len(asked(moments[-1], "up == 1")) == len(routes)

        assert wait_until(all_answer)
        yield moments[-1]
    server.shutdown()
    server.server_close()


def asked(url: str, expression: str) -> list[dict[str, Any]]:
    """Return what a query finds as of the moment that is in an address."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{url}&{query}", timeout=PATIENCE) as response:  # noqa: S310
        found: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return found


def numbers(url: str, instance: str) -> dict[tuple[tuple[str, str], ...], str]:
    """Return every number that a target showed, by its labels."""
    pattern = "netsre_.+|process_.+"
    found = asked(url, f'{{__name__=~"{pattern}",__name__!~".+_(bucket|count|sum)",instance="{instance}"}}')
    return {
        tuple(sorted({**one["metric"], "instance": ""}.items())): one["value"][1]
        for one in found
        if "value" in one
    }


def test_every_number_is_the_same_in_both_forms(source: str) -> None:
    """Counters, gauges, infinities, a count of 2^53, and a name that would end a line of text."""
    assert len(numbers(source, "/text")) == 3 + 6 + 1
    assert numbers(source, "/protobuf") == numbers(source, "/text")


def test_a_histogram_is_native_and_has_exactly_what_was_counted(source: str) -> None:
    """Every bucket of the wire by its bounds; what is beyond all ends is in the last there is."""
    metric = c.FLOW_CONNECT_SECONDS
    found = asked(source, f'{metric}{{instance="/protobuf"}}')
    shapes = {one["metric"]["src"]: one["histogram"][1] for one in found}

    assert shapes.keys() == {HOSTILE, QUIET}
    native = CLASSIC_AND_NATIVE.native([CELLS.get(cell, 0) for cell in range(CLASSIC_AND_NATIVE.number)])
    assert native is not None
    zero, *others = shapes[HOSTILE]["buckets"]
    assert (float(zero[2]), int(zero[3])) == (native.zero_threshold, native.zero)
    quarters = {4 * math.log2(float(end)): int(count) for _, _, end, count in others}
    assert {round(quarter, 9) if math.isfinite(quarter) else 4097: n for quarter, n in quarters.items()} == (
        native.buckets
    )
    assert int(shapes[HOSTILE]["count"]) == sum(CELLS.values())
    assert float(shapes[HOSTILE]["sum"]) == pytest.approx(sum(CELLS.values()) / 1e3)
    assert (shapes[QUIET]["count"], len(shapes[QUIET]["buckets"])) == ("2", 1)


def test_text_has_the_classic_buckets_of_the_same_counts(source: str) -> None:
    """A server that was not asked for protobuf, or knows none, sees what it always saw."""
    found = asked(source, f'{c.FLOW_CONNECT_SECONDS}_count{{instance="/text"}}')

    assert {one["metric"]["src"]: one["value"][1] for one in found} == {HOSTILE: "19", QUIET: "2"}


@pytest.mark.parametrize(
    ("accept", "is_protobuf"),
    [
        (protobuf.CONTENT_TYPE, True),
        (protobuf.CONTENT_TYPE.replace(" ", ""), True),
        (f"{protobuf.CONTENT_TYPE};q=0.7, text/plain;q=0.7", True),
        (f"{protobuf.CONTENT_TYPE};q=0.6, text/plain;version=0.0.4;q=0.7", False),
        (f"application/openmetrics-text;version=1.0.0, {protobuf.CONTENT_TYPE};q=0.9", False),
        (f"{protobuf.CONTENT_TYPE};q=0", False),
        (f"{protobuf.CONTENT_TYPE};q=soon", False),
        (protobuf.CONTENT_TYPE.replace("delimited", "text"), False),
        ("application/vnd.google.protobuf", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_protobuf_is_served_to_who_asks_for_it_first(accept: str, *, is_protobuf: bool) -> None:
    """By what the header says it prefers; the form without delimiters is another one."""
    body, content_type = render(readings(), accept, may_be_protobuf=True)

    assert (content_type == protobuf.CONTENT_TYPE) == is_protobuf
    assert body.startswith(b"# HELP") != is_protobuf


def test_without_native_histograms_nobody_gets_protobuf() -> None:
    """The answer is the text of everybody who asks for nothing."""
    assert render(readings(), protobuf.CONTENT_TYPE) == render(readings(), "")
