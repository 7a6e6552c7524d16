"""Layouts and sizes of the datapath's maps against the C headers, compiled here by the host's compiler."""

import subprocess
from pathlib import Path
from typing import Final

from netsre.app.resources import directory
from netsre.datapath.policy import conntrack, interfaces, layouts, orders, programs
from netsre.datapath.policy.conntrack import Connection, Event, State
from netsre.datapath.policy.refused import Sum

_PROGRAM: Final = """
#include <stddef.h>
#include <stdio.h>
#include <linux/types.h>
#include "policy_answers.h"
#include "policy_believed.h"
#include "policy_ct.h"
#include "policy_orders.h"
#include "policy_refused.h"
#define FIELD(type, field) printf("%s.%s %zu %zu\\n", #type, #field, offsetof(struct type, field), \\
    sizeof(((struct type *)0)->field))
#define SIZE(type) printf("%s %zu\\n", #type, sizeof(struct type))
int main(void) {
  FIELD(policy_ct_key, own); FIELD(policy_ct_key, peer); FIELD(policy_ct_key, own_port);
  FIELD(policy_ct_key, peer_port); FIELD(policy_ct_key, protocol); SIZE(policy_ct_key);
  FIELD(policy_connection, seen_ns); FIELD(policy_connection, revision); FIELD(policy_connection, orders);
  FIELD(policy_connection, rule); FIELD(policy_connection, source); FIELD(policy_connection, destination);
  FIELD(policy_connection, endpoint); FIELD(policy_connection, direction);
  FIELD(policy_connection, verdict); FIELD(policy_connection, reason);
  FIELD(policy_connection, said_forward); FIELD(policy_connection, said_back); FIELD(policy_connection, row);
  SIZE(policy_connection);
  SIZE(policy_address_key); SIZE(policy_revision); SIZE(policy_endpoint_key); SIZE(policy_endpoint);
  SIZE(policy_whose); SIZE(policy_zone);
  SIZE(policy_entry_key); SIZE(policy_entry); SIZE(policy_mode); SIZE(policy_count_key); SIZE(policy_count);
  SIZE(policy_fragment_key); SIZE(policy_fragment);
  FIELD(policy_order_key, bits); FIELD(policy_order_key, endpoint); FIELD(policy_order_key, family);
  FIELD(policy_order_key, address); SIZE(policy_order_key);
  FIELD(policy_order, until_ns); FIELD(policy_order, rule); FIELD(policy_order, bits); SIZE(policy_order);
  FIELD(policy_refused_key, endpoint); FIELD(policy_refused_key, peer); FIELD(policy_refused_key, port);
  FIELD(policy_refused_key, protocol); FIELD(policy_refused_key, direction); SIZE(policy_refused_key);
  FIELD(policy_refused, first_ns); FIELD(policy_refused, denied_ns); FIELD(policy_refused, passed_ns);
  FIELD(policy_refused, denied); FIELD(policy_refused, passed); FIELD(policy_refused, connections);
  SIZE(policy_refused);
  SIZE(policy_interfaces); SIZE(policy_answer); SIZE(policy_believed);
  printf("states %d %d %d %d %d %d\\n", POLICY_CT_TCP_SYN, POLICY_CT_TCP_CLOSED, POLICY_CT_UDP_ASKED,
    POLICY_CT_ICMP, POLICY_CT_OTHER_ANSWERED, POLICY_CT_STATES);
  printf("events %d %d %d %d %d %d %d\\n", POLICY_EVENT_NOT_IP, POLICY_EVENT_NO_ENDPOINT,
    POLICY_EVENT_CUT_DROPPED, POLICY_EVENT_INTERNAL, POLICY_EVENT_CUT_KEPT_OUT,
    POLICY_EVENT_FORGED_SOURCE_DROPPED, POLICY_EVENTS);
  printf("revisions %d\\n", POLICY_REVISIONS);
  printf("places %d %d\\n", POLICY_INTERFACE_PLACES, POLICY_INTERFACES_AT_ONE);
  printf("answers %d %u\\n", POLICY_ANSWERS, (~0u >> POLICY_ANSWERS_SHIFT) + 1);
  printf("rows %d\\n", POLICY_COUNTS);
  printf("believed %d\\n", POLICY_BELIEVED);
  printf("tables %d %d %d\\n", POLICY_CT_NOW, POLICY_CT_BEFORE, POLICY_CT_TABLES);
  printf("orders %d %d %d\\n", POLICY_ORDERS_NESTED, POLICY_ORDER_IPV4, POLICY_ORDER_IPV6);
  printf("refused %d %d %d %d\\n", POLICY_REFUSED_MADE, POLICY_REFUSED_LOST, POLICY_REFUSED_REMOVED,
    POLICY_REFUSED_SUMS);
  return 0;
}
"""

_EXPECTED: Final = """\
policy_ct_key.own 0 16
policy_ct_key.peer 16 16
policy_ct_key.own_port 32 2
policy_ct_key.peer_port 34 2
policy_ct_key.protocol 36 1
policy_ct_key 40
policy_connection.seen_ns 0 8
policy_connection.revision 8 4
policy_connection.orders 12 4
policy_connection.rule 16 4
policy_connection.source 20 4
policy_connection.destination 24 4
policy_connection.endpoint 28 4
policy_connection.direction 32 1
policy_connection.verdict 33 1
policy_connection.reason 34 1
policy_connection.said_forward 35 1
policy_connection.said_back 36 1
policy_connection.row 38 2
policy_connection 40
policy_address_key 24
policy_revision 32
policy_endpoint_key 24
policy_endpoint 32
policy_whose 8
policy_zone 4
policy_entry_key 16
policy_entry 8
policy_mode 16
policy_count_key 16
policy_count 24
policy_fragment_key 40
policy_fragment 16
policy_order_key.bits 0 4
policy_order_key.endpoint 4 4
policy_order_key.family 8 4
policy_order_key.address 12 16
policy_order_key 28
policy_order.until_ns 0 8
policy_order.rule 8 4
policy_order.bits 12 4
policy_order 16
policy_refused_key.endpoint 0 4
policy_refused_key.peer 4 16
policy_refused_key.port 20 2
policy_refused_key.protocol 22 1
policy_refused_key.direction 23 1
policy_refused_key 24
policy_refused.first_ns 0 8
policy_refused.denied_ns 8 8
policy_refused.passed_ns 16 8
policy_refused.denied 24 8
policy_refused.passed 32 8
policy_refused.connections 40 8
policy_refused 48
policy_interfaces 32
policy_answer 64
policy_believed 24
"""


def test_the_headers_have_the_layouts_and_sizes_that_the_maps_are_made_with(tmp_path: Path) -> None:
    """Sizes, offsets and numbers as the compiler sees them."""
    source = tmp_path / "layout.c"
    source.write_text(_PROGRAM, encoding="ascii")
    include = directory("bpf") / "include"
    subprocess.run(["cc", f"-I{include}", "-o", tmp_path / "layout", source], check=True)
    printed = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout
    printed_layouts, numbers = printed[: len(_EXPECTED)], printed[len(_EXPECTED) :]
    states = (State.TCP_SYN, State.TCP_CLOSED, State.UDP_ASKED, State.ICMP, State.OTHER_ANSWERED, len(State))
    events = (
        *(Event.NOT_IP, Event.NO_ENDPOINT, Event.CUT_DROPPED),
        *(Event.INTERNAL, Event.CUT_KEPT_OUT, Event.FORGED_SOURCE_DROPPED, len(Event)),
    )

    assert printed_layouts == _EXPECTED
    assert numbers.splitlines() == [
        f"states {' '.join(str(int(one)) for one in states)}",
        f"events {' '.join(str(int(one)) for one in events)}",
        f"revisions {programs.MAPS[programs.REVISIONS].capacity}",
        f"places {programs.MAPS[programs.INTERFACES].capacity} {interfaces.AT_ONE}",
        f"answers {layouts.ANSWERS} {layouts.ANSWERS}",
        f"rows {layouts.ROWS}",
        f"believed {layouts.BELIEVED}",
        f"tables {programs.NOW} {programs.BEFORE} {programs.MAPS[programs.TABLES].capacity}",
        f"orders {orders.NESTED} 4 6",
        f"refused {Sum.MADE} {Sum.LOST} {Sum.REMOVED} {len(Sum)}",
    ]
    words = [line.split() for line in printed_layouts.splitlines()]
    sizes = {line[0]: int(line[1]) for line in words if len(line) == 2}
    assert {name: (one.key_bytes, one.value_bytes) for name, one in programs.MAPS.items()} == {
        programs.ACTIVE: (4, 4),
        programs.REVISIONS: (4, sizes["policy_revision"]),
        programs.ADDRESSES: (sizes["policy_address_key"], sizes["policy_whose"]),
        programs.ENDPOINTS: (sizes["policy_endpoint_key"], sizes["policy_endpoint"]),
        programs.ZONES: (sizes["policy_address_key"], sizes["policy_zone"]),
        programs.ENTRIES: (sizes["policy_entry_key"], sizes["policy_entry"]),
        programs.MODE: (4, sizes["policy_mode"]),
        programs.ENDPOINT_MODES: (4, sizes["policy_mode"]),
        programs.CONNECTIONS: (sizes["policy_ct_key"], sizes["policy_connection"]),
        programs.TABLES: (4, 4),
        programs.TIMEOUTS: (4, 8),
        programs.FULL: (4, 8),
        programs.FRAGMENTS: (sizes["policy_fragment_key"], sizes["policy_fragment"]),
        programs.ROWS: (sizes["policy_count_key"], 4),
        programs.COUNTS: (4, sizes["policy_count"]),
        programs.LAST_ROW: (4, 8),
        programs.FREE_ROWS: (0, 4),
        programs.EVENTS: (4, 8),
        programs.ORDERS: (sizes["policy_order_key"], sizes["policy_order"]),
        programs.ORDER_TURN: (4, 4),
        programs.REFUSED: (sizes["policy_refused_key"], sizes["policy_refused"]),
        programs.REFUSED_SUM: (4, 8),
        programs.INTERFACES: (4, sizes["policy_interfaces"]),
        programs.ANSWERS: (4, sizes["policy_answer"]),
        programs.BELIEVED: (4, sizes["policy_believed"]),
    }


def test_a_connection_is_read_field_by_field() -> None:
    """Distinct numbers in every field end where they belong."""
    known = Connection(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)

    assert Connection.of(known.packed()) == known
    assert conntrack.CONNECTION.size == len(known.packed())
