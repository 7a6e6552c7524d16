"""The file of endpoints: what it says, and what is wrong with it."""

import functools
import ipaddress
import pathlib
import re

import jsonschema
import pytest
import yaml

from netsre.app.schemas import published
from netsre.datapath.policy import ends
from netsre.errors import BadInput, SpecErrors
from netsre.model import linting
from netsre.model.policies import codes, endpoints
from netsre.model.policies.values import Kind, NamedPort, Protocol
from tests.unit.app import test_schemas as both

GOOD = """\
- name: web
  namespace: shop
  labels: {app: web}
  namespaceLabels: {team: a}
  ips: [10.0.0.1, '2001:db8::1']
  interface: veth1
  namedPorts: {http: 8080, dns: 53/UDP}
- {name: db, namespace: shop, ips: [10.0.0.2]}
- {name: node, labels: {'reserved:host': ''}, ips: [10.0.0.254]}
"""


def test_every_key_is_read() -> None:
    """Labels of a namespace may be written once."""
    web, db, node = endpoints.parse({"e.yaml": GOOD})

    assert web.full_name == "shop/web"
    assert web.ips == (ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("2001:db8::1"))
    assert web.interface == "veth1"
    assert web.named_ports == (
        NamedPort("http", Protocol.TCP, 8080),
        NamedPort("dns", Protocol.UDP, 53),
    )
    assert db.namespace_labels == {"team": "a"}
    assert (node.kind, node.labels, node.namespace) == (Kind.HOST, {}, "default")


def test_named_ports_may_be_a_list_as_that_of_a_container() -> None:
    """With TCP where no protocol is written."""
    text = GOOD.replace(
        "{http: 8080, dns: 53/UDP}", "[{name: http, port: 8080}, {name: dns, port: 53, protocol: UDP}]"
    )

    assert endpoints.parse({"e.yaml": text}) == endpoints.parse({"e.yaml": GOOD})


@pytest.mark.parametrize(
    ("old", "new", "line", "code", "words"),
    [
        ("- name: web", "- nam: web", 1, linting.UNKNOWN_KEY, "did you mean 'name'?"),
        ("- name: web\n", "- name: We b\n", 1, codes.ENDPOINT_NAME, "'We b' is not a name"),
        ("namespaceLabels", "namespacelabels", 4, linting.UNKNOWN_KEY, "did you mean 'namespaceLabels'?"),
        ("{app: web}", "{app: we b}", 3, codes.SELECTOR, "no value of a label"),
        ("{app: web}", "{'a b': web}", 3, codes.SELECTOR, "no key of a label"),
        ("{app: web}", "{'reserved:world': ''}", 3, codes.RESERVED, "no reserved name of an entry"),
        ("10.0.0.1,", "10.0.0.1/24,", 5, codes.ADDRESS, "write one such as 10.1.2.3"),
        ("10.0.0.1,", "10.0.0.01,", 5, codes.ADDRESS, "is no address"),
        ("http: 8080", "http: 0", 7, codes.NAMED_PORT, "is no port"),
        ("http: 8080", "http: 80/ICMP", 7, codes.NAMED_PORT, "write one such as 53/UDP"),
        ("http: 8080", "HTTP: 8080", 7, codes.NAMED_PORT, "no name of a port"),
        ("{http: 8080, dns: 53/UDP}", "8080", 7, linting.SHAPE, "write a mapping"),
        ("[10.0.0.2]", "[10.0.0.1]", 8, codes.TAKEN, "is that of shop/web"),
        ("[10.0.0.2]", "['::ffff:10.0.0.1']", 8, codes.TAKEN, "is that of shop/web"),
        ("- name: web\n", '- interface: "a\\0b"\n  name: web\n', 1, codes.INTERFACE, "is no interface"),
        ("- name: web\n", '- interface: "a\\n"\n  name: web\n', 1, codes.INTERFACE, "is no interface"),
        (
            "- name: web\n",
            "- interface: 0123456789abcdef\n  name: web\n",
            1,
            codes.INTERFACE,
            "is no interface",
        ),
        ("- name: web\n", "- interface: a/b\n  name: web\n", 1, codes.INTERFACE, "is no interface"),
        ("- name: web\n", "- interface: ..\n  name: web\n", 1, codes.INTERFACE, "is no interface"),
        ("name: db", "name: web", 8, codes.TAKEN, "shop/web is that of shop/web in e.yaml:1"),
        ("shop, ips", "shop, namespaceLabels: {team: b}, ips", 8, codes.NAMESPACE_LABELS, "write the same"),
    ],
)
def test_a_mistake_has_its_place_and_code(old: str, new: str, line: int, code: str, words: str) -> None:
    """And what to write instead."""
    assert old in GOOD
    with pytest.raises(SpecErrors) as caught:
        endpoints.parse({"e.yaml": GOOD.replace(old, new, 1)})

    found = [one for one in caught.value.findings if (one.line, one.code) == (line, code)]
    assert any(words in one.message for one in found), caught.value


def test_a_file_is_a_list() -> None:
    """An empty one is no endpoint; an empty file is a mistake."""
    assert endpoints.parse({"e.yaml": "[]"}) == ()
    with pytest.raises(SpecErrors, match=linting.EMPTY):
        endpoints.parse({"e.yaml": ""})
    with pytest.raises(SpecErrors, match="is no list"):
        endpoints.parse({"e.yaml": "name: web"})


@pytest.mark.parametrize(
    ("source", "destination", "found"),
    [
        ("shop/web", "shop/db", ("shop/web (10.0.0.1)", "shop/db (10.0.0.2)")),
        ("shop/web", "2001:db8::9", ("shop/web (2001:db8::1)", "2001:db8::9")),
        ("10.0.0.1", "10.0.0.9", ("shop/web (10.0.0.1)", "10.0.0.9")),
        ("::ffff:10.0.0.1", "shop/db", ("shop/web (10.0.0.1)", "shop/db (10.0.0.2)")),
        ("host", "shop/db", ("default/node (10.0.0.254)", "shop/db (10.0.0.2)")),
        ("remote-node", "shop/db", ("remote-node", "shop/db (10.0.0.2)")),
        ("127.0.0.1", "shop/db", ("127.0.0.1", "shop/db (10.0.0.2)")),
    ],
)
def test_an_end_is_found_by_name_or_address(source: str, destination: str, found: tuple[str, str]) -> None:
    """By the first address that the other end can reach."""
    one, other = ends.between(source, destination, endpoints.parse({"e.yaml": GOOD}))

    assert (str(one), str(other)) == found


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("shop/wbe", "did you mean 'shop/web'?"),
        ("web", "did you mean 'shop/web'?"),
        ("wxyz", "write namespace/name or an address"),
        ("2001:db8::9", "no family of addresses in common"),
    ],
)
def test_an_end_that_is_not_there_is_bad_input(source: str, words: str) -> None:
    """With the nearest that is."""
    with pytest.raises(BadInput) as caught:
        ends.between(source, "shop/db", endpoints.parse({"e.yaml": GOOD}))

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "port"),
    [("80/TCP", 80), ("80", 80), ("65535/udp", 65535), ("9/SCTP", 9), ("0/ICMP", 0), ("128/icmpv6", 128)],
)
def test_a_service_is_read(text: str, port: int) -> None:
    """In any case of letters."""
    assert ends.service(text).port == port


@pytest.mark.parametrize(
    "text", ["", "/TCP", "0/TCP", "65536/TCP", "80/TPC", "256/ICMP", "http/TCP", "8 0/TCP", "80/"]
)
def test_what_is_no_service_is_refused(text: str) -> None:
    """With one that is."""
    with pytest.raises(ValueError, match="as in"):
        ends.service(text)


def test_the_list_that_the_page_shows_can_be_used() -> None:
    """Whoever copies it gets no finding."""
    page = (pathlib.Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```yaml\n(- .*?)^```", page, re.MULTILINE | re.DOTALL)

    assert [one.kind for one in endpoints.parse({"policy.md": shown})] == [Kind.ENDPOINT, Kind.HOST]


WHOLE = yaml.safe_load(
    GOOD
    + "- {name: c, namedPorts: [{name: http, port: 80, protocol: TCP}], labels: {'reserved:health': x}}\n"
)


def test_schema_and_reader_say_the_same_about_its_shape() -> None:
    """A schema refuses nothing that the reader takes, and the reader alone sees no key, shape or gap."""
    schema = published.list_schemas()["endpoints.json"]
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(WHOLE)
    assert both.agreed(WHOLE, validator, functools.partial(both.codes_of, endpoints.parse)) > 100
