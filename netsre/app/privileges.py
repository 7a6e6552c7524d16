"""Who runs what: the service user of this machine, and the ways down to it.

    parent   die_with_parent(pid)      before anything else, so that no child outlives `netsre up`
    agent    limit_capabilities(keep)  after its programs are attached
    others   drop_to(user)             after their imports, before they read a byte from outside

All of them act on the calling process for good and refuse beside a second thread.
"""

import os

from netsre.adapters.privileges import (
    ServiceUser,
    default_user,
    die_with_parent,
    drop_to,
    effective_capabilities,
    find_user,
    limit_capabilities,
)
from netsre.errors import BadInput, EnvironmentUnfit

__all__ = [
    "ServiceUser",
    "die_with_parent",
    "drop_to",
    "effective_capabilities",
    "limit_capabilities",
    "require_root",
    "service_user",
]


def service_user(name: str | None) -> ServiceUser:
    """Return the account for unprivileged work: the named one, else `netsre`, else `nobody`.

    Raises `BadInput` for an account that does not exist, and for root.
    """
    user = default_user() if name is None else find_user(name)
    if user.uid == 0:
        message = f"user {user.name!r} is root, and this part never runs as root: name another with --user"
        raise BadInput(message)
    return user


def require_root(command: str, why: str) -> None:
    """Raise `EnvironmentUnfit` unless this process is root's."""
    if os.geteuid() != 0:
        message = f"{command} needs root {why}, and runs as uid {os.geteuid()}: run sudo {command}"
        raise EnvironmentUnfit(message)
