"""Namespaces that another netsre of this host made, such as a second lab: they are that one's business."""

import os

from netsre.adapters import processes
from netsre.gameday import ownership
from netsre.gameday.ownership import Ownership


def foreign(name: str) -> bool:
    """Say whether a namespace belongs to a living netsre that this process does not descend from.

    Its faults are made on purpose, and healed by their owner: two healers stand in each other's way.
    """
    parsed = ownership.parse(name)
    if parsed is None:
        return False
    owner = parsed.owner.pid
    alive = ownership.verdict(name, processes.start_time(owner)) is Ownership.OURS_LIVE
    return alive and owner not in processes.lineage(os.getpid())
