"""Service levels for whoever judges a canary: read from what says what a controller says, or does not."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from netsre.app.policing import canary_levels
from netsre.datapath.policy.canary import WAITING, Outcome, Reason
from netsre.errors import BadInput, EnvironmentUnfit
from tests.machine import free_port

INTERVAL = 15.0


def level(name: str, node: str = "a", burn: object = 0, **more: Any) -> dict[str, Any]:
    """Return a service level as the API tells it."""
    reasons = {} if burn is not None else {"burn.5m": "no_traffic"}
    told = {"service": "node-policy", "group": {"node": node}, "bad": 0, "firing": [], "reasons": reasons}
    return {"name": name, "burn": {"5m": burn, "1h": burn}, **told, **more}


@dataclass
class Told:
    """What the server answers."""

    slos: object = field(default_factory=lambda: [level("policy-correctness"), level("other", service="x")])
    turn: str = "one"
    url: str = ""

    def answer(self, path: str) -> object:
        """Return the document of a path."""
        if path == "/api/v1/status":
            return {"node": "a", "interval_seconds": INTERVAL, "last_tick_at": self.turn}
        return {"slos": self.slos}


@pytest.fixture
def told() -> Iterator[Told]:
    """Serve."""
    made = Told()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(made.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - that is its name
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_the_levels_of_this_node_are_watched_and_those_of_no_node(told: Told) -> None:
    """A controller of many nodes has others, too; where it has none of this one, all are this one's."""
    told.slos = [
        level("mine"),
        level("theirs", "b"),
        level("nobodys", group={"team": "x"}),
        level("idle", burn=None),
    ]
    found = canary_levels.watched(told.url, (), 60)
    assert sorted(key.name for key in found.before) == ["mine", "nobodys"]
    assert found.note == ""

    told.slos = [level("theirs", "b"), level("those", "c")]
    assert len(canary_levels.watched(told.url, (), 60).before) == 2


def test_between_two_turns_of_the_controller_nobody_asks_it(told: Told) -> None:
    """And at the end in any case."""
    found = canary_levels.watched(told.url, (), 60)
    told.turn = "two"
    assert found.verdict(100, over=False) == WAITING
    told.slos = [level("policy-correctness", firing=["page"])]
    assert found.verdict(101, over=False) == WAITING
    assert (at_last := found.verdict(102, over=True)) is not None
    assert (at_last.outcome, at_last.reason) == (Outcome.FAIL, Reason.ALERT)


def test_a_controller_that_is_stuck_is_silent(told: Told) -> None:
    """It answers, with what it said long ago; one that evaluates again is heard again."""
    found = canary_levels.watched(told.url, (), 600)
    never = found.verdict(30, over=True)
    told.turn = "two"
    alive = found.verdict(31, over=True)
    stuck = found.verdict(31 + 5 * INTERVAL, over=True)
    told.turn = "three"
    again = found.verdict(32 + 5 * INTERVAL, over=True)

    verdicts = [(one.outcome, one.reason) for one in (never, alive, stuck, again) if one is not None]
    silent, well = (Outcome.INCONCLUSIVE, Reason.CONTROLLER_SILENT), (Outcome.PASS, Reason.HEALTHY)
    assert verdicts == [silent, well, silent, well]


def test_what_burns_already_is_said_before_anything_begins(told: Told) -> None:
    """Only what is worse counts then."""
    told.slos = [level("policy-correctness", burn=20), level("policy-compile", firing=["ticket"])]
    found = canary_levels.watched(told.url, (), 60)

    assert found.note == (
        "policy-compile (node=a), policy-correctness (node=a) burns already: only what is worse counts"
    )


def test_without_a_level_that_has_data_that_is_said(told: Told) -> None:
    """The kernel's counts are left."""
    told.slos = [level("policy-correctness", burn=None)]
    found = canary_levels.watched(told.url, (), 60)

    assert "no service level" in found.note
    assert found.verdict(1, over=True) is None


def test_names_that_there_are_not_and_a_canary_that_is_too_short_are_refused(told: Told) -> None:
    """With what to write instead."""
    with pytest.raises(BadInput, match="did you mean 'policy-correctness'"):
        canary_levels.watched(told.url, ["policy-corectness"], 60)
    with pytest.raises(BadInput, match="twice in 30s"):
        canary_levels.watched(told.url, (), 29)


def test_who_asked_for_service_levels_gets_no_canary_without_them(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens, or says what cannot be read; who asked for none is told that there are none."""
    nobody = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("NETSRE_CONTROLLER", nobody)
    for url, names in ((nobody, ()), (None, ["policy-correctness"])):
        with pytest.raises(EnvironmentUnfit, match="does not answer"):
            canary_levels.watched(url, names, 60)
    found = canary_levels.watched(None, (), 60)
    assert (found.before, found.note) == (
        {},
        f"no controller at {nobody}: judged by what the kernel counts alone",
    )
    for nonsense in (7, [7], [{"name": "x"}], {"a": 1}, [level("x", burn="fast")], [level("x", group=7)]):
        told.slos = nonsense
        with pytest.raises(EnvironmentUnfit, match="cannot be read"):
            canary_levels.watched(told.url, (), 60)
