"""The lab as drills see it, over the control socket of its noisy client."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from netsre import clock
from netsre.adapters.control import ControlRefused, ControlUnreachable
from netsre.adapters.control.lab import LabClient
from netsre.app.control.drill_world import LabRefused, LabSilent
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.gameday import ownership
from netsre.gameday.progress import Seen
from netsre.model.documents import Document
from netsre.model.gamedays import Profile

_NOT_BEGUN: Final = Seen(running=False, begun_at=None)


class LabPort:
    """Speaks of drills to a `LabClient`."""

    def __init__(self, socket: Path, leads: Callable[[], bool] = lambda: True) -> None:
        """Speak to the lab of the run whose directory holds this socket; raises `BadInput` for any other.

        Nothing is begun unless this controller leads.
        """
        owned = ownership.parse(socket.parent.name)
        if owned is None:
            raise BadInput(f"--lab-control {socket} is not in the directory of a `netsre up`; name that one")
        self._client = LabClient(socket)
        self._leads = leads
        self._server = owned.owner.name(ownership.LAB, ownership.SERVER)

    @property
    def server(self) -> str:
        """Return the namespace of the lab's server."""
        return self._server

    def begin(self, key: str, profile: Profile, milliseconds: int) -> Timestamp:
        """Begin a flood; return since when it runs."""
        if not self._leads():
            raise LabSilent("this controller does not lead; nothing was asked")
        try:
            begun = self._client.flood(key, profile, milliseconds // clock.SECOND)
        except ControlRefused as refusal:
            raise LabRefused(refusal.reason, str(refusal)) from refusal
        except ControlUnreachable as error:
            raise LabSilent(str(error)) from error
        if begun.state == "ended":
            raise LabRefused("ended", f"flood {key} is over already, and is not begun again")
        return Timestamp(begun.until - milliseconds)

    def stop(self, key: str) -> None:
        """End a flood; one that never began will not begin any more."""
        self._stopped(key)

    def seen(self, key: str) -> Seen:
        """Return whether a flood runs, and since when."""
        try:
            running = self._client.state()
        except ControlRefused as refusal:
            raise LabRefused(refusal.reason, str(refusal)) from refusal
        except ControlUnreachable as error:
            raise LabSilent(str(error)) from error
        if running is None or running.key != key:
            return _NOT_BEGUN
        return Seen(running=True, begun_at=running.since)

    def figures(self, key: str) -> Document:
        """Return what a flood sent that is over."""
        return self._stopped(key)

    def _stopped(self, key: str) -> Document:
        try:
            stopped = self._client.stop(key)
        except ControlRefused as refusal:
            raise LabRefused(refusal.reason, str(refusal)) from refusal
        except ControlUnreachable as error:
            raise LabSilent(str(error)) from error
        return {"sent": stopped.sent, "failed": stopped.failed}
