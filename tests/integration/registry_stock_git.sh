#!/bin/bash
# What the registry writes, read by stock git and git-lfs: clone, log, fsck --strict, pointers, a clean
# checkout after git lfs pull from our own content.
set -euo pipefail
tool="${SLUICE_BUILD:?}/registry_tool"
work="$(mktemp -d)"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export HOME="$work" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org
export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org
git config --global init.defaultBranch main
git lfs install --skip-repo >/dev/null

fail() { echo "FAILED: $*" >&2; exit 1; }
same() { [ "$1" = "$2" ] || fail "$3: '$1' is not '$2'"; }

mkdir -p in/sub in/hollow
printf 'hello\n' >in/a.txt
printf '#!/bin/sh\n' >in/sub/run.sh
chmod +x in/sub/run.sh
: >in/empty
ln -s sub/run.sh in/link
printf '*.bin -filter\n' >in/.gitattributes
head -c 300000 /dev/zero >in/zeros.bin
for i in $(seq 40); do printf 'row %s\n' "$i" >"in/sub/part-$i.csv"; done

"$tool" data add dataset 'my data é' in | grep -q '^my data é@v1 .* new$' || fail "first version"
"$tool" data add dataset 'my data é' in | grep -q '^my data é@v1 .* same$' || fail "unchanged content"
printf 'more\n' >>in/a.txt
"$tool" data add dataset 'my data é' in | grep -q '^my data é@v2 .* new$' || fail "second version"
"$tool" data add model churn in/a.txt >/dev/null
"$tool" data alias model churn champion churn@v1
repo="$work/data/registry/default.git"

# The repository itself.
git -C "$repo" fsck --strict --full 2>&1 | tee fsck.txt
grep -Eiq 'error|missing|corrupt|warning' fsck.txt && fail "git fsck has findings"
same "$(git -C "$repo" symbolic-ref HEAD)" refs/heads/main "HEAD"
same "$(git -C "$repo" for-each-ref --format='%(refname)' | sort | tr '\n' ' ')" \
  "refs/heads/ds/my%20data%20%C3%A9 refs/heads/main refs/heads/model/churn refs/sluice/alias/model/churn/champion refs/sluice/ledger refs/tags/ds/my%20data%20%C3%A9/v1 refs/tags/ds/my%20data%20%C3%A9/v2 refs/tags/model/churn/v1 " \
  "references"
same "$(git -C "$repo" log --format=%s refs/sluice/ledger | head -1)" \
  "set alias model churn@champion to v1" "ledger"

# A stock clone, without any of our content at first.
GIT_LFS_SKIP_SMUDGE=1 git clone -q "file://$repo" clone
cd clone
GIT_LFS_SKIP_SMUDGE=1 git checkout -q 'ds/my%20data%20%C3%A9'
same "$(git log --format=%s | wc -l)" 2 "history"
same "$(git log -1 --format='%(trailers:key=Sluice-Version,valueonly)' | head -1)" 2 "trailer"
same "$(git log -1 --format='%(trailers:key=Sluice-Manifest,valueonly)' | head -1)" \
  "sha256:$(sha256sum .sluice/manifest.json | cut -d' ' -f1)" "manifest digest"
python3 -c 'import json; assert json.load(open(".sluice/manifest.json"))["format"] == "sluice-manifest/1"'
same "$(git lfs ls-files | wc -l)" 44 "git lfs ls-files"
git lfs ls-files -n | while read -r path; do
  git cat-file blob "HEAD:$path" | git lfs pointer --check --strict --stdin || fail "pointer of $path"
done
same "$(git cat-file blob HEAD:data/a.txt)" "$(git lfs pointer --file ../in/a.txt 2>/dev/null)" "pointer"
same "$(git ls-tree HEAD data/sub/run.sh | cut -d' ' -f1)" 100755 "executable"
same "$(git ls-tree HEAD data/link | cut -d' ' -f1)" 120000 "symlink"
same "$(git cat-file -s HEAD:data/empty)" 0 "empty file"

# Content laid out as git-lfs keeps it: the checkout is then byte for byte what went in, and clean.
find "$work/data/blobs/sha256" -type f | while read -r blob; do
  oid="$(basename "$(dirname "$blob")")$(basename "$blob")"
  mkdir -p ".git/lfs/objects/${oid:0:2}/${oid:2:2}"
  cp "$blob" ".git/lfs/objects/${oid:0:2}/${oid:2:2}/$oid"
done
git lfs checkout
git lfs fsck
same "$(git status --porcelain)" "" "clean checkout"
mv data/%2Egitattributes data/.gitattributes
diff -r --no-dereference --exclude hollow ../in data || fail "checkout differs"
cd ..

"$tool" data fsck deep | grep -q ' 0 severe$' || fail "fsck"
same "$("$tool" data index)" "3 versions 1 aliases" "index"
same "$("$tool" data rebuild)" "3 versions 1 aliases" "rebuild"

# A repack by stock git changes nothing for us.
git -C "$repo" gc -q
"$tool" data fsck deep | grep -q ' 0 severe$' || fail "fsck after git gc"
printf 'again\n' >>in/a.txt
"$tool" data add dataset 'my data é' in | grep -q '^my data é@v3 .* new$' || fail "third version"
git -C "$repo" fsck --strict --full
echo "registry_stock_git: passed"
