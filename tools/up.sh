#!/usr/bin/env bash
# Says in short what this node can do, then becomes `netsre up --lab`, as root.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root=()
if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || { echo "netsre up needs root, and there is no sudo; run make as root" >&2; exit 3; }
    as_root=(sudo)
fi
"${as_root[@]}" .venv/bin/netsre doctor || echo "going on with what this node can do"
exec "${as_root[@]}" .venv/bin/netsre up --lab "$@"
