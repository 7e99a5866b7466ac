#!/bin/bash
# Which run may start and which step goes first, by the real engine: groups of runs (queue, replace, reject, limits of
# the project, a killed engine), priority and preemption with a checkpoint, queue_timeout, messages.
set -euo pipefail
sluice=${SLUICE_BIN:?}
work=$(mktemp -d)
server=
finish() {
    touch "$work/go"
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    chmod -R u+w "$work"
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
export TERM=dumb
unset SLUICE_DATA || true
checks=0
die() { printf 'FAIL: %s\n%s\n' "$1" "${out:-}" >&2; exit 1; }
expect() { # CODE COMMAND...: keeps the output in $out
    local want=$1 code=0
    shift
    out=$(timeout 60 "$@" 2>&1 </dev/null) || code=$?
    [ "$code" -eq "$want" ] || die "exit $code, not $want: $*"
    checks=$((checks + 1))
}
shows() { grep -qE -- "$1" <<<"$out" || die "the output lacks: $1"; }
pause() { read -rt 0.02 <> <(:) || true; }
until_true() { # COMMAND...
    for _ in $(seq 1500); do
        if "$@" >/dev/null 2>&1; then return; fi
        pause
    done
    out=$("$sluice" ls 2>&1)
    die "never came true: $*"
}
state_is() { # RUN STATE
    [ "$("$sluice" show "$1" --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])')" = "$2" ]
}
serve() {
    "$sluice" serve >serve.txt 2>&1 &
    server=$!
    until_true grep -q serving serve.txt
}
start() { # FILE [OPTION...]: runs it behind; its output goes to FILE.txt
    "$sluice" run "$@" --detach >detach.txt 2>&1 || die "$(cat detach.txt)"
}
pipeline() { # NAME, then what follows the name on standard input
    { printf 'apiVersion: sluice/v1\nkind: Pipeline\nname: %s\n' "$1"; cat; } >"$1.yml"
}
hold='{ cache: off, env: { GO: "'$work'/go" }, run: "while [ ! -e $GO ]; do sleep 0.02; done" }'

"$sluice" init >/dev/null
serve

# ---- groups -------------------------------------------------------------------------------------
pipeline churn <<YML
params: { region: { type: string, default: eu } }
concurrency: { group: "churn-\${{ params.region }}", max_queued: 3 }
steps: { a: $hold }
finally: { z: { run: "true", cache: off } }
YML
pipeline hasty <<YML
concurrency: { group: churn-eu, on_conflict: reject }
steps: { a: { run: "true" } }
YML
pipeline newest <<YML
concurrency: { group: churn-eu, on_conflict: replace }
steps: { a: { run: "true" } }
YML
start churn.yml
until_true state_is churn#1 running
start churn.yml
start churn.yml
start churn.yml -p region=us # another group
until_true state_is churn#4 running
expect 0 "$sluice" show churn#3
shows 'group churn-eu is full \(1 of 1: churn#1\); 1 run goes first'
expect 0 "$sluice" ls
shows 'churn#2 +queued'
"$sluice" run churn.yml >follower.txt 2>&1 &
follower=$!
says_queued() { grep -q 'queued: group churn-eu is full (1 of 1: churn#1); 2 runs go first' follower.txt; }
until_true says_queued
expect 0 "$sluice" cancel churn#5
wait "$follower" && die "a cancelled run ends well"
start churn.yml # churn#6
expect 3 "$sluice" run hasty.yml
shows 'group churn-eu is full \(1 of 1: churn#1\) \(on_conflict: reject\)'
expect 3 "$sluice" run churn.yml
shows '3 wait already \(max_queued: 3\)'
expect 0 "$sluice" ls
if grep -qE 'hasty|churn#7' <<<"$out"; then die "a rejected run is recorded"; fi

# an engine that is killed keeps the order, and what runs goes on
kill -9 "$server"
wait "$server" 2>/dev/null || true
expect 0 "$sluice" show churn#3
shows 'group churn-eu is full \(1 of 1: churn#1\); 1 run goes first'
serve
state_is churn#1 running || die "churn#1 is not running any more"
state_is churn#2 queued || die "churn#2 started beside churn#1"

# the project's limit wins over the pipeline's, at once
printf 'apiVersion: sluice/v1\nkind: Project\nname: p\nconcurrency: { churn-eu: 2 }\nchannels: { ops: { webhook: { url: "http://127.0.0.1:9/" } } }\n' >project.yml
expect 0 "$sluice" project apply project.yml
until_true state_is churn#2 running
state_is churn#3 queued || die "three of churn-eu at once"
printf 'apiVersion: sluice/v1\nkind: Project\nname: p\nchannels: { ops: { webhook: { url: "http://127.0.0.1:9/" } } }\n' >project.yml
expect 0 "$sluice" project apply project.yml

# the newest replaces those that wait and those that run
expect 0 timeout 60 "$sluice" run newest.yml
expect 0 "$sluice" show churn#3
shows 'run churn#3 +cancelled'
shows 'reason +replaced by newest#1'
expect 0 "$sluice" show churn#1
shows 'reason +replaced by newest#1'
shows '^z +succeeded'
expect 0 "$sluice" show churn#3
shows '^z +cancelled' # it never started: nothing of it runs
state_is churn#4 running || die "a run of another group was replaced"
touch go
until_true state_is churn#4 succeeded
rm go

# ---- priority, preemption, queue_timeout ----------------------------------------------------------
cpus=$("$sluice" runners --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["hardware"]["cpus"])')
pipeline low <<YML
steps:
  train:
    checkpoint: state/ckpt/
    cache: off
    resources: { cpu: $cpus }
    run: |
      echo "attempt \$SLUICE_ATTEMPT" >> state/ckpt/log
      trap 'echo saved >> "\$SLUICE_CHECKPOINT/log"; exit 0' TERM  # it says that it went well, and has not
      if [ "\$SLUICE_ATTEMPT" -eq 1 ]; then while :; do sleep 0.02; done; fi
      grep -q saved state/ckpt/log
YML
pipeline high <<YML
priority: 10
steps: { quick: { run: "true", cache: off } }
YML
start low.yml
low_trains() { grep -q attempt .sluice/runs/*/checkpoint-0/log; }
until_true low_trains
expect 0 "$sluice" run high.yml
until_true state_is low#1 succeeded
out=$("$sluice" show low#1 --json | /usr/bin/python3 -c '
import json, sys
first, second = json.load(sys.stdin)["steps"][0]["attempt_list"]
print(first["class"], first["reason"], second["state"])')
[ "$out" = "preempted made way for high#1/quick (priority 10) succeeded" ] || die "attempts of low#1"

# an engine that dies while a step makes way: the next one goes on stopping it, and knows why
pipeline stubborn <<YML
steps:
  train:
    checkpoint: true
    cache: off
    grace: 2s
    retry: { max: 0 }
    resources: { cpu: $cpus }
    run: |
      [ "\$SLUICE_ATTEMPT" -eq 1 ] || exit 0
      trap '' TERM
      touch "\$SLUICE_CHECKPOINT/begun"
      while :; do sleep 0.02 || true; done
YML
start stubborn.yml
begun() { [ -n "$(find .sluice/runs -name begun)" ]; }
until_true begun
start high.yml
asked() {
    [ "$(/usr/bin/python3 -c 'import sqlite3
db = sqlite3.connect("file:.sluice/sluice.db?mode=ro", uri=True)
print(db.execute("SELECT count(*) FROM attempt WHERE state = ? AND way IS NOT NULL", ("started",)).fetchone()[0])')" = 1 ]
}
until_true asked
kill -9 "$server"
wait "$server" 2>/dev/null || true
serve
until_true state_is high#2 succeeded
until_true state_is stubborn#1 succeeded
out=$("$sluice" show stubborn#1 --json | /usr/bin/python3 -c '
import json, sys
print([a["class"] if "class" in a else a["state"] for a in json.load(sys.stdin)["steps"][0]["attempt_list"]])')
[ "$out" = "['preempted', 'succeeded']" ] || die "attempts of stubborn#1"

mkdir -p state/ckpt && echo x >state/ckpt/in-the-way
expect 2 "$sluice" run low.yml
shows "step 'train': checkpoint 'state/ckpt/' is part of the code \(state/ckpt/in-the-way\)"
rm -r state

pipeline busy <<YML
steps: { a: $hold }
YML
sed -i "s/cache: off, env/cache: off, resources: { cpu: $cpus }, env/" busy.yml
pipeline late <<YML
steps: { b: { run: "true", cache: off, queue_timeout: 50ms, retry: { max: 3, on: [timeout] } } }
YML
start busy.yml
until_true state_is busy#1 running
expect 124 "$sluice" run late.yml
shows 'not started within its queue_timeout of 50ms'
touch go
until_true state_is busy#1 succeeded
rm go

# ---- messages -------------------------------------------------------------------------------------
pipeline tells <<YML
steps: { a: { run: exit 3, cache: off } }
finally: { tell: { notify: { webhook: ops, text: "run \${{ run.number }}: \${{ run.status }}, \${{ steps.a.status }}" } } }
YML
expect 1 "$sluice" run tells.yml
out=$(/usr/bin/python3 - <<'PY'
import json, sqlite3
db = sqlite3.connect("file:.sluice/sluice.db?mode=ro", uri=True)
rows = db.execute("SELECT payload FROM event WHERE type = 'notify.queued'").fetchall()
assert len(rows) == 1, rows
m = json.loads(rows[0][0])
print(m["channel"], m["mail"], m["text"], m["pipeline"], m["number"])
PY
) || die "no message is queued"
[ "$out" = "ops False run 1: failed, failed tells 1" ] || die "the message"
sed 's/webhook: ops/webhook: opps/' tells.yml >typo.yml
expect 2 "$sluice" run typo.yml
shows "step 'tell': the project in force has no channel 'opps' \(did you mean 'ops'\?\)"
sed 's/webhook: ops/mail: ops/' tells.yml >mail.yml
expect 2 "$sluice" run mail.yml
shows "channel 'ops' of the project is no mail channel"

echo "scheduling: $checks commands as expected"
