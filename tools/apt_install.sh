#!/usr/bin/env bash
# Installs the named packages, as root, without starting the services that come with them.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
services=()
for package in "$@"; do
    # Only a package that was not here before gets this far, so the service is not one that somebody uses.
    case $package in prometheus | prometheus-alertmanager | postgresql) services+=("$package") ;; esac
done

# Debian asks this file before it starts a service; an existing one is the machine's own answer and stays.
if [[ ${#services[@]} -gt 0 && ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\ncase "$1" in prometheus* | postgresql*) exit 101 ;; esac\nexit 0\n' >"$policy"
    chmod 755 "$policy"
fi

# A source that does not answer is no reason to stop: what matters is whether the install succeeds.
apt-get -qq update </dev/null || true
if ! said=$(apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "$@" </dev/null 2>&1); then
    printf '%s\n' "$said" >&2
    exit 1
fi

for service in "${services[@]}"; do
    echo "leaving the service ${service} off, also after the next start of this machine"
    update-rc.d "$service" disable >/dev/null 2>&1 || true
done
