"""`netsre up --with-alertmanager`: an unprivileged child that sends alerts back, and is gone afterwards."""

import pathlib

import httpx
import pytest

from netsre.app.local import alertmanager
from netsre.errors import EnvironmentUnfit
from tests.alertmanager import Alertmanager
from tests.machine import PATIENCE, free_port, gone, open_directory, wait_until
from tests.system.up_process import up


@pytest.mark.requires("root", "netns", "bpf", "btf", "bcc", "nft", "prometheus-alertmanager")
def test_an_alertmanager_of_its_own_sends_alerts_back_and_ends_with_the_rest() -> None:
    """Told of an alert, it shows the token of this data directory, and the alert is on record here."""
    port = free_port()
    where = ("--with-alertmanager", "--alertmanager-listen", f"127.0.0.1:{port}")
    with open_directory() as home, up(home / "data", *where) as running:
        running.wait_for(r"^stop: ")
        said = running.wait_for(
            rf"^alerts: +http://127\.0\.0\.1:{port}/ \(alertmanager, pid (\d+), user (\w+)\)$"
        )
        pid, user = int(said[1]), said[2]
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert user != "root"
        for field in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            assert f"{field}:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        Alertmanager(port).post({"labels": {"alertname": "Foreign", "node": "x"}})

        def came_back() -> bool:
            alerts = httpx.get(f"http://127.0.0.1:{running.listen}/api/v1/alerts", timeout=PATIENCE).json()[
                "alerts"
            ]
            return any(alert["labels"].get("alertname") == "Foreign" for alert in alerts)

        assert wait_until(came_back), running.printed
        peers = httpx.get(f"http://127.0.0.1:{running.listen}/api/v1/status", timeout=PATIENCE).json()[
            "alertmanagers"
        ]
        assert [(peer["peer"], peer["up"]) for peer in peers] == [(f"127.0.0.1:{port}", True)]
        running.stop()
        assert gone([pid])
        assert (home / "data" / "alertmanager").stat().st_mode & 0o777 == 0o700


def test_without_the_program_the_line_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """And how to do without it."""
    monkeypatch.setattr(alertmanager, "PROGRAM", tmp_path / "nothing")

    with pytest.raises(
        EnvironmentUnfit, match="install --no-install-recommends prometheus-alertmanager, or leave"
    ):
        alertmanager.require()
