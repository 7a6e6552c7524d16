"""The file of services: what it says, what is wrong with it, and what is balanced of it."""

import functools
import ipaddress
import pathlib
import re

import jsonschema
import pytest
import yaml

from netsre.app.schemas import published
from netsre.datapath.balance import layouts, maglev
from netsre.datapath.balance.frontends import frontends
from netsre.errors import SpecErrors
from netsre.model import linting
from netsre.model.balance import codes, files
from netsre.model.balance.values import MOST_BACKENDS, Backend, Service
from netsre.model.policies.values import Protocol
from tests.unit.app import test_schemas as both

GOOD = """\
- name: web
  namespace: shop
  addresses: [198.51.100.1, '2001:db8::1']
  port: 80
  protocol: TCP
  backends:
    - {address: 10.0.0.1, port: 8080, weight: 3}
    - {address: 10.0.0.2, port: 8080, draining: true}
    - {address: '2001:db8:1::1', port: 8080}
- {name: dns, addresses: [198.51.100.1], port: 80, protocol: UDP, backends: []}
- {name: sctp, addresses: [198.51.100.2], port: 80, protocol: SCTP, backends: [{address: 10.0.0.1, port: 1}]}
"""


def parse(text: str) -> tuple[Service, ...]:
    """Read one file."""
    return files.parse({"s.yaml": text})


def test_every_key_is_read() -> None:
    """With what holds where a key is left out."""
    web, dns, sctp = parse(GOOD)

    assert (web.full_name, web.port, web.protocol) == ("shop/web", 80, Protocol.TCP)
    assert web.addresses == tuple(map(ipaddress.ip_address, ("198.51.100.1", "2001:db8::1")))
    assert web.backends == (
        Backend(ipaddress.ip_address("10.0.0.1"), 8080, weight=3),
        Backend(ipaddress.ip_address("10.0.0.2"), 8080, draining=True),
        Backend(ipaddress.ip_address("2001:db8:1::1"), 8080),
    )
    assert (dns.full_name, dns.backends) == ("default/dns", ())
    assert sctp.protocol is Protocol.SCTP
    assert [one.name for one in web.backends] == ["10.0.0.1:8080", "10.0.0.2:8080", "[2001:db8:1::1]:8080"]


@pytest.mark.parametrize(
    ("old", "new", "line", "code", "words"),
    [
        ("- name: web", "- nam: web", 1, linting.UNKNOWN_KEY, "did you mean 'name'?"),
        ("name: web\n", "name: We b\n", 1, codes.NAME, "'We b' is not a name"),
        ("namespace: shop", "namespace: Shop", 2, codes.NAME, "'Shop' is not a name"),
        ("[198.51.100.1, ", "[198.51.100.1/24, ", 3, codes.ADDRESS, "is no address"),
        ("[198.51.100.1, ", "[0.0.0.0, ", 3, codes.ADDRESS, "no address of one host"),
        ("[198.51.100.1, ", "[224.0.0.1, ", 3, codes.ADDRESS, "no address of one host"),
        ("[198.51.100.1, '2001:db8::1']", "[]", 3, codes.ADDRESS, "write at least one"),
        ("'2001:db8::1'", "198.51.100.1", 3, codes.TAKEN, "have 198.51.100.1 twice"),
        ("'2001:db8::1'", "'::ffff:198.51.100.1'", 3, codes.TAKEN, "have 198.51.100.1 twice"),
        ("[198.51.100.1, '2001:db8::1']", "[198.51.100.1]", 6, codes.FAMILY, "no address is IPv6"),
        ("port: 80\n", "port: 0\n", 4, codes.PORT, "is no port"),
        ("protocol: TCP", "protocol: TPC", 5, linting.CHOICE, "did you mean 'TCP'?"),
        ("protocol: TCP", "protocol: ICMP", 5, linting.CHOICE, "is not one of TCP, UDP, SCTP"),
        ("port: 8080, weight", "port: 65536, weight", 7, codes.PORT, "is no port"),
        ("weight: 3", "weight: 0", 7, codes.WEIGHT, "a number from 1 to 100"),
        ("weight: 3", "weight: 101", 7, codes.WEIGHT, "a number from 1 to 100"),
        ("weight: 3", "weight: 1.5", 7, codes.WEIGHT, "is no weight"),
        ("10.0.0.2, port", "10.0.0.1, port", 8, codes.TAKEN, "10.0.0.1:8080 is written twice"),
        ("draining: true", "draining: yes", 8, linting.CHOICE, "is not one of true, false"),
        ("protocol: UDP", "protocol: TCP", 10, codes.TAKEN, "is that of shop/web in s.yaml:1"),
        (
            "name: sctp, addresses: [198.51.100.2], port: 80, protocol: SCTP",
            "name: dns, addresses: [198.51.100.2], port: 80, protocol: UDP",
            11,
            codes.TAKEN,
            "default/dns is that of default/dns in s.yaml:10",
        ),
    ],
)
def test_a_mistake_has_its_place_and_code(old: str, new: str, line: int, code: str, words: str) -> None:
    """And what to write instead."""
    assert old in GOOD
    with pytest.raises(SpecErrors) as caught:
        parse(GOOD.replace(old, new, 1))

    found = [one for one in caught.value.findings if (one.line, one.code) == (line, code)]
    assert any(words in one.message for one in found), caught.value


def test_more_backends_than_a_table_has_room_for_are_refused() -> None:
    """Of each family by itself."""
    listed = [{"address": f"10.0.{n // 200}.{n % 200}", "port": 1} for n in range(MOST_BACKENDS + 1)]
    service = {"name": "web", "addresses": ["192.0.2.1", "::7"], "port": 1, "backends": listed}
    six = [{"address": "2001:db8::1", "port": 1}]
    allowed = {**service, "backends": listed[1:] + six}

    assert len(parse(yaml.safe_dump([allowed]))[0].backends) == MOST_BACKENDS + 1
    with pytest.raises(SpecErrors, match=f"{codes.TOO_MANY}.*are 164 of IPv4; write at most 163"):
        parse(yaml.safe_dump([service]))


def test_a_file_is_a_list() -> None:
    """An empty one is no service; an empty file is a mistake."""
    assert parse("[]") == ()
    with pytest.raises(SpecErrors, match=linting.EMPTY):
        parse("")
    with pytest.raises(SpecErrors, match="is no list"):
        parse("name: web")


def test_each_address_is_balanced_over_the_backends_of_its_family() -> None:
    """Over those that take new connections; the others are members all the same. Nobody asks for SCTP."""
    four, six, dns = frontends(parse(GOOD))

    assert (four.service, four.place, four.protocol) == ("shop/web", "198.51.100.1:80/TCP", 6)
    assert four.weights == {"10.0.0.1:8080": 3}
    assert list(four.members) == ["10.0.0.1:8080", "10.0.0.2:8080"]
    assert (six.place, six.weights) == ("[2001:db8::1]:80/TCP", {"[2001:db8:1::1]:8080": 1})
    assert (dns.place, dns.protocol, dns.members) == ("198.51.100.1:80/UDP", 17, {})
    assert (four.backend_of(7), dns.backend_of(7)) == ("10.0.0.1:8080", None)
    assert four.end == layouts.end(ipaddress.ip_address("198.51.100.1"), 80)
    assert four.end == bytes(10) + b"\xff\xff\xc6\x33\x64\x01\x00\x50\x00\x00"


def test_a_socket_is_given_what_its_slot_has() -> None:
    """By its cookie alone."""
    service = GOOD.replace(", draining: true", "")
    frontend = next(frontends(parse(service)))
    table = maglev.table({"10.0.0.1:8080": 3, "10.0.0.2:8080": 1})

    given = [frontend.backend_of(cookie) for cookie in range(1, 40)]
    assert given == [table[maglev.slot(cookie)] for cookie in range(1, 40)]
    assert len(set(given)) == 2


def test_the_list_that_the_page_shows_can_be_used() -> None:
    """Whoever copies it gets no finding."""
    page = (pathlib.Path(__file__).resolve().parents[3] / "docs" / "balancing.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```yaml\n(- .*?)^```", page, re.MULTILINE | re.DOTALL)

    assert [one.full_name for one in files.parse({"balancing.md": shown})] == ["shop/web"]


def test_schema_and_reader_say_the_same_about_its_shape() -> None:
    """A schema refuses nothing that the reader takes, and the reader alone sees no key, shape or gap."""
    whole = yaml.safe_load(GOOD)
    schema = published.list_schemas()["services.json"]
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(whole)
    assert both.agreed(whole, validator, functools.partial(both.codes_of, files.parse)) > 100
