"""What the settings of a controller say under `slack`, and the secrets in the files that they name.

slack: {channel: C024BE91L, tokenFile: /etc/netsre/slack.token, signingSecretFile: /etc/netsre/slack.secret}
"""

import re
import ssl
import stat
import urllib.parse
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from netsre.errors import BadInput, EnvironmentUnfit
from netsre.model import literals, values

CHANNEL: Final = re.compile(r"[CG][A-Z0-9]{5,30}")
API: Final = "https://slack.com/api/"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST: Final = 4096
_SECRET: Final = re.compile(r"[!-~]{8,4096}")

NO_CHANNEL: Final = "SLK001"
NO_API: Final = "SLK002"
NO_WAY_IN: Final = "SLK003"
CODES: Final = MappingProxyType(
    {
        NO_CHANNEL: "The channel of Slack is no channel id.",
        NO_API: "The address of Slack's API is none that a token may be sent to.",
        NO_WAY_IN: "The file that the way in of clicks needs is not named.",
    }
)
"""Codes of findings under `slack`."""


class Mode(StrEnum):
    """How clicks come in."""

    HTTP = "http"
    """Slack calls this controller; each request is signed."""
    SOCKET = "socket"
    """This controller calls Slack, and holds a connection open."""


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """How Slack is reached; the secrets are in files."""

    channel: str
    token_file: Path
    mode: Mode
    signing_secret_file: Path | None
    app_token_file: Path | None
    api_url: str = API


@dataclass(frozen=True, slots=True)
class Slack:
    """How Slack is reached, with the secrets; they are in no text that is made of it."""

    channel: str
    mode: Mode
    api_url: str
    token: str = field(repr=False)
    signing_secret: str = field(repr=False, default="")
    """Empty where clicks do not come by HTTP."""
    app_token: str = field(repr=False, default="")
    """Empty where clicks do not come over a socket."""
    tls: ssl.SSLContext | None = field(repr=False, default=None)
    """Whom to trust; None: whom this machine does, looked up each time."""


def read(spec: values.Mapping) -> SlackSettings | None:
    """Return what stands under `slack`; None where nothing does, or what does is wrong."""
    part = spec.mapping("slack", required=False)
    if part is None:
        return None
    channel, token_file = part.text("channel"), part.text("tokenFile")
    mode = part.choice("mode", *Mode, required=False) or Mode.HTTP
    secret, app = (part.text(key, required=False) for key in ("signingSecretFile", "appTokenFile"))
    api_url = part.text("apiUrl", required=False)
    part.end()
    needed = {"signingSecretFile": secret} if mode == Mode.HTTP else {"appTokenFile": app}
    for key, named in needed.items():
        if named is None:
            part.wrong(key, NO_WAY_IN, f"is missing; clicks by {mode} need it")
    if channel is not None and CHANNEL.fullmatch(channel) is None:
        advice = "write its id, such as C024BE91L, which stands at the end of the channel's details"
        part.wrong("channel", NO_CHANNEL, f"{literals.shown(channel)} is no channel id; {advice}")
    if api_url is not None and not _may_have_a_token(api_url):
        advice = "write an https address, or leave it out for Slack itself"
        part.wrong(
            "apiUrl", NO_API, f"{literals.shown(api_url)} is none that a token may be sent to; {advice}"
        )
    if channel is None or token_file is None:
        return None
    return SlackSettings(
        channel, Path(token_file), Mode(mode), _path(secret), _path(app), _directory(api_url or API)
    )


def load(settings: SlackSettings | None) -> Slack | None:
    """Read the secrets; raises `EnvironmentUnfit` for a file that cannot be read, `BadInput` for none."""
    if settings is None:
        return None
    return Slack(
        settings.channel,
        settings.mode,
        settings.api_url,
        token=_secret(settings.token_file, "xoxb-"),
        signing_secret=_used(settings.signing_secret_file, "", used=settings.mode is Mode.HTTP),
        app_token=_used(settings.app_token_file, "xapp-", used=settings.mode is Mode.SOCKET),
        # Read now, as a process that gave up its privileges may not read the trust store any more.
        tls=ssl.create_default_context() if settings.api_url.startswith("https:") else None,
    )


def exposed(settings: SlackSettings) -> tuple[str, ...]:
    """Say of each secret's file that is used, and that others than its owner can reach, who they are."""
    clicks = settings.signing_secret_file if settings.mode is Mode.HTTP else settings.app_token_file
    files = (settings.token_file, clicks)
    return tuple(said for path in files if path is not None and (said := _exposed(path)))


def _exposed(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return ""  # whoever reads it says why it cannot be read
    others = {stat.S_IRWXG: "its group", stat.S_IRWXO: "everybody on this machine"}
    who = " and ".join(name for bits, name in others.items() if mode & bits)
    return f"{path} has mode {mode:04o}: {who} can reach it; use chmod go= {path}" if who else ""


def _used(path: Path | None, prefix: str, *, used: bool) -> str:
    return _secret(path, prefix) if path is not None and used else ""


def _secret(path: Path, prefix: str) -> str:
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(_LONGEST + 1).strip()
    except OSError as error:
        advice = "make it readable for whoever starts netsre"
        raise EnvironmentUnfit(f"slack secret {path}: {error.strerror or error}; {advice}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"slack secret {path} has more than printable ASCII in it; write it anew") from error
    if _SECRET.fullmatch(text) is None:
        raise BadInput(f"slack secret {path} has none in it: one line of at least 8 characters is needed")
    if not text.startswith(prefix):
        raise BadInput(f"slack secret {path} is not of the kind that is needed; it begins with {prefix}")
    return text


def _may_have_a_token(url: str) -> bool:
    """Tell whether an address is of somebody who can be told a token: encrypted, or this machine itself."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = parts.username is None and not parts.query and not parts.fragment and url.isprintable()
    trusted = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    return bool(parts.hostname) and plain and trusted and " " not in url


def _directory(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
