#!/bin/bash
# GPUs by a made-up inventory: all or none, the right memory, nobody shares, and a lease ends only when the
# inventory shows no process on the device.
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
echo "gpu: leases hold"
