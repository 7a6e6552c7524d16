"""Files of a team's receivers: who gets pages and who gets tickets, in the words of Alertmanager.

receivers:
  - name: pages
    pagerduty_configs: [{routing_key_file: /etc/alertmanager/pagerduty.key}]
  - name: tickets
    slack_configs: [{api_url_file: /etc/alertmanager/slack.url, channel: '#network'}]
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from netsre.app import resources
from netsre.errors import BadInput
from netsre.model import literals, yamltree

REQUIRED: Final = ("pages", "tickets")
SECRETS: Final = frozenset(
    {
        "access_key",
        "api_key",
        "api_secret",
        "auth_password",
        "auth_secret",
        "bearer_token",
        "bot_token",
        "client_secret",
        "credentials",
        "password",
        "routing_key",
        "secret_key",
        "service_key",
        "token",
        "user_key",
        "webhook_url",
    }
)
"""Keys of Alertmanager whose value is a secret; what is generated is for eyes and repositories."""
_SLACK: Final = ("slack_configs", "api_url")


def read(path: Path) -> tuple[dict[str, Any], ...]:
    """Return the receivers of a file, in its order; raises `BadInput` for one that cannot be used."""
    [text] = resources.texts([path], ".yaml", ".yml").values()
    # The strict reader refuses aliases and deep nesting, which nobody could check.
    _, error = yamltree.documents(text)
    if error is not None:
        raise BadInput(f"{path}:{error.line}: {error.message}")
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as broken:
        raise BadInput(f"{path}: {literals.printable(str(broken))}") from broken
    listed = found.get("receivers") if isinstance(found, dict) and set(found) == {"receivers"} else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "name" in one for one in listed):
        raise BadInput(f"{path}: is no list `receivers` of mappings with a `name`; write nothing else in it")
    names = [one["name"] for one in listed]
    if sorted(map(str, names)) != sorted(REQUIRED):
        raise BadInput(f"{path}: has the receivers {names}; write {' and '.join(REQUIRED)}, once each")
    for secret in _secrets(listed):
        raise BadInput(f"{path}: has a secret in {secret}; write {secret}_file, with the path of a file")
    return tuple(listed)


def _secrets(value: Any, under: str = "") -> Iterator[str]:  # noqa: ANN401 - Alertmanager's own
    if isinstance(value, dict):
        for key, part in value.items():
            if key in SECRETS or (under, key) == _SLACK:
                yield str(key)
            yield from _secrets(part, str(key))
    elif isinstance(value, list):
        for part in value:
            yield from _secrets(part, under)
