"""The lab: a small network of its own, with real connections to watch and to break.

    cli-a ---- veth ---- srv ---- veth ---- cli-b         three namespaces, IPv4 and IPv6
      client process     server process       client process

Where cli-b is told to, it also floods srv, which has a sink for that. Nothing of it touches the host's own
interfaces, addresses or rules.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters import namespaces, processes
from netsre.adapters.namespaces import Address, End
from netsre.app.local.supervise import Program, Supervisor, describe_exit
from netsre.errors import EnvironmentUnfit
from netsre.gameday import ownership
from netsre.gameday.ownership import Owner

KIND: Final = ownership.LAB
PORT: Final = 8080
SINK_PORT: Final = 9000
"""The first of those where the noisy client's connections go."""
CONNECTIONS_PER_SECOND: Final = 40.0

# IPv4 from the block that RFC 2544 sets aside for tests, IPv6 from the unique local ones (RFC 4193).
_IPV4: Final = "198.18.{network}.{host}"
_IPV6: Final = "fd4e:7372:65{network:02x}::{host}"
_SERVER, _CLIENT = 1, 2
_NOISY_NETWORK: Final = 2
_SERVER_PATIENCE: Final = 10.0

# Tracking starts in a namespace when a rule there asks for the state of connections.
_TRACKING: Final = """\
table inet netsre {
    chain watch {
        type filter hook prerouting priority 0; policy accept;
        ct state new counter
        ct state established counter
    }
}
"""


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that stands: its namespaces, the processes that belong into them, and what it lacks."""

    server: str
    """Name of the server's namespace."""
    clients: tuple[str, ...]
    """Names of the clients' namespaces."""
    serving: Program
    addresses: int
    """How many sockets the server listens on."""
    requesting: tuple[Program, ...]
    flooding: tuple[Program, ...]
    """A sink, and a noisy client that is idle until commanded; none where no control socket was named."""
    lacks: tuple[str, ...]
    """One sentence for each thing that this machine could not give it."""


@contextlib.contextmanager
def network(
    owner: Owner,
    user: str,
    kind: str = KIND,
    rate: float = CONNECTIONS_PER_SECOND,
    control: Path | None = None,
) -> Iterator[Lab]:
    """Make a lab's network and take it away again, also when it could be made only by half.

    `control` is where its noisy client will take commands, in a directory of `user`; without it there is
    none. Raises `EnvironmentUnfit` when the machine cannot. The processes are the caller's to start.
    """
    server = owner.name(kind, ownership.SERVER)
    clients = tuple(owner.name(kind, role) for role in ("cli-a", "cli-b"))
    ipv6 = namespaces.ipv6_available()
    with contextlib.ExitStack() as stack:
        for name in (server, *clients):
            namespaces.create(name)
            stack.callback(namespaces.remove, name)
        for number, client in enumerate(clients, start=1):
            namespaces.connect(
                End(server, f"cli-{'ab'[number - 1]}", _addresses(number, _SERVER, ipv6=ipv6)),
                End(client, "eth0", _addresses(number, _CLIENT, ipv6=ipv6)),
            )
        lacks = [_track_connections(server)]
        if not ipv6:
            lacks.append("lab without IPv6: the kernel has it off; its connections are IPv4 only")
        everywhere = ("0.0.0.0", "::") if ipv6 else ("0.0.0.0",)  # noqa: S104  inside the namespace only
        yield Lab(
            server,
            clients,
            Program("lab-server", _command("server", server, user, everywhere)),
            len(everywhere),
            _requesting(clients, user, rate, ipv6=ipv6),
            _flooding((server, clients[-1]), user, control, everywhere) if control is not None else (),
            tuple(sentence for sentence in lacks if sentence),
        )


def start_traffic(lab: Lab, supervisor: Supervisor) -> None:
    """Start the server, and the rest as soon as it listens: an early client would only count refusals.

    Raises `EnvironmentUnfit` when the server does not come up.
    """
    server = supervisor.start(lab.serving)
    deadline = time.monotonic() + _SERVER_PATIENCE
    # Before it has entered its namespace, the process sees the host's sockets.
    while not _listens(server.pid, lab):
        server.lines()
        if server.exit_code is not None or time.monotonic() > deadline:
            raise EnvironmentUnfit(f"the lab's server does not answer: {describe_exit(server)}")
        time.sleep(0.02)
    for program in (*lab.requesting, *lab.flooding):
        supervisor.start(program)


def _listens(pid: int, lab: Lab) -> bool:
    inside = pid in processes.in_network_namespace(namespaces.identity(lab.server) or (0, 0))
    return inside and processes.listening_sockets(pid, PORT) >= lab.addresses


def _addresses(network_number: int, host: int, *, ipv6: bool) -> tuple[Address, ...]:
    ipv4 = Address(_IPV4.format(network=network_number, host=host), 24)
    return (ipv4, Address(_IPV6.format(network=network_number, host=host), 64)) if ipv6 else (ipv4,)


def _requesting(clients: tuple[str, ...], user: str, rate: float, *, ipv6: bool) -> tuple[Program, ...]:
    programs = []
    for number, client in enumerate(clients, start=1):
        targets = tuple(address.text for address in _addresses(number, _SERVER, ipv6=ipv6))
        command = (*_command("client", client, user, targets), "--rate", str(rate / len(clients)))
        programs.append(Program(f"lab-client-{'ab'[number - 1]}", command))
    return tuple(programs)


def _flooding(
    where: tuple[str, str], user: str, control: Path, everywhere: tuple[str, ...]
) -> tuple[Program, ...]:
    """Return the sink and the noisy client, for the namespaces of the server and of a client."""
    server, client = where
    ipv6 = len(everywhere) > 1
    targets = tuple(address.text for address in _addresses(_NOISY_NETWORK, _SERVER, ipv6=ipv6))
    sink = _command("sink", server, user, everywhere, SINK_PORT)
    noisy = (*_command("noisy", client, user, targets, SINK_PORT), "--control", str(control))
    return Program("lab-sink", sink), Program("lab-noisy", noisy)


def _command(
    part: str, namespace: str, user: str, addresses: tuple[str, ...], port: int = PORT
) -> tuple[str, ...]:
    """Return the command of one process; -P keeps modules of the current directory out of a root process."""
    start = (sys.executable, "-P", "-m", "netsre.app.local.labtraffic", part)
    where = [word for address in addresses for word in ("--address", address)]
    return (*start, "--namespace", namespace, "--user", user, "--port", str(port), *where)


def _track_connections(namespace: str) -> str:
    """Have the server's namespace track connections; return what is lacking, or nothing."""
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if nft is None:
        return "conntrack of the lab is not tracked: `nft` is missing; install nftables"
    loaded = namespaces.run(namespace, [nft, "-f", "-"], _TRACKING)
    if loaded.returncode != 0:
        reason = (loaded.stderr.strip().splitlines() or ["no reason given"])[0]
        return f"conntrack of the lab is not tracked: nft says {reason}"
    return ""
