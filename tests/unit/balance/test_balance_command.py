"""Claims about `netsre balance lint` and `netsre balance lookup`, which need no kernel."""

import json
import pathlib

import pytest

from netsre.cli import main
from netsre.datapath.balance import maglev
from netsre.model.balance import codes

GOOD = """\
- name: web
  namespace: shop
  addresses: [198.51.100.1]
  port: 80
  backends:
    - {address: 10.0.0.1, port: 8080, weight: 3}
    - {address: 10.0.0.2, port: 8080, draining: true}
    - {address: 10.0.0.3, port: 8080}
- {name: none, addresses: [198.51.100.2], port: 80, backends: []}
"""


@pytest.fixture(name="file")
def _file(tmp_path: pathlib.Path) -> str:
    """Return a file of services."""
    file = tmp_path / "services.yaml"
    file.write_text(GOOD, encoding="utf-8")
    return str(file)


def test_a_lookup_says_each_share_and_who_gets_a_socket(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the kernel's table has it; who is draining has none."""
    command = ["balance", "lookup", "198.51.100.1:80/TCP", "--services", file, "--cookie", "4711", "--json"]
    assert main.run(command) == 0
    found = json.loads(capsys.readouterr().out)

    table = maglev.table({"10.0.0.1:8080": 3, "10.0.0.3:8080": 1})
    assert {one["backend"]: (one["slots"], one["draining"]) for one in found["backends"]} == {
        "10.0.0.1:8080": (table.count("10.0.0.1:8080"), False),
        "10.0.0.2:8080": (0, True),
        "10.0.0.3:8080": (table.count("10.0.0.3:8080"), False),
    }
    assert found["given"] == table[maglev.slot(4711)]
    assert (found["service"], found["place"]) == ("shop/web", "198.51.100.1:80/TCP")


def test_a_lookup_is_readable_in_eighty_columns(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Shares in percent, and what becomes of a service that nobody serves."""
    assert main.run(["balance", "lookup", "198.51.100.1:80/TCP", "--services", file]) == 0
    shown = capsys.readouterr().out
    assert main.run(["balance", "lookup", "198.51.100.2:80/TCP", "--services", file]) == 0
    refused = capsys.readouterr().out

    assert "75.00 %" in shown
    assert "draining" in shown
    assert "EHOSTUNREACH" in refused
    assert max(map(len, (shown + refused).splitlines())) <= 80


def test_a_place_of_no_service_is_refused_with_the_nearest(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, one line."""
    assert main.run(["balance", "lookup", "198.51.100.1:81/TCP", "--services", file]) == 2
    complaint = capsys.readouterr().err

    assert "did you mean '198.51.100.1:80/TCP'?" in complaint
    assert complaint.count("\n") == 1


def test_lint_answers_yes_or_no(
    file: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0 without findings, 1 with them, each with its place and its code."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(GOOD.replace("port: 80\n", "port: 0\n"), encoding="utf-8")
    assert main.run(["balance", "lint", file]) == 0
    good = capsys.readouterr().out
    assert main.run(["balance", "lint", str(bad), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert main.run(["balance", "lint", str(bad)]) == 1

    assert "2 services: no findings" in good
    [finding] = found["findings"]
    assert (finding["code"], finding["line"], finding["file"]) == (codes.PORT, 4, str(bad))
    assert f"{bad}:4: {codes.PORT}" in capsys.readouterr().out
