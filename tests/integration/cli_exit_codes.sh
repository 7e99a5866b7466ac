#!/bin/bash
# Every exit code of the command line by the situation that users meet it in.
set -euo pipefail
sluice=${SLUICE_BIN:?}
export TERM=dumb
unset SLUICE_DATA NO_COLOR || true
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
checks=0

die() { printf 'FAIL: %s\n%s\n' "$1" "${out:-}" >&2; exit 1; }
# expect CODE COMMAND...: keeps the output in $out
expect() {
    local want=$1 code=0
    shift
    out=$(timeout 60 "$@" 2>&1 </dev/null) || code=$?
    [ "$code" -eq "$want" ] || die "exit $code, not $want: $*"
    checks=$((checks + 1))
}
shows() { grep -qE -- "$1" <<<"$out" || die "the output lacks: $1"; }

pipeline() { # NAME, then steps on standard input
    { printf 'apiVersion: sluice/v1\nkind: Pipeline\nname: %s\nsteps:\n' "$1"; cat; } >"$1.yml"
}

# 2: a version that is not there is found before anything starts
(
    mkdir missing && cd missing
    printf '  use:\n    run: "true"\n    inputs: { rows: { dataset: claims@latest } }\n' | pipeline missing
    expect 2 "$sluice" run missing.yml
    shows "step 'use', input 'rows': no dataset 'claims@latest'; add it with: sluice data add claims PATH"
    expect 0 "$sluice" ls
    shows 'no runs'
    echo x >rows
    expect 0 "$sluice" data add claims rows
    expect 0 "$sluice" run missing.yml
)

# 2: usage, from an empty directory
expect 2 "$sluice"
expect 0 "$sluice" --help
expect 0 "$sluice" --version
shows '^sluice [0-9]'
expect 2 "$sluice" --data /nonexistent/here ls
shows "no data directory '/nonexistent/here'"
expect 2 "$sluice" rnu x.yml
shows "did you mean 'run'"
expect 2 "$sluice" data ad x y
shows "did you mean 'add'"
expect 2 "$sluice" data
shows 'data log'
expect 2 "$sluice" run
shows 'usage: sluice run PIPELINE'
expect 2 "$sluice" version extra
shows "unexpected argument 'extra'"
expect 2 "$sluice" run x.yml --overide
shows "did you mean '--override'"
expect 2 "$sluice" run x.yml --params
shows 'needs a value'
expect 2 "$sluice" run x.yml --override
shows 'needs --reason'
expect 2 "$sluice" ls
shows "'sluice init' makes one"
expect 2 "$sluice" run missing.yml
shows 'missing.yml'
[ ! -e .sluice ] || die "a refused command left a data directory"

# 2: lint
printf 'apiVersion: sluice/v1\nkind: Pipeline\nname: bad\nsteps:\n  a:\n    rum: "true"\n' >bad.yml
expect 2 "$sluice" lint bad.yml
shows "bad.yml:6:5: error: .*did you mean 'run'"
shows '\^~'
expect 2 "$sluice" run bad.yml
shows 'bad.yml:6:5'
expect 2 "$sluice" --json lint bad.yml
shows '"line": 6'
[ ! -e .sluice ] || die "a bad pipeline left a data directory"

# 0: success, cached the second time
pipeline good <<<'  hello:
    run: |
      echo "hello from $GREETER"
    env: {GREETER: tests}
    outputs:
      text: {artifact: greeting, path: out.txt}
  copy:
    needs: [hello]
    run: "true"'
sed -i 's|      echo "hello from $GREETER"|      echo "hello from $GREETER"; echo text > out.txt|' good.yml
expect 0 "$sluice" run good.yml
shows 'succeeded good#1'
expect 0 "$sluice" run good.yml
shows '2 cached'
expect 0 "$sluice" logs 'good#1/hello'
shows 'hello from tests'
expect 0 "$sluice" show good#1
expect 0 "$sluice" show good --json
shows '"exit_status": 0'
expect 0 "$sluice" show good#2
shows 'as in run #1, '
expect 0 "$sluice" why good#2/hello
shows 'same command, code, inputs'
expect 2 "$sluice" why good#2/helo
shows "did you mean 'hello'"
expect 2 "$sluice" why good
shows 'RUN/STEP'
expect 2 "$sluice" show good#9
shows "no run 'good#9'"
expect 2 "$sluice" ls --state faild
shows "did you mean 'failed'"
expect 2 "$sluice" ls --limit x
expect 0 "$sluice" artifact ls
shows 'greeting'
expect 0 "$sluice" artifact get greeting got
[ "$(cat got/out.txt 2>/dev/null || cat got/*)" = text ] || die "the artifact's content"
expect 1 "$sluice" artifact get greeting got
expect 2 "$sluice" artifact show greting
shows "did you mean 'greeting'"

# 1: a failing step; a retry fails again
pipeline failing <<<'  a:
    run: exit 9
  b:
    needs: [a]
    run: "true"'
expect 1 "$sluice" run failing.yml
shows 'exit.* 9|code 9|status 9'
shows 'sluice logs failing#1/a|sluice logs .failing#1/a'
expect 1 "$sluice" retry failing#1
shows 'failed failing#2'

# 3: refused by the protection of an alias
mkdir model && echo weights >model/w
pipeline models <<<'  train:
    run: "echo weights > w"
    outputs:
      m: {model: net, path: w}'
expect 0 "$sluice" run models.yml
expect 3 "$sluice" model alias net@v1 champion
shows 'verdict|judged'
expect 0 "$sluice" model alias net@v1 candidate
expect 2 "$sluice" model alias net@v1 champion --override
shows 'needs a reason'
expect 0 "$sluice" model alias net@v1 champion --override --reason 'first one'
expect 0 "$sluice" model log net
shows 'champion'

# 124: a step over its time
pipeline slow <<<'  a:
    run: sleep 60
    timeout: 200ms'
expect 124 "$sluice" run slow.yml
shows 'ran over its timeout and was stopped'

# 6: nobody to cancel; 7: cancelled over the socket, while another command follows
pipeline long <<<'  a:
    run: sleep 60'
"$sluice" run long.yml >first.txt 2>&1 &
first=$!
for _ in $(seq 200); do grep -q 'running' first.txt && break; read -rt 0.05 <> <(:) || true; done
expect 2 "$sluice" cancel long#7
"$sluice" run long.yml >second.txt 2>&1 &
second=$!
for _ in $(seq 200); do grep -q 'running' second.txt && break; read -rt 0.05 <> <(:) || true; done
expect 0 "$sluice" why long#1/a
expect 0 "$sluice" cancel long#1
expect 0 "$sluice" cancel long#2
code=0; wait "$first" || code=$?
[ "$code" -eq 7 ] || { out=$(cat first.txt); die "the engine's run ended with $code, not 7"; }
code=0; wait "$second" || code=$?
[ "$code" -eq 7 ] || { out=$(cat second.txt); die "the follower ended with $code, not 7"; }
expect 1 "$sluice" cancel long#1
shows 'ended already'
checks=$((checks + 2))

# 7: Ctrl-C
setsid -w bash -c 'trap - INT; exec "$0" run long.yml >third.txt 2>&1' "$sluice" &
third=$!
for _ in $(seq 200); do grep -q 'running' third.txt 2>/dev/null && break; read -rt 0.05 <> <(:) || true; done
kill -INT "$(cat .sluice/lock)"
code=0; wait "$third" || code=$?
[ "$code" -eq 7 ] || { out=$(cat third.txt); die "Ctrl-C ended with $code, not 7"; }
checks=$((checks + 1))

# a killed engine's step goes on and is adopted; 6 in between
pipeline survive <<<'  a:
    run: |
      while [ ! -e "$GATE" ]; do sleep 0.05; done; echo survived
    env: {GATE: WORK/gate}
    cache: off'
sed -i "s|WORK|$work|" survive.yml
"$sluice" run survive.yml >fourth.txt 2>&1 &
fourth=$!
for _ in $(seq 200); do grep -q 'running' fourth.txt && break; read -rt 0.05 <> <(:) || true; done
kill -KILL "$(cat .sluice/lock)"
wait "$fourth" || true
expect 6 "$sluice" cancel survive#1
shows 'no engine works on run'
touch gate
expect 0 "$sluice" resume survive#1
shows 'succeeded survive#1'
expect 0 "$sluice" logs survive#1/a
shows 'survived'
[ "$("$sluice" show survive#1 --json | grep -c '"number": 1,')" -ge 1 ] || die "attempt number"
expect 0 "$sluice" resume
shows 'nothing to resume'

# 4: an external effect lost from sight
pipeline effect <<<'  a:
    run: sleep 60
    effects: external'
"$sluice" run effect.yml >fifth.txt 2>&1 &
fifth=$!
for _ in $(seq 200); do grep -q 'running' fifth.txt && break; read -rt 0.05 <> <(:) || true; done
kill -KILL "$(cat .sluice/lock)"
wait "$fifth" || true
for p in /proc/[0-9]*; do # the shim and its step, by their own attempt directory
    if tr "\0" " " 2>/dev/null <"$p/cmdline" | grep -q "$work/.sluice"; then kill -KILL "${p#/proc/}" 2>/dev/null || true; fi
    if [[ "$(readlink "$p/cwd" 2>/dev/null || true)" == "$work/.sluice"* ]]; then kill -KILL "${p#/proc/}" 2>/dev/null || true; fi
done
expect 4 "$sluice" resume effect#1

# upkeep
expect 0 "$sluice" fsck --rebuild
shows 'all is well'
expect 0 "$sluice" audit verify
expect 0 "$sluice" lineage net@champion
shows 'models#1/train'
expect 0 "$sluice" lineage net@v1 --format dot
expect 2 "$sluice" lineage nothing-of-that-name
expect 0 "$sluice" deployments
shows 'no deployments'
expect 2 "$sluice" rollback nowhere
printf 'cli exit codes: %d checks\n' "$checks"
