"""Game days as one part of the controller: the ground they stand on, their engine, and their time table."""

from collections.abc import Callable, Iterable
from typing import Final

from netsre.adapters.schedule import Scheduler
from netsre.app.control.drill_answer import refusal
from netsre.app.control.drill_api import Gamedays
from netsre.app.control.drill_world import Ground
from netsre.app.control.drills import Drills
from netsre.app.control.lab_port import LabPort
from netsre.app.control.snapshot import Board
from netsre.app.control.worker import Duty, Worker
from netsre.app.control.world import World
from netsre.app.settings import Settings
from netsre.gameday.decide import Gate
from netsre.model.gamedays import GameDay
from netsre.runbook.decide import KillSwitch

_SWITCH: Final = {
    KillSwitch.OFF: Gate.ACCEPTED,
    KillSwitch.ON: Gate.KILL_SWITCH_ON,
    KillSwitch.UNREADABLE: Gate.KILL_SWITCH_UNREADABLE,
}


class DrillPart:
    """The engine of game days with its scheduler, in threads of their own.

    A drill watches what automation does: while a run waits for the node, the drill can still be ended.
    """

    def __init__(
        self,
        settings: Settings,
        world: World,
        gamedays: Iterable[GameDay],
        board: Board,
        leads: Callable[[], bool],
    ) -> None:
        """Put the parts together; raises `BadInput` for a socket that is no lab's."""
        ground = Ground(
            store=world.store,
            gamedays={gameday.name: gameday for gameday in gamedays},
            lab=None if settings.lab_control is None else LabPort(settings.lab_control, leads),
            sight=world.sight,
            slos=world.slos,
            rules={rule.name: rule for rule in world.rules},
            switch=lambda: _SWITCH[world.kill_switch()],
            refusal=lambda gameday, netns: refusal(world, gameday, netns),
            alertmanagers=bool(settings.alertmanagers),
            interval=world.interval,
            clock=world.clock,
        )
        drills = Drills(ground, self._wake)
        schedules = {name: day.schedule for name, day in ground.gamedays.items() if day.schedule is not None}
        self._scheduler = Scheduler(schedules, drills.scheduled, world.clock)
        self._worker = Worker((Duty("drills", drills.advance),), board, "drills")
        self.served = Gamedays(drills, ground, self._scheduler.next_times)

    def start(self) -> None:
        """Go on with the drill that is not over, and have game days come when their time table says so."""
        self._worker.start()
        self._scheduler.start()

    def stop(self, seconds: float) -> None:
        """Have none come any more; what was begun goes on with the next start."""
        self._scheduler.stop()
        self._worker.stop(seconds)

    def _wake(self) -> None:
        self._worker.wake()
