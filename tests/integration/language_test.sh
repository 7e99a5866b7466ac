#!/bin/bash
# Fan-out, hooks, sub-pipelines and pinned files through the binary: what runs, what is said, what a retry and an
# engine that died and came back make of it.
set -euo pipefail
sluice=${SLUICE_BIN:?}
export TERM=dumb
unset SLUICE_DATA NO_COLOR || true
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"

die() { printf 'FAIL: %s\n%s\n' "$1" "${out:-}" >&2; exit 1; }
expect() { # CODE COMMAND...: keeps the output in $out
    local want=$1 code=0
    shift
    out=$(timeout 120 "$@" 2>&1 </dev/null) || code=$?
    [ "$code" -eq "$want" ] || die "exit $code, not $want: $*"
}
shows() { grep -qE -- "$1" <<<"$out" || die "the output lacks: $1"; }
lacks() { if grep -qE -- "$1" <<<"$out"; then die "the output has: $1"; fi; }
head='apiVersion: sluice/v1\nkind: Pipeline\nname: '

# ---- fan-out: an array longer than max, a scalar, no JSON; then a good one ----
(
    mkdir fan && cd fan
    { printf "$head%s\n" fan; cat <<'EOF'; } >p.yml
params: { list: { type: string, default: '["a","b"]' } }
steps:
  list:
    env: { LIST: "${{ params.list }}" }
    run: printf %s "$LIST" > "$SLUICE_OUT_l"
    outputs: { l: {} }
  each:
    matrix: { from: "${{ steps.list.outputs.l }}", max: 3, fail_fast: false }
    env: { ITEM: "${{ matrix.item }}" }
    run: echo "item $ITEM"; test "$ITEM" != bad
    hooks: { on_failure: { run: "echo hook; exit 9" }, on_success: { run: echo fine } }
  join: { run: echo joined, needs: each }
EOF
    expect 0 "$sluice" plan p.yml
    shows 'each\[\*\] +waiting +for list; up to 3 instances'
    expect 0 "$sluice" run p.yml
    shows 'skipped +each\[2\] +fan-out has 2 items'
    shows 'succeeded +each:on_success'
    shows 'succeeded +join'
    expect 1 "$sluice" run p.yml -p 'list=[1,2,3,4]'
    shows "failed +each\[0\] .*fan-out has 4 items; 'max' of the matrix of step 'each' allows 3"
    shows 'omitted +each\[1\] +fan-out has 4 items, max is 3'
    shows 'omitted +join'
    expect 1 "$sluice" run p.yml -p 'list={"a":1}'
    shows "output 'l' of step 'list' must be a JSON array, found an object"
    expect 1 "$sluice" run p.yml -p 'list=[1,'
    shows "output 'l' of step 'list': .*:1:"
    # a failing hook is shown; the run fails because of its step, not of the hook
    expect 1 "$sluice" run p.yml -p 'list=["good","bad"]'
    shows 'failed +each:on_failure .*exit code 9'
    expect 0 "$sluice" plan p.yml -p 'list=["x","y"]'
    expect 0 "$sluice" run p.yml -p 'list=["x","y"]'
    expect 0 "$sluice" plan p.yml -p 'list=["x","y"]'
    shows 'each\[1\] +cached'
    shows 'each\[2\] +skipped +fan-out has 2 items'
)

# ---- a hook that fails leaves the result alone ----
(
    mkdir hook && cd hook
    printf "$head"'hook\nsteps:\n  a: { run: "true", hooks: { on_end: { run: exit 3 } } }\n' >p.yml
    expect 0 "$sluice" run p.yml
    shows 'failed +a:on_end'
)

# ---- sub-pipelines: recorded with the run, so that retries and restarts need no files ----
(
    mkdir sub && cd sub
    mkdir parts
    { printf "$head%s\n" part; cat <<'EOF'; } >parts/part.yml
params: { n: { type: int } }
outputs: { out: "${{ steps.b.outputs.out }}" }
steps:
  a: { run: echo "$N" > "$SLUICE_OUT_out", env: { N: "${{ params.n }}" }, outputs: { out: {} } }
  b:
    inputs: { a: "${{ steps.a.outputs.out }}", data: "${{ inputs.data }}" }
    run: |
      echo b > "$STARTED"
      read -r word < "$GO"
      cat "$SLUICE_IN_a" "$SLUICE_IN_data" > "$SLUICE_OUT_out"
    env: { STARTED: "WORK.pipes/started", GO: "WORK.pipes/go" }
    outputs: { out: {} }
EOF
    sed -i "s|WORK|$work/sub|g" parts/part.yml
    { printf "$head%s\n" sub; cat <<'EOF'; } >p.yml
steps:
  make: { run: echo data > "$SLUICE_OUT_d", outputs: { d: {} } }
  outer:
    inputs: { data: "${{ steps.make.outputs.d }}" }
    pipeline: { file: parts/part.yml, params: { n: 41 } }
  last:
    inputs: { all: "${{ steps.outer.outputs.out }}" }
    run: cat "$SLUICE_IN_all"; test ! -e "$STOP"
    env: { STOP: "WORK/stop" }
EOF
    sed -i "s|WORK|$work/sub|g" p.yml
    touch stop
    mkdir ../sub.pipes
    mkfifo ../sub.pipes/started ../sub.pipes/go
    "$sluice" run p.yml >first.txt 2>&1 &
    engine=$!
    timeout 20 cat ../sub.pipes/started >/dev/null || die "$(cat first.txt)"
    kill -9 "$engine"
    wait "$engine" 2>/dev/null || true
    mv parts elsewhere && mv p.yml elsewhere
    timeout 20 sh -c 'echo on > ../sub.pipes/go'
    expect 1 "$sluice" resume
    shows 'succeeded +outer/b'
    shows 'failed +last'
    rm stop
    expect 0 "$sluice" retry sub
    shows 'cached +outer/b'
    expect 0 "$sluice" logs sub/last
    shows '^41$'
    shows '^data$'
    expect 0 "$sluice" why sub/outer/b
)

# ---- the project wants every file pinned ----
(
    mkdir pin && cd pin
    printf "$head"'part\nsteps: { a: { run: "true" } }\n' >part.yml
    printf "$head"'pin\nsteps: { x: { pipeline: { file: part.yml } } }\n' >p.yml
    printf 'apiVersion: sluice/v1\nkind: Project\nname: pin\npolicies: { pinned_includes: true }\n' >project.yml
    expect 0 "$sluice" run p.yml
    expect 0 "$sluice" project apply project.yml
    expect 3 "$sluice" run p.yml
    digest=$(sha256sum part.yml | cut -c1-64)
    shows "p.yml:4: 'part.yml' is not pinned; .*sha256: $digest"
    sed -i "s|part.yml }|part.yml, sha256: $digest }|" p.yml
    expect 0 "$sluice" run p.yml
    printf '# more\n' >>part.yml
    expect 2 "$sluice" run p.yml
    shows "'part.yml' has another content: its sha256 is $(sha256sum part.yml | cut -c1-64)"
)
echo "language: fan-out, hooks, sub-pipelines and pins are fine"
