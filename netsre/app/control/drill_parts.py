"""Game days as one part of the controller: the ground they stand on, their engine, and their time table."""

from collections.abc import Callable, Iterable

from netsre.adapters.schedule import Scheduler
from netsre.app.control.drill_api import Gamedays
from netsre.app.control.drill_world import Ground
from netsre.app.control.drills import Drills
from netsre.app.control.lab_port import LabPort
from netsre.app.control.world import World
from netsre.app.settings import Settings
from netsre.gameday.decide import Gate
from netsre.model.gamedays import GameDay
from netsre.runbook.decide import KillSwitch

_SWITCH = {
    KillSwitch.OFF: Gate.ACCEPTED,
    KillSwitch.ON: Gate.KILL_SWITCH_ON,
    KillSwitch.UNREADABLE: Gate.KILL_SWITCH_UNREADABLE,
}


class DrillPart:
    """The engine of game days with its scheduler; `wake` has the engine's turn come at once."""

    def __init__(
        self, settings: Settings, world: World, gamedays: Iterable[GameDay], wake: Callable[[], None]
    ) -> None:
        """Put the parts together; raises `BadInput` for a socket that is no lab's."""
        ground = Ground(
            store=world.store,
            gamedays={gameday.name: gameday for gameday in gamedays},
            lab=None if settings.lab_control is None else LabPort(settings.lab_control),
            sight=world.sight,
            slos=world.slos,
            rules={rule.name: rule for rule in world.rules},
            switch=lambda: _SWITCH[world.kill_switch()],
            alertmanagers=bool(settings.alertmanagers),
            interval=world.interval,
            clock=world.clock,
        )
        drills = Drills(ground, wake)
        schedules = {name: day.schedule for name, day in ground.gamedays.items() if day.schedule is not None}
        self._scheduler = Scheduler(schedules, drills.scheduled, world.clock)
        self.advance = drills.advance
        self.served = Gamedays(drills, ground, self._scheduler.next_times)

    def start(self) -> None:
        """Have game days come when their time table says so."""
        self._scheduler.start()

    def stop(self, seconds: float) -> None:
        """Have none come any more; what was begun goes on with the next start."""
        del seconds
        self._scheduler.stop()
