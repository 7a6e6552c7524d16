"""Whatever a Prometheus answers, or does not: whole samples, a word why they are not all, or one line."""

import contextlib
import dataclasses
import json
import logging
import pathlib
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from netsre.adapters.prometheus.answers import Shortfall
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.adapters.prometheus.transport import Bounds
from netsre.clock import MINUTE, Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.levels import Matcher, Selector
from netsre.model.samples import Series, labels
from tests.answers import Answer, Handler, Server, says, serving
from tests.machine import PATIENCE

pytestmark = pytest.mark.system

SMALL: Final = Bounds(PATIENCE, PATIENCE, body_bytes=20_000, attempts=3, pause_seconds=0.01)
SHORT: Final = dataclasses.replace(SMALL, total_seconds=1.0)
UNTIL: Final = Timestamp(1_767_225_600_500)
SINCE: Final = Timestamp(UNTIL - 8 * MINUTE)
FLOWS: Final = Selector("flows", (Matcher("outcome", "=", "failed"),))
METRIC: Final = {"__name__": "flows", "outcome": "failed", "instance": "n1"}
TOKEN: Final = "s3cret-word-of-somebody"  # noqa: S105  # made up


def matrix(*values: Any, **more: Any) -> str:
    """Return an answer with one series, whose samples are these."""
    result = [{"metric": METRIC, "values": list(values)}] if values else []
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}, **more})


@contextlib.contextmanager
def asking(server: Server, token: str | None = None, bounds: Bounds = SMALL) -> Iterator[PrometheusClient]:
    """Return a client that takes small answers alone."""
    client = PrometheusClient(server.url, token, bounds)
    try:
        yield client
    finally:
        client.close()


def refused(*answers: Answer, bounds: Bounds = SMALL) -> tuple[str, Server]:
    """Return the line of the error that these answers make of a question, and what was asked for it."""
    with serving(*answers) as server, asking(server, bounds=bounds) as client:
        with pytest.raises(SourceUnreachable) as raised:
            client.samples(FLOWS, SINCE, UNTIL)
        message = str(raised.value)
        assert "\n" not in message
        assert message.startswith(f"Prometheus {server.url} ")
        return message.removeprefix(f"Prometheus {server.url} "), server


AT: Final = UNTIL / 1000 - 60


def test_samples_come_back_as_they_were_scraped() -> None:
    """Values are the shortest text of a float, times whole milliseconds, and the question names both ends."""
    values = [[AT + 0.123, "0.1"], [AT + 1, "1e+06"], [AT + 2.5, "123456789012345680"], [AT + 3, "NaN"]]
    with serving(says(matrix(*values))) as server, asking(server) as client:
        answer = client.samples(FLOWS, SINCE, UNTIL)

    (found,) = answer.recorded
    assert found.series == Series("flows", labels({"outcome": "failed", "instance": "n1"}))
    assert found.samples[:3] == (
        (UNTIL - 60_000 + 123, Decimal("0.1")),
        (UNTIL - 59_000, Decimal(1_000_000)),
        (UNTIL - 57_500, Decimal(123456789012345680)),
    )
    assert found.samples[3][1].is_nan()
    assert answer.shortfalls == ()
    assert server.asked[0]["query"] == ['flows{outcome="failed"}[480000ms]']
    assert server.asked[0]["time"] == ["1767225600.500"]


def test_the_beginning_of_a_span_belongs_to_the_one_before() -> None:
    """Prometheus 2 includes it, Prometheus 3 does not: nothing may be counted twice."""
    values = [[SINCE / 1000, "1"], [SINCE / 1000 + 0.001, "2"], [UNTIL / 1000, "3"]]
    with serving(says(matrix(*values))) as server, asking(server) as client:
        (found,) = client.samples(FLOWS, SINCE, UNTIL).recorded

    assert [value for _, value in found.samples] == [2, 3]


@pytest.mark.parametrize(
    ("more", "about"),
    [
        ({"warnings": ["store gateway 10.0.0.1 is away"]}, "store gateway 10.0.0.1 is away"),
        ({"infos": ["only ingesters were asked"]}, "only ingesters were asked"),
        ({"warnings": "one text"}, "one text"),
        ({"isPartial": True}, "isPartial"),
    ],
)
def test_a_partial_answer_says_so(more: dict[str, object], about: str) -> None:
    """Thanos and Mimir warn, VictoriaMetrics has a flag: the samples are there, and so is the word."""
    with serving(says(matrix([AT, "1"], **more))) as server, asking(server) as client:
        assert client.samples(FLOWS, SINCE, UNTIL).shortfalls == (Shortfall("partial_answer", about),)


def test_a_native_histogram_is_not_a_counter() -> None:
    """Its samples are no numbers; nothing is made of them where nobody asks for a histogram."""
    entry = {"metric": METRIC, "histograms": [[AT, {"count": "1", "sum": "1", "buckets": []}]]}
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [entry]}})
    with serving(says(body)) as server, asking(server) as client:
        answer = client.samples(FLOWS, SINCE, UNTIL)

    assert answer.recorded == ()
    assert [one.reason for one in answer.shortfalls] == ["native_histogram"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(status: int) -> None:
    """Two failures, then an answer; all three are counted."""
    failure = says('{"status":"error","error":"later"}', status)
    with serving(failure, failure, says(matrix([AT, "1"]))) as server, asking(server) as client:
        assert len(client.samples(FLOWS, SINCE, UNTIL).recorded) == 1
        assert client.queries == 3


def test_it_is_not_asked_again_for_ever() -> None:
    """After three attempts the server's own words are the end of it."""
    message, server = refused(says('{"status":"error","errorType":"timeout","error":"query timed out"}', 503))

    assert message == "answered 503: query timed out, 3 times"
    assert len(server.asked) == 3


NO_JSON: Final = "answered what is no JSON; is it a Prometheus?"
NO_ANSWERS: Final[dict[str, tuple[Answer, str]]] = {
    "not found": (says("nothing here", 404), "answered 404"),
    "bad query": (says('{"status":"error","error":"bad parameter"}', 400), "answered 400: bad parameter"),
    "no token": (
        says("", 401),
        "answered 401; set NETSRE_PROMETHEUS_TOKEN, or name a file with --token-file",
    ),
    "a page": (says("<html>"), NO_JSON),
    "half a document": (says(matrix([AT, "1"])[:-9]), NO_JSON),
    "too deep": (says("[" * 10_000), NO_JSON),
    "a constant": (says('{"status":"success","data":NaN}'), NO_JSON),
    "a list": (says("[1]"), "answered JSON of another shape; is it a Prometheus?"),
    "an error": (says('{"status":"error","error":"no"}'), "answered without success: no"),
    "no data": (says('{"status":"success"}'), "answered JSON without data; is it a Prometheus?"),
    "a vector": (
        says('{"status":"success","data":{"resultType":"vector","result":[]}}'),
        "answered JSON that has no matrix; is it a Prometheus?",
    ),
    "no pair": (
        says(matrix([AT])),
        "answered JSON that has a sample that is no pair; is it a Prometheus?",
    ),
    "no time": (
        says(matrix(["x", "1"])),
        "answered JSON that has a sample without a time; is it a Prometheus?",
    ),
    "no text": (
        says(matrix([AT, 1])),
        "answered JSON that has a sample without a value; is it a Prometheus?",
    ),
    "no number": (
        says(matrix([AT, "1_000"])),
        "answered JSON that has a sample whose value is no number; is it a Prometheus?",
    ),
    "another time": (
        says(matrix([UNTIL / 1000 + 1, "1"])),
        "answered JSON that has a sample not asked for, of 2026-01-01T00:00:01.500Z; is it a Prometheus?",
    ),
    "no gzip": (
        says(b"\x1f\x8bno", Content_Encoding="gzip"),
        "answered what cannot be unpacked; is it a Prometheus?",
    ),
}


@pytest.mark.parametrize("case", NO_ANSWERS)
def test_an_answer_that_is_none_is_one_line(case: str) -> None:
    """It is not asked for again: the same question would bring the same answer."""
    answer, line = NO_ANSWERS[case]
    message, server = refused(answer)

    assert message == line
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", ['{"status":"success"}', '{"status":"success","data":{}}'])
def test_a_list_of_series_that_is_none_is_one_line(body: str) -> None:
    """The client library's own error would be called a bug of ours."""
    with (
        serving(says(body)) as server,
        asking(server) as client,
        pytest.raises(SourceUnreachable) as failed,
    ):
        client.known([FLOWS], SINCE, UNTIL)

    assert "is it a Prometheus?" in str(failed.value)


def test_one_series_twice_is_no_answer() -> None:
    """Two stores that were not joined: which of them is right cannot be told."""
    document = json.loads(matrix([AT, "1"]))
    document["data"]["result"] *= 2
    message, _ = refused(says(json.dumps(document)))

    assert message == "answered JSON that has one series twice; is it a Prometheus?"


def test_nothing_is_sent_where_a_redirect_points() -> None:
    """A token would go with it: the line says where, and a person decides."""
    with serving(says(matrix([AT, "1"]))) as elsewhere:
        message, server = refused(says("", 302, Location=f"{elsewhere.url}/api"))

        assert message.startswith(f"redirects to '{elsewhere.url}/api'; nothing is sent there")
        assert len(server.asked) == 1
        assert elsewhere.asked == []


def cut_off(handler: Handler, _query: dict[str, list[str]]) -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(matrix([AT, "1"])[:50].encode())
    handler.close_connection = True


def drips(handler: Handler, _query: dict[str, list[str]]) -> None:
    """Send a byte now and then, for longer than anybody waits."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(int(20 * PATIENCE)):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def test_an_answer_that_was_cut_off_is_none() -> None:
    """Half a list of samples would be half of the events; three times is the end."""
    message, server = refused(cut_off)

    assert message == "cut its answer off, 3 times"
    assert len(server.asked) == 3


def test_a_server_that_drips_ends_in_time() -> None:
    """Every byte restarts the patience of a socket, but not ours."""
    began = time.monotonic()
    message, _ = refused(drips, bounds=SHORT)

    assert message == "did not finish its answer within 1 s; is it busy?"
    # Less than what it would have gone on for.
    assert time.monotonic() - began < PATIENCE


def test_nobody_there_is_one_line() -> None:
    """The system's own word, not that of four libraries."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = PrometheusClient(f"http://127.0.0.1:{port}", None, SMALL)
    with pytest.raises(SourceUnreachable) as raised:
        client.samples(FLOWS, SINCE, UNTIL)
    client.close()

    assert (
        str(raised.value)
        == f"Prometheus http://127.0.0.1:{port} does not answer (Connection refused), 3 times"
    )


def halves(handler: Handler, query: dict[str, list[str]]) -> None:
    """Answer about two minutes at most; of more there would be too many samples."""
    length = int(query["query"][0].rpartition("[")[2].removesuffix("ms]"))
    at = float(query["time"][0])
    if length > 2 * MINUTE:
        says('{"status":"error","error":"too many samples"}', 422)(handler, query)
    else:
        says(matrix([at - 30, str(round(at) % 100_000)], [at, "1"]))(handler, query)


def test_what_is_too_much_is_asked_for_in_parts() -> None:
    """Eight minutes become four answers, in the order of time and without a gap."""
    with serving(halves) as server, asking(server) as client:
        (found,) = client.samples(FLOWS, SINCE, UNTIL).recorded
        queries = client.queries

    times = [at for at, _ in found.samples]
    assert times == sorted(times)
    assert times[1::2] == [SINCE + 2 * MINUTE * part for part in (1, 2, 3, 4)]
    assert queries == 1 + 2 + 4


def test_an_answer_larger_than_its_bound_is_asked_for_in_parts_and_then_refused() -> None:
    """A minute that does not fit is more than a command can do; the line says what to change."""
    message, _ = refused(says(b" " * 30_000))

    assert message == ("answered more than 20000 bytes; make the selectors of the service levels narrower")


def test_a_token_goes_with_every_request_and_into_no_message(caplog: pytest.LogCaptureFixture) -> None:
    """Not even when the server sends it back; and no log has it, at any level."""
    caplog.set_level(logging.DEBUG)
    with (
        serving(says(json.dumps({"status": "error", "error": f"unknown token {TOKEN}"}), 403)) as server,
        asking(server, TOKEN) as client,
        pytest.raises(SourceUnreachable) as raised,
    ):
        client.samples(FLOWS, SINCE, UNTIL)

    assert server.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert "answered 403: unknown token [token]; set" in str(raised.value)
    assert TOKEN not in caplog.text


def test_a_warning_is_one_line_without_the_token() -> None:
    """It comes into the log and onto the page, as an error does."""
    warning = f"token {TOKEN}\x1b[31m\nlevel=ERROR"
    with serving(says(matrix(warnings=[warning]))) as server, asking(server, TOKEN) as client:
        answer = client.samples(FLOWS, SINCE, UNTIL)

    assert answer.shortfalls == (Shortfall("partial_answer", r"token [token]\x1b[31m\nlevel=ERROR"),)


def test_the_environment_sends_nothing_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Neither a proxy nor the password of a `.netrc` is for a server that was named here."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(says(matrix([AT, "1"]))) as server, asking(server) as client:
        client.samples(FLOWS, SINCE, UNTIL)

    assert "Authorization" not in server.headers[0]


def test_what_is_known_is_asked_once_for_all_names() -> None:
    """One request, whose answer is held to the same rules."""
    body = json.dumps({"status": "success", "data": [METRIC], "warnings": ["one store is away"]})
    with serving(says(body), says('{"status":"success","data":{}}')) as server, asking(server) as client:
        known = client.known([FLOWS, Selector("up")], SINCE, UNTIL)
        with pytest.raises(SourceUnreachable, match="has no list of series"):
            client.known([FLOWS], SINCE, UNTIL)

    assert [series.name for series in known.series] == ["flows"]
    assert [one.reason for one in known.shortfalls] == ["partial_answer"]
    assert server.asked[0]["match[]"] == ['flows{outcome="failed"}', "up"]
