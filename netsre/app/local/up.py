"""`netsre up`: agent, controller and page on this node, a lab if asked for; none of it left at the end."""

import contextlib
import os
import signal
import sys
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol

from netsre.adapters import endpoints, processes
from netsre.adapters.children import Child
from netsre.adapters.endpoints import Answer, Endpoint
from netsre.app import datadir, gamedays, runbooks, rundir, service_levels, tokens
from netsre.app.effects import ledger, orphans
from netsre.app.levels import LevelLine, read_levels
from netsre.app.local import alertmanager, lab
from netsre.app.local.flowlog import FlowLogOptions
from netsre.app.local.supervise import Program, Supervisor
from netsre.app.local.sweep import sweep
from netsre.app.privileges import ServiceUser, require_root
from netsre.app.settings import DATABASE, Settings
from netsre.clock import boottime, duration_text
from netsre.conventions import CONTROLLER_PORT, EXIT_USAGE
from netsre.errors import BadInput, EnvironmentUnfit, NetsreError
from netsre.gameday.ownership import Owner
from netsre.model.holds import USUAL

AGENT: Final = "agent"
CONTROLLER: Final = "controller"

_KIND: Final = "up"
_AGENT_SOCKET: Final = "agent.sock"
_LAB_SOCKET: Final = "lab.sock"
_READY_SECONDS: Final = 45.0
_TURN_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 2.0
_LEVELS: Final = "/api/v1/slos"
_HEALTH_SECONDS: Final = 3.0
_MOST_SILENCES: Final = 4
"""A child that does not answer this often in a row hangs, and is ended and started again."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `netsre up` was asked for."""

    with_lab: bool
    agent_listen: Endpoint
    user: ServiceUser
    controller: Settings
    """How the controller is set up; its user and its agent are those of this very run."""
    alertmanager: Endpoint | None = None
    """Where an Alertmanager of its own is to listen; None for none."""
    workloads: tuple[str, ...] = ()
    """Files that name ends of connections."""
    flow_log: FlowLogOptions | None = None
    """None for no flow log."""
    measuring: tuple[str, ...] = ()
    """Options that are the agent's own: what it measures, and what that may cost."""

    @property
    def data_dir(self) -> Path:
        """Where history, alerts and runs are kept."""
        return self.controller.data_dir.absolute()

    @property
    def listen(self) -> Endpoint:
        """Where the controller serves."""
        return Endpoint(self.controller.host, self.controller.port)


class Screen(Protocol):
    """Where a person reads along."""

    refresh_seconds: float

    def say(self, line: str) -> None:
        """Show one line that stays."""

    def waiting(self, what: str, seconds: float) -> None:
        """Show what is being waited for, and for how long already."""

    def levels(self, levels: tuple[LevelLine, ...], note: str) -> None:
        """Show where the service levels stand now; `note` says why there are none."""


class Wishes:
    """How often a person or the system asked this process to stop."""

    def __init__(self) -> None:
        """Begin with none."""
        self.count = 0

    @property
    def to_stop(self) -> bool:
        """Asked at least once."""
        return self.count > 0

    def impatient(self) -> bool:
        """Asked again."""
        return self.count > 1

    @contextlib.contextmanager
    def heard(self) -> Iterator["Wishes"]:
        """Count Ctrl-C, SIGTERM and a lost terminal instead of dying of them."""
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._hear) for number in signals}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: types.FrameType | None) -> None:
        del number, frame
        self.count += 1


def run(options: UpOptions, screen: Screen) -> None:
    """Run until asked to stop; then nothing is left but the data directory.

    What may stay for an hour, and no longer than this boot, are notes about effects that are over: see
    `netsre.app.effects.ledger`.

    Raises `EnvironmentUnfit` without root, when a port or the data directory cannot be used, or when the
    controller fails again and again; `BadInput` when a file is wrong. What was made until then is taken away
    in every case.
    """
    require_root("netsre up", "for BPF and network namespaces")
    check_files(options.controller)
    if options.alertmanager is not None:
        alertmanager.require()
    owner = processes.this_process()
    with Wishes().heard() as wishes, contextlib.ExitStack() as stack:
        # First of all: what a killed run left may still hold the ports and the data directory.
        _remove_leftovers(screen)
        _check_ports(options)
        datadir.prepare(options.data_dir, options.user, owner)
        stack.enter_context(datadir.locked(options.data_dir))
        _remove_leftovers(screen, options.data_dir)
        tokens.make(options.data_dir)
        stack.callback(screen.say, f"stopped; kept: {options.data_dir} (history, alerts, runs)")
        run_directory = stack.enter_context(rundir.made(owner, _KIND, options.user))
        lab_socket = run_directory / _LAB_SOCKET
        network = (
            stack.enter_context(_network(options, owner, lab_socket, screen)) if options.with_lab else None
        )
        # When all children are gone: an agent that was killed has put nothing back itself.
        stack.callback(_end_effects, screen)
        supervisor = Supervisor(owner, _KIND, screen.say)
        stack.callback(_stop, supervisor, wishes, screen)
        _start(options, supervisor, network, run_directory)
        if _become_ready(options, supervisor, wishes, screen):
            _introduce(options, supervisor, network, screen)
            _Session(options, supervisor, wishes, screen).run()


def check_files(settings: Settings) -> None:
    """Read what the controller will read, so that a mistake in a file is told before anything is made."""
    if settings.database is not None:
        where = f"the file of --config, and {DATABASE} unset"
        raise BadInput(f"netsre up keeps a database of its own; leave database out of {where}")
    service_levels.required(settings.slos, runbooks.known(settings.runbooks))
    runbooks.read(settings.runbooks, settings.slos, runbooks.people(settings.people))
    gamedays.read(settings.runbooks, settings.slos)


def _remove_leftovers(screen: Screen, data_dir: Path | None = None) -> None:
    for thing in sweep(data_dir):
        screen.say(f"left by an earlier run and removed: {thing.kind} {thing.name} ({thing.detail})")


def _end_effects(screen: Screen, doomed: frozenset[Owner] = frozenset()) -> None:
    for effect in orphans.end_orphans(ledger.DIRECTORY, boottime(), doomed=doomed):
        screen.say(f"ended: {effect.kind} {effect.name} ({effect.detail})")


def _check_ports(options: UpOptions) -> None:
    """Name a port that is taken, who has it, and the flag that chooses another."""
    for part, endpoint, flag in (
        (CONTROLLER, options.listen, "--listen"),
        (AGENT, options.agent_listen, "--agent-listen"),
        (alertmanager.NAME, options.alertmanager, "--alertmanager-listen"),
    ):
        if endpoint is None:
            continue
        reason = endpoints.refusal(endpoint)
        if reason is None:
            continue
        pid = processes.listener(endpoint.port)
        holder = f" by pid {pid} ({processes.command_name(pid)})" if pid and reason == "in use" else ""
        raise EnvironmentUnfit(
            f"{endpoint} for the {part} is not free: {reason}{holder}; choose another with {flag} HOST:PORT"
        )


@contextlib.contextmanager
def _network(options: UpOptions, owner: Owner, socket: Path, screen: Screen) -> Iterator[lab.Lab]:
    with lab.network(owner, options.user.name, control=socket) as network:
        for sentence in network.lacks:
            screen.say(sentence)
        try:
            yield network
        finally:
            screen.say(f"removing the lab: namespaces {', '.join((network.server, *network.clients))}")


def _start(options: UpOptions, supervisor: Supervisor, network: lab.Lab | None, run_directory: Path) -> None:
    # -P keeps modules of the current directory out of a process that starts as root.
    netsre = (sys.executable, "-P", "-m", "netsre")
    parent = ("--parent-pid", str(os.getpid()))
    control: tuple[str, ...] = ("--control", str(run_directory / _AGENT_SOCKET))
    who = ("--control-user", options.user.name)
    listen = ("--listen", str(options.agent_listen))
    named = [word for path in options.workloads for word in ("--workloads", str(Path(path).absolute()))]
    log = () if options.flow_log is None else options.flow_log.for_agent(options.data_dir)
    agent = (*netsre, AGENT, *listen, *control, *who, *named, *log, *options.measuring, *parent)
    supervisor.start(Program(AGENT, agent))
    home = {"HOME": str(options.data_dir)}
    if options.alertmanager is not None:
        # Before the controller, which then never finds it missing.
        supervisor.start(
            alertmanager.program(options.data_dir, options.user, options.alertmanager, options.listen)
        )
    if network is not None:
        control = (*control, "--lab-control", str(run_directory / _LAB_SOCKET))
    controller = (*netsre, CONTROLLER, *controller_options(options), *control, *parent)
    supervisor.start(Program(CONTROLLER, controller, home, essential=True))
    if network is not None:
        lab.start_traffic(network, supervisor)


def controller_options(options: UpOptions) -> tuple[str, ...]:
    """Write a complete set-up as options: they win over what the controller would find by itself."""
    settings = options.controller
    # What no option says.
    rest = (settings.slack, settings.secrets) != (None, None) or settings.bounds != USUAL
    return (
        *("--user", options.user.name, "--listen", str(options.listen)),
        *("--agent", options.agent_listen.url, "--interval", duration_text(settings.interval)),
        *("--data-dir", str(options.data_dir), "--node", settings.node),
        *("--external-url", settings.external_url),
        *(word for url in _alertmanagers(options) for word in ("--alertmanager", url)),
        *(word for path in settings.slos for word in ("--slos", str(path))),
        *(word for path in settings.runbooks for word in ("--runbooks", str(path))),
        *(word for path in settings.people for word in ("--people", str(path))),
        *(word for path in settings.noisy for word in ("--noisy", str(path))),
        *(("--config", str(settings.config)) if rest and settings.config is not None else ()),
    )


def _alertmanagers(options: UpOptions) -> tuple[str, ...]:
    own = () if options.alertmanager is None else (options.alertmanager.url,)
    return (*options.controller.alertmanagers, *own)


def _become_ready(options: UpOptions, supervisor: Supervisor, wishes: Wishes, screen: Screen) -> bool:
    """Wait until both halves answer; False when asked to stop meanwhile.

    A half that ends by itself before it was ever ready would only end again: that is an error at once. One
    that was killed did not choose to, and is started again.
    """
    began = time.monotonic()
    waiting = {AGENT: options.agent_listen, CONTROLLER: options.listen}
    while waiting and not wishes.to_stop:
        _refuse_stillborn(supervisor)
        supervisor.watch(time.monotonic())
        seconds = time.monotonic() - began
        for name, endpoint in list(waiting.items()):
            answer = _ask(endpoint, "/readyz")
            if answer.status == HTTPStatus.OK:
                del waiting[name]
            elif seconds > _READY_SECONDS or (name == AGENT and answer.status):
                # The agent serves once it has tried to attach: what it lacks then, it will go on lacking.
                reason = answer.text.strip() or "no answer"
                screen.say(f"{name} is not ready after {seconds:.0f} s, going on without: {reason}")
                del waiting[name]
        if waiting:
            screen.waiting(" and ".join(waiting), seconds)
            time.sleep(_TURN_SECONDS)
    return not wishes.to_stop


def _refuse_stillborn(supervisor: Supervisor) -> None:
    """Raise when a child has ended already, with its last words, as the kind of error that it was there."""
    for child in supervisor:
        code = child.exit_code
        child.lines()
        if code is not None and code >= 0:
            words = child.last_line.removeprefix("error: ") or "it said nothing"
            message = f"the {child.name} cannot start: {words}"
            raise BadInput(message) if code == EXIT_USAGE else EnvironmentUnfit(message)


def _ask(endpoint: Endpoint, path: str) -> Answer:
    """Ask one of our own servers, but only once it listens: the agent would count the refusal."""
    if not processes.listening_sockets(os.getpid(), endpoint.port):
        return Answer(0, "nobody listens there")
    return endpoints.get(endpoint, path, _ANSWER_SECONDS)


def _introduce(options: UpOptions, supervisor: Supervisor, network: lab.Lab | None, screen: Screen) -> None:
    """Say what runs, where it is, and what to do next."""
    pids = {child.name: child.pid for child in supervisor}
    user = options.user.name
    screen.say(f"page:        {options.listen.url}/")
    screen.say(
        f"agent:       {options.agent_listen.url}/metrics (pid {pids.pop(AGENT, 0)}, root, few capabilities)"
    )
    screen.say(f"controller:  {options.listen.url}/api/v1/slos (pid {pids.pop(CONTROLLER, 0)}, user {user})")
    if options.alertmanager is not None:
        pid = pids.pop(alertmanager.NAME, 0)
        screen.say(f"alerts:      {options.alertmanager.url}/ (alertmanager, pid {pid}, user {user})")
    if network is not None:
        traffic = ", ".join(f"{name} {pid}" for name, pid in pids.items())
        screen.say(
            f"lab:         {lab.CONNECTIONS_PER_SECOND:.0f} connections/s between {network.server} and "
            f"{len(network.clients)} clients (user {user}; pids: {traffic})"
        )
    screen.say(f"data:        {options.data_dir} (owned by {user}, stays when this ends)")
    if options.flow_log is not None:
        screen.say(f"flows:       {options.flow_log.command(options.data_dir)} (as root)")
    drill = "netsre gameday run conntrack-flood · " if network is not None else ""
    usual = options.listen.url == f"http://127.0.0.1:{CONTROLLER_PORT}"
    first = "" if usual else f"export NETSRE_CONTROLLER={options.listen.url} · "
    screen.say(f"try:         {first}{drill}netsre slo status · netsre runbook history · netsre doctor")
    screen.say("stop:        Ctrl-C")


class _Session:
    """The time between ready and stop."""

    def __init__(self, options: UpOptions, supervisor: Supervisor, wishes: Wishes, screen: Screen) -> None:
        self._options = options
        self._supervisor = supervisor
        self._wishes = wishes
        self._screen = screen
        self._silences = {AGENT: 0, CONTROLLER: 0}

    def run(self) -> None:
        """Watch over the children and show the service levels, until asked to stop."""
        show_at = health_at = time.monotonic()
        while not self._wishes.to_stop:
            now = time.monotonic()
            self._supervisor.watch(now)
            if now >= health_at:
                health_at = now + _HEALTH_SECONDS
                self._end_hanging()
            if now >= show_at:
                show_at = now + self._screen.refresh_seconds
                self._show()
            time.sleep(_TURN_SECONDS)

    def _show(self) -> None:
        try:
            answer = _ask(self._options.listen, _LEVELS)
            levels = read_levels(endpoints.document(self._options.listen, _LEVELS, answer))
        except NetsreError as error:
            self._screen.levels((), str(error))
        else:
            self._screen.levels(levels, "" if levels else "no service level was evaluated yet")

    def _end_hanging(self) -> None:
        """End a half that runs and does not answer; it is then started again like any that ended."""
        for child in self._supervisor:
            if child.name not in self._silences:
                continue
            endpoint = self._options.listen if child.name == CONTROLLER else self._options.agent_listen
            alive = _ask(endpoint, "/healthz").status == HTTPStatus.OK
            self._silences[child.name] = 0 if alive else self._silences[child.name] + 1
            if self._silences[child.name] >= _MOST_SILENCES:
                self._silences[child.name] = 0
                self._screen.say(
                    f"{child.name} (pid {child.pid}) has not answered {_MOST_SILENCES} times: ending it"
                )
                child.signal(signal.SIGKILL)


def _stop(supervisor: Supervisor, wishes: Wishes, screen: Screen) -> None:
    names = ", ".join(f"{child.name} (pid {child.pid})" for child in supervisor)
    screen.say(f"stopping {names}")
    screen.waiting("their end", 0.0)

    def before_killing(hanging: Sequence[Child]) -> None:
        # Once it is dead, any other agent of this host may find what it kept in force, and go on with it.
        owners = frozenset(filter(None, (processes.owner(child.pid) for child in hanging)))
        # What cannot be ended now is looked at again when all of them are gone.
        try:
            _end_effects(screen, owners)
        except (NetsreError, OSError) as error:
            screen.say(f"what is in force cannot be ended yet: {error}")

    supervisor.stop(wishes.impatient, before_killing)
