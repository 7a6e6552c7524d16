"""Addresses that our own processes serve: is one free, does somebody answer there, and what."""

import errno
import http.client
import json
import re
import socket
from dataclasses import dataclass
from typing import Final, Self

from netsre import conventions
from netsre.errors import BadInput, EnvironmentUnfit
from netsre.model import literals

_MOST_BYTES: Final = 16 * 1024 * 1024
HOST_AND_PORT: Final = re.compile(
    r"(?:\[(?P<ipv6>[^\[\]\s]*:[^\[\]\s]*)\]|(?P<host>[^:\[\]\s]+)):(?P<port>[0-9]{1,5})"
)
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, what: str, usual_port: int = conventions.CONTROLLER_PORT) -> Self:
        """Read `HOST:PORT`, IPv6 in brackets; `BadInput` names `what` it was meant for, and a right form."""
        found = HOST_AND_PORT.fullmatch(text)
        if found is None or int(found["port"]) > _LARGEST_PORT:
            right = f"127.0.0.1:{usual_port} or [::1]:{usual_port}"
            raise BadInput(f"{what} {literals.shown(text)} is not HOST:PORT; write one such as {right}")
        return cls(found["ipv6"] or found["host"], int(found["port"]))

    def __str__(self) -> str:
        """Return `HOST:PORT`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def reachable(self) -> "Endpoint":
        """The same port where a client on this machine finds it: a wildcard is no address to call."""
        return Endpoint({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)  # noqa: S104

    @property
    def url(self) -> str:
        """The address of the service, for a browser on this machine."""
        return f"http://{self.reachable}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 when nobody answered, with the reason as the text."""

    status: int
    text: str


def refusal(endpoint: Endpoint) -> str | None:
    """Say why nobody could listen there now; None when one could. Port 0 is always free."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((endpoint.host, endpoint.port))
    except OSError as error:
        return "in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
    return None


def get(endpoint: Endpoint, path: str, timeout: float) -> Answer:
    """Ask for one path; whatever goes wrong is an answer, never an exception."""
    target = endpoint.reachable
    connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Accept": "application/json, text/plain"})
        response = connection.getresponse()
        return Answer(response.status, response.read(_MOST_BYTES).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error) or type(error).__name__)
    finally:
        connection.close()


def document(endpoint: Endpoint, path: str, answer: Answer) -> object:
    """Return the JSON document that one path answered; `EnvironmentUnfit` when there is none."""
    if answer.status != http.HTTPStatus.OK:
        reason = answer.text.strip().splitlines()[:1] or ["no reason given"]
        raise EnvironmentUnfit(f"http://{endpoint}{path} answered {answer.status or 'nothing'}: {reason[0]}")
    try:
        return json.loads(answer.text)
    except ValueError as error:
        raise EnvironmentUnfit(f"http://{endpoint}{path} answered no JSON: {error}") from error
