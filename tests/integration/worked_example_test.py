"""The worked example of the language as it was designed, without triggers and canary traffic: an environment from a
lock, fan-out over GPUs with checkpoints, a gate against the champion, an approval, a deployment, an undo that is
not needed, and a message at the end. Two rounds: nothing is champion yet, then one is."""
import http.server
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

SLUICE = os.path.abspath(os.environ["SLUICE_BIN"])

PIPELINE = """
apiVersion: sluice/v1
kind: Pipeline
name: churn
include: [target.yml]
params:
  epochs: { type: int, default: 12, min: 1, max: 200 }
  lr:     { type: float, default: 0.0003 }
concurrency: { group: churn, limit: 1, on_conflict: queue, max_queued: 20 }
defaults:
  runtime: { venv: requirements.lock }
  retry: { max: 2, on: [infra, lost], backoff: { initial: 10s, factor: 2, max: 5m } }
  timeout: 1h
steps:
  prepare:
    run: python src/prep.py --labels "$SLUICE_IN_labels" --out "$SLUICE_OUT_train"
    code: [src/prep.py, src/lib]
    inputs:  { labels: { dataset: churn/labels@latest } }
    outputs: { train: { dataset: churn/train }, heldout: { dataset: churn/heldout } }
    cache: auto
  train:
    matrix: { seed: [1, 2, 3], max_parallel: 2, fail_fast: false }
    inputs: { train: "${{ steps.prepare.outputs.train }}" }      # implies needs: prepare
    env: { EPOCHS: "${{ params.epochs }}", LR: "${{ params.lr }}", SEED: "${{ matrix.seed }}" }
    run: python train.py --epochs "$EPOCHS" --lr "$LR" --seed "$SEED"
    code: [train.py]
    resources: { gpu: { count: 2, memory: 40GB.., mig: forbid }, cpu: 1, memory: 256MB, priority: 50 }
    checkpoint: ckpt/                  # kept across attempts; enables preemption
    outputs: { model: { model: churn, path: model/ } }
    retry: { max: 5, on: [infra, lost, preempted, oom] }
    stall_timeout: 20m
    timeout: 6h
  validate:
    inputs: { models: "${{ steps.train.outputs.model[*] }}", data: "${{ steps.prepare.outputs.heldout }}" }
    command: [python, evaluate.py, --pick-best, --report, report.json]
    code: [evaluate.py]
    outputs: { best: { model: churn }, report: { metrics: report.json } }
  gate:
    gate:
      candidate: "${{ steps.validate.outputs.best }}"
      champion: churn@champion
      no_champion: pass
      on: "${{ steps.prepare.outputs.heldout }}"   # both sides judged on the same data
      evaluate: validate                          # rerun with the champion if it lacks that evaluation
      require:
        - candidate.auc >= champion.auc - 0.002
        - candidate.ece <= 0.05
        - candidate.slices.all(s, s.recall >= 0.80)
  approve:
    needs: [gate]
    approval: { from: role:ml-leads, quorum: 1, deny_requester: true, timeout: 24h, on_timeout: reject }
  canary:
    needs: [approve]
    effects: external                  # never cached, never retried blindly
    deploy:
      target: churn-api
      model: "${{ steps.validate.outputs.best }}"
      then: { alias: champion }
  undo:
    needs: [canary]
    if: steps.canary.status == "failed"
    rollback: { of: steps.canary }
finally:
  tell: { notify: { webhook: ops-chat, text: "churn ${{ run.number }}: ${{ run.status }}" } }
"""

TARGET = """
apiVersion: sluice/v1
kind: Target
name: churn-api
type: directory
path: ../live
"""

PROJECT = """
apiVersion: sluice/v1
kind: Project
name: churn
groups: { ml-leads: [user:APPROVER] }
environments:
  prod: { targets: [churn-api], approval: { from: role:ml-leads, quorum: 1, deny_requester: DENY } }
channels: { ops-chat: { webhook: { url: "http://127.0.0.1:PORT/hook" } } }
"""

PREP = """
import argparse, os, sys
sys.path.insert(0, os.path.dirname(__file__))
from lib import split
p = argparse.ArgumentParser()
p.add_argument("--labels"); p.add_argument("--out")
a = p.parse_args()
assert sys.prefix != sys.base_prefix, "not in an environment"
source = a.labels if os.path.isfile(a.labels) else os.path.join(a.labels, os.listdir(a.labels)[0])
train, heldout = split.halves(open(source).read().split())
open(a.out, "w").write("\\n".join(train))
open(os.environ["SLUICE_OUT_heldout"], "w").write("\\n".join(heldout))
"""

SPLIT = """
def halves(rows):
    return rows[::2], rows[1::2]
"""

TRAIN = """
import argparse, os
p = argparse.ArgumentParser()
p.add_argument("--epochs", type=int); p.add_argument("--lr", type=float); p.add_argument("--seed", type=int)
a = p.parse_args()
assert len(os.environ["CUDA_VISIBLE_DEVICES"].split(",")) == 2, os.environ["CUDA_VISIBLE_DEVICES"]
os.makedirs("ckpt", exist_ok=True)
with open(os.environ["SLUICE_METRICS"], "a") as out:
    for epoch in range(a.epochs):
        out.write('{"loss": %g, "step": %d}\\n' % (1 / (epoch + a.seed), epoch))
        open("ckpt/epoch", "w").write(str(epoch))
os.makedirs("model")
open("model/weights.txt", "w").write("%g" % (0.80 + a.seed / 100 + a.epochs / 1000))
"""

EVALUATE = """
import argparse, json, os, shutil
p = argparse.ArgumentParser()
p.add_argument("--pick-best", action="store_true"); p.add_argument("--report")
a = p.parse_args()
root = os.environ["SLUICE_IN_models"]
single = os.path.exists(os.path.join(root, "weights.txt"))
found = [root] if single else [os.path.join(root, d) for d in sorted(os.listdir(root))]
auc = lambda path: float(open(os.path.join(path, "weights.txt")).read())
best = max(found, key=auc)
with open(a.report, "w") as out:
    out.write(json.dumps({"auc": auc(best), "ece": 0.01}) + "\\n")
    for name in ("age=65+", "age=18-25"):
        out.write(json.dumps({"slice": name, "recall": 0.9}) + "\\n")
shutil.copytree(best, os.environ["SLUICE_OUT_best"], copy_function=shutil.copyfile)
"""


def die(text):
    print("FAIL:", text, file=sys.stderr)
    sys.exit(1)


def check(condition, text):
    if not condition:
        die(text)


class Hook(http.server.BaseHTTPRequestHandler):
    texts, came = [], threading.Condition()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with Hook.came:
            Hook.texts.append(body.decode())
            Hook.came.notify_all()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Place:
    def __init__(self, top, port):
        self.two = os.geteuid() == 0 and shutil.which("setpriv") is not None
        self.me = pwd.getpwuid(os.geteuid()).pw_name
        self.approver = "daemon" if self.two else self.me
        self.dir = os.path.join(top, "repo")
        self.data = os.path.join(top, "repo", ".sluice")
        os.makedirs(os.path.join(self.dir, "src/lib"))
        pipeline = PIPELINE
        if not self.two:
            pipeline = pipeline.replace("deny_requester: true", "deny_requester: false")
        project = PROJECT.replace("APPROVER", self.approver).replace("PORT", str(port))
        for name, text in {"pipeline.yml": pipeline, "target.yml": TARGET, "requirements.lock": "",
                           "project.yml": project.replace("DENY", "true" if self.two else "false"),
                           "src/prep.py": PREP, "src/lib/split.py": SPLIT, "train.py": TRAIN,
                           "evaluate.py": EVALUATE,
                           "labels.txt": "\n".join(str(n) for n in range(100))}.items():
            with open(os.path.join(self.dir, name), "w", encoding="utf-8") as out:
                out.write(text.lstrip("\n"))
        gpus = [{"index": n, "uuid": f"GPU-{n}", "name": "Fake 80", "memory_bytes": 80 << 30,
                 "processes": 0} for n in range(4)]
        self.gpus = os.path.join(top, "gpus.json")
        with open(self.gpus, "w", encoding="utf-8") as out:
            json.dump({"gpus": gpus}, out)
        self.env = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": top, "LANG": "C.UTF-8",
                    "SLUICE_GPU_INVENTORY": self.gpus, "SLUICE_NOTIFY_ALLOW": "http,loopback"}

    def run(self, *args, user=None):
        command = [SLUICE, "--data", self.data, *args]
        if user is not None and self.two:
            entry = pwd.getpwnam(user)
            command = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}",
                       "--clear-groups", *command]
        done = subprocess.run(command, cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
        return done.returncode, done.stdout.decode()

    def expect(self, status, needle, *args, **how):
        code, text = self.run(*args, **how)
        if code != status or needle not in text:
            die(f"{args}: exit {code}, expected {status} and '{needle}':\n{text}\n"
                f"{self.run('show', 'last')[1]}\n{self.run('logs', 'last')[1]}")
        return text

    def states(self):
        run = json.loads(self.expect(0, "", "--json", "show", "last"))
        return {s["key"]: s["state"] for s in run["steps"]}


def one_round(p, number, numbers, *params):
    p.expect(4, f"churn#{number}/approve awaits approval of", "run", "pipeline.yml", *params)
    if p.two:
        p.expect(3, "may not decide this", "approve", "last/approve")
    inbox = p.expect(0, "candidate.slices.all", "inbox", user=p.approver)
    check("churn-api" in inbox and numbers in inbox, inbox)
    p.expect(0, "approved", "approve", "last/approve", "--reason", "numbers checked", user=p.approver)
    p.expect(0, "succeeded", "resume", f"churn#{number}")
    states = p.states()
    for step in ("prepare", "gate", "approve", "canary", "tell"):
        check(states[step] in ("succeeded", "cached"), f"{step} is {states[step]}")
    check(states["undo"] == "skipped", f"undo is {states['undo']}")
    check(sum(1 for k, s in states.items() if k.startswith("train[") and s == "succeeded") == 3, str(states))


def main():
    top = tempfile.mkdtemp(prefix="worked.")
    os.chmod(top, 0o755)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    p = Place(top, server.server_port)
    engine = None
    try:
        p.expect(0, "in force", "project", "apply", "project.yml")
        p.expect(0, "v1", "data", "add", "churn/labels", "labels.txt")
        group = ["--group", p.approver] if p.two else []
        engine = subprocess.Popen([SLUICE, "--data", p.data, "serve", *group], cwd=p.dir, env=p.env,
                                  stdout=subprocess.PIPE)
        check(engine.stdout.readline().startswith(b"serving"), "serve did not start")
        one_round(p, 1, "churn@champion names no version yet")
        # better, and judged against the champion of round one
        one_round(p, 2, "candidate.auc = 0.85 >= champion.auc - 0.002", "-p", "epochs=20")
        lineage = p.expect(0, "approved by", "lineage", "churn-api")
        check("churn/labels" in lineage and "environment" in lineage.lower(), lineage)
        p.expect(0, "is live", "rollback", "churn-api", "--reason", "try it")
        with Hook.came:
            told = Hook.came.wait_for(lambda: len(Hook.texts) >= 2, timeout=20)
        check(told, f"messages that came: {Hook.texts}")
        check("churn 1: succeeded" in Hook.texts[0] and "churn 2: succeeded" in Hook.texts[1],
              str(Hook.texts))
    finally:
        if engine is not None:
            engine.send_signal(signal.SIGTERM)
            engine.communicate(timeout=60)
        server.shutdown()
        subprocess.run(["chmod", "-R", "u+w", top], check=False)
        shutil.rmtree(top, ignore_errors=True)
    print(f"worked example: two rounds, {'two users' if p.two else 'one user (not root)'}, message delivered")


main()
