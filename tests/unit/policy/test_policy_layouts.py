"""The compiler's layouts against the C header, compiled here by the host's compiler."""

import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from netsre.app.resources import directory
from netsre.datapath.policy import interfaces, layouts, prefixes, tables
from netsre.datapath.policy.identities import Whose
from netsre.datapath.policy.reference import Answer, Decision, Reason
from netsre.datapath.policy.zones import Zone
from netsre.model.policies.values import Direction, Protocol

_PROGRAM = """
#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <linux/types.h>
#include "policy.h"
#define FIELD(type, field) printf("%s.%s %zu %zu\\n", #type, #field, offsetof(struct type, field), \\
    sizeof(((struct type *)0)->field))
#define SIZE(type) printf("%s %zu\\n", #type, sizeof(struct type))
#define BYTES(what, thing) do { const unsigned char *byte = (const void *)&thing; printf(what " "); \\
    for (size_t i = 0; i < sizeof(thing); i++) printf("%02x", byte[i]); printf("\\n"); } while (0)
int main(void) {
  SIZE(policy_address);
  FIELD(policy_revision, number); FIELD(policy_revision, addresses); FIELD(policy_revision, endpoints);
  FIELD(policy_revision, until_ns); FIELD(policy_revision, afterwards); SIZE(policy_revision);
  FIELD(policy_address_key, bits); FIELD(policy_address_key, set); FIELD(policy_address_key, address);
  SIZE(policy_address_key);
  FIELD(policy_endpoint_key, set); FIELD(policy_endpoint_key, interface);
  FIELD(policy_endpoint_key, address); SIZE(policy_endpoint_key);
  FIELD(policy_endpoint, number); FIELD(policy_endpoint, ingress); FIELD(policy_endpoint, egress);
  FIELD(policy_endpoint, identity);
  FIELD(policy_endpoint, ingress_zones); FIELD(policy_endpoint, egress_zones);
  FIELD(policy_endpoint, lenient); FIELD(policy_endpoint, interface);
  SIZE(policy_endpoint);
  FIELD(policy_whose, identity); FIELD(policy_whose, asked); FIELD(policy_whose, outside);
  SIZE(policy_whose);
  FIELD(policy_zone, outside); FIELD(policy_zone, inside); SIZE(policy_zone);
  FIELD(policy_entry_key, bits); FIELD(policy_entry_key, table); FIELD(policy_entry_key, identity);
  FIELD(policy_entry_key, zone);
  FIELD(policy_entry_key, protocol); FIELD(policy_entry_key, port); SIZE(policy_entry_key);
  FIELD(policy_entry, rule); FIELD(policy_entry, decision); FIELD(policy_entry, reason); SIZE(policy_entry);
  FIELD(policy_count_key, rule); FIELD(policy_count_key, source); FIELD(policy_count_key, destination);
  FIELD(policy_count_key, verdict); FIELD(policy_count_key, direction); FIELD(policy_count_key, reason);
  SIZE(policy_count_key);
  FIELD(policy_count, packets); FIELD(policy_count, bytes); FIELD(policy_count, connections);
  SIZE(policy_count);
  FIELD(policy_mode, until_ns); FIELD(policy_mode, mode); FIELD(policy_mode, afterwards); SIZE(policy_mode);
  printf("slots %d\\n", POLICY_REVISIONS);
  printf("decisions %d %d %d\\n", POLICY_ALLOW, POLICY_DENY, POLICY_AUDIT);
  printf("reasons %d %d %d %d %d %d %d\\n", POLICY_RULE, POLICY_DEFAULT_DENY, POLICY_NO_POLICY, POLICY_ITSELF,
    POLICY_NODE, POLICY_WITHDRAWN, POLICY_REASONS);
  printf("directions %d %d %d\\n", POLICY_INGRESS, POLICY_EGRESS, POLICY_DIRECTIONS);
  struct policy_revision revision = {.number = 1ULL << 40, .addresses = 2, .endpoints = 3,
    .until_ns = 1ULL << 41, .afterwards = 4};
  BYTES("revision", revision);
  struct policy_address_key address = {.bits = 32 + 96 + 24, .set = 7};
  inet_pton(AF_INET6, "::ffff:192.0.2.0", &address.address);
  BYTES("address", address);
  struct policy_endpoint_key endpoint = {.set = 7};
  inet_pton(AF_INET6, "2001:db8::7", &endpoint.address);
  BYTES("endpoint", endpoint);
  struct policy_endpoint_key interface = {.set = 7, .interface = 8};
  BYTES("interface", interface);
  struct policy_interfaces at_one = {.known = {[2] = {.ifindex = 9, .number = 8}}};
  BYTES("at_one", at_one);
  struct policy_endpoint tables = {4, 5, 6, 12, 13, 14, 1, 8};
  BYTES("tables", tables);
  struct policy_whose whose = {.identity = 300, .asked = 9, .outside = 1};
  BYTES("whose", whose);
  struct policy_zone zone = {.outside = 1, .inside = 2};
  BYTES("zone", zone);
  struct policy_entry_key key = {.bits = 64 + 8 + 13, .table = 9, .identity = 300, .zone = 7, .protocol = 6};
  __be16 port = htons(8080);
  memcpy(key.port, &port, sizeof(port));
  BYTES("key", key);
  struct policy_entry entry = {.rule = 11, .decision = POLICY_DENY, .reason = POLICY_DEFAULT_DENY};
  BYTES("entry", entry);
  return 0;
}
"""

_EXPECTED = """\
policy_address 16
policy_revision.number 0 8
policy_revision.addresses 8 4
policy_revision.endpoints 12 4
policy_revision.until_ns 16 8
policy_revision.afterwards 24 4
policy_revision 32
policy_address_key.bits 0 4
policy_address_key.set 4 4
policy_address_key.address 8 16
policy_address_key 24
policy_endpoint_key.set 0 4
policy_endpoint_key.interface 4 4
policy_endpoint_key.address 8 16
policy_endpoint_key 24
policy_endpoint.number 0 4
policy_endpoint.ingress 4 4
policy_endpoint.egress 8 4
policy_endpoint.identity 12 4
policy_endpoint.ingress_zones 16 4
policy_endpoint.egress_zones 20 4
policy_endpoint.lenient 24 4
policy_endpoint.interface 28 4
policy_endpoint 32
policy_whose.identity 0 4
policy_whose.asked 4 2
policy_whose.outside 6 1
policy_whose 8
policy_zone.outside 0 2
policy_zone.inside 2 2
policy_zone 4
policy_entry_key.bits 0 4
policy_entry_key.table 4 4
policy_entry_key.identity 8 2
policy_entry_key.zone 10 2
policy_entry_key.protocol 12 1
policy_entry_key.port 13 2
policy_entry_key 16
policy_entry.rule 0 4
policy_entry.decision 4 1
policy_entry.reason 5 1
policy_entry 8
policy_count_key.rule 0 4
policy_count_key.source 4 4
policy_count_key.destination 8 4
policy_count_key.verdict 12 1
policy_count_key.direction 13 1
policy_count_key.reason 14 1
policy_count_key 16
policy_count.packets 0 8
policy_count.bytes 8 8
policy_count.connections 16 8
policy_count 24
policy_mode.until_ns 0 8
policy_mode.mode 8 1
policy_mode.afterwards 9 1
policy_mode 16
"""


@pytest.mark.requires("cc")
def test_the_header_has_the_layouts_that_the_compiler_writes(tmp_path: Path) -> None:
    """Sizes, offsets, numbers, and whole keys and values byte by byte."""
    source = tmp_path / "layout.c"
    source.write_text(_PROGRAM, encoding="ascii")
    include = directory("bpf") / "include"
    subprocess.run(["cc", f"-I{include}", "-o", tmp_path / "layout", source], check=True)
    printed = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout

    prefix = next(iter(prefixes.of_range(Protocol.TCP, 8080, 8087)))
    ours = {
        "slots": str(layouts.SLOTS),
        "decisions": " ".join(str(layouts.DECISIONS[Decision[one]]) for one in ("ALLOW", "DENY", "AUDIT")),
        "reasons": " ".join(map(str, (*layouts.REASONS.values(), len(Reason)))),
        "directions": " ".join(map(str, (*layouts.DIRECTIONS.values(), len(Direction)))),
        "revision": layouts.Revision(1 << 40, 2, 3, 1 << 41, 4).pack().hex(),
        "address": layouts.address_key(7, ip_network("192.0.2.0/24")).hex(),
        "endpoint": layouts.endpoint_key(7, ip_address("2001:db8::7")).hex(),
        "interface": layouts.interface_key(7, 8).hex(),
        "at_one": interfaces.PLACE.pack(0, 0, 0, 0, 9, 8, 0, 0).hex(),
        "tables": layouts.ENDPOINT.pack(4, 5, 6, 12, 13, 14, 1, 8).hex(),
        "whose": layouts.whose(Whose(300, 9, outside=True)).hex(),
        "zone": layouts.ZONE.pack(*Zone(outside=1, inside=2)).hex(),
        "key": layouts.entry_key(9, tables.end(300, 7), prefix).hex(),
        "entry": layouts.entry(Answer(Decision.DENY, Reason.DEFAULT_DENY), 11).hex(),
    }
    assert printed == _EXPECTED + "".join(f"{what} {text}\n" for what, text in ours.items())
    assert [one.size for one in (layouts.COUNT_KEY, layouts.COUNT, layouts.MODE)] == [16, 24, 16]


def test_a_network_has_the_bits_of_its_family() -> None:
    """An IPv4 one lies under ::ffff:0:0, so that none of its bits mean anything in IPv6."""
    bits = [
        layouts.ADDRESS_KEY.unpack(layouts.address_key(1, ip_network(one)))[0]
        for one in ("0.0.0.0/0", "10.0.0.1/32", "::/0", "fd00::/8", "fd00::1/128")
    ]

    assert bits == [128, 160, 32, 40, 160]


def test_an_entry_about_nothing_in_particular_has_no_further_bits() -> None:
    """Each table has one of these, about whoever it is."""
    assert layouts.ENTRY_KEY.unpack(layouts.entry_key(3, 0, prefixes.WHATEVER)) == (64, 3, 0, 0, b"\0\0", 0)
