"""Events of the flow log: their bytes against the C header, their lines, and which lines are wanted."""

import ipaddress
import json
import re
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from netsre.app.resources import directory
from netsre.app.schemas import published
from netsre.conventions import OTHER
from netsre.datapath import flow_filter, flow_lines, flow_log
from netsre.datapath.block import source_key
from netsre.datapath.flow_filter import Wanted
from netsre.datapath.flow_log import FlowEvent, Vocabulary
from netsre.datapath.flows import TCP_SERVER, Attempt

_PROGRAM = """
#include <stddef.h>
#include <stdio.h>
#include <linux/types.h>
#include "flow_log.h"
#define FIELD(type, field) printf("%s.%s %zu %zu\\n", #type, #field, offsetof(struct type, field), \\
    sizeof(((struct type *)0)->field))
#define SIZE(type) printf("%s %zu\\n", #type, sizeof(struct type))
int main(void) {
  FIELD(flow_log_switch, on); FIELD(flow_log_switch, one_in); SIZE(flow_log_switch);
  FIELD(flow_event, end_ns); FIELD(flow_event, start_ns); FIELD(flow_event, local);
  FIELD(flow_event, cgroup); FIELD(flow_event, workload);
  FIELD(flow_event, remote); FIELD(flow_event, netns); FIELD(flow_event, one_in);
  FIELD(flow_event, local_port); FIELD(flow_event, remote_port); FIELD(flow_event, outcome);
  FIELD(flow_event, error); FIELD(flow_event, destination); FIELD(flow_event, remote_known);
  FIELD(flow_event, role); FIELD(flow_event, drop);
  SIZE(flow_event);
  FIELD(flow_log_stall, sock); FIELD(flow_log_stall, start_ns); FIELD(flow_log_stall, end_ns);
  FIELD(flow_log_stall, netns); FIELD(flow_log_stall, outcome); FIELD(flow_log_stall, destination);
  FIELD(flow_log_stall, local); FIELD(flow_log_stall, drop);
  FIELD(flow_log_stall, cgroup); FIELD(flow_log_stall, workload);
  SIZE(flow_log_stall);
  return 0;
}
"""
_EXPECTED = """\
flow_log_switch.on 0 4
flow_log_switch.one_in 4 4
flow_log_switch 8
flow_event.end_ns 0 8
flow_event.start_ns 8 8
flow_event.local 24 16
flow_event.cgroup 16 8
flow_event.workload 60 4
flow_event.remote 40 16
flow_event.netns 56 4
flow_event.one_in 64 4
flow_event.local_port 68 2
flow_event.remote_port 70 2
flow_event.outcome 72 1
flow_event.error 73 1
flow_event.destination 74 1
flow_event.remote_known 75 1
flow_event.role 76 1
flow_event.drop 78 2
flow_event 80
flow_log_stall.sock 0 8
flow_log_stall.start_ns 8 8
flow_log_stall.end_ns 16 8
flow_log_stall.netns 32 8
flow_log_stall.outcome 48 8
flow_log_stall.destination 56 8
flow_log_stall.local 64 16
flow_log_stall.drop 80 8
flow_log_stall.cgroup 24 8
flow_log_stall.workload 40 8
flow_log_stall 88
"""
REFUSED = FlowEvent(
    2_000_000_123,
    1_000_000_000,
    77,
    "failed",
    "refused",
    "private",
    source_key("10.0.0.1"),
    40_000,
    source_key("10.0.0.2"),
    443,
    1,
)
EPOCH = 1_767_225_600 * 10**9
"""2026 begins."""


@pytest.mark.requires("cc")
def test_the_header_has_the_layout_that_the_reader_decodes(tmp_path: Path) -> None:
    """Sizes and offsets as the compiler sees them, and the reader's formats of the same sizes."""
    source = tmp_path / "layout.c"
    source.write_text(_PROGRAM, encoding="ascii")
    include = directory("bpf") / "include"
    subprocess.run(["cc", f"-I{include}", "-o", tmp_path / "layout", source], check=True)
    printed = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout

    assert printed == _EXPECTED
    assert [each.size for each in (flow_log.SWITCH, flow_log.EVENT, flow_log.STALL)] == [8, 80, 88]


def test_an_event_is_decoded_field_by_field() -> None:
    """Distinct bytes in every field end where they belong."""
    local, remote = bytes(range(16)), bytes(range(16, 32))
    raw = flow_log.EVENT.pack(9, 8, 17, local, remote, 7, 3, 6, 5, 4, 1, 111, 3, 1, 2, 12)

    assert flow_log.decode(raw, Vocabulary({})) == FlowEvent(
        9, 8, 7, "failed", "refused", "public", local, 5, remote, 4, 6, 17, 3, TCP_SERVER
    )


def test_the_other_end_of_a_socket_that_is_somebody_elses_is_not_known() -> None:
    """What stood there is in the bytes, and nowhere else."""
    raw = flow_log.EVENT.pack(9, 8, 17, bytes(range(16)), bytes(range(16)), 7, 3, 1, 5, 4, 2, 0, 3, 0, 0, 12)
    event = flow_log.decode(raw, Vocabulary({12: "netfilter_drop"}))

    assert (event.reason, event.local) == ("dropped:netfilter_drop", bytes(range(16)))
    assert (event.local_port, event.remote, event.remote_port) == (0, bytes(16), 0)


def test_the_kernel_is_asked_for_a_stall_in_the_order_of_the_header() -> None:
    """Eleven words: the two of the address as they stand in memory."""
    attempt = Attempt(1, 2, 3, "private", bytes(range(16)), cgroup=17, workload=5, drop=12)
    asked = flow_log.stall_arguments(attempt, 4, denied=True)
    words = [int.from_bytes(asked[at : at + 8], "little") for at in range(0, 64, 8)]

    assert words == [1, 2, 4, 17, 3, 5, 3, 2]
    assert asked[64:80] == bytes(range(16))
    assert int.from_bytes(asked[80:], "little") == 12


def test_a_line_says_everything_in_a_fixed_form() -> None:
    """As it stands in the file, to the byte; and read again it says the same."""
    line = flow_lines.line(REFUSED, "lab", "private", EPOCH)
    read = flow_lines.parse(line.rstrip(b"\n"))

    assert line == (
        b'{"time":"2026-01-01T00:00:02.000000123Z","kind":"flow","direction":"egress",'
        b'"src":{"name":"lab","ip":"10.0.0.1","port":40000},'
        b'"dst":{"name":"private","ip":"10.0.0.2","port":443},"protocol":"tcp","outcome":"failed",'
        b'"reason":"refused","verdict":"allowed","latency_seconds":1.000000123,"sampling":1}\n'
    )
    assert read.src == flow_lines.End("lab", ipaddress.ip_address("10.0.0.1"), 40_000)
    assert read.dst == flow_lines.End("private", ipaddress.ip_address("10.0.0.2"), 443)
    assert (read.outcome, read.reason, read.latency) == ("failed", "refused", Decimal("1.000000123"))
    assert read.text == line.decode().rstrip("\n")


def test_a_line_from_elsewhere_has_the_client_as_its_source() -> None:
    """Whoever is here is the destination; what is not known of a client is null all the same."""
    event = REFUSED._replace(role=TCP_SERVER, local_port=443, remote_port=40_000, start_ns=0)
    read = flow_lines.parse(flow_lines.line(event, "private", "web", EPOCH).rstrip(b"\n"))

    assert (read.direction, read.latency) == ("ingress", None)
    assert read.src == flow_lines.End("private", ipaddress.ip_address("10.0.0.2"), 40_000)
    assert read.dst == flow_lines.End("web", ipaddress.ip_address("10.0.0.1"), 443)


EVENTS = (
    REFUSED,
    FlowEvent(1, 0, 0, "failed", "abandoned", OTHER, source_key("::1"), 0, bytes(16), 0, 1),
    FlowEvent(5, 9, 1, "delivered", "none", "public", source_key("2001:db8::1"), 1, source_key("::"), 1, 100),
    FlowEvent(5, 2, 1, "denied", "blocked", "loopback", bytes(16), 1, source_key("127.0.0.1"), 65_535, 1),
)


@pytest.mark.parametrize("event", EVENTS, ids=[event.reason for event in EVENTS])
@pytest.mark.parametrize("name", ["host", "100 %s%", 'a"b\\c\n\x1b[2J\u202e\u009b', "…" * 64])
def test_every_line_is_of_the_published_schema_and_plain_text(event: FlowEvent, name: str) -> None:
    """Also of what is not known, and under a name that somebody chose to do harm."""
    line = flow_lines.line(event, name, "private", EPOCH)
    found = json.loads(line)

    jsonschema.validate(found, published.record_schemas()["flow.json"])
    assert found["src"]["name"] == name
    assert line.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in line[:-1])
    assert flow_lines.parse(line[:-1]).src.name == name
    assert len(line) < flow_lines.LONGEST


def test_the_page_explains_every_field_and_no_other() -> None:
    """In the words of the schema's keys, an end's with a dot."""
    page = (directory("bpf").parent / "docs" / "flows.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([a-z_.]+)` \|.*\|.*\|$", page, re.MULTILINE)
    keys = published.record_schemas()["flow.json"]["properties"]
    expected = [
        f"{key}.{part}" if part else key
        for key, schema in keys.items()
        for part in schema.get("properties", {"": None})
    ]

    assert documented == expected


def test_what_is_not_known_is_null_and_never_zero() -> None:
    """Neither a port 0 nor the address :: nor a latency of nothing."""
    [_, unknown, odd, denied] = [json.loads(flow_lines.line(event, "x", "y", EPOCH)) for event in EVENTS]

    assert (unknown["dst"]["ip"], unknown["dst"]["port"], unknown["latency_seconds"]) == (None, None, None)
    assert unknown["src"]["port"] is None
    assert (odd["latency_seconds"], odd["sampling"]) == (0, 100)
    assert denied["verdict"] == "denied"


@pytest.mark.parametrize("cut", range(1, 300, 7))
def test_no_part_of_a_line_is_a_record(cut: int) -> None:
    """Wherever a crash cut it, with the mark behind it or without."""
    line = flow_lines.line(REFUSED, "lab", "private", EPOCH).rstrip(b"\n")
    for torn in (line[:cut], line[cut:], line + b"!"):
        with pytest.raises(ValueError):  # noqa: PT011  json's own among them
            flow_lines.parse(torn)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "alert"},
        {"time": "yesterday"},
        {"outcome": "\x1b[31m"},
        {"reason": 7},
        {"src": None},
        {"dst": {"name": "private", "ip": "10.0.0.256", "port": 1}},
        {"dst": {"name": "private", "ip": "10.0.0.2", "port": 70_000}},
        {"dst": {"name": "private", "ip": "10.0.0.2", "port": True}},
        {"latency_seconds": "1"},
        {"latency_seconds": float("nan")},
        {"sampling": 0},
        {"src": {"name": "x" * 5_000, "ip": None, "port": None}},
    ],
    ids=lambda change: repr(change)[:70],
)
def test_what_is_no_record_is_refused(change: dict[str, Any]) -> None:
    """A file can be anybody's work by the time it is read."""
    found = json.loads(flow_lines.line(REFUSED, "lab", "private", EPOCH)) | change
    with pytest.raises(ValueError):  # noqa: PT011
        flow_lines.parse(json.dumps(found).encode())


def test_a_line_that_is_read_is_passed_on_in_plain_ascii() -> None:
    """Whatever its bytes were: a terminal obeys none of them, and JSON it stays."""
    line = (
        flow_lines.line(REFUSED, "lab", "private", EPOCH)
        .rstrip(b"\n")
        .replace(b"lab", "\x7f\u009b2J\u202eß".encode())
    )
    read = flow_lines.parse(line)

    assert all(" " <= char <= "~" for char in read.text)
    assert json.loads(read.text)["src"]["name"] == "\x7f\u009b2J\u202eß"


@pytest.mark.parametrize(
    ("wanted", "match"),
    [
        (Wanted(), True),
        (Wanted(outcomes=flow_filter.outcomes("failed,denied")), True),
        (Wanted(outcomes=flow_filter.outcomes("delivered")), False),
        (Wanted(reasons=flow_filter.reasons("stalled, refused")), True),
        (Wanted(reasons=flow_filter.reasons("stalled")), False),
        (Wanted(reasons=flow_filter.reasons("dropped,dropped:netfilter_drop")), False),
        (Wanted(directions=flow_filter.directions("egress,ingress")), True),
        (Wanted(directions=flow_filter.directions("ingress")), False),
        (Wanted(src=flow_filter.ends("lab")), True),
        (Wanted(src=flow_filter.ends("la*")), True),
        (Wanted(src=flow_filter.ends("b*")), False),
        (Wanted(src=flow_filter.ends("10.0.0.1")), True),
        (Wanted(src=flow_filter.ends("10.0.0.2")), False),
        (Wanted(dst=flow_filter.ends("10.0.0.9/29")), False),
        (Wanted(dst=flow_filter.ends("10.0.0.1/29")), True),
        (Wanted(dst=flow_filter.ends("::/0")), False),
        (Wanted(dst=flow_filter.ends("private")), True),
        (Wanted(port=flow_filter.port("443")), True),
        (Wanted(port=flow_filter.port("40000")), False),
        (Wanted(since="2026-01-01T00:00:02.000000123Z"), True),
        (Wanted(since="2026-01-01T00:00:02.000000124Z"), False),
    ],
)
def test_a_line_is_wanted_by_what_it_says(wanted: Wanted, match: bool) -> None:
    """By outcome, reason, direction, either end, port and time."""
    assert (
        wanted.match(flow_lines.parse(flow_lines.line(REFUSED, "lab", "private", EPOCH).rstrip(b"\n")))
        is match
    )


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (flow_filter.outcomes, "faild", "'faild' is not an outcome; did you mean 'failed'?"),
        (flow_filter.reasons, "", "'' is not a reason; known: "),
        (flow_filter.ends, "", "it is empty"),
        (flow_filter.ends, "10.0.0.0/33", "'10.0.0.0/33' is no network"),
        (flow_filter.port, "0", "'0' is no port"),
        (flow_filter.port, "65536", "'65536' is no port"),
        (flow_filter.port, "4430000443", "'4430000443' is no port"),
        (flow_filter.port, "²", "'²' is no port"),
    ],
)
def test_a_wish_that_means_nothing_is_answered_with_what_does(
    read: Callable[[str], object], text: str, said: str
) -> None:
    """The word as it was written, and the nearest one that is known."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  its words are compared
        read(text)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("dropped", True),
        ("dropped:netfilter_drop", True),
        ("stalled,dropped:neigh_failed,dropped:netfilter_drop", True),
        ("dropped:neigh_failed", False),
        ("stalled", False),
    ],
)
def test_drops_are_wanted_by_the_kernels_word_or_all_together(text: str, match: bool) -> None:
    """`dropped` is every word of the kernel's."""
    event = REFUSED._replace(reason="dropped:netfilter_drop")
    line = flow_lines.parse(flow_lines.line(event, "lab", "private", EPOCH).rstrip())

    assert Wanted(reasons=flow_filter.reasons(text)).match(line) is match
