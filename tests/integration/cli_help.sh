#!/bin/bash
# Help of every command against golden files; the installed manual page is the table's; completions are valid
# shell. UPDATE_GOLDEN=1 writes the files.
set -euo pipefail
sluice=${SLUICE_BIN:?}
golden=tests/golden/help
checks=0
compare() { # FILE, text on standard input
    local now
    now=$(cat; printf x)
    now=${now%x}
    if [ -n "${UPDATE_GOLDEN:-}" ]; then
        mkdir -p "$(dirname "$1")"
        printf '%s' "$now" >"$1"
    fi
    diff -u "$1" <(printf '%s' "$now") || { printf 'FAIL: %s is not what the table says (UPDATE_GOLDEN=1)\n' "$1"; exit 1; }
    checks=$((checks + 1))
}

compare $golden/overview.txt < <("$sluice" help)
# the overview's lines are the list of commands: two blanks, the name, its summary
"$sluice" help | sed -n 's/^  \([a-z]\+\( [a-z]\+\)\?\) .*/\1/p' | while read -r one two rest; do
    case "$one $two" in
    data\ *|env\ *|model\ *|artifact\ *|audit\ *|secret\ *|project\ *) printf '%s %s\n' "$one" "$two" ;;
    *) printf '%s\n' "$one" ;;
    esac
done | sort -u >"${TMPDIR:-/tmp}/cli_help.$$"
trap 'rm -f "${TMPDIR:-/tmp}/cli_help.$$"' EXIT
[ "$(wc -l <"${TMPDIR:-/tmp}/cli_help.$$")" -ge 35 ] || { echo "FAIL: too few commands found"; exit 1; }
while read -r command; do
    # shellcheck disable=SC2086
    compare "$golden/${command// /-}.txt" < <("$sluice" $command --help)
    # shellcheck disable=SC2086
    cmp <("$sluice" help $command) "$golden/${command// /-}.txt"
done <"${TMPDIR:-/tmp}/cli_help.$$"
compare docs/sluice.1 < <("$sluice" help --man)
cmp <("$sluice" data --help) <("$sluice" help data)
bash -n <("$sluice" completion bash)
has() { case $("$sluice" completion "$1") in *"$2"*) ;; *) echo "FAIL: $1 completion lacks $2"; exit 1 ;; esac; }
has bash 'complete -F _sluice sluice'
has zsh '#compdef sluice'
has fish '-a rollback -d'
code=0; "$sluice" completion tcsh 2>/dev/null || code=$?
[ "$code" -eq 2 ]
# words that the bash script offers
words=$(bash -c 'eval "$1"; COMP_WORDS=(sluice ro); COMP_CWORD=1; _sluice; printf "%s\n" "${COMPREPLY[@]}"' _ "$("$sluice" completion bash)")
[ "$words" = rollback ] || { printf 'FAIL: completion of "ro" is: %s\n' "$words"; exit 1; }
words=$(bash -c 'eval "$1"; COMP_WORDS=(sluice rollback --t); COMP_CWORD=2; _sluice; printf "%s\n" "${COMPREPLY[@]}"' _ "$("$sluice" completion bash)")
[ "$words" = --to ] || { printf 'FAIL: completion of "rollback --t" is: %s\n' "$words"; exit 1; }
[ "$checks" -ge 37 ] || { echo "FAIL: only $checks texts were compared"; exit 1; }
printf 'cli help: %d texts compared\n' "$checks"
