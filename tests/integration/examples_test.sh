#!/bin/bash
# The examples: every pipeline lints without a word, and the steps of heavy-use, run by hand, tell a good
# candidate from a degraded one with the numbers that the gate asks for.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool=${SLUICE_BUILD:?}/spec_tool
csv=/usr/lib/python3/dist-packages/statsmodels/datasets/randhie/randhie.csv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { printf 'FAIL: %s\n' "$1" >&2; exit 1; }

for file in pipelines/examples/*/pipeline.yml; do
    said=$("$tool" lint "$file" 2>&1) || fail "$file: $said"
    [ -z "$said" ] || fail "$file: $said"
done

step() { env -i PATH=/usr/bin:/bin HOME="$work" "$@"; }
cp -r pipelines/examples/heavy-use "$work/code"
cd "$work/code"
step SLUICE_IN_randhie="$csv" SLUICE_OUT_train="$work/train" SLUICE_OUT_heldout="$work/heldout" \
    /usr/bin/python3 prepare.py
for degrade in false true; do
    mkdir -p "$work/$degrade/models"
    for kind in logistic shallow; do
        step SLUICE_IN_train="$work/train/rows.csv" SLUICE_OUT_model="$work/$degrade/models/kind=$kind" \
            SLUICE_METRICS="$work/$degrade/train.jsonl" KIND=$kind ROUNDS=20 DEGRADE=$degrade \
            /usr/bin/python3 train.py
    done
    step SLUICE_IN_models="$work/$degrade/models" SLUICE_IN_heldout="$work/heldout/rows.csv" \
        SLUICE_OUT_best="$work/$degrade/best" SLUICE_METRICS="$work/$degrade/eval.jsonl" \
        /usr/bin/python3 evaluate.py
done
# the champion alone, as the gate has it evaluated, gives the same numbers
step SLUICE_IN_models="$work/false/best" SLUICE_IN_heldout="$work/heldout" \
    SLUICE_OUT_best="$work/again" SLUICE_METRICS="$work/again.jsonl" /usr/bin/python3 evaluate.py
cmp "$work/false/eval.jsonl" "$work/again.jsonl" || fail "a model alone is measured differently"
diff -r "$work/false/best" "$work/again" || fail "the model was changed on the way"
(cd "$work/false/best" && step /usr/bin/python3 predict.py --self-test)

/usr/bin/python3 - "$work" <<'PY' || fail "the numbers do not tell good from degraded"
import csv, json, sys
work = sys.argv[1]
def read(which):
    lines = [json.loads(line) for line in open(f"{work}/{which}/eval.jsonl")]
    return lines[0], [line for line in lines if "slice" in line]
good, good_slices = read("false")
bad, _ = read("true")
assert good["auc"] >= 0.62 and good["ece"] <= 0.05, good
assert len(good_slices) == 7 and all(s["auc"] >= 0.55 and s["n"] >= 100 for s in good_slices), good_slices
assert bad["auc"] < 0.6, bad
n = sum(1 for name in ("train", "heldout") for _ in csv.DictReader(open(f"{work}/{name}/rows.csv")))
assert n == 20190, n
PY
# those that need nothing but a shell do what they say
sluice=$SLUICE_BUILD/sluice
said() { # FILE STEP TEXT [-p NAME=VALUE]: the step of that example's run printed the text
    local dir="$work/run/$1" name=$1 step=$2 text=$3
    shift 3
    [ -d "$dir" ] || { mkdir -p "$work/run"; cp -r "pipelines/examples/$name" "$dir"; }
    (cd "$dir" && SLUICE_DATA="$dir/.sluice" "$sluice" run pipeline.yml "$@") >"$work/out" 2>&1 ||
        fail "$name: $(cat "$work/out")"
    SLUICE_DATA="$dir/.sluice" "$sluice" logs "$name/$step" | grep -qF "$text" ||
        fail "$name/$step did not print '$text'"
}
cd "$OLDPWD"
said matrix sum 'the sum is 9'
said fan-out total 'rows in all: 60'
said fan-out total 'rows in all: 150' -p shards=5
[ "$(grep -cE '^ *cached +count\[[0-2]\]' "$work/out")" -eq 3 ] || fail "fan-out: $(cat "$work/out")"
said fan-out total 'rows in all: 0' -p shards=0
said sub-pipeline compare 'degree 4 seed 1 of 100 rows'
sed 's/degree/grade/' pipelines/examples/sub-pipeline/fit.yml >"$work/run/sub-pipeline/fit.yml"
if (cd "$work/run/sub-pipeline" && "$sluice" plan pipeline.yml) >"$work/out" 2>&1; then
    fail "a file with another content than its sha256 is run"
fi
digest=$(sha256sum "$work/run/sub-pipeline/fit.yml" | cut -c1-64)
grep -qF "its sha256 is $digest" "$work/out" || fail "sub-pipeline: $(cat "$work/out")"
echo "examples: fine"
