"""What nobody should send or write: requests to every door of the controller, and files of every kind.

All of it is made of what is right, by chance, of a seed. A request is wrong by the way in which it was made,
so that every answer but a refusal is a mistake; a file may be right by chance, but a reader never breaks.
"""

import asyncio
import copy
import json
import pathlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import httpx
import yaml

from netsre import clock
from netsre.app.control import api, hook
from netsre.app.control.leading import Only
from netsre.app.control.snapshot import Board
from netsre.errors import BadInput, SpecErrors
from netsre.model.balance import files as services
from netsre.model.policies import endpoints, files
from tests.unit.app import test_api, test_hook
from tests.unit.app.crashing import Controller, Host, Lab
from tests.unit.app.fakes import SetClock
from tests.unit.app.test_run_api import PEOPLE, TWO
from tests.unit.app.test_schemas import DOCUMENTS, INSTEAD, places, told

WORDS: Final[tuple[object, ...]] = (None, [], {}, -1, 1.5, True, [[]], {"zzz": 1})
"""In the place of a text: none is one."""
_BYTES: Final = (b"\x00", b"\x80", b"\xff", b"\xc3", b"\xed\xa0\x80")
"""None of these may stand anywhere in JSON."""
_TOKENS: Final = (
    "",
    "Bearer",
    "Bearer ",
    "Bearer x",
    f"Basic {test_api.SHOWN}",
    test_api.SHOWN,
    "Bearer \xff",
)
VERBS: Final = ("approve", "deny", "cancel")
Place = tuple[str | int, ...]
Spoils = Mapping[Place, Sequence[object]]


@dataclass(frozen=True, slots=True)
class Door:
    """A route, and what it would take."""

    path: str
    document: dict[str, Any]
    spoils: Spoils
    """What is wrong in which place."""
    loose: bool = False
    """Whether other keys may stand there."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request."""

    method: str
    path: str
    content: bytes
    headers: Mapping[str, str]


def _doors(run: str) -> tuple[Door, ...]:
    alert = test_hook.alert("ConntrackUtilization", severity="page", node="a", netns="lab")
    ended = test_hook.alert("ConntrackUtilization", ends=test_hook.END, node="a")
    body = json.loads(test_hook.body(alert, ended))
    hooked: Spoils = {
        ("version",): (None, 4, "3", "", [], "٤"),
        ("alerts",): (None, {}, "x", 1),
        ("receiver",): (1, [], "\ud800"),
        ("truncatedAlerts",): (-1, True, "1", 1.5),
        ("alerts", 0): (None, [], "x", 1, {}),
        ("alerts", 0, "status"): (None, "", "FIRING", 1),
        ("alerts", 0, "labels"): (None, [], {}, {"a": 1}, {"a": ""}),
        ("alerts", 0, "startsAt"): (None, "", "now", 1, test_hook.ZERO, "2026-02-30T00:00:00Z"),
        ("alerts", 1, "endsAt"): (None, "", "9" * 5000, test_hook.ZERO),
        ("alerts", 1, "annotations"): ("x", {"a": []}),
    }
    by: Spoils = {("by",): WORDS}
    times: Spoils = {("for",): (*WORDS, "", "1", "-1h", "1e9h", "9" * 4000 + "h", "٣m")}
    said: Spoils = {("plan",): (-1, [], {}, 1.5, True)}
    begun: Spoils = {("node",): (1, [], {}), ("set",): (1, [])}
    event: Spoils = {("kind",): (*WORDS, "", "A b"), ("text",): WORDS}
    book = "/api/v1/runbooks/conntrack-exhaustion"
    return (
        Door(hook.PATH, body, hooked, loose=True),
        *(Door(f"/api/v1/runs/{run}/{verb}", {"plan": "0" * 12}, said) for verb in VERBS),
        Door(f"{book}/run", {"node": "a"}, begun),
        Door("/api/v1/events", {"kind": "deploy", "text": "x"}, event),
        Door("/api/v1/pauses", {"all": True, "by": "ann", "reason": "x", "for": "1h"}, {**by, **times}),
        Door("/api/v1/pauses/resume", {"all": True, "by": "ann"}, {**by, ("all",): (False, None, [], "x")}),
        Door(f"{book}/close", {"by": "ann", "reason": "x"}, by),
        Door("/api/v1/deploys", {"services": ["a"], "for": "1h", "by": "ann"},
             {**by, **times, ("services",): (None, [], {}, [1], "a")}),
    )  # fmt: skip


class Front:
    """A controller whose every route is served, with a run that waits for two people."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Begin, and ask people."""
        directory.mkdir()
        self.lab = Lab(directory, Host(SetClock()))
        self.lab.books, self.lab.directory_of = (TWO,), PEOPLE
        self.woken = 0
        controller = Controller(self.lab)
        self.lab.pass_time(5 * clock.SECOND)
        controller.turn()
        world = controller.world
        self.door = test_api.door(world)
        self.door.intake.start()
        self._app = api.create(
            api.Served(
                board=Board(world.clock.now()), store=world.store, clock=world.clock, node="a",
                interval=world.interval, runbooks=1, pages=MappingProxyType({}),
                hosts=api.allowed_hosts("127.0.0.1", "http://127.0.0.1:8600"), data_dir=directory,
                api_token=test_api.SHOWN, world=world, door=self.door, gamedays=test_api.gamedays(world),
                office=Only("a", clock.boottime), stands_by=False, wake=self._wake,
            )
        )  # fmt: skip
        self.doors = _doors(self.lab.runs()[-1][0].id)

    def _wake(self) -> None:
        self.woken += 1

    def close(self) -> None:
        """End."""
        self.door.intake.stop(5)
        self.lab.store.close()

    def record(self) -> tuple[object, ...]:
        """Return all that an action leaves a trace in."""
        with self.lab.store.read() as transaction:
            rows = (
                tuple(transaction.audit.rows()), tuple(transaction.alerts.newest(100)),
                tuple(transaction.events.newest(100)), transaction.received.counts(),
                tuple(transaction.holds.pauses(self.lab.clock.at)),
            )  # fmt: skip
        return (self.lab.runs(), rows, tuple(self.lab.host.applied), self.woken)

    def answers(self, requests: Sequence[Sent]) -> list[httpx.Response]:
        """Return the answer to each request; what breaks is an answer of 500."""
        transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)

        async def ask() -> list[httpx.Response]:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8600") as client:
                return [await _send(client, one) for one in requests]

        return asyncio.run(ask())


def _send(client: httpx.AsyncClient, one: Sent) -> Awaitable[httpx.Response]:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in one.headers.items()]
    return client.request(one.method, one.path, content=one.content, headers=headers)


def shown(authorization: str = f"Bearer {test_api.SHOWN}") -> Mapping[str, str]:
    """Return the headers of somebody who has the token."""
    return {"Authorization": authorization, "Content-Type": "application/json"}


def _request(door: Door, content: bytes, authorization: str = f"Bearer {test_api.SHOWN}") -> Sent:
    return Sent("POST", door.path, content, shown(authorization))


def _stranger(dice: random.Random, door: Door, body: bytes) -> Sent:
    """Send what is right without the token."""
    spaces = b" " * dice.randrange(200)
    return _request(door, body + spaces, dice.choice((*_TOKENS, f"Bearer {dice.random()}")))


def _cut(dice: random.Random, door: Door, body: bytes) -> Sent:
    """Leave the end away; nothing at all is what some routes take."""
    return _request(door, body[: dice.randrange(1, len(body))] + b" " * dice.randrange(20))


def _stray(dice: random.Random, door: Door, body: bytes) -> Sent:
    """Put a byte into it that cannot be there."""
    at = dice.randrange(len(body) + 1)
    return _request(door, body[:at] + dice.choice(_BYTES) * dice.randrange(1, 4) + body[at:])


def _spoilt(dice: random.Random, door: Door, body: bytes) -> Sent:
    """Write something in a place where it cannot stand."""
    place = dice.choice(tuple(door.spoils))
    document = json.loads(body)
    parent: Any = document
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = dice.choice(door.spoils[place])
    return _request(door, json.dumps(document).encode() + b" " * dice.randrange(50))


def _unknown(dice: random.Random, door: Door, body: bytes) -> Sent:
    """Say what nobody asks for; Alertmanager may, and is told that its body is a list."""
    if door.loose:
        return _request(door, json.dumps([json.loads(body)] * dice.randrange(1, 50)).encode())
    more = {"".join(dice.choices("abcxyz_ß\x00", k=dice.randrange(4, 12))): dice.choice(INSTEAD)}
    return _request(door, json.dumps({**json.loads(body), **more}).encode())


def _odd(dice: random.Random, door: Door, _body: bytes) -> Sent:
    """Send what is no document at all."""
    shapes: tuple[Callable[[], bytes], ...] = (
        lambda: b"\xff" + dice.randbytes(dice.randrange(200)),
        lambda: b"[" * dice.randrange(1, 50_000),
        lambda: b'{"a":' * dice.randrange(1, 20_000),
        lambda: json.dumps(dice.random()).encode(),
        lambda: json.dumps([dice.random()] * dice.randrange(9)).encode(),
        lambda: b"1" * dice.randrange(1, 9_000),
        lambda: json.dumps("x" * dice.randrange(5_000)).encode(),
        lambda: b" " * (1024 * 1024 + dice.randrange(1, 99)) + b"x",
    )
    return _request(door, dice.choices(shapes, (9, 3, 3, 9, 9, 9, 9, 0.1))[0]())


def _elsewhere(dice: random.Random, door: Door, body: bytes) -> Sent:
    """Send it to a place where nobody takes it, or in another way."""
    whole = _request(door, body)
    if dice.random() < 0.5:
        return Sent(dice.choice(("PUT", "DELETE", "PATCH", "QUERY")), door.path, body, whole.headers)
    name = "".join(f"%{byte:02x}" for byte in dice.randbytes(dice.randrange(1, 40)))
    verbs = ("runs/{}/approve", "runs/{}/deny", "runs/{}/cancel", "runbooks/{}/run", "{}")
    return Sent("POST", f"/api/v1/{dice.choice(verbs).format(name)}", b"{}", whole.headers)


WAYS: Final = (_stranger, _cut, _stray, _spoilt, _spoilt, _unknown, _odd, _elsewhere)


def attack(front: Front, dice: random.Random, count: int) -> Counter[int]:
    """Send so many requests, no two the same, and refuse all; return how often each status came."""
    requests: dict[int, Sent] = {}
    while len(requests) < count:
        door = dice.choice(front.doors)
        one = dice.choice(WAYS)(dice, door, json.dumps(door.document).encode())
        requests[hash((one.method, one.path, one.content, *one.headers.values()))] = one
    found = Counter[int]()
    for one, answer in zip(requests.values(), front.answers([*requests.values()]), strict=True):
        refuse(one, answer)
        found[answer.status_code] += 1
    return found


def refuse(one: Sent, answer: httpx.Response) -> None:
    """Raise unless a request was refused as it must be."""
    seen = (answer.status_code, answer.text[:200], one.method, one.path, one.content[:300], one.headers)
    assert 400 <= answer.status_code < 500, seen
    detail = answer.json()["detail"]
    assert isinstance(detail, str), seen
    assert len(detail.splitlines()) == 1, seen


POLICIES: Final = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
    - {from: [{podSelector: {matchLabels: {app: shop}}}], ports: [{port: 80, endPort: 90, protocol: TCP}]}
  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '5432', protocol: TCP}]}]}]
  egressDeny: [{toCIDRSet: [{cidr: 10.0.0.0/8}]}]
"""
LISTS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "endpoints": [{"name": "web", "namespace": "shop", "labels": {"app": "web"}, "ips": ["10.1.0.7"]}],
    "services": [{"name": "web", "namespace": "shop", "addresses": ["10.96.0.1"], "port": 80,
                  "backends": [{"address": "10.1.0.7", "port": 8080}]}],
}  # fmt: skip
OTHERS: Final[Mapping[str, Callable[[Mapping[str, str]], object]]] = {
    "policies": files.parse,
    "endpoints": endpoints.parse,
    "services": services.parse,
}


@dataclass(frozen=True, slots=True)
class Written:
    """A file."""

    kind: str
    document: Any

    def findings(self, text: str, scratch: pathlib.Path) -> list[str]:
        """Return what its reader says about a text in its place."""
        try:
            if self.kind in OTHERS:
                OTHERS[self.kind]({"file.yaml": text})
                return []
            return [message for _, message in told(text, self.kind, scratch)]
        except SpecErrors as errors:
            return [finding.message for finding in errors.findings]
        except BadInput as error:
            return [str(error)]


FILES: Final = (
    *(Written(document["kind"], document) for document in DOCUMENTS),
    *(Written("policies", document) for document in yaml.safe_load_all(POLICIES)),
    *(Written(kind, document) for kind, document in LISTS.items()),
)
_VALUES: Final = (
    *INSTEAD, "", " ", "~", "null", "${param.x}", "${secret.y}", "{node}", "x" * 300, "\u202e", "٣m", "-0",
    "9" * 400, "0x10", "2026-13-45", "10.0.0.300", "::/129", "/", "..", "*", "a" * 64, "not (", "still(",
    "1e999", "[$window]",
)  # fmt: skip
_PIECES: Final = (
    "\x00", "\t", "&a ", "*a", "!!python/object:os.system ", "!x ", "<<: ", "---\n", "...\n", "%YAML 9.9\n",
    "? ", "- ", ": ", "{", "}", "[", "]", "#", "|\n", ">-\n", "'", '"', "\ufeff", "\u2028", "\x85", "\ud7ff",
    "@", "`",
)  # fmt: skip


def scribble(dice: random.Random, scratch: pathlib.Path) -> bool:
    """Have a reader read a file that somebody changed by chance; tell whether it was refused.

    Raises `AssertionError` where a reader says something that is no line, or takes what nobody may write.
    """
    written = dice.choice(FILES)
    spoil = dice.choice((_other_values, _other_text, _other_text))
    text, surely = spoil(dice, written)
    said = written.findings(text, scratch)
    assert said or not surely, (written.kind, text)
    assert all(message and len(message.splitlines()) == 1 for message in said), (written.kind, text, said)
    return bool(said)


def _other_values(dice: random.Random, written: Written) -> tuple[str, bool]:
    """Write other values in some places, or leave them out."""
    document = json.loads(json.dumps(written.document))
    for _ in range(dice.randrange(1, 4)):
        path = dice.choice([*places(document)])
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        if dice.random() < 0.2:
            del parent[path[-1]]
        else:
            # A copy: what is written into it next is no part of what others get.
            parent[path[-1]] = copy.deepcopy(dice.choice(_VALUES))
        if not [*places(document)]:
            break
    surely = isinstance(document, dict) and dice.random() < 0.2
    if surely:
        document[f"zzz{dice.randrange(10**6)}"] = copy.deepcopy(dice.choice(_VALUES))
    return yaml.safe_dump(document, allow_unicode=True), surely


def _other_text(dice: random.Random, written: Written) -> tuple[str, bool]:
    """Change the text itself, as a hand that slipped would."""
    text = yaml.safe_dump(written.document, default_flow_style=dice.choice((None, False, True)))
    for _ in range(dice.randrange(1, 4)):
        lines, at = text.splitlines(keepends=True), dice.randrange(len(text) + 1)
        match dice.randrange(6):
            case 0:
                text = text[:at]
            case 1:
                text = text[:at] + text[at + dice.randrange(1, 20) :]
            case 2:
                lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines or ["a: b\n"]))
                text = "".join(lines)
            case 3:
                number = dice.randrange(len(lines) or 1)
                text = "".join([*lines[:number], " ", *lines[number:]])
            case 4:
                text = (
                    text[:at]
                    + chr(dice.choice((dice.randrange(32, 127), dice.randrange(160, 55_000))))
                    + text[at:]
                )
            case _:
                text = text[:at] + dice.choice(_PIECES) + text[at:]
    # This no file may have in it.
    return text, "\x00" in text
