"""Running the loader: a process of its own with a compiler in it, which answers once and is gone."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from netsre.errors import EnvironmentUnfit

TIMEOUT_SECONDS: Final = 90.0
_MESSAGE_BYTES: Final = 1 << 17
_DESCRIPTORS: Final = 253
"""The kernel passes no more in one message."""
_COMPLAINT_BYTES: Final = 1 << 20
"""Of what the loader says beside its reply, this much is read; the first error is at the front."""


class Answer(NamedTuple):
    """What a loader says, the descriptors that it hands over, and what it complained of beside that."""

    document: Mapping[str, Any]
    fds: list[int]
    complaint: str


class ProbeUnfit(EnvironmentUnfit):
    """A probe cannot run here; `reason` is the short word for metrics."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the named reason beside the sentence."""
        self.reason = reason
        super().__init__(message)


@contextlib.contextmanager
def loading(source: Path, parts: Sequence[str], timeout: float) -> Iterator[Callable[[], Answer]]:
    """Run a loader for some parts, and yield what waits for its answer, or raises `ProbeUnfit`."""
    # Whole messages only, and a memory file for what is said beside them: a pipe that nobody reads fills up.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(timeout)
    with (
        ours,
        theirs,
        os.fdopen(os.memfd_create("loader"), "w+b") as complaints,
        _loader(theirs, source, parts, complaints.fileno()) as process,
    ):
        theirs.close()

        def answer() -> Answer:
            try:
                message, fds, _, _ = socket.recv_fds(ours, _MESSAGE_BYTES, _DESCRIPTORS)
            except TimeoutError:
                message, fds = b"", []
                ending = f"did not answer within {timeout:.0f} s and was ended"
            else:
                ending = "ended without a word"
            # It has said everything that it has to say, or never will.
            process.kill()
            process.wait()
            complaints.seek(0)
            complaint = complaints.read(_COMPLAINT_BYTES).decode(errors="replace")
            return Answer(_document(message, complaint, ending), fds, complaint)

        yield answer


@contextlib.contextmanager
def _loader(
    channel: socket.socket, source: Path, parts: Sequence[str], complaints: int
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "BCC_KERNEL_SOURCE": str(source / "shim"),
    }
    # -P: it runs as root, and the directory that somebody happens to stand in may be anybody's.
    module = (sys.executable, "-P", "-m", "netsre.adapters.bpf.loader")
    command = [*module, str(channel.fileno()), str(source), str(os.getpid()), *parts]
    with subprocess.Popen(  # our own interpreter and module
        command,
        env=environment,
        pass_fds=[channel.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _document(message: bytes, complaint: str, ending: str) -> Mapping[str, Any]:
    if not message:
        last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
        raise ProbeUnfit("load_failed", f"the BPF loader {ending}: {last[0]}")
    document: dict[str, Any] = json.loads(message)
    if "reason" in document:
        raise unfit(document, complaint)
    return document


def unfit(refusal: Mapping[str, Any], complaint: str, source: str = "") -> ProbeUnfit:
    """Return why a probe cannot run, with what the compiler said about its source, or else first."""
    detail = _first_complaint(complaint, source)
    return ProbeUnfit(str(refusal["reason"]), str(refusal["message"]) + (f" ({detail})" if detail else ""))


def _first_complaint(complaint: str, source: str) -> str:
    """Return the line of the compiler or verifier that a person should read first.

    With a source, one about that file if there is any: several are compiled by one loader.
    """
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    grave = [line for line in lines if any(word in line for word in ("error:", "not permitted", "denied"))]
    about = [line for line in grave if line.startswith(f"{source}:")] if source else []
    return next(iter((*about, *grave, *lines[-1:])), "")
