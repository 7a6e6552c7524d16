"""What a node has, found out with the standard library alone: no root, no package, nothing changed.

The one thing that is tried for real, attaching the probes, is handed in by the caller.
"""

import contextlib
import ctypes
import errno
import gzip
import importlib.util
import os
import platform
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from netsre.datapath.mounts import first_of_each
from netsre.datapath.requirements import AGENT_CAPABILITIES, NodeFacts, Refusal

TOOLS: Final = ("conntrack", "ip", "nft", "prometheus-alertmanager", "promtool")

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DISTRIBUTION_PACKAGES: Final = Path("/usr/lib/python3/dist-packages")
_BPF_CALL: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_MAP_CREATE, _ARRAY = 0, 2
_MOUNTS: Final = Path("/proc/self/mounts")


def gather(
    capabilities: frozenset[str],
    attach: Callable[[], Mapping[str, Refusal | None]],
    taken_ports: Mapping[int, str],
) -> NodeFacts:
    """Look at this node. `attach` is called only with the capabilities that it needs."""
    tried = capabilities.issuperset(AGENT_CAPABILITIES)
    mounts = first_of_each(_MOUNTS.read_bytes() if _MOUNTS.exists() else b"")
    binding, foreign = _bcc()
    return NodeFacts(
        kernel=platform.release(),
        machine=platform.machine(),
        uid=os.geteuid(),
        capabilities=capabilities,
        bpf_error=_bpf_error(),
        unprivileged_bpf_disabled=_text("/proc/sys/kernel/unprivileged_bpf_disabled"),
        btf_bytes=_size("/sys/kernel/btf/vmlinux"),
        bcc_binding=binding,
        foreign_bcc=foreign,
        uapi_headers=Path("/usr/include/linux/bpf.h").exists(),
        tracefs=mounts.get("tracefs"),
        bpffs=mounts.get("bpf"),
        cgroup2=mounts.get("cgroup2"),
        probes=attach() if tried else {},
        conntrack_statistics=Path("/proc/net/stat/nf_conntrack").exists(),
        conntrack_limit=_number("/proc/sys/net/netfilter/nf_conntrack_max"),
        netem=_configured("CONFIG_NET_SCH_NETEM", "sch_netem"),
        kprobes=Path("/sys/bus/event_source/devices/kprobe").exists(),
        tools={name: shutil.which(name, path=_PATH) is not None for name in TOOLS},
        taken_ports=taken_ports,
    )


def _bpf_error() -> str:
    """Make the smallest map there is: the kernel's own answer, whatever its configuration says."""
    number = _BPF_CALL.get(platform.machine())
    if number is None:
        return errno.errorcode[errno.ENOSYS]
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("=5I", _ARRAY, 4, 4, 1, 0)
    descriptor = libc.syscall(ctypes.c_long(number), _MAP_CREATE, attributes, len(attributes))
    if descriptor < 0:
        return errno.errorcode.get(ctypes.get_errno(), "unknown error")
    os.close(descriptor)
    return ""


def _bcc() -> tuple[bool, str | None]:
    """Say whether the real binding is there, and where an unrelated package of that name is.

    Nothing is imported: the binding would stay in memory.
    """
    places = [_DISTRIBUTION_PACKAGES / "bcc"]
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec("bcc")
        places += [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    real = [place for place in places if (place / "libbcc.py").exists()]
    foreign = next((str(place) for place in places[1:] if place not in real), None)
    return bool(real), foreign


def _configured(option: str, module: str) -> bool | None:
    """Say whether the kernel has something built in or as a module; None when nothing tells."""
    release = platform.release()
    texts = [_text(f"/boot/config-{release}")]
    with contextlib.suppress(OSError, EOFError):
        texts.append(gzip.decompress(Path("/proc/config.gz").read_bytes()).decode(errors="replace"))
    for text in filter(None, texts):
        return any(line in {f"{option}=y", f"{option}=m"} for line in text.splitlines())
    listed = [_text(f"/lib/modules/{release}/{name}") for name in ("modules.builtin", "modules.dep")]
    known = [text for text in listed if text is not None]
    return any(f"/{module}.ko" in text for text in known) if known else None


def _text(path: str) -> str | None:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    return None


def _number(path: str) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdigit() else None


def _size(path: str) -> int:
    with contextlib.suppress(OSError):
        return Path(path).stat().st_size
    return 0
