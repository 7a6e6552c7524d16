"""A load balancer of a test: it puts backends in place of the test's own addresses, and refuses some."""

import contextlib
import ctypes
import os
import pathlib
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from netsre.adapters.bpf import programs
from netsre.adapters.bpf.compiling import import_bcc, include_flags
from netsre.adapters.bpf.syscalls import BpfMap, bpf, fdinfo
from netsre.app.resources import directory
from netsre.datapath.services import Service

_LINK_CREATE: Final = 28
_SOCKET_ADDRESS: Final = 18
_HOOKS: Final = {"balance4": 10, "balance6": 11}
_PLACE: Final = struct.Struct("<16sHH")
_TEXT: Final = """
#include <linux/types.h>
struct place { __u32 address[4]; __u16 port; __u16 protocol; };
BPF_HASH(backends, struct place, struct place, 64);
int balance4(struct bpf_sock_addr *ctx)
{
    struct place asked = {.port = ctx->user_port, .protocol = ctx->protocol}, *to;
    asked.address[2] = __builtin_bswap32(0xffff);
    asked.address[3] = ctx->user_ip4;
    to = backends.lookup(&asked);
    if (!to)
        return 1;
    if (!to->port)
        return 0;
    ctx->user_ip4 = to->address[3];
    ctx->user_port = to->port;
    return 1;
}
int balance6(struct bpf_sock_addr *ctx)
{
    struct place asked = {.port = ctx->user_port, .protocol = ctx->protocol}, *to;
    asked.address[0] = ctx->user_ip6[0];
    asked.address[1] = ctx->user_ip6[1];
    asked.address[2] = ctx->user_ip6[2];
    asked.address[3] = ctx->user_ip6[3];
    to = backends.lookup(&asked);
    if (!to)
        return 1;
    if (!to->port)
        return 0;
    ctx->user_ip6[0] = to->address[0];
    ctx->user_ip6[1] = to->address[1];
    ctx->user_ip6[2] = to->address[2];
    ctx->user_ip6[3] = to->address[3];
    ctx->user_port = to->port;
    return 1;
}
"""


class Balancer:
    """Programs for connect4 and connect6 that know what to do with some addresses, and nothing of others."""

    def __init__(self, backends: Mapping[Service, Service | None]) -> None:
        """Load them; None refuses. They are attached nowhere."""
        source = directory("bpf")
        os.environ["BCC_KERNEL_SOURCE"] = str(source / "shim")
        self._module = import_bcc().BPF(text=_TEXT.encode(), cflags=include_flags(source))
        table = BpfMap.of("backends", self._module[b"backends"].map_fd)
        for service, backend in backends.items():
            table.put(service.key, backend.key if backend else bytes(_PLACE.size))
        self._fds = {
            hook: programs.load(
                "balance", self._module.dump_func(function.encode()), programs.Kind(_SOCKET_ADDRESS, hook)
            ).fd
            for function, hook in _HOOKS.items()
        }

    @contextlib.contextmanager
    def attached(self, cgroup: pathlib.Path, flags: int = 0) -> Iterator[None]:
        """Have them work for processes in a cgroup; whatever happens, no longer than this process lives."""
        links = []
        where = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for hook, fd in self._fds.items():
                packed = struct.pack("<IIIIQQ", fd, where, hook, flags, 0, 0)
                links.append(bpf(_LINK_CREATE, ctypes.create_string_buffer(packed, len(packed))))
            yield
        finally:
            for fd in (*links, where):
                os.close(fd)

    @property
    def ids(self) -> frozenset[int]:
        """Return the ids of its programs."""
        return frozenset(int(fdinfo(fd)["prog_id"]) for fd in self._fds.values())

    def close(self) -> None:
        """Free everything."""
        for fd in self._fds.values():
            os.close(fd)
        self._module.cleanup()
