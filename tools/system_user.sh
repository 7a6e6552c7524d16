#!/usr/bin/env bash
# Makes the unprivileged user that the controller runs as, and says so; does nothing when it exists.
set -euo pipefail

name=netsre
if getent passwd "$name" >/dev/null; then
    exit 0
fi
as_root=()
[[ $(id -u) == 0 ]] || as_root=(sudo)
echo "making the system user ${name} (no home, no login): the controller runs as it, never as root"
"${as_root[@]}" useradd --system --user-group --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin "$name"
