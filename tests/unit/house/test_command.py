"""The command's one door: what a person sees and which exit code a script gets."""

import importlib
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from netsre import __version__, errors
from netsre.cli import main


@pytest.fixture
def ending_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Return a function that runs `netsre failing`, a command that raises what it is given."""

    def run(error: BaseException) -> int:
        @click.command
        def failing() -> None:
            raise error

        module = type(sys)("netsre_failing_command")
        module.__dict__["failing"] = failing
        monkeypatch.setitem(sys.modules, module.__name__, module)
        entry = main.LazyCommand(f"{module.__name__}:failing", "Fail.")
        monkeypatch.setattr(main, "COMMANDS", {**main.COMMANDS, "failing": entry})
        return main.run(["failing"])

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadInput("objective '100' leaves no budget; write less than 100"), 2),
        (errors.EnvironmentUnfit("port 8600 is taken; choose another with --listen"), 3),
        (errors.SourceUnreachable("agent at 127.0.0.1:8601 did not answer; is it running?"), 3),
        (errors.NetsreError("something else"), 1),
    ],
)
def test_an_error_of_ours_is_one_line_and_its_own_exit_code(
    ending_with: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: errors.NetsreError,
    code: int,
) -> None:
    """The message goes to stderr as it was written; stdout stays empty for programs."""
    assert ending_with(error) == code

    captured = capsys.readouterr()
    assert captured.err == f"error: {error}\n"
    assert captured.out == ""


def test_every_finding_of_a_bad_file_is_shown_as_a_compiler_would(
    ending_with: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each finding starts a line with file and line number, so that an editor can jump there."""
    findings = [errors.Finding("a.yaml", 3, "SLO001", "bad"), errors.Finding("b.yaml", 1, "SLO002", "worse")]

    assert ending_with(errors.SpecErrors(findings)) == 2
    assert capsys.readouterr().err == "a.yaml:3: SLO001 bad\nb.yaml:1: SLO002 worse\n"


def test_an_unexpected_error_is_one_line_that_asks_for_a_report(
    ending_with: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody at a terminal is shown a traceback that they did not ask for."""
    assert ending_with(ZeroDivisionError("division by zero")) == 1

    said = capsys.readouterr().err
    assert said.startswith("error: internal error: ZeroDivisionError: division by zero; please report it")
    assert said.count("\n") == 1


@pytest.mark.parametrize("value", ["1", "true"])
def test_the_environment_can_ask_for_the_traceback(
    ending_with: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    value: str,
) -> None:
    """NETSRE_DEBUG shows where it happened, before the line."""
    monkeypatch.setenv("NETSRE_DEBUG", value)

    assert ending_with(ZeroDivisionError("division by zero")) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_ctrl_c_ends_quietly_with_the_code_of_an_interrupt(
    ending_with: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever pressed it knows what happened."""
    assert ending_with(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


def test_a_misspelt_command_is_answered_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees what they meant, a script sees bad usage."""
    assert main.run(["dcotor"]) == 2
    assert "Did you mean 'doctor'?" in capsys.readouterr().err


def test_an_unknown_option_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Usage errors share the exit code of bad input."""
    assert main.run(["--nonsense"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_help_names_every_command_within_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """The first page a person sees fits the narrowest terminal."""
    assert main.run(["--help"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.startswith("  ") and line.endswith("...")]
    assert set(main.COMMANDS) <= {line.split()[0] for line in lines if line.startswith("  ")}


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints what `netsre.__version__` says."""
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"netsre, version {__version__}\n"


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_listed_command_exists_and_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table names a real click command whose help has a first sentence and no line over 80 columns."""
    module, _, attribute = main.COMMANDS[name].target.partition(":")
    command = getattr(importlib.import_module(module), attribute)

    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help
    assert main.run([name, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a fresh interpreter."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("library", ["bcc", "fastapi", "sqlalchemy", "pyroute2", "prometheus_client"])
def test_asking_for_help_loads_no_heavy_library(library: str) -> None:
    """A command loads only what it needs; help needs nothing."""
    program = (
        "import sys; from netsre.cli import main; main.run(['--help']); sys.exit(sys.argv[1] in sys.modules)"
    )

    assert python("-c", program, library).returncode == 0


_HEAVY = (
    *("bcc", "numpy", "pyroute2", "prometheus_client", "prometheus_api_client", "jinja2", "sqlalchemy"),
    *("alembic", "apscheduler", "httpx", "fastapi", "uvicorn", "asyncio", "ssl"),
)
_LIGHT = {
    "policy apply wrong.yaml --endpoints wrong.yaml --pins nowhere --state nowhere": 2,
    "policy lint wrong.yaml": 1,
    "policy status --pins nowhere --state nowhere": 2,
    "prefilter list --pins nowhere": 2,
    "balance status --pins nowhere --state nowhere": 2,
    "flows --help": 0,
    "slo validate wrong.yaml": 1,
}


@pytest.mark.parametrize("command", _LIGHT)
def test_a_light_command_loads_no_heavy_library(command: str, tmp_path: pathlib.Path) -> None:
    """What a person runs again and again, or a script does, starts without what only other commands need."""
    program = (
        "import sys; from netsre.cli import main; code = main.run(sys.argv[2:]); "
        "sys.exit(' '.join([str(code), *(each for each in sys.argv[1].split() if each in sys.modules)]))"
    )
    (tmp_path / "wrong.yaml").write_text("kind: nothing that anybody knows\n", encoding="utf-8")
    run = [sys.executable, "-c", program, " ".join(_HEAVY), *command.split()]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stderr.splitlines()[-1:] == [str(_LIGHT[command])], done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`netsre … | head` ends without a traceback on stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "netsre", "--help"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)

    assert done.stderr == b""
    assert done.returncode == 141


def test_the_module_is_the_same_command() -> None:
    """`python -m netsre` answers like `netsre`."""
    console_script = pathlib.Path(sys.executable).parent / "netsre"
    with_script = subprocess.run([console_script, "--version"], capture_output=True, text=True, check=True)

    assert python("-m", "netsre", "--version").stdout == with_script.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_outputs_are_no_error(closed: str) -> None:
    """Started by something that gives no outputs at all, a command does its work and says nothing."""
    command = f"{shlex.quote(sys.executable)} -m netsre slo validate slos {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert done.stderr == ""


def test_no_line_of_a_list_of_commands_is_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    """In a terminal of 80 columns, as `netsre --help` and the help of every group show them."""
    groups = [name for name, entry in main.COMMANDS.items() if isinstance(_loaded(entry), click.Group)]
    assert groups
    for name in groups:
        assert main.run([name, "--help"]) == 0
        commands = capsys.readouterr().out.partition("Commands:")[2]
        assert commands
        assert "..." not in commands, f"netsre {name} --help"


def _loaded(entry: main.LazyCommand) -> object:
    module, _, attribute = entry.target.partition(":")
    return getattr(importlib.import_module(module), attribute)
