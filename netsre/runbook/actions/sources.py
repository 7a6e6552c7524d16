"""What changes have in common that are about one source of packets in one namespace."""

import ipaddress

from netsre import clock, conventions
from netsre.model import literals, values
from netsre.model.documents import Document
from netsre.runbook import codes
from netsre.runbook.actions.contract import ActionRefused, Subject
from netsre.runbook.references import is_reference


def read(parameters: values.Mapping) -> str | None:
    """Take `source`: an address, or a reference to one."""
    source = parameters.text("source")
    if source is None or is_reference(source):
        return source
    try:
        return str(ipaddress.ip_address(source))
    except ValueError:
        message = f"{literals.shown(source)} is no address; write one, or ${{evidence.top_source}}"
        parameters.wrong("source", codes.PARAMETER, message)
        return None


def ttl(parameters: values.Mapping, most: int) -> int | None:
    """Take `ttl`: how long the change lasts, at least a second."""
    length = parameters.duration("ttl")
    if length is None or 1_000 <= length <= most:
        return length
    message = f"is outside 1s to {clock.duration_text(most)}; what is changed by itself ends by itself"
    parameters.wrong("ttl", codes.PARAMETER, message)
    return None


def source(parameters: Document) -> str:
    """Return the address that a step is about; raises `ActionRefused` (`no_source`) without one."""
    address = parameters.get("source")
    if not isinstance(address, str) or not address:
        raise ActionRefused("no_source", "no source stands out, and nothing is never read as everything")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        message = f"{literals.shown(address)} is no address"
        raise ActionRefused("no_source", message) from None


def netns(subject: Subject) -> str:
    """Return the namespace that the alert is about; raises `ActionRefused` with `no_netns`."""
    name = dict(subject.alert.labels).get(conventions.NETNS, "")
    if not name:
        raise ActionRefused("no_netns", "the alert names no network namespace")
    return name
