"""What is asked about a Prometheus is checked before anything is sent."""

import pathlib

import pytest

from netsre import clock
from netsre.app import prometheus_options, prometheus_source
from netsre.clock import Timestamp
from netsre.errors import BadInput, EnvironmentUnfit

NOW = Timestamp(1_767_225_600_000)
"""2026-01-01T00:00:00Z."""


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (None, NOW),
        ("2025-12-31T23:00:00Z", NOW - clock.HOUR),
        ("2026-01-01T01:00:00+02:00", NOW - clock.HOUR),
        ("1767222000", NOW - clock.HOUR),
        ("1767222000.25", NOW - clock.HOUR + 250),
        ("2026-01-01T00:00:59.999Z", NOW + clock.MINUTE - 1),
        ("2026-01-01T00:01:00Z", NOW + clock.MINUTE),
    ],
)
def test_a_moment_is_rfc_3339_or_unix_seconds(text: str | None, at: int) -> None:
    """A minute ahead is another machine's clock."""
    assert prometheus_source.moment(text, NOW) == at


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("yesterday", "is no time"),
        ("", "is no time"),
        ("2026-01-01T00:00:00", "is no time"),
        ("2026-13-01T00:00:00Z", "is no time"),
        ("1e9", "is no time"),
        ("-5", "is no time"),
        ("NaN", "is no time"),
        ("\u0661767222000", "is no time"),
        ("2026-01-01T00:01:00.001Z", "is in the future"),
        ("1767222000000", "is no time"),
        ("176722200000", "is in the future"),
        ("0", "is before there was a Prometheus"),
        ("0001-01-01T00:00:00+23:00", "is no time; write one such as"),
    ],
)
def test_any_other_moment_is_refused(text: str, why: str) -> None:
    """The line repeats what was written, and shows how to write it."""
    with pytest.raises(BadInput) as raised:
        prometheus_source.moment(text, NOW)

    assert why in str(raised.value)
    assert str(raised.value).endswith("write one such as 2026-01-02T03:04:05Z, or seconds since 1970")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
        ("https://mimir.example/prometheus/", "https://mimir.example/prometheus"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_an_address_may_have_a_path(text: str, url: str) -> None:
    """Mimir and many proxies serve the interface below one."""
    assert prometheus_options.address(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prometheus:9090",
        "ftp://prometheus",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "http://host:9090?x=1",
        "http://host:9090/#/graph",
        "http://ho st",
        "http://host\n",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Before anything is sent to whatever it may mean."""
    with pytest.raises(BadInput, match=r"^--source "):
        prometheus_options.address(text)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """A command line is seen by everybody on the machine."""
    with pytest.raises(BadInput) as raised:
        prometheus_options.address("http://somebody:hunter2@prometheus:9090")

    assert "hunter2" not in str(raised.value)
    assert "NETSRE_PROMETHEUS_TOKEN" in str(raised.value)


def test_a_token_comes_from_a_file_or_the_environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that a person names wins; without either there is none."""
    monkeypatch.delenv(prometheus_options.TOKEN_VARIABLE, raising=False)
    assert prometheus_options.token(None) is None
    monkeypatch.setenv(prometheus_options.TOKEN_VARIABLE, "of-the-environment")
    assert prometheus_options.token(None) == "of-the-environment"
    (tmp_path / "token").write_text("of-the-file\n")
    assert prometheus_options.token(tmp_path / "token") == "of-the-file"


@pytest.mark.parametrize("content", ["", " \n", "two words", "caf\u00e9", "x" * 20_000, "a\nb"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(
    content: str, tmp_path: pathlib.Path
) -> None:
    """What is in the file stays there."""
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput) as raised:
        prometheus_options.token(path)

    assert str(path) in str(raised.value)
    assert not content.strip() or content.strip() not in str(raised.value)


def test_a_token_file_that_is_not_there_is_the_machines_fault(tmp_path: pathlib.Path) -> None:
    """Nothing is sent without the token that was asked for."""
    with pytest.raises(EnvironmentUnfit, match="No such file"):
        prometheus_options.token(tmp_path / "none")
