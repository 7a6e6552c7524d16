"""A word that comes between a decision and its transaction is heard first; and silence must be watched."""

import pathlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netsre import clock
from netsre.app.control import words
from netsre.app.control.automation import Automation
from netsre.app.control.vigil import LONGEST_GAP, Vigil
from netsre.app.control.words import Saying
from netsre.clock import Timestamp
from netsre.model.runbooks import Approval, JournalKind
from netsre.runbook.approval import Answer, Opinion
from tests.unit import burning
from tests.unit.app.crashing import BOOK, INTERVAL, Controller, Host, Lab
from tests.unit.app.fakes import SetClock

WAIT = clock.MINUTE
WARNS = replace(BOOK, mode="veto", approval=Approval((), 1, WAIT))
PROPOSES = replace(BOOK, mode="propose", approval=Approval((), 1, WAIT))


class Desk:
    """A controller whose turns a test takes, and somebody who speaks at the worst moment."""

    def __init__(self, lab: Lab) -> None:
        """Begin with a flooded node."""
        self.lab = lab
        self.controller = Controller(lab)

    def until_asked(self) -> None:
        """Take turns until a run waits."""
        self.controller.turn()
        ((run, _),) = self.lab.runs()
        assert run.waits

    def turn(self, length: int = INTERVAL) -> None:
        """Let time pass, and take a turn."""
        self.lab.pass_time(length)
        self.controller.turn()

    def speak_late(self, opinion: Opinion) -> list[Answer]:
        """Have a word come in time, right before the run goes on at the end of it; return the answer."""
        while self.lab.clock.at + INTERVAL < self.until:
            self.turn()
        heard: list[Answer] = []
        self.lab.pass_time(2 * INTERVAL)
        self.controller.read()

        def speak() -> None:
            self.lab.store.before_write = lambda: None
            now, self.lab.clock.at = self.lab.clock.at, Timestamp(self.until - 1)
            ((run, _),) = self.lab.runs()
            said = words.say(self.controller.world, run.id, Saying("operator", opinion, "test"))
            self.lab.clock.at = now
            assert said is not None
            heard.append(said.heard.answer)

        self.lab.store.before_write = speak
        Automation(self.controller.world).advance()
        return heard

    @property
    def until(self) -> Timestamp:
        """Return when the time is over."""
        return Timestamp(self.questions[-1] + WAIT)

    @property
    def questions(self) -> list[Timestamp]:
        """Return when people were asked."""
        ((_, journal),) = self.lab.runs()
        return [entry.at for entry in journal if entry.kind is JournalKind.APPROVAL_REQUESTED]

    @property
    def end(self) -> tuple[str, str]:
        """Return where the run is."""
        ((run, _),) = self.lab.runs()
        return run.state.value, run.reason


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Iterator[Lab]:
    """Return a flooded node."""
    directory = tmp_path / "data"
    directory.mkdir()
    made = Lab(directory, Host(SetClock()))
    yield made
    made.store.close()


@pytest.mark.parametrize(
    ("opinion", "end"), [(Opinion.DENY, ("refused", "denied")), (Opinion.CANCEL, ("refused", "cancelled"))]
)
def test_a_no_right_before_the_first_change_comes_first(
    lab: Lab, opinion: Opinion, end: tuple[str, str]
) -> None:
    """The time for a veto is over, the run is about to write its intent: it does not."""
    lab.books = (WARNS,)
    desk = Desk(lab)
    desk.until_asked()

    assert desk.speak_late(opinion) == [Answer.RECORDED]
    assert desk.end == end
    assert lab.host.applied == []


def test_a_yes_right_before_the_end_of_its_time_comes_first(lab: Lab) -> None:
    """The run is about to expire: it acts."""
    lab.books = (PROPOSES,)
    desk = Desk(lab)
    desk.until_asked()

    assert desk.speak_late(Opinion.APPROVE) == [Answer.RECORDED]
    assert desk.end[0] == "executing"
    assert lab.host.blocked


@pytest.mark.parametrize("gap", [LONGEST_GAP + 1, clock.HOUR, -clock.HOUR])
def test_silence_counts_only_while_somebody_could_be_heard(lab: Lab, gap: int) -> None:
    """A host that slept, a process that was stopped, a clock that was set: the time begins anew."""
    lab.books = (WARNS,)
    desk = Desk(lab)
    desk.until_asked()
    desk.turn()
    desk.turn(gap)

    assert desk.end[0] == "awaiting_approval"
    assert desk.questions[-1] == lab.clock.at
    while lab.clock.at < desk.until:
        desk.turn()
    assert len(desk.questions) == 2
    assert lab.host.blocked


def test_a_run_is_watched_from_look_to_look() -> None:
    """The first look saw nothing before; a run that is forgotten is seen for the first time again."""
    vigil = Vigil()
    later = Timestamp(burning.T0 + LONGEST_GAP)

    assert not vigil.look("a", burning.T0)
    assert vigil.look("a", burning.T0)
    assert vigil.look("a", later)
    assert not vigil.look("a", burning.T0)
    vigil.keep({"b"})
    assert not vigil.look("a", burning.T0)


def test_an_alert_that_ends_meanwhile_ends_the_run_and_calls_nobody(lab: Lab) -> None:
    """What people were asked about is over."""
    lab.books = (PROPOSES,)
    desk = Desk(lab)
    desk.until_asked()
    lab.resolve()
    Automation(desk.controller.world).advance()

    assert desk.end == ("failed", "alert_resolved")
    ((run, _),) = lab.runs()
    late = words.say(desk.controller.world, run.id, Saying("operator", Opinion.APPROVE, "test"))
    assert late is not None
    assert late.heard.answer is Answer.RUN_OVER
    assert lab.calls() == []
