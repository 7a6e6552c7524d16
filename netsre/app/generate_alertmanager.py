"""Makes the configuration of an Alertmanager out of the loaded service levels and alerts."""

import datetime
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources as packaged
from pathlib import Path
from typing import Any, Final

import jinja2

from netsre import clock
from netsre.alerting import noisy, routing
from netsre.app import receivers, resources, service_levels
from netsre.app.local.alertmanager import WEBHOOK
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.levels import quoted

FILE: Final = "alertmanager.yml"
_TEMPLATE: Final = "alertmanager.yml.j2"
_FIRST_YEAR: Final = 1970


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for beside the service levels."""

    consoles: tuple[str, ...]
    """Addresses of controllers, each of which is told of every alert."""
    token_file: str
    """Where Alertmanager finds the token of their webhook."""
    receivers: Path | None
    """A file of those who get pages and tickets; without it only netsre hears of them."""
    noisy: tuple[Path, ...]
    page_wait: int
    """Milliseconds for which the first page of an incident waits for what comes with it."""
    ticket_wait: int
    """Milliseconds, the same for a ticket."""
    batch_label: str
    """The label that names the deployment batch of an alert about policies."""


def files(slos: Sequence[Path], wishes: Wishes, now: Timestamp) -> Mapping[str, bytes]:
    """Return the configuration by file name; raises `BadInput` for files that are wrong, or over by now."""
    levels = service_levels.load(slos)
    texts = resources.texts(list(wishes.noisy), ".yaml", ".yml")
    clients = noisy.parse(texts, noisy.day_of(now))
    found = routing.of(levels.slos, levels.alerts, clients)
    for mute in found.noisy:
        if not mute.alerts:
            said = f"{mute.label} {literals.shown(mute.value)} cannot be muted"
            raise BadInput(f"no alert is grouped by {mute.label}, so {said}; leave it out of --noisy")
    text = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            routing=found,
            webhooks=[f"{url.rstrip('/')}{WEBHOOK}" for url in wishes.consoles],
            token_file=wishes.token_file,
            receivers=() if wishes.receivers is None else receivers.read(wishes.receivers),
            page_wait=clock.duration_text(wishes.page_wait),
            ticket_wait=clock.duration_text(wishes.ticket_wait),
            batch_label=wishes.batch_label,
        )
    )
    return {FILE: text.encode()}


def _environment() -> jinja2.Environment:
    template = packaged.files(__name__.rpartition(".")[0]).joinpath(_TEMPLATE)
    made = jinja2.Environment(
        loader=jinja2.DictLoader({_TEMPLATE: template.read_text(encoding="utf-8")}),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # YAML, not HTML; every value of people goes through json or line
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"json": _json, "line": _line, "named": _named, "is": _is, "interval": interval}
    return made


def _json(value: Any) -> str:  # noqa: ANN401 - receivers are Alertmanager's own
    """Return a value as JSON, which is YAML on one line."""
    return json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    """Return what stands in a comment: it must not end in the middle."""
    return " ".join(text.split())


def _named(values: Collection[str], label: str) -> str:
    """Return a matcher for names, in which no character of a regular expression occurs."""
    return f"{label}=~{quoted('|'.join(values))}"


def _is(value: str, label: str) -> str:
    return f"{label}={quoted(value)}"


def interval(until: datetime.date) -> list[dict[str, list[str]]]:
    """Return the time up to the end of a day, in UTC, in Alertmanager's years, months and days."""
    year, month = f"{until:%Y}", until.month
    found = [{"years": [f"{_FIRST_YEAR}:{until.year - 1}"]}]
    if month > 1:
        found.append({"years": [year], "months": [f"1:{month - 1}"]})
    found.append({"years": [year], "months": [f"{month}"], "days_of_month": [f"1:{until.day}"]})
    return found
