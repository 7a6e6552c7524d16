"""What others do for a run is done at most once, whatever dies; what they do not do stops no mitigation."""

import itertools
import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from netsre import clock
from netsre.adapters.secrets import Secrets
from netsre.alerting import describe
from netsre.app.control.calling import Caller
from netsre.app.control.leftovers import Leftovers
from netsre.app.control.reach import Outside, Reach
from netsre.app.control.silencing import Silencer
from netsre.model.deeds import Call, Deed, Request, Silence
from netsre.model.documents import Document
from netsre.model.runbooks import Runbook, Step
from netsre.runbook.actions.catalogue import allowing
from netsre.runbook.actions.contract import NodeUnreachable
from netsre.store.outbox import Message
from tests import thorough
from tests.unit.app.crashing import BOOK, Controller, End, Fate, Host, Lab
from tests.unit.app.fakes import SetClock
from tests.unit.app.outsiders import LOST_AFTER, LOST_BEFORE, Line, MemoryAlertmanager, MemoryServer

URL = "https://tools.example/drain"
SILENCE = Step(
    "alertmanager.silence",
    {"matchers": {"alertname": "Slow", "node": "${labels.node}"}, "ttl": 1_800_000, "comment": "c"},
)
NOTICE = Step("notify", {"text": "full on {node}", "values": {"source": "${evidence.top_source}"}})
LOOK: Document = {"url": URL, "method": "GET"}
UNDO: Document = {"url": URL, "method": "DELETE"}
CALL: Document = {
    "url": URL,
    "method": "POST",
    "body": {"node": "${labels.node}", "source": "${evidence.top_source}"},
    "timeout": 5_000,
}
SEEN = Step("http.call", {**CALL, "look": LOOK, "undo": UNDO})
BLIND = Step("http.call", CALL)
EVIDENCE, *MITIGATION = BOOK.steps
assert BOOK.verify is not None
IMPATIENT = replace(BOOK.verify, within=20 * clock.SECOND)


def book(*steps: Step, helps: bool = True) -> Runbook:
    """Return the shipped runbook with these steps before its mitigation, and a notice before and after it."""
    verify = BOOK.verify if helps else IMPATIENT
    return replace(BOOK, steps=(EVIDENCE, NOTICE, *steps, *MITIGATION, NOTICE), verify=verify)


def hopeless() -> Host:
    """Return a node that nothing helps, so that everything is taken back."""
    return Host(SetClock(), noisy=150, others=(42,) * 20, most=1100)


@dataclass
class Ground:
    """A lab with an Alertmanager and a server beside it."""

    lab: Lab
    alertmanager: MemoryAlertmanager
    server: MemoryServer

    def live(self) -> tuple[End, tuple[str, ...], int, int, list[str]]:
        """Let the lab run to its end; return how everything stands, silences, calls and notices."""
        end = self.lab.live()
        assert self.lab.fate.died_at == self.lab.fate.dies_at, "a point was not reached"
        assert not self.lab.host.asked_again
        assert len(set(end.audited)) == len(end.audited), "something is in the audit twice"
        makers = [one["createdBy"] for one in self.alertmanager.kept]
        assert len(set(makers)) == len(makers), "a silence was made twice"
        assert len(set(self.server.done)) == len(self.server.done), "a call was made twice"
        assert len(set(self.server.undone)) == len(self.server.undone), "a call was taken back twice"
        notices = [message.key.rpartition("/")[2] for message in told(self.lab)]
        self.lab.store.close()
        states = tuple(self.alertmanager.state(one) for one in self.alertmanager.kept)
        return end, states, len(self.server.done), len(self.server.undone), notices


def told(lab: Lab) -> list[Message]:
    """Return the notices that wait for the log."""
    with lab.store.read() as transaction:
        due = transaction.outbox.due("log", lab.clock.at, 100, clock.DAY)
    return [message for message in due if "notice" in message.payload]


class Bench:
    """Makes grounds, each in a directory of its own."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Make them under a directory."""
        self._directory = directory
        self._numbers = itertools.count()

    def ground(self, runbook: Runbook, host: Host | None = None, *dies_at: int) -> Ground:
        """Return a ground whose controllers die at some points."""
        directory = self._directory / str(next(self._numbers))
        directory.mkdir()
        fate = Fate(frozenset(dies_at))
        lab = Lab(directory, host or Host(SetClock()), fate)
        made = Ground(lab, MemoryAlertmanager(lab.clock, Line(fate)), MemoryServer(Line(fate)))
        lab.books = (runbook,)
        lab.actions = allowing((URL,))
        lab.outside = Outside(Silencer((made.alertmanager,), lab.clock), Caller(made.server, allow=(URL,)))
        return made


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    """Return a bench."""
    return Bench(tmp_path)


HELPS, HELPS_NOT = ("succeeded", "verified"), ("undone", "verify_failed")


@pytest.mark.parametrize(("helps", "result"), [(True, HELPS), (False, HELPS_NOT)])
def test_killed_at_any_point_it_ends_the_same(bench: Bench, *, helps: bool, result: tuple[str, str]) -> None:
    """Before and after commits, and calls of the node, the Alertmanager and the server."""

    def ground(*dies_at: int) -> Ground:
        return bench.ground(book(SILENCE, SEEN, helps=helps), None if helps else hopeless(), *dies_at)

    whole = ground()
    expected = whole.live()
    assert expected[0].runs == (result,)
    assert expected[1:] == (("active",) if helps else ("expired",), 1, int(not helps), ["1", "7"])
    assert {"before silence", "after silence", "before post", "after post"} <= set(whole.lab.fate.points)

    for point in thorough.some(whole.lab.fate.points):
        assert ground(point).live() == expected, f"{point}: {whole.lab.fate.points[point - 1]}"


def test_a_call_that_nobody_can_ask_about_is_left_to_people(bench: Bench) -> None:
    """Killed before or after it: it is not made again, and people are called at once."""
    whole = bench.ground(book(BLIND))
    assert whole.live()[0].runs == (HELPS,)

    for what, done in (("before post", 0), ("after post", 1)):
        point = whole.lab.fate.points.index(what) + 1
        end, _, made, _, notices = bench.ground(book(BLIND), None, point).live()
        assert (end.runs, made) == ((("needs_human", "effect_unknown"),), done)
        assert (end.applied, end.calls, notices) == ((), ("firing",), ["1"])


def test_a_call_that_was_done_and_is_over_is_not_made_again(bench: Bench) -> None:
    """Its answer was lost, and whoever is asked then says that it is gone."""
    made = bench.ground(book(SEEN))
    made.server.at_once, made.server.over = True, 410
    made.server.line.faults = {1: LOST_AFTER}
    end, _, done, *_ = made.live()

    assert (end.runs, done, made.server.line.calls) == ((HELPS,), 1, ["post", "get"])


@pytest.mark.parametrize("fault", [LOST_BEFORE, LOST_AFTER])
@pytest.mark.parametrize("helps", [True, False])
def test_an_answer_of_an_alertmanager_that_is_lost_stops_nothing(
    bench: Bench, fault: str, *, helps: bool
) -> None:
    """At every call of it: the mitigation is made, and no silence twice."""

    def ground() -> Ground:
        return bench.ground(book(SILENCE, helps=helps), None if helps else hopeless())

    whole = ground()
    whole.live()
    for number in range(1, len(whole.alertmanager.line.calls) + 1):
        made = ground()
        made.alertmanager.line.faults = {number: fault}
        end, states, *_ = made.live()
        assert end.runs == (HELPS if helps else HELPS_NOT,)
        assert {"active"} != set(states) or helps, "it was left in force"


def test_a_silence_that_must_not_be_made_stops_no_mitigation(bench: Bench) -> None:
    """It would be of the alert that the run is for, or of the level that judges it."""
    own = replace(SILENCE, parameters={**SILENCE.parameters, "matchers": {"service": "node-conntrack"}})
    proof = replace(SILENCE, parameters={**SILENCE.parameters, "matchers": {"slo": "conntrack-headroom"}})
    made = bench.ground(book(own, proof))
    end, states, *_ = made.live()

    assert (end.runs, states, made.alertmanager.line.calls) == ((HELPS,), (), [])


def test_a_question_to_people_is_silenced_by_nobody(bench: Bench) -> None:
    """One about a ticket is a ticket, with the service of what a silence may be about."""
    wide = replace(SILENCE, parameters={**SILENCE.parameters, "matchers": {"service": "shop"}})
    made = bench.ground(book(wide))
    made.live()
    (kept,) = made.alertmanager.kept

    assert silenced(kept, {"alertname": "Slow", "service": "shop", "severity": "ticket"})
    for name in describe.CALLS:
        assert not silenced(kept, {"alertname": name, "service": "shop", "severity": "ticket"})


def silenced(silence: Mapping[str, object], alert: Mapping[str, str]) -> bool:
    """Tell whether an Alertmanager would keep an alert back."""
    matchers: Any = silence["matchers"]
    return all(
        (
            re.fullmatch(one["value"] if one["isRegex"] else re.escape(one["value"]), alert[one["name"]])
            is not None
        )
        == one["isEqual"]
        for one in matchers
    )


@pytest.mark.parametrize("trouble", ["silent", "refuses", "absent"])
def test_without_an_alertmanager_the_run_says_so_and_goes_on(bench: Bench, trouble: str) -> None:
    """It is left out by a word, at once."""
    made = bench.ground(book(SILENCE))
    made.alertmanager.line.silent = trouble == "silent"
    made.alertmanager.refuses = trouble == "refuses"
    if trouble == "absent":
        made.lab.outside = replace(made.lab.outside, silences=Silencer((), made.lab.clock))
    end, states, *_ = made.live()

    assert (end.runs, states) == ((HELPS,), ())
    (outcome,) = [
        entry.data
        for _, journal in made.lab.runs()
        for entry in journal
        if "skipped" in entry.data and entry.action == "alertmanager.silence"
    ]
    words = {"silent": "unreachable", "refuses": "rejected", "absent": "no_alertmanager"}
    assert outcome["skipped"] == words[trouble]


def test_an_alertmanager_that_vanishes_between_intent_and_outcome_holds_a_run_up_once(bench: Bench) -> None:
    """Nobody knows whether the silence is there; it ends by itself, and the mitigation goes on."""
    whole = bench.ground(book(SILENCE))
    whole.live()
    made = bench.ground(book(SILENCE), None, whole.lab.fate.points.index("after silence") + 1)
    made.lab.on_death = lambda: setattr(made.alertmanager.line, "silent", True)
    end, states, *_ = made.live()

    assert (end.runs, states) == ((HELPS,), ("active",))


@pytest.mark.parametrize("died", [False, True])
def test_a_silence_that_a_run_left_out_is_ended_as_soon_as_that_can_be_told(
    bench: Bench, *, died: bool
) -> None:
    """By this controller or the next, once, and on record; what a run counts upon stays."""
    kept, lost = bench.ground(book(SILENCE)), bench.ground(book(SILENCE))
    lost.alertmanager.line.faults = {1: LOST_AFTER, 2: LOST_BEFORE}
    for made in (kept, lost):
        made.lab.live()
        assert [made.alertmanager.state(one) for one in made.alertmanager.kept] == ["active"]
        if died:
            made.lab.outside = replace(
                made.lab.outside, silences=Silencer((made.alertmanager,), made.lab.clock)
            )
        leftovers = Leftovers(Controller(made.lab).world)
        made.alertmanager.line.silent = True
        leftovers.end()
        made.alertmanager.line.silent = False
        before = len(made.alertmanager.line.calls)
        leftovers.end()
        assert len(made.alertmanager.line.calls) == before, "it was asked again at once"
        for _ in range(3):
            made.lab.pass_time(clock.MINUTE)
            leftovers.end()

    assert kept.alertmanager.line.calls == ["silence"]
    assert lost.alertmanager.line.calls == ["silence", "silences", *["silences"] * 2, "expire"]
    (ended,) = lost.alertmanager.kept
    assert (lost.alertmanager.state(ended), kept.alertmanager.state(kept.alertmanager.kept[0])) == (
        "expired",
        "active",
    )
    with lost.lab.store.read() as transaction:
        verbs = [row.verb for row in transaction.audit.rows()]
    assert verbs.count("silence.ended") == 1


@pytest.mark.parametrize(
    ("status", "result"),
    [(409, ("failed", "peer_refused")), (302, ("needs_human", "effect_unknown"))],
)
def test_a_server_that_says_no_fails_the_step(bench: Bench, status: int, result: tuple[str, str]) -> None:
    """What is no clear no is not known, and is not repeated."""
    made = bench.ground(book(BLIND))
    made.server.answers = status
    end, *_ = made.live()

    assert (end.runs, end.applied) == ((result,), ())


def test_what_is_sent_has_values_by_structure(bench: Bench) -> None:
    """And nothing of it is a template."""
    made = bench.ground(book(SEEN))
    made.live()

    assert made.server.bodies == [b'{"node":"a","source":"10.0.0.9"}']


def test_a_secret_is_sent_and_is_nowhere_else(bench: Bench, tmp_path: pathlib.Path) -> None:
    """Not in the journal, the plan, the audit, or any other row of the store."""
    directory = tmp_path / "secrets"
    directory.mkdir(mode=0o700)
    (directory / "tools").write_text("pass-w0rd\n")
    (directory / "tools").chmod(0o600)
    step = Step("http.call", {**CALL, "headers": {"Authorization": "Bearer ${secret.tools}"}})
    made = bench.ground(book(step))
    calls = replace(made.lab.outside.calls, secrets=Secrets(directory))
    made.lab.outside = replace(made.lab.outside, calls=calls)

    assert made.live()[0].runs == (HELPS,)
    assert made.server.shown == ["Bearer pass-w0rd"]
    stored = b"".join(path.read_bytes() for path in made.lab.directory.iterdir() if path.is_file())
    assert b"${secret.tools}" in stored
    assert b"pass-w0rd" not in stored


@pytest.mark.parametrize(("content", "word"), [(None, "secret_missing"), ("pä", "secret_unsafe")])
def test_a_secret_that_cannot_be_sent_fails_the_step(
    bench: Bench, tmp_path: pathlib.Path, content: str | None, word: str
) -> None:
    """Nothing is asked, and the run says so."""
    tmp_path.chmod(0o700)
    if content is not None:
        (tmp_path / "tools").write_text(content)
        (tmp_path / "tools").chmod(0o600)
    made = bench.ground(book(Step("http.call", {**CALL, "headers": {"X": "${secret.tools}"}})))
    calls = replace(made.lab.outside.calls, secrets=Secrets(tmp_path))
    made.lab.outside = replace(made.lab.outside, calls=calls)

    assert made.live()[0].runs == (("failed", word),)
    assert made.server.shown == []


def test_an_address_that_the_settings_do_not_allow_refuses_the_plan(bench: Bench) -> None:
    """Before anything is changed."""
    made = bench.ground(book(SEEN))
    made.lab.actions = allowing(("https://tools.example/dra",))
    end, _, calls, _, _ = made.live()

    assert (end.runs, end.applied, calls) == ((("refused", "not_allowed"),), (), 0)


def test_a_controller_that_does_not_lead_asks_nobody(bench: Bench) -> None:
    """Another one may be at it: what this one has begun is settled by whoever leads."""
    made = bench.ground(book(SILENCE, SEEN))
    outside = replace(made.lab.outside, leads=lambda: False)
    reach = Reach(made.lab.wire, outside)
    deeds: tuple[Deed, ...] = (
        Silence((("alertname", "Slow"),), 1_000, "c"),
        Call(Request("POST", URL), 1_000),
    )
    for deed in deeds:
        with pytest.raises(NodeUnreachable, match="does not lead"):
            reach.apply("run/1", deed)
        with pytest.raises(NodeUnreachable, match="does not lead"):
            reach.undo("run/1", deed)

    assert made.alertmanager.line.calls == made.server.line.calls == []
    made.lab.store.close()


def test_a_notice_is_told_once_and_says_what_was_seen(bench: Bench) -> None:
    """In the transaction of its outcome: also one before the plan knows what was seen before it."""
    made = bench.ground(book())
    made.lab.live()
    lines = [message.payload["notice"] for message in told(made.lab)]

    assert lines == ["full on a (source: 10.0.0.9)"] * 2
    made.lab.store.close()
