"""Native histograms from a Prometheus: counters in, however large the answers, and nothing asked in vain."""

import itertools
import json
from decimal import Decimal
from typing import Final

import pytest

from netsre.adapters.prometheus.client import PrometheusClient
from netsre.adapters.prometheus.transport import Bounds
from netsre.clock import HOUR, MINUTE, SECOND, Timestamp
from netsre.errors import SourceUnreachable
from netsre.slo.questions import NativeSelector
from tests.answers import Answer, Handler, Server, says, serving

pytestmark = pytest.mark.system

SECONDS: Final = NativeSelector("seconds", (), (Decimal("0.25"),))
EVERY: Final = 15 * SECOND
NIGHT: Final = Timestamp(1_767_225_600_000)
AT: Final = NIGHT / SECOND - 30
LARGE: Final = Bounds(total_seconds=30.0, body_bytes=2_000_000)


def lengths(server: Server) -> list[int]:
    """Return milliseconds of every span that was asked for."""
    return [int(one["query"][0].rpartition("[")[2].removesuffix("ms]")) for one in server.asked]


def native(series: int = 1) -> Answer:
    """Answer about histograms of sixty buckets, each of which counts an event every 15 s."""
    ends = [repr(2 ** (k / 8 - 5)) for k in range(61)]

    def answer(handler: Handler, query: dict[str, list[str]]) -> None:
        until = round(float(query["time"][0]) * SECOND)
        since = until - int(query["query"][0].rpartition("[")[2].removesuffix("ms]"))
        samples = []
        for index in range(since // EVERY, until // EVERY + 1):
            if index * EVERY >= since:
                buckets = [[0, lower, upper, str(index)] for lower, upper in itertools.pairwise(ends)]
                samples.append([index * EVERY / SECOND, {"count": str(60 * index), "buckets": buckets}])
        result = [
            {"metric": {"__name__": "seconds", "instance": f"n{one}"}, "histograms": samples}
            for one in range(series)
        ]
        data = {"resultType": "matrix", "result": result}
        says(json.dumps({"status": "success", "data": data}))(handler, query)

    return answer


def before(milliseconds: int) -> Timestamp:
    """Return a time before the end."""
    return Timestamp(NIGHT - milliseconds)


def test_native_histograms_are_asked_for_in_spans_that_fit() -> None:
    """Six hours of 4.3 MB where 2 MB are the most: every sample once, in order, and nothing read in vain."""
    with serving(native()) as server:
        client = PrometheusClient(server.url, None, LARGE)
        found = {one.series: one for one in client.samples(SECONDS, before(6 * HOUR), NIGHT).recorded}
        client.close()

    assert {series.name for series in found} == {"seconds_count", "seconds_bucket"}
    times = list(range(NIGHT - 6 * HOUR + EVERY, NIGHT + 1, EVERY))
    for series, one in found.items():
        # 2^-2 is the end of the 24th bucket.
        share = 60 if series.name == "seconds_count" else 24
        assert [at for at, _ in one.samples] == times
        assert [value for _, value in one.samples] == [share * (at // EVERY) for at in times]
    # The first is a guess; all others are about an eighth of the most.
    assert sum(lengths(server)) == 6 * HOUR
    assert min(lengths(server)[1:-1]) > 10 * MINUTE
    assert max(lengths(server)) < 30 * MINUTE


def test_a_guess_that_was_too_large_is_made_once() -> None:
    """Twenty series where one was reckoned with: halves, and from then on what fits."""
    with serving(native(20)) as server:
        client = PrometheusClient(server.url, None, LARGE)
        found = client.samples(SECONDS, before(12 * MINUTE), NIGHT).recorded
        client.close()

    assert [len(one.samples) for one in found] == [48] * 40
    guess, *halves = lengths(server)
    assert guess == sum(halves[:2])
    assert sum(halves) == 12 * MINUTE
    assert max(halves[2:]) == MINUTE


def test_what_is_known_makes_the_guess_better() -> None:
    """A twentieth of the time for twenty series."""
    known = [{"__name__": "seconds", "instance": f"n{one}"} for one in range(20)]
    body = json.dumps({"status": "success", "data": known})
    with serving(says(body), native(20)) as server:
        client = PrometheusClient(server.url, None, LARGE)
        client.known([SECONDS], before(3 * MINUTE), NIGHT)
        server.asked.clear()
        client.samples(SECONDS, before(3 * MINUTE), NIGHT)
        client.close()

    assert lengths(server) == [MINUTE] * 3


def test_floats_and_histograms_of_one_series_are_kept_apart() -> None:
    """A name that was a gauge for a while: the gauge is no event, and the histogram goes on behind it."""
    buckets = [[0, "0.125", "0.25", "3"], [0, "0.25", "0.5", "1"]]
    entry = {
        "metric": {"__name__": "seconds", "instance": "n1"},
        "values": [[AT + 1, "7"]],
        "histograms": [[AT, {"count": "4", "sum": "1", "buckets": buckets}], [AT + 2, {"count": "0"}]],
    }
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [entry]}})
    with serving(says(body)) as server:
        client = PrometheusClient(server.url)
        answer = client.samples(SECONDS, before(MINUTE), NIGHT)
        client.close()

    found = {one.series.name: [value for _, value in one.samples] for one in answer.recorded}
    assert found == {"seconds": [7], "seconds_count": [4, 0], "seconds_bucket": [3, 0]}
    assert answer.shortfalls == ()


def test_what_is_no_histogram_is_one_line() -> None:
    """As with any sample that is none."""
    entry = {"metric": {"__name__": "seconds"}, "histograms": [[AT, {"count": "1", "buckets": [[0, "1"]]}]]}
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [entry]}})
    with (
        serving(says(body)) as server,
        pytest.raises(SourceUnreachable, match="answered JSON that has a bucket of another shape"),
    ):
        PrometheusClient(server.url).samples(SECONDS, before(MINUTE), NIGHT)
