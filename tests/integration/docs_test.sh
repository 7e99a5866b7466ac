#!/bin/bash
# The documents are true: docs/machines.md is what the program's tables say, and every complete pipeline in README.md
# and docs/ passes lint.
set -euo pipefail
sluice=${SLUICE_BIN:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! diff -u <(sed -n '/^### run$/,$p' docs/machines.md) <("$sluice" debug machines); then
    echo "FAIL: docs/machines.md is not what 'sluice debug machines' prints"
    exit 1
fi

# what the examples' environments are locked by: no packages are enough to lint
: >"$work/requirements.lock"
: >"$work/requirements.txt"
blocks=0
for page in README.md docs/*.md; do
    awk -v dir="$work" -v page="$(basename "$page" .md)" '
        /^```yaml$/ { n++; file = dir "/" page "-" n ".yml"; inside = 1; next }
        /^```$/ { inside = 0 }
        inside { print > file }' "$page"
done
for file in "$work"/*.yml; do
    grep -q '^apiVersion:' "$file" || continue
    if ! "$sluice" lint "$file"; then
        echo "FAIL: an example of $(basename "$file" .yml) does not pass lint"
        exit 1
    fi
    blocks=$((blocks + 1))
done
[ "$blocks" -ge 2 ] || { echo "FAIL: found only $blocks complete pipelines in the documents"; exit 1; }
echo "docs: machines are as drawn, $blocks examples pass lint"
