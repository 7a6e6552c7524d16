"""Which kernel structure members the probes read, and what to do without them."""

from collections.abc import Mapping
from typing import Final

from netsre.datapath import btf

_REQUIRED: Final = {
    "OFF_SKC_FAMILY": ("sock_common", "skc_family"),
    "OFF_SKC_DADDR": ("sock_common", "skc_daddr"),
    "OFF_SKC_DPORT": ("sock_common", "skc_dport"),
    "OFF_SKC_V6_DADDR": ("sock_common", "skc_v6_daddr"),
    "OFF_SKC_V6_RCV_SADDR": ("sock_common", "skc_v6_rcv_saddr"),
    "OFF_SKC_NET": ("sock_common", "skc_net.net"),
    "OFF_NET_INUM": ("net", "ns.inum"),
    "OFF_SK_PROTOCOL": ("sock", "sk_protocol"),
    "OFF_SK_ERR": ("sock", "sk_err"),
}

# Without these a probe falls back to something slower or coarser, as its source says.
_OPTIONAL: Final = {
    "OFF_TCP_MSTAMP": ("tcp_sock", "tcp_mstamp"),
    "OFF_SK_ERR_SOFT": ("sock", "sk_err_soft"),
}
_CGROUP: Final = {
    "OFF_SK_CGROUP": ("sock", "sk_cgrp_data.cgroup"),
    "OFF_CGROUP_KN": ("cgroup", "kn"),
    "OFF_KN_ID": ("kernfs_node", "id"),
}
"""The way from a socket to the id of its cgroup: all of it or none."""


def flow_defines(types: btf.TypeTable) -> Mapping[str, int]:
    """Return the preprocessor names and byte offsets for the flow probe.

    Raises `btf.BtfError` when a required member is missing: then the probe cannot run on this kernel.
    """
    defines = {name: types.offset(*member) for name, member in _REQUIRED.items()}
    for members in (*({name: member} for name, member in _OPTIONAL.items()), _CGROUP):
        try:
            defines |= {name: types.offset(*member) for name, member in members.items()}
        except btf.BtfError:
            continue
    return defines
