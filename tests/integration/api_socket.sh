#!/bin/bash
# The engine's HTTP interface by curl: every route answers JSON, bad requests cost nothing, event streams resume.
set -euo pipefail
sluice=${SLUICE_BIN:?}
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    chmod -R u+w "$work"
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
export TERM=dumb
checks=0
die() { printf 'FAIL: %s\n%s\n' "$1" "${out:-}" >&2; exit 1; }
# ask STATUS TARGET [CURL OPTION...]: keeps the body in $out
ask() {
    local want=$1 target=$2 status
    shift 2
    status=$(curl -s -m 20 --unix-socket .sluice/sock -o body -w '%{http_code}' "$@" "http://sluice$target") || die "curl $target"
    out=$(cat body)
    [ "$status" = "$want" ] || die "$target: status $status, not $want"
    /usr/bin/python3 -c 'import json,sys; json.load(open("body"))' || die "$target: no JSON"
    checks=$((checks + 1))
}
has() { case $out in *"$1"*) ;; *) die "the answer lacks $1" ;; esac; }

printf 'apiVersion: sluice/v1\nkind: Pipeline\nname: small\nsteps:\n  a:\n    run: echo hi\n  b:\n    needs: [a]\n    run: "true"\n' >small.yml
"$sluice" init >/dev/null
"$sluice" serve >serve.txt 2>&1 &
server=$!
for _ in $(seq 200); do grep -q serving serve.txt && break; read -rt 0.05 <> <(:) || true; done
"$sluice" run small.yml >run.txt 2>&1 || die "$(cat run.txt)"
grep -q 'by the engine that works here' run.txt || die "the run was not handed over"
code=0; "$sluice" serve >second.txt 2>&1 || code=$?
[ "$code" -eq 1 ] && grep -q 'another sluice process' second.txt || die "a second engine: $(cat second.txt)"

ask 200 '/api/v1/runs?limit=1'; has '"name":"small#1"'
ask 200 /api/v1/runs/last; has '"exit_status":0'
ask 200 /api/v1/runs/small%231/why?step=a; has '"state":"succeeded"'
ask 200 /api/v1/runs/last/metrics; has '"series":[]'
ask 200 /api/v1/runs/last/verdicts
ask 200 /api/v1/runs/last/submission; has '"retry_of"'
ask 200 /api/v1/artifacts/model; has '"entities":[]'
ask 200 /api/v1/deployments
ask 200 /api/v1/audit
ask 200 /api/v1/audit/verify; has '"root"'
ask 200 '/api/v1/lineage?ref=small%231'
ask 200 /api/v1/runners; has '"live_runs":0'
ask 200 /api/v1/fsck -X POST -d '{}'

ask 404 /api/v1/rnus; has ENOTFOUND
ask 404 /api/v1/runs/nosuchrun
ask 404 '/api/v1/runs/last/why?step=c'
ask 400 /api/v1/runs/last/why; has "'step' is missing"
ask 400 '/api/v1/runs?limit=0'
ask 400 '/api/v1/runs?limit=1001'
ask 200 '/api/v1/runs?limit=1000'
ask 400 '/api/v1/runs?limit=x'
ask 400 '/api/v1/runs?state=faild'; has "did you mean 'failed'"
ask 400 '/api/v1/runs/last/metrics?history=501'
ask 200 '/api/v1/runs/last/metrics?history=500'
ask 400 '/api/v1/lineage?ref=small%231&depth=101'
ask 400 '/api/v1/lineage?ref=small%231&format=xml'
ask 400 /api/v1/artifacts/modl
ask 400 /api/v1/runs -X POST -d '{}'
ask 400 /api/v1/runs -X POST -d '{'
ask 400 /api/v1/fsck -X POST -d '[]'; has 'must be a JSON object'
ask 400 /api/v1/rollback -X POST -d '{}'; has "'target' is missing"
ask 404 /api/v1/rollback -X POST -d '{"target":"none"}'
ask 404 /api/v1/runs/last/cancel -X POST -d '{}'; has 'has ended'
ask 405 /api/v1/runs -X DELETE; has 'only GET, HEAD, POST'
ask 404 /api/v1/runs/nosuchrun/events
ask 400 /api/v1/runs/last/events -H 'Last-Event-ID: x'
ask 200 '/api/v1/runs?limit=5'; has '"more":false'

# the stream ends by itself, ids grow, and resuming gives exactly the rest
curl -s -m 20 --unix-socket .sluice/sock http://sluice/api/v1/runs/last/events >all.txt
grep -q '^event: run.finished' all.txt || die "the stream lacks its end"
mapfile -t ids < <(sed -n 's/^id: //p' all.txt)
[ "${#ids[@]}" -ge 8 ] || die "only ${#ids[@]} events"
middle=${ids[3]}
curl -s -m 20 --unix-socket .sluice/sock -H "Last-Event-ID: $middle" http://sluice/api/v1/runs/last/events >rest.txt
diff <(printf '%s\n' "${ids[@]:4}") <(sed -n 's/^id: //p' rest.txt) || die "resuming after $middle"
checks=$((checks + 2))

kill "$server"
code=0; wait "$server" || code=$?
server=
[ "$code" -eq 0 ] || die "serve ended with $code: $(cat serve.txt)"
[ ! -e .sluice/sock ] || die "the socket is still there"
printf 'api on the socket: %d checks\n' "$checks"
