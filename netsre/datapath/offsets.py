"""Which kernel structure members the probes read, and what to do without them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from netsre.datapath import btf

_Members = Mapping[str, tuple[str, str]]

_SOCKET: Final[_Members] = MappingProxyType(
    {
        "OFF_SKC_FAMILY": ("sock_common", "skc_family"),
        "OFF_SKC_DADDR": ("sock_common", "skc_daddr"),
        "OFF_SKC_V6_DADDR": ("sock_common", "skc_v6_daddr"),
        "OFF_SKC_NET": ("sock_common", "skc_net.net"),
        "OFF_NET_INUM": ("net", "ns.inum"),
        "OFF_SK_PROTOCOL": ("sock", "sk_protocol"),
    }
)
_DEVICE: Final[_Members] = MappingProxyType(
    {"OFF_SKB_DEV": ("sk_buff", "dev"), "OFF_DEV_NET": ("net_device", "nd_net.net")}
)

_PACKET: Final[_Members] = MappingProxyType(
    {
        **_DEVICE,
        "OFF_SKB_HEAD": ("sk_buff", "head"),
        "OFF_SKB_NETWORK_HEADER": ("sk_buff", "network_header"),
        "OFF_SKB_TRANSPORT_HEADER": ("sk_buff", "transport_header"),
    }
)

_FLOWS: Final[_Members] = MappingProxyType(
    {
        **_SOCKET,
        **_PACKET,
        "OFF_SK_SOCKET": ("sock", "sk_socket"),
        "OFF_SK_MAX_ACK_BACKLOG": ("sock", "sk_max_ack_backlog"),
        "OFF_TCP_SND_UNA": ("tcp_sock", "snd_una"),
        "OFF_TCP_RCV_NXT": ("tcp_sock", "rcv_nxt"),
        "OFF_SKC_DPORT": ("sock_common", "skc_dport"),
        "OFF_SKC_V6_RCV_SADDR": ("sock_common", "skc_v6_rcv_saddr"),
        "OFF_SK_ERR": ("sock", "sk_err"),
    }
)
# Without these the probe falls back to something slower or coarser, as its source says.
_FLOWS_OPTIONAL: Final[_Members] = MappingProxyType(
    {
        "OFF_TCP_MSTAMP": ("tcp_sock", "tcp_mstamp"),
        "OFF_SK_ERR_SOFT": ("sock", "sk_err_soft"),
        "OFF_INET_SPORT": ("inet_sock", "inet_sport"),
    }
)

_CGROUP: Final[_Members] = MappingProxyType(
    {
        "OFF_SK_CGROUP": ("sock", "sk_cgrp_data.cgroup"),
        "OFF_CGROUP_KN": ("cgroup", "kn"),
        "OFF_KN_ID": ("kernfs_node", "id"),
    }
)
"""The way from a socket to the id of its cgroup: all of it or none."""

_TCP: Final[_Members] = MappingProxyType(
    {
        **_SOCKET,
        **_PACKET,
        "OFF_SKC_STATE": ("sock_common", "skc_state"),
        "OFF_SK_MAX_ACK_BACKLOG": ("sock", "sk_max_ack_backlog"),
        "OFF_TCP_SRTT": ("tcp_sock", "srtt_us"),
    }
)

_UDP: Final[_Members] = MappingProxyType(
    {
        **_SOCKET,
        "OFF_SKC_DPORT": ("sock_common", "skc_dport"),
        "OFF_SKC_NUM": ("sock_common", "skc_num"),
        "OFF_SKC_RCV_SADDR": ("sock_common", "skc_rcv_saddr"),
        "OFF_SKC_V6_RCV_SADDR": ("sock_common", "skc_v6_rcv_saddr"),
        "OFF_SKC_STATE": ("sock_common", "skc_state"),
        "OFF_SK_TYPE": ("sock", "sk_type"),
        "OFF_SK_ERR": ("sock", "sk_err"),
        "OFF_SK_SHUTDOWN": ("sock", "sk_shutdown"),
        "OFF_SK_SOCKET": ("sock", "sk_socket"),
        "OFF_SOCKET_FILE": ("socket", "file"),
    }
)

_DROPS: Final[_Members] = MappingProxyType(
    {
        **_SOCKET,
        **_DEVICE,
        "OFF_SKC_STATE": ("sock_common", "skc_state"),
        "OFF_SKB_SK": ("sk_buff", "sk"),
        "OFF_NET_LOOPBACK": ("net", "loopback_dev"),
    }
)


def flow_defines(types: btf.TypeTable) -> Mapping[str, int]:
    """Return the preprocessor names and byte offsets for the flow probe.

    Raises `btf.BtfError` when a required member is missing: then the probe cannot run on this kernel.
    """
    optional = ({name: member} for name, member in _FLOWS_OPTIONAL.items())
    return _offsets(types, _FLOWS) | _where_there(types, *optional, _CGROUP)


def tcp_defines(types: btf.TypeTable) -> Mapping[str, int]:
    """Return the same for the TCP probe, and whether this kernel says why it sends a reset (since 6.10)."""
    defines = _offsets(types, _TCP) | _where_there(types, _CGROUP)
    # TCP's own notes about a buffer, in the place that a buffer has for whoever holds it.
    notes = types.offset("sk_buff", "cb")
    defines["OFF_SKB_TCP_FLAGS"] = notes + types.offset("tcp_skb_cb", "tcp_flags")
    defines["OFF_SKB_TCP_SEGMENTS"] = notes + types.offset("tcp_skb_cb", "tcp_gso_segs")
    if types.arguments("tcp_send_reset") > 2:
        defines["SENT_RESETS_HAVE_REASONS"] = 1
    return defines


def udp_defines(types: btf.TypeTable) -> Mapping[str, int]:
    """Return the same for the UDP probe."""
    return _offsets(types, _UDP) | _where_there(types, _CGROUP)


def drop_defines(types: btf.TypeTable) -> Mapping[str, int]:
    """Return the same for the drops probe, and whether this kernel says for whom a packet was (since 6.11).

    A kernel that does not say why it drops (before 5.17) has no such probe.
    """
    arguments = types.arguments("kfree_skb")
    if arguments < 3:
        raise btf.BtfError("this kernel does not say why it drops packets; 5.17 and later do")
    numbers = {name: number for number, name in types.enumerators("skb_drop_reason").items()}
    defines = _offsets(types, _DROPS)
    defines["NOT_SPECIFIED"] = numbers["SKB_DROP_REASON_NOT_SPECIFIED"]
    if arguments > 3:
        defines["DROPS_HAVE_SOCKETS"] = 1
    return defines


def _offsets(types: btf.TypeTable, members: _Members) -> dict[str, int]:
    return {name: types.offset(*member) for name, member in members.items()}


def _where_there(types: btf.TypeTable, *optional: _Members) -> dict[str, int]:
    """Return the offsets of those members that this kernel has all of."""
    found: dict[str, int] = {}
    for members in optional:
        try:
            found |= _offsets(types, members)
        except btf.BtfError:
            continue
    return found
