"""Options win over the environment, that over the file, and that over the defaults; nonsense is one line."""

import dataclasses
import os
import pathlib

import pytest

from netsre import clock
from netsre.adapters.endpoints import Endpoint
from netsre.adapters.privileges import ServiceUser
from netsre.app import settings, slack_settings
from netsre.app.control.controller import load
from netsre.app.local import up
from netsre.app.settings import Options
from netsre.app.slack_settings import Mode, SlackSettings
from netsre.cli.controller import controller
from netsre.errors import BadInput, NetsreError, SpecErrors
from netsre.model.holds import Bounds

FILE = """\
apiVersion: netsre.dev/v1
kind: Controller
metadata: {name: here}
spec: {listen: '127.0.0.1:1', agent: 'http://file:1', interval: 30s}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Begin without any setting of this machine."""
    for name in [name for name in os.environ if name.startswith("NETSRE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "controller.yaml").write_text(FILE)


def test_defaults_are_loopback_and_shipped_specs() -> None:
    """Nothing is public, and nothing must be written to begin."""
    found = settings.settings(Options())

    assert (found.host, found.port, found.interval) == ("127.0.0.1", 8600, 15_000)
    assert found.agent_url == "http://127.0.0.1:8601"
    assert [path.name for path in (*found.slos, *found.runbooks)] == ["slos", "runbooks"]


ALLOWED = ("https://x/a", "http://127.0.0.1:9/")


def test_bounds_of_automation_are_safe_and_can_be_set(tmp_path: pathlib.Path) -> None:
    """What is left out stays as it is; none can be switched off."""
    said = "{changes: {perHour: 3}, storm: {alerts: 4, hold: 5m}, oscillation: 2h, quarantine: 7d, "
    said += "http: {allow: ['https://x/a', 'http://127.0.0.1:9/']}}"
    file = tmp_path / "controller.yaml"
    file.write_text(FILE.replace("30s}", f"30s, automation: {said}}}"))

    assert settings.settings(Options()).bounds == Bounds()
    found = settings.settings(Options(config=str(file))).bounds
    assert found == Bounds(5, 3, 60, 4, 300_000, 2 * clock.HOUR, 7 * clock.DAY, ALLOWED)


def test_slack_is_read_with_its_secrets_which_are_in_no_text(tmp_path: pathlib.Path) -> None:
    """Of what is not used the file is not opened; nothing shows a secret."""
    (tmp_path / "token").write_text("xoxb-very-secret\n")
    (tmp_path / "secret").write_text("also-secret\n")
    said = f"{{channel: C024BE91L, tokenFile: {tmp_path}/token, signingSecretFile: {tmp_path}/secret"
    file = tmp_path / "controller.yaml"
    file.write_text(FILE.replace("30s}", f"30s, slack: {said}, appTokenFile: /nowhere}}}}"))

    found = settings.settings(Options(config=str(file)))
    slack = slack_settings.load(found.slack)

    assert settings.settings(Options()).slack is None
    assert slack_settings.load(None) is None
    assert slack is not None
    assert (slack.token, slack.signing_secret, slack.app_token) == ("xoxb-very-secret", "also-secret", "")
    assert (slack.channel, slack.mode, slack.api_url) == ("C024BE91L", "http", "https://slack.com/api/")
    assert "secret" not in f"{slack} {slack!r}".replace("signing_secret", "")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "channel: '#net', tokenFile: t, signingSecretFile: s",
            "SLK001 spec.slack.channel '#net' is no channel",
        ),
        (
            "channel: C024BE91L, tokenFile: t",
            "SLK003 spec.slack.signingSecretFile is missing; clicks by http",
        ),
        ("channel: C024BE91L, tokenFile: t, mode: socket", "SLK003 spec.slack.appTokenFile is missing"),
        ("channel: C024BE91L, tokenFile: t, mode: rtm", "SPEC011 spec.slack.mode"),
        ("channel: C024BE91L, signingSecretFile: s", "SPEC005 spec.slack.tokenFile is missing"),
        (
            "channel: C024BE91L, tokenFile: t, signingSecretFile: s, token: xoxb-1",
            "SPEC004 key spec.slack.token",
        ),
        *(
            (
                f"channel: C024BE91L, tokenFile: t, signingSecretFile: s, apiUrl: '{url}'",
                "SLK002 spec.slack.api",
            )
            for url in ("http://slack.com/api/", "ftp://h", "https://u:p@h/", "https://", "https://[::1", "x")
        ),
    ],
)
def test_what_is_wrong_about_slack_has_its_line_and_its_code(
    tmp_path: pathlib.Path, said: str, expected: str
) -> None:
    """Before anything is started."""
    file = tmp_path / "controller.yaml"
    file.write_text(FILE.replace("30s}", f"30s, slack: {{{said}}}}}"))

    with pytest.raises(SpecErrors) as refused:
        settings.settings(Options(config=str(file)))

    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "No such file or directory; make it readable for whoever starts netsre"),
        ("", "has none in it: one line of at least 8 characters is needed"),
        ("xoxb-a b c d e", "has none in it"),
        ("xoxp-of-a-person", "is not of the kind that is needed; it begins with xoxb-"),
        ("ümlaute-sind-keine", "has more than printable ASCII in it; write it anew"),
    ],
)
def test_a_secret_that_is_none_is_one_line(tmp_path: pathlib.Path, text: str | None, expected: str) -> None:
    """It names the file, and never what is in it."""
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    asked = SlackSettings("C024BE91L", file, Mode.HTTP, None, None)

    with pytest.raises(NetsreError) as refused:
        slack_settings.load(asked)

    assert expected in str(refused.value)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{changes: {perDay: 0}}", "SPEC009 spec.automation.changes.perDay 0 is no bound; write at least 1"),
        ("{storm: {alerts: 101}}", "SPEC009 spec.automation.storm.alerts 101 is no bound; write 1 to 100"),
        ("{storm: {hold: 2d}}", "SPEC010 spec.automation.storm.hold is longer than 1d"),
        ("{storm: {hold: 1ms}}", "SPEC010 spec.automation.storm.hold is shorter than 1m"),
        ("{oscillation: 59s}", "SPEC010 spec.automation.oscillation is shorter than 1m, as good as off"),
        ("{quarantine: 1s}", "SPEC010 spec.automation.quarantine is shorter than 1m, as good as off"),
        ("{quarantine: 31d}", "SPEC010 spec.automation.quarantine is longer than 30d"),
        (
            "{http: {allow: ['https://x/../y']}}",
            "spec.automation.http.allow[0] has a path that leads elsewhere",
        ),
        ("{http: {allow: ['https://x/?a']}}", "spec.automation.http.allow[0] is no plain address"),
        ("{http: {}}", "SPEC005 spec.automation.http.allow is missing"),
        ("{changes: {perWeek: 1}}", "SPEC004 key spec.automation.changes.perWeek is unknown"),
    ],
)
def test_what_is_no_bound_is_a_finding(said: str, expected: str, tmp_path: pathlib.Path) -> None:
    """At its line, like any other."""
    file = tmp_path / "controller.yaml"
    file.write_text(FILE.replace("30s}", f"30s, automation: {said}}}"))

    with pytest.raises(SpecErrors) as refused:
        settings.settings(Options(config=str(file)))

    assert any(expected in str(finding) for finding in refused.value.findings), refused.value.findings


def test_the_nearest_word_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Option, environment, file, default: each decides where the one before is silent."""
    monkeypatch.setenv("NETSRE_AGENT", "http://environment:2")
    monkeypatch.setenv("NETSRE_LISTEN", "127.0.0.1:2")

    found = settings.settings(Options(config=str(tmp_path / "controller.yaml"), listen="[::1]:3"))

    assert (found.host, found.port) == ("::1", 3)
    assert found.agent_url == "http://environment:2"
    assert found.interval == 30_000
    assert found.external_url == "http://[::1]:3"


@pytest.mark.parametrize(
    ("options", "environment", "file", "source"),
    [
        ({"agent": "http://option"}, {"SOURCE": "http://environment"}, "source: 'http://file'", None),
        ({}, {"AGENT": "http://environment"}, "source: 'http://file'", None),
        (
            {"source": "http://option"},
            {"AGENT": "http://environment"},
            "agent: 'http://file'",
            "http://option",
        ),
        ({}, {"SOURCE": "http://environment"}, "agent: 'http://file'", "http://environment"),
        ({}, {}, "source: 'http://file'", "http://file"),
        ({}, {}, "agent: 'http://file:1', source: 'http://file'", "http://file"),
        ({}, {}, "agent: 'http://file'", None),
    ],
)
def test_the_nearest_word_says_what_is_read(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    options: dict[str, str],
    environment: dict[str, str],
    file: str,
    source: str | None,
) -> None:
    """An option names an agent: no Prometheus of the environment is read, as for `netsre up`."""
    for name, value in environment.items():
        monkeypatch.setenv(f"NETSRE_{name}", value)
    path = tmp_path / "controller.yaml"
    path.write_text(FILE.replace("agent: 'http://file:1'", file))
    found = settings.settings(Options(config=str(path), **options))  # type: ignore[arg-type]

    assert (found.prometheus.url if found.prometheus else None) == source


def test_options_that_name_two_places_to_read_from_are_refused() -> None:
    """Neither is nearer than the other."""
    with pytest.raises(BadInput, match="--agent and --source are two places to read from"):
        settings.settings(Options(agent="http://a", source="http://b"))


def test_every_option_of_the_command_is_one_that_is_read() -> None:
    """What click hands over by name has its place, and no place is without an option."""
    handed = {parameter.name for parameter in controller.params}

    assert handed == {field.name for field in dataclasses.fields(Options)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(listen="8600"), "address '8600' is not HOST:PORT"),
        (Options(listen="127.0.0.1:99999"), "is not HOST:PORT"),
        (Options(agent="127.0.0.1:8601"), "--agent '127.0.0.1:8601' is not an address"),
        (Options(interval="15"), "--interval '15' has no unit; write 15s"),
        (Options(interval="100ms"), "--interval 100ms is outside 1s to 5m"),
        (Options(node="a\x1b[31m"), r"--node 'a\x1b[31m' is no name of a node"),
        (Options(node="\udcff"), r"--node '\udcff' is no name of a node"),
        (Options(node="x" * 254), "at most 253 characters"),
    ],
)
def test_nonsense_is_one_line(options: Options, message: str) -> None:
    """The option, its value, and what to write instead."""
    with pytest.raises(BadInput) as refused:
        settings.settings(options)

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://", "is not an address"),
        ("http://:80", "is not an address"),
        ("ftp://a", "is not an address"),
        ("127.0.0.1:8601", "is not an address"),
        ("http://127.0.0.1:99999", "is not an address (Port out of range 0-65535)"),
        ("http://127.0.0.1:abc", "is not an address (Port could not be cast"),
        ("http://[::1", "is not an address (Invalid IPv6 URL)"),
        (f"http://{'a' * 64}", "is not an address ("),
        ("http://a b", "is not an address: it has a blank in it"),
        ("http://a\x00b", "is not an address: it has a blank in it"),
        ("http://me:secret@a", "has a name or password in it"),
        ("http://a/?b=c", "has more than host, port and path"),
        ("http://a/#b", "has more than host, port and path"),
    ],
)
def test_an_address_that_cannot_work_is_refused_at_the_start(address: str, problem: str) -> None:
    """And not as a source that is down for ever."""
    with pytest.raises(BadInput) as refused:
        settings.settings(Options(agent=address))

    assert str(refused.value).startswith("--agent ")
    assert problem in str(refused.value)
    assert str(refused.value).endswith("; write one such as http://127.0.0.1:8601")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["http://a", "https://a.example:1/under", "http://[::1]:8601", "http://a_b:1"]
)
def test_an_address_that_can_work_is_taken(address: str) -> None:
    """As it was written, without a slash at its end."""
    assert settings.settings(Options(agent=f"{address}/")).agent_url == address


def test_an_unknown_key_of_the_file_is_a_finding(tmp_path: pathlib.Path) -> None:
    """With file, line and the nearest known key."""
    path = tmp_path / "controller.yaml"
    path.write_text(FILE.replace("interval", "intervall"))

    with pytest.raises(SpecErrors, match=r"controller.yaml:4: SPEC004 .*did you mean 'interval'"):
        settings.settings(Options(config=str(path)))


def test_a_database_is_named_like_everything_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Option, environment, file; without any of them it is a file of the data directory."""
    assert settings.settings(Options()).database is None
    path = tmp_path / "database.yaml"
    path.write_text(FILE.replace("spec: {", "spec: {database: 'postgresql://file/x', "))
    options = Options(config=str(path))
    assert settings.settings(options).database == "postgresql://file/x"
    monkeypatch.setenv("NETSRE_DATABASE_URL", "postgresql://environment/x")
    assert settings.settings(options).database == "postgresql://environment/x"
    nearest = dataclasses.replace(options, database="postgresql://option/x")
    assert settings.settings(nearest).database == "postgresql://option/x"


def test_a_command_about_a_database_is_about_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data directory that is named has a file; the environment is for who names nothing."""
    assert settings.database(None, None) is None
    assert settings.database("postgresql://option/x", None) == "postgresql://option/x"
    monkeypatch.setenv("NETSRE_DATABASE_URL", "postgresql://environment/x")
    assert settings.database(None, None) == "postgresql://environment/x"
    assert settings.database(None, "/data") is None
    with pytest.raises(BadInput, match="two places of a database"):
        settings.database("postgresql://option/x", "/data")


def test_secrets_have_a_directory_only_where_one_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment before the file."""
    file = tmp_path / "kept.yaml"
    file.write_text(FILE.replace("interval: 30s", "secrets: /etc/netsre/secrets"))

    assert settings.settings(settings.Options()).secrets is None
    asked = settings.Options(config=str(file))
    assert settings.settings(asked).secrets == pathlib.Path("/etc/netsre/secrets")
    monkeypatch.setenv("NETSRE_SECRETS", "/run/secrets")
    assert settings.settings(asked).secrets == pathlib.Path("/run/secrets")


def test_clients_that_are_known_to_be_noisy_are_read_and_one_that_is_over_stops_nothing(
    tmp_path: pathlib.Path,
) -> None:
    """A day that passes must not keep a controller from starting again."""
    clients = tmp_path / "noisy.yaml"
    clients.write_text(
        "apiVersion: netsre.dev/v1\nkind: NoisyClients\nmetadata: {name: known}\nspec:\n"
        "  clients: [{src: default/scanner, until: '2020-01-31', owner: ann, reason: It asks every port.}]\n"
    )
    file = tmp_path / "controller.yaml"
    file.write_text(FILE.replace("30s}", f"30s, noisy: '{clients}'}}"))

    found = load(settings.settings(Options(config=str(file)))).noisy

    (mute,) = found
    assert (mute.label, mute.value) == ("src", "default/scanner")
    assert mute.alerts == ("UnexpectedEgress", "UnexpectedEgressDenied")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("http://a:9093/", ("http://a:9093",)),
        ("['http://a:9093', 'http://b:9093']", ("http://a:9093", "http://b:9093")),
        ("[]", ()),
        ("''", ()),
    ],
)
def test_a_file_names_one_alertmanager_or_a_pair(
    tmp_path: pathlib.Path, written: str, found: tuple[str, ...]
) -> None:
    """An option wins over all of them."""
    file = tmp_path / "controller.yaml"
    file.write_text(FILE.replace("30s}", f"30s, alertmanager: {written}}}"))
    options = Options(config=str(file))

    assert settings.settings(options).alertmanagers == found
    more = dataclasses.replace(options, alertmanagers=("http://c:9093",))
    assert settings.settings(more).alertmanagers == ("http://c:9093",)


@pytest.mark.parametrize("written", ["{url: 'http://a:9093'}", "[['http://a:9093']]", "['http://a:9093', b]"])
def test_what_is_no_address_in_a_list_of_alertmanagers_is_refused(
    tmp_path: pathlib.Path, written: str
) -> None:
    """With the place, or the address."""
    file = tmp_path / "controller.yaml"
    file.write_text(FILE.replace("30s}", f"30s, alertmanager: {written}}}"))

    with pytest.raises(NetsreError, match="alertmanager"):
        settings.settings(Options(config=str(file)))


@pytest.mark.parametrize(
    ("mode", "who"),
    [(0o600, ""), (0o640, "its group can"), (0o604, "everybody on this machine can"), (0o400, "")],
)
def test_secrets_of_slack_that_others_can_reach_are_told(tmp_path: pathlib.Path, mode: int, who: str) -> None:
    """Of those that are used: the way in by a socket has no signing secret."""
    token, secret, app = (tmp_path / name for name in ("token", "secret", "app"))
    for path in (token, secret, app):
        path.write_text("something\n")
    secret.chmod(0o666)
    app.chmod(0o600)
    token.chmod(mode)

    said = slack_settings.exposed(SlackSettings("C0NETSRE", token, Mode.SOCKET, secret, app))

    assert len(said) == bool(who)
    assert not who or (f"{token} has mode {mode:04o}: {who} reach it; use chmod go= {token}",) == said


def test_up_hands_on_to_its_controller_what_the_file_says(tmp_path: pathlib.Path) -> None:
    """Also what no option says: bounds of automation, and where secrets are."""
    file = tmp_path / "controller.yaml"
    said = "automation: {changes: {perHour: 3}}, secrets: /etc/netsre/secrets, noisy: /etc/netsre/noisy.yaml"
    file.write_text(FILE.replace("30s}", f"30s, {said}}}"))
    given = settings.settings(Options(config=str(file)))

    user = ServiceUser("nobody", 65534, 65534)
    words = up.controller_options(up.UpOptions(False, Endpoint("127.0.0.1", 8601), user, given))
    again = settings.settings(Options(**controller.make_context("controller", [*words]).params))

    assert (again.bounds.per_hour, again.secrets, again.noisy) == (3, given.secrets, given.noisy)
    assert again.bounds == given.bounds


def test_up_refuses_a_database_of_somebody_else(tmp_path: pathlib.Path) -> None:
    """Its own controller would write there."""
    file = tmp_path / "controller.yaml"
    file.write_text(FILE.replace("spec: {", "spec: {database: 'postgresql://file/x', "))
    given = settings.settings(Options(config=str(file)))

    with pytest.raises(BadInput, match="keeps a database of its own"):
        up.check_files(given)
