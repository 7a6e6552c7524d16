"""What a kernel lacks that refused a BPF program, as far as its own words and its type information say so."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from netsre.datapath.loads import OTHER_TYPE, TYPES, LoadFailure

TYPES_ENUM: Final = "bpf_prog_type"
"""The enumeration of the kernel that has the types of programs which it knows."""
_HELPERS: Final = """
5.10 load_hdr_opt store_hdr_opt reserve_hdr_opt inode_storage_get inode_storage_delete d_path copy_from_user
5.10 snprintf_btf seq_printf_btf skb_cgroup_classid redirect_neigh per_cpu_ptr this_cpu_ptr redirect_peer
5.11 task_storage_get task_storage_delete get_current_task_btf bprm_opts_set ktime_get_coarse_ns
5.11 ima_inode_hash sock_from_file
5.12 check_mtu
5.13 for_each_map_elem snprintf
5.14 sys_bpf btf_find_by_name_kind sys_close
5.15 timer_init timer_set_callback timer_start timer_cancel get_func_ip get_attach_cookie task_pt_regs
5.16 get_branch_snapshot trace_vprintk skc_to_unix_sock kallsyms_lookup_name
5.17 find_vma loop strncmp get_func_arg get_func_ret get_func_arg_cnt
5.18 get_retval set_retval xdp_get_buff_len xdp_load_bytes xdp_store_bytes copy_from_user_task
5.18 skb_set_tstamp ima_file_hash
5.19 kptr_xchg map_lookup_percpu_elem skc_to_mptcp_sock dynptr_from_mem ringbuf_reserve_dynptr
5.19 ringbuf_submit_dynptr ringbuf_discard_dynptr dynptr_read dynptr_write dynptr_data
6.0 tcp_raw_gen_syncookie_ipv4 tcp_raw_gen_syncookie_ipv6 tcp_raw_check_syncookie_ipv4
6.0 tcp_raw_check_syncookie_ipv6
6.1 ktime_get_tai_ns user_ringbuf_drain
6.2 cgrp_storage_get cgrp_storage_delete
"""
"""By the kernel that had them first, in the order of their numbers; after these came functions by name."""
FIRST_HELPER: Final = 142
"""The number of the first of them: the oldest kernel that netsre runs on has all before."""
_TYPE_SINCE: Final[Mapping[str, str]] = MappingProxyType({"syscall": "5.14", "netfilter": "6.4"})
_PREFIX: Final = "BPF_PROG_TYPE_"

_NO_HELPER: Final = re.compile(r"^invalid func unknown#(\d+)", re.MULTILINE)
_NOT_HERE: Final = re.compile(
    r"^(?:(?:unknown func|program of this type cannot use helper) (\w+)#\d+"
    r"|calling kernel function (\w+) is not allowed)",
    re.MULTILINE,
)
_NO_INSTRUCTION: Final = re.compile(r"^unknown opcode ([0-9a-f]+)", re.MULTILINE)
_SAID: Final = frozenset({"EINVAL", "EACCES"})
"""How a load ends of which this can be said."""


def helpers() -> Iterator[tuple[int, str, str]]:
    """Yield number, name and first kernel of the helpers that a kernel of today may lack."""
    number = FIRST_HELPER
    for line in _HELPERS.strip().splitlines():
        since, *names = line.split()
        for name in names:
            yield number, f"bpf_{name}", since
            number += 1


def missing(failure: LoadFailure, known: Mapping[int, str]) -> str:
    """Return what the kernel lacks for a program, such as `bpf_loop (kernel 5.17)`; empty if nobody can tell.

    `known` are the types of programs that the kernel has, as its type information names them; without them
    types are not judged. A program that is wrong, too large or without a privilege lacks nothing.
    """
    if failure.error not in _SAID:
        return ""
    if not failure.log:
        return _type(failure.type, known) if failure.error == "EINVAL" else ""
    if found := _NO_HELPER.search(failure.log):
        return _helper(int(found[1]))
    if found := _NOT_HERE.search(failure.log):
        return f"{found[1] or found[2]} in programs of type {failure.type}"
    if found := _NO_INSTRUCTION.search(failure.log):
        return f"instruction {found[1]}"
    return ""


def _helper(number: int) -> str:
    for at, name, since in helpers():
        if at == number:
            return f"{name} (kernel {since})"
    return f"helper {number}"


def _type(name: str, known: Mapping[int, str]) -> str:
    has = {one.removeprefix(_PREFIX).lower() for one in known.values() if one.startswith(_PREFIX)}
    # A kernel with more types than are named here may know one that is `other` to us.
    if not has or name in has or (name == OTHER_TYPE and len(has) > len(TYPES)):
        return ""
    since = _TYPE_SINCE.get(name)
    return f"programs of type {name}" + (f" (kernel {since})" if since else "")
