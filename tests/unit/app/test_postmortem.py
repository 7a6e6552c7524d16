"""The draft of a postmortem: times, budget and order are those on record, and what is not known is said."""

import asyncio
import pathlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import fastapi
import httpx
import pytest

from netsre import clock
from netsre.app.control.postmortem import api, chart, levels, measures, page, people, period, view
from netsre.app.control.postmortem.shapes import Level, Point, Postmortem
from netsre.app.control.snapshot import Board
from netsre.clock import Timestamp
from netsre.model.audit import Row
from netsre.model.levels import Evaluation
from netsre.model.samples import Labels
from netsre.slo import definition
from netsre.slo.buckets import Bucket
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app import incident_story as told
from tests.unit.app.fakes import SetClock

NAME = "20260101-7731"
GROUP: Labels = (("node", "worker-17"),)
HEADROOM = burning.slo("conntrack-headroom")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return a store with one whole incident, that of a flood."""
    made = burning.store(tmp_path)
    told.whole(made)
    yield made
    made.close()


def now_of(name: str, group: Labels = GROUP, total: int = 100_000) -> Evaluation:
    """Return where a service level stands."""
    return replace(burning.evaluation({}, of=burning.slo(name), group=group), total=Decimal(total))


def minutes(
    store: Store, bad: Sequence[int | None], name: str = HEADROOM.name, group: Labels = GROUP
) -> None:
    """Save minutes of 100 events that end with that of the alert; None is one without a reading."""
    what = definition.of(burning.slo(name))
    begins = range(burning.T0 - (len(bad) - 1) * clock.MINUTE, burning.T0 + 1, clock.MINUTE)
    found = [
        Bucket(name, group, Timestamp(begin), Decimal(lost), Decimal(100), 1, what)
        for begin, lost in zip(begins, bad, strict=True)
        if lost is not None
    ]
    with store.write() as transaction:
        transaction.history.save(found, [])


def made(store: Store, *evaluations: Evaluation) -> Postmortem:
    """Return the postmortem five minutes after the alert."""
    with store.read() as transaction:
        (found,) = transaction.incidents.newest(2)
        return view.read(transaction, found, evaluations, told.at(300))


def test_the_budget_spent_is_the_bad_events_of_the_incident_over_those_allowed(store: Store) -> None:
    """Of 100000 events in the window 100 may be bad; the two minutes that the incident touched lost 14."""
    minutes(store, [9, 9, 7, 7])

    (level,) = made(store, now_of(HEADROOM.name)).levels

    assert (level.bad, level.total, level.allowed, level.spent) == (14, 200, 100, 0.14)
    assert (level.why, level.minutes, level.minutes_measured) == ("verification", 2, 2)


def test_a_minute_without_a_reading_is_named(store: Store) -> None:
    """It is in no sum, and the draft says so."""
    minutes(store, [None, 7])

    found = made(store, now_of(HEADROOM.name))

    assert found.levels[0].minutes_measured == 1
    assert "conntrack-headroom was measured in 1 of 2 minutes." in found.gaps


def test_only_what_belongs_to_the_incident_is_counted(store: Store) -> None:
    """Another node's losses are not its own, nor is what lost nothing; what else of its node lost is."""
    minutes(store, [0, 3], "dns")
    minutes(store, [0, 0], "udp")
    minutes(store, [0, 9], "dns", (("node", "worker-18"),))
    asked = [now_of("dns"), now_of("udp"), now_of("dns", (("node", "worker-18"),)), now_of(HEADROOM.name)]

    found = made(store, *asked).levels

    assert [(level.slo, level.group, level.bad) for level in found] == [
        (HEADROOM.name, dict(GROUP), 0),
        ("dns", dict(GROUP), 3),
    ]


def test_of_a_level_with_many_groups_only_those_of_the_alert_are_shown_without_a_loss(store: Store) -> None:
    """Another namespace of the node is there when it lost something."""
    own: Labels = (("netns", told.NETNS), *GROUP)
    others: list[Labels] = [(("netns", name), *GROUP) for name in ("lost", "well")]
    minutes(store, [0, 1], group=others[0])

    found = made(store, *(now_of(HEADROOM.name, group) for group in (own, *others))).levels

    assert [(level.group["netns"], level.why) for level in found] == [
        (told.NETNS, "verification"),
        ("lost", "bad events"),
    ]


def test_without_events_there_is_no_share(store: Store) -> None:
    """Null with a reason, not a division by nothing."""
    (level,) = made(store, now_of(HEADROOM.name, total=0)).levels

    assert (level.allowed, level.spent) == (None, None)
    assert "no budget" in (level.reason or "")


def test_the_times_of_a_drill_begin_with_its_fault(store: Store) -> None:
    """Detected 3.2 s after it; the rest counts from the alert."""
    found = {one.name: one.seconds for one in made(store).measures}

    assert found == {"detect": 3.2, "page": 0.4, "mitigate": 0.45, "verify": 23, "close": 37.1}


def test_what_never_came_has_a_reason() -> None:
    """An alert that nobody took and nobody acted upon, without a known begin."""
    moments = dict.fromkeys(("fault", "began", "paged", "first_effect", "verified", "closed"))

    found = measures.measures({**moments, "detected": burning.T0})

    assert all(one.seconds is None and one.reason for one in found)
    assert len({one.reason for one in found}) == len(found)
    assert "no alert" in (measures.measures(moments)[1].reason or "")


def test_a_fault_after_the_first_alert_is_not_its_begin(store: Store) -> None:
    """Something else was wrong before the drill: no time is made of the two."""
    with store.write() as transaction:
        early = replace(told.alert("Earlier"), fired_at=told.at(-10))
        transaction.alerts.save(early)
        transaction.incidents.attach([early], told.at(20))

    found = made(store)

    assert found.incident.times.fault is not None
    assert found.began.at is None
    assert found.measures[0].seconds is None


def _level(bad: Sequence[int], why: str = levels.ALERT) -> Level:
    points = [
        Point(at=clock.rfc3339(told.at(60 * at)), bad=lost, total=1000, measured=True)
        for at, lost in enumerate(bad, start=1 - len(bad))
    ]
    return Level(
        slo="s", group={}, why=why, objective=0.999, window="30d", bad=0, total=0, allowed=None, spent=None,
        reason="", minutes=0, minutes_measured=0, points=points,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "since"),
    [
        ([0, 0, 5, 5, 5], -2),
        ([0, 5, 5, 0], -2),  # the minute of the alert has only begun
        ([0, 5, 0, 5], 0),  # a break
        ([0, 1, 1, 5], 0),  # exactly what is allowed
        ([0, 0, 0, 0], None),
        ([5, 5, 5, 5], None),  # since before what is shown
        ([0, 5, 0, 0], None),
    ],
)
def test_trouble_began_with_the_first_of_the_bad_minutes_before_the_alert(
    bad: Sequence[int], since: int | None
) -> None:
    """In a row, and more than the objective allows."""
    assert levels.bad_since(_level(bad), told.at(30)) == (None if since is None else told.at(60 * since))


def test_trouble_may_have_begun_before_the_first_reading() -> None:
    """What was not measured may have been bad too."""
    level = _level([0, 5, 5])
    level.points[0].measured = False

    assert levels.bad_since(level, told.at(30)) is None


@pytest.mark.parametrize(
    ("length", "age", "step"),
    [
        (clock.HOUR, 2 * clock.HOUR, clock.MINUTE),
        (clock.HOUR, 12 * clock.HOUR, 5 * clock.MINUTE),
        (20 * clock.HOUR, 20 * clock.HOUR, 5 * clock.MINUTE),
        (clock.HOUR, 3 * clock.DAY, clock.HOUR),
        (9 * clock.DAY, 9 * clock.DAY, clock.HOUR),
    ],
)
def test_slots_are_as_fine_as_they_are_kept(length: int, age: int, step: int) -> None:
    """They cover the whole incident, and nothing that does not touch it."""
    first = Timestamp(burning.T0 + 61_234)
    found = period.of(first, Timestamp(first + length), Timestamp(first + age))

    assert found.step == step
    assert found.begin <= first < found.begin + step
    assert found.end - step <= first + length < found.end
    assert found.shown_from < found.begin
    assert all(at % step == 0 for at in (found.begin, found.end, found.shown_from, found.shown_to))


def test_people_are_in_the_timeline_with_their_words(store: Store) -> None:
    """In order with everything else; what runs tell themselves, and what is of before, is not told again."""
    with store.write() as transaction:
        add = transaction.audit.append
        add(Timestamp(burning.T0 - clock.DAY), "bob", "automation.paused", "p0", {})
        add(told.at(1), "bob", "automation.paused", "p1", {"reason": "look first"})
        add(told.at(2), "controller", "kill_switch.on", "/x", {"by": "ann", "reason": "stop"})
        add(told.at(3), "bob", "run.approved_by", "r1", {})
        add(told.at(4), "controller", "something.new", "x", {})
        add(told.at(4), "controller", "kill_switch.off", "/x", {"by": "controller", "reason": "first start"})
        add(told.at(5), "eve", "something.new", "y", {"reason": None})

    found = made(store).timeline

    assert [event.text for event in found if event.kind == "person"] == [
        "bob: automation.paused p1 (look first)",
        "ann: kill_switch.on (stop)",
        "eve: something.new y",
    ]
    assert [event.at for event in found] == sorted(event.at for event in found)


def test_unreadable_details_are_no_reason_to_fail() -> None:
    """Whoever wrote into the database: the row is told without them."""
    rows = [Row(1, burning.T0, "eve", "did", "it", text, "", "") for text in ("{", "[]", "")]

    assert [text for _, _, text in people.events(rows)] == ["eve: did it"] * 3


def test_the_line_of_blocks_tells_none_from_not_measured() -> None:
    """A hundred slots become sixty signs at most; the worst of each is seen."""
    level = _level([0, 1, 8, 0])
    level.points[0].measured = False

    assert chart.blocks(level) == "·▂█_"
    assert len(chart.blocks(_level([0] * 1000))) <= 60


def get(store: Store, path: str) -> httpx.Response:
    """Ask an application that knows only postmortems."""
    app = fastapi.FastAPI()
    app.include_router(api.router(store, Board(burning.T0), SetClock(told.at(300))))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_the_route_answers_in_every_format(store: Store) -> None:
    """Also before the first evaluation; what it has not is said, and a name that is not known is 404."""
    path = f"/api/v1/incidents/{NAME}/postmortem"

    found = Postmortem.model_validate(get(store, path).json())

    assert found.incident.id == NAME
    assert any("no budget was counted" in gap for gap in found.gaps)
    assert get(store, path + "?format=md").text.startswith(
        "# Postmortem: ConntrackUtilization on worker-17\n"
    )
    assert get(store, path + "?format=html").headers["content-type"].startswith("text/html")
    assert get(store, path + "?format=pdf").status_code == 422
    assert get(store, path.replace(NAME, "none")).status_code == 404


def test_hostile_words_are_words_in_both_formats(store: Store) -> None:
    """Nothing of them is markup: no script, no link, no row of a table."""
    hostile = told.HOSTILE + "|\n# x [a](javascript:b) ![i](http://c) `d` &lt;"
    with store.write() as transaction:
        transaction.audit.append(told.at(1), "eve", "did", hostile, {})

    found = made(store)

    shown, text = page.html(found), page.markdown(found)
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    row = next(line for line in text.splitlines() if "eve: did" in line)
    assert "<" not in row.replace("\\<", "")
    assert re.search(r"(?<!\\)[\[\]`#]", row) is None
    assert len(re.findall(r"(?<!\\)\|", row)) == 5


def test_the_page_may_use_its_own_style_and_nothing_else(store: Store) -> None:
    """It needs no other file: what the header allows is what is in it."""
    minutes(store, [0, 7])
    shown = page.html(made(store, now_of(HEADROOM.name)))

    assert not re.findall(r"\b(?:src|href|style|on[a-z]+)=", shown)
    assert "default-src 'none'" in page.HEADERS["content-security-policy"]
    assert shown.count("<style>") == 1
    assert shown.count("<svg") == 1
