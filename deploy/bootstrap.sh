#!/bin/sh
# Starts execd beside the user's own program in a sandbox container (OpenSandbox's contract).
#
#   bootstrap.sh COMMAND [ARGUMENT...]    runs the program, with execd on port 44772 beside it
#   bootstrap.sh -c TEXT                  the same for shell text; so does BOOTSTRAP_CMD=TEXT
#   bootstrap.sh                          a shell
#   bootstrap.sh --init ...               any of these with execd in this script's place and the program below it; so does
#                                         EXECD_INIT=1
#
# It ends with the program's exit status. A TERM or INT goes to both, and then it is 0 (with --init the program's). An execd
# that ends meanwhile is started again, at once and then after 1, 3, 7, 15, 30 s; one that ran for a minute, at once.
#
# Environment: EXECD (program and arguments, default /opt/opensandbox/execd), EXECD_ENVS (default /opt/opensandbox/.env, made
# when it is missing), EXECD_LIFECYCLE (default off: whoever runs this script makes the sandboxes),
# EXECD_BOOTSTRAP_PRE_SCRIPT (sourced first), BOOTSTRAP_SHELL, OPENSANDBOX_EGRESS_MITMPROXY_TRANSPARENT.
set -e

say() { echo "bootstrap: $*" >&2; }

is_true() {
    case "$1" in 1 | [Tt][Rr][Uu][Ee] | [Yy][Ee][Ss] | [Oo][Nn]) return 0 ;; esac
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null 2>&1; then sudo -n "$@"; else return 1; fi
}

# The sidecar that looks into TLS writes its certificate a while after we start; without it every HTTPS call fails.
trust_the_proxy() {
    ca=/opt/opensandbox/mitmproxy-ca-cert.pem
    merged=/opt/opensandbox/merged-ca-certificates.pem
    waited=0
    until [ -s "$ca" ]; do
        if [ "$waited" -ge 300 ]; then say "no $ca after 300 s; HTTPS through the egress proxy will fail"; return 0; fi
        sleep 1
        waited=$((waited + 1))
    done
    if command -v update-ca-certificates >/dev/null 2>&1; then
        as_root cp "$ca" /usr/local/share/ca-certificates/opensandbox-mitmproxy.crt && as_root update-ca-certificates
    elif command -v update-ca-trust >/dev/null 2>&1; then
        as_root cp "$ca" /etc/pki/ca-trust/source/anchors/opensandbox-mitmproxy.pem && as_root update-ca-trust
    fi >&2 || say "the system's trust store could not be changed; using the variables only"
    system=
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        if [ -r "$bundle" ]; then system=$bundle; break; fi
    done
    if cat ${system:+"$system"} "$ca" >"$merged" 2>/dev/null; then
        export REQUESTS_CA_BUNDLE="$merged" SSL_CERT_FILE="$merged"
    else
        say "cannot write $merged"
    fi
    export NODE_EXTRA_CA_CERTS="$ca"
    if command -v certutil >/dev/null 2>&1; then
        mkdir -p "${HOME:-/root}/.pki/nssdb" &&
            certutil -d "sql:${HOME:-/root}/.pki/nssdb" -A -t C,, -n opensandbox-mitmproxy -i "$ca" >&2 ||
            say "the browsers' trust store could not be changed"
    fi
}

shell_of() {
    if [ -n "${BOOTSTRAP_SHELL:-}" ]; then echo "$BOOTSTRAP_SHELL"; elif command -v bash >/dev/null 2>&1; then echo bash; else echo sh; fi
}

# Runs in a process of its own, so that the program's end is all that the main process waits for.
supervise() {
    daemon=
    stopping=
    trap 'stopping=1; [ -z "$daemon" ] || kill -TERM "$daemon" 2>/dev/null || :' TERM INT
    pause=0
    while [ -z "$stopping" ]; do
        begun=$(date +%s)
        # EXECD may carry arguments, so it is not quoted.
        # shellcheck disable=SC2086
        $EXECD --port 44772 --lifecycle "${EXECD_LIFECYCLE:-off}" &
        daemon=$!
        # Asked for first: of one that has ended meanwhile only `wait` knows the status. A trapped signal ends `wait` before
        # the daemon has ended.
        status=0
        wait "$daemon" || status=$?
        while kill -0 "$daemon" 2>/dev/null; do
            status=0
            wait "$daemon" || status=$?
        done
        [ -z "$stopping" ] || break
        daemon=
        [ $(($(date +%s) - begun)) -lt 60 ] || pause=0
        say "execd ended with status $status; starting it again in $pause s"
        if [ "$pause" -gt 0 ]; then
            sleep "$pause" &
            wait $! || :
        fi
        pause=$((pause * 2 + 1))
        [ "$pause" -le 30 ] || pause=30
    done
}

if is_true "${OPENSANDBOX_EGRESS_MITMPROXY_TRANSPARENT:-}"; then trust_the_proxy; fi

EXECD=${EXECD:-/opt/opensandbox/execd}
EXECD_ENVS=${EXECD_ENVS:-/opt/opensandbox/.env}
export EXECD_ENVS
if [ ! -e "$EXECD_ENVS" ]; then
    { mkdir -p "$(dirname "$EXECD_ENVS")" && : >"$EXECD_ENVS"; } 2>/dev/null || say "cannot make $EXECD_ENVS; commands get no variables from it"
fi

if [ -n "${EXECD_BOOTSTRAP_PRE_SCRIPT:-}" ] && [ -r "$EXECD_BOOTSTRAP_PRE_SCRIPT" ]; then
    # shellcheck disable=SC1090
    . "$EXECD_BOOTSTRAP_PRE_SCRIPT"
fi

init=${EXECD_INIT:-}
if [ "${1:-}" = --init ]; then
    init=1
    shift
fi

if [ -n "${BOOTSTRAP_CMD:-}" ]; then
    set -- "$(shell_of)" -c "$BOOTSTRAP_CMD"
elif [ "${1:-}" = -c ]; then
    shift
    set -- "$(shell_of)" -c "$@"
elif [ $# -eq 0 ]; then
    set -- "$(shell_of)"
fi

if is_true "$init"; then
    # shellcheck disable=SC2086
    exec $EXECD --port 44772 --lifecycle "${EXECD_LIFECYCLE:-off}" --init -- "$@"
fi

ended=
program=
trap 'ended=1; [ -z "$program" ] || kill -TERM "$program" 2>/dev/null || :; kill -TERM "$supervisor" 2>/dev/null || :' TERM INT
supervise &
supervisor=$!
# A program in the background would read /dev/null.
exec 3<&0
"$@" <&3 3<&- &
program=$!
exec 3<&-
[ -z "$ended" ] || kill -TERM "$program" 2>/dev/null || :
status=0
wait "$program" || status=$?
while kill -0 "$program" 2>/dev/null; do
    status=0
    wait "$program" || status=$?
done
# Said until it is done: what a shell is told between a fork and the exec, or just before a `wait`, is lost.
(
    while kill -TERM "$supervisor"; do sleep 1; done
) >/dev/null 2>&1 &
again=$!
while kill -0 "$supervisor" 2>/dev/null; do wait "$supervisor" 2>/dev/null || :; done
kill "$again" 2>/dev/null || :
[ -z "$ended" ] || status=0
exit "$status"
