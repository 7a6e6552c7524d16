"""The layouts of the balancer's maps against the C header, compiled here by the host's compiler."""

import subprocess
from pathlib import Path

import pytest

from netsre.app.resources import directory
from netsre.datapath.balance import layouts, maglev

_PROGRAM = """\
#include <stddef.h>
#include <stdio.h>
#include <linux/types.h>
#include "balance.h"
#define FIELD(type, field) printf("%s.%s %zu %zu\\n", #type, #field, offsetof(struct type, field), \\
    sizeof(((struct type *)0)->field))
#define SIZE(type) printf("%s %zu\\n", #type, sizeof(struct type))
int main(void)
{
  FIELD(balance_revision, number); FIELD(balance_revision, set);
  FIELD(balance_revision, after); FIELD(balance_revision, until_ns); SIZE(balance_revision);
  FIELD(balance_end, address); FIELD(balance_end, port); SIZE(balance_end);
  FIELD(balance_service_key, set); FIELD(balance_service_key, end); FIELD(balance_service_key, protocol);
  SIZE(balance_service_key);
  FIELD(balance_service, number); FIELD(balance_service, table); SIZE(balance_service);
  FIELD(balance_member, set); FIELD(balance_member, service); FIELD(balance_member, backend);
  SIZE(balance_member);
  FIELD(balance_peer_key, cookie); FIELD(balance_peer_key, place); SIZE(balance_peer_key);
  FIELD(balance_peer, asked); FIELD(balance_peer, given); FIELD(balance_peer, before);
  FIELD(balance_peer, service); FIELD(balance_peer, backend); SIZE(balance_peer);
  FIELD(balance_count_key, service); FIELD(balance_count_key, backend); SIZE(balance_count_key);
  FIELD(balance_count, connections); FIELD(balance_count, datagrams); SIZE(balance_count);
  SIZE(balance_table);
  printf("limits %d %d\\n", BALANCE_REVISIONS, BALANCE_PLACES);
  printf("events %d %d %d %d %d\\n", BALANCE_PASSED, BALANCE_BROKEN, BALANCE_PEERS_FULL, BALANCE_COUNTS_FULL,
      BALANCE_EVENTS);
}
"""
_EXPECTED = """\
balance_revision.number 0 8
balance_revision.set 8 4
balance_revision.after 12 4
balance_revision.until_ns 16 8
balance_revision 24
balance_end.address 0 16
balance_end.port 16 2
balance_end 20
balance_service_key.set 0 4
balance_service_key.end 4 20
balance_service_key.protocol 24 4
balance_service_key 28
balance_service.number 0 4
balance_service.table 4 4
balance_service 8
balance_member.set 0 4
balance_member.service 4 4
balance_member.backend 8 4
balance_member 12
balance_peer_key.cookie 0 8
balance_peer_key.place 8 4
balance_peer_key 16
balance_peer.asked 0 20
balance_peer.given 20 20
balance_peer.before 40 20
balance_peer.service 60 4
balance_peer.backend 64 4
balance_peer 68
balance_count_key.service 0 4
balance_count_key.backend 4 4
balance_count_key 8
balance_count.connections 0 8
balance_count.datagrams 8 8
balance_count 16
balance_table 65524
limits 16 8
events 0 1 2 3 4
"""


@pytest.mark.requires("cc")
def test_the_header_has_the_layout_that_is_written(tmp_path: Path) -> None:
    """Sizes, offsets and numbers as the compiler sees them, and the writer's formats of the same sizes."""
    source = tmp_path / "layout.c"
    source.write_text(_PROGRAM, encoding="ascii")
    flags = [f"-I{directory('bpf') / 'include'}", f"-DBALANCE_TABLE_SIZE={maglev.SIZE}"]
    subprocess.run(["cc", *flags, "-o", tmp_path / "layout", source], check=True)
    printed = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout

    assert printed == _EXPECTED
    formats = (
        *(layouts.REVISION, layouts.END, layouts.SERVICE_KEY, layouts.SERVICE, layouts.MEMBER),
        *(layouts.PEER_KEY, layouts.PEER, layouts.COUNT_KEY, layouts.COUNT, layouts.TABLE),
    )
    assert [one.size for one in formats] == [24, 20, 28, 8, 12, 16, 68, 8, 16, 65524]
    assert (layouts.REVISIONS, layouts.PLACES, len(layouts.EVENTS)) == (16, 8, 4)


def test_counters_are_summed_over_cpus() -> None:
    """Each of the two by itself."""
    value = layouts.COUNT.pack(3, 500) + layouts.COUNT.pack(4, 600)

    assert layouts.count(value) == (7, 1100)
    assert layouts.total(value) == 1107
