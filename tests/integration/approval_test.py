"""Approvals on the real binary: waiting with exit status 4, two users over a shared socket, everything that is
denied and that this stands in the audit log, expiry, what voids, the deploy door, rollback, kills in between."""
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading

SLUICE = os.path.abspath(os.environ["SLUICE_BIN"])
EXAMPLE = os.path.abspath("pipelines/examples/approval")
checks = 0


def die(text):
    print("FAIL:", text, file=sys.stderr)
    sys.exit(1)


def check(condition, text):
    global checks
    checks += 1
    if not condition:
        die(text)


class Place:
    """A folder with the example, its project naming these approvers."""

    def __init__(self, root, name, leads, edit=lambda text: text):
        self.dir = os.path.join(root, name)
        shutil.copytree(EXAMPLE, self.dir)
        self.data = os.path.join(self.dir, ".sluice")
        self.write("project.yml", re.sub(r"\[user:ana, user:bo\]", leads, self.read("project.yml")))
        self.write("pipeline.yml", edit(self.read("pipeline.yml")))

    def read(self, name):
        with open(os.path.join(self.dir, name), encoding="utf-8") as file:
            return file.read()

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as file:
            file.write(text)

    def run(self, *args, uid=None, groups=(), fault=None):
        """Exit status and both outputs as one text."""
        env = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": "/", "LANG": "C.UTF-8"}
        if fault:
            env["SLUICE_FAULT"] = fault
        command = [SLUICE, "--data", self.data, *args]
        if uid is not None:
            keep = ["--groups", ",".join(groups)] if groups else ["--clear-groups"]
            command = ["setpriv", f"--reuid={uid}", f"--regid={pwd.getpwnam(uid).pw_gid}", *keep, *command]
        done = subprocess.run(command, cwd=self.dir, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                              check=False)
        return done.returncode, done.stdout.decode()

    def expect(self, status, needle, *args, **how):
        code, text = self.run(*args, **how)
        check(code == status, f"{args}: exit {code}, expected {status}:\n{text}")
        check(needle in text, f"{args}: expected '{needle}' in:\n{text}")
        return text

    def json(self, *args, **how):
        code, text = self.run("--json", *args, **how)
        check(code == 0, f"{args}: exit {code}: {text}")
        return json.loads(text)

    def state(self, step, run="last"):
        steps = {s["key"]: s for s in self.json("show", run)["steps"]}
        return steps[step]["state"]

    def acts(self, act):
        """Entries of the audit log with that act, read straight from the database."""
        db = sqlite3.connect(f"file:{self.data}/sluice.db?mode=ro", uri=True)
        n = sum(1 for (leaf,) in db.execute("SELECT leaf FROM audit_entry")
                if json.loads(leaf)["act"] == act)
        db.close()
        return n

    def ask(self, method, path, body=None):
        """One request on the socket, as this process."""
        conn = http.client.HTTPConnection("localhost")
        conn.sock = socket.socket(socket.AF_UNIX)
        conn.sock.connect(os.path.join(self.data, "sock"))
        conn.request(method, path, body=json.dumps(body) if body is not None else None,
                     headers={"Content-Type": "application/json"})
        answer = conn.getresponse()
        text = answer.read().decode()
        conn.close()
        return answer.status, text


class Served:
    """`sluice serve` in that place, for a Unix group."""

    def __init__(self, place, group):
        self.process = subprocess.Popen([SLUICE, "--data", place.data, "serve", "--group", group],
                                        cwd=place.dir, stdout=subprocess.PIPE,
                                        env={"PATH": os.environ["PATH"], "TERM": "dumb"})

    def __enter__(self):
        line = self.process.stdout.readline()
        check(line.startswith(b"serving"), f"serve said {line}")
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)


def me_too(text):
    """Whoever asks may approve: for what one user can try."""
    return text.replace("deny_requester: true", "deny_requester: false")


def alone(root, me):
    """One user: waits, exit 4; denied to who asks; allowed when the rule allows; deploys; again; rollback."""
    p = Place(root, "alone", f"[user:{me}]")
    p.expect(0, "generation 1 is in force", "project", "apply", "project.yml")
    p.expect(0, "was in force already", "project", "apply", "project.yml")
    text = p.expect(4, "approval#1/approve awaits approval of default/approval-demo@v1 for "
                       "approval-api by 1 of role:ml-leads", "run", "pipeline.yml")
    check("then: sluice resume" in text, "no word about how to go on")
    check(p.state("approve") == "awaiting_approval", "the step does not show that it waits")
    check(p.state("deploy") == "pending", "something ran ahead of the approval")
    p.expect(4, "awaits approval", "resume")  # nothing was said: it waits on
    p.expect(3, "asked for this; somebody else has to approve", "approve", "last/approve")
    p.expect(0, "nothing waits for", "inbox")
    p.expect(0, "candidate.quality = 0.9 >= 0.5", "inbox", "--all")
    p.expect(2, "expected RUN/STEP", "approve", "last")
    p.expect(2, "asked for no approval", "approve", "last/train")
    check(p.acts("approval.denied") == 1, "the denied attempt is not in the audit log")

    q = Place(root, "both", f"[user:{me}]", me_too)
    q.write("project.yml", q.read("project.yml").replace("quorum: 1 }", "quorum: 1, deny_requester: false }"))
    q.expect(0, "in force", "project", "apply", "project.yml")
    q.expect(4, "awaits approval", "run", "pipeline.yml")
    q.expect(0, "approval#1/approve", "inbox")
    q.expect(0, "default/approval-demo@v1 for approval-api: approved", "approve", "last/approve",
             "--reason", "numbers checked")
    q.expect(3, "is approved already", "approve", "last/approve")
    q.expect(0, "live on approval-api: default/approval-demo@v1, from this run", "resume")
    check(os.path.exists(os.path.join(q.dir, "live/current")), "nothing is live")
    q.expect(0, "numbers checked", "why", "last/approve")
    lineage = q.expect(0, "approved by", "lineage", "approval-api")
    check("approval of default/approval-demo@v1 for approval-api" in lineage, lineage)
    check(re.search(r"approved by \[approved\] principal \w+ \(p_", lineage), lineage)  # a person, by name
    # the same again changes nothing, so nobody is asked
    q.expect(0, "unchanged", "run", "pipeline.yml")
    check(q.state("approve") == "unchanged" and q.state("deploy") == "unchanged", "asked again")
    # another model asks again, and a rollback to what was approved does not wait for anybody
    q.expect(4, "default/approval-demo@v2", "run", "pipeline.yml", "-p", "quality=0.95")
    q.expect(0, "approved", "approve", "last/approve")
    q.expect(0, "@v2", "resume")
    q.expect(0, "default/approval-demo@v1 is live", "rollback", "approval-api")
    q.expect(0, "intact", "audit", "verify")
    door(q)


def door(p):
    """The target's environment demands an approval, whatever the pipeline says."""
    text = p.read("pipeline.yml")
    bare = re.sub(r"\n  approve:\n.*?\n\n", "\n", text, flags=re.S).replace("[approve]", "[gate]")
    check("approval:" not in bare.split("steps:")[1], "the approval step is still there")
    p.write("bare.yml", bare)
    p.expect(3, "target approval-api needs an approval", "run", "bare.yml", "-p", "quality=0.97")
    p.expect(3, "needs an approval", "run", "bare.yml", "-p", "quality=0.98", "--override",
             "--reason", "one person's word")
    check("v1" in p.expect(0, "approval-api", "deployments"), "something went live")


def until_decided(p, needle):
    """Runs, and resumes until the deadline has passed: each look takes a part of it."""
    code, text = p.run("run", "pipeline.yml")
    for _ in range(200):
        if code != 4:
            break
        code, text = p.run("resume")
    check(code == 3 and needle in text, f"exit {code}, expected '{needle}' in: {text}")


def expiry_and_rejection(root, me):
    p = Place(root, "late", f"[user:{me}]",
              lambda text: me_too(text).replace("timeout: 24h", "timeout: 100ms"))
    p.expect(0, "in force", "project", "apply", "project.yml")
    until_decided(p, "expired: nobody decided in time")
    check(p.state("approve") == "refused", "an expired approval is a no")
    check(p.acts("approval.expire") == 1, "the expiry is not in the audit log")
    p.expect(3, "is expired already", "approve", "last/approve")
    p.write("pipeline.yml", p.read("pipeline.yml").replace("on_timeout: reject", "on_timeout: approve"))
    # silence means yes for the step; the environment wants people all the same
    until_decided(p, "needs an approval")

    q = Place(root, "no", f"[user:{me}]", me_too)
    q.expect(0, "in force", "project", "apply", "project.yml")
    q.expect(4, "awaits", "run", "pipeline.yml")
    q.expect(2, "a rejection needs a reason", "reject", "last/approve")
    q.expect(0, "rejected", "reject", "last/approve", "--reason", "too old")
    q.expect(3, "too old", "resume")
    check(q.state("deploy") == "omitted", "deployed although rejected")
    q.expect(4, "awaits", "run", "pipeline.yml")


def cancelled(root, me):
    """Nobody has to stay for a run to be cancelled while it waits; nobody is asked about it afterwards."""
    p = Place(root, "cancel", f"[user:{me}]", me_too)
    p.expect(0, "in force", "project", "apply", "project.yml")
    p.expect(4, "\n  awaiting       approve ", "run", "pipeline.yml")
    p.expect(0, "running, awaiting approval (sluice inbox)", "show", "last")
    p.expect(0, "cancelled", "cancel", "last")
    check(p.state("approve") == "cancelled", "the step is not cancelled")
    p.expect(0, "nothing waits for anybody", "inbox", "--all")
    p.expect(3, "is void already", "approve", "last/approve")
    check(p.acts("approval.void") == 1, "not in the audit log")


def void_by_verdict(root, me):
    """A later gate refuses the candidate: the open request is void, and the step asks anew."""
    p = Place(root, "void", f"[user:{me}]", me_too)
    p.expect(0, "in force", "project", "apply", "project.yml")
    p.expect(4, "awaits", "run", "pipeline.yml")
    stricter = p.read("pipeline.yml").replace("name: approval\n", "name: strict\n", 1)
    p.write("strict.yml", stricter.replace("candidate.quality >= 0.5", "candidate.quality >= 0.99"))
    # its steps are served from the cache, so that the same version is judged
    code, text = p.run("run", "strict.yml")
    check(code in (3, 4), f"exit {code}: {text}")
    check(p.state("gate", "strict#1") == "refused", "the stricter gate let it through")
    p.expect(3, "the request is void: the evidence", "approve", "approval#1/approve")
    check(p.acts("approval.void") == 1, "not in the audit log")
    p.expect(4, "awaits approval", "resume")
    check(p.acts("approval.request") == 2, "the step did not ask anew")
    p.expect(0, "approved", "approve", "approval#1/approve")
    p.expect(3, "the gate's latest verdict", "resume")


LOST = """
apiVersion: sluice/v1
kind: Pipeline
name: lost
defaults: { env: { DIR: "PLACE" } }
steps:
  pay:
    effects: external
    run: |
      echo paid >> "$DIR/ledger"
      if [ -e "$DIR/wipe" ]; then cd .. && rm -rf ./*; fi
  after: { needs: [pay], run: "echo after" }
"""


def without_gate(root, me):
    """What is deployed after the step is what is approved."""
    p = Place(root, "nogate", f"[user:{me}]",
              lambda text: re.sub(r"\n  gate:\n.*?\n\n", "\n", me_too(text), flags=re.S)
              .replace("needs: [gate]", "needs: [train]").replace("      then: { alias: champion }\n", ""))
    p.write("project.yml", p.read("project.yml").replace("quorum: 1 }", "quorum: 1, deny_requester: false }"))
    p.write("target.yml", p.read("target.yml") + "protected: false\n")
    p.expect(0, "in force", "project", "apply", "project.yml")
    p.expect(4, "approval of default/approval-demo@v1 for approval-api", "run", "pipeline.yml")
    p.expect(0, "asks 1 of role:ml-leads", "why", "last/approve")
    p.expect(0, "approved", "approve", "last/approve")
    p.expect(0, "succeeded", "resume")
    check(p.state("deploy") == "succeeded", "not deployed")


def queued_behind(root, me):
    """A run that waits for room in its group, taken by one that awaits people, cannot go on here either."""
    p = Place(root, "group", f"[user:{me}]", lambda text: me_too(text).replace(
        "steps:\n", "concurrency: { group: g, limit: 1 }\nsteps:\n", 1))
    p.write("project.yml", p.read("project.yml").replace("quorum: 1 }", "quorum: 1, deny_requester: false }"))
    p.expect(0, "in force", "project", "apply", "project.yml")
    p.expect(4, "approval#1/approve awaits", "run", "pipeline.yml")
    p.expect(4, "approval#1/approve awaits", "run", "pipeline.yml")
    p.expect(0, f"1 of role:ml-leads ({me})", "inbox")
    p.expect(0, "approved", "approve", "approval#1/approve")
    p.expect(0, "", "resume")
    check(p.state("deploy", "approval#1") == "succeeded", "the first did not go on")
    check(p.state("approve", "approval#2") == "unchanged", "the second asked for what is live")


def lost_steps(root):
    """A step with an external effect that was lost from sight: a person says what happened, retry obeys."""
    for word, paid in (("approve", 1), ("reject", 2)):
        p = Place(root, f"lost-{word}", "[user:ana]")
        p.write("lost.yml", LOST.replace("PLACE", p.dir))
        p.write("wipe", "")
        p.expect(4, "needs_decision", "run", "lost.yml")
        p.expect(0, "lost#1/pay: did its effect happen?", "inbox")
        p.expect(2, "say how you know", word, "lost#1/pay")
        p.expect(0, "next: sluice retry 'lost#1'", word, "lost#1/pay", "--reason", "looked at the ledger")
        p.expect(3, "was decided already", word, "lost#1/pay", "--reason", "again")
        p.expect(0, "nothing waits", "inbox")
        os.unlink(os.path.join(p.dir, "wipe"))
        p.expect(0, "succeeded", "retry", "lost#1")
        check(p.state("pay") == ("unchanged" if word == "approve" else "succeeded"), word)
        check(p.state("after") == "succeeded", word)
        check(p.read("ledger") == "paid\n" * paid, f"{word}: {p.read('ledger')}")
        check(p.acts("step.decide") == 1, "the decision is not in the audit log")


def two_users(root):
    """Root runs the engine; daemon may approve; bin reaches the socket and is nobody here."""
    p = Place(root, "shared", "[user:daemon, user:root]")
    p.expect(0, "in force", "project", "apply", "project.yml")
    with Served(p, "daemon"):
        check(os.stat(p.data).st_mode & 0o777 == 0o710, "mode of the data directory")
        check(os.stat(p.data + "/sock").st_mode & 0o777 == 0o660, "mode of the socket")
        p.expect(4, "the engine that serves here goes on by itself", "run", "pipeline.yml")
        p.expect(5, "", "inbox", uid="nobody")
        who = {"uid": "bin", "groups": ["daemon"]}
        p.expect(0, "nothing waits for bin", "inbox", **who)
        p.expect(3, "bin may not decide this: it takes role:ml-leads", "approve", "last/approve", **who)
        p.expect(3, "it is for the user who runs the engine", "cancel", "last", **who)
        p.expect(3, "it is for the user who runs the engine", "project", "apply", "project.yml", **who)
        # a name in the request is nobody's word
        status, text = p.ask("POST", "/api/v1/runs/last/vote",
                             {"step": "approve", "approve": True, "actor": "daemon", "voter": "daemon"})
        check(status == 403 or status == 409, f"{status} {text}")
        check("root asked for this" in text, text)
        status, text = p.ask("POST", "/api/v1/runs/last/vote", {"step": "approve"})
        check(status == 400 and "'approve' is missing" in text, f"{status} {text}")
        p.expect(0, "candidate.quality = 0.9", "inbox", uid="daemon")
        p.expect(0, "the engine goes on", "approve", "last/approve", "--reason", "fine", uid="daemon")
        p.expect(0, "", "resume", "approval#1")
    check(os.stat(p.data).st_mode & 0o777 == 0o700, "the data directory stayed open")
    approval = p.json("lineage", "approval-api", "--format", "json")
    names = json.dumps(approval)
    check("approval of default/approval-demo@v1 for approval-api" in names, names)
    check(p.state("approve") == "succeeded" and p.state("deploy") == "succeeded", "it did not go on")
    check(p.acts("approval.denied") == 2, "denied attempts in the audit log")
    p.expect(0, "intact", "audit", "verify")


def race(root):
    """Two people at the same moment, one of them against: one word decides, the other is denied."""
    p = Place(root, "race", "[user:daemon, user:bin]")
    p.expect(0, "in force", "project", "apply", "project.yml")
    with Served(p, "daemon"):
        for n in range(1, 7):
            p.expect(4, "awaits", "run", "pipeline.yml", "-p", f"quality=0.9{n}")
            words = {"daemon": "approve", "bin": "approve" if n % 2 else "reject"}
            codes = {}

            def say(user, codes=codes, words=words):
                codes[user], _ = p.run(words[user], "last/approve", "--reason", "mine", uid=user,
                                       groups=["daemon"])

            both = [threading.Thread(target=say, args=(user,)) for user in words]
            for one in both:
                one.start()
            for one in both:
                one.join()
            check(sorted(codes.values()) == [0, 3], f"round {n}: {codes}")
            winner = min(codes, key=codes.get)
            p.run("resume", f"approval#{n}")
            state = "succeeded" if words[winner] == "approve" else "refused"
            check(p.state("approve") == state, f"round {n}: {winner} won, yet it is {p.state('approve')}")
            check(p.acts("approval.denied") == n, "a denied vote is not in the audit log")


def kills(root, me):
    """Killed after any commit, on either side: one request, one vote, one deployment."""
    n_kills = 0
    for side in ("run", "approve", "resume"):
        for n in range(1, 60, 3 if side == "run" else 1):
            p = Place(root, f"kill-{side}-{n}", f"[user:{me}]", me_too)
            p.write("project.yml", p.read("project.yml").replace("quorum: 1 }", "quorum: 1, deny_requester: false }"))
            p.expect(0, "in force", "project", "apply", "project.yml")
            fault = f"db.committed:{n}:kill"
            code, _ = p.run("run", "pipeline.yml", fault=fault if side == "run" else None)
            hit = code < 0 or code == 137
            if code != 4:
                runs = p.json("ls")["runs"] if os.path.exists(p.data + "/sluice.db") else []
                code, text = p.run("resume") if runs else p.run("run", "pipeline.yml")
                check(code == 4, f"after {fault} in run: {code} {text}")
            waiting = p.json("inbox")["waiting"]
            check(len(waiting) == 1, f"after {fault} in {side}: {waiting}")
            code, text = p.run("approve", "last/approve", fault=fault if side == "approve" else None)
            hit = hit or code < 0 or code == 137
            if code != 0:
                code, text = p.run("approve", "last/approve")
                check(code == 0 or "approved already" in text, f"after {fault} in approve: {text}")
            code, text = p.run("resume", fault=fault if side == "resume" else None)
            hit = hit or code < 0 or code == 137
            if code != 0:
                code, text = p.run("resume")
                check(code == 0, f"after {fault} in resume: {code} {text}")
            check(p.state("deploy") == "succeeded", f"after {fault} in {side}: {p.run('show', 'last')}")
            check(p.acts("approval.request") == 1, f"after {fault} in {side}: asked twice")
            check(p.acts("approval.approve") == 1, f"after {fault} in {side}: voted twice")
            p.expect(0, "intact", "audit", "verify")
            shutil.rmtree(p.dir, ignore_errors=True)
            if not hit:
                break
            n_kills += 1
    return n_kills


def main():
    root = tempfile.mkdtemp(prefix="approval.")
    os.chmod(root, 0o755)
    try:
        me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        alone(root, me)
        expiry_and_rejection(root, me)
        void_by_verdict(root, me)
        cancelled(root, me)
        lost_steps(root)
        without_gate(root, me)
        queued_behind(root, me)
        if os.geteuid() == 0 and shutil.which("setpriv"):
            two_users(root)
            race(root)
        else:
            print("SKIP two users: needs root and setpriv")
        n = kills(root, me)
        check(n >= 10, f"only {n} kills struck")
    finally:
        subprocess.run(["chmod", "-R", "u+w", root], check=False)
        shutil.rmtree(root, ignore_errors=True)
    print(f"approvals: {checks} checks, {n} kills")


main()
