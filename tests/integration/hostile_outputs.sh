#!/bin/bash
# Steps that leave links, FIFOs and forged records where outputs, metrics and the exit record belong: nothing from
# outside the attempt becomes a version, nothing makes the engine wait, the step fails with the reason.
set -euo pipefail
sluice=${SLUICE_BUILD:?}/sluice
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { printf 'FAIL: %s\n' "$1" >&2; exit 1; }
unset SLUICE_DATA

mkdir "$work/outside" "$work/code"
echo 'not yours' > "$work/outside/foreign"
cd "$work/code"
cat > pipeline.yml <<'Y'
apiVersion: sluice/v1
kind: Pipeline
name: hostile
params:
  outside: { type: string }
defaults:
  cache: off
  env: { OUTSIDE: "${{ params.outside }}" }
steps:
  file-link:
    run: ln -s "$OUTSIDE/foreign" "$SLUICE_OUT_a"
    outputs: { a: { artifact: file-link } }
  dir-link:
    run: ln -s "$OUTSIDE" "$SLUICE_OUT_a"
    outputs: { a: { artifact: dir-link } }
  parent-link:
    run: d=$(dirname "$SLUICE_OUT_foreign"); rmdir "$d"; ln -s "$OUTSIDE" "$d"
    outputs: { foreign: { artifact: parent-link } }
  path-link:
    run: ln -s "$OUTSIDE" d
    outputs: { a: { artifact: path-link, path: d/foreign } }
  fifo:
    run: mkfifo "$SLUICE_OUT_a"
    outputs: { a: { artifact: fifo } }
  metrics-fifo:
    run: rm -f "$SLUICE_METRICS"; mkfifo "$SLUICE_METRICS"
  metrics-link:
    run: ln -sf "$OUTSIDE/foreign" "$SLUICE_METRICS"
  folder:
    run: mkdir "$SLUICE_OUT_a"; echo fine > "$SLUICE_OUT_a/b"
    outputs: { a: { artifact: folder } }
  file:
    run: echo fine > "$SLUICE_OUT_a"
    outputs: { a: { artifact: file } }
  absent:
    run: "true"
    outputs: { a: { artifact: absent, optional: true } }
Y
code=0
timeout 120 "$sluice" run pipeline.yml -p outside="$work/outside" > "$work/out" 2>&1 || code=$?
[ $code -eq 1 ] || fail "exit code $code: $(cat "$work/out")"
said() { grep -qE "^ *$1 +$2 .*$3" "$work/out" || fail "no '$1 $2 ... $3' in: $(cat "$work/out")"; }
for step in file-link dir-link parent-link path-link; do
    said failed $step 'meets a symbolic link or leaves its directory'
done
said failed fifo 'is a FIFO'
said failed metrics-fifo 'not a regular file'
said failed metrics-link 'meets a symbolic link'
for step in folder file absent; do
    said succeeded $step ''
done
"$sluice" artifact ls > "$work/list"
grep -q link "$work/list" && fail "foreign files became a version: $(cat "$work/list")"
! grep -rqs 'not yours' .sluice/blobs || fail 'foreign bytes came into the store'
"$sluice" fsck --deep > "$work/fsck" 2>&1 || fail "$(cat "$work/fsck")"
"$sluice" audit verify > /dev/null || fail 'audit log'
echo 'hostile outputs: 7 refused, 3 taken'
