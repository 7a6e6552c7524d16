"""What a kernel lacks, by what it said when it refused a program."""

import pytest

from netsre.datapath.loads import TYPES, LoadFailure
from netsre.datapath.missing import helpers, missing

KNOWN = {number: f"BPF_PROG_TYPE_{name.upper()}" for number, name in enumerate(TYPES) if name != "netfilter"}
"""The types of a kernel before 6.4."""


def refused(log: str, error: str = "EINVAL", kind: str = "xdp") -> LoadFailure:
    """Return a load that failed."""
    return LoadFailure(1, 5, 7, 100, 0, "cni", "prog", kind, error, log, 0)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (refused("0: R1=ctx()\ninvalid func unknown#181\n"), "bpf_loop (kernel 5.17)"),
        (refused("invalid func unknown#999"), "helper 999"),
        (
            refused("unknown func bpf_sk_assign#124\nprocessed 3 insns"),
            "bpf_sk_assign in programs of type xdp",
        ),
        (
            refused("program of this type cannot use helper bpf_sk_assign#124"),
            "bpf_sk_assign in programs of type xdp",
        ),
        (
            refused("calling kernel function bpf_xdp_ct_alloc is not allowed", "EACCES"),
            "bpf_xdp_ct_alloc in programs of type xdp",
        ),
        (refused("unknown opcode 06"), "instruction 06"),
        (refused("", kind="netfilter"), "programs of type netfilter (kernel 6.4)"),
        (refused("", kind="other"), "programs of type other"),
    ],
)
def test_what_the_kernel_says_names_what_it_lacks(failure: LoadFailure, expected: str) -> None:
    """With the first kernel that has it, where that is known."""
    assert missing(failure, KNOWN) == expected


@pytest.mark.parametrize(
    "failure",
    [
        refused("R2 !read_ok", "EACCES"),
        refused("; invalid func unknown#181 is what a comment in a source may say"),
        refused("invalid func unknown#181", "ENOMEM"),
        refused("BPF program is too large. Processed 1000001 insn", "E2BIG"),
        refused(""),
        refused("", "EPERM", "netfilter"),
        refused("", "EACCES", "netfilter"),
    ],
)
def test_a_program_that_is_wrong_lacks_nothing(failure: LoadFailure) -> None:
    """Nor does one whose kernel did not come to say anything."""
    assert missing(failure, KNOWN) == ""


def test_without_type_information_no_type_is_missing() -> None:
    """And a newer kernel may well have what has no name here."""
    newer = {**KNOWN, 32: "BPF_PROG_TYPE_NETFILTER", 33: "BPF_PROG_TYPE_LATER"}

    assert missing(refused("", kind="netfilter"), {}) == ""
    assert missing(refused("", kind="other"), newer) == ""


def test_helpers_are_numbered_without_a_gap() -> None:
    """From the first that the oldest kernel may lack to the last that there will be."""
    numbers = [number for number, _, _ in helpers()]

    assert numbers == list(range(142, 212))
