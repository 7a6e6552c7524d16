"""The controller exposes what the registry says, all of it, with exactly those labels."""

import pathlib
from collections.abc import Callable
from functools import partial

from prometheus_client.parser import text_string_to_metric_families

from netsre import clock
from netsre.adapters.alertmanager import Alertmanager
from netsre.adapters.slack.api import Answer, Result
from netsre.alerting.describe import Links
from netsre.alerting.notify import Pace
from netsre.app.control import metrics, pausing
from netsre.app.control.drill_api import Gamedays
from netsre.app.control.drills import Asked
from netsre.app.control.leading import Shared
from netsre.app.control.pager import Pager, Telling
from netsre.app.control.slack.part import SlackPart
from netsre.app.slack_settings import Mode, Slack
from netsre.gameday.decide import Gate
from netsre.metrics.readings import Readings
from netsre.metrics.registry import REGISTRY
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.drill_lab import GAMEDAY, Range
from tests.unit.app.fakes import Machine

GROUP_LABELS = {"node"}


def test_every_metric_of_the_controller_is_exposed_with_its_labels(tmp_path: pathlib.Path) -> None:
    """After a burn whose second firing is refused, so that refusals are there; SLO series add the group."""
    store = burning.store(tmp_path)
    machine = Machine(store, tmp_path)
    machine.burn()
    machine.turn(delivered=10_000_000)
    for _ in range(8):
        machine.turn(delivered=100)
    machine.turn(failed=10_000_000)
    # Runs go on after a turn, and the next one counts them.
    machine.turn()
    # An address where nobody listens is a peer as well.
    telling = Telling(store, machine.clock, Pace(15_000), Links("http://a"), lambda _: None)
    pager = Pager([Alertmanager("http://127.0.0.1:1")], telling)
    pager.peers[0].tell()
    office = Shared(store, "a", "a", clock.boottime)
    assert office.seek() is not None
    held = partial(pausing.readings, machine.world)
    live = (office.readings, pager.readings, held, _refused_gameday(store), _slack(machine))
    body, _ = metrics.render(machine.board.current, "text/plain", *live)
    store.close()

    found = {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }

    expected = {name: set(about.labels) for name, about in REGISTRY.items() if about.exporter == "controller"}
    assert {name: labels - GROUP_LABELS for name, labels in found.items()} == expected


def _slack(machine: Machine) -> Callable[[Readings], None]:
    """Have a Slack take a message, and send what is no click."""
    settings = Slack("C0NETSRE", Mode.SOCKET, "http://127.0.0.1:1/api/", "xoxb-x", "", "xapp-x")
    part = SlackPart(settings, machine.world, lambda: True, lambda: None)
    part.teller.heard(Answer(Result.DONE))
    part.desk.refused("malformed")
    return part.readings


def _refused_gameday(store: Store) -> Callable[[Readings], None]:
    """Have a game day refused, so that the counter of those that ended is there."""
    ground = Range(store)
    ground.switch = Gate.KILL_SWITCH_ON
    drills = ground.drills()
    drills.request(Asked(GAMEDAY.name, "somebody"))
    return Gamedays(drills, drills._ground, dict).readings


def test_before_the_first_turn_there_is_nothing() -> None:
    """And no zero that looks like a measurement."""
    assert metrics.render(None, "text/plain")[0] == b""
