#!/usr/bin/env bash
# Writes requirements.lock and requirements-dev.lock from pyproject.toml: exact versions, hashes, no host names.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-/usr/bin/python3}
resolver=.cache/lock
if [[ ! -x $resolver/bin/uv ]]; then
    "$python" -m venv "$resolver"
    "$resolver/bin/pip" install --quiet "uv>=0.8"
fi

compile() {
    local output=$1
    shift
    "$resolver/bin/uv" pip compile pyproject.toml "$@" --quiet --universal --python-version 3.11 \
        --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --output-file "$output" "${upgrade[@]}"
}

# Without an argument only what pyproject.toml asks for changes; `--upgrade` takes the newest of everything.
upgrade=("$@")
compile requirements.lock --group build
compile requirements-dev.lock --group dev --constraint requirements.lock
