# Sourced by the scripts beside it: messages, places, and the state that scripts/deps leaves for the others.
# shellcheck shell=bash
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
EXECD_CACHE=${EXECD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/execd}
JOBS=${EXECD_JOBS:-2}
PYTHON=/usr/bin/python3  # the one that scripts/deps installs venv for
STARTED=$SECONDS

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }

# die <what went wrong> <what to do about it>
die() {
    printf '\n%s: %s\n' "$(basename "$0")" "$1" >&2
    [ $# -lt 2 ] || printf 'To mend it: %s\n' "$2" >&2
    exit 1
}

# Runs a command silently into a log file; shows the log's end only when it fails.
# quietly <log file> <what is being done> <how to mend it> <command...>
quietly() {
    local log=$1 what=$2 mend=$3
    shift 3
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 30 "$log" >&2
        die "$what failed (all of it: $log)" "$mend"
    fi
}

# seconds -> 2m03s
duration() {
    if [ "$1" -ge 60 ]; then printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); else printf '%ds' "$1"; fi
}

usage_of() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

digest() { sha256sum | cut -c1-12; }

# The prefixes below are named after what went into them: a changed recipe makes a new one and never a stale mix.
deps_prefix() { printf '%s/deps-%s' "$EXECD_CACHE" "$(digest <"$ROOT/scripts/libzmq.sh")"; }
venv_prefix() { # <requirements file>
    printf '%s/venv-%s' "$EXECD_CACHE" "$( (cat "$1"; "$PYTHON" -V) 2>&1 | digest)"
}
