"""Names of both ends: what a path of a cgroup says, what people wrote, and what wins."""

import ipaddress

import pytest

from netsre.conventions import OTHER
from netsre.datapath import codes, workload_files
from netsre.datapath.workloads import MOST_RULES, WORKLOAD_KEY, Names, Workload, container, rules, unit
from netsre.errors import SpecErrors
from netsre.model import linting

ID = "0123456789ab" + "c" * 52
POD = "pod11112222_3333_4444_5555_666677778888"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"system.slice/docker-{ID}.scope", "0123456789ab"),
        (f"docker/{ID}", "0123456789ab"),
        (f"docker/{ID}/init.scope", "0123456789ab"),
        (
            f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{POD}.slice/cri-containerd-{ID}.scope",
            "pod-11112222/0123456789ab",
        ),
        (f"kubepods/besteffort/{POD.replace('_', '-')}/{ID}", "pod-11112222/0123456789ab"),
        (f"machine.slice/libpod-{ID}.scope/container", "0123456789ab"),
        ("lxc.payload.web1/system.slice/nginx.service", "web1"),
        ("lxc/web1", "web1"),
        ("machine.slice/systemd-nspawn@web2.service/payload", "web2"),
        ("machine.slice/machine-web3.scope", "web3"),
        ("system.slice/nginx.service", None),
        (f"system.slice/docker-{ID[:-1]}.scope", None),
        (f"system.slice/docker-{ID}0.scope", None),
        ("", None),
    ],
)
def test_a_container_is_known_by_the_path_of_its_cgroup(path: str, name: str | None) -> None:
    """As Docker, containerd, CRI-O, Podman, LXC and systemd write them, with and without systemd."""
    assert container(path) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("system.slice/nginx.service", "nginx"),
        ("system.slice/system-getty.slice/getty@tty1.service", "getty@tty1"),
        ("user.slice/user-1000.slice/session-3.scope", "user-1000"),
        ("user.slice/user-1000.slice/user@1000.service/init.scope", "user-1000"),
        ("user.slice/user-1000.slice/user@1000.service/app.slice/sync.service", "sync"),
        ("init.scope", None),
        ("", None),
    ],
)
def test_a_service_of_the_host_is_known_by_its_unit(path: str, name: str | None) -> None:
    """The innermost unit; what people run by hand is theirs."""
    assert unit(path) == name


@pytest.mark.parametrize(
    ("netns", "cgroup", "name"),
    [
        (1, 1, "host"),
        (1, 2, "nginx"),
        (1, 3, "0123456789ab"),
        (7, 2, "lab"),
        (7, 3, "0123456789ab"),
        (8, 2, "named"),
        (1, 4, "batch"),
        (9, 1, OTHER),
        (9, 3, "0123456789ab"),
        (1, 99, "host"),
        (0, 0, OTHER),
    ],
)
def test_what_says_most_names_the_client(netns: int, cgroup: int, name: str) -> None:
    """What people wrote, a container, a namespace with a name, the unit on the host, the host."""
    names = Names(
        {1: "host", 7: "lab", 8: "blue-1"},
        {
            1: "",
            2: "system.slice/nginx.service",
            3: f"docker/{ID}",
            4: "batch.slice/job-17.scope",
        },
        (Workload("batch", cgroups=("batch.slice/*",)), Workload("named", namespaces=("blue-*",))),
    )

    assert names.source(netns, cgroup) == name


def test_the_entries_of_the_kernel_begin_with_the_port() -> None:
    """An IPv4 network is written as ::ffff:a.b.c.d/96+n; of two equal ones the first counts."""
    database = Workload("database", (ipaddress.ip_network("10.1.0.0/16"),), (5432, 5433))
    cache = Workload("cache", (ipaddress.ip_network("fd00::/8"), ipaddress.ip_network("10.1.0.0/16")))
    again = Workload("again", (ipaddress.ip_network("fd00::/8"),))

    found = {WORKLOAD_KEY.unpack(key): value[0] for key, value in rules((database, cache, again))}

    mapped = bytes(10) + b"\xff\xff\x0a\x01\x00\x00"
    assert found == {
        (32 + 96 + 16, b"\x15\x38", mapped): 1,
        (32 + 96 + 16, b"\x15\x39", mapped): 1,
        (32 + 8, b"\0\0", b"\xfd" + bytes(15)): 2,
        (32 + 96 + 16, b"\0\0", mapped): 2,
    }


def written(body: str) -> str:
    """Return a file with some workloads."""
    head = "apiVersion: netsre.dev/v1\nkind: Workloads\nmetadata: {name: site}\nspec:\n  workloads:\n"
    return head + "".join(f"    {line}\n" for line in body.splitlines())


def test_a_file_is_read_in_its_order() -> None:
    """Every way to say who somebody is."""
    text = written(
        "- {name: database, cidrs: [10.1.0.0/16, '2001:db8::/32'], ports: [5432]}\n"
        "- {name: batch, cgroups: ['batch.slice/*'], namespaces: [batch-*]}\n"
        "- {name: dns, cidrs: ['2001:db8::10/128'], ports: [53], service: true}\n"
        "- {name: web, cidrs: [10.1.2.0/24], ports: [80], service: false}"
    )

    networks = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("2001:db8::/32"))
    assert workload_files.parse({"site.yaml": text}) == (
        Workload("database", networks, (5432,)),
        Workload("batch", (), (), ("batch.slice/*",), ("batch-*",)),
        Workload("dns", (ipaddress.ip_network("2001:db8::10/128"),), (53,), service=True),
        Workload("web", (ipaddress.ip_network("10.1.2.0/24"),), (80,)),
    )


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (
            "- {name: a, cidrs: [10.1.0.1/16]}",
            codes.NETWORK,
            "'10.1.0.1/16' is no network; write 10.1.0.0/16",
        ),
        ("- {name: a, cidrs: [ten]}", codes.NETWORK, "'ten' is no network; write one such as 10.1.0.0/16"),
        ("- {name: a, cidrs: [10.0.0.0/8], ports: [0]}", codes.PORT, "'0' is no port"),
        ("- {name: a, cidrs: [10.0.0.0/8], ports: ['65536']}", codes.PORT, "'65536' is no port"),
        ("- {name: a, cidrs: [10.0.0.0/8], ports: [http]}", codes.PORT, "'http' is no port"),
        ("- {name: a}", codes.NOTHING, "write cidrs, cgroups or namespaces"),
        ("- {name: a, cidrs: [], cgroups: []}", codes.NOTHING, "write cidrs, cgroups or namespaces"),
        ("- {name: a, namespaces: [x], ports: [80]}", codes.NOTHING, "write cidrs"),
        ("- {name: a, namespaces: [x]}\n- {name: a, namespaces: [y]}", codes.DUPLICATE, "write it once"),
        ("- {name: private, namespaces: [x]}", codes.RESERVED, "choose another"),
        ("- {name: a, cidrs: [10.0.0.0/31], ports: [53], service: true}", codes.SERVICE, "one address"),
        ("- {name: a, cidrs: ['::/0'], ports: [53], service: true}", codes.SERVICE, "one address"),
        ("- {name: a, cidrs: [10.0.0.1/32], service: true}", codes.SERVICE, "one port"),
        ("- {name: a, cidrs: [10.0.0.1/32], ports: [53, 54], service: true}", codes.SERVICE, "one port"),
        (
            "- {name: a, cidrs: [10.0.0.1/32, 10.0.0.2/32], ports: [53], service: true}",
            *(codes.SERVICE, "one address"),
        ),
        ("- {name: a, cgroups: [x], service: true}", codes.SERVICE, "one address"),
        ("- {name: a, cidrs: [10.0.0.1/32], ports: [53], service: 1}", linting.CHOICE, "true"),
        ("- {name: a, cidr: [10.0.0.0/8]}", "SPEC004", "cidrs"),
        ("- {name: A b, namespaces: [x]}", "SPEC012", ""),
    ],
)
def test_every_mistake_has_its_line_and_its_code(body: str, code: str, says: str) -> None:
    """One clear finding about the thing, with what to write instead."""
    with pytest.raises(SpecErrors) as refused:
        workload_files.parse({"site.yaml": written(body)})

    found = [finding for finding in refused.value.findings if finding.code == code]
    assert found, refused.value.findings
    assert says in found[0].message
    assert found[0].line > 5


def test_more_than_the_kernels_table_holds_is_refused() -> None:
    """Whole, and before anything is loaded."""
    ports = ", ".join(str(port) for port in range(1, MOST_RULES + 2))
    text = written(f"- {{name: a, cidrs: [10.0.0.0/8], ports: [{ports}]}}")

    with pytest.raises(SpecErrors, match=codes.TOO_MANY):
        workload_files.parse({"site.yaml": text})
