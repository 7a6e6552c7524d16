#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which and why.
#
#     tools/debian_packages.sh run           what `make run` cannot do without
#     tools/debian_packages.sh run test      that, and what the tests want; what cannot be had is skipped there
#     tools/debian_packages.sh run test bench   and what is measured beside netsre; what is not there is named there
#
# Costs a few milliseconds when nothing is missing. A service that comes with a package is neither started nor
# enabled; one that is already on this machine is not touched.
set -euo pipefail
cd "$(dirname "$0")"

groups=" $* "
missing=()
while read -r group package reason; do
    case $group in "" | "#"*) continue ;; esac
    [[ $groups == *" $group "* ]] || continue
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    if [[ $status != installed ]]; then
        missing+=("$package")
        printf 'missing: %-18s %s\n' "$package" "$reason"
    fi
done <packages.txt
[[ ${#missing[@]} -gt 0 ]] || exit 0

# Says what a person can do, and ends: the tests name what they skip, everything else cannot go on.
give_up() {
    echo "cannot install (${1}); as root: apt-get install --no-install-recommends ${missing[*]}" >&2
    [[ $groups == *" test "* && ${CI:-} != true ]] && exit 0
    exit 3
}

command -v apt-get >/dev/null || give_up "no apt-get on this machine"
as_root=()
if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || give_up "not root, and no sudo"
    as_root=(sudo)
    # Without a terminal nobody could type a password.
    [[ -t 0 ]] || as_root=(sudo -n)
    "${as_root[@]}" true 2>/dev/null || give_up "sudo says no"
fi

echo "installing with apt-get: ${missing[*]}"
"${as_root[@]}" ./apt_install.sh "${missing[@]}" || give_up "apt-get failed, see above"
