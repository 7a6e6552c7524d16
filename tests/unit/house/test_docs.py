"""The pages that people read first name only what is there."""

import datetime
import pathlib
import re
import tomllib
from typing import Final

import pytest

from netsre.alerting import codes as alert_codes
from netsre.alerting import noisy
from netsre.app import runbooks, settings, slack_settings
from netsre.cli import main
from netsre.datapath import codes as workload_codes
from netsre.datapath import flows, workload_files
from netsre.gameday import codes as gameday_codes
from netsre.model import linting
from netsre.model.balance import codes as balance_codes
from netsre.model.holds import Bounds
from netsre.model.policies import codes as policy_codes
from netsre.runbook import codes as runbook_codes
from netsre.runbook import people_files, scenario_codes
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.gates.names import Gate
from netsre.slo import codes as slo_codes
from tools import metrics_page

CHECKOUT: Final = pathlib.Path(__file__).resolve().parents[3]
PAGES: Final = sorted(
    path.relative_to(CHECKOUT).as_posix() for path in (*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"))
)


def text_of(name: str) -> str:
    """Read a file of the checkout."""
    return (CHECKOUT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: str) -> None:
    """A page or picture that is pointed at exists."""
    links = re.findall(r"\]\(([^)#\s]+)", text_of(page))
    broken = [
        link
        for link in links
        if not link.startswith(("http:", "https:")) and not (CHECKOUT / page).parent.joinpath(link).exists()
    ]

    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_named_exists(page: str) -> None:
    """`netsre something` in a page is something that can be typed."""
    named = set(re.findall(r"`netsre ([a-z][a-z-]*)\b", text_of(page)))

    assert named <= set(main.COMMANDS)


@pytest.mark.parametrize("page", PAGES)
def test_every_target_that_is_named_exists(page: str) -> None:
    """`make something` in a page is a target of the Makefile."""
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)\b", text_of(page), re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))

    assert named <= targets


def test_the_documentation_lists_every_code_with_its_meaning() -> None:
    """`docs/codes.md` and the code agree word for word, and each row says what to do."""
    rows = [line.strip("| ").split(" | ") for line in text_of("docs/codes.md").splitlines()]
    documented = {row[0]: row[1:] for row in rows if re.fullmatch(r"[A-Z]{3,4}\d{3}", row[0])}
    known = {
        **linting.CODES,
        **slo_codes.CODES,
        **alert_codes.CODES,
        **runbook_codes.CODES,
        **scenario_codes.CODES,
        **gameday_codes.CODES,
        **workload_codes.CODES,
        **policy_codes.CODES,
        **balance_codes.CODES,
        **slack_settings.CODES,
    }

    assert {code: row[0] for code, row in documented.items()} == known
    assert all(len(row) == 2 and row[1] for row in documented.values())


def test_every_file_that_is_shown_can_be_used(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever copies a service level or a runbook out of a page gets no finding."""
    checks = {
        "kind: SLO": ("slo", "validate"),
        "kind: Runbook": ("runbook", "lint"),
        "kind: Maintenance": ("runbook", "lint"),
        "kind: Scenario": ("runbook", "test"),
        "kind: NetworkPolicy": ("policy", "lint"),
        "kind: CiliumNetworkPolicy": ("policy", "lint"),
    }
    used = set()
    for page in PAGES:
        for shown in re.findall(r"^```yaml\n(apiVersion:.*?)^```", text_of(page), re.MULTILINE | re.DOTALL):
            if f"kind: {workload_files.KIND}" in shown:
                assert workload_files.parse({page: shown})
                continue
            if f"kind: {settings.KIND}" in shown:
                file = tmp_path / "controller.yaml"
                file.write_text(shown, encoding="utf-8")
                assert settings.settings(settings.Options(config=str(file))).bounds == Bounds()
                continue
            if f"kind: {noisy.KIND}" in shown:
                assert noisy.parse({page: shown}, datetime.date(2026, 12, 1))
                continue
            if f"kind: {people_files.KIND}" in shown:
                assert people_files.parse({page: shown}).people
                continue
            (kind,) = (kind for kind in checks if kind in shown)
            file = tmp_path / "shown.yaml"
            file.write_text(shown, encoding="utf-8")

            assert main.run([*checks[kind], str(file)]) == 0, f"{page}: {capsys.readouterr().out}"
            used.add(kind)
    assert used == set(checks)


def test_every_action_is_explained() -> None:
    """Whoever writes a runbook finds what a step can do on one page."""
    _, _, table = text_of("docs/writing-runbooks.md").partition("| action | `with` |")
    listed = set(re.findall(r"^\| `([a-z._]+)` \|", table.partition("\n\n")[0], re.MULTILINE))

    assert listed == set(ACTIONS)


def test_every_gate_is_explained() -> None:
    """Whoever reads why a run was refused finds the word on one page."""
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", text_of("docs/automation-gates.md"), re.MULTILINE)
    listed = set(re.findall(r"[a-z_]+", " ".join(rows)))

    assert listed == {gate.value for gate in Gate} - {Gate.ACCEPTED, Gate.NOT_MATCHED}


def test_the_page_of_metrics_is_what_the_registry_says() -> None:
    """Whoever reads about a metric reads what is exposed."""
    assert text_of("docs/metrics.md") == metrics_page.text()


def test_the_page_of_a_runbook_explains_every_reason_of_a_failed_attempt() -> None:
    """Whoever reads a word in the evidence at night finds it on the page."""
    named = set(re.findall(r"`([a-z_~]+)`", text_of("docs/runbooks/network-evidence.md")))

    assert named >= flows.REASONS


def test_the_readme_names_every_package_that_make_installs() -> None:
    """Nobody finds a package on their machine that they were not told about."""
    packages = re.findall(r"^(?:run|test) +(\S+)", text_of("tools/packages.txt"), re.MULTILINE)
    told = text_of("README.md")
    fonts = [name for name in packages if name.startswith("fonts-")]

    assert packages
    assert not [name for name in packages if f"`{name}`" not in told and name not in fonts]
    assert not fonts or "a font" in told


def test_the_readme_shows_every_command() -> None:
    """What `netsre --help` lists, the front page explains."""
    shown = set(re.findall(r"`netsre ([a-z-]+)", text_of("README.md")))

    assert set(main.COMMANDS) <= shown


def test_the_readme_names_every_runbook_that_changes_something() -> None:
    """Whoever reads it first knows what automation does to a node, and whom it asks."""
    acts = {f"`{book.name}`" for book in runbooks.read(()) if book.changes}

    assert acts <= set(re.findall(r"`[a-z-]+`", text_of("README.md")))


def test_every_gate_that_ci_has_is_a_target() -> None:
    """What CI runs a person can run, by the same name."""
    gates = re.findall(r"^make ([a-z]+)$", text_of(".ci/run"), re.MULTILINE)

    assert gates == re.findall(r"^all: ([a-z ]+) ##", text_of("Makefile"), re.MULTILINE)[0].split()


def test_the_kernel_code_states_a_licence_that_the_kernel_accepts() -> None:
    """Every C file carries the dual licence whose texts lie beside it, as the metadata says."""
    stated = "SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)"
    ours = [*CHECKOUT.glob("bpf/**/*.c"), *CHECKOUT.glob("bpf/**/*.h")]

    assert ours
    assert not [path.name for path in ours if stated not in path.read_text(encoding="utf-8").splitlines()[0]]
    assert stated in text_of("bpf/LICENSE")
    assert tomllib.loads(text_of("pyproject.toml"))["project"]["license-files"] == ["LICENSE", "bpf/LICENSE"]
