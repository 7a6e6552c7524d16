"""The reader's layouts against the C header, compiled here by the host's compiler."""

import subprocess
from pathlib import Path

import pytest

from netsre.app.resources import directory
from netsre.datapath import block, drops, flow_log, flows, loads, services, tcp, udp, workloads

_PROGRAM = """
#include <stddef.h>
#include <stdio.h>
#include <linux/types.h>
#include "block.h"
#include "common.h"
#include "drops.h"
#include "flows.h"
#include "loads.h"
#include "services.h"
#include "tcp.h"
#include "udp.h"
#define FIELD(type, field) printf("%s.%s %zu %zu\\n", #type, #field, offsetof(struct type, field), \\
    sizeof(((struct type *)0)->field))
#define SIZE(type) printf("%s %zu\\n", #type, sizeof(struct type))
int main(void) {
  FIELD(attempt, start_ns); FIELD(attempt, cgroup); FIELD(attempt, netns); FIELD(attempt, workload);
  FIELD(attempt, start_tick); FIELD(attempt, destination); FIELD(attempt, drop);
  FIELD(attempt, source); SIZE(attempt);
  FIELD(workload_key, bits); FIELD(workload_key, port); FIELD(workload_key, address); SIZE(workload_key);
  FIELD(stall_claim, sock); FIELD(stall_claim, start_ns); SIZE(stall_claim);
  FIELD(flow_key, cgroup); FIELD(flow_key, netns); FIELD(flow_key, workload);
  FIELD(flow_key, outcome); FIELD(flow_key, error); FIELD(flow_key, destination);
  FIELD(flow_key, bucket); FIELD(flow_key, role); FIELD(flow_key, drop); SIZE(flow_key);
  FIELD(denial, since_ns); FIELD(denial, until_ns); SIZE(denial);
  FIELD(refusal, at_ns); FIELD(refusal, local); FIELD(refusal, remote); FIELD(refusal, netns);
  FIELD(refusal, workload); FIELD(refusal, local_port); FIELD(refusal, remote_port);
  FIELD(refusal, destination); SIZE(refusal);
  FIELD(drops, packets); FIELD(drops, bytes); SIZE(drops);
  FIELD(block, deadline_ns); FIELD(block, slot); SIZE(block); SIZE(source); SIZE(source_address);
  FIELD(flow_value, count); FIELD(flow_value, sum_ns); SIZE(flow_value);
  FIELD(load_reader, device); FIELD(load_reader, inode); FIELD(load_reader, process); SIZE(load_reader);
  FIELD(load_key, command); FIELD(load_key, type); FIELD(load_key, error); SIZE(load_key);
  FIELD(load_value, count); FIELD(load_value, last_at_ns); FIELD(load_value, last_ns);
  FIELD(load_value, last_instructions); SIZE(load_value);
  FIELD(load_failure, number); FIELD(load_failure, at_ns); FIELD(load_failure, duration_ns);
  FIELD(load_failure, type); FIELD(load_failure, error); FIELD(load_failure, process);
  FIELD(load_failure, user); FIELD(load_failure, command); FIELD(load_failure, name);
  FIELD(load_failure, text_bytes); FIELD(load_failure, text_at); FIELD(load_failure, text);
  FIELD(load_failure, number_again); SIZE(load_failure);
  printf("outcomes %d %d %d %d %d\\n", FLOW_DELIVERED, FLOW_FAILED, FLOW_STALLED, FLOW_DENIED,
    FLOW_OUTCOMES);
  printf("roles %d %d %d %d\\n", FLOW_TCP_CLIENT, FLOW_UDP_CLIENT, FLOW_TCP_SERVER,
    FLOW_ROLES);
  FIELD(tcp_key, cgroup); FIELD(tcp_key, netns); FIELD(tcp_key, event);
  FIELD(tcp_key, detail); FIELD(tcp_key, direction); FIELD(tcp_key, destination); SIZE(tcp_key);
  FIELD(tcp_value, count); FIELD(tcp_value, sum_ns); SIZE(tcp_value);
  FIELD(drop_key, netns); FIELD(drop_key, reason); SIZE(drop_key);
  printf("tcp_end %d\\n", DROP_TCP_END);
  FIELD(service_key, address); FIELD(service_key, port); FIELD(service_key, protocol); SIZE(service_key);
  FIELD(service_count_key, service); FIELD(service_count_key, path); SIZE(service_count_key);
  printf("paths %d %d %d\\n", SERVICE_PATH_BPF, SERVICE_PATH_OTHER, SERVICE_PATHS);
  printf("events %d %d %d %d %d\\n", TCP_EVENT_RETRANSMIT, TCP_EVENT_RESET_SENT, TCP_EVENT_RESET_SEEN,
    TCP_EVENT_RTT, TCP_EVENTS);
  printf("details %d %d %d %d %d %d\\n", TCP_RETRANSMIT_DATA, TCP_RETRANSMIT_SYN, TCP_RETRANSMIT_SYN_ACK,
    TCP_RESET_REFUSED, TCP_RESET_BROKEN, TCP_DETAILS);
  FIELD(udp_conversation, start_ns); FIELD(udp_conversation, answered_ns); FIELD(udp_conversation, error_ns);
  FIELD(udp_conversation, cgroup); FIELD(udp_conversation, local); FIELD(udp_conversation, remote);
  FIELD(udp_conversation, netns); FIELD(udp_conversation, workload); FIELD(udp_conversation, remote_port);
  FIELD(udp_conversation, local_port); FIELD(udp_conversation, destination); SIZE(udp_conversation);
  FIELD(udp_peer, cookie); FIELD(udp_peer, address); FIELD(udp_peer, port); SIZE(udp_peer);
  FIELD(udp_socket, first); FIELD(udp_socket, role); FIELD(udp_socket, peers); SIZE(udp_socket);
  printf("sides %d %d\\n", UDP_CLIENT, UDP_SERVER);
  printf("directions %d %d %d\\n", TCP_DIRECTION_OTHER, TCP_DIRECTION_EGRESS, TCP_DIRECTION_INGRESS);
  printf("destinations %d %d %d %d\\n", DST_OTHER, DST_LOOPBACK, DST_PRIVATE, DST_PUBLIC);
  return 0;
}
"""

_EXPECTED = """\
attempt.start_ns 0 8
attempt.cgroup 8 8
attempt.netns 16 4
attempt.workload 20 4
attempt.start_tick 24 4
attempt.destination 28 1
attempt.drop 30 2
attempt.source 32 16
attempt 48
workload_key.bits 0 4
workload_key.port 4 2
workload_key.address 8 16
workload_key 24
stall_claim.sock 0 8
stall_claim.start_ns 8 8
stall_claim 16
flow_key.cgroup 0 8
flow_key.netns 8 4
flow_key.workload 12 4
flow_key.outcome 16 1
flow_key.error 17 1
flow_key.destination 18 1
flow_key.bucket 19 1
flow_key.role 20 1
flow_key.drop 22 2
flow_key 24
denial.since_ns 0 8
denial.until_ns 8 8
denial 16
refusal.at_ns 0 8
refusal.local 8 16
refusal.remote 24 16
refusal.netns 40 4
refusal.workload 44 4
refusal.local_port 48 2
refusal.remote_port 50 2
refusal.destination 52 1
refusal 56
drops.packets 0 8
drops.bytes 8 8
drops 16
block.deadline_ns 0 8
block.slot 8 4
block 16
source 16
source_address 16
flow_value.count 0 8
flow_value.sum_ns 8 8
flow_value 16
load_reader.device 0 8
load_reader.inode 8 8
load_reader.process 16 4
load_reader 24
load_key.command 0 16
load_key.type 16 4
load_key.error 20 4
load_key 24
load_value.count 0 8
load_value.last_at_ns 8 8
load_value.last_ns 16 8
load_value.last_instructions 24 8
load_value 32
load_failure.number 0 8
load_failure.at_ns 8 8
load_failure.duration_ns 16 8
load_failure.type 24 4
load_failure.error 28 4
load_failure.process 32 4
load_failure.user 36 4
load_failure.command 40 16
load_failure.name 56 16
load_failure.text_bytes 72 4
load_failure.text_at 76 4
load_failure.text 80 4096
load_failure.number_again 4176 8
load_failure 4184
outcomes 0 1 2 3 4
roles 0 1 2 3
tcp_key.cgroup 0 8
tcp_key.netns 8 4
tcp_key.event 12 1
tcp_key.detail 13 1
tcp_key.direction 14 1
tcp_key.destination 15 1
tcp_key 16
tcp_value.count 0 8
tcp_value.sum_ns 8 8
tcp_value 16
drop_key.netns 0 4
drop_key.reason 4 4
drop_key 8
tcp_end 511
service_key.address 0 16
service_key.port 16 2
service_key.protocol 18 2
service_key 20
service_count_key.service 0 20
service_count_key.path 20 4
service_count_key 24
paths 0 1 2
events 0 1 2 3 4
details 0 1 2 0 1 128
udp_conversation.start_ns 0 8
udp_conversation.answered_ns 8 8
udp_conversation.error_ns 16 8
udp_conversation.cgroup 24 8
udp_conversation.local 32 16
udp_conversation.remote 48 16
udp_conversation.netns 64 4
udp_conversation.workload 68 4
udp_conversation.remote_port 72 2
udp_conversation.local_port 74 2
udp_conversation.destination 76 1
udp_conversation 88
udp_peer.cookie 0 8
udp_peer.address 8 16
udp_peer.port 24 2
udp_peer 32
udp_socket.first 0 88
udp_socket.role 136 1
udp_socket.peers 137 1
udp_socket 144
sides 0 1
directions 0 1 2
destinations 0 1 2 3
"""


@pytest.mark.requires("cc")
def test_the_header_has_the_layout_that_the_reader_decodes(tmp_path: Path) -> None:
    """Sizes, offsets and numbers as the compiler sees them, and the reader's formats of the same sizes."""
    source = tmp_path / "layout.c"
    source.write_text(_PROGRAM, encoding="ascii")
    include = directory("bpf") / "include"
    subprocess.run(["cc", f"-I{include}", "-o", tmp_path / "layout", source], check=True)
    printed = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout

    assert printed == _EXPECTED
    layouts = (
        flows.ATTEMPT,
        flows.STALL_CLAIM,
        flows.FLOW_KEY,
        flows.FLOW_VALUE,
        flows.DENIAL,
        block.DROPS,
        block.BLOCK,
    )
    assert [layout.size for layout in layouts] == [48, 16, 24, 16, 16, 16, 16]
    assert (workloads.WORKLOAD_KEY.size, flows.REFUSAL.size) == (24, 56)
    assert block.SOURCE_BYTES == 16
    assert [layout.size for layout in (tcp.TCP_KEY, tcp.TCP_VALUE, drops.DROP_KEY)] == [16, 16, 8]
    assert (tcp.DETAILS, drops.TCP_END) == (128, 511)
    assert [one.size for one in (udp.CONVERSATION, udp.PEER, udp.SOCKET)] == [88, 32, 144]
    assert [layout.size for layout in (services.SERVICE_KEY, services.COUNT_KEY)] == [20, 24]
    assert [one.size for one in (loads.READER, loads.KEY, loads.VALUE, loads.FAILURE)] == [24, 24, 32, 4184]


def test_a_flow_key_is_decoded_field_by_field() -> None:
    """Distinct bytes in every field end where they belong; two CPUs' slots are added up."""
    key = (17).to_bytes(8, "little") + bytes([0x78, 0x56, 0x34, 0x12, 5, 0, 0, 0, 1, 111, 2, 9, 1, 0, 0, 0])
    value = flows.FLOW_VALUE.pack(3, 500) + flows.FLOW_VALUE.pack(4, 600)

    [count] = flows.decode_flows([(key, value)], {})

    kind = (0x12345678, "failed", "refused", "private", flows.UNKNOWN_BUCKET)
    assert count == flows.FlowCount(*kind, 7, 1100, cgroup=17, workload=5, role=flows.UDP_CLIENT)
    assert count.client == flows.client_of(key)


def test_a_conversation_is_decoded_field_by_field() -> None:
    """Distinct bytes in every field end where they belong, whether it is the first of its socket or not."""
    local, remote = bytes(range(16)), bytes(range(16, 32))
    raw = udp.CONVERSATION.pack(
        7, 8, 9, 17, local, remote, 77, 5, (53).to_bytes(2, "big"), 4242, 2, 1, 1, 111, 1, 1
    )
    whole = udp.SOCKET.pack(raw, bytes(32), 1, 0, 0, 1, 2, 0)
    ends = (local, 4242, remote, 53)

    talk = udp.decode((3).to_bytes(8, "little"), whole)

    assert talk == udp.Conversation(3, 7, 77, "private", *ends, cgroup=17, workload=5)
    assert talk == udp.decode(udp.PEER.pack(3, remote, b"\0\x35"), raw)
    assert (udp.latest(raw), udp.is_open(raw)) == (9, True)
    assert (udp.is_client(whole), udp.has_one_peer(whole)) == (False, False)
    assert talk.claim == flows.STALL_CLAIM.pack(3, 7)
    event = talk.event("failed", "unanswered", 99)
    assert event == flow_log.FlowEvent(
        99, 7, 77, "failed", "unanswered", "private", *ends, 1, 17, 5, flows.UDP_CLIENT
    )


@pytest.mark.parametrize(
    ("start", "answered", "error", "idle"),
    [(0, 0, 0, True), (1, 0, 0, False), (0, 2, 0, False), (0, 1, 2, False), (0, 1, 1, True)],
)
def test_a_conversation_is_idle_when_nothing_was_heard_for_as_long_as_one_lasts(
    start: int, answered: int, error: int, *, idle: bool
) -> None:
    """What is open never is."""
    now = 1 + udp.CONVERSATION_NS + 1
    rest = (0, bytes(16), bytes(16), 0, 0, b"\0\0", 0, 0, 0, 0, 0, 0, 0)

    assert udp.is_idle(udp.CONVERSATION.pack(start, answered, error, *rest), now) is idle


def test_silence_over_udp_has_a_word_of_its_own() -> None:
    """Nobody has to answer there: no sum of `stalled` has it by mistake."""
    assert flows.reason_of(2, 0, flows.UDP_CLIENT, 0, {}) == "unanswered"
    assert flows.reason_of(2, 0, flows.TCP_CLIENT, 0, {}) == "stalled"
    slot = flows.ROLES.index(flows.UDP_CLIENT) * 4 + 2
    assert flows.decode_overflow(slot, flows.FLOW_VALUE.pack(1, 0)).reason == "unanswered"


@pytest.mark.parametrize(
    ("outcome", "error", "reason"),
    [
        (0, 0, "none"),
        (1, 0, "abandoned"),
        (1, 104, "reset"),
        (1, 110, "timed_out"),
        (1, 101, "unreachable"),
        (1, 113, "unreachable"),
        (1, 22, "other"),
        (2, 0, "stalled"),
        (3, 0, "blocked"),
    ],
)
def test_every_end_has_one_word(outcome: int, error: int, reason: str) -> None:
    """An errno without a word of its own is `other`; every word is in the published set."""
    assert flows.reason_of(outcome, error, flows.TCP_CLIENT, 0, {12: "netfilter_drop"}) == reason
    assert reason in flows.REASONS


@pytest.mark.parametrize(
    ("outcome", "drop", "reason"),
    [(2, 12, "dropped:netfilter_drop"), (2, 13, "stalled"), (1, 12, "abandoned"), (3, 12, "blocked")],
)
def test_an_attempt_that_stalled_by_our_own_drops_says_so(outcome: int, drop: int, reason: str) -> None:
    """By the kernel's word; a number without one, and any other outcome, has the reason that it had."""
    assert flows.reason_of(outcome, 0, flows.TCP_CLIENT, drop, {12: "netfilter_drop"}) == reason


def test_attempts_are_told_apart_from_idle_entries() -> None:
    """An entry with start 0 is idle; its key may be removed."""
    source = bytes(range(16))
    waiting_key, idle_key = (5).to_bytes(8, "little"), (6).to_bytes(8, "little")
    entries = [
        (waiting_key, flows.ATTEMPT.pack(1_000, 17, 77, 5, 3, 12, source)),
        (idle_key, flows.ATTEMPT.pack(0, 17, 77, 5, 3, 0, source)),
    ]

    waiting, idle, used = flows.decode_attempts(entries)

    assert waiting == [flows.Attempt(5, 1_000, 77, "public", source, 17, 5, 12)]
    assert (idle, used) == ([idle_key], 2)


@pytest.mark.parametrize(
    ("age_ns", "found"), [(flows.STALL_NS - 1, 0), (flows.STALL_NS, 1), (flows.STALL_NS + 1, 1)]
)
def test_an_attempt_is_stalled_from_the_limit_on(age_ns: int, found: int) -> None:
    """The limit itself counts as stalled, on both sides of the boundary to the kernel."""
    attempt = flows.Attempt(1, 50, 1, "private", bytes(16))

    assert len(list(flows.stalled([attempt], 50 + age_ns))) == found
