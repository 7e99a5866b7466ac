"""Strict sandboxes through the real engine: what a step can and cannot reach, that a machine without them refuses
before anything is recorded, and that the isolation is a recorded fact."""
import glob
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

BIN = os.path.abspath(os.environ.get("SLUICE_BIN", os.environ.get("SLUICE_BUILD", "build/dev") + "/sluice"))
WAIT_S = 120
STRICT = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "true"]

PIPELINE = """apiVersion: sluice/v1
kind: Pipeline
name: boxed
params:
  port: { type: int }
  home: { type: string }
defaults: { cache: off, sandbox: strict, env: { PORT: "${{ params.port }}", SECRET_HOME: "${{ params.home }}" } }
steps:
  rows:
    run: |
      seq 1 10 > "$SLUICE_OUT_rows"
      echo '{"rows": 10}' >> "$SLUICE_METRICS"
      echo kept > "$SLUICE_CHECKPOINT/state"
    outputs: { rows: { dataset: boxed-rows } }
  look:
    inputs: { rows: "${{ steps.rows.outputs.rows }}" }
    run: python3 look.py
    outputs: { seen: { artifact: boxed-seen } }
  online:
    sandbox: { level: strict, network: true }
    run: python3 online.py
"""
SECRETS = """apiVersion: sluice/v1
kind: Pipeline
name: handed
steps:
  use:
    sandbox: strict
    secrets: { TOKEN: token, KEY: { secret: token, as: file } }
    run: |
      test "$TOKEN" = "$(cat "$KEY")"
      echo "token $TOKEN"
      if rm -f "$KEY" || echo x >> "$KEY"; then exit 9; fi
"""
PROJECT = """apiVersion: sluice/v1
kind: Project
name: guarded
policies: { sandbox: strict }
"""
PLAIN = """apiVersion: sluice/v1
kind: Pipeline
name: plain
steps:
  inside: { sandbox: none, run: "test $(id -u) = 1000; test ! -e /etc/shadow" }
"""
SLOW = """apiVersion: sluice/v1
kind: Pipeline
name: slow
steps:
  wait:
    sandbox: strict
    grace: 60s
    run: |
      trap 'echo asked to end; exit 4' TERM
      touch up
      until test -e go; do sleep 0.02; done
      echo went on
      exit 0
"""
LOOK = """import json, os, socket, subprocess, sys
data = os.environ["SLUICE_OUT_seen"].split("/runs/")[0]
bad = []
for name in ("sluice.db", "registry", "blobs", "shim", "secret.key", "lock", "sock", "config.yml"):
    if os.path.lexists(os.path.join(data, name)):
        bad.append("sees " + name)
if len(os.listdir(data + "/runs")) != 1 or len(os.listdir(data + "/runs/" + os.environ["SLUICE_RUN_ID"])) > 2:
    bad.append("sees other attempts")
for path in (os.environ["SECRET_HOME"], "/etc/shadow", "/root", "/home", "/var/lib", "/sys"):
    if os.path.lexists(path):
        bad.append("sees " + path)
rows = os.environ["SLUICE_IN_rows"]
for path in (rows, os.path.dirname(rows) + "/new", os.environ["SLUICE_PARAMS"], "/new", "/usr/new", "/etc/passwd",
             os.environ["SLUICE_OUT_seen"] + "/../../exit", "/proc/sys/kernel/core_pattern"):
    try:
        open(path, "a").close()
        bad.append("could write " + path)
    except OSError:
        pass
try:
    os.unlink(rows)
    bad.append("could remove an input")
except OSError:
    pass
try:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 5)
    bad.append("reached the network")
except OSError:
    pass
if sum(1 for line in open(rows)) != 10:
    bad.append("input is not whole")
pids = [p for p in os.listdir("/proc") if p.isdigit()]
if len(pids) > 8:
    bad.append("sees foreign processes")
with open(os.environ["SLUICE_OUT_seen"], "w") as f:
    json.dump(bad, f)
print(bad)
sys.exit(1 if bad else 0)
"""
ONLINE = """import os, socket
socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 5).close()
"""


def fail(text):
    print("FAIL:", text, file=sys.stderr)
    sys.exit(1)


def can(command):
    try:
        return subprocess.run(command, capture_output=True, timeout=WAIT_S).returncode == 0
    except OSError:
        return False


def sluice(work, *args, wrap=()):
    env = {k: v for k, v in os.environ.items() if k != "SLUICE_DATA"}
    return subprocess.run([*wrap, BIN, *args], cwd=work, env=env, timeout=WAIT_S, capture_output=True, text=True)


def query(work, sql):
    db = sqlite3.connect(f"file:{work}/.sluice/sluice.db?mode=ro", uri=True)
    rows = db.execute(sql).fetchall()
    db.close()
    return rows


def check_inside(work, listener):
    port = str(listener.getsockname()[1])
    out = sluice(work, "run", "pipeline.yml", "-p", "port=" + port, "-p", "home=" + work + "/secret")
    if out.returncode != 0:
        log = sluice(work, "logs", "boxed#1/look")
        fail(f"exit code {out.returncode}: {out.stdout}{out.stderr}{log.stdout}{log.stderr}")
    values = query(work, "SELECT identity FROM attempt ORDER BY started_ms")
    levels = sorted(json.loads(v[0])["isolation"].split(", ")[1] for v in values)
    if levels != ["network of the machine", "no network", "no network"]:
        fail(f"recorded isolation: {values}")
    if not all(json.loads(v[0])["isolation"].startswith("strict: bubblewrap ") for v in values):
        fail(f"recorded isolation: {values}")
    facts = query(work, "SELECT attrs FROM lineage_node WHERE attrs LIKE '%strict: bubblewrap%'")
    if len(facts) != 3:
        fail(f"lineage knows of {len(facts)} isolated executions, not 3")
    if "10" not in sluice(work, "metrics", "boxed#1").stdout:
        fail("the metrics did not arrive")
    if "available" not in sluice(work, "runners").stdout:
        fail("'sluice runners' does not tell of the sandbox")


def hidden():
    """A machine like this one, but without bubblewrap."""
    wrap = ["bwrap", "--dev-bind", "/", "/"]
    for path in ("/usr/bin/bwrap", "/usr/local/bin/bwrap"):
        if os.path.exists(path):
            wrap += ["--ro-bind", "/dev/null", path]
    return wrap


def check_refused(work):
    out = sluice(work, "run", "pipeline.yml", "-p", "port=1", "-p", "home=/x", wrap=hidden())
    if out.returncode != 3:
        fail(f"without bubblewrap: exit code {out.returncode}: {out.stdout}{out.stderr}")
    for part in ("step 'rows' must run in a strict sandbox (it says so)", "bubblewrap is not installed",
                 "apt install bubblewrap"):
        if part not in out.stdout + out.stderr:
            fail(f"without bubblewrap: no '{part}' in: {out.stdout}{out.stderr}")
    if query(work, "SELECT count(*) FROM run WHERE pipeline = 'boxed'") != [(1,)]:
        fail("a refused run was recorded")
    if "bubblewrap is not installed" not in sluice(work, "runners", wrap=hidden()).stdout:
        fail("'sluice runners' does not say why there is no sandbox")


def check_policy(work):
    """What the project in force demands holds for steps that say otherwise, also where it cannot be had."""
    if sluice(work, "run", "plain.yml").returncode == 0:
        fail("a step without sandbox looks like one with")
    out = sluice(work, "project", "apply", "project.yml")
    if out.returncode != 0:
        fail(f"project apply: {out.stdout}{out.stderr}")
    out = sluice(work, "run", "plain.yml")
    if out.returncode != 0:
        fail(f"policy: exit code {out.returncode}: {out.stdout}{out.stderr}")
    out = sluice(work, "run", "plain.yml", wrap=hidden())
    if out.returncode != 3 or "(the project's policy)" not in out.stdout + out.stderr:
        fail(f"policy without bubblewrap: exit code {out.returncode}: {out.stdout}{out.stderr}")


def check_secrets(work):
    """A declared secret reaches an isolated step, as a variable and as a file, and stays out of the log."""
    env = {k: v for k, v in os.environ.items() if k != "SLUICE_DATA"}
    subprocess.run([BIN, "secret", "set", "token"], cwd=work, env=env, input="open-sesame-7f3a", text=True, check=True,
                   timeout=WAIT_S, capture_output=True)
    out = sluice(work, "run", "secrets.yml")
    log = sluice(work, "logs", "handed#1/use").stdout
    if out.returncode != 0 or "token ***" not in log or "sesame" in log:
        fail(f"secrets: exit code {out.returncode}: {out.stdout}{out.stderr}{log}")


def begin_slow(work):
    """An engine with an isolated step that runs; returns it and the step's directory."""
    env = {k: v for k, v in os.environ.items() if k != "SLUICE_DATA"}
    before = set(glob.glob(work + "/.sluice/runs/*/*/work/up"))
    engine = subprocess.Popen([BIN, "run", "slow.yml", "--no-cache"], cwd=work, env=env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    until = time.monotonic() + WAIT_S
    while True:
        new = set(glob.glob(work + "/.sluice/runs/*/*/work/up")) - before
        if new:
            return engine, os.path.dirname(new.pop())
        if engine.poll() is not None or time.monotonic() > until:
            fail("the slow step did not begin")
        time.sleep(0.02)


def check_outlives(work):
    """An isolated step outlives its engine, is adopted, and hears when it is cancelled."""
    engine, step = begin_slow(work)
    engine.kill()
    engine.wait()
    with open(step + "/go", "w"):
        pass
    out = sluice(work, "resume")
    log = sluice(work, "logs", "slow#1/wait").stdout
    if out.returncode != 0 or "went on" not in log:
        fail(f"adoption: exit code {out.returncode}: {out.stdout}{out.stderr}{log}")
    if query(work, "SELECT count(*) FROM attempt WHERE run_id IN (SELECT id FROM run WHERE pipeline = 'slow')") != [(1,)]:
        fail("the isolated step was begun again")
    engine, step = begin_slow(work)
    out = sluice(work, "cancel", "slow#2")
    if out.returncode != 0 or engine.wait(WAIT_S) != 7:
        fail(f"cancel: {out.stdout}{out.stderr}, engine {engine.returncode}")
    if "asked to end" not in sluice(work, "logs", "slow#2/wait").stdout:
        fail("the isolated step did not get its TERM")


def main():
    if not can(STRICT):
        if "CI" in os.environ:
            fail("no sandbox can be made")
        print("skipped: sandboxes cannot be made on this machine")
        return
    work = tempfile.mkdtemp(dir="/var/tmp")
    try:
        for name, text in (("pipeline.yml", PIPELINE), ("look.py", LOOK), ("online.py", ONLINE), ("secret", "x\n"),
                           ("project.yml", PROJECT), ("slow.yml", SLOW), ("secrets.yml", SECRETS), ("plain.yml", PLAIN)):
            with open(os.path.join(work, name), "w") as f:
                f.write(text)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            check_inside(work, listener)
        check_secrets(work)
        check_outlives(work)
        check_refused(work)
        check_policy(work)
        print("sandbox: three isolated steps, one by policy, two refusals")
    finally:
        shutil.rmtree(work)


main()
