"""Requests that Slack never sent, by the thousand: changed ones of its own, and such as are signed wrongly.

Each is another one. None is answered with 2xx, none with an error of ours, and none leaves a trace.
"""

import pathlib
import random
import urllib.parse
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from tests import slack_server
from tests.unit.app.slack_desk import ANN, Station, station

COUNT: Final = 3_000
_BYTES: Final = (0, 0x25, 0x26, 0x3D, 0x7B, 0x22, 0x80, 0xC3, 0xFF)
_TIMES: Final = ("", "abc", "1.5", "-5", "0x10", "1e9", "NaN", "9" * 5000, " ", "\xe9")
_SIGNATURES: Final = ("", "v0", "v0=", "v1=" + "0" * 64, "v0=" + "G" * 64, "v0=" + "0" * 63, "\xe4" * 67)
Request = tuple[bytes, dict[str, str]]


def _changed(dice: random.Random, body: bytes, at: Station) -> Request:
    """Change some bytes of what was signed."""
    signed, told = slack_server.headers(body, at.now), bytearray(body)
    for _ in range(dice.randrange(1, 6)):
        told[dice.randrange(len(told))] = dice.choice((*_BYTES, dice.randrange(256)))
    grown = bytes(told) if bytes(told) != body else body + b"&"
    return grown, signed


def _cut(dice: random.Random, body: bytes, at: Station) -> Request:
    """Leave the end away, of the body or of its signature."""
    signed = slack_server.headers(body, at.now)
    if dice.random() < 0.5:
        return body[: dice.randrange(len(body))], signed
    signed["X-Slack-Signature"] = signed["X-Slack-Signature"][: dice.randrange(67)]
    return body, signed


def _late(dice: random.Random, body: bytes, at: Station) -> Request:
    """Sign it at another time."""
    return body, slack_server.headers(body, at.now + dice.choice((-1, 1)) * dice.randrange(301, 10**9))


def _moved(dice: random.Random, body: bytes, at: Station) -> Request:
    """Sign one time, and say another one."""
    signed = slack_server.headers(body, at.now)
    signed["X-Slack-Request-Timestamp"] = str(at.now + dice.randrange(1, 299))
    return body, signed


def _forged(dice: random.Random, body: bytes, at: Station) -> Request:
    """Sign it with another secret."""
    return body, slack_server.headers(body, at.now, f"{slack_server.SECRET}{dice.random()}")


def _odd(dice: random.Random, body: bytes, at: Station) -> Request:
    """Say what is no time and no signature."""
    signed = slack_server.headers(body, at.now)
    if dice.random() < 0.5:
        signed["X-Slack-Request-Timestamp"] = dice.choice(_TIMES)
    else:
        signed["X-Slack-Signature"] = dice.choice(_SIGNATURES)
    return body + bytes([dice.randrange(65, 90)]), signed


def _nonsense(dice: random.Random, _body: bytes, at: Station) -> Request:
    """Sign what says nothing: the secret does not make a click of it."""
    shapes: tuple[Callable[[], bytes], ...] = (
        lambda: dice.randbytes(dice.randrange(200)),
        lambda: b"payload=" + urllib.parse.quote_from_bytes(dice.randbytes(dice.randrange(60))).encode(),
        lambda: slack_server.form([dice.random()] * dice.randrange(5)),
        lambda: b"payload=" + b"[" * dice.randrange(1000, 90_000),
        lambda: b"payload=" + b"1" * dice.randrange(1, 9000),
    )
    body = dice.choice(shapes)()
    return body, slack_server.headers(body, at.now)


def _spoilt(dice: random.Random, body: bytes, at: Station) -> Request:
    """Sign a click one of whose parts is not what it must be."""
    del body
    asked = at.slack.question()
    assert asked is not None
    payload: Any = at.slack.payload(asked, "netsre.approve", ANN)
    part, key = dice.choice(
        (
            (payload, "type"), (payload, "user"), (payload, "team"), (payload, "api_app_id"),
            (payload, "actions"), (payload, "container"), (payload["user"], "id"), (payload["team"], "id"),
            (payload["container"], "message_ts"), (payload["container"], "channel_id"),
            (payload["actions"][0], "value"), (payload["actions"][0], "action_id"),
            (payload["actions"][0], "action_ts"),
        )
    )  # fmt: skip
    part[key] = dice.choice(
        (None, [], {}, -1, dice.random(), "", f" {dice.random()}", "\ud800", "a" * 5000, "٣.٣")
    )
    told = slack_server.form(payload)
    return told, slack_server.headers(told, at.now)


WAYS: Final = (_changed, _cut, _late, _moved, _forged, _odd, _nonsense, _spoilt)


def attack(at: Station, dice: random.Random, count: int) -> Counter[int]:
    """Send so many, no two the same; return how often each status came."""
    asked = at.slack.question()
    assert asked is not None
    answers, seen = Counter[int](), set[int]()
    while len(seen) < count:
        body = slack_server.form(at.slack.payload(asked, "netsre.approve", ANN))
        sent, told = dice.choice(WAYS)(dice, body, at)
        mark = hash((sent, *told.values()))
        if mark in seen:
            continue
        seen.add(mark)
        status = at.send(sent, told).status_code
        assert status in (400, 401), (status, sent, told)
        answers[status] += 1
    return answers


def test_what_slack_never_sent_is_refused_and_leaves_no_trace(tmp_path: pathlib.Path) -> None:
    """The run still waits, its journal and the audit are as they were, and the next real click counts."""
    with slack_server.slack() as slack:
        at = station(tmp_path, slack)
        before = record(at)

        answers = attack(at, random.Random(20261128), COUNT)  # noqa: S311  the same in every run

        assert sum(answers.values()) == COUNT
        assert set(answers) == {400, 401}
        assert record(at) == before
        asked = slack.question()
        assert asked is not None
        assert at.press(asked, "netsre.approve", ANN).status_code == 200
        at.turn()
        assert at.lab.host.applied


def record(at: Station) -> tuple[object, ...]:
    """Return all that an action leaves a trace in."""
    with at.lab.store.read() as transaction:
        audit = tuple(transaction.audit.rows())
    return (at.lab.runs(), audit, tuple(at.lab.host.applied), at.woken)
