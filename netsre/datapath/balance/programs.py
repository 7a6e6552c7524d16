"""The programs and maps of the balancer, by the names in its source."""

from typing import Final, NamedTuple

SOURCES: Final = ("balance.c",)
ACTIVE: Final = "balance_active"
REVISIONS: Final = "balance_revisions"
SERVICES: Final = "balance_services"
TABLES: Final = "balance_tables"
BACKENDS: Final = "balance_backends"
MEMBERS: Final = "balance_members"
PEERS: Final = "balance_peers"
COUNTS: Final = "balance_counts"
EVENTS: Final = "balance_events"


class Program(NamedTuple):
    """A program at a hook of a cgroup."""

    name: str
    """In the kernel: 15 characters at most."""
    function: str
    """In the source."""
    hook: str
    """Such as `connect4`; it has no other program of ours."""


PROGRAMS: Final = (
    # First what ends what the others begin.
    Program("netsre_bal_end", "balance_released", "sock_release"),
    *(
        Program(f"netsre_bal_{short}{family}", f"balance_back{family}", f"{hook}{family}")
        for short, hook in (("rcv", "recvmsg"), ("peer", "getpeername"))
        for family in (4, 6)
    ),
    *(
        Program(f"netsre_bal_{short}{family}", f"balance_{hook}{family}", f"{hook}{family}")
        for short, hook in (("con", "connect"), ("snd", "sendmsg"))
        for family in (4, 6)
    ),
)
"""In the order in which they are attached."""
