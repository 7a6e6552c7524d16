"""Addresses to listen on, as people write them."""

import pytest

from netsre.adapters.endpoints import Endpoint
from netsre.errors import BadInput


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8600", "127.0.0.1", 8600),
        ("[::1]:8600", "::1", 8600),
        ("[::]:0", "::", 0),
        ("node-a.example:65535", "node-a.example", 65535),
    ],
)
def test_an_address_is_read_and_written_the_same(text: str, host: str, port: int) -> None:
    """IPv6 stands in brackets, there and back."""
    found = Endpoint.parse(text, "--listen")

    assert (found.host, found.port) == (host, port)
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8600",
        ":8600",
        "a:",
        "a:65536",
        "a:-1",
        "a:٣",
        "::1:8600",
        "[::1]",
        "[a]:1",
        "[::1:1",
        "a b:1",
        "a:1\n",
    ],
)
def test_what_is_none_is_one_line_with_a_right_one(text: str) -> None:
    """What it was meant for, the value, and what to write instead."""
    with pytest.raises(BadInput) as refused:
        Endpoint.parse(text, "--agent-listen", 8601)

    assert str(refused.value) == (
        f"--agent-listen {text!r} is not HOST:PORT; write one such as 127.0.0.1:8601 or [::1]:8601"
    )
