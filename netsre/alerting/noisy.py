"""Files that name noisy clients: whose tickets wait until a day, by whom and why.

A client has a name where policies see it (`src`), an address in a connection table (`source`), or both.

apiVersion: netsre.dev/v1
kind: NoisyClients
metadata: {name: known}
spec:
  clients:
    - {src: default/scanner, source: 10.0.0.7, until: '2027-01-31', owner: ann, reason: It asks every port.}
"""

import datetime
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.alerting import codes
from netsre.clock import Timestamp
from netsre.model import linting, literals, specs, values

KIND: Final = "NoisyClients"
DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
LONGEST: Final = datetime.timedelta(days=180)
"""Who forgets an end must not be deaf to a client for good."""


@dataclass(frozen=True, slots=True)
class NoisyClient:
    """A client whose tickets are muted until a day is over, in UTC."""

    src: str
    """Its name; empty where none is written."""
    source: str
    """Its address; empty where none is written."""
    until: datetime.date
    owner: str
    reason: str


def day_of(at: Timestamp) -> datetime.date:
    """Return the day of a time, in UTC."""
    return datetime.datetime.fromtimestamp(at // clock.SECOND, tz=datetime.UTC).date()


def parse(texts: Mapping[str, str], today: datetime.date, *, over: bool = False) -> tuple[NoisyClient, ...]:
    """Read files (name to text) strictly; raises `SpecErrors`, without `over` also for an end in the past."""
    findings = linting.Findings()
    documents = specs.of_files(texts, {KIND}, findings)
    specs.refuse_duplicates(documents, codes.SAME_CLIENT, "file of noisy clients", findings)
    found, known = list[NoisyClient](), set[str]()
    for document in documents:
        document.metadata.end()
        listed = document.spec.sequence("clients")
        document.spec.end()
        for part in listed.mappings() if listed is not None else ():
            client = _client(part, today, over=over)
            if client is None:
                continue
            for key, name in (("src", client.src), ("source", client.source)):
                if name in known:
                    message = f"{literals.shown(name)} is muted already; write it once"
                    part.wrong(key, codes.SAME_CLIENT, message)
            found.append(client)
            known |= {client.src, client.source} - {""}
    findings.raise_if_any()
    return tuple(found)


def _client(part: values.Mapping, today: datetime.date, *, over: bool) -> NoisyClient | None:
    src, source = _name(part), _address(part)
    owner, reason = (part.text(key) for key in ("owner", "reason"))
    until = _until(part, today, over=over)
    part.end()
    if src is None or source is None or owner is None or reason is None or until is None:
        return None
    return NoisyClient(src, source, until, owner, reason)


def _name(part: values.Mapping) -> str | None:
    """Return the name of a client, empty without one; None where it is wrong."""
    text = part.text("src", required=False) or ""
    if not text and "source" not in part:
        part.wrong("src", codes.CLIENT_NAME, "and source are missing; write a name, an address, or both")
        return None
    if literals.is_address(text):
        message = f"{literals.shown(text)} is an address, and alerts have names there; write source: {text}"
        part.wrong("src", codes.CLIENT_NAME, message)
        return None
    return text


def _address(part: values.Mapping) -> str | None:
    """Return the address of a client as alerts have it, empty without one; None where it is wrong."""
    text = part.text("source", required=False)
    if text is None:
        return ""
    if not literals.is_address(text):
        message = f"{literals.shown(text)} is no address; write one such as 10.0.0.7, and a name as src"
        part.wrong("source", codes.CLIENT_NAME, message)
        return None
    return str(ipaddress.ip_address(text))


def _until(part: values.Mapping, today: datetime.date, *, over: bool) -> datetime.date | None:
    text = part.text("until")
    if text is None:
        return None
    try:
        # fromisoformat reads more forms than people know.
        until = datetime.date.fromisoformat(text) if DATE.fullmatch(text) else None
    except ValueError:
        until = None
    if until is None:
        message = f"{literals.shown(text)} is no day; write one such as '{today + LONGEST / 2}'"
    elif until < today and not over:
        message = f"was over on {until}; remove the client, or look whether it is still noisy"
    elif until > today + LONGEST:
        message = f"is further away than {LONGEST.days} days; write a day up to {today + LONGEST}"
    else:
        return until
    part.wrong("until", codes.CLIENT_END, message)
    return None
