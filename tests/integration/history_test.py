#!/usr/bin/env python3
"""History from the command line: finding, comparing and drawing runs."""
import json
import os
import shutil
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


def main():
    work = tempfile.mkdtemp(prefix="sluice-history-")
    os.chdir(work)
    os.environ.pop("SLUICE_DATA", None)
    os.environ["NO_COLOR"] = "1"
    try:
        run("init")
        two_runs()
        test_find()
        test_diff()
        test_time()
    finally:
        os.chdir("/")
        subprocess.run(["chmod", "-R", "u+w", work], check=True)
        shutil.rmtree(work)
    print(f"history: {checks} checks")


main()
