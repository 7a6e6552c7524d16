"""How long the kernel keeps entries without a packet: numbers of each network namespace.

The kernel takes them from a socket of the namespace with CAP_NET_ADMIN there; nobody has to be root in it.
"""

import struct
from collections.abc import Mapping
from typing import Final

from netsre.adapters.conntrack.netlink import NETFILTER, Channel, Opening, attribute, attributes, here
from netsre.adapters.conntrack.table import ANY_FAMILY
from netsre.datapath.conntrack_timeouts import TIMEOUTS
from netsre.errors import EnvironmentUnfit

_SET, _GET = 0x0803, 0x0804
"""`NFNL_SUBSYS_CTNETLINK_TIMEOUT << 8` with `IPCTNL_MSG_TIMEOUT_DEFAULT_SET` and `…_GET`."""
_L3PROTO, _L4PROTO, _DATA = 2, 3, 4
"""Of `enum ctattr_timeout`."""
_NESTED: Final = 0x8000
_ATTRIBUTES_AT: Final = 20
_SECONDS: Final = struct.Struct(">I")
_NO_L3PROTO: Final = b"\0\0"


def timeouts(opening: Opening = here) -> Mapping[str, int]:
    """Return the seconds of every state in `TIMEOUTS` that this kernel has; by default in our namespace.

    Passes on what says that the namespace is gone; raises `EnvironmentUnfit` when the kernel does not tell.
    """
    found: dict[int, Mapping[int, int]] = {}
    try:
        with Channel(NETFILTER, opening) as channel:
            for protocol in {kept.protocol for kept in TIMEOUTS.values()}:
                found[protocol] = _told(channel, protocol)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unfit("be read", error) from error
    return {
        state: found[kept.protocol][kept.attribute]
        for state, kept in TIMEOUTS.items()
        if kept.attribute in found[kept.protocol]
    }


def set_timeout(state: str, seconds: int, opening: Opening = here) -> None:
    """Set the timeout of a state; it holds when this returns, for an entry from its next packet on.

    Raises as `timeouts` does.
    """
    kept = TIMEOUTS[state]
    value = attribute(kept.attribute, _SECONDS.pack(seconds))
    body = ANY_FAMILY + attribute(_L3PROTO, _NO_L3PROTO) + attribute(_L4PROTO, bytes([kept.protocol]))
    try:
        with Channel(NETFILTER, opening) as channel:
            for code in channel.command(_SET, [body + attribute(_NESTED | _DATA, value)]):
                raise OSError(code, f"error {code}")  # noqa: TRY301
            now = _told(channel, kept.protocol).get(kept.attribute)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unfit("be set", error) from error
    if now != seconds:
        message = f"timeout {state} is {now} s after {seconds} s was set; something else sets it as well"
        raise EnvironmentUnfit(message)


def _told(channel: Channel, protocol: int) -> Mapping[int, int]:
    """Return the seconds of one protocol, by attribute."""
    body = ANY_FAMILY + attribute(_L3PROTO, _NO_L3PROTO) + attribute(_L4PROTO, bytes([protocol]))
    data, at, end = channel.ask(_GET, body)
    nested = attributes(data, at + _ATTRIBUTES_AT, end).get(_DATA, (end, end))
    return {
        kind: _SECONDS.unpack(data[begin:stop])[0]
        for kind, (begin, stop) in attributes(data, *nested).items()
        if stop - begin == _SECONDS.size
    }


def _unfit(what: str, error: OSError) -> EnvironmentUnfit:
    message = f"timeouts of connection tracking cannot {what}: the kernel says {error.strerror or error}"
    return EnvironmentUnfit(f"{message}; it needs CAP_NET_ADMIN and CONFIG_NF_CT_NETLINK_TIMEOUT")
