#!/bin/bash
# A step that removes its own attempt directory's files, marker and exit record included, has run: it is lost, never
# "not started", and is not run again by itself.
set -euo pipefail
sluice=${SLUICE_BIN:?}
unset SLUICE_DATA || true
export TERM=dumb
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
cat >wipe.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: wipe
steps:
  wipe:
    env: { LEDGER: LEDGER_FILE }
    run: |
      echo ran >> "$LEDGER"
      cd .. && rm -rf ./*
YML
sed -i "s|LEDGER_FILE|$work/ledger|" wipe.yml
code=0
"$sluice" run wipe.yml >out 2>&1 || code=$?
[ "$(wc -l <ledger)" -eq 1 ] || { cat out; echo "FAIL: the step ran $(wc -l <ledger) times"; exit 1; }
[ "$code" -eq 1 ] || { cat out; echo "FAIL: exit $code, not 1"; exit 1; }
"$sluice" fsck >/dev/null
echo "wipe: ran once, reported as lost"
