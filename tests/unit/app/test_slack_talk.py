"""What Slack is told of an incident: within its limits, and outside text can do nothing there."""

import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsre import clock
from netsre.alerting.describe import Links
from netsre.app.control.incidents import facts
from netsre.app.control.incidents.facts import Facts
from netsre.app.control.slack import blocks, talk
from netsre.app.control.slack.blocks import Button, Said
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.holds import Pause, Scope
from netsre.model.runbooks import JournalKind, Run, RunState
from netsre.runbook import journal
from netsre.runbook.approval import Opinion, Request, Word
from netsre.runbook.decide import Gate
from netsre.store.database import Store
from tests import slack_rules, thorough
from tests.unit import burning
from tests.unit.app import incident_story as told

PLAN = "8c1d" * 16
HOSTILE = st.one_of(
    st.text(max_size=4000),
    st.sampled_from(
        ["<!channel>", "<@U024BE7LH> & <https://x|y>", "a`b`<", "\u202eevil\u0000", "&lt;" * 3000]
    ),
    st.text(alphabet="<>&|!@#`*_\n", max_size=5000),
)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def known(store: Store, now: Timestamp | None = None) -> Facts:
    """Return what is on record about the one incident."""
    with store.read() as transaction:
        (found,) = transaction.incidents.newest(10)
        return facts.read(transaction, found, now or told.at(30))


def say(of: Facts, pause: Pause | None = None) -> dict[str, Said]:
    """Return every message, each checked by Slack's rules."""
    keys = talk.keys(of)
    said = talk.say(talk.Known(of, pause, Links("https://netsre.example")), dict.fromkeys(keys, "0" * 32))
    assert list(said) == keys
    for one in said.values():
        check(one)
    return said


def check(one: Said) -> None:
    """Have a message be one that Slack takes, without markup that is not ours."""
    message: dict[str, object] = {"text": one.text, "blocks": list(one.blocks)}
    assert slack_rules.wrong(message) == ""
    for kind, text in slack_rules.texts(message):
        assert kind == "plain_text" or slack_rules.stray(text) == ""
        assert all(sign.isprintable() or sign == "\n" for sign in text)


def shown(one: Said) -> str:
    """Return everything that people read of a message."""
    return "\n".join(text for _, text in slack_rules.texts({"text": one.text, "blocks": list(one.blocks)}))


def asking(store: Store, *words: tuple[str, Opinion], quorum: int = 2, veto: bool = False) -> Run:
    """Let a run ask people, and people say something."""
    story = told.told(store)
    story.begin()
    run = story.act(story.run())
    waiting = replace(run, state=RunState.AWAITING_APPROVAL)
    request = Request(PLAN, ("sre",), quorum, veto, told.at(6), 30 * clock.MINUTE)
    with store.write() as transaction:
        transaction.runs.change(waiting)
        lines = [journal.asked(request)]
        lines += [
            journal.said(Word(person, opinion, PLAN, "slack", f"w{n}", told.at(7)))
            for n, (person, opinion) in enumerate(words)
        ]
        for line in lines:
            transaction.runs.write(run.id, told.at(6), line.kind, line.step, line.action, line.data)
    return waiting


def test_the_first_message_says_what_where_since_when_and_what_is_done_and_left(store: Store) -> None:
    """Whoever wakes up reads one message; details are in the thread."""
    story = told.told(store)
    story.begin()
    story.page(0.4)
    story.sample(story.act(story.run()), 8)

    parent, run = say(known(store)).values()

    assert "OPEN page: ConntrackUtilization on worker-17" in shown(parent)
    for part in ("*Where* `worker-17`", "*Since* <!date^1767225600^", "*verifying*, 1 of 1", "*Left to do*"):
        assert part in shown(parent)
    assert "netsre.take_over" in str(parent.blocks)
    assert "✔ `datapath.block_source` done: drop packets of 10.77.0.12" in shown(run)
    assert "*Verified by conntrack-headroom*" in shown(run)


def test_the_budget_that_is_left_is_told_by_level(store: Store) -> None:
    """An alert about a service level says how much of its budget is left, and for how long."""
    story = told.told(store)
    notes = {"budget_remaining": "41%", "time_to_exhaustion": "3h", "summary": "burns"}
    labels = (("slo", "flow-success"), *story.about.labels)
    story.about = replace(story.about, annotations=notes, labels=labels)
    story.begin()

    (parent,) = say(known(store)).values()

    assert "*Budget* flow-success: 41% left, spent in 3h at this rate" in shown(parent)
    assert "netsre.take_over" not in str(parent.blocks)  # nothing acts, so that there is nothing to take


def test_a_closed_incident_has_no_button_and_a_refused_run_no_message(store: Store) -> None:
    """What is over cannot be pressed; what a gate refused is one line."""
    told.whole(store)
    assert all(one.blocks[-1]["type"] != "actions" for one in say(known(store)).values())


def test_a_refused_run_is_a_line_of_the_first_message(store: Store) -> None:
    """It did nothing; its reason is what counts."""
    story = told.told(store)
    story.begin()
    story.run(refused=Gate.COOLDOWN)

    (parent,) = say(known(store)).values()

    assert "*Automation* conntrack-exhaustion did not act: cooldown" in shown(parent)


def test_whoever_took_over_stands_in_place_of_the_button(store: Store) -> None:
    """The next one who reads it knows whom to ask."""
    story = told.told(store)
    story.begin()
    story.run()
    of = known(store)
    pause = Pause("p", Scope.TARGET, "t", "ann", talk.taking(of.incident.id), told.at(9), told.at(3609))

    parent = say(of, pause)[""]

    assert "*Taken over by ann*; automation leaves it alone until <!date^" in shown(parent)
    assert "netsre.take_over" not in str(parent.blocks)
    assert talk.pause_of([pause], of.incident.id) == pause
    assert talk.pause_of([replace(pause, reason="lunch")], of.incident.id) is None


YES = {person: (person, Opinion.APPROVE) for person in ("ann", "ben")}


@dataclass(frozen=True)
class Case:
    """What people said to a question, and what is shown of it then."""

    expected: str
    words: tuple[tuple[str, Opinion], ...] = ()
    quorum: int = 2
    veto: bool = False
    after: int = 60
    """Seconds after the alert at which it is looked at."""
    buttons: bool = False


@pytest.mark.parametrize(
    "case",
    [
        Case("for approval by sre: 0 of 2 so far", buttons=True),
        Case("1 of 2 so far", (YES["ann"],), buttons=True),
        Case("*Approved* by ann and ben", (YES["ann"], YES["ben"])),
        Case("*Denied* by ann", (("ann", Opinion.DENY),)),
        Case("*Expired*: nobody decided in time", after=3600),
        Case("*Acts by itself* at <!date^", veto=True, buttons=True),
        Case("*Nobody denied it* in time", veto=True, after=3600),
    ],
    ids=lambda case: case.expected,
)
def test_a_question_has_buttons_until_it_is_decided_and_a_stamp_then(store: Store, case: Case) -> None:
    """The buttons carry a token and nothing else; the stamp says who decided."""
    run = asking(store, *case.words, quorum=case.quorum, veto=case.veto)

    question = say(known(store, told.at(case.after)))[f"ask/{run.id}/{PLAN}"]

    assert question.broadcast
    assert case.expected in shown(question)
    assert f"`{PLAN[:12]}`" in shown(question)
    assert "• drop packets of 10.77.0.12 at eth0 in netsre-ns-4711-srv-b for 10m" in shown(question)
    assert ("'value': '00000000000000000000000000000000'" in str(question.blocks)) is case.buttons
    assert ("netsre.approve" in str(question.blocks)) is case.buttons


def test_a_plan_that_another_one_replaced_is_a_stamp(store: Store) -> None:
    """Its buttons would be about what is not planned any more."""
    run = asking(store)
    line = journal.asked(Request("ab" * 32, (), 1, False, told.at(8), clock.MINUTE))
    with store.write() as transaction:
        transaction.runs.write(run.id, told.at(8), line.kind, line.step, line.action, line.data)

    said = say(known(store))

    assert "was replaced by another one" in shown(said[f"ask/{run.id}/{PLAN}"])
    assert "netsre.approve" in str(said[f"ask/{run.id}/{'ab' * 32}"].blocks)


@settings(max_examples=thorough.cases(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=HOSTILE, text=HOSTILE, address=HOSTILE)
def test_outside_text_does_nothing_in_slack(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str, address: str
) -> None:
    """No mention, no markup, no cut entity, never more than Slack takes, whatever labels and notes say."""
    store = burning.store(tmp_path_factory.mktemp("store"))
    story = told.told(store)
    # What a database cannot keep never comes so far.
    name, text, address = (
        one.replace("\0", "").encode(errors="ignore").decode() for one in (name, text, address)
    )
    labels = tuple(sorted({**dict(story.about.labels), "alertname": name, "node": name, "slo": text}.items()))
    notes = dict.fromkeys(("summary", "budget_remaining", "time_to_exhaustion"), text)
    story.about = replace(
        story.about, labels=labels, annotations={**notes, "runbook_url": f"https://h/{address}"}
    )
    story.begin()
    run = story.act(story.run())
    note: Document = {"note": text, "error": address}
    with store.write() as transaction:
        transaction.runs.write(run.id, told.at(9), JournalKind.NOTE, -1, "", note)
    say(known(store))
    store.close()


@given(text=HOSTILE, most=st.integers(20, 3000))
def test_what_is_cut_says_so_and_is_never_longer(text: str, most: int) -> None:
    """An entity is kept whole, or left out whole."""
    cut = blocks.escape(text, most)

    assert len(cut) <= most
    assert slack_rules.stray(cut) == ""
    assert cut.endswith("(cut)") or "(cut)" in text or len(blocks.escape(text, 10**6)) <= most


@given(st.lists(st.text(alphabet="abc ", max_size=700), max_size=60))
def test_lines_that_do_not_fit_are_counted(lines: list[str]) -> None:
    """Nothing disappears without a word."""
    fitted = blocks.fitting(lines)

    assert 1 <= len(fitted) <= blocks.MOST_TEXT
    if more := re.search(r"… and (\d+) more lines$", fitted):
        assert fitted.count("\n") + int(more[1]) == len(lines)


@given(text=HOSTILE)
def test_a_button_is_within_the_limits_whatever_stands_on_it(text: str) -> None:
    """So are its questions."""
    button = Button(text or "x", "netsre.approve", "0" * 32, "danger", text or "x", text or "x", text or "x")
    blank = not blocks.tame(text or "x")

    assert blank or slack_rules.wrong({"text": "x", "blocks": [blocks.actions([button])]}) == ""
