#!/bin/bash
# Kills, fails and stops the registry at every fault point of blob.* and registry.*: afterwards the old
# state or the new one, fsck clean, stock git fsck clean, and the same command completes.
set -euo pipefail
tool="${SLUICE_BUILD:?}/registry_tool"
source_dir="$(cd "$(dirname "$0")/../.." && pwd)"
work="$(mktemp -d)"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*" >&2; exit 1; }

mkdir -p one two
for i in $(seq 30); do printf 'old %s\n' "$i" >"one/f$i"; printf 'new %s\n' "$i" >"two/f$i"; done
head -c 3000000 /dev/zero >two/large
"$tool" base add dataset d one >/dev/null
points="$(grep -oE '"(blob|registry)\.[a-z_]+"' "$source_dir/core/base/faults.def" | tr -d '"')"
[ "$(echo "$points" | wc -l)" -ge 11 ] || fail "too few fault points: $points"

# State of a data directory: the newest version of d, or the alias.
state() { "$tool" "$1" resolve dataset "$2" 2>/dev/null | cut -d' ' -f1 || true; }

verify() { # dir label
  "$tool" "$1" fsck deep >fsck.txt || { cat fsck.txt; fail "$2: fsck"; }
  git -C "$1/registry/default.git" fsck --strict --full >git.txt 2>&1 || { cat git.txt; fail "$2: git fsck"; }
  ! grep -Eq 'error|missing|corrupt' git.txt || { cat git.txt; fail "$2: git fsck"; }
  [ -z "$(ls "$1/blobs/stage")" ] || fail "$2: staging is not empty"
}

n_kill=0 n_hit=0 n_fail=0
for point in $points; do
  for what in kill enospc eio; do
    for nth in 1 2 9; do
      rm -rf data; cp -a base data
      label="$point:$nth:$what add"
      rc=0
      SLUICE_FAULT="$point:$nth:$what" "$tool" data add dataset d two >out.txt 2>err.txt || rc=$?
      n_kill=$((n_kill + 1))
      [ "$rc" = 0 ] || n_hit=$((n_hit + 1))
      if [ "$rc" = 0 ]; then
        grep -q 'd@v2' out.txt || fail "$label: no fault, no version"
      elif [ "$what" = kill ]; then
        [ "$rc" = 137 ] || fail "$label: exit $rc: $(cat err.txt)"
      elif [ "$what" = enospc ]; then
        grep -q '^SL_ENOSPACE: .*No space left on device' err.txt || fail "$label: $(cat err.txt)"
        n_fail=$((n_fail + 1))
      fi
      s="$(state data d)"
      [ "$s" = d@v1 ] || [ "$s" = d@v2 ] || fail "$label: state '$s'"
      verify data "$label"
      "$tool" data add dataset d two >out.txt || fail "$label: repeating failed"
      grep -q '^d@v2 ' out.txt || fail "$label: repeated to $(cat out.txt)"
      verify data "$label, repeated"
      [ "$("$tool" data index)" = "2 versions 0 aliases" ] || fail "$label: index"
    done
  done
done

# Aliases: the same boundaries, old or new, never torn.
"$tool" base add dataset d two >/dev/null
"$tool" base alias dataset d champion d@v1
for point in $(echo "$points" | grep '^registry\.'); do
  for what in kill eio; do
    rm -rf data; cp -a base data
    rc=0
    SLUICE_FAULT="$point:1:$what" "$tool" data alias dataset d champion d@v2 >/dev/null 2>&1 || rc=$?
    n_kill=$((n_kill + 1))
    [ "$rc" != 0 ] || fail "$point:1:$what alias: the fault did not strike"
    n_hit=$((n_hit + 1))
    s="$(state data d@champion)"
    [ "$s" = d@v1 ] || [ "$s" = d@v2 ] || fail "$point:1:$what alias: state '$s'"
    verify data "$point:1:$what alias"
    "$tool" data alias dataset d champion d@v2
    [ "$(state data d@champion)" = d@v2 ] || fail "$point:1:$what alias: repeating failed"
    verify data "$point:1:$what alias, repeated"
  done
done

# Creation of the repository.
for nth in 1 2 3; do
  rm -rf data
  SLUICE_FAULT="fs.fsync:$nth:kill" "$tool" data add dataset d one >/dev/null 2>&1 || true
  "$tool" data add dataset d one >/dev/null || fail "creation after a kill"
  verify data "creation"
  [ "$(ls data/registry)" = default.git ] || fail "creation left $(ls data/registry)"
done

# A file that changes while it is read: stopped in mid-read, changed, continued.
head -c 40000000 /dev/urandom >changing
rm -rf data; cp -a base data
SLUICE_FAULT="blob.stage:5:stop" "$tool" data add dataset big changing >out.txt 2>err.txt &
pid=$!
until [ "$(cut -d' ' -f3 "/proc/$pid/stat")" = T ]; do :; done
printf 'x' | dd of=changing bs=1 seek=39999999 conv=notrunc status=none
kill -CONT "$pid"
wait "$pid" && fail "a changing file became a version"
grep -q '^SL_ECONFLICT: changing: the file changed while it was read' err.txt || fail "$(cat err.txt)"
verify data "changing file"

# A full disk that is one, where we may mount.
if mkdir small && mount -t tmpfs -o size=6m tmpfs small 2>/dev/null; then
  trap 'cd /; umount "$work/small"; chmod -R u+w "$work"; rm -rf "$work"' EXIT
  "$tool" small/data add dataset d one >/dev/null
  head -c 20000000 /dev/urandom >toolarge
  "$tool" small/data add dataset d toolarge >out.txt 2>err.txt && fail "20 MB fit into 6"
  grep -q '^SL_ENOSPACE: ' err.txt || fail "full disk: $(cat err.txt)"
  verify small/data "full disk"
  printf 'fits\n' >fits
  "$tool" small/data add dataset d fits >/dev/null || fail "not usable after a full disk"
fi
[ "$n_hit" -ge 60 ] || fail "only $n_hit of $n_kill faults struck"
echo "registry_kill: $n_kill runs, $n_hit struck, $n_fail full disks: passed"
