"""Native histograms of an agent, scraped by Debian's Prometheus, against the client's own clock."""

import contextlib
import json
import math
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces
from netsre.datapath.buckets import CONNECT_BOUNDS
from tests import prometheus
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.delayed_link import SERVER, Link, delayed_link
from tests.machine import PATIENCE, wait_until

pytestmark = pytest.mark.requires("netns", "prometheus")

ONE_WAY_SECONDS: Final = (*[0.002] * 40, *[0.004] * 30, *[0.008] * 27, *[0.030] * 3)
"""So the median is well inside the second group, and the 99th of a hundred inside the last."""
UNDER_WAY: Final = [2 * seconds for seconds in ONE_WAY_SECONDS]
BUCKET: Final = 2**0.25
"""How much later a bucket ends than the one before."""


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    """Two namespaces whose packets are under way for a known time."""
    with delayed_link(0.0) as made:
        yield made


@pytest.fixture(scope="module")
def taken(link: Link, agent: Running) -> list[float]:
    """Connect once for each delay, and take the time of each call."""
    found = []

    def connect() -> None:
        with socket.socket() as client:
            began = time.monotonic()
            client.connect((SERVER, attempts.REFUSED_PORT))
            found.append(time.monotonic() - began)
            client.recv(1)

    del agent  # It counts from now on.
    with namespaces.inside(
        link.server, lambda: socket.create_server((SERVER, attempts.REFUSED_PORT))
    ) as server:
        threading.Thread(target=_end_all, args=(server,)).start()
        for seconds in ONE_WAY_SECONDS:
            link.seconds = seconds
            namespaces.inside(link.client, connect)
    return sorted(found)


def _end_all(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for _ in ONE_WAY_SECONDS:
            server.accept()[0].close()


@pytest.fixture(scope="module")
def agent() -> Iterator[Running]:
    """Run an agent that was asked for native histograms."""
    with running("--native-histograms") as one:
        yield one


@pytest.fixture(scope="module")
def source(
    agent: Running, link: Link, taken: list[float], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Have a Prometheus scrape the agent until it has seen all connections; yields its address."""
    job = {
        "job_name": "agents",
        "scrape_interval": "500ms",
        "scrape_timeout": "500ms",
        "static_configs": [{"targets": [agent.address]}],
    }
    configuration = json.dumps({"scrape_configs": [job]})
    directory: Path = tmp_path_factory.mktemp("prometheus")
    with prometheus.running(directory, configuration, "--enable-feature=native-histograms") as (_, port):
        moments = list[str]()

        def all_seen() -> bool:
            # On a busy machine a scrape may fail at any later moment, and its series are gone until the next.
            moments.append(f"http://127.0.0.1:{port}/api/v1/query?time={time.time():.3f}")
            selected = ours(link), ours(link, c.FLOW_RTT_SECONDS)
            return all(value(moments[-1], f"histogram_count({each})") == len(taken) for each in selected)

        assert wait_until(all_seen)
        yield moments[-1]


def ours(link: Link, metric: str = c.FLOW_CONNECT_SECONDS) -> str:
    """Return a selector of the client's connections."""
    return f'{metric}{{src="{link.client}",direction="egress"}}'


def value(url: str, expression: str) -> float:
    """Return the one number of an answer as of the moment in an address; not a number where there is none."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{url}&{query}", timeout=PATIENCE) as response:  # noqa: S310
        found: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return float(found[0]["value"][1]) if found else math.nan


@pytest.mark.parametrize("quantile", [0.5, 0.99])
def test_quantiles_are_right_to_one_bucket(
    quantile: float, source: str, link: Link, taken: list[float]
) -> None:
    """A handshake takes no less than the way there and back, no more than the call; a bucket is 19 %."""
    rank = math.ceil(quantile * len(taken))
    found = value(source, f"histogram_quantile({quantile}, {ours(link)})")

    assert UNDER_WAY[rank - 1] / BUCKET < found < taken[rank - 1] * BUCKET


def test_fractions_between_groups_are_exact(source: str, link: Link, taken: list[float]) -> None:
    """At a bound of the buckets that nothing was near, 31 ms: above are three, and what was held up."""
    found = value(source, f"histogram_fraction(0, {2**-5}, {ours(link)})") * len(taken)

    assert found == pytest.approx(round(found))
    assert sum(one <= 2**-5 for one in taken) <= round(found) <= sum(one <= 2**-5 for one in UNDER_WAY) == 97


def test_round_trip_times_are_native_histograms_too(source: str, link: Link, taken: list[float]) -> None:
    """One for each connection that ended, none of them shorter than the link."""
    selected = ours(link, c.FLOW_RTT_SECONDS)
    assert value(source, f"histogram_count({selected})") == len(taken)
    assert value(source, f"histogram_quantile(0.01, {selected})") > 2 * min(ONE_WAY_SECONDS) / BUCKET
    assert value(source, f"histogram_sum({selected})") >= 2 * sum(ONE_WAY_SECONDS)


def test_the_text_has_the_classic_buckets_as_ever(agent: Running, link: Link, taken: list[float]) -> None:
    """Of the same cells: each bound has what the client's own clock says, and the link."""
    found = {
        dict(labels)["le"]: count
        for (name, labels), count in agent.samples().items()
        if name == f"{c.FLOW_CONNECT_SECONDS}_bucket" and dict(labels)["src"] == link.client
    }

    assert list(found) == [*(str(float(bound)) for bound in CONNECT_BOUNDS), "+Inf"]
    assert found["+Inf"] == len(taken)
    for bound in map(float, CONNECT_BOUNDS):
        quick = [sum(seconds <= bound for seconds in times) for times in (taken, UNDER_WAY)]
        assert quick[0] <= found[str(bound)] <= quick[1]


def test_other_numbers_are_those_of_the_text(source: str, agent: Running, link: Link) -> None:
    """A counter, and gauges of the agent's own that do not change."""
    flows = ours(link, c.FLOWS)
    assert value(source, f"sum({flows})") == agent.outcomes(link.client)["delivered", "none"]
    samples = agent.samples()
    for name, labels in (
        (c.AGENT_PROBE_UP, {"probe": "flows", "reason": ""}),
        (c.PROCESS_START_TIME, {}),
        (c.BPF_MAP_CAPACITY, {"map": "flows", "owner": c.OWNER}),
    ):
        pairs = ",".join(f'{key}="{text}"' for key, text in labels.items())
        assert value(source, f"{name}{{{pairs}}}") == samples[name, tuple(sorted(labels.items()))]
