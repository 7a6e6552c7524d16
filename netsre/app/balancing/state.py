"""What a node remembers of its balancer beside the kernel: names of services, and what revisions consist of.

Who is given which backend does not rest on it: where it is lost, names are, tables are made anew, and nothing
can be drained until services are applied again.
"""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from netsre.app import remembering
from netsre.app.remembering import Remembering
from netsre.datapath.balance import remembered
from netsre.datapath.balance.contents import Numbers
from netsre.datapath.balance.remembered import Wanted

FILE: Final = "state.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Made:
    """How a revision came to be."""

    at: int
    """Milliseconds since the Unix epoch."""
    services: int
    backends: int


@dataclass(frozen=True, slots=True)
class State:
    """The content of the file."""

    balancer: int = 0
    """The kernel's number of one of its maps: what is remembered is of no other balancer."""
    programs: str = ""
    """A digest of the source of the programs that run."""
    cgroup: str = ""
    """The directory whose processes are balanced."""
    numbers: Numbers = field(default_factory=Numbers)
    made: Mapping[int, Made] = field(default_factory=dict)
    """By the number of a revision."""

    def document(self) -> dict[str, Any]:
        """Return what the file has."""
        return {
            "version": _VERSION,
            "balancer": self.balancer,
            "programs": self.programs,
            "cgroup": self.cgroup,
            "numbers": self.numbers.document(),
            "made": {str(number): dataclasses.asdict(one) for number, one in self.made.items()},
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return the state of a document; raises one of `remembering.WRONG`."""
        if found["version"] != _VERSION:
            raise ValueError(f"it is of version {found['version']}")
        made = {
            int(number): Made(int(one["at"]), int(one["services"]), int(one["backends"]))
            for number, one in found["made"].items()
        }
        programs, cgroup = str(found["programs"]), str(found["cgroup"])
        return cls(int(found["balancer"]), programs, cgroup, Numbers.of(found["numbers"]), made)

    def with_made(self, number: int, made: Made, kept: AbstractSet[int]) -> Self:
        """Return the same with how one revision came to be, and of the others those that are kept."""
        known = {old: one for old, one in self.made.items() if old in kept}
        return dataclasses.replace(self, made={**known, number: made})


class Place(Remembering):
    """The directory of the file; whoever changes anything on this node holds its lock."""

    def read(self) -> State:
        """Return what is remembered; raises `EnvironmentUnfit` where nobody can tell."""
        return (
            remembering.read(self.directory / FILE, State.of, "nothing that is balanced rests on it")
            or State()
        )

    def write(self, state: State) -> None:
        """Put it on disk, whole or not at all; raises `EnvironmentUnfit`."""
        self.put(FILE, json.dumps(state.document(), sort_keys=True))

    def wanted(self, number: int) -> Wanted | None:
        """Return what a revision was made of; None where nobody remembers."""
        try:
            return remembered.wanted(json.loads(self._revision(number).read_text(encoding="utf-8")))
        except (OSError, *remembering.WRONG):
            return None

    def remember(self, number: int, wanted: Wanted) -> None:
        """Put what a revision is made of on disk; raises `EnvironmentUnfit`."""
        self.put(self._revision(number).name, json.dumps(remembered.document(wanted)))

    def forget(self, kept: AbstractSet[int]) -> None:
        """Take away what all but these revisions were made of."""
        names = {self._revision(number).name for number in kept}
        for path in self.directory.glob("revision-*.json"):
            if path.name not in names:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _revision(self, number: int) -> Path:
        return self.directory / f"revision-{number}.json"
