"""Steps that misbehave, driven by the real engine: with the control groups of this machine, without any, and
inside the sandbox. Each is contained, has its failure class and a reason in words, and leaves nothing behind."""
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

BIN = os.path.abspath(os.environ.get("SLUICE_BIN", os.environ.get("SLUICE_BUILD", "build/dev") + "/sluice"))
WAIT_S = 120

BOMB = """import os, sys, time
root = os.getpid()
for i in range(200):
    try:
        if os.fork() == 0:
            os.fork()
            time.sleep(600)
    except OSError:
        if os.getpid() == root:
            sys.exit(3)
        time.sleep(600)
    time.sleep(0.005)
time.sleep(600)
"""
HOG = """import time
rows = []
for i in range(300):
    rows.append(bytearray(b"x") * (1 << 19))
    time.sleep(0.005)
time.sleep(600)
"""
FILLER = """import time
for i in range(2000):
    open(f"f{i}", "wb").write(bytes(1 << 20))
time.sleep(600)
"""
DAEMON = """import os, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
for fd in range(3):
    os.close(fd)
open("up", "w").close()
time.sleep(600)
"""
# step: keys, command, state, class, part of the reason
STEPS = {
    "bomb": ("resources: { pids: 40 }", "exec python3 bomb.py", "failed", "exit", "limit"),
    "hog": ("resources: { memory: 64MiB }", "exec python3 hog.py", "failed", "oom", "memory"),
    "filler": ("resources: { disk: 8MiB }", "exec python3 filler.py", "failed", "disk", "quota"),
    "silent": ("stall_timeout: 300ms\n    grace: 100ms", "sleep 1000", "failed", "stalled", "log nor its metrics"),
    "daemon": ("", "python3 daemon.py; until test -e up; do sleep 0.01; done", "succeeded", None, ""),
    "stubborn": ("timeout: 300ms\n    grace: 100ms", "trap '' TERM; setsid sleep 1000 & while :; do sleep 9; done",
                 "failed", "timeout", "timeout"),
    "mute": ("", "exec >&- 2>&-; sleep 0.2; exit 0", "succeeded", None, ""),
    "regicide": ("", "setsid sleep 1000 & sleep 1000 & kill -KILL $PPID; sleep 1000", "failed", "lost", "shim was killed"),
}


def fail(text):
    print("FAIL:", text, file=sys.stderr)
    sys.exit(1)


def pipeline(strict):
    text = "apiVersion: sluice/v1\nkind: Pipeline\nname: unruly\ndefaults: { cache: off, retry: { max: 0 }"
    text += ", sandbox: strict }\nsteps:\n" if strict else " }\nsteps:\n"
    for name, (keys, command, _, _, _) in STEPS.items():
        if strict and name == "regicide":
            continue  # the shim cannot be seen from inside
        text += f"  {name}:\n" + (f"    {keys}\n" if keys else "") + f"    run: |\n      {command}\n"
    return text


def left_processes(data):
    """Living processes that work in the data directory or were started by one of its attempts."""
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(path + "/environ", "rb") as f:
                marked = data.encode() in f.read()
            if marked or os.readlink(path + "/cwd").startswith(data):
                found.append(path)
        except OSError:
            continue
    return found


def check(data, db_steps, strict):
    for name, (_, _, state, cls, part) in STEPS.items():
        if strict and name == "regicide":
            continue
        got = db_steps.get(name)
        if got is None:
            fail(f"{name} did not run")
        if got[0] != state or (cls is not None and got[1] != cls) or part not in (got[2] or ""):
            fail(f"{name}: {got}, expected {state}, {cls}, '{part}'")
    if left_processes(data):
        fail(f"processes are left: {left_processes(data)}")
    parts = [p for p in glob.glob(data + "/runs/*/*/*") if os.path.basename(p) in ("work", "tmp", "in", "out")]
    if parts:
        fail(f"directories are left: {parts}")


def run(mode, wrap, strict):
    work = tempfile.mkdtemp()
    try:
        for name, text in (("bomb.py", BOMB), ("hog.py", HOG), ("filler.py", FILLER), ("daemon.py", DAEMON),
                           ("pipeline.yml", pipeline(strict))):
            with open(os.path.join(work, name), "w") as f:
                f.write(text)
        env = {k: v for k, v in os.environ.items() if k != "SLUICE_DATA"}
        out = subprocess.run(wrap + [BIN, "run", "pipeline.yml"], cwd=work, env=env, timeout=WAIT_S,
                             capture_output=True, text=True)
        if out.returncode != 1:
            fail(f"{mode}: exit code {out.returncode}: {out.stdout}{out.stderr}")
        db = sqlite3.connect(f"file:{work}/.sluice/sluice.db?mode=ro", uri=True)
        rows = db.execute("SELECT s.key, s.state, a.class, a.reason, a.identity FROM step s LEFT JOIN attempt a "
                          "ON a.run_id = s.run_id AND a.step = s.step")
        steps = {}
        modes = set()
        groups = []
        for key, state, cls, reason, identity in rows:
            steps[key] = (state, cls, reason)
            modes.add(json.loads(identity)["mode"])
            groups += json.loads(identity)["cgroup"].split(":")
        db.close()
        check(os.path.realpath(work) + "/.sluice", steps, strict)
        left = [g for g in groups if g and os.path.exists(g)]
        if left:
            fail(f"{mode}: control groups are left: {left}")
        print(f"containment, {mode}: {len(steps)} steps, control groups {'/'.join(sorted(modes))}")
    finally:
        shutil.rmtree(work)


def can(command):
    try:
        return subprocess.run(command, capture_output=True, timeout=WAIT_S).returncode == 0
    except OSError:
        return False


def main():
    run("as the machine is", [], False)
    hide = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/sys/fs/cgroup"]
    strict = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc",
              "true"]
    if can(hide + ["true"]):
        run("without control groups", hide, False)
    elif "CI" in os.environ:
        fail("control groups cannot be hidden")
    if can(strict):
        run("in the sandbox", [], True)
    elif "CI" in os.environ:
        fail("no sandbox can be made")
    else:
        print("skipped: sandboxes cannot be made on this machine")


main()
