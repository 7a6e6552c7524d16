"""What the compiler plans is carried out on the kernel's own maps, and decides what the reference decides."""

import struct
from collections.abc import Iterable, Iterator

import pytest

from bench.policy_frames import opening
from bench.policy_rig import Rig, loaded
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import ends, layouts, programs, reference, sync
from netsre.datapath.policy.budget import CAPACITY
from netsre.datapath.policy.conntrack import Event, State
from netsre.datapath.policy.encode import Encoder
from netsre.datapath.policy.layouts import SLOTS, Map, Revision
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.reference import Decision
from netsre.datapath.policy.resolve import Resolver
from netsre.datapath.policy.sync import Held, Operation, Put, Remove, Settle, Switch, WriteSlot
from netsre.model.policies import files
from netsre.model.policies.values import Direction, Kind
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

REVISIONS = 40
QUESTIONS = 200
_SLOT = struct.Struct("<I")


@pytest.fixture(scope="module")
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs with maps as large as they are meant to be."""
    with loaded(policy_template, {}) as made:
        for state in State:
            made.timeout(state, 0)
        yield made


def carry_out(rig: Rig, operations: Iterable[Operation]) -> None:
    """Do what a plan says; no run of a program goes on beside it."""
    for one in operations:
        match one:
            case Put(where, entries):
                rig.map(where).put_many(dict(entries))
            case Remove(where, keys):
                for key in keys:
                    rig.map(where).delete(key)
            case WriteSlot(slot, revision):
                rig.map(programs.REVISIONS).put(_SLOT.pack(slot), revision.pack())
            case Switch(slot):
                rig.switch(slot)
            case Settle():
                pass


def held(rig: Rig) -> Held:
    """Return what the kernel holds, read from it."""
    slots = [rig.map(programs.REVISIONS).lookup(_SLOT.pack(slot)) or b"" for slot in range(SLOTS)]
    active = rig.map(programs.ACTIVE).lookup(_SLOT.pack(0)) or b""
    dumps = {where: [*rig.map(where).entries()] for where in Map}
    return sync.read(
        [Revision(*layouts.REVISION.unpack(one)) for one in slots], _SLOT.unpack(active)[0], dumps
    )


def test_the_kernel_decides_by_each_revision_that_is_planned(rig: Rig) -> None:
    """One after the other in the same maps, with the numbers of before; some are gone back to."""
    resolver, encoder, numbers, asked = Resolver(), Encoder(), Numbers(), 0
    for seed in range(REVISIONS):
        chance = generated.chance_of(seed)
        texts = {f"{n}": text for n, text in enumerate(generated.documents(chance, 8))}
        policies = files.parse(texts)
        resolved = resolver.resolve(policies, ENDPOINTS, numbers.identities)
        encoded = encoder.encode(resolved, policies, ENDPOINTS, numbers)
        numbers = encoded.numbers
        plan = sync.plan(held(rig), encoded, CAPACITY, 100)
        carry_out(rig, plan.operations)
        assert held(rig) == plan.after
        for port, question in enumerate(generated.questions(chance, QUESTIONS), 20_000):
            one, other = ends.between(*question[:2], ENDPOINTS)
            service = ends.service(question[2])
            assert one.address is not None
            assert other.address is not None
            packet = opening(one.address, other.address, service, port)
            for way, subject, peer in ((Direction.EGRESS, one, other), (Direction.INGRESS, other, one)):
                if subject.kind is Kind.ENDPOINT and not one.is_same(other):
                    answer = reference.answer(policies, subject, peer, service, way)
                    assert rig.passes(way, packet) == (answer.decision is Decision.ALLOW), (seed, question)
                    asked += 1
    assert asked > 10_000
    assert rig.events()[Event.INTERNAL] == 0
    assert len(held(rig).kept) == sync.KEPT
