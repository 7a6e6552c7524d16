"""Network namespaces and the links between them, named below `/run/netns` as iproute2 does.

Links are made inside the namespaces that they join, never in the host's: the host's list of links does not
change, and they end with their namespaces.
"""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from netsre.adapters.namespaces import entering
from netsre.errors import EnvironmentUnfit

_NAMED: Final = Path("/run/netns")
_FIRST: Final = Path("/proc/1/ns/net")
_IFA_F_NODAD: Final = 0x02
_TURN: Final = 0.005
"""Seconds between looks at a link that is to come up."""
_TURNS: Final = 1_000

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface, with the length of its network's prefix."""

    text: str
    prefix: int

    @property
    def family(self) -> socket.AddressFamily:
        """IPv4 or IPv6."""
        return socket.AF_INET6 if ":" in self.text else socket.AF_INET


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: the interface `link` of a namespace, and what it is addressed by."""

    namespace: str
    link: str
    addresses: tuple[Address, ...]


def names() -> tuple[str, ...]:
    """Return every named namespace of the host, whoever made it."""
    with contextlib.suppress(FileNotFoundError):
        return tuple(sorted(entry.name for entry in _NAMED.iterdir()))
    return ()


def identity(name: str) -> tuple[int, int] | None:
    """Return the device and inode that tell a namespace from every other.

    None when there is none of that name, or only the empty file that one of an earlier boot left.
    """
    with contextlib.suppress(FileNotFoundError):
        there = (_NAMED / name).stat()
        if there.st_dev == own_identity()[0]:
            return there.st_dev, there.st_ino
    return None


def own_identity() -> tuple[int, int]:
    """Return the device and inode of the namespace that the calling thread is in."""
    here = Path("/proc/thread-self/ns/net").stat()
    return here.st_dev, here.st_ino


def way_into(inode: int) -> str:
    """Return the command that runs another one in a namespace, as far as there is one."""
    for name in names():
        if (found := identity(name)) is not None and found[1] == inode:
            return f"ip netns exec {name}"
    with contextlib.suppress(OSError):
        if _FIRST.stat().st_ino == inode:
            return "nsenter --target 1 --net"
    return "nsenter --target PID --net"


def create(name: str) -> None:
    """Make a namespace with its loopback up; `EnvironmentUnfit` when the kernel or the user cannot."""
    from pyroute2 import IPRoute, netns  # noqa: PLC0415  only who makes networks pays for the import

    if name in names():
        raise EnvironmentUnfit(_cannot(name, "there is one of this name already"))
    try:
        netns.create(name)
        if identity(name) is None:
            raise EnvironmentUnfit(_cannot(name, "the kernel made none"))  # noqa: TRY301
        with IPRoute(netns=name, flags=0) as route:
            route.link("set", index=_index(route, "lo"), state="up")
    except Exception as error:
        remove(name)
        if isinstance(error, EnvironmentUnfit):
            raise
        raise EnvironmentUnfit(_cannot(name, str(error))) from error


def remove(name: str) -> bool:
    """Take a namespace's name away; it ends with its last process. Return whether there was one."""
    from pyroute2 import netns  # noqa: PLC0415

    try:
        netns.remove(name)
    except FileNotFoundError:
        return False
    return True


def connect(one: End, other: End) -> None:
    """Join two namespaces by a pair of links, addressed and up, usable at once."""
    from pyroute2 import IPRoute  # noqa: PLC0415
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    try:
        with IPRoute(netns=one.namespace, flags=0) as route:
            peer = {"ifname": other.link, "net_ns_fd": other.namespace}
            route.link("add", ifname=one.link, kind="veth", peer=peer)
            _address(route, one)
        with IPRoute(netns=other.namespace, flags=0) as route:
            _address(route, other)
        for end in (one, other):
            with IPRoute(netns=end.namespace, flags=0) as route:
                _await_up(route, end)
    except NetlinkError as error:
        message = f"cannot join {one.namespace} and {other.namespace} by a veth pair: {error}"
        raise EnvironmentUnfit(message) from error


def enter(name: str) -> None:
    """Move the calling thread into a namespace, for good."""
    try:
        entering.enter(_NAMED / name)
    except OSError as error:
        message = f"cannot enter network namespace {name}: {error.strerror or 'it is gone'}"
        raise EnvironmentUnfit(message) from error


def inside(name: str, work: Callable[[], _Result]) -> _Result:
    """Do some work inside a namespace and return what it returned; the caller itself stays where it is."""
    return entering.inside(_NAMED / name, work)


def run(name: str, command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program inside a namespace with `text` on its input, for a minute at most."""
    return inside(
        name,
        lambda: subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False),
    )


def ipv6_available() -> bool:
    """Say whether this kernel does IPv6."""
    return Path("/proc/sys/net/ipv6").exists()


def _address(route: Any, end: End) -> None:  # noqa: ANN401  pyroute2 has no annotations
    index = _index(route, end.link)
    for address in end.addresses:
        # Nobody else is on this link: waiting a second for a duplicate would only delay the start.
        flags = _IFA_F_NODAD if address.family == socket.AF_INET6 else 0
        route.addr(
            "add",
            index=index,
            address=address.text,
            prefixlen=address.prefix,
            family=address.family,
            flags=flags,
        )
    route.link("set", index=index, state="up")


def _await_up(route: Any, end: End) -> None:  # noqa: ANN401
    """Wait until a link carries packets: a little after it was set up; what is sent until then is lost."""
    for _ in range(_TURNS):
        (link,) = route.get_links(_index(route, end.link))
        if link.get_attr("IFLA_OPERSTATE") == "UP":
            return
        time.sleep(_TURN)
    raise EnvironmentUnfit(f"link {end.link} in {end.namespace} does not come up; is its other end there?")


def _index(route: Any, link: str) -> int:  # noqa: ANN401
    return int(route.link_lookup(ifname=link)[0])


def _cannot(name: str, reason: str) -> str:
    return f"cannot make network namespace {name}: {reason}; it needs root and CONFIG_NET_NS"
