#!/bin/bash
# For a machine with a real GPU (not part of ci/test, which needs none): the inventory is the driver's, a program on
# the GPU is seen while it is there, its lease ends when it is gone, its series and curves are recorded.
#
#   tests/gpu_real.sh PATH/TO/sluice        with PyTorch for /usr/bin/python3 also the example of pipelines/examples
set -euo pipefail
sluice=$(realpath "${1:?the program under test}")
cd "$(dirname "$0")/.."
examples=$PWD/pipelines/examples
unset SLUICE_GPU_INVENTORY SLUICE_DATA || true
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; wait; rm -rf "$work"' EXIT
die() { printf 'FAIL: %s\n' "$1" >&2; exit 1; }

command -v nvidia-smi >/dev/null || die "no nvidia-smi: is there a driver?"
cd "$work"
"$sluice" runners | sed -n '/^GPUs:/,$p' | tee inventory.out
"$sluice" runners --json >inventory.json
/usr/bin/python3 - <<'PY' || die "the inventory is not what nvidia-smi says"
import json, subprocess
ours = json.load(open("inventory.json"))["gpus"]["devices"]
assert ours, "no devices"
asked = subprocess.run(["nvidia-smi", "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits"],
                       check=True, capture_output=True, text=True).stdout.strip().splitlines()
theirs = {uuid: (name, int(mib) << 20) for uuid, name, mib in (line.split(", ") for line in asked)}
for d in ours:
    name, memory = theirs[d.get("device", d["uuid"])]
    assert d["name"] == name, (d, name)
    assert "profile" in d or abs(d["memory_bytes"] - memory) < memory * 0.05, (d, memory)
PY

cat >held.yml <<'YML'
apiVersion: sluice/v1
kind: Pipeline
name: held
steps:
  look:
    cache: "off"
    resources: { cpu: 100m, gpu: 1 }
    run: |
      [ -n "$CUDA_VISIBLE_DEVICES" ] || exit 1
      nvidia-smi -L
      sleep 5
      echo "had $CUDA_VISIBLE_DEVICES"
YML
"$sluice" run held.yml || { "$sluice" logs last; die "a step with a GPU"; }
"$sluice" metrics last --system | grep -q 'sys.gpu.0.memory_bytes' || die "no series of the GPU"

if ! /usr/bin/python3 -c 'import torch; raise SystemExit(not torch.cuda.is_available())' 2>torch.out; then
    echo "gpu: the inventory and the series are right; no PyTorch with CUDA here, so the example was not run"
    exit 0
fi
cp -r "$examples/pytorch-gpu" example
cd example
"$sluice" serve >../serve.out 2>&1 &
server=$!
until [ -S .sluice/sock ]; do sleep 0.1; done
"$sluice" run --detach pipeline.yml
seen=
until "$sluice" show last --json | grep -qE '"state": *"(succeeded|failed)"' && ! "$sluice" show last | grep -q running; do
    "$sluice" runners | grep -qE '(leased|shared).*[0-9a-f]{12}' && seen=yes
    sleep 0.5
done
"$sluice" show last
[ -n "$seen" ] || die "the lease was not shown while the example ran"
"$sluice" metrics last
"$sluice" metrics last --system
"$sluice" metrics last --system --csv | /usr/bin/python3 -c '
import csv, sys
rows = list(csv.DictReader(sys.stdin))
use = [float(r["value"]) for r in rows if r["key"] == "sys.gpu.0.util_percent"]
assert max(use, default=0) > 10, "the GPU was not seen at work"
' || die "the series do not show the program at work"
for _ in $(seq 50); do
    "$sluice" runners --json | grep -qE '"state": *"(leased|shared|draining)"' || { echo "gpu: all is well"; exit 0; }
    sleep 0.2
done
die "a lease outlived its program"
