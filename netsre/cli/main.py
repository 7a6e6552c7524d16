"""The `netsre` command: finds the module of a command, and turns every error into one line and an exit code.

Command modules are imported when their command is called, so that `netsre doctor` loads no web server.
"""

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, NoReturn

import click

from netsre import __version__, conventions, errors

_EXIT_INTERRUPTED: Final = 130
"""What a shell reports for a command that Ctrl-C ended (128 + SIGINT)."""
_EXIT_PIPE_CLOSED: Final = 141
"""What a shell reports for a command whose reader went away (128 + SIGPIPE)."""
_COLLECTED: Final = 20_000
"""Objects made and not yet freed before the collector looks at them: imports make many, and no garbage.

With Python's 700 it takes a tenth of the start of a command, and a sixth of that of the controller.
"""


class LazyCommand(NamedTuple):
    """Where a command lives, and its line in `netsre --help`, which must not import it."""

    target: str
    """`module:attribute` of a click command."""
    help: str


# Adding a command is one line here and one module in this package.
COMMANDS: Final[Mapping[str, LazyCommand]] = MappingProxyType(
    {
        "agent": LazyCommand("netsre.cli.agent:agent", "Serve this node's measurements (needs root)."),
        "audit": LazyCommand("netsre.cli.audit:audit", "Export the audit log to a SIEM, and verify exports."),
        "balance": LazyCommand("netsre.cli.balance:balance", "Balance services at the sockets of this node."),
        "controller": LazyCommand("netsre.cli.controller:controller", "Evaluate SLOs, alert, run runbooks."),
        "db": LazyCommand("netsre.cli.db:db", "Migrate the database and check its audit chain."),
        "deploy": LazyCommand("netsre.cli.deploy:deploy", "Announce a deploy: no tickets of it, but pages."),
        "doctor": LazyCommand(
            "netsre.cli.doctor:doctor", "Say what this node can do, and how to get the rest."
        ),
        "event": LazyCommand("netsre.cli.event:event", "Say that something happened, such as a deploy."),
        "flows": LazyCommand("netsre.cli.flows:flows", "Show the log of connection attempts."),
        "gameday": LazyCommand("netsre.cli.gameday:gameday", "Game days; sweep away what was left behind."),
        "generate": LazyCommand(
            "netsre.cli.generate_alertmanager:generate",
            "Write boards, schemas and routes of alerts.",
        ),
        "incident": LazyCommand("netsre.cli.incident:incident", "List incidents; draft their postmortems."),
        "kill-switch": LazyCommand("netsre.cli.kill_switch:kill_switch", "Stop all automation at once."),
        "policy": LazyCommand(
            "netsre.cli.policy_connections:policy", "Say what network policies decide; put them into force."
        ),
        "prefilter": LazyCommand(
            "netsre.cli.prefilter:prefilter", "Drop or limit networks where packets come in (XDP)."
        ),
        "runbook": LazyCommand(
            "netsre.cli.runbook_pauses:runbook", "List, check, follow and pause runbooks."
        ),
        "slack": LazyCommand("netsre.cli.slack:slack", "Check how incidents are told in Slack."),
        "slo": LazyCommand("netsre.cli.slo:slo", "Check service levels and show where they stand."),
        "top": LazyCommand("netsre.cli.top:top", "Watch an agent's numbers live in this terminal."),
        "up": LazyCommand("netsre.cli.up:up", "Run agent, controller and page on this node."),
    }
)


class LazyGroup(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, in alphabetical order."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None when there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name; an unknown one raises with the nearest known."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 done or healthy, 1 the answer is no, 2 bad input, 3 this machine cannot.",
)
@click.option(
    "--debug",
    is_flag=True,
    envvar="NETSRE_DEBUG",
    show_envvar=True,
    help="Show where an internal error happened.",
)
@click.version_option(__version__, prog_name="netsre")
def cli(*, debug: bool) -> None:
    """Service levels, alerts and runbooks for the network of Linux nodes."""
    del debug  # read in `run`, from the context of the failed call


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    gc.set_threshold(_COLLECTED)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            # Closed by whoever started us (`>&-`): the next file that is opened would be written into.
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8"))
    code = run(sys.argv[1:])
    try:
        # A reader that went away is noticed here; while the interpreter ends it would be a traceback.
        sys.stdout.flush()
    except BrokenPipeError:
        code = _EXIT_PIPE_CLOSED
    if code == _EXIT_PIPE_CLOSED:
        # Documented: None means that there is no stdout, so nothing is left to flush.
        sys.stdout = None
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error becomes one line on stderr."""
    debug = False
    try:
        with cli.make_context("netsre", list(arguments)) as context:
            debug = bool(context.params.get("debug"))
            cli.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return conventions.EXIT_USAGE
    except errors.NetsreError as error:
        _complain(error)
        return exit_code_of(error)
    except (KeyboardInterrupt, click.exceptions.Abort, BrokenPipeError) as stop:
        return _EXIT_PIPE_CLOSED if isinstance(stop, BrokenPipeError) else _EXIT_INTERRUPTED
    # The last door: whatever reaches it is our mistake, and the person at the terminal still gets one line.
    except Exception as error:  # noqa: BLE001
        return _report_internal(error, debug=debug)
    return conventions.EXIT_OK


def exit_code_of(error: errors.NetsreError) -> int:
    """Return the exit code that an error of ours stands for."""
    match error:
        case errors.BadInput():
            return conventions.EXIT_USAGE
        case errors.EnvironmentUnfit():
            return conventions.EXIT_ENVIRONMENT
        case _:
            return conventions.EXIT_NO


def _report_internal(error: Exception, *, debug: bool) -> int:
    """Say that we failed, where to see more, and with `--debug` show it."""
    if debug:
        traceback.print_exception(error)
    hint = "" if debug else " (`netsre --debug …` shows where)"
    click.echo(
        f"error: internal error: {type(error).__name__}: {_line(error)}; please report it{hint}", err=True
    )
    return conventions.EXIT_NO


def _complain(error: errors.NetsreError) -> None:
    """Write an error's line; findings in files stand alone, so that editors can jump to them."""
    if isinstance(error, errors.SpecErrors):
        click.echo(str(error), err=True)
    else:
        click.echo(f"error: {_line(error)}", err=True)


def _line(error: Exception) -> str:
    """Return an error's words on one line: some of them may come from a server, or from a file."""
    from netsre.model import literals  # noqa: PLC0415

    return literals.printable(str(error))
