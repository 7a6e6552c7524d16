"""What a test can need from the machine, and how to find out whether it is there."""

import ctypes
import errno
import functools
import os
import pathlib
import shutil
import struct
import subprocess
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tests import postgresql

Probe = Callable[[], str | None]
"""Returns None when the need is met, else the reason why not."""

_BPF_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}
_BPF_MAP_CREATE: Final = 0
_BPF_MAP_TYPE_ARRAY: Final = 2
_DEBIAN_PACKAGES: Final = pathlib.Path("/usr/lib/python3/dist-packages")


def _root() -> str | None:
    return None if os.geteuid() == 0 else "not root"


def _bpf() -> str | None:
    """Create the smallest possible map: the kernel's own answer, whatever the capabilities claim."""
    number = _BPF_SYSCALL.get(os.uname().machine)
    if number is None:
        return f"no bpf system call known for {os.uname().machine}"
    library = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("=5I", _BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0)
    descriptor = library.syscall(number, _BPF_MAP_CREATE, attributes, len(attributes))
    if descriptor < 0:
        return f"the kernel refuses BPF maps ({errno.errorcode.get(ctypes.get_errno(), 'unknown error')})"
    os.close(descriptor)
    return None


def _btf() -> str | None:
    return None if pathlib.Path("/sys/kernel/btf/vmlinux").exists() else "no /sys/kernel/btf/vmlinux"


def _bcc() -> str | None:
    return None if (_DEBIAN_PACKAGES / "bcc").is_dir() else "python3-bpfcc is not installed"


def _netns() -> str | None:
    """Make a network namespace that ends with its only process."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return "no `unshare` on this machine"
    made = subprocess.run([unshare, "--net", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else "network namespaces cannot be made here"


def _postgresql() -> str | None:
    return None if postgresql.directory() is not None else "no PostgreSQL server (postgresql) on this machine"


def _command(name: str) -> Probe:
    """Return a probe for an executable; the directories that only root has on its path count too."""

    def probe() -> str | None:
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
        return None if shutil.which(name, path=path) else f"no `{name}` on this machine"

    return probe


NEEDS: Final[Mapping[str, Probe]] = MappingProxyType(
    {
        "root": _root,
        "bpf": _bpf,
        "btf": _btf,
        "bcc": _bcc,
        "netns": _netns,
        "postgresql": _postgresql,
        **{
            command: _command(command)
            for command in (
                "promtool",
                "prometheus",
                "prometheus-alertmanager",
                "chromium",
                "nft",
                "ip",
                "conntrack",
                "clang-format",
                "setpriv",
                "unshare",
                "nsenter",
                "cc",
                "openssl",
            )
        },
    }
)
"""Every need that a test may name in `@pytest.mark.requires(...)`."""


@functools.cache
def missing(need: str) -> str | None:
    """Return why a need is not met here, or None; each need is looked at once per run."""
    return NEEDS[need]()
