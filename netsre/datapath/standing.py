"""What netsre leaves in force in the kernel on purpose, with nobody alive: what each needs of a node.

`standing_features` decides from facts alone, as `requirements.audit` does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from netsre.datapath.requirements import Feature, NodeFacts, Status


@dataclass(frozen=True, slots=True)
class Standing:
    """One thing that stays until somebody takes it away."""

    name: str
    command: str
    """Of netsre; the others are below it."""
    look: str
    """Shows what is in force."""
    begin: str
    """Puts it into force."""
    oldest: tuple[int, int]
    """The first kernel that it runs on."""
    because: str
    """What that one has."""
    cgroup: bool = False
    """Whether it needs cgroup v2."""

    @property
    def detach(self) -> str:
        """Return the command that takes it away."""
        return f"netsre {self.command} detach"


POLICIES: Final = Standing(
    "policies", "policy", "status", "apply PATH... --endpoints FILE", (6, 6), "TCX links"
)
PREFILTER: Final = Standing(
    "prefilter", "prefilter", "list", "attach INTERFACE", (5, 13), "batch reads of tries"
)
BALANCER: Final = Standing(
    "balancer", "balance", "status", "apply PATH...", (5, 18), "an errno for refusals", cgroup=True
)
ALL: Final = (POLICIES, PREFILTER, BALANCER)


class Version(Enum):
    """Whose programs those are that are in force."""

    THIS = auto()
    UNKNOWN = auto()
    """Nobody can tell."""
    BEFORE = auto()
    """Those that somebody went back to from those of this version."""
    OTHER = auto()
    """Of another version, with maps that this one can use."""
    STRANGE = auto()
    """Of another version, with other maps."""


class Found(NamedTuple):
    """What is in force."""

    version: Version
    programs: str = ""
    """What they are known by; empty where nobody knows."""
    ours: str = ""
    """What those of this version are known by."""


def standing_features(facts: NodeFacts, in_force: Mapping[Standing, Found]) -> Iterator[Feature]:
    """Judge each: whether it is in force, and if not, whether it could be. None is required."""
    for one in ALL:
        command = f"netsre {one.command}"
        if one in in_force:
            yield _in_force(one, in_force[one])
        elif lacking := _lacking(one, facts):
            yield Feature(one.name, Status.NO, *lacking, required=False)
        else:
            reason = f"not in force; {command} {one.begin}"
            yield Feature(one.name, Status.OK, reason, "", required=False)


def _in_force(one: Standing, found: Found) -> Feature:
    command = f"netsre {one.command}"
    whose = f"programs {found.programs or 'that nobody knows'}"
    match found.version:
        case Version.THIS | Version.UNKNOWN:
            reason = f"in force, also without an agent; {command} {one.look}, {one.detach}"
            return Feature(one.name, Status.OK, reason, "", required=False)
        case Version.BEFORE:
            reason = f"in force with {whose}: somebody went back to them from {found.ours}, of this version"
            return Feature(one.name, Status.OK, reason, "", required=False)
        case Version.OTHER:
            reason = f"in force with {whose} of another version; this one has {found.ours}"
            fix = f"{command} {one.begin}: the same rules go on with the programs of this version"
            return Feature(one.name, Status.DEGRADED, reason, fix, required=False)
        case Version.STRANGE:
            reason = "in force as another version made it: this one can neither read nor change it"
            fix = f"{one.detach}, then {command} {one.begin}; until then it goes on"
            return Feature(one.name, Status.DEGRADED, reason, fix, required=False)


def _lacking(one: Standing, facts: NodeFacts) -> tuple[str, str] | None:
    """Return what a node lacks, and the fix."""
    found = re.match(r"(\d+)\.(\d+)", facts.kernel)
    if found is not None and (int(found[1]), int(found[2])) < one.oldest:
        oldest = ".".join(map(str, one.oldest))
        return f"optional; {facts.kernel} lacks {one.because}", f"boot a kernel of {oldest} or newer"
    if facts.bpffs is None:
        return "optional; nothing can be pinned", "mount -t bpf bpf /sys/fs/bpf"
    if one.cgroup and facts.cgroup2 is None:
        return "optional; no cgroup to attach to", "mount -t cgroup2 none /sys/fs/cgroup/unified"
    return None
