# Sent to `bash --noprofile --norc --noediting -i` on a pipe, read byte by byte: kept short. The kernel's descriptors:
# 4 takes status, 5 is a pipe at its end (stdin of cells), 6 is a file with the source of the cell.
[[ -o posix ]] && set +o posix && __ek_posix=1 # it knows no function :::
set +m +H +o history; shopt -u checkwinsize huponexit; unset HISTFILE PROMPT_COMMAND PS0 MAILCHECK; PS1= PS2=
__ek_rc() { return "$1"; }
__ek_is() { [[ -n $2 && /proc/self/fd/$1 -ef /proc/$__ek_host/fd/$2 ]] && __ek_f+=1 || __ek_f+=0; }
# SEQ STATUS STDIN OUT OUT' ERR ERR': takes the source; where fd 1 and 2 are still the pipes OUT and ERR they become
# OUT' and ERR', so that what jobs of earlier cells print keeps its place.
__ek_begin() {
__ek_now=("$1" "$5" "$7")
[[ -n $5 && /proc/self/fd/1 -ef /proc/$__ek_host/fd/$4 ]] && exec 1>"/proc/$__ek_host/fd/$5"
[[ -n $7 && /proc/self/fd/2 -ef /proc/$__ek_host/fd/$6 ]] && exec 2>"/proc/$__ek_host/fd/$7"
__ek_in=$3 __ek_src=; IFS= LC_ALL=C builtin read -r -d '' -u 6 __ek_src
__ek_tell B "$1" "$5" "$7"; return "$2"; }
__ek_tell() { local __ek_f=; __ek_is 1 "$3"; __ek_is 2 "$4"; builtin printf '%s%s %s %s\0' "$1" "$2" "$__ek_f" "${5-}" >&4; }
__ek_end() { builtin printf 'D%s %s\0' "$1" "$2" >&4 || return; __ek_now=; }
# The lines after a cell: a cell that is still remembered was dropped, by a SIGINT that bash got from somebody else.
:::() { local __ek_s=$?; if [[ -n ${__ek_now-} ]]; then __ek_tell P "${__ek_now[@]}" "$__ek_s" || return; __ek_now=; fi; }
::() { :::; }
exit() { builtin exit "$@" 2>/dev/null; } # an interactive bash says "exit"
# A read from the cell's stdin asks whoever runs the cell.
read() {
if [[ -z $__ek_in || ! /proc/self/fd/0 -ef /proc/$__ek_host/fd/$__ek_eof ]]; then builtin read "$@"; return; fi
local __ek_p= __ek_s=0 __ek_o OPTIND=1 OPTARG OPTERR=0
while builtin getopts ':ersa:d:i:n:N:p:t:u:' __ek_o; do
case $__ek_o in p) __ek_p=$OPTARG;; s) __ek_s=1;; u) builtin read "$@"; return;; esac
done
builtin printf '%s%s\0' "$__ek_s" "$__ek_p" >"/proc/$__ek_host/fd/$__ek_ask"
builtin read "$@" <"/proc/$__ek_host/fd/$__ek_answer"; }
__ek_word() { IFS= builtin read -r -d '' -u 6 __ek_src; builtin printf 'C%s ' "$1" >&4; }
__ek_complete() { __ek_word "$1"; builtin compgen -A "$2" -- "$__ek_src" >&4 2>/dev/null; builtin printf '\0' >&4; }
__ek_check() { builtin printf 'C%s ' "$1" >&4; LC_ALL=C "$BASH" --norc -n <&6 >&4 2>&4; builtin printf '\0' >&4; }
__ek_inspect() { __ek_word "$1"; builtin type -- "$__ek_src" >&4 2>/dev/null && builtin help -- "$__ek_src" >&4 2>/dev/null; builtin printf '\0' >&4; }
[[ -z ${__ek_posix-} ]] || set -o posix
builtin printf 'R%s\0' "$BASH_VERSION" >&4
