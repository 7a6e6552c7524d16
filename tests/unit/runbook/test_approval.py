"""What the word of a person does: one decision from the question, the words and the time."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.directory import ALONE, OPERATOR, Directory, Person
from netsre.model.runbooks import Approval, Run, RunState
from netsre.runbook import approval
from netsre.runbook.approval import Answer, Decision, Opinion, Request, Situation, Verdict, Word
from tests import thorough

T0 = Timestamp(1_700_000_000_000)
PLAN, OTHER = "a" * 64, "b" * 64
WAIT = 30 * clock.MINUTE
PEOPLE = Directory(tuple(map(Person, ("ann", "ben", "cid", "dee"))), {"sre": ("ann", "ben", "cid")})
ASKED = Request(PLAN, ("sre",), 2, veto=False, asked_at=T0, wait=WAIT)
VETO = replace(ASKED, quorum=1, veto=True)
RUN = Run("run1", "book", "f", T0, "t", RunState.AWAITING_APPROVAL, "accepted", T0, None)


def word(person: str, opinion: Opinion = Opinion.APPROVE, plan: str = PLAN, number: str = "") -> Word:
    """Return a word; without a number of its own each person has one request."""
    return Word(person, opinion, plan, "api", number or f"{person}-{opinion}", T0)


def no(person: str) -> Word:
    """Return a denial."""
    return word(person, Opinion.DENY)


def met(*words: Word, request: Request | None = ASKED, run: Run = RUN) -> Situation:
    """Return what a word meets."""
    return Situation(run, request, words, None, "", begun=False)


@pytest.mark.parametrize(
    ("request_", "words", "after", "expected"),
    [
        (ASKED, (), 0, Decision(Verdict.WAITING)),
        (ASKED, (word("ann"),), 0, Decision(Verdict.WAITING, ("ann",))),
        (ASKED, (word("ann"), word("ben")), 0, Decision(Verdict.APPROVED, ("ann", "ben"))),
        # A quorum counts people, not words.
        (ASKED, (word("ann"), word("ann", number="2")), 0, Decision(Verdict.WAITING, ("ann",))),
        (ASKED, (word("ann"), no("ben")), 0, Decision(Verdict.DENIED, ("ben",))),
        (ASKED, (word("ann"), no("ann")), 0, Decision(Verdict.DENIED, ("ann",))),
        # What was said about another plan counts for nothing.
        (ASKED, (word("ann", plan=OTHER), no("ben").__class__("ben", Opinion.DENY, OTHER, "api", "x", T0)), 0,
         Decision(Verdict.WAITING)),
        (ASKED, (), WAIT - 1, Decision(Verdict.WAITING)),
        (ASKED, (word("ann"),), WAIT, Decision(Verdict.EXPIRED, ("ann",))),
        # A clock that was set back never has a question wait for longer, and on record is on record.
        (ASKED, (), -WAIT, Decision(Verdict.EXPIRED)),
        (ASKED, (word("ann"), word("ben")), 10 * WAIT, Decision(Verdict.APPROVED, ("ann", "ben"))),
        (ASKED, (no("dee"),), 10 * WAIT, Decision(Verdict.DENIED, ("dee",))),
        (VETO, (), WAIT - 1, Decision(Verdict.WAITING)),
        (VETO, (), WAIT, Decision(Verdict.UNOPPOSED)),
        (VETO, (no("dee"),), WAIT, Decision(Verdict.DENIED, ("dee",))),
        (VETO, (word("ann"),), 0, Decision(Verdict.APPROVED, ("ann",))),
        # Silence is a yes only after all of the time.
        (VETO, (), -10 * WAIT, Decision(Verdict.WAITING)),
    ],
)  # fmt: skip
def test_words_and_time_come_to_one_verdict(
    request_: Request, words: Sequence[Word], after: int, expected: Decision
) -> None:
    """The first that decides: a no, enough people who say yes, the end of the time."""
    assert approval.decide(request_, words, Timestamp(T0 + after)) == expected


ENDED = replace(RUN, state=RunState.SUCCEEDED, reason="verified", ended_at=T0)


@pytest.mark.parametrize(
    ("situation", "said", "after", "answer"),
    [
        (met(), word("ann"), 0, Answer.RECORDED),
        (met(), word("ann", plan=PLAN[:12]), 0, Answer.RECORDED),
        (met(), word("ann", plan=""), 0, Answer.RECORDED),
        (met(), word("ann", plan=PLAN[:11]), 0, Answer.OTHER_PLAN),
        (met(), word("ann", plan=OTHER), 0, Answer.OTHER_PLAN),
        (met(), word("dee"), 0, Answer.NOT_AN_APPROVER),
        (met(), word("eve"), 0, Answer.NOT_AN_APPROVER),
        (met(), no("eve"), 0, Answer.NOT_AN_APPROVER),
        # Everybody who is known may say no.
        (met(), no("dee"), 0, Answer.RECORDED),
        (met(), no(OPERATOR), 0, Answer.RECORDED),
        (met(request=replace(ASKED, by=())), word("dee"), 0, Answer.RECORDED),
        (met(word("ann")), word("ann"), 0, Answer.REPEATED),
        (met(word("ann")), replace(word("ben"), id="ann-approve"), 0, Answer.KEY_REUSED),
        (met(word("ann")), word("ann", number="2"), 0, Answer.SAID_BEFORE),
        (met(word("ann")), no("ann"), 0, Answer.RECORDED),
        (met(word("ann"), word("ben")), word("cid"), 0, Answer.ALREADY_DECIDED),
        (met(word("ann"), word("ben")), no("cid"), 0, Answer.ALREADY_DECIDED),
        (met(word("ann"), word("ben")), word("ben"), 0, Answer.REPEATED),
        (met(no("dee")), word("ann"), 0, Answer.ALREADY_DECIDED),
        (met(), word("ann"), WAIT, Answer.APPROVAL_EXPIRED),
        (met(request=VETO), no("dee"), WAIT, Answer.ALREADY_DECIDED),
        (met(request=None), word("ann"), 0, Answer.NOT_ASKED),
        (met(request=None, run=ENDED), word("ann"), 0, Answer.RUN_OVER),
        # Its alert ended meanwhile.
        (met(run=replace(ENDED, reason="alert_resolved")), word("ann"), 0, Answer.RUN_OVER),
        (replace(met(request=VETO), begun=True), no("ann"), 0, Answer.ALREADY_DECIDED),
        (replace(met(), owner="ann"), word("ann"), 0, Answer.SELF_APPROVAL),
        (replace(met(), owner="ann"), no("ann"), 0, Answer.RECORDED),
        (replace(met(), owner="ann"), word("ben"), 0, Answer.RECORDED),
        (met(), word("dee", Opinion.CANCEL), 0, Answer.RECORDED),
        (met(request=None), word("dee", Opinion.CANCEL), 0, Answer.RECORDED),
        (met(run=ENDED), word("dee", Opinion.CANCEL), 0, Answer.RUN_OVER),
        (replace(met(), cancelled=word("dee", Opinion.CANCEL)), word("ben", Opinion.CANCEL), 0,
         Answer.ALREADY_DECIDED),
        (replace(met(), cancelled=word("dee", Opinion.CANCEL)), word("dee", Opinion.CANCEL), 0,
         Answer.REPEATED),
        (replace(met(), cancelled=word("dee", Opinion.CANCEL)), word("ben"), 0, Answer.ALREADY_DECIDED),
    ],
)  # fmt: skip
def test_every_word_has_its_answer(situation: Situation, said: Word, after: int, answer: Answer) -> None:
    """Only one that is recorded is to be written; each other has its reason."""
    heard = approval.hear(situation, said, PEOPLE, Timestamp(T0 + after))

    assert heard.answer is answer
    assert heard.counts == (answer in (Answer.RECORDED, Answer.REPEATED))
    if answer is Answer.RECORDED and said.opinion is not Opinion.CANCEL:
        assert heard.word.plan == PLAN, "on record is the whole hash, whatever was said of it"


@pytest.mark.parametrize(
    ("by", "quorum", "owner", "possible"),
    [
        ((), 1, "", True),
        ((), 1, OPERATOR, True),
        (("sre",), 3, "", True),
        (("sre",), 3, "ann", False),
        (("sre",), 4, "", False),
        (("nobody",), 1, "", False),
    ],
)
def test_nobody_is_asked_in_vain(by: tuple[str, ...], quorum: int, owner: str, *, possible: bool) -> None:
    """Who asked for the run is not counted among those who could approve it."""
    assert approval.possible(Approval(by, quorum, WAIT), PEOPLE, owner) == possible


def test_a_single_operator_approves_what_an_alert_began_and_not_what_he_began() -> None:
    """The set-up as shipped: one token, one person."""
    asked = Approval((), 1, WAIT)

    assert approval.possible(asked, ALONE, "")
    assert not approval.possible(asked, ALONE, OPERATOR)


persons = st.sampled_from(["ann", "ben", "cid", "dee", OPERATOR, "eve"])
clicks = st.lists(
    st.tuples(
        persons,
        st.sampled_from(list(Opinion)),
        st.sampled_from([PLAN, OTHER, ""]),
        st.integers(0, 4),
        st.integers(-WAIT, 2 * WAIT),
    ),
    max_size=12,
)


@settings(max_examples=thorough.cases(300))
@given(clicks, st.booleans(), st.sampled_from(["", "ann"]))
def test_whatever_people_click_no_run_goes_without_its_quorum(
    said: list[tuple[str, Opinion, str, int, int]],
    veto: bool,
    owner: str,
) -> None:
    """Any order of words, replays and steps of the clock: yes is distinct approvers, no is for good."""
    request = replace(VETO if veto else ASKED, quorum=2)
    words: list[Word] = []
    cancelled: Word | None = None
    decided: Decision | None = None
    for person, opinion, plan, number, step in said:
        now = Timestamp(T0 + step)
        situation = Situation(RUN, request, tuple(words), cancelled, owner, begun=False)
        heard = approval.hear(situation, Word(person, opinion, plan, "api", str(number), now), PEOPLE, now)
        if heard.answer is Answer.RECORDED:
            if opinion is Opinion.CANCEL:
                cancelled = heard.word
            else:
                words.append(heard.word)
                assert decided is None, "a word was taken after the decision"
        at_once = approval.decide(request, words, T0)
        if at_once.verdict is not Verdict.WAITING:
            assert decided in (None, at_once), "a decision was changed"
            decided = at_once
    approvers = {one.person for one in words if one.opinion is Opinion.APPROVE}
    assert approvers <= {"ann", "ben", "cid"} - {owner}
    assert len({one.id for one in words}) == len(words)
    denied = any(one.opinion is Opinion.DENY for one in words)
    for late in (0, -WAIT, WAIT, 100 * WAIT):
        verdict = approval.decide(request, words, Timestamp(T0 + late)).verdict
        assert (verdict is Verdict.DENIED) == denied
        assert (verdict is Verdict.APPROVED) == (len(approvers) >= request.quorum and not denied)
