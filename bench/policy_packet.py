"""What the policy programs cost per packet, as the kernel times its own test runs."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.packet_cost import run
from bench.policy_frames import ACK, SYN, TCP, UDP, frame, tcp, udp
from bench.policy_rig import PROGRAMS, Rig, loaded, now_ns
from netsre.adapters.bpf import programs
from netsre.adapters.bpf.syscalls import enable_run_time_statistics, fdinfo
from netsre.datapath.policy import resolve
from netsre.datapath.policy.conntrack import State
from netsre.datapath.policy.programs import CONNECTIONS
from netsre.model.policies import endpoints, files
from netsre.model.policies.values import Direction

_ROUNDS: Final = 7
_REPEAT: Final = 1_000_000
_ENDPOINTS: Final = 1000
_LONG_NS: Final = 10**13
_MINUTE_NS: Final = 60 * 10**9
_PORTS: Final = range(10_000, 14_000)
"""Of connections that begin: fewer than there is room for."""
_NOTHING: Final = bytes.fromhex("b7000000ffffffff9500000000000000")
"""A program that returns -1."""
_OWN: Final = {4: "10.0.0.1", 6: "fd00::0:1"}
_PEER: Final = {4: "10.0.3.1", 6: "fd00::3:1"}
_WORLD: Final = {4: "10.200.0.1", 6: "fd02::1"}
_POLICY: Final = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {}}], ports: [{port: 80}, {port: 8000, endPort: 8999}]}]
  egress:
    - to:
        - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
        - ipBlock: {cidr: 'fd00::/8', except: ['fd01::/16']}
      ports: [{protocol: UDP, port: 53}]
"""


@dataclass(frozen=True, slots=True)
class PolicyCost:
    """Nanoseconds per packet of one kind; medians of several rounds."""

    what: str
    has_budget: bool
    program_ns: float
    """As the test run has it, while nobody counts."""
    empty_ns: float
    """An empty program beside it."""
    counted_ns: float
    """By the kernel's run-time statistics, with the two readings of its clock that they cost."""
    empty_counted_ns: float


def measure() -> list[PolicyCost]:
    """Return the cost of a packet of a known connection, of one that begins, and of one that is denied."""
    empty = programs.load("empty", _NOTHING, programs.SCHED_CLS)
    with loaded() as rig:
        _fill(rig)
        try:
            return [cost for version in (4, 6) for cost in _of_family(rig, version, empty.fd)]
        finally:
            os.close(empty.fd)


def _fill(rig: Rig) -> None:
    """Put policies for many endpoints in force, each with labels of its own."""
    listed = endpoints.parse(
        {
            "e": "".join(
                f"- {{name: n{n}, namespace: x, labels: {{n: '{n}'}}, "
                f"interface: e{n}, ips: [10.0.{n // 250}.{n % 250 + 1}, 'fd00::{n // 250}:{n % 250 + 1}']}}\n"
                for n in range(_ENDPOINTS)
            )
        }
    )
    rig.write(resolve.resolve(files.parse({"p": _POLICY}), listed, {}), listed, 1)
    rig.comes_from("e0")


def _of_family(rig: Rig, version: int, empty: int) -> list[PolicyCost]:
    question = frame(_PEER[version], _OWN[version], TCP, tcp(1000, 80, ACK))
    answer = frame(_OWN[version], _PEER[version], TCP, tcp(80, 1000, ACK))
    denied = frame(_PEER[version], _OWN[version], UDP, udp(1000, 53))
    rig.arrives(question)

    def cost(what: str, way: Direction, packet: bytes, *, has_budget: bool = False) -> PolicyCost:
        program = rig.datapath.programs[PROGRAMS[way]].fd
        rounds = [(run(program, packet, _REPEAT)[1], run(empty, packet, _REPEAT)[1]) for _ in range(_ROUNDS)]
        statistics_on = enable_run_time_statistics()
        try:
            counted = [(_counted(program, packet), _counted(empty, packet)) for _ in range(_ROUNDS)]
        finally:
            os.close(statistics_on)
        figures = (statistics.median(each) for part in (rounds, counted) for each in zip(*part, strict=True))
        return PolicyCost(f"IPv{version}, {what}", has_budget, *figures)

    found = [
        cost("to an endpoint, connection known", Direction.INGRESS, question, has_budget=True),
        cost("from an endpoint, answer of a known one", Direction.EGRESS, answer, has_budget=True),
        cost("to an endpoint, denied", Direction.INGRESS, denied),
    ]
    # The end of what is on trial is compared with the time, which has to be read.
    rig.slot(0, 1, now_ns() + _LONG_NS, 0)
    found.append(
        cost("to an endpoint, connection known, on trial", Direction.INGRESS, question, has_budget=True)
    )
    rig.slot(0, 1)
    begins = frame(_PEER[version], _OWN[version], TCP, tcp(1000, 80, SYN))
    rig.timeout(State.TCP_SYN, 0)
    found.append(cost("to an endpoint, connection begun again where one was", Direction.INGRESS, begins))
    rig.timeout(State.TCP_SYN, _MINUTE_NS)
    inward = [frame(_PEER[version], _OWN[version], TCP, tcp(port, 80, SYN)) for port in _PORTS]
    outward = [frame(_OWN[version], _WORLD[version], UDP, udp(port, 53)) for port in _PORTS]
    for what, way, packets in (
        ("to an endpoint", Direction.INGRESS, inward),
        ("to a network outside", Direction.EGRESS, outward),
    ):
        named = f"IPv{version}, {what}, connection kept, each time another one"
        found.append(_of_new_ones(rig, named, way, packets, empty))
    return found


def _of_new_ones(rig: Rig, what: str, way: Direction, packets: Sequence[bytes], empty: int) -> PolicyCost:
    """Return the cost of packets of which each is run once, and nobody knows its connection."""
    program = rig.datapath.programs[PROGRAMS[way]].fd
    rounds = []
    for _ in range(_ROUNDS):
        row = []
        for each in (program, empty):
            rig.forget(CONNECTIONS)
            statistics_on = enable_run_time_statistics()
            before = _statistics(each)
            row.append(statistics.mean(run(each, packet)[1] for packet in packets))
            after = _statistics(each)
            os.close(statistics_on)
            row.append((after[1] - before[1]) / (after[0] - before[0]))
        rounds.append(row)
    program_ns, counted_ns, empty_ns, empty_counted_ns = map(statistics.median, zip(*rounds, strict=True))
    has_budget = False
    return PolicyCost(what, has_budget, program_ns, empty_ns, counted_ns, empty_counted_ns)


def _counted(program: int, packet: bytes) -> float:
    """Return nanoseconds of a run, by the statistics."""
    before = _statistics(program)
    run(program, packet, _REPEAT)
    after = _statistics(program)
    return (after[1] - before[1]) / (after[0] - before[0])


def _statistics(program: int) -> tuple[int, int]:
    info = fdinfo(program)
    return int(info.get("run_cnt", 0)), int(info.get("run_time_ns", 0))
