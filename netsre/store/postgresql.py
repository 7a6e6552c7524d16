"""A database of a PostgreSQL server, which several controllers may share."""

from typing import Final

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection

from netsre.errors import BadInput, EnvironmentUnfit, StoreUnusable
from netsre.store.sqlite import READ_ONLY, UNHURRIED

_SCHEMES: Final = ("postgresql", "postgres")
_EXAMPLE: Final = "postgresql://netsre@db.example/netsre"
_SECRETS: Final = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
"""Settings of libpq, which an address may have behind its question mark."""
_LOCK: Final = 0x6E65_7473_7265
"""The number of the lock that a writer holds ("netsre"); of this database alone."""
_CONNECT_SECONDS: Final = 10
_CONNECTION: Final = {
    "connect_timeout": _CONNECT_SECONDS,
    "application_name": "netsre",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Where the address says nothing else; a server that vanished is known to be gone after about ten seconds."""
_STATEMENT: Final = 30_000
"""Milliseconds that one statement may take."""
_IDLE: Final = 5_000
"""Milliseconds that a writer may hold the lock and ask for nothing: one that is frozen stops no other."""
_BOUNDS: Final = (
    f"; SET LOCAL statement_timeout = {_STATEMENT}; SET LOCAL idle_in_transaction_session_timeout = {_IDLE}"
)
_PLENTY: Final = 8
"""Connections at most: there is one writer at a time, and readers are requests of the API and the console."""


class PostgresqlServer:
    """A database by its address."""

    def __init__(self, address: str, *, patience: int) -> None:
        """Connect when it is first needed; raises `BadInput` for what is no address.

        A writer waits so many milliseconds for another one.
        """
        url = _parsed(address)
        try:
            engine = sqlalchemy.create_engine(
                url.set(drivername="postgresql+psycopg"),
                pool_size=_PLENTY,
                max_overflow=0,
                pool_timeout=_CONNECT_SECONDS,
                pool_pre_ping=True,
                connect_args={name: value for name, value in _CONNECTION.items() if name not in url.query},
            )
        except ImportError as error:
            raise EnvironmentUnfit(
                "PostgreSQL needs a driver that is not installed: pip install 'netsre[postgresql]'"
            ) from error
        self.where = url.render_as_string(hide_password=True)
        self.engine = _prepare(engine, patience, self.where)

    def refuse_another(self) -> None:
        """Do nothing: a server's database cannot be exchanged under a connection."""

    def advice(self, cause: BaseException) -> str:
        """Return what is wrong and what to do about it."""
        state = getattr(cause, "sqlstate", None) or ""
        text = " ".join(str(cause).split()) or type(cause).__name__
        advice = {
            # A connection that was not made has none.
            "": "is the server there, with this database and this user? it is tried again",
            "08": "is the server there? it is tried again",
            "42501": "grant its user the right to create and change tables there",
            "25P03": "this process was asleep while it wrote; it is tried again",
            "53": "the server is short of something; it is tried again",
            "55P03": "another writer is slow or hangs; it is tried again",
            "57014": "the server is slow; it is tried again",
            "57P": "the server is being stopped or started; it is tried again",
        }
        for prefix, step in advice.items():
            if state.startswith(prefix) if prefix else not state:
                return f"{text}; {step}"
        return f"{text}; check the server, then start netsre again"


def _parsed(address: str) -> URL:
    try:
        url = sqlalchemy.make_url(address)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:  # the second for a port
        # What is no address may be a password that somebody pasted: it is not repeated.
        raise BadInput(f"--database is no address; write one such as {_EXAMPLE}") from error
    if url.drivername not in _SCHEMES:
        raise BadInput(f"--database is for PostgreSQL, not {url.drivername}; write one such as {_EXAMPLE}")
    if url.password is not None or _SECRETS & url.query.keys():
        advice = "leave it out, and set PGPASSWORD or write it into ~/.pgpass"
        raise BadInput(f"--database has a password in it, which every log would repeat; {advice}")
    return url


def _prepare(engine: Engine, patience: int, where: str) -> Engine:
    """Have a reader see one moment, and writers, of whatever process, go one after the other."""

    # First: SQLAlchemy's own look at a new connection wants to read text.
    @event.listens_for(engine, "connect", insert=True)
    def on_connect(connection: DBAPIConnection, _record: object) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreUnusable(
                f"database {where} has the encoding {encoding}, in which not every text can be written; "
                "make another one: CREATE DATABASE … ENCODING 'UTF8'"
            )

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get(READ_ONLY, False):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return
        # Each statement of a writer sees what was committed before it: with this lock that is all there is.
        bounds = "" if options.get(UNHURRIED, False) else _BOUNDS
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {patience}{bounds}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")

    return engine
