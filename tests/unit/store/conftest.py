"""What the tests of the store ask of both databases."""

import contextlib
from collections.abc import Iterator

import pytest

from tests import databases, postgresql
from tests.databases import Kept, New
from tests.postgresql import Server
from tests.unit import burning

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.requires("postgresql"))]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Start a PostgreSQL server for all tests of a run."""
    with postgresql.running() as one:
        yield one


@pytest.fixture(scope="session")
def kept(server: Server) -> Kept:
    """Return its databases that one test uses after the other."""
    return Kept(server, burning.MIGRATIONS)


@pytest.fixture(params=BOTH)
def each_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the stores of a test be in a file, and in a database of a server."""
    used = request.param == "postgresql"
    with databases.on(request.getfixturevalue("kept")) if used else contextlib.nullcontext():
        yield


@pytest.fixture(params=BOTH)
def each_new_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Likewise, for a test that does to it what no other may find; it has no table yet."""
    used = request.param == "postgresql"
    with databases.on(New(request.getfixturevalue("server"))) if used else contextlib.nullcontext():
        yield
