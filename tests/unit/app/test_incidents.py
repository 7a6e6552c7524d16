"""One incident on one page and in one object: what fired, who was told, what was done, what is left."""

import asyncio
import pathlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import fastapi
import httpx
import pytest

from netsre import clock
from netsre.app.control import console
from netsre.app.control.incidents import api, facts, lanes, left, view
from netsre.app.control.incidents.shapes import IncidentView, RunStory
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model.alerts import AlertState
from netsre.model.runbooks import RunState
from netsre.runbook.decide import Gate
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app import incident_story as told
from tests.unit.app.fakes import SetClock, world

NAME = "20260101-7731"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def known(store: Store, now: Timestamp | None = None) -> World:
    """Return what a controller of the store knows."""
    return world(store, pathlib.Path(store.where).parent, SetClock(now) if now else SetClock())


def get(store: Store, path: str, now: Timestamp | None = None) -> httpx.Response:
    """Ask an application that knows only incidents."""
    app = fastapi.FastAPI()
    app.include_router(api.router(known(store, now or told.at(300))))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())


def incident(store: Store, now: Timestamp | None = None) -> IncidentView:
    """Return the one incident of a store."""
    with store.read() as transaction:
        (found,) = transaction.incidents.newest(10)
        known = facts.read(transaction, found, now or told.at(300))
    return view.build(known)


def only_run(of: IncidentView) -> RunStory:
    """Return the one run of an incident."""
    (run,) = of.runs
    return run


def test_the_times_of_an_incident_count_from_its_first_alert(store: Store) -> None:
    """Fault, alert, page, first effect, proof and end, as times and as seconds."""
    told.whole(store)

    found = incident(store)

    assert found.seconds == {
        "fault": -3.2,
        "detected": 0,
        "paged": 0.4,
        "first_effect": 0.45,
        "verified": 23,
        "closed": 37.1,
    }
    assert found.times.first_effect == "2026-01-01T00:00:00.450Z"
    assert (found.id, found.state, found.severity, found.node) == (NAME, "closed", "page", "worker-17")
    assert found.title == "ConntrackUtilization on worker-17"


def test_every_gate_is_told_with_its_word(store: Store) -> None:
    """The same word as in the metric, the log and the audit."""
    story = told.told(store)
    story.begin()
    story.run(refused=Gate.COOLDOWN)

    run = only_run(incident(store))

    assert [(gate.gate, gate.passed) for gate in run.gates] == [
        ("kill_switch_on", True),
        ("blind", True),
        ("cooldown", False),
    ]
    assert (run.accepted, run.state, run.reason, run.steps) == (False, "refused", "cooldown", [])


def test_a_run_tells_what_it_changed_and_until_when(store: Store) -> None:
    """The block ends by itself, what was deleted does not; a step that was left out says why."""
    story = told.told(store)
    story.begin()
    story.act(story.run())

    run = only_run(incident(store, told.at(60)))

    assert [(step.action, step.state, step.in_force) for step in run.steps] == [
        ("evidence.collect", "done", False),
        ("datapath.block_source", "done", True),
        ("conntrack.flush", "done", False),
        ("conntrack.tune", "skipped", False),
    ]
    look, block, flush, tune = run.steps
    assert look.said == "looked; the largest source is 10.77.0.12"
    assert look.result["top-sources"] == {"entries": 61_022, "limit": 65_536}
    assert block.said == f"drop packets of 10.77.0.12 at eth0 in {told.NETNS} for 10m"
    assert block.until == "2026-01-01T00:10:00.400Z"
    assert flush.said.endswith("(60911 deleted)")
    assert (flush.until, tune.said) == (None, "left out: condition false")


def test_an_effect_whose_time_is_over_is_not_in_force(store: Store) -> None:
    """Its deadline in the kernel needs nobody to say so."""
    story = told.told(store)
    story.begin()
    story.act(story.run())

    before, after = incident(store, told.at(600)), incident(store, told.at(601))

    assert [only_run(one).steps[1].in_force for one in (before, after)] == [True, False]


def test_what_a_drill_took_back_is_over(store: Store) -> None:
    """Its own journal says so, not that of the run."""
    told.whole(store)

    found = incident(store)

    block = only_run(found).steps[1]
    assert (block.in_force, block.until) == (False, "2026-01-01T00:00:36.100Z")
    assert [drill.gameday for drill in found.drills] == ["conntrack-flood"]
    assert found.left == []


def test_what_is_left_to_do_is_told_while_it_lasts(store: Store) -> None:
    """Wait for the run; then follow the runbook; and know what ends by itself."""
    story = told.told(store)
    story.begin()
    silent = [todo.text for todo in incident(store).left]
    story.page(0.4)
    run = story.act(story.run())
    busy = [todo.text for todo in incident(store, told.at(60)).left]
    with store.write() as transaction:
        transaction.runs.change(
            replace(run, state=RunState.FAILED, reason="verify_failed", ended_at=told.at(90))
        )
    failed = incident(store, told.at(100)).left

    assert silent == [
        "Nobody was paged: no Alertmanager has taken ConntrackUtilization.",
        "ConntrackUtilization still fires: follow its runbook.",
    ]
    assert [text.split(" ")[0] for text in busy] == ["Wait", "In"]
    assert [todo.link for todo in failed] == ["http://127.0.0.1:8600/runbooks/conntrack-exhaustion", None]


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("http://127.0.0.1:8600/runbooks/x", "ConntrackUtilization still fires: follow its runbook."),
        (
            "http://127.0.0.1:8600/runbooks",
            "ConntrackUtilization still fires: it has no runbook; act by hand.",
        ),
        ("", "ConntrackUtilization still fires: it has no runbook; act by hand."),
    ],
)
def test_nobody_is_sent_to_a_runbook_that_is_not_there(store: Store, link: str, said: str) -> None:
    """An alert that names none leads to the list of all."""
    story = told.told(store)
    story.about = replace(story.about, annotations={"runbook_url": link})
    story.begin()

    assert said in [todo.text for todo in incident(store).left]


def test_an_alert_that_was_helped_is_not_called_untouched(store: Store) -> None:
    """It fires on until its own hold is over: nobody has to begin anew meanwhile."""
    story = told.told(store)
    story.begin()
    story.page(0.4)
    run = story.act(story.run())
    with store.write() as transaction:
        transaction.runs.change(
            replace(run, state=RunState.SUCCEEDED, reason="verified", ended_at=told.at(25))
        )

    first = incident(store, told.at(30)).left[0]

    assert first.text == (
        f"ConntrackUtilization still fires, but run {run.id} of conntrack-exhaustion helped, "
        "as conntrack-headroom shows: it should end soon, else follow its page."
    )


def test_a_call_for_help_is_the_first_thing_to_do(store: Store) -> None:
    """And never the cause that names the incident."""
    story = told.told(store)
    story.begin()
    said = {"summary": "runbook x did not act on t: cooldown", "description": "Run 1 ended refused."}
    call = replace(told.alert("RunbookNeedsHuman"), annotations=said)
    with store.write() as transaction:
        transaction.alerts.save(call)
        transaction.incidents.attach([call], told.at(1))

    found = incident(store)

    assert found.left[0].text == "Act: runbook x did not act on t: cooldown. Run 1 ended refused."
    assert found.title == "ConntrackUtilization on worker-17"


def test_verification_is_told_sample_by_sample(store: Store) -> None:
    """With the verdict's own word, and what was counted."""
    told.whole(store)

    run = only_run(incident(store))

    assert [sample.verdict for sample in run.samples] == ["fail", "pass", "pass", "pass"]
    assert (run.samples[0].reason, run.samples[0].bad, run.samples[0].total) == ("missed", "2", "3")
    assert (run.verify, run.state) == ("conntrack-headroom", "succeeded")


def test_everything_is_told_in_the_order_in_which_it_happened(store: Store) -> None:
    """From the fault to the close."""
    told.whole(store)

    timeline = incident(store).timeline

    assert [event.seconds for event in timeline] == sorted(event.seconds for event in timeline)
    kinds = list(dict.fromkeys(event.kind for event in timeline))
    assert kinds == ["fault", "alert", "decision", "page", "effect", "verification", "incident"]


def test_a_storm_is_cut_and_counted(store: Store) -> None:
    """Nobody reads a thousand alerts, and nobody is told that there were two hundred."""
    story = [told.alert(netns=f"ns-{number}") for number in range(facts.MOST_ALERTS + 50)]
    with store.write() as transaction:
        for one in story:
            transaction.alerts.save(one)
        transaction.incidents.attach(story, told.at(0))

    found = incident(store)

    assert (len(found.alerts), found.alerts_total) == (facts.MOST_ALERTS, facts.MOST_ALERTS + 50)
    assert f"{facts.MOST_ALERTS} of them here" in get(store, f"/incidents/{found.id}").text


def test_the_list_is_newest_first_within_its_limit(store: Store) -> None:
    """One line per incident, with its worst severity."""
    for number in range(3):
        one = replace(told.alert("Full", netns=f"{number}"), fired_at=told.at(number))
        one = replace(one, labels=tuple((k, f"n{number}" if k == "node" else v) for k, v in one.labels))
        with store.write() as transaction:
            transaction.alerts.save(one)
            transaction.incidents.attach([one], told.at(number))

    listed = get(store, "/api/v1/incidents?limit=2").json()["incidents"]

    assert [(line["node"], line["state"], line["severity"], line["alerts"]) for line in listed] == [
        ("n2", "open", "page", 1),
        ("n1", "open", "page", 1),
    ]
    assert get(store, "/api/v1/incidents?limit=0").status_code == 422


def test_one_incident_is_one_object_and_an_unknown_one_is_404(store: Store) -> None:
    """The page and the object are found by one name."""
    told.whole(store)

    answer = get(store, f"/api/v1/incidents/{NAME}").json()

    assert answer["times"]["verified"] == "2026-01-01T00:00:23.000Z"
    assert answer["runs"][0]["steps"][1]["effect"]["source"] == "10.77.0.12"
    assert get(store, "/api/v1/incidents/absent").status_code == 404
    assert get(store, "/incidents/absent").status_code == 404


def test_the_published_api_describes_incidents_and_not_their_page(store: Store) -> None:
    """OpenAPI has both routes with their shapes."""
    app = fastapi.FastAPI()
    app.include_router(api.router(known(store)))

    paths: dict[str, Any] = app.openapi()["paths"]

    assert set(paths) == {"/api/v1/incidents", "/api/v1/incidents/{name}"}
    shape = paths["/api/v1/incidents/{name}"]["get"]["responses"]["200"]["content"]["application/json"]
    assert shape["schema"] == {"$ref": "#/components/schemas/IncidentView"}


def test_the_page_says_everything_that_the_object_says(store: Store) -> None:
    """Without a script: every action, gate, sample and thing that is left."""
    story = told.told(store)
    story.begin()
    story.page(0.4)
    run = story.act(story.run())
    story.sample(run, 8)
    now = told.at(10)

    answer, found = get(store, f"/incidents/{NAME}", now), incident(store, now)

    body = answer.text
    wanted = [
        *(step.action for step in only_run(found).steps),
        *(step.said for step in only_run(found).steps),
        *(gate.title if gate.passed else gate.gate for gate in only_run(found).gates),
        *(todo.text for todo in found.left),
        *(event.text for event in found.timeline),
        "In force until 00:10:00",
        "OPEN",
    ]
    assert [text for text in wanted if text not in body] == []
    assert answer.headers["content-security-policy"] == console.CONTENT_SECURITY_POLICY
    assert '<meta http-equiv="refresh"' in body


def test_the_page_of_a_closed_incident_rests(store: Store) -> None:
    """It is not read again and again, and says that nothing is left."""
    told.whole(store)

    body = get(store, f"/incidents/{NAME}").text

    assert 'http-equiv="refresh"' not in body
    assert 'data-refresh="0"' in body
    assert "CLOSED" in body
    assert "Nothing. Every alert has ended" in body


def test_no_label_becomes_markup_and_no_address_a_script(store: Store) -> None:
    """Both come from whoever sends alerts."""
    story = told.told(store, told.HOSTILE)
    story.begin()

    with store.read() as transaction:
        (found,) = transaction.incidents.newest(1)
    body = get(store, f"/incidents/{found.id}").text

    assert told.HOSTILE not in body
    assert "&lt;script&gt;document.title" in body
    assert "javascript:" not in body
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", body)


def test_the_page_needs_nothing_from_elsewhere(store: Store) -> None:
    """Every file that it names is one of the console's; its links are ours or an alert's."""
    told.whole(store)

    body = get(store, f"/incidents/{NAME}").text

    named = re.findall(r'(?:src|href)="\.\./console/([\w.]+)"', body)
    assert len(named) == 4
    assert set(named) <= set(console.ASSETS)
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?!\.\./console/)', body)


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "//evil", "http://", "http://[", "/x", ""]
)
def test_only_web_addresses_are_links(address: str) -> None:
    """An annotation of somebody else's alert must not be able to run anything."""
    assert left.web_address(address) is None
    assert left.web_address("https://runbooks.example/x") is not None


def test_the_picture_shows_each_thing_at_its_time(store: Store) -> None:
    """Left to right: fault, alert, page, effects, proof; bars as long as they lasted."""
    told.whole(store)

    picture = lanes.draw(incident(store), told.at(300))

    assert [lane.name for lane in picture.lanes] == [
        "Fault",
        "ConntrackUtilization",
        "Paged",
        "Effects",
        "Verified",
    ]
    lefts = [float(lane.marks[0].left) for lane in picture.lanes]
    assert lefts == sorted(lefts)
    marks = [mark for lane in picture.lanes for mark in lane.marks]
    assert all(0 <= float(mark.left) + float(mark.width) <= 100 for mark in marks)
    assert [tick.label for tick in picture.ticks] == ["0s", "+10s", "+20s", "+30s"]


@pytest.mark.parametrize("age", [0, clock.SECOND, clock.MINUTE, clock.HOUR, 40 * clock.DAY])
def test_the_axis_has_a_few_round_times_whatever_its_length(store: Store, age: int) -> None:
    """A moment or a month: no more than anybody can read, and no less than one."""
    told.told(store).begin()
    now = Timestamp(told.at(0) + age)

    picture = lanes.draw(incident(store, now), now)

    assert 1 <= len(picture.ticks) <= 7
    assert all(-1 <= float(tick.left) <= 101 for tick in picture.ticks)


def test_an_alert_that_cannot_be_read_hides_nothing_else(store: Store) -> None:
    """A row of another version, or by hand: the page is there without it."""
    told.whole(store)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alert SET labels = 'x'")

    body = get(store, f"/incidents/{NAME}").text

    assert "no alert that can be read" in body


def test_an_incident_that_just_closed_leaves_its_block_to_be_seen(store: Store) -> None:
    """Closed is not the same as as-before: what is still in force is told."""
    story = told.told(store)
    story.begin()
    run = story.act(story.run())
    ended = replace(story.about, state=AlertState.RESOLVED, resolved_at=told.at(30))
    with store.write() as transaction:
        done = replace(run, state=RunState.SUCCEEDED, reason="verified", ended_at=told.at(25))
        transaction.runs.change(done)
        transaction.alerts.save(ended)
        transaction.incidents.close(told.at(30))

    found = incident(store, told.at(60))

    assert found.state == "closed"
    assert [todo.text.split(":")[0] for todo in found.left] == ["In force until 2026-01-01 00"]
