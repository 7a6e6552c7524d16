#!/usr/bin/env bash
# Writes requirements.lock and requirements-dev.lock from pyproject.toml, and the lock of what `make bench` compares
# with, which has an environment of its own: exact versions, hashes, no host names.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-/usr/bin/python3}
resolver=.cache/lock
if [[ ! -x $resolver/bin/uv ]]; then
    "$python" -m venv "$resolver"
    "$resolver/bin/pip" install --quiet "uv>=0.8"
fi

compile() {
    local source=$1 output=$2
    shift 2
    "$resolver/bin/uv" pip compile "$source" "$@" --quiet --universal --python-version 3.11 \
        --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --output-file "$output" "${upgrade[@]}"
}

# Without an argument only what pyproject.toml asks for changes; `--upgrade` takes the newest of everything.
upgrade=("$@")
compile pyproject.toml requirements.lock --group build
compile pyproject.toml requirements-dev.lock --group dev --constraint requirements.lock
compile bench/slo_generator.in bench/slo_generator.lock
