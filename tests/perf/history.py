#!/usr/bin/env python3
"""What questions about runs take with a long history: 100,000 runs with 1,000,000 steps.

The rows are written straight into the database; each question is asked by the command line, its start included.
"""
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

SLUICE = os.environ["SLUICE_BIN"]
N_RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
STEPS = 10


def rows(n):
    for i in range(n):
        params = {"rate": {"origin": "cli", "value": i % 1000 / 1000},
                  "rare": {"origin": "cli", "value": "yes" if i % 20000 == 7 else "no"}}
        created = 1_700_000_000_000 + i * 60_000
        state = "failed" if i % 1000 == 3 else "succeeded"
        yield i, f"{i:032x}", f"pipe{i % 20}", i // 20 + 1, state, f"user{i % 50}", params, created


def fill(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous=OFF")
    db.executemany(
        "INSERT INTO run(id, pipeline, number, state, file, base_dir, actor, params, facts, spec, plan,"
        " code, runtime, code_commit, code_dirty, n_steps, created_ms, started_ms, ended_ms)"
        " VALUES(?,?,?,?,'f','/',?,?,?,?,?,?,?,'',0,?,?,?,?)",
        ((rid, pipe, num, state, actor, json.dumps(params), "{}", "0" * 64, "0" * 64, "0" * 64,
          "0" * 64, STEPS, at, at, at + i * 7919 % 100_000)
         for i, rid, pipe, num, state, actor, params, at in rows(N_RUNS)))
    db.executemany("INSERT INTO run_count VALUES(?,?,0)",
                   ((rid, STEPS) for _, rid, *_ in rows(N_RUNS)))
    db.executemany("INSERT INTO run_param VALUES(?,?,?,?)",
                   ((k, str(v["value"]), at, rid) for _, rid, _, _, _, _, params, at in rows(N_RUNS)
                    for k, v in params.items()))
    db.executemany(
        "INSERT INTO step(run_id, step, key, step_id, state, reason, attempts, started_ms, ended_ms,"
        " cache_record) VALUES(?,?,?,?,'succeeded','',1,?,?,?)",
        ((rid, s, f"s{s}", f"s{s}", at, at + 50, '{"pad":"%s"}' % ("x" * 600))
         for _, rid, _, _, _, _, _, at in rows(N_RUNS) for s in range(STEPS)))
    db.executemany(
        "INSERT INTO track_series(run_id, attempt_id, key, slice, dataset, model, n, n_nan, first_row,"
        " last_row, first_ts, last_ts, last_step, last, min, max)"
        " VALUES(?,?,?,'','','',1,0,1,1,1,1,0,?,0,1)",
        ((rid, rid, k, i * 7919 % 100_003 / 100_003 if k == "auc" else i)
         for i, rid, *_ in rows(N_RUNS) for k in ("auc", "loss")))
    db.commit()
    db.close()


def ask(*words):
    begun = time.perf_counter()
    subprocess.run([SLUICE, *words], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1000


def main():
    work = tempfile.mkdtemp(prefix="sluice-history-")
    try:
        os.environ["SLUICE_DATA"] = os.path.join(work, "data")
        subprocess.run([SLUICE, "init"], cwd=work, check=True, stdout=subprocess.DEVNULL)
        fill(os.path.join(work, "data", "sluice.db"))
        start = statistics.median(ask("version") for _ in range(9))
        questions = {
            "newest": ["runs"],
            "by rare state": ["runs", "--state", "failed"],
            "by user and pipeline": ["runs", "--by", "user7", "--pipeline", "pipe7"],
            "by rare parameter": ["runs", "-p", "rare=yes"],
            "by common parameter": ["runs", "-p", "rare=no"],
            "by rare metric": ["runs", "--metric", "auc>0.9999"],
            "by common metric": ["runs", "--metric", "auc>0.1"],
            "best metric": ["runs", "--metric", "auc", "--sort", "highest"],
            "longest": ["runs", "--sort", "longest"],
            "two days": ["runs", "--since", "2023-12-01", "--until", "2023-12-03"],
            "one run": ["show", f"{77:032x}"],
        }
        worst = 0
        for name, words in questions.items():
            took = statistics.median(ask(*words) for _ in range(7)) - start
            worst = max(worst, took)
            print(json.dumps({"name": f"runs of 100k, {name}", "value": round(took, 2), "unit": "ms",
                              "target": "<= 50", "note": f"after {start:.1f} ms of starting"}))
    finally:
        shutil.rmtree(work)


main()
