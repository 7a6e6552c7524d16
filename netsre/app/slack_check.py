"""Whether Slack is set up as netsre needs it: each thing is tried, and what is missing has its next step."""

from dataclasses import dataclass
from typing import Final

from netsre.adapters.slack.api import Answer, Result, Slack
from netsre.app import slack_settings
from netsre.app.settings import Settings
from netsre.app.slack_settings import Mode, SlackSettings
from netsre.errors import BadInput
from netsre.model.directory import Directory

WRITE: Final = "chat:write"
HISTORY: Final = ("channels:history", "groups:history")
"""For a public channel, and for a private one."""
_ADVICE: Final = {
    "not_in_channel": "invite the bot: /invite @netsre in the channel",
    "channel_not_found": "write the channel's id; a private channel must have the bot as a member",
    "is_archived": "choose a channel that is in use",
    "missing_scope": "add the scope to the app, and install it anew",
    "invalid_auth": "copy the token anew; it begins with xoxb-",
    "token_revoked": "install the app anew, and copy its token",
    "account_inactive": "install the app anew, and copy its token",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed."""

    name: str
    ok: bool
    detail: str
    """What was found, or what is wrong and what to do."""


def check(settings: Settings, directory: Directory) -> list[Check]:
    """Try everything that can be tried without a message; raises `BadInput` where Slack is not set up."""
    found = slack_settings.load(settings.slack)
    if settings.slack is None or found is None:
        raise BadInput("nothing stands under slack in the settings; name their file with --config")
    client = Slack(found.token, found.api_url, found.tls)
    who = client.who()
    checks = [_secrets(settings.slack), _token(who)]
    if who.result is Result.DONE:
        checks += [_scope(who), _channel(client, found.channel)]
    if found.mode is Mode.SOCKET:
        checks.append(_socket(found))
    else:
        checks.append(
            Check("clicks", True, f"come to {settings.external_url}/api/v1/slack/interactions, signed")
        )
    return [*checks, _people(directory)]


def _secrets(named: SlackSettings) -> Check:
    said = slack_settings.exposed(named)
    return Check("secrets", not said, "; ".join(said) or "nobody but the owner of their files reads them")


def _token(who: Answer) -> Check:
    if who.result is not Result.DONE:
        return Check("token", False, _why(who))
    return Check("token", True, f"{who.text('user')} in {who.text('team')}")


def _scope(who: Answer) -> Check:
    if who.scopes and WRITE not in who.scopes:
        return Check("scope", False, f"{WRITE} is missing; add it to the app, and install it anew")
    if who.scopes and not set(HISTORY) & set(who.scopes):
        missing = f"{' or '.join(HISTORY)} is missing: after a crash a message could come twice"
        return Check("scope", False, f"{missing}; add it to the app, and install it anew")
    return Check("scope", True, ", ".join(who.scopes) or "Slack does not say which")


def _channel(client: Slack, channel: str) -> Check:
    seen = client.history(channel, "0", limit=1)
    done = seen.result is Result.DONE
    return Check("channel", done, f"{channel} can be read" if done else f"{channel}: {_why(seen)}")


def _socket(found: slack_settings.Slack) -> Check:
    opened = Slack(found.app_token, found.api_url, found.tls).opened()
    if opened.result is Result.DONE:
        return Check("clicks", True, "come over a socket, which can be opened")
    return Check(
        "clicks", False, f"{_why(opened)}; the token needs connections:write, and the app Socket Mode"
    )


def _people(directory: Directory) -> Check:
    known = sorted(person.name for person in directory.people if person.slack is not None)
    if not known:
        return Check("people", False, "nobody has an account; write slack: U… beside names in kind: People")
    return Check("people", True, ", ".join(known))


def _why(answer: Answer) -> str:
    word = answer.reason.partition(" ")[0].rstrip(":")
    advice = _ADVICE.get(word)
    return f"{answer.reason}; {advice}" if advice else answer.reason
