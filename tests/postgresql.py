"""A PostgreSQL server of a run's own, as Debian has it: on a socket in a directory that nobody else has."""

import contextlib
import os
import pathlib
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.machine import wait_until

USER: Final = "netsre"
_PROGRAMS: Final = pathlib.Path("/usr/lib/postgresql")
_START_SECONDS: Final = 30
_AT_ONCE: Final = signal.SIGQUIT
"""Has a server end its children and itself; what it has need not be whole."""
# What people have who install it by hand: an order of letters that is not that of their numbers.
_ORDER: Final = ("--locale-provider=icu", "--icu-locale=en-US", "--encoding=UTF8")
_SETTINGS: Final = ("listen_addresses=", "fsync=off", "shared_buffers=16MB", "max_connections=60")
"""Nobody needs to have these databases after a power failure."""


def directory() -> pathlib.Path | None:
    """Return where the newest server's programs are; None where there is none."""
    found = [path.parent for path in _PROGRAMS.glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@dataclass(slots=True)
class Server:
    """A server that runs."""

    socket: pathlib.Path
    """The directory of its socket, and of its data."""
    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    def address(self, database: str) -> str:
        """Return how one of its databases is named in a set-up."""
        return f"postgresql://{USER}@/{database}?host={self.socket}"

    def run(self, statement: str, database: str = "postgres") -> None:
        """Carry out a statement that no transaction may be around."""
        # Every process that runs tests asks whether there is a server; few start one.
        import sqlalchemy  # noqa: PLC0415

        url = self.address(database).replace("postgresql:", "postgresql+psycopg:", 1)
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.socket / "log"
        with log.open("ab") as file:
            self.process = subprocess.Popen(self.command, stderr=file, cwd="/")
        assert wait_until(self._answers, _START_SECONDS), log.read_text()

    def stop(self) -> None:
        """End it at once, as if it had been killed."""
        if self.process is not None:
            self.process.send_signal(_AT_ONCE)
            self.process.wait(_START_SECONDS)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Have it be gone for a while."""
        self.stop()
        yield
        self.start()

    def _answers(self) -> bool:
        from sqlalchemy.exc import OperationalError  # noqa: PLC0415 - likewise

        with contextlib.suppress(OperationalError):
            self.run("SELECT 1")
            return True
        return False


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Start a server, and end it; root gives it to another user, as it refuses to be root's."""
    programs = directory()
    assert programs is not None
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="netsre-postgresql-") as made:
        os.chown(made, owner.pw_uid, owner.pw_gid)
        # Whoever a controller becomes may come to its socket; its data stay closed.
        pathlib.Path(made).chmod(0o711)
        data = f"{made}/data"
        make = [str(programs / "initdb"), "-D", data, "-U", USER, "-A", "trust", "--no-sync", *_ORDER]
        subprocess.run([*_as(owner), *make], stdout=subprocess.DEVNULL, cwd="/", check=True)
        settings = [part for one in (*_SETTINGS, f"unix_socket_directories={made}") for part in ("-c", one)]
        command = [*_as(owner), str(programs / "postgres"), "-D", data, *settings]
        server = Server(pathlib.Path(made), command)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _as(owner: pwd.struct_passwd) -> list[str]:
    """Return what has a command run as somebody, and end when we do, in whatever way."""
    change = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    return ["setpriv", *(change if os.geteuid() == 0 else []), f"--pdeathsig={_AT_ONCE.name}"]
