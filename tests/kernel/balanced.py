"""A place where services are balanced: backends that say their names, and sockets of a cgroup of its own."""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from netsre.adapters import namespaces
from netsre.adapters.bpf import attaching
from netsre.adapters.bpf.balance import Balance
from netsre.adapters.bpf.balance_programs import Objects, open_balance
from netsre.app.resources import directory
from netsre.datapath.balance.frontends import Frontend, frontends
from netsre.datapath.balance.programs import PROGRAMS
from netsre.model.balance import files
from netsre.model.balance.values import Service
from tests.kernel import attempts
from tests.kernel.attempts import Place
from tests.kernel.cgroups import Cgroup, cgroup

PORT: Final = 9300
"""Of every backend."""
SERVICE_PORT: Final = 80
ADDRESSES: Final = {4: "198.18.80.{}", 6: "2001:db8:80::{}"}
"""Of services, by their number: nobody has such an address, only the balancer leads anywhere."""
BACKENDS: Final = {4: "198.18.81.{}", 6: "2001:db8:81::{}"}
COOKIE: Final = 57
"""SO_COOKIE."""

_MAKER: Final = """
import socket, sys
ours = socket.socket(fileno=int(sys.argv[1]))
while asked := ours.recv(100):
    family, kind = map(int, asked.split())
    with socket.socket(family, kind) as made:
        socket.send_fds(ours, [b"x"], [made.fileno()])
"""
_LOAD: Final = """
import collections, json, socket, sys
said = collections.Counter()
addresses, port, count = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(count):
    address = addresses[number % len(addresses)]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(20)
        try:
            client.connect((address, port))
            client.send(b"?")
            said[client.recv(100).decode()] += 1
        except OSError as error:
            said["failed: " + str(error)] += 1
print(json.dumps(said))
"""


def services(
    *backends: int, number: int = 1, protocol: str = "TCP", draining: Iterable[int] = ()
) -> tuple[Service, ...]:
    """Return a service of both families, with the backends of these numbers, and some that are draining."""
    each = [
        {"address": address.format(backend), "port": PORT, "draining": backend in draining}
        for address in BACKENDS.values()
        for backend in (*backends, *draining)
    ]
    listed = {
        "name": f"s{number}",
        "addresses": [address.format(number) for address in ADDRESSES.values()],
        "port": SERVICE_PORT,
        "protocol": protocol,
        "backends": each,
    }
    return files.parse({"services.yaml": json.dumps([listed])})


def both(*backends: int, number: int = 1, draining: Iterable[int] = ()) -> list[Frontend]:
    """Return the same, for TCP and for UDP."""
    drained = tuple(draining)
    return [
        frontend
        for protocol in ("TCP", "UDP")
        for frontend in frontends(services(*backends, number=number, protocol=protocol, draining=drained))
    ]


def backend(number: int, version: int) -> str:
    """Return the name of a backend."""
    address = BACKENDS[version].format(number)
    return f"[{address}]:{PORT}" if version == 6 else f"{address}:{PORT}"


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace with backends, and a cgroup whose sockets are balanced."""

    place: Place
    cgroup: Cgroup
    _maker: socket.socket

    def socket(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        """Return a socket that was made inside of the cgroup and of the namespace."""
        self._maker.send(f"{int(family)} {int(kind)}".encode())
        _, fds, _, _ = socket.recv_fds(self._maker, 1, 1)
        made = socket.socket(fileno=fds[0])
        made.settimeout(10)
        return made

    def load(self, addresses: list[str], count: int) -> Counter[str]:
        """Connect so often from inside of the cgroup, and return who answered, or what failed."""
        enter = f'echo $$ > "{self.cgroup.directory}/cgroup.procs"; exec "$@"'
        words = [sys.executable, "-c", _LOAD, json.dumps(addresses), str(SERVICE_PORT), str(count)]
        done = namespaces.run(self.place.name, ["sh", "-c", enter, "sh", *words])
        done.check_returncode()
        return Counter(json.loads(done.stdout))


@contextlib.contextmanager
def site(backends: int) -> Iterator[Site]:
    """Make it, with so many backends of each family from number 1 on, and take it away again."""
    with attempts.place() as place, cgroup("balanced") as inside, contextlib.ExitStack() as stack:
        hosts = {
            pattern.format(number): (version, number)
            for version, pattern in BACKENDS.items()
            for number in range(1, backends + 1)
        }
        lines = [
            f"address add {address}/{128 if version == 6 else 32} dev lo {'nodad' if version == 6 else ''}\n"
            for address, (version, _) in hosts.items()
        ]
        namespaces.run(place.name, ["ip", "-batch", "-"], "".join(lines)).check_returncode()
        names = {address: backend(number, version) for address, (version, number) in hosts.items()}
        stack.enter_context(_answering(place, names))
        yield Site(place, inside, stack.enter_context(_making(place, inside)))


@contextlib.contextmanager
def balancing(where: Site) -> Iterator[Balance]:
    """Load the balancer, attach it to the cgroup, and take it away again."""
    objects = Objects.load(open_balance(directory("bpf")))
    links: list[int] = []
    cgroup_fd = os.open(where.cgroup.directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        links += (
            attaching.attach_cgroup(objects.programs[one.name], one.hook, cgroup_fd) for one in PROGRAMS
        )
        yield Balance(objects.maps)
    finally:
        for fd in (*links, cgroup_fd):
            os.close(fd)
        objects.close()


def write(balance: Balance, listed: Iterable[Frontend]) -> int:
    """Write a revision, and return its number."""
    return balance.write(balance.encode(listed))


@contextlib.contextmanager
def _making(place: Place, inside: Cgroup) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    enter = f'echo $$ > "{inside.directory}/cgroup.procs"; exec "$@"'
    words = ["sh", "-c", enter, "sh", sys.executable, "-c", _MAKER, str(theirs.fileno())]
    started: list[subprocess.Popen[bytes]] = []
    place.run(lambda: started.append(subprocess.Popen(words, pass_fds=[theirs.fileno()])))
    theirs.close()
    ours.settimeout(20)
    with ours:
        yield ours
        ours.shutdown(socket.SHUT_RDWR)
        assert started[0].wait(20) == 0


@contextlib.contextmanager
def _answering(place: Place, names: dict[str, str]) -> Iterator[None]:
    """Have each address say its name to whoever asks, over TCP and UDP."""
    with selectors.DefaultSelector() as selector:

        def listen() -> None:
            for address, name in names.items():
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                server = socket.create_server((address, PORT), family=family, backlog=1024)
                datagrams = socket.socket(family, socket.SOCK_DGRAM)
                datagrams.bind((address, PORT))
                for each in (server, datagrams):
                    each.setblocking(False)
                    selector.register(each, selectors.EVENT_READ, name)

        place.run(listen)
        asleep, awake = os.pipe()
        selector.register(asleep, selectors.EVENT_READ)
        thread = threading.Thread(target=_answer, args=(selector, asleep))
        thread.start()
        try:
            yield
        finally:
            os.close(awake)
            thread.join()
            for key in list(selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
            os.close(asleep)


def _answer(selector: selectors.BaseSelector, asleep: int) -> None:
    while True:
        for key, _ in selector.select():
            if key.fileobj == asleep:
                return
            assert isinstance(key.fileobj, socket.socket)
            with contextlib.suppress(ConnectionError, BlockingIOError):
                _serve(selector, key.fileobj, key.data)


def _serve(selector: selectors.BaseSelector, asked: socket.socket, name: str) -> None:
    if asked.type == socket.SOCK_DGRAM:
        _, peer = asked.recvfrom(100)
        asked.sendto(name.encode(), peer)
    elif asked.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        client, _ = asked.accept()
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ, name)
    elif asked.recv(100):
        asked.send(name.encode())
    else:
        selector.unregister(asked)
        asked.close()
