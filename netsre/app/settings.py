"""How a controller is set up: options, then `NETSRE_*` of the environment, then the file, then defaults.

apiVersion: netsre.dev/v1
kind: Controller
metadata: {name: this-node}
spec: {listen: 127.0.0.1:8600, agent: 'http://127.0.0.1:8601', interval: 15s, dataDir: /var/lib/netsre}
"""

import os
import socket
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from netsre import clock, conventions
from netsre.adapters.endpoints import Endpoint
from netsre.app import automation_bounds, prometheus_options, resources, slack_settings
from netsre.app.slack_settings import SlackSettings
from netsre.errors import BadInput
from netsre.model import linting, literals, specs
from netsre.model.holds import USUAL, Bounds

KIND: Final = "Controller"
DATABASE: Final = "NETSRE_DATABASE_URL"
_TEXTS: Final = (
    "dataDir", "database", "listen", "agent", "source", "nodeLabel", "tokenFile", "interval", "slos",
    "runbooks", "people", "noisy", "secrets", "user", "node", "externalUrl", "control",
)  # fmt: skip
"""The keys of a file that have one text each."""
_SHORTEST_INTERVAL: Final = 1 * clock.SECOND
_LONGEST_INTERVAL: Final = 5 * clock.MINUTE
_LONGEST_NODE: Final = 253
"""Characters, as in the DNS."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; None and empty where it says nothing."""

    data_dir: str | None = None
    database: str | None = None
    listen: str | None = None
    agent: str | None = None
    source: str | None = None
    node_label: str | None = None
    token_file: str | None = None
    interval: str | None = None
    slos: tuple[str, ...] = ()
    runbooks: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    noisy: tuple[str, ...] = ()
    alertmanagers: tuple[str, ...] = ()
    control: str | None = None
    lab_control: str | None = None
    user: str | None = None
    node: str | None = None
    external_url: str | None = None
    config: str | None = None
    parent_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus as the source of measurements."""

    url: str
    node_label: str
    """The label that names the node of a series."""
    token_file: Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    """A complete set-up."""

    data_dir: Path
    database: str | None
    """The address of a PostgreSQL server's; None for a file in the data directory."""
    host: str
    port: int
    agent_url: str
    prometheus: Prometheus | None
    """Where measurements come from instead of the agent."""
    interval: int
    """Milliseconds between two evaluations."""
    slos: tuple[Path, ...]
    runbooks: tuple[Path, ...]
    people: tuple[Path, ...]
    """Files of who may decide about runs; without any there is one operator."""
    noisy: tuple[Path, ...]
    """Files of clients whose tickets are muted."""
    alertmanagers: tuple[str, ...]
    """Addresses of every Alertmanager that is told of alerts; each is told by itself."""
    control: Path | None
    """The agent's control socket; without it automation only observes."""
    lab_control: Path | None
    """The control socket of the lab's noisy client, where there is a lab."""
    user: str | None
    node: str
    external_url: str
    """Where people reach this controller; the links in alerts begin with it."""
    parent_pid: int | None
    bounds: Bounds = USUAL
    """What all runbooks share."""
    secrets: Path | None = None
    """The directory of what runbooks name as `${secret.NAME}`."""
    slack: SlackSettings | None = None
    """Where incidents are told in Slack; None: nowhere."""
    config: Path | None = None
    """The file that says so, where there is one."""


def settings(options: Options, defaults: Options = Options()) -> Settings:
    """Return the set-up that the options, the environment and the file ask for; raises `BadInput`.

    `defaults` are what is usual for whoever asks, where it is not what is usual for a controller.
    """
    file = _file(options.config)
    written = file.texts

    def first(option: str | None, variable: str, key: str, default: str) -> str:
        return option or os.environ.get(variable) or written.get(key) or default

    listen = first(options.listen, "NETSRE_LISTEN", "listen", f"127.0.0.1:{conventions.CONTROLLER_PORT}")
    where = Endpoint.parse(listen, "address")
    agent = first(options.agent, "NETSRE_AGENT", "agent", f"http://127.0.0.1:{conventions.AGENT_PORT}")
    interval = first(options.interval, "NETSRE_INTERVAL", "interval", defaults.interval or "15s")
    url = first(options.external_url, "NETSRE_EXTERNAL_URL", "externalUrl", f"http://{listen}")
    return Settings(
        data_dir=Path(first(options.data_dir, "NETSRE_DATA_DIR", "dataDir", _usual_data_dir(defaults))),
        database=first(options.database, DATABASE, "database", "") or None,
        host=where.host,
        port=where.port,
        agent_url=_url("--agent", agent),
        prometheus=_prometheus(options, written, first),
        interval=_interval(interval),
        slos=_paths(options.slos, written, "slos") or (resources.directory("slos"),),
        runbooks=_paths(options.runbooks, written, "runbooks") or (resources.directory("runbooks"),),
        people=_paths(options.people, written, "people"),
        noisy=_paths(options.noisy, written, "noisy"),
        alertmanagers=_alertmanagers(options.alertmanagers or file.alertmanagers),
        control=_path(first(options.control, "NETSRE_CONTROL", "control", "")),
        lab_control=_path(options.lab_control),
        user=first(options.user, "NETSRE_USER", "user", "") or None,
        node=_node(first(options.node, "NETSRE_NODE", "node", socket.gethostname())),
        external_url=_url("--external-url", url),
        parent_pid=options.parent_pid,
        bounds=file.bounds,
        secrets=_path(first(None, "NETSRE_SECRETS", "secrets", "")),
        slack=file.slack,
        config=None if options.config is None else Path(options.config).absolute(),
    )


def _alertmanagers(named: Iterable[str]) -> tuple[str, ...]:
    return tuple(_url("--alertmanager", url) for url in named)


def _prometheus(
    options: Options, written: Mapping[str, str], first: Callable[[str | None, str, str, str], str]
) -> Prometheus | None:
    label = prometheus_options.node_label(first(options.node_label, "NETSRE_NODE_LABEL", "nodeLabel", ""))
    token_file = _path(first(options.token_file, "NETSRE_TOKEN_FILE", "tokenFile", ""))
    url = _source(options, written)
    return Prometheus(prometheus_options.address(url), label, token_file) if url else None


def _source(options: Options, written: Mapping[str, str]) -> str | None:
    """Return the Prometheus to read, None for an agent: the nearest word that names one of them decides."""
    if options.agent and options.source:
        raise BadInput("--agent and --source are two places to read from; leave one of them out")
    for agent, source in (
        (options.agent, options.source),
        (os.environ.get("NETSRE_AGENT"), os.environ.get("NETSRE_SOURCE")),
        (written.get("agent"), written.get("source")),
    ):
        if agent or source:
            return source or None
    return None


def _usual_data_dir(defaults: Options) -> str:
    return defaults.data_dir or str(default_data_dir())


def default_data_dir() -> Path:
    """Return where state lives unless told otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/netsre")
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "netsre"


def data_dir(option: str | None) -> Path:
    """Return the data directory that an option, or the environment, names."""
    return Path(option or os.environ.get("NETSRE_DATA_DIR") or default_data_dir())


def database(option: str | None, directory: str | None) -> str | None:
    """Return the address of the database that is meant; None for the file of a data directory.

    An option that names either of them decides; else the environment. Raises `BadInput` for both.
    """
    if option and directory:
        raise BadInput("--database and --data-dir are two places of a database; leave one of them out")
    return option or (None if directory else os.environ.get(DATABASE)) or None


def controller_url(option: str | None) -> str:
    """Return the address of the running controller."""
    default = f"http://127.0.0.1:{conventions.CONTROLLER_PORT}"
    return _url("--controller", option or os.environ.get("NETSRE_CONTROLLER") or default)


def agent_url(option: str | None) -> str:
    """Return the address of the agent to read."""
    default = f"http://127.0.0.1:{conventions.AGENT_PORT}"
    return _url("--agent", option or os.environ.get("NETSRE_AGENT") or default)


def _url(what: str, text: str) -> str:
    ports = {"--agent": conventions.AGENT_PORT, "--alertmanager": conventions.ALERTMANAGER_PORT}
    port = ports.get(what, conventions.CONTROLLER_PORT)
    try:
        problem = _url_problem(text)
    except ValueError as error:
        problem = f"is not an address ({error})"
    if problem:
        raise BadInput(f"{what} {literals.shown(text)} {problem}; write one such as http://127.0.0.1:{port}")
    return text.rstrip("/")


def _url_problem(text: str) -> str | None:
    """Return what is wrong with an address; raises `ValueError` where not even its parts can be told."""
    parts = urllib.parse.urlsplit(text)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        return "is not an address"
    if any(character.isspace() or not character.isprintable() for character in text):
        return "is not an address: it has a blank in it"
    if parts.username is not None or parts.password is not None:
        return "has a name or password in it, which every log would repeat"
    if parts.query or parts.fragment:
        return "has more than host, port and path"
    # Both raise where they are none, and say why.
    _ = parts.port, host.encode("idna")
    return None


def _node(text: str) -> str:
    if len(text) > _LONGEST_NODE or not text.isprintable():
        advice = f"write its host name, at most {_LONGEST_NODE} characters that can be read"
        raise BadInput(f"--node {literals.shown(text)} is no name of a node; {advice}")
    return text


def _interval(text: str) -> int:
    try:
        interval = literals.parse_duration(text)
    except ValueError as error:
        message = f"--interval {error}"
        raise BadInput(message) from error
    if not _SHORTEST_INTERVAL <= interval <= _LONGEST_INTERVAL:
        longest = clock.duration_text(_LONGEST_INTERVAL)
        message = f"--interval {text} is outside 1s to {longest}; write 15s"
        raise BadInput(message)
    return interval


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _paths(options: tuple[str, ...], written: Mapping[str, str], key: str) -> tuple[Path, ...]:
    return tuple(Path(path) for path in options or _one(written.get(key)))


def _one(text: str | None) -> tuple[str, ...]:
    return (text,) if text else ()


@dataclass(frozen=True, slots=True)
class _Written:
    """What a file says."""

    texts: Mapping[str, str] = field(default_factory=dict)
    """By key."""
    alertmanagers: tuple[str, ...] = ()
    bounds: Bounds = USUAL
    slack: SlackSettings | None = None


def _file(path: str | None) -> _Written:
    if path is None:
        return _Written()
    findings = linting.Findings()
    found = _Written()
    for file, text in resources.texts([Path(path)], ".yaml").items():
        for document in specs.documents(text, file, {KIND}, findings):
            document.metadata.end()
            said = {key: document.spec.text(key, required=False) for key in _TEXTS}
            found = _Written(
                {**found.texts, **{key: value for key, value in said.items() if value is not None}},
                tuple(filter(None, document.spec.texts("alertmanager", required=False))),
                automation_bounds.read(document.spec),
                slack_settings.read(document.spec),
            )
            document.spec.end()
    findings.raise_if_any()
    return found
