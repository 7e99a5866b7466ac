"""A thirty-step pipeline that leaves evidence outside the engine, and the checks that the evidence must pass.

Each executed attempt appends one line to a ledger file and numbers its log lines, so that what ran is
known without asking the engine. Shared by kill_test.py and disk_full_test.py.
"""
import collections
import glob
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

BIN = os.path.abspath(os.environ.get("SLUICE_BIN", "build/dev/sluice"))
FAN, CHAIN, LINES = 13, 8, 5
N_STEPS = FAN + CHAIN + 9
WAIT_S = 120
PREFIX = 32  # bytes before the content of a log line
FINAL = ("succeeded", "cached", "unchanged", "skipped", "omitted", "failed", "refused", "cancelled",
         "needs_decision")
SAY = """printf '%s %s %s\\n' "$SLUICE_ATTEMPT_ID" "$SLUICE_STEP" "$$" >> "$LEDGER"
      i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo "line $i"; done
"""


def step(name, body, *keys, env=""):
    """One step that leaves its evidence, then does `body`."""
    lines = [f"  {name}:", f'    env: {{ LEDGER: "@/ledger"{env} }}']
    lines += [f"    {key}" for key in keys]
    return "\n".join(lines) + "\n    run: |\n      " + SAY + "      " + body + "\n"


def one(name, ref):
    return f'{name}: "${{{{ steps.{ref} }}}}"'


def pipeline_text():
    """Thirty steps: a matrix, a chain, a retry, a gate, a deployment, and one that runs until let go."""
    text = "apiVersion: sluice/v1\nkind: Pipeline\nname: thirty\ninclude: [target.yml]\nsteps:\n"
    text += step("prepare", 'seq 1 100 > "$SLUICE_OUT_rows"', "outputs: { rows: { dataset: rows } }")
    text += step("hold", 'n=0; while [ ! -e "$LET_GO" ]; do n=$((n+1)); echo "turn $n"; sleep 0.05; done; '
                 'echo "turns $n"', "cache: off", env=', LET_GO: "@/let-go"')
    text += step("fan", 'echo "$N" > "$SLUICE_OUT_part"; echo "{\\"n\\": $N}" >> "$SLUICE_METRICS"',
                 f"matrix: {{ n: {list(range(FAN))} }}",
                 "inputs: { " + one("rows", "prepare.outputs.rows") + " }",
                 "outputs: { part: { artifact: part } }", env=', N: "${{ matrix.n }}"')
    text += step("sum", 'cat $(find "$SLUICE_IN_parts" -type f | sort) > "$SLUICE_OUT_total"',
                 "inputs: { " + one("parts", "fan.outputs.part[*]") + " }",
                 "outputs: { total: { artifact: total } }")
    for i in range(1, CHAIN + 1):
        before = "prepare.outputs.rows" if i == 1 else f"chain{i - 1}.outputs.link"
        text += step(f"chain{i}", f'cat "$SLUICE_IN_before" > "$SLUICE_OUT_link"; echo {i} >> "$SLUICE_OUT_link"',
                     "inputs: { " + one("before", before) + " }",
                     f"outputs: {{ link: {{ artifact: link{i} }} }}")
    text += step("flaky", 'if [ "$(grep -c " flaky " "$LEDGER")" -lt 2 ]; then exit 7; fi', "cache: off",
                 "retry: { max: 1, on: [infra, lost, error], backoff: { initial: 20ms, factor: 2, max: 1s } }")
    text += step("model", 'cat "$SLUICE_IN_total" "$SLUICE_IN_last" > "$SLUICE_OUT_model"; '
                 'echo "{\\"auc\\": 0.9}" >> "$SLUICE_METRICS"', "needs: [flaky]",
                 "inputs: { " + ", ".join((one("total", "sum.outputs.total"),
                                           one("last", f"chain{CHAIN}.outputs.link"),
                                           one("rows", "prepare.outputs.rows"))) + " }",
                 "outputs: { model: { model: thing } }")
    text += """  gate:
    gate:
      candidate: "${{ steps.model.outputs.model }}"
      on: "${{ steps.prepare.outputs.rows }}"
      require: [candidate.auc >= 0.5]
  deploy:
    needs: [gate]
    deploy:
      target: live-thing
      model: "${{ steps.model.outputs.model }}"
      then: { alias: champion }
"""
    text += step("last", ":", "needs: [deploy]")
    return text + "finally:\n" + step("report", ":")


TARGET = """apiVersion: sluice/v1
kind: Target
name: live-thing
type: directory
path: @/live
keep: 3
warmup: [/bin/true]
health: [/bin/sh, -c, "test ! -e '@/sick'"]
health_retries: 0
timeout: 30s
"""


class Place:
    """One folder with a project, its data directory, the ledger and the switches of the steps."""

    def __init__(self, top=None, sick=False, data=None):
        self.top = tempfile.mkdtemp(prefix="sluice-rig-", dir=top)
        self.project = f"{self.top}/project"
        self.data = data or f"{self.project}/.sluice"
        self.full_disk = False  # lines that a full disk refuses are dropped, and only those
        os.mkdir(self.project)
        self.write("pipeline.yml", pipeline_text())
        self.write("target.yml", TARGET)
        if sick:
            open(f"{self.top}/sick", "w", encoding="utf-8").close()

    def write(self, name, text):
        with open(f"{self.project}/{name}", "w", encoding="utf-8") as out:
            out.write(text.replace("@/", self.top + "/"))

    def command(self, *args, fault=None):
        env = {"PATH": "/usr/bin:/bin", "HOME": self.top, "SLUICE_DATA": self.data, "LC_ALL": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        if fault:
            env["SLUICE_FAULT"] = fault
        return subprocess.Popen([BIN, *args], cwd=self.project, env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")

    def call(self, *args, fault=None):
        process = self.command(*args, fault=fault)
        text, _ = process.communicate(timeout=WAIT_S)
        return process.returncode, text

    def query(self, sql, *args):
        """Rows; none while there is no such database or table."""
        try:
            db = sqlite3.connect(f"file:{self.data}/sluice.db?mode=ro", uri=True, timeout=5)
            try:
                return db.execute(sql, args).fetchall()
            finally:
                db.close()
        except sqlite3.OperationalError:
            return []

    def ledger(self):
        try:
            with open(f"{self.top}/ledger", encoding="utf-8") as lines:
                return [line.split(" ") for line in lines.read().splitlines()]
        except FileNotFoundError:
            return []

    def let_go(self):
        open(f"{self.top}/let-go", "w", encoding="utf-8").close()

    def held(self):
        """Process id of the held step's shell while it runs, else None."""
        lines = [line for line in self.ledger() if line[1] == "hold"]
        return int(lines[-1][2]) if lines and os.path.exists(f"/proc/{lines[-1][2]}") else None

    def all_but_held(self):
        marks = ",".join("?" * len(FINAL))
        rows = self.query(f"SELECT count(*) FROM step WHERE state IN ({marks})", *FINAL)
        return bool(rows) and rows[0][0] >= N_STEPS - 2

    def engine(self, *args, fault=None, kill_after_s=None, go=True):
        """Runs an engine to its end or death, letting the held step go once nothing else is left (or, with
        go=False, never). Returns its status (negative: the signal) and what it printed."""
        process = self.command(*args, fault=fault)
        start = time.monotonic()
        while True:
            try:
                text, _ = process.communicate(timeout=0.03)
                return process.returncode, text
            except subprocess.TimeoutExpired:
                pass
            passed = time.monotonic() - start
            if kill_after_s is not None and passed >= kill_after_s:
                process.kill()
                kill_after_s = None
            if go and self.all_but_held():
                self.let_go()
            if passed > WAIT_S:
                process.send_signal(signal.SIGABRT)
                text, _ = process.communicate()
                return -signal.SIGABRT, f"no end after {WAIT_S} s\n{text}"

    def has_run(self):
        return bool(self.query("SELECT 1 FROM run"))

    def remove(self):
        shutil.rmtree(self.top, ignore_errors=True)

    # ---- evidence ---------------------------------------------------------------------------------

    def end_state(self):
        """What a disturbed run must have in common with an undisturbed one."""
        return {
            "run": self.query("SELECT pipeline, number, state, n_steps FROM run ORDER BY number"),
            "steps": self.query("SELECT key, state FROM step ORDER BY key"),
            "outputs": self.query("SELECT s.key, o.name, o.entity_name, o.digest FROM step_output o JOIN step s "
                                  "USING(run_id, step) ORDER BY s.key, o.name"),
            "versions": self.query("SELECT kind, name, digest FROM registry_version ORDER BY 1, 2, 3"),
            "aliases": self.query("SELECT kind, name, alias, number, digest FROM registry_alias "
                                  "ORDER BY 1, 2, 3"),
            "metrics": self.query("SELECT s.key, t.key, t.n, count(p.id), max(p.value) FROM track_series t "
                                  "JOIN attempt a ON a.id = t.attempt_id JOIN step s ON s.run_id = a.run_id AND "
                                  "s.step = a.step LEFT JOIN track_point p ON p.series = t.id "
                                  "GROUP BY t.id ORDER BY 1, 2"),
            "evaluations": self.query("SELECT model_digest, dataset_digest, key, value FROM evaluation "
                                      "ORDER BY 1, 2, 3"),
            "deployments": self.query("SELECT kind, state, entity, number, digest FROM deployment ORDER BY seq"),
            "executed": sorted(collections.Counter(line[1] for line in self.ledger()).items()),
        }

    def problems(self):
        """Everything that must never be, as lines; empty when all is well."""
        found = []
        found += self.attempt_problems()
        found += self.store_problems()
        found += self.left_over()
        return found

    def attempt_problems(self):
        found = []
        rows = {row[0]: row[1:] for row in self.query(
            "SELECT a.id, s.key, a.state, a.class, a.exit_code, a.run_id FROM attempt a "
            "JOIN step s USING(run_id, step)")}
        ledger = self.ledger()
        for attempt, n in collections.Counter(line[0] for line in ledger).items():
            if n > 1:
                found.append(f"attempt {attempt} was executed {n} times")
        flaky = 0
        for attempt, key, _pid in ledger:
            if attempt not in rows:
                found.append(f"attempt {attempt} of {key} was executed but is not recorded")
                continue
            _, state, failure, code, run = rows[attempt]
            flaky += key == "flaky"
            want = ("failed", 7) if key == "flaky" and flaky == 1 else ("succeeded", 0)
            if (state, code) != want:
                found.append(f"attempt {attempt} of {key} is recorded as {state} {failure} {code}, not {want}")
            found += self.log_problems(run, attempt, key)
        executed = {line[0] for line in ledger}
        for attempt, (key, state, failure, _code, _run) in rows.items():
            if state in ("started", "lost"):
                found.append(f"attempt {attempt} of {key} is still {state}")
            if attempt not in executed and key not in ("gate", "deploy") and failure != "never_started":
                found.append(f"attempt {attempt} of {key} is {state} {failure} but never ran")
        for directory in glob.glob(f"{self.data}/runs/*/{'[0-9a-f]' * 32}"):
            if os.path.basename(directory) not in rows:
                found.append(f"{directory} is left of an attempt that is not recorded")
        return found

    def log_problems(self, run, attempt, key):
        try:
            with open(f"{self.data}/runs/{run}/{attempt}/log", encoding="utf-8") as log:
                lines = [line[PREFIX:] for line in log.read().splitlines() if line[28:31] == "o F"]
        except FileNotFoundError:
            return [f"the log of attempt {attempt} of {key} is missing"]
        want = [f"line {i}" for i in range(1, LINES + 1)]
        if self.full_disk:
            numbers = [int(line.split()[1]) for line in lines if line.split()[0] in ("line", "turn")]
            rises = sum(a < b for a, b in zip(numbers, numbers[1:]))
            return [] if rises >= len(numbers) - 2 else [f"the log of attempt {attempt} of {key} is out of order"]
        if key == "hold":
            turns = len(lines) - LINES - 1
            want += [f"turn {i}" for i in range(1, turns + 1)] + [f"turns {turns}"]
        return [] if lines == want else [f"the log of attempt {attempt} of {key} is not whole: {lines[-8:]}"]

    def store_problems(self):
        found = []
        for kind, name, digest, n in self.query("SELECT kind, name, digest, count(*) FROM registry_version "
                                                "GROUP BY 1, 2, 3 HAVING count(*) > 1"):
            found.append(f"{n} versions of {kind} {name} have the same content {digest}")
        if self.query("SELECT 1 FROM version_intent"):
            found.append("an intent to commit a version was left")
        for args in (("fsck", "--deep"), ("audit", "verify")):
            status, text = self.call(*args)
            if status != 0:
                found.append(f"sluice {' '.join(args)}: exit {status}: {text.strip()}")
        for repository in glob.glob(f"{self.data}/registry/*.git"):
            git = subprocess.run(["git", "-c", "safe.directory=*", "--git-dir", repository, "fsck", "--strict",
                                  "--no-dangling", "--no-progress"], capture_output=True, text=True, check=False)
            if git.returncode != 0 or git.stderr.replace("notice: HEAD points to an unborn branch", "").strip(" \n()main"):
                found.append(f"git fsck: exit {git.returncode}: {git.stdout}{git.stderr}")
        return found

    def left_over(self, patience_s=10):
        end = time.monotonic() + patience_s
        while True:
            found = self.processes() + self.cgroups()
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.02)

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd").startswith(self.top + "/"):
                    found.append(f"process {pid} was left: " + open(f"/proc/{pid}/comm", encoding="utf-8").read())
            except OSError:
                pass
        return found

    def cgroups(self):
        prefixes = set()
        for (text,) in self.query("SELECT identity FROM attempt WHERE identity LIKE '%cgroup%'"):
            for path in json.loads(text).get("cgroup", "").split(":"):
                if path:
                    prefixes.add(path.rsplit("-", 1)[0] + "-")
        return [f"control group {path} was left" for prefix in sorted(prefixes) for path in glob.glob(prefix + "*")]


def fault_points():
    out = subprocess.run([BIN, "debug", "faults"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in out.splitlines() if line.strip()]
