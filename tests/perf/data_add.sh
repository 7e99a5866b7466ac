#!/bin/bash
# Adding 20,000 files of 8 KiB and one file of 1 GiB, beside git-lfs and plain SHA-256, in one run.
set -euo pipefail
build="${SLUICE_BUILD:-build/release}"
program="$(cd "$build" && pwd)/perf_data_add"
files="${SLUICE_BENCH_FILES:-20000}" mib="${SLUICE_BENCH_MIB:-1024}"
work="$(mktemp -d)"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export HOME="$work" GIT_CONFIG_NOSYSTEM=1

python3 - "$files" <<'PY'
import os, sys
for i in range(int(sys.argv[1])):
    folder = f"folder/{i // 1000:03d}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{i:06d}.bin", "wb") as f:
        f.write(os.urandom(8192))
PY
head -c "$((mib * 1024 * 1024))" /dev/urandom >file.bin
sync -f .

lfs_seconds() { # path: git add through git-lfs in a fresh repository
  git init -q "repo-$1" && cd "repo-$1"
  git lfs install --local >/dev/null && git lfs track '*.bin' >/dev/null
  cp -r "../$1" data
  sync -f .
  python3 -c 'import subprocess, time; t = time.monotonic(); subprocess.run(["git", "add", "data"], check=True); print(time.monotonic() - t)'
  cd ..
}
# Nothing is removed before the end: ext4 is slow to reuse inodes deleted in the last seconds.
lfs_folder="$(lfs_seconds folder)"
lfs_file="$(lfs_seconds file.bin)"
read -r folder file sha again < <("$program" "$work/data" folder file.bin)
python3 - "$files" "$mib" "$folder" "$file" "$sha" "$again" "$lfs_folder" "$lfs_file" <<'PY'
import json, sys
files, mib = int(sys.argv[1]), int(sys.argv[2])
folder, file, sha, again, lfs_folder, lfs_file = map(float, sys.argv[3:])
def row(name, value, unit, target=None, note=""):
    line = {"name": name, "value": round(value, 3), "unit": unit, "note": note}
    if target:
        line["target"] = target
    print(json.dumps(line))
row("data_add.many_s", folder, "s", "<= 2", f"{files} files of 8 KiB, durable, version committed")
row("data_add.many_vs_git_lfs", lfs_folder / folder, "x git lfs", ">= 5", f"git add took {lfs_folder:.2f} s")
row("data_add.large_vs_sha256", sha / file, "x SHA-256", ">= 0.6", f"{mib} MiB in {file:.2f} s, SHA-256 alone {sha:.2f} s")
row("data_add.large_vs_git_lfs", lfs_file / file, "x git lfs", None, f"git add took {lfs_file:.2f} s")
row("data_add.unchanged_s", again, "s", None, "the same files again")
PY
