"""The schemas of the files that say how a controller and an agent are set up."""

from typing import Final

from netsre.adapters import endpoints
from netsre.alerting import noisy
from netsre.app import automation_bounds, slack_settings
from netsre.app.schemas import parts
from netsre.app.schemas.parts import Schema

_URL: Final = "[Hh][Tt][Tt][Pp][Ss]?://[^\\s/?#@]+(?:/[^\\s?#]*)?"


def controller() -> Schema:
    """Return the schema of `spec` of a controller's settings; an empty one is one left out."""
    listen = parts.pattern(
        "Where it serves its API and page.",
        endpoints.HOST_AND_PORT.pattern,
        "HOST:PORT, such as 127.0.0.1:8600 or [::1]:8600.",
        "127.0.0.1:8600",
    )
    return parts.mapping(
        "Settings; an option of the command or NETSRE_* wins over each.",
        {},
        {
            "dataDir": parts.text("Where state lives."),
            "database": parts.text("The address of a PostgreSQL database, instead of a file there."),
            "listen": listen,
            "agent": _url("The agent to read."),
            "source": _url("A Prometheus to read instead."),
            "nodeLabel": parts.text("The label that names the node of a series there, instance by default."),
            "tokenFile": parts.text("The file of a token for it."),
            "interval": parts.duration("Between two evaluations, from 1s to 5m."),
            "slos": parts.text("A file or directory of SLOs, burn policies and alerts."),
            "runbooks": parts.text("A file or directory of runbooks and game days."),
            "people": parts.text("A file or directory of the people who may decide about runs."),
            "noisy": parts.text(
                "A file or directory of clients whose tickets are muted (kind: NoisyClients)."
            ),
            "secrets": parts.text("A directory of files, each a secret that runbooks name."),
            "user": parts.text("The user to become when started as root."),
            "node": parts.text("What the node is called."),
            "externalUrl": _url("Where people reach this controller, for links."),
            "alertmanager": {
                "description": "Every Alertmanager to tell.",
                "anyOf": [_url("One."), parts.sequence("Several, such as a pair.", _url("One of them."))],
            },
            "control": parts.text("The agent's control socket; without it automation only looks."),
            "automation": _automation(),
            "slack": _slack(),
        },
    )


def _automation() -> Schema:
    changes = {
        "perTenMinutes": parts.whole("In ten minutes.", minimum=1),
        "perHour": parts.whole("In an hour.", minimum=1),
        "perDay": parts.whole("In a day.", minimum=1),
    }
    storm = {
        "alerts": parts.whole(
            "More than these within a minute are one.", minimum=1, maximum=automation_bounds.MOST_STORM
        ),
        "hold": parts.duration("How long nothing is changed after it, 1m to 1d."),
    }
    return parts.mapping(
        "What all runbooks share.",
        {},
        {
            "changes": parts.mapping("Runs of all runbooks that change something.", {}, changes),
            "storm": parts.mapping("Alerts that want a change at once.", {}, storm),
            "oscillation": parts.duration("How long a field does not go back to a value, 1m to 1d."),
            "http": parts.mapping(
                "HTTP calls of runbooks.",
                {"allow": parts.sequence("What addresses may begin with.", parts.text("An address."))},
            ),
            "quarantine": parts.duration("How long a value that did not help is left alone, 1m to 30d."),
        },
    )


def _slack() -> Schema:
    channel = parts.pattern(
        "The channel's id.", slack_settings.CHANNEL.pattern, "An id such as C024BE91L.", "C024BE91L"
    )
    return parts.mapping(
        "Where incidents are told in Slack.",
        {
            "channel": channel,
            "tokenFile": parts.text("The file of the bot's token, which begins with xoxb-."),
        },
        {
            "mode": parts.choice("How clicks come in; http by default.", slack_settings.Mode),
            "signingSecretFile": parts.text("The file of the signing secret, for http."),
            "appTokenFile": parts.text("The file of the app's token, which begins with xapp-, for socket."),
            "apiUrl": _url("Slack's API, where it is not the usual one."),
        },
    )


def workloads() -> Schema:
    """Return the schema of `spec` of names for ends of connections."""
    networks = parts.sequence("Of destinations, each an address with a prefix.", parts.text("A network."))
    port = parts.whole("A port.", minimum=1, maximum=65_535)
    pattern = parts.listed_text("A text with * for anything.")
    end = parts.mapping(
        "One name, and what has it.",
        {"name": parts.name("Unique, and none that netsre gives by itself.")},
        {
            "cidrs": networks,
            "ports": parts.sequence("Of destinations in these networks.", port),
            "cgroups": parts.sequence("Paths of clients' cgroups.", pattern),
            "namespaces": parts.sequence("Names of clients' network namespaces.", pattern),
            "service": parts.choice(
                "Whether its one address and port are a service, translated to a backend's.",
                [True, False, "true", "false"],
            ),
        },
    )
    return parts.mapping("Names.", {"workloads": parts.sequence("In the order that matters.", end)})


def noisy_clients() -> Schema:
    """Return the schema of `spec` of clients whose tickets are muted for a while."""
    client = parts.mapping(
        "A client.",
        {
            "until": parts.pattern(
                "The last day, in UTC, at most 180 days away.",
                noisy.DATE.pattern,
                "A day such as '2027-01-31'.",
            ),
            "owner": parts.text("Who makes it quiet."),
            "reason": parts.text("Why it is noisy."),
        },
        {
            "src": parts.text("Its name, the label src of its alerts, such as default/scanner."),
            "source": parts.text("Its address, the label source of its alerts, such as 10.0.0.7."),
        },
    ) | {"anyOf": [{"required": ["src"]}, {"required": ["source"]}]}
    return parts.mapping(
        "Whose tickets are muted; pages are not.", {"clients": parts.sequence("Clients.", client)}
    )


def _url(about: str) -> Schema:
    return parts.pattern(about, _URL, "An address such as http://127.0.0.1:8600, without a password.")
