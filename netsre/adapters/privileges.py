"""The system calls that give privileges away: users, capabilities, and dying with the parent.

Capabilities and `no_new_privs` belong to a thread, so all of these refuse to run beside a second thread.
"""

import contextlib
import ctypes
import os
import pwd
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.errors import BadInput, EnvironmentUnfit

PR_SET_PDEATHSIG: Final = 1
PR_GET_PDEATHSIG: Final = 2
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
CAPABILITY_VERSION_3: Final = 0x20080522

# In the order of their numbers; linux/capability.h.
CAPABILITIES: Final = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """An account of this machine."""

    name: str
    uid: int
    gid: int


def find_user(name: str) -> ServiceUser:
    """Look an account up; an unknown one raises `BadInput`."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        message = f"user {name!r} does not exist on this machine; create it, or name another with --user"
        raise BadInput(message) from None
    return ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def default_user() -> ServiceUser:
    """Return the account for unprivileged work: `netsre` where it exists, else `nobody`."""
    try:
        return find_user("netsre")
    except BadInput:
        return find_user("nobody")


def die_with_parent(expected_parent_pid: int, sig: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `sig` to this process when its parent's thread ends, however it ends.

    Ends this process at once when the parent is already gone, because then the signal would never come.
    """
    _prctl(PR_SET_PDEATHSIG, sig)
    if os.getppid() != expected_parent_pid:
        os.kill(os.getpid(), sig)


@contextlib.contextmanager
def as_group(gid: int | None) -> Iterator[None]:
    """Have the whole process make files of a group for a moment; None changes nothing."""
    if gid is None:
        yield
        return
    before = os.getegid()
    with _death_wish_kept():
        os.setegid(gid)
    try:
        yield
    finally:
        with _death_wish_kept():
            os.setegid(before)


def drop_to(user: ServiceUser) -> None:
    """Become `user` for good: no groups, no capabilities, no way to gain any; proven before it returns.

    Raises `EnvironmentUnfit` when it cannot be done; the process must then end.
    """
    _refuse_threads("drop privileges")
    with _death_wish_kept():
        if os.geteuid() == 0:
            _shrink_bounding_set(frozenset())
            os.setgroups([])
        elif os.getresuid() != (user.uid,) * 3:
            message = (
                f"cannot become user {user.name!r} from uid {os.geteuid()}: start as root or as that user"
            )
            raise EnvironmentUnfit(message)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    _set_capabilities(0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prove_dropped(user)


@contextlib.contextmanager
def _death_wish_kept() -> Iterator[None]:
    """Wish anew to die with the parent: the kernel forgets it when a process changes its user or group."""
    wish = ctypes.c_int(0)
    _prctl(PR_GET_PDEATHSIG, ctypes.addressof(wish))
    parent = os.getppid()
    yield
    if wish.value:
        die_with_parent(parent, signal.Signals(wish.value))


def limit_capabilities(keep: Iterable[str]) -> None:
    """Keep the user, give every capability away but those named (`BPF`, `NET_ADMIN`, …), for good.

    Programs started later get no more than these either. An unknown name raises `ValueError`.
    """
    numbers = frozenset(_number(name) for name in keep)
    _refuse_threads("limit capabilities")
    mask = sum(1 << number for number in numbers)
    missing = mask & ~_status_mask("CapPrm")
    if missing:
        message = f"capabilities {', '.join(_names(missing))} are missing: start as root, or grant them"
        raise EnvironmentUnfit(message)
    unwanted = _names(_status_mask("CapBnd") & ~mask)
    if unwanted and "SETPCAP" not in effective_capabilities():
        message = f"CAP_SETPCAP is missing, which giving away {', '.join(unwanted)} takes: start as root"
        raise EnvironmentUnfit(f"{message}, grant it, or take these out of the bounding set")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    _shrink_bounding_set(numbers)
    _set_capabilities(mask)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    for field in ("CapEff", "CapPrm", "CapBnd"):
        if excess := _names(_status_mask(field) & ~mask):
            message = f"the kernel kept {', '.join(excess)} in {field}; refusing to go on"
            raise EnvironmentUnfit(message)


def effective_capabilities() -> frozenset[str]:
    """Return the names of the capabilities that this process can use now."""
    return frozenset(_names(_status_mask("CapEff")))


def _prove_dropped(user: ServiceUser) -> None:
    """Try to come back; a drop that can be undone is worth nothing."""
    if user.uid != 0:
        try:
            os.setresuid(0, 0, 0)
        except PermissionError:
            pass
        else:
            message = f"dropping to user {user.name!r} could be undone; refusing to go on"
            raise EnvironmentUnfit(message)
    kept = [field for field in ("CapEff", "CapPrm", "CapInh", "CapAmb") if _status_mask(field)]
    if kept or os.getresuid() != (user.uid,) * 3 or os.getresgid() != (user.gid,) * 3:
        message = f"user {user.name!r} kept {', '.join(kept) or 'an id'} after the drop; refusing to go on"
        raise EnvironmentUnfit(message)


def _shrink_bounding_set(keep: frozenset[int]) -> None:
    """Drop from the bounding set what is not kept; it ends at the first number the kernel does not know."""
    number = 0
    while _libc.prctl(PR_CAPBSET_READ, ctypes.c_ulong(number), 0, 0, 0) >= 0:
        if number not in keep and _libc.prctl(PR_CAPBSET_READ, ctypes.c_ulong(number), 0, 0, 0) == 1:
            _prctl(PR_CAPBSET_DROP, number)
        number += 1


def _set_capabilities(mask: int) -> None:
    """Make the mask both what is used and what could be; nothing is passed on by inheritance."""
    header = _Header(CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    words = (_Sets * 2)(_Sets(low, low, 0), _Sets(high, high, 0))
    if _libc.capset(ctypes.byref(header), words) != 0:
        _fail("capset")


def _status_mask(field: str) -> int:
    for line in Path("/proc/thread-self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1], 16)
    return 0


def _names(mask: int) -> list[str]:
    known = [name for number, name in enumerate(CAPABILITIES) if mask >> number & 1]
    return known + [f"CAP_{number}" for number in range(len(CAPABILITIES), 64) if mask >> number & 1]


def _number(name: str) -> int:
    return CAPABILITIES.index(name.upper().removeprefix("CAP_"))


def _refuse_threads(wish: str) -> None:
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:
        message = f"cannot {wish} while {threads} threads run: do it before any thread is started"
        raise EnvironmentUnfit(message)


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) < 0:
        _fail(f"prctl({option}, {argument})")


def _fail(call: str) -> None:
    code = ctypes.get_errno()
    message = f"{call} failed: {os.strerror(code)}; the system forbids giving privileges away here"
    raise EnvironmentUnfit(message)
