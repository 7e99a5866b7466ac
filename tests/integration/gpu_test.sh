#!/bin/bash
# GPUs by a made-up inventory: all or none, the right type, memory and slice, shares within their device, a lease that
# ends only when the inventory shows no process on the device, series, idleness, faults and orphans.
set -euo pipefail
sluice=${SLUICE_BIN:?}
unset SLUICE_DATA || true
export TERM=dumb
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
die() { printf 'FAIL: %s\n' "$1" >&2; exit 1; }

inventory() { # processes on GPU-a
    printf '{"gpus":[{"index":0,"uuid":"GPU-a","name":"Fake 80","memory_bytes":85899345920,"processes":%d},' "$1"
    printf '{"index":1,"uuid":"GPU-b","name":"Fake 80","memory_bytes":85899345920,"processes":0},'
    printf '{"index":2,"uuid":"GPU-c","name":"Fake 16","memory_bytes":17179869184,"processes":0}]}\n'
}
inventory 0 >gpus.json
export SLUICE_GPU_INVENTORY=$work/gpus.json

cat >gpu.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: gpu
steps:
  pair:
    matrix: { i: [1, 2, 3] }
    env: { I: "${{ matrix.i }}" }
    cache: "off"
    resources: { gpu: { count: 2, memory: 40GB }, cpu: 100m }
    run: |
      mkdir "$LEDGER/held-$CUDA_VISIBLE_DEVICES" || { echo "shared: $CUDA_VISIBLE_DEVICES"; exit 9; }
      echo "gpus $CUDA_VISIBLE_DEVICES"
      rmdir "$LEDGER/held-$CUDA_VISIBLE_DEVICES"
  small:
    needs: [pair]
    cache: "off"
    resources: { gpu: { count: 1 }, cpu: 100m }
    run: echo "small $CUDA_VISIBLE_DEVICES"
  none:
    cache: "off"
    run: echo "none [$CUDA_VISIBLE_DEVICES]"
defaults: { env: { LEDGER: LEDGER_DIR } }
YML
sed -i "s|LEDGER_DIR|$work|" gpu.yml
"$sluice" run gpu.yml >run.out || { cat run.out; "$sluice" logs last; die "the run failed"; }
[ "$("$sluice" logs last | grep -c 'gpus GPU-a,GPU-b')" -eq 3 ] || die "pairs did not get the large devices"
"$sluice" logs last/small | grep -q 'small GPU-c' || die "a small request did not get the smallest device"
"$sluice" logs last/none | grep -q 'none \[\]' || die "a step that asked for none saw a device"

sed 's/count: 2, memory: 40GB/count: 4/' gpu.yml >many.yml
code=0
"$sluice" run many.yml >many.out 2>&1 || code=$?
[ "$code" -eq 2 ] && grep -q 'asks for 4 GPUs; this machine has 3' many.out || { cat many.out; die "too many GPUs were not refused"; }

# a process that stays on a device keeps its lease from being given on
cat >stuck.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: stuck
steps:
  first:
    cache: "off"
    resources: { gpu: { count: 2, memory: 40GB }, cpu: 100m }
    run: cp "$DIR/busy.json" "$DIR/next.json"; mv "$DIR/next.json" "$DIR/gpus.json"
  second:
    needs: [first]
    cache: "off"
    resources: { gpu: { count: 2, memory: 40GB }, cpu: 100m }
    run: echo "second $CUDA_VISIBLE_DEVICES"
defaults: { env: { DIR: WORK_DIR } }
YML
sed -i "s|WORK_DIR|$work|" stuck.yml
inventory 1 >busy.json
"$sluice" run stuck.yml >stuck.out 2>&1 &
runner=$!
for _ in $(seq 100); do
    cmp -s busy.json gpus.json && break
    read -rt 0.1 <> <(:) || true
done
for _ in 1 2 3 4 5 6 7 8; do read -rt 0.1 <> <(:) || true; done
grep -q 'succeeded *second' stuck.out && die "a device with a process on it was given on"
inventory 0 >free.json
mv free.json gpus.json
wait "$runner" || { cat stuck.out; die "the waiting step did not go on"; }
grep -q 'succeeded *second' stuck.out || die "the waiting step did not run"

# ---- types, slices, shares ------------------------------------------------------------------------------
device() { # INDEX UUID NAME GB [more]
    printf '{"index":%d,"uuid":"%s","name":"%s","memory_bytes":%d000000000%s}' "$1" "$2" "$3" "$4" "${5:-}"
}
machine() { # more of GPU-a, more of the file: an H100, two joined A100s and one apart, an H100 in slices
    printf '{"sample_ms":20%s,"gpus":[%s,%s,%s,%s,%s],"links":[[1,2,"host"],[1,3,"nvlink"],[2,3,"host"]]}\n' "${2:-}" \
        "$(device 0 GPU-a 'NVIDIA H100 80GB HBM3' 80 "${1:-}")" "$(device 1 GPU-b 'NVIDIA A100-SXM4-40GB' 40)" \
        "$(device 2 GPU-c 'NVIDIA A100-SXM4-40GB' 40)" "$(device 3 GPU-d 'NVIDIA A100-SXM4-40GB' 40)" \
        "$(device 4 GPU-e 'NVIDIA H100 80GB HBM3' 80 ',"mig":[{"uuid":"MIG-1","profile":"1g.10gb","memory_bytes":10000000000},{"uuid":"MIG-2","profile":"3g.40gb","memory_bytes":40000000000}]')"
}
machine ',"util_percent":87.5,"memory_used_bytes":5000000000,"power_watts":300,"temperature_c":61' >gpus.json
cat >kinds.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: kinds
defaults: { cache: "off", env: { DIR: WORK_DIR } }
steps:
  pair: { run: 'echo "pair $CUDA_VISIBLE_DEVICES"', resources: { cpu: 100m, gpu: "A100:2" } }
  slice: { needs: [pair], run: 'echo "slice $CUDA_VISIBLE_DEVICES"', resources: { cpu: 100m, gpu: { mig: 3g.40gb } } }
  large: { needs: [pair], run: 'echo "large $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER"', resources: { cpu: 100m, gpu: "60GB.." } }
  share:
    needs: [slice, large]
    matrix: { i: [1, 2] }
    run: |
      mkdir "$DIR/share-$SLUICE_STEP"
      while [ "$(ls -d "$DIR"/share-* | wc -l)" -lt 2 ]; do sleep 0.02; done
      echo "share $CUDA_VISIBLE_DEVICES $SLUICE_GPU_FRACTION $CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"
    resources: { cpu: 100m, gpu: { type: H100, share: 40GB } }
YML
sed -i "s|WORK_DIR|$work|" kinds.yml
"$sluice" run kinds.yml >kinds.out 2>&1 || { cat kinds.out; "$sluice" logs last; die "the run of types failed"; }
has() { # TEXT COMMAND...: the command prints it
    local text=$1
    shift
    "$@" >has.out 2>&1 || true
    grep -q "$text" has.out
}
says() { has "$1" "$sluice" logs last || { "$sluice" logs last; die "no step said '$1'"; }; }
says 'pair GPU-b,GPU-d'
says 'slice MIG-2'
says 'large GPU-a PCI_BUS_ID'
[ "$("$sluice" logs last | grep -c 'share GPU-a 0.5000 0=38146M')" -eq 2 ] || { "$sluice" logs last; die "two shares did not run on one device together"; }
"$sluice" runners >runners.out
grep -q 'H100 3g.40gb' runners.out && grep -q '1-3 nvlink' runners.out || { cat runners.out; die "the inventory is not shown"; }
rm -rf share-*
sed 's/A100:2/V100/' kinds.yml >never.yml
code=0
"$sluice" run never.yml >never.out 2>&1 || code=$?
[ "$code" -eq 2 ] && grep -q "step 'pair': 1 GPUs of type V100 are asked for, this machine has 0 that fit" never.out || { cat never.out; die "a type that is not there was not refused"; }

# ---- series, idleness -----------------------------------------------------------------------------------
cat >idle.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: idle
defaults: { cache: "off" }
steps:
  lazy: { run: "exec sleep 600", resources: { cpu: 100m, gpu: { type: H100, mig: forbid, idle_timeout: 1s } } }
YML
machine ',"util_percent":2,"memory_used_bytes":5000000000,"power_watts":90,"temperature_c":40' >gpus.json
code=0
"$sluice" run idle.yml >idle.out 2>&1 || code=$?
[ "$code" -eq 1 ] && grep -q 'GPU idle: below 5 % of use for 1.0s' idle.out || { cat idle.out; die "an idle GPU was not noticed"; }
has '"stalled"' "$sluice" show last --json || { "$sluice" show last --json; die "an idle GPU is another class"; }
has 'sys.gpu' "$sluice" metrics last && die "what was measured is among what was recorded"
"$sluice" metrics last --system >series.out
for key in util_percent memory_bytes power_watts temperature_c; do
    grep -q "sys.gpu.0.$key" series.out || { cat series.out; die "no series of $key"; }
done

# ---- faults ---------------------------------------------------------------------------------------------
cat >fault.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: fault
defaults: { cache: "off", env: { DIR: WORK_DIR } }
steps:
  hit:
    run: |
      echo "attempt $SLUICE_ATTEMPT on $CUDA_VISIBLE_DEVICES"
      [ "$SLUICE_ATTEMPT" = 1 ] || exit 0
      mv "$DIR/bad.json" "$DIR/gpus.json"
      exec sleep 600
    retry: { max: 1, on: [infra], backoff: { initial: 10ms } }
    resources: { cpu: 100m, gpu: { type: [H100, A100], memory: 60GB.., mig: forbid } }
YML
sed -i "s|WORK_DIR|$work|" fault.yml
machine >gpus.json
machine ',"xid":79' >bad.json
"$sluice" serve >serve.out 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait; chmod -R u+w "$work"; rm -rf "$work"' EXIT
for _ in $(seq 100); do [ -S .sluice/sock ] && break; read -rt 0.1 <> <(:) || true; done
"$sluice" run --detach fault.yml >fault.out 2>&1 || { cat fault.out; die "not submitted"; }
for _ in $(seq 200); do
    has '"set_aside": *"XID 79 on GPU-a"' "$sluice" runners --json && break
    read -rt 0.1 <> <(:) || true
done
has 'XID 79 on GPU-a' "$sluice" runners || { "$sluice" runners; die "the device with a fault is still handed out"; }
# its retry waits for the only device that suits, and says so
for _ in $(seq 100); do
    has 'waiting for 1 GPU of type H100 or A100 without MIG: 0 of 1 free, 1 set aside' "$sluice" why last/hit && break
    read -rt 0.1 <> <(:) || true
done
grep -q '1 set aside' has.out || { cat has.out; die "why does not tell what it waits for"; }
has 'XID 79 on GPU-a' "$sluice" show last --json || { cat has.out; die "the fault is not the reason"; }
has '1 GPU is handed out again' "$sluice" runners undrain GPU-a || die "undrain"
for _ in $(seq 200); do
    has '^hit .*succeeded' "$sluice" show last && break
    read -rt 0.1 <> <(:) || true
done
has 'attempt 2 on GPU-a' "$sluice" logs last || { "$sluice" show last; die "the step did not run again"; }
code=0
"$sluice" runners undrain GPU-a >undrain.out 2>&1 || code=$?
[ "$code" -ne 0 ] && grep -q "no GPU 'GPU-a' is set aside" undrain.out || die "a second undrain said nothing"
# a step of higher priority gets the one device that suits it from a step that keeps a checkpoint
cat >low.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: low
defaults: { cache: "off", resources: { cpu: 100m, gpu: { type: H100, mig: forbid } } }
steps:
  long:
    checkpoint: true
    run: |
      echo "attempt $SLUICE_ATTEMPT"
      [ "$SLUICE_ATTEMPT" -gt 1 ] || exec sleep 600
YML
sed 's/name: low/name: high\npriority: 10/; s/checkpoint: true/grace: 1s/; s/exec sleep 600/echo quick/' low.yml >high.yml
"$sluice" run --detach low.yml >low.out 2>&1 || { cat low.out; die "not submitted"; }
for _ in $(seq 200); do
    has 'attempt 1' "$sluice" logs low/long && break
    read -rt 0.1 <> <(:) || true
done
"$sluice" run high.yml >high.out 2>&1 || { cat high.out; die "the step of higher priority failed"; }
for _ in $(seq 200); do
    has '^long .*succeeded' "$sluice" show low && break
    read -rt 0.1 <> <(:) || true
done
has 'preempted' "$sluice" show low --json || { cat has.out; die "the step with a checkpoint did not make way"; }
has 'attempt 2' "$sluice" logs low || { "$sluice" show low; die "it did not run again"; }
kill "$server"
wait "$server" || true

# what the program caused is its own failure; what the device did is not, also when the program was quicker
ends_by() { # FIELD EXPECTED: the step meets that fault and fails at once
    machine >gpus.json
    machine ",$1" >bad.json
    sed 's/exec sleep 600/exit 3/; s/max: 1/max: 0/' fault.yml >quick.yml
    "$sluice" run quick.yml >quick.out 2>&1 && die "a failed step"
    grep -qF "$2" quick.out || { cat quick.out; die "a fault is not told: $2"; }
}
ends_by '"xid":31' 'exit code 3; XID 31 on GPU-a (caused by the program)'
ends_by '"ecc_errors":2' '2 uncorrected ECC errors on GPU-a'
has '"infra"' "$sluice" show last --json || { cat has.out; die "an ECC error is no failure of the machine"; }

# a sandbox shows whole devices only: a slice in it is refused, not handed out unseen
if "$sluice" runners --json | /usr/bin/python3 -c 'import json, sys; sys.exit(0 if any("available" == r["facts"].get("sandbox", {}).get("strict") for r in json.load(sys.stdin)["runners"]) else 1)'; then
    machine >gpus.json
    printf 'apiVersion: sluice/v1\nkind: Pipeline\nname: shut\nsteps:\n  in: { run: "true", sandbox: strict, resources: { cpu: 100m, gpu: { mig: 1g.10gb } } }\n' >shut.yml
    "$sluice" run shut.yml >shut.out 2>&1 && die "a slice in a sandbox"
    grep -q 'a MIG slice cannot be had in a strict sandbox' shut.out || { cat shut.out; die "the refusal does not say why"; }
fi

# ---- a dead engine --------------------------------------------------------------------------------------
# the step goes on with its device; the next engine knows whose it is, and frees it at the end
cat >keep.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: keep
defaults: { cache: "off", env: { DIR: WORK_DIR } }
steps:
  hold:
    run: |
      echo "holds $CUDA_VISIBLE_DEVICES"
      while [ ! -e "$DIR/go-on" ]; do sleep 0.02; done
    resources: { cpu: 100m, gpu: { share: 50GB } }
YML
sed -i "s|WORK_DIR|$work|" keep.yml
"$sluice" serve >serve.out 2>&1 &
server=$!
until_true() { for _ in $(seq 200); do "$@" && return 0; read -rt 0.1 <> <(:) || true; done; cat has.out; die "$*"; }
until_true test -S .sluice/sock
"$sluice" run --detach keep.yml >keep.out 2>&1 || { cat keep.out; die "not submitted"; }
until_true has 'holds GPU-a' "$sluice" logs keep
kill -9 "$server"
wait "$server" 2>has.out || true
"$sluice" serve >serve.out 2>&1 &
server=$!
until_true has '"share_bytes": *50000000000' "$sluice" runners --json
has '"state": *"shared"' "$sluice" runners --json || { cat has.out; die "an adopted step lost its share"; }
: >go-on
until_true has '^hold .*succeeded' "$sluice" show keep
shares_over() { "$sluice" runners --json >has.out && ! grep -q 'share_bytes' has.out; }
until_true shares_over
kill "$server"
wait "$server" || true

# ---- orphans --------------------------------------------------------------------------------------------
# a process of an attempt that no engine knows any more is on a device when the next one starts
dead=0123456789abcdef0123456789abcdef
env -i SLUICE_ATTEMPT_ID=$dead SLUICE_METRICS="$work/.sluice/runs/x/$dead/metrics.jsonl" sleep 600 &
orphan=$!
machine ",\"processes\":[$orphan]" >gpus.json
has "0123456789ab draining" "$sluice" runners || { "$sluice" runners; die "an orphan is not shown"; }
sed 's/exec sleep 600/exit 0/; s/mv .*/true/' fault.yml >after.yml
"$sluice" run after.yml >after.out 2>&1 &
runner=$!
code=0
wait "$orphan" 2>has.out || code=$?
[ "$code" -eq 137 ] || die "the orphan was not ended: $code"
grep -q 'succeeded *hit' after.out && die "its device was given on"
machine >free.json
mv free.json gpus.json
wait "$runner" || { cat after.out; die "the waiting step did not go on"; }
/usr/bin/python3 - .sluice/sluice.db <<'PY' || die "the events are missing"
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute("SELECT * FROM event").fetchall()
text = [str(r) for r in rows]
assert any("outlived it and is on GPU-a" in t for t in text), "orphan"
assert any("XID 79 on GPU-a" in t and "attempt" in t for t in text), "drained"
PY
echo "gpu: leases hold"
