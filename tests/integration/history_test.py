#!/usr/bin/env python3
"""History from the command line: finding, comparing and drawing runs."""
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

SLUICE = os.environ["SLUICE_BIN"]
PIPELINE = """apiVersion: sluice/v1
kind: Pipeline
name: demo
params:
  rate: { type: float, default: 0.5 }
steps:
  prep:
    code: [src.txt]
    run: cp src.txt "$SLUICE_OUT_rows"
    outputs: { rows: { dataset: rows, path: rows } }
  train:
    code: [other.txt]
    inputs: { rows: "${{ steps.prep.outputs.rows }}" }
    env: { RATE: "${{ params.rate }}" }
    run: |
      echo "{\\"auc\\": $RATE}" > "$SLUICE_METRICS"
  same:
    code: [other.txt]
    run: "true"
"""
checks = 0
counts = set()


def run(*words, code=0):
    got = subprocess.run([SLUICE, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         stdin=subprocess.DEVNULL, timeout=120, check=False)
    if got.returncode != code:
        sys.exit(f"FAIL: exit {got.returncode}, not {code}: {words}\n{got.stdout}")
    return got.stdout


def check(condition, what, text=""):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAIL: {what}\n{text}")


def has(text, *parts):
    for part in parts:
        check(part in text, f"the output lacks: {part}", text)


def names(*words):
    return [r["name"] for r in json.loads(run("runs", "--json", *words))["runs"]]


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def two_runs():
    write("p.yml", PIPELINE)
    write("src.txt", "one\n")
    write("other.txt", "always\n")
    run("run", "p.yml")
    write("src.txt", "two\n")
    run("run", "p.yml", "-p", "rate=0.75")


def test_find():
    check(names() == ["demo#2", "demo#1"], "newest first")
    check(names("-p", "rate=0.750") == ["demo#2"], "a number in another spelling")
    check(names("-p", "rate=0.5", "--metric", "auc<=0.5") == ["demo#1"], "defaults are found too")
    check(names("--metric", "auc", "--sort", "lowest") == ["demo#1", "demo#2"], "lowest first")
    check(names("--state", "failed") == [] and names("--by", "nobody-here") == [], "none match")
    check(names("--until", "2020-01-01") == [] and len(names("--since", "1d")) == 2, "times")
    page = json.loads(run("runs", "--json", "--limit", "1"))
    check(page["more"] and names("--cursor", page["next"]) == ["demo#1"], "the next page")
    has(run("runs", "--limit", "1"), f"--cursor {page['next']}")
    has(run("ls", "dmeo", code=1), "no pipeline 'dmeo' has run here; did you mean 'demo'?")
    has(run("runs", "--since", "soon", code=2), "expected a time span")
    has(run("runs", "--metric", "auc>high", code=2), "expected METRIC")
    has(run("runs", "-p", "rate", code=2), "expected NAME=VALUE")


def test_diff():
    text = run("diff", "demo#1", "demo#2")
    has(text, "rate: 0.5 -> 0.75", "~ src.txt", "env.RATE: 0.5 -> 0.75", "inputs.rows: rows@v1 ",
        "-> rows@v2 ", "output rows: rows@v1 -> rows@v2", "+0.25", "same: succeeded")
    got = json.loads(run("diff", "demo#1", "demo#2", "--json"))
    # 'same' was served from the cache: its state differs, nothing that goes into it does
    steps = {s["key"]: s for s in got["steps"]}
    check(sorted(steps) == ["prep", "same", "train"], "steps that differ", got)
    check(steps["same"]["differences"] == [] and steps["same"]["new"]["state"] == "cached", "cached", got)
    fields = sorted(d["field"] for d in steps["train"]["differences"])
    check(fields == ["env.RATE", "inputs.rows", "params.rate"], "what went into train", fields)
    check(got["metrics"] == [{"step": "train", "metric": "auc", "old": 0.5, "new": 0.75, "delta": 0.25}],
          "metrics", got["metrics"])
    # against itself nothing differs; metrics of cached steps are those of the run they come from
    has(run("diff", "demo#2", "demo#2"), "no difference in 3 steps")
    run("run", "p.yml", "-p", "rate=0.75")
    check(json.loads(run("diff", "demo#2", "demo#3", "--json"))["metrics"] == [], "cached metrics")
    write("p.yml", PIPELINE + "  more:\n    run: exit 3\n")
    run("run", "p.yml", code=1)
    has(run("diff", "demo#3", "demo#4"), "~ p.yml", "more: - -> failed")
    has(run("diff", "demo#4", "demo#3"), "more: failed")
    has(run("diff", "demo#1", "demo#9", code=2), "no run 'demo#9'")


def test_large():
    """Of many instances 'show' gives numbers, and names those that failed."""
    for n in (200, 201):
        write("large.yml", f"""apiVersion: sluice/v1
kind: Pipeline
name: large
steps:
  each:
    matrix: {{ n: {list(range(n))}, fail_fast: false }}
    cache: off
    env: {{ N: "${{{{ matrix.n }}}}" }}
    run: test "$N" != 77
""")
        run("run", "large.yml", code=1)
        text = run("show", "large")
        has(text, "each[n=77]", "exit code 1")
        check(("each[n=5]" in text) == (n == 200), f"{n} instances", text)
        check(("200 succeeded" in text) == (n == 201), f"{n} instances", text)


def test_next():
    """What is offered next exists, and a repetition can leave everything that is known aside."""
    text = run("run", "p.yml", "-p", "rate=0.875", code=1)
    has(text, "sluice metrics 'demo#")
    write("quiet.yml", "apiVersion: sluice/v1\nkind: Pipeline\nname: quiet\nsteps: { a: { run: 'true' } }\n")
    check("metrics" not in run("run", "quiet.yml"), "no metrics are offered where there are none")
    states = [s["state"] for s in json.loads(run("show", "quiet#1", "--json"))["steps"]]
    run("retry", "quiet#1")
    run("retry", "--no-cache", "quiet#1")
    for number, want in ((2, ["cached"]), (3, states)):
        got = [s["state"] for s in json.loads(run("show", f"quiet#{number}", "--json"))["steps"]]
        check(got == want, f"quiet#{number}", got)


def test_time():
    has(run("show", "--gantt", "demo#1"), "prep ", "|", "#", ". waited  # ran")
    has(run("plan", "p.yml", "-p", "rate=0.125"), "expected: about ", " runs")
    write("many.yml", """apiVersion: sluice/v1
kind: Pipeline
name: many
steps:
  each:
    matrix: { n: %s }
    run: "true"
""" % list(range(40)))
    text = run("run", "many.yml")
    has(text, "each  40 of 40 ended")
    check("each[n=3]" not in text.split("next:")[0], "instances are counted", text)


GC_PIPELINE = """apiVersion: sluice/v1
kind: Pipeline
name: NAME
params:
  n: { type: int, default: 0 }
steps:
  make:
    code: [other.txt]
    env: { N: "${{ params.n }}" }
    run: |
      echo "scratch of $N for NAME" > "$SLUICE_OUT_scratch"
      echo "{\\"auc\\": $N}" > "$SLUICE_METRICS"
    outputs: { scratch: { path: scratch.txt } }
  keep:
    code: [other.txt]
    env: { N: "${{ params.n }}" }
    run: echo "kept $N" > "$SLUICE_OUT_rows"
    outputs: { rows: { KEPT path: rows } }
"""


def stored():
    return sum(len(files) for _, _, files in os.walk(".sluice/blobs/sha256"))


def directories():
    return sorted(os.listdir(".sluice/runs"))


def gc_history():
    """Three runs whose outputs are versions, three with artifacts of their own."""
    os.makedirs("gc")
    os.chdir("gc")
    run("init")
    write("other.txt", "always\n")
    for name, kept in (("versions", "dataset: rows,"), ("plain", "")):
        write(f"{name}.yml", GC_PIPELINE.replace("NAME", name).replace("KEPT", kept))
        for n in range(3):
            run("run", f"{name}.yml", "-p", f"n={n}")


def holds(digest, depth=0):
    """Content is stored, and what it names, if it is a manifest."""
    path = f".sluice/blobs/sha256/{digest[:2]}/{digest[2:]}"
    check(os.path.exists(path), f"content {digest} is missing")
    with open(path, "rb") as f:
        data = f.read()
    for named in re.findall(rb'"sha256":"([0-9a-f]{64})"', data) if depth == 0 else []:
        holds(named.decode(), 1)


def sound(text):
    """Everything that is referenced is readable, and what is kept can be used."""
    has(run("fsck", "--deep"), "audit log:")
    db = sqlite3.connect(".sluice/sluice.db")
    for table, column in (("step", "run_id"), ("attempt", "run_id"), ("step_output", "run_id"), ("cache", "run_id"),
                          ("run_param", "run_id"), ("run_count", "run_id"), ("track_series", "run_id"),
                          ("blob_ref", "owner_id"), ("event", "run_id")):
        left = db.execute(f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN "
                          f"(SELECT id FROM run)").fetchone()[0]
        check(left == 0, f"{left} rows of {table} have no run", text)
    left = db.execute("SELECT count(*) FROM track_point WHERE series NOT IN (SELECT id FROM track_series)")
    check(left.fetchone()[0] == 0, "points without a series", text)
    digests = [d.hex() for (d,) in db.execute("SELECT DISTINCT digest FROM blob_ref")]
    db.close()
    check(len(digests) > 8, "references to content", digests)
    for digest in digests:
        holds(digest)
    for r in json.loads(run("runs", "--json"))["runs"]:
        for step in json.loads(run("show", r["id"], "--json"))["steps"]:
            for output in step.get("outputs", []):
                check(len(output["digest"]) == 71, text, output)
        run("diff", r["id"], "last")
    for version in ("rows@v1", "rows@v2", "rows@v3"):
        shutil.rmtree("got", ignore_errors=True)
        run("data", "get", version, "got")
    run("audit", "verify")


def test_gc():
    before, dirs = stored(), directories()
    text = run("gc", "--dry-run")
    has(text, "no rule: runs and logs stay", "0 runs would go")
    text = run("gc", "--dry-run", "--older-than", "0", "--grace", "0")
    has(text, "plain#1", "plain#2", "would go", "versions#1", "a registered version comes from it",
        "plain#3", "it is among the last of its pipeline", "2 runs would go", "4 kept")
    check((stored(), directories()) == (before, dirs), "a dry run changes nothing")
    check(names()[0] == "plain#3" and len(names()) == 6, "all runs are there")
    # nothing is old enough: everything stays
    has(run("gc", "--older-than", "1d", "--grace", "0"), "0 runs removed")
    # young content waits, although its runs are gone
    has(run("gc", "--older-than", "0"), "2 runs removed", "too young")
    check(stored() == before, "content within its grace stays")
    check(names() == ["plain#3", "versions#3", "versions#2", "versions#1"], "two runs are gone", names())
    check(len(directories()) == len(dirs) - 2, "their files are gone")
    sound("after the first collection")
    has(run("gc", "--grace", "0"), "content: ")
    check(stored() < before, "content that nothing names is gone")
    sound("after the second")
    after = stored()
    has(run("gc", "--grace", "0", "--older-than", "0"), "content: 0 pieces")
    check(stored() == after, "once more there is nothing to do")
    # logs alone
    has(run("gc", "--logs-only", "--older-than", "0"), "of 4 more the logs removed")
    check(directories() == [] and len(names()) == 4, "records stay without their logs")
    # the number is never given out again, and what was removed runs again
    run("run", "plain.yml", "-p", "n=0")
    check(names()[0] == "plain#4", "numbers go on", names())
    check(json.loads(run("show", "plain#4", "--json"))["steps"][0]["state"] == "succeeded", "made again")
    has(run("gc", "--older-than", "soon", code=2), "is no time")
    # the project's rule
    write("project.yml", "apiVersion: sluice/v1\nkind: Project\nname: default\n"
          "policies: { retention: { runs: 1ms, keep_last: 1 } }\n")
    run("project", "apply", "project.yml")
    has(run("gc", "--dry-run"), "plain#3", "1 runs would go")
    os.chdir("..")


def test_gc_killed():
    """A collection that dies at any of its points leaves nothing broken, and the next one ends it."""
    points = [("gc.files", 1), ("gc.aside", 1), ("gc.aside", 4), ("gc.swept", 1), ("db.commit", 1),
              ("db.committed", 1), ("db.commit", 2), ("db.committed", 2), ("db.commit", 3)]
    shutil.rmtree("gc")
    gc_history()
    os.chdir("..")
    for point, nth in points:
        shutil.rmtree("killed", ignore_errors=True)
        subprocess.run(["cp", "-a", "gc", "killed"], check=True)
        os.chdir("killed")
        environment = {**os.environ, "SLUICE_FAULT": f"{point}:{nth}:kill"}
        got = subprocess.run([SLUICE, "gc", "--older-than", "0", "--grace", "0"], env=environment,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        check(got.returncode == -9, f"{point}:{nth} was not struck", got.stdout)
        sound(f"killed at {point}:{nth}")
        run("gc", "--older-than", "0", "--grace", "0")
        sound(f"finished after {point}:{nth}")
        check(names() == ["plain#3", "versions#3", "versions#2", "versions#1"], "the runs that stay")
        check(len(directories()) == 4, "no files are left over", directories())
        counts.add(stored())
        os.chdir("..")
    check(len(counts) == 1, "every way ends with the same content", counts)


def main():
    work = tempfile.mkdtemp(prefix="sluice-history-")
    os.chdir(work)
    os.environ.pop("SLUICE_DATA", None)
    os.environ["NO_COLOR"] = "1"
    try:
        os.makedirs("first")
        os.chdir("first")
        run("init")
        two_runs()
        test_find()
        test_diff()
        test_time()
        test_next()
        test_large()
        os.chdir("..")
        gc_history()
        test_gc()
        test_gc_killed()
    finally:
        os.chdir("/")
        subprocess.run(["chmod", "-R", "u+w", work], check=True)
        shutil.rmtree(work)
    print(f"history: {checks} checks")


main()
