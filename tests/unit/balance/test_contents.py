"""Revisions of what is balanced as entries of maps, and the numbers in them."""

import json
from dataclasses import replace

import pytest

from netsre.datapath.balance import contents, drains, layouts, maglev, remembered
from netsre.datapath.balance.contents import Content, Numbers
from netsre.datapath.balance.drains import Drain
from netsre.datapath.balance.frontends import frontends
from netsre.datapath.balance.remembered import Wanted
from netsre.datapath.balance.totals import MOST_PAIRS, BalanceTotals
from netsre.errors import BadInput
from netsre.model.balance import files
from netsre.model.balance.values import Service

TEXT = """\
- name: web
  addresses: [198.51.100.1, '2001:db8::1']
  port: 80
  backends:
    - {address: 10.0.0.1, port: 8080, weight: 3}
    - {address: 10.0.0.2, port: 8080, draining: true}
    - {address: '2001:db8:1::1', port: 8080}
- {name: api, addresses: [198.51.100.2], port: 80, backends: [{address: 10.0.0.1, port: 8080, weight: 3}]}
- {name: none, addresses: [198.51.100.3], port: 80, protocol: UDP, backends: []}
"""
WEB = "198.51.100.1:80/TCP"


def services() -> tuple[Service, ...]:
    """Return what the text says."""
    return files.parse({"s.yaml": TEXT})


def written(content: Content, number: int) -> Content:
    """Return what is read again of a revision that was written."""
    prefix = layouts.NUMBER.pack(number)
    found = contents.by_set(
        [(prefix + place, value) for place, value in content.services.items()],
        [prefix + member for member in content.members],
    )
    return found[number]


def test_a_revision_is_read_again_as_it_was_written() -> None:
    """By the number of its set, whichever that is."""
    content = contents.encode(frontends(services()), Numbers()).content

    assert written(content, 3) == written(content, 70_000) == content


def test_the_same_services_have_the_same_numbers_as_long_as_they_are_known() -> None:
    """Also after a way to disk and back; and a number is never given to another thing."""
    numbers = Numbers()
    before = contents.encode(frontends(services()), numbers)
    again = contents.encode(frontends(reversed(services())), numbers)
    kept = Numbers.of(json.loads(json.dumps(numbers.document())))
    for of, known in ((kept.services, numbers.services), (kept.backends, numbers.backends)):
        for thing, number in known.items():
            of.know(thing, number)
    later = contents.encode(frontends(services()), kept)
    kept.services.keep(frozenset())
    other = contents.encode(frontends(services()), kept)

    assert again.content == before.content == later.content
    given = {layouts.SERVICE.unpack(value)[0] for value in before.content.services.values()}
    new = {layouts.SERVICE.unpack(value)[0] for value in other.content.services.values()}
    assert len(given) == len(new) == 4
    assert max(given) < min(new)


def test_backends_in_common_have_one_table() -> None:
    """Of two services whose backends and weights are the same; one without takers has none."""
    encoded = contents.encode(frontends(services()), Numbers())
    tables = {place: layouts.SERVICE.unpack(value)[1] for place, value in encoded.content.services.items()}

    assert sorted(tables.values()) == [0, 1, 1, 2]
    assert encoded.content.tables == frozenset(encoded.tables)


def test_a_table_has_the_numbers_of_the_backends_that_maglev_names() -> None:
    """Slot by slot."""
    weights, numbers = {"10.0.0.1:80": 2, "10.0.0.9:80": 1, "10.0.0.10:80": 7}, {}
    numbers = {name: 100 + place for place, name in enumerate(weights)}
    packed = layouts.TABLE.unpack(contents.Table(weights, numbers).packed())

    assert list(packed) == [numbers[name] for name in maglev.table(weights)]


def test_counters_are_named_by_service_place_and_backend() -> None:
    """Those of who was refused too; a service whose name is lost has its place."""
    numbers = Numbers()
    content = contents.encode(frontends(services()), numbers).content
    named = {*contents.named(content, numbers).values()}
    numbers.names.clear()
    lost = {*contents.named(content, numbers).values()}

    assert ("default/web", WEB, "10.0.0.2:8080") in named
    assert ("default/web", "[2001:db8::1]:80/TCP", "[2001:db8:1::1]:8080") in named
    assert ("default/none", "198.51.100.3:80/UDP", "") in named
    assert (WEB, WEB, "10.0.0.1:8080") in lost
    assert len(named) == len(lost) == 8


def test_members_are_told_by_whether_they_take_connections() -> None:
    """A member in no table is draining."""
    numbers = Numbers()
    content = contents.encode(frontends(services()), numbers).content
    found = {(one.place, one.backend): one.is_serving for one in contents.members(content, numbers)}

    assert found == {
        (WEB, "10.0.0.1:8080"): True,
        (WEB, "10.0.0.2:8080"): False,
        ("[2001:db8::1]:80/TCP", "[2001:db8:1::1]:8080"): True,
        ("198.51.100.2:80/TCP", "10.0.0.1:8080"): True,
    }


def test_what_a_revision_was_made_of_is_the_same_after_a_way_to_disk() -> None:
    """Services as their files have them, and what is drained by hand."""
    by_hand = drains.chosen(services(), "10.0.0.1", None)
    wanted = Wanted(services(), by_hand, drains.chosen(services(), "10.0.0.2", None), 17)
    found = remembered.wanted(json.loads(json.dumps(remembered.document(wanted))))

    assert found == wanted
    assert found.every == wanted.drains | wanted.passing
    assert found.lasting == Wanted(services(), by_hand)


def test_a_backend_is_drained_where_it_is_chosen() -> None:
    """By address, or with its port; of one service, or of all; and it stands as long as it is a member."""
    everywhere = drains.chosen(services(), "10.0.0.1", None)
    one = drains.chosen(services(), "10.0.0.1:8080", "default/web")
    after = drains.drained(services(), one)

    assert everywhere == {
        Drain("default/web", 80, "TCP", "10.0.0.1:8080"),
        Drain("default/api", 80, "TCP", "10.0.0.1:8080"),
    }
    assert [each.draining for each in after[0].backends] == [True, True, False]
    assert [each.draining for each in after[1].backends] == [False]
    assert drains.left_without(services(), everywhere) == (
        "default/web port 80/TCP (IPv4)",
        "default/api port 80/TCP (IPv4)",
    )
    gone = replace(services()[0], backends=services()[0].backends[1:])
    assert drains.standing([gone, services()[1]], everywhere) == everywhere - one


@pytest.mark.parametrize(
    ("backend", "service", "hint"),
    [
        ("10.0.0.1:8081", None, "did you mean '10.0.0.1:8080'"),
        ("10.0.0.2", "default/api", "is no backend of default/api"),
        ("10.0.0.1", "default/wep", "did you mean 'default/web'"),
        ("", None, "is no backend of any service"),
    ],
)
def test_what_is_no_backend_is_refused_with_what_is_like_it(
    backend: str, service: str | None, hint: str
) -> None:
    """In one line."""
    with pytest.raises(BadInput, match=hint):
        drains.chosen(services(), backend, service)


def test_totals_begin_with_who_reads_and_follow_a_balancer_that_takes_the_place_of_another() -> None:
    """What is gone is forgotten; what began anew counts from its beginning."""
    totals, names = BalanceTotals(), {b"1": ("a", "x"), b"2": ("a", "")}
    totals.take(7, {b"1": (5, 50)}, names)
    first = dict(totals.connections)
    totals.take(7, {b"1": (8, 51), b"2": (2, 0)}, names)
    second = dict(totals.connections), dict(totals.datagrams)
    totals.take(8, {b"1": (1, 0)}, names)
    third = dict(totals.connections)
    totals.take(8, {b"1": (1, 0)}, {b"2": ("a", "")})

    assert first == {("a", "x"): 0}
    assert second == ({("a", "x"): 3, ("a", ""): 2}, {("a", "x"): 1, ("a", ""): 0})
    assert third == {("a", "x"): 4, ("a", ""): 2}
    assert dict(totals.connections) == {("a", ""): 2}


def test_names_beyond_the_bound_are_counted_together() -> None:
    """Given and refused apart, and none is lost."""
    totals = BalanceTotals()
    names = {bytes([n // 256, n % 256]): ("s", f"b{n}" if n % 2 else "") for n in range(4 * MOST_PAIRS)}
    names = {key: (f"{service}{number}", one) for number, (key, (service, one)) in enumerate(names.items())}
    totals.take(1, {}, names)
    totals.take(1, dict.fromkeys(names, (1, 1)), names)
    totals.take(1, dict.fromkeys(names, (2, 1)), names)

    assert totals.connections.total() == 2 * len(names)
    assert len(totals.connections) == MOST_PAIRS + 2
    assert totals.connections["~other", "~other"] + totals.connections["~other", ""] == 6 * MOST_PAIRS
