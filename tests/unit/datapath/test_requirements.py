"""The verdicts of `netsre doctor`, from facts alone."""

import dataclasses
from typing import Any

import pytest

from netsre.datapath.requirements import (
    AGENT_CAPABILITIES,
    INVENTORY_CAPABILITIES,
    LAB_CAPABILITIES,
    Feature,
    NodeFacts,
    Refusal,
    Status,
    audit,
    overall,
)

GOOD = NodeFacts(
    kernel="6.1.0-18-amd64",
    machine="x86_64",
    uid=0,
    capabilities=frozenset((*AGENT_CAPABILITIES, *INVENTORY_CAPABILITIES, *LAB_CAPABILITIES)),
    bpf_error="",
    unprivileged_bpf_disabled="2",
    btf_bytes=5_000_000,
    bcc_binding=True,
    foreign_bcc=None,
    uapi_headers=True,
    tracefs="/sys/kernel/tracing",
    bpffs="/sys/fs/bpf",
    cgroup2="/sys/fs/cgroup",
    probes={"flows": None, "loads": None},
    conntrack_statistics=True,
    conntrack_limit=262144,
    netem=True,
    kprobes=True,
    tools=dict.fromkeys(("conntrack", "ip", "nft", "prometheus-alertmanager", "promtool"), True),
    taken_ports={},
)


_REFUSED = Refusal("load_failed", "verifier")


def judge(name: str, **changes: Any) -> Feature:
    """Return the verdict on one feature of a good node that differs in some facts."""
    (found,) = [f for f in audit(dataclasses.replace(GOOD, **changes)) if f.name == name]
    return found


def test_a_node_with_everything_is_ok() -> None:
    """Nothing is complained about, and nothing is to be mended."""
    features = audit(GOOD)
    assert overall(features) is Status.OK
    assert [f.name for f in features if f.status is not Status.OK or f.fix] == []


@pytest.mark.parametrize(
    ("name", "changes", "status", "word"),
    [
        ("kernel", {"kernel": "5.9.0"}, Status.OK, "5.9"),
        ("kernel", {"kernel": "5.8.19-generic"}, Status.NO, "5.8.19"),
        ("kernel", {"kernel": "4.19.0"}, Status.NO, "4.19"),
        ("kernel", {"kernel": "5.10.0"}, Status.OK, "5.10"),
        ("kernel", {"kernel": "custom"}, Status.DEGRADED, "custom"),
        ("architecture", {"machine": "aarch64"}, Status.DEGRADED, "not tested"),
        ("architecture", {"machine": "sparc"}, Status.NO, "sparc"),
        ("privileges", {"capabilities": frozenset()}, Status.NO, "CAP_BPF"),
        ("privileges", {"capabilities": frozenset(AGENT_CAPABILITIES)}, Status.DEGRADED, "CAP_SETUID"),
        ("bpf system call", {"bpf_error": "ENOSYS"}, Status.NO, "ENOSYS"),
        ("bpf system call", {"bpf_error": "EPERM"}, Status.NO, "EPERM"),
        ("bpf system call", {"unprivileged_bpf_disabled": "0"}, Status.OK, "open to unprivileged"),
        ("btf", {"btf_bytes": 0}, Status.NO, "vmlinux"),
        ("bcc", {"bcc_binding": False}, Status.NO, "missing"),
        ("bcc", {"foreign_bcc": "/venv/bcc"}, Status.OK, "/venv/bcc is an unrelated"),
        ("libc headers", {"uapi_headers": False}, Status.NO, "missing"),
        ("flow probe", {"probes": {"flows": _REFUSED}}, Status.NO, "load_failed: verifier"),
        ("flow probe", {"probes": {}}, Status.DEGRADED, "not tried"),
        ("probe loads", {"probes": {"flows": None, "loads": _REFUSED}}, Status.DEGRADED, "load_failed"),
        ("inventory", {"capabilities": frozenset()}, Status.DEGRADED, "CAP_SYS_ADMIN, CAP_SYS_PTRACE"),
        ("inventory", {"capabilities": frozenset(LAB_CAPABILITIES)}, Status.DEGRADED, "lacks CAP_SYS_PTRACE"),
        ("inventory", {}, Status.OK, "CAP_SYS_ADMIN, CAP_SYS_PTRACE"),
        ("flow log", {}, Status.OK, "its ring was made"),
        ("flow log", {"probes": {"flows": _REFUSED}}, Status.DEGRADED, "comes with the flow"),
        ("flow log", {"probes": {}}, Status.DEGRADED, "comes with the flow"),
        ("conntrack", {"conntrack_limit": None}, Status.DEGRADED, "not measured"),
        ("conntrack", {"conntrack_statistics": False}, Status.DEGRADED, "not measured"),
        ("lab", {"tools": {}}, Status.DEGRADED, "not tracked"),
        ("tracefs", {"tracefs": None}, Status.NO, "not mounted"),
        ("tool alertmanager", {"tools": {"nft": True}}, Status.NO, "optional"),
        ("tool promtool", {"tools": {"nft": True}}, Status.NO, "optional"),
        ("port 8600", {"taken_ports": {8600: "pid 7 (nginx)"}}, Status.DEGRADED, "pid 7 (nginx)"),
        ("netem", {"netem": None}, Status.NO, "not needed"),
        ("kprobes, fentry", {"kprobes": False}, Status.NO, "not needed"),
    ],
)
def test_every_fact_has_its_verdict(name: str, changes: dict[str, Any], status: Status, word: str) -> None:
    """One fact at a time differs from a good node, and the verdict names it."""
    found = judge(name, **changes)
    assert found.status is status
    assert word in found.reason


def test_what_is_refused_without_privileges_is_not_the_kernels_fault() -> None:
    """A plain user learns that the kernel was not really asked, and how to ask it."""
    found = judge("bpf system call", bpf_error="EPERM", capabilities=frozenset(), uid=1000)
    assert (found.status, found.fix) == (Status.DEGRADED, "sudo netsre doctor")


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": "4.4.0"},
        {"machine": "sparc"},
        {"capabilities": frozenset()},
        {"bpf_error": "ENOSYS"},
        {"btf_bytes": 0},
        {"bcc_binding": False},
        {"uapi_headers": False},
        {"probes": {"flows": Refusal("no_btf", "none")}},
    ],
)
def test_one_missing_requirement_is_a_no_with_a_way_out(changes: dict[str, Any]) -> None:
    """Each required thing alone makes the whole verdict `no`, and says what to do about it."""
    features = audit(dataclasses.replace(GOOD, **changes))
    assert overall(features) is Status.NO
    assert all(f.fix for f in features if f.required and f.status is Status.NO)


def test_what_nobody_needs_never_changes_the_verdict() -> None:
    """Optional tools, mounts and kernel features may all be absent."""
    changes: dict[str, Any] = {
        "netem": False,
        "kprobes": False,
        "tracefs": None,
        "bpffs": None,
        "cgroup2": None,
    }
    features = audit(dataclasses.replace(GOOD, tools={"nft": True}, **changes))
    assert overall(features) is Status.OK


def test_what_is_required_comes_first() -> None:
    """A reader of the first lines has seen everything that can stop the agent."""
    required = [f.required for f in audit(GOOD)]
    assert required == sorted(required, reverse=True)
    assert any(required)
    assert not all(required)
