"""What expressions come to, out of a real Prometheus and out of answers that are none."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import pytest

from netsre import clock
from netsre.adapters.prometheus.answers import Shortfall
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.adapters.prometheus.transport import Bounds
from netsre.clock import MINUTE, Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.levels import SLO, Measured, PromqlIndicator
from netsre.model.samples import Points, Series, labels
from netsre.slo import promql, promql_specs
from netsre.slo.engine import Engine
from tests import prometheus
from tests.answers import Answer, Handler, Server, says, serving
from tests.machine import PATIENCE
from tests.unit.slo import expressions
from tests.unit.slo.given import slo

pytestmark = pytest.mark.system

END: Final = Timestamp(1_767_225_600_000)
"""A whole day."""
LENGTH: Final = 8 * clock.DAY
"""In minutes more than one answer may have."""
TEAMS: Final = {"core": 60, "edge": 120}
"""Events of each team in a minute."""
FIRST: Final = Timestamp(END - 9 * MINUTE)
SMALL: Final = Bounds(PATIENCE, PATIENCE, body_bytes=20_000, attempts=2, pause_seconds=0.01)


@pytest.fixture(scope="module", name="client")
def _client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusClient]:
    """Return a client of a Prometheus that kept two counters of steady traffic for eight days."""
    steps = range(LENGTH // MINUTE + 1)
    kept = [
        (Series("x_total", labels({"team": team, "pod": pod})), at(step), Decimal(rate * step))
        for team, rate in TEAMS.items()
        for pod in ("a", "b")
        for step in steps
    ]
    directory: pathlib.Path = tmp_path_factory.mktemp("points")
    with prometheus.serve(directory, kept) as url:
        client = PrometheusClient(url)
        yield client
        client.close()


def at(step: int) -> Timestamp:
    """Return the end of a minute of the history."""
    return Timestamp(END - LENGTH + step * MINUTE)


@pytest.mark.requires("prometheus", "promtool")
def test_more_points_than_one_answer_may_have_come_in_parts_each_once(client: PrometheusClient) -> None:
    """Eight days by the minute; the estimates of a steady counter are its rate."""
    before = client.queries
    found = client.over("sum by (team) (rate(x_total[5m]))", at(5), END, MINUTE)

    assert client.queries - before == 2
    assert found.shortfalls == ()
    for team, rate in TEAMS.items():
        parts = [one for one in found.points if one.labels == (("team", team),)]
        values = [pair for part in parts for pair in part.values]
        assert [when for when, _ in values] == list(range(at(5), END + 1, MINUTE))
        assert {value for _, value in values} == {Decimal(2 * rate) / 60}


@pytest.mark.requires("prometheus", "promtool")
def test_what_comes_to_no_number_is_none(client: PrometheusClient) -> None:
    """Nothing divided by nothing, and everything by nothing."""
    nothing, everything = (
        client.over(f"sum(rate(x_total[5m])) * {factor} / 0", END, END, MINUTE).points for factor in (0, 1)
    )

    assert [value.is_nan() for one in (*nothing, *everything) for _, value in one.values] == [True, True]


@pytest.mark.requires("prometheus", "promtool")
@pytest.mark.parametrize("expression", expressions.TAKEN)
def test_what_the_reader_of_files_takes_a_prometheus_takes(client: PrometheusClient, expression: str) -> None:
    """The list that holds the reader to leniency is no list of wishes."""
    client.over(promql_specs.over(expression, "5m"), FIRST, END, MINUTE)


@pytest.mark.requires("prometheus", "promtool")
def test_a_refusal_is_the_words_of_the_server(client: PrometheusClient) -> None:
    """What only it can know, such as a function of a newer one."""
    with pytest.raises(SourceUnreachable, match=r'answered 400: .*unknown function with name "tomorrow"'):
        client.over("tomorrow(x_total[5m])", END, END, MINUTE)


def matrix(*entries: dict[str, Any], **more: Any) -> str:
    """Return an answer with these series."""
    return json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": list(entries)}, **more}
    )


def entry(*values: Any, **metric: str) -> dict[str, Any]:
    """Return one series of an answer."""
    return {"metric": metric, "values": list(values)}


def seconds(minutes: int = 0) -> float:
    """Return a time of an answer, so many minutes after the first."""
    return FIRST / 1000 + 60 * minutes


@contextlib.contextmanager
def asking(server: Server) -> Iterator[PrometheusClient]:
    """Return a client that takes small answers alone."""
    client = PrometheusClient(server.url, None, SMALL)
    try:
        yield client
    finally:
        client.close()


def test_series_without_a_name_are_what_they_are() -> None:
    """And one of the same labels and another name is another one; both are there."""
    body = matrix(
        entry([seconds(), "0.1"], [seconds(1), "1e-05"], team="a"),
        entry([seconds(), "2"], __name__="x", team="a"),
    )
    with serving(says(body)) as server, asking(server) as client:
        found = client.over("sum(x)", FIRST, END, MINUTE)

    group = (("team", "a"),)
    assert found.points == (
        Points(group, ((FIRST, Decimal("0.1")), (Timestamp(FIRST + MINUTE), Decimal("0.00001")))),
        Points(group, ((FIRST, Decimal(2)),)),
    )
    (asked,) = server.asked
    assert (asked["query"], asked["step"]) == (["sum(x)"], ["60s"])
    assert (asked["start"], asked["end"]) == ([str(FIRST // 1000)], [str(END // 1000)])


@pytest.mark.parametrize(
    ("more", "shortfalls"),
    [
        ({"warnings": ["one store is away"]}, (Shortfall("partial_answer", "one store is away"),)),
        ({"isPartial": True}, (Shortfall("partial_answer", "isPartial"),)),
        ({"infos": ["PromQL info: metric might not be a counter: x"]}, ()),
    ],
)
def test_a_partial_answer_says_so_and_a_remark_is_none(
    more: dict[str, object], shortfalls: tuple[Shortfall, ...]
) -> None:
    """Prometheus 3 remarks on names of counters; nothing is missing then."""
    with serving(says(matrix(entry([seconds(), "1"]), **more))) as server, asking(server) as client:
        assert client.over("x", FIRST, END, MINUTE).shortfalls == shortfalls


def test_histograms_are_no_estimates() -> None:
    """They are left out, and said; numbers beside them stay."""
    histogram = {"metric": {}, "histograms": [[seconds(), {"count": "1", "sum": "1", "buckets": []}]]}
    with (
        serving(says(matrix(entry([seconds(), "1"], a="b"), histogram))) as server,
        asking(server) as client,
    ):
        found = client.over("x", FIRST, END, MINUTE)

    assert [one.labels for one in found.points] == [(("a", "b"),)]
    assert [one.reason for one in found.shortfalls] == ["native_histogram"]


NO_ANSWERS: Final[dict[str, tuple[Answer, str]]] = {
    "no data": (says('{"status":"success"}'), "answered JSON without data; is it a Prometheus?"),
    "a vector": (
        says('{"status":"success","data":{"resultType":"vector","result":[]}}'),
        "answered JSON that has no matrix; is it a Prometheus?",
    ),
    "no result": (
        says('{"status":"success","data":{"resultType":"matrix","result":{}}}'),
        "answered JSON that has no result; is it a Prometheus?",
    ),
    "no entry": (says(matrix(7)), "answered JSON that has an entry that is no object; is it a Prometheus?"),  # type: ignore[arg-type]
    "no labels": (
        says(matrix({"metric": {"a": 7}, "values": []})),
        "answered JSON that has a series whose labels are no texts; is it a Prometheus?",
    ),
    "no metric": (
        says(matrix({"values": []})),
        "answered JSON that has a series whose labels are no texts; is it a Prometheus?",
    ),
    "no pair": (
        says(matrix(entry([1]))),
        "answered JSON that has a sample that is no pair; is it a Prometheus?",
    ),
    "no number": (
        says(matrix(entry([seconds(), "many"]))),
        "answered JSON that has a sample whose value is no number; is it a Prometheus?",
    ),
    "another time": (
        says(matrix(entry([seconds(-1), "1"]))),
        "answered JSON that has a sample not asked for, of 2025-12-31T23:50:00.000Z; is it a Prometheus?",
    ),
    "between two steps": (
        says(matrix(entry([seconds() + 1, "1"]))),
        "answered JSON that has a sample between two steps; is it a Prometheus?",
    ),
    "one twice": (
        says(matrix(entry([seconds(), "1"], a="b"), entry([seconds(), "2"], a="b"))),
        "answered JSON that has one series twice; is it a Prometheus?",
    ),
    "bad query": (says('{"status":"error","error":"parse error"}', 400), "answered 400: parse error"),
    "gone": (says('{"status":"error","error":"later"}', 503), "answered 503: later, 2 times"),
}


@pytest.mark.parametrize("case", NO_ANSWERS)
def test_an_answer_that_is_none_is_one_line(case: str) -> None:
    """Nothing is counted of it."""
    answer, line = NO_ANSWERS[case]
    with serving(answer) as server, asking(server) as client:
        with pytest.raises(SourceUnreachable) as raised:
            client.over("x", FIRST, END, MINUTE)
        assert str(raised.value) == f"Prometheus {server.url} {line}"


def few(handler: Handler, query: dict[str, list[str]]) -> None:
    """Answer about three points at most."""
    first, last = int(query["start"][0]), int(query["end"][0])
    if (last - first) // 60 >= 3:
        says('{"status":"error","error":"query processing would load too many samples"}', 422)(handler, query)
    else:
        values = [[when, str(when % 1000)] for when in range(first, last + 1, 60)]
        says(matrix(entry(*values)))(handler, query)


def test_what_is_too_much_is_asked_for_in_halves_each_point_once() -> None:
    """Ten points become five and five, and these three and two."""
    with serving(few) as server, asking(server) as client:
        found = client.over("x", FIRST, END, MINUTE)

    values = [pair for one in found.points for pair in one.values]
    assert [when for when, _ in values] == list(range(FIRST, END + 1, MINUTE))
    assert [len(one.values) for one in found.points] == [3, 2, 3, 2]


def test_one_point_that_is_too_much_is_refused() -> None:
    """The line says what to change."""
    with serving(says(b" " * 30_000)) as server, asking(server) as client:
        with pytest.raises(SourceUnreachable) as raised:
            client.over("x", END, END, MINUTE)
        assert str(raised.value).endswith(
            "answered more than 20000 bytes; let the expression add up more of its series"
        )


def test_without_a_selector_nothing_is_asked() -> None:
    """Service levels that are all expressions have none, and a Prometheus refuses such a question."""
    with serving(says("", 400)) as server, asking(server) as client:
        assert client.known((), FIRST, END).series == ()
        assert server.asked == []


def level(group_by: tuple[str, ...] = ("team",)) -> SLO:
    """Return a service level of the history: one of two pods is bad."""
    asked = PromqlIndicator(
        'sum by (team) (rate(x_total{pod="a"}[$window]))',
        "sum by (team) (rate(x_total[$window]))",
        5 * MINUTE,
    )
    return slo(asked, group_by=group_by, window=7 * clock.DAY, objective="99")


@pytest.mark.requires("prometheus", "promtool")
def test_a_week_out_of_a_prometheus_is_a_budget(client: PrometheusClient) -> None:
    """From what is asked to what is left: steady traffic comes out whole, and nothing is missing."""
    of = level()
    indicator = promql.indicator(of)
    assert indicator is not None
    engine, now = Engine([of], prometheus=True), Timestamp(END + 30_000)
    for ends in promql.batches(promql.due(of, indicator, engine.counted_until(of), now, 30_000)):
        bad, total = (
            client.over(text, Timestamp(ends[0]), Timestamp(ends[-1]), ends.step).points
            for text in promql.asked(indicator)
        )
        engine.count(promql.join(0, of, bad, total), now)

    found = engine.evaluate(now)

    # A window of days is the present hour, as far as it has come, and the whole hours before it.
    minutes = (7 * clock.DAY - clock.HOUR) // MINUTE
    assert [(dict(one.group)["team"], int(one.bad), int(one.total)) for one in found] == [
        (team, rate * minutes, 2 * rate * minutes) for team, rate in TEAMS.items()
    ]
    assert {one.coverage for one in found} == {Fraction(1)}
    assert [one.burn["1h"] for one in found] == [Measured(Fraction(50))] * 2
