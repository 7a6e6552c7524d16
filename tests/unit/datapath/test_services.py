"""Connections to services: what bytes mean, what a service is called, and totals that only grow."""

from ipaddress import ip_address, ip_network

import pytest

from netsre.conventions import OTHER
from netsre.datapath import services
from netsre.datapath.services import MOST_NAMES, Service, ServiceCount, ServiceTotals
from netsre.datapath.workloads import Workload

TCP, UDP = 6, 17
DNS = Service(ip_address("10.96.0.10"), 53, UDP)
WEB = Service(ip_address("2001:db8::80"), 443, TCP)


def counter(service: Service, path: str, connections: int) -> ServiceCount:
    """Return a counter with a key of its own."""
    return ServiceCount(service.key + path.encode(), service, path, connections)


def totals(of: ServiceTotals) -> dict[tuple[str, str], int]:
    """Return the totals by name and path."""
    return {(name, path): count for name, path, count in of.amounts()}


def test_a_key_of_the_kernel_has_address_port_and_protocol_in_their_places() -> None:
    """As on the wire, IPv4 as it stands in an IPv6 header."""
    assert DNS.key.hex() == "00000000000000000000ffff0a60000a" + "0035" + "1100"
    assert WEB.key.hex() == "20010db8000000000000000000000080" + "01bb" + "0600"


def test_counters_are_summed_over_cpus_and_read_back_as_what_was_known() -> None:
    """The key of a counter is that of the service and the path."""
    value = (3).to_bytes(8, "little") + (4).to_bytes(8, "little")
    entries = [(DNS.key + bytes([0, 0, 0, 0]), value), (WEB.key + bytes([1, 0, 0, 0]), value)]

    assert list(services.decode(entries)) == [
        ServiceCount(entries[0][0], DNS, "bpf", 7),
        ServiceCount(entries[1][0], WEB, "other", 7),
    ]


def test_of_ciliums_entries_the_services_are_kept_and_their_backends_are_not() -> None:
    """Protocol 0 is any; both scopes are one service; what has no address or port of its own is left out."""
    four = [
        "0a60000a" + "0035" + "0000" + "11" + "00" + "0000",
        "0a60000a" + "0035" + "0000" + "11" + "01" + "0000",
        "0a60000a" + "0035" + "0100" + "11" + "00" + "0000",
        "0a600001" + "01bb" + "0000" + "00" + "00" + "0000",
        "00000000" + "7530" + "0000" + "06" + "00" + "0000",
        "0a600002" + "0000" + "0000" + "00" + "00" + "0000",
    ]
    six = ["20010db8000000000000000000000080" + "01bb" + "0000" + "06" + "00" + "0000"]
    any_protocol = {Service(ip_address("10.96.0.1"), 443, protocol) for protocol in (TCP, UDP)}

    assert set(services.of_cilium(bytes.fromhex(key) for key in four)) == {DNS, *any_protocol}
    assert list(services.of_cilium(bytes.fromhex(key) for key in six)) == [WEB]
    with pytest.raises(ValueError, match="8 bytes"):
        list(services.of_cilium([bytes(8)]))


def test_a_service_is_called_as_the_rule_for_its_port_or_by_where_it_is() -> None:
    """The longest network wins; a rule without ports is about whoever is there, not about a service."""
    rules = (
        Workload("cluster", (ip_network("10.96.0.0/12"),)),
        Workload("wide", (ip_network("10.0.0.0/8"),), (53,)),
        Workload("dns", (ip_network("10.96.0.10/32"),), (53,), service=True),
        Workload("again", (ip_network("10.96.0.10/32"),), (53,)),
    )

    assert services.name(DNS, rules) == "dns"
    assert services.name(DNS, rules[:2]) == "wide"
    assert services.name(DNS, rules[:1]) == "10.96.0.10:53/UDP"
    assert services.name(WEB, rules) == "[2001:db8::80]:443/TCP"
    assert set(services.of_rules(rules)) == {DNS, DNS._replace(protocol=TCP)}


def test_what_one_name_has_is_added_up_and_each_path_is_told() -> None:
    """Also where one path was never taken: nothing is a number there."""
    both = (Workload("dns", (ip_network("10.96.0.10/32"),), (53,)),)
    found = ServiceTotals(both)
    found.add([counter(DNS, "bpf", 5), counter(DNS._replace(protocol=TCP), "bpf", 2)], {"bpf": 0, "other": 0})

    assert totals(found) == {("dns", "bpf"): 7, ("dns", "other"): 0}


def test_a_total_never_falls_when_a_service_goes_and_comes_back() -> None:
    """What is read again adds nothing; a counter that was made anew adds all that it has."""
    found, nothing = ServiceTotals(()), {"bpf": 0, "other": 0}
    for connections in (5, 5, 9, 2):
        found.add([counter(DNS, "bpf", connections)], nothing)
    assert totals(found)[DNS.label, "bpf"] == 11
    found.add([], nothing)
    found.add([counter(DNS, "bpf", 3)], nothing)
    assert totals(found)[DNS.label, "bpf"] == 14


def test_names_of_services_that_are_gone_are_forgotten() -> None:
    """Its series ends, and others may have its place; those without a name go with the last."""
    found = ServiceTotals(())
    found.add([counter(DNS, "bpf", 1), counter(WEB, "other", 1)], {"bpf": 0, "other": 4})
    found.keep({WEB})
    assert set(totals(found)) == {(name, path) for name in (WEB.label, OTHER) for path in ("bpf", "other")}
    found.keep(set())
    assert totals(found) == {}


def test_more_services_than_are_kept_apart_are_others_with_their_path() -> None:
    """Beside what the kernel could not keep apart: nothing is lost but the name."""
    many = [Service(ip_address("10.0.0.0") + number, 80, TCP) for number in range(MOST_NAMES + 3)]
    found = ServiceTotals(())
    found.add([counter(service, "other", 2) for service in many], {"bpf": 1, "other": 10})

    told = totals(found)
    assert len(told) == 2 * (MOST_NAMES + 1)
    assert (told[OTHER, "bpf"], told[OTHER, "other"]) == (1, 16)
