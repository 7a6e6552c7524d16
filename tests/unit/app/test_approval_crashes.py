"""A run that waits for people, killed anywhere, the click included: the same end, and every word once.

People click again until they are answered, with the same id each time, as every client does.
"""

import itertools
import pathlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from netsre import clock
from netsre.alerting import describe
from netsre.app.control import words
from netsre.app.control.words import Saying
from netsre.app.control.world import World
from netsre.model.alerts import AlertState
from netsre.model.directory import Directory, Person
from netsre.model.runbooks import Approval, JournalKind, Runbook
from netsre.runbook.approval import Opinion
from tests.unit.app.crashing import BOOK, End, Fate, Host, Lab
from tests.unit.app.fakes import SetClock

PEOPLE = Directory((Person("ann"), Person("ben")), {"sre": ("ann", "ben")})
TWO = replace(BOOK, mode="propose", approval=Approval(("sre",), 2, 10 * clock.MINUTE))
HASTY = replace(BOOK, mode="propose", approval=Approval(("sre",), 1, clock.MINUTE))
WARNS = replace(BOOK, mode="veto", approval=Approval((), 1, clock.MINUTE))
Click = tuple[str, Opinion, str]
"""Who says what, and after which state of the run."""
WAITING, DONE = "awaiting_approval", "verifying"
YES, NO, STOP = Opinion.APPROVE, Opinion.DENY, Opinion.CANCEL

STORIES: dict[str, tuple[Runbook, tuple[Click, ...], tuple[str, str]]] = {
    "is approved by two": (TWO, (("ann", YES, WAITING), ("ben", YES, WAITING)), ("succeeded", "verified")),
    "is denied": (TWO, (("ann", YES, WAITING), ("ben", NO, WAITING)), ("refused", "denied")),
    "is answered by nobody": (HASTY, (), ("expired", "approval_expired")),
    "is not vetoed": (WARNS, (), ("succeeded", "verified")),
    "is vetoed": (WARNS, (("operator", NO, WAITING),), ("refused", "denied")),
    "is cancelled while it waits": (TWO, (("ann", STOP, WAITING),), ("refused", "cancelled")),
    "is cancelled at work": (BOOK, (("ann", STOP, DONE),), ("undone", "cancelled")),
}
AROUND = 6
"""Points before and after the question, and before and after the last word or its lack."""
every_story = pytest.mark.parametrize("name", STORIES)


class Bench:
    """Makes labs, and checks what must hold for every one."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Make labs under a directory."""
        self._directory = directory
        self._numbers = itertools.count()
        self.asked: list[int] = []
        """How many points the last lab had passed, each time that people had the word."""

    def live(self, name: str, *dies_at: int) -> tuple[End, Lab]:
        """Let the lab of a story run to its end, and check it."""
        book, clicks, _ = STORIES[name]
        directory = self._directory / str(next(self._numbers))
        directory.mkdir()
        self.asked.clear()
        lab = Lab(directory, Host(SetClock()), Fate(frozenset(dies_at)))
        lab.books, lab.directory_of = (book,), PEOPLE

        def people(world: World) -> None:
            if any(run.waits or run.state.value == DONE for run, _ in lab.runs()):
                self.asked.append(len(lab.fate.points))
            say(lab, world, clicks)

        lab.people = people
        end = lab.live()
        lab.store.close()
        assert lab.fate.died_at == lab.fate.dies_at, "a point was not reached"
        assert not lab.host.asked_again
        ((run, journal),) = lab.runs()
        assert run.ended
        said = [e for e in journal if e.kind in (JournalKind.APPROVAL, JournalKind.CANCEL)]
        assert [(e.data["person"], e.data["id"]) for e in said] == [
            (person, f"{person}-{opinion}") for person, opinion, _ in clicks
        ]
        # Whoever was called for a word is left alone afterwards.
        questions = lab.alerts(describe.AWAITS_APPROVAL)
        assert [call.state for call in questions] == [AlertState.RESOLVED] * (book is not BOOK)
        return end, lab


def say(lab: Lab, world: World, clicks: tuple[Click, ...]) -> None:
    """Click whatever is not answered yet, in order; the one before first."""
    for run, journal in lab.runs():
        answered = {str(e.data.get("id")) for e in journal}
        for person, opinion, state in clicks:
            name = f"{person}-{opinion}"
            if name in answered:
                continue
            if run.state.value == state:
                words.say(world, run.id, Saying(person, opinion, "test", id=name))
            break


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    """Return a bench."""
    return Bench(tmp_path)


@every_story
def test_undisturbed_a_run_ends_as_people_said(bench: Bench, name: str) -> None:
    """What was denied, expired or cancelled left nothing behind; only silence calls people again."""
    end, _ = bench.live(name)

    assert end.runs == (STORIES[name][2],)
    assert bool(end.calls) == (end.runs[0][0] == "expired")
    if end.runs[0][0] in ("refused", "expired"):
        assert end.applied == ()
    assert (
        "applied" not in {held for step, held in end.standings if step == "1"}
        or end.runs[0][0] == "succeeded"
    )


@pytest.mark.timeout(120)
@every_story
def test_killed_at_any_point_it_ends_the_same(
    bench: Bench, name: str, record_property: Callable[[str, object], None]
) -> None:
    """Before and after every commit around the question, the clicks, and what comes of them.

    What lies before and behind is the way of every run, which `test_crash_harness` walks.
    """
    expected, whole = bench.live(name)
    first, last = bench.asked[0], bench.asked[-1]
    points = sorted({*range(first - AROUND, first + AROUND), *range(last - AROUND, last + AROUND)})

    for point in (point for point in points if point <= len(whole.fate.points)):
        end, _ = bench.live(name, point)
        assert end == expected, f"{point}: {whole.fate.points[point - 1]}"
    record_property("points", len(points))
