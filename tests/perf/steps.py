#!/usr/bin/env python3
"""Steps per second beside ninja, a chain, a large plan, and dispatch latency with and without history.

Compared programs alternate (A B A B) in one run and medians are compared, so that a busy machine slows
both. CPU seconds (user + system, children included) stand beside wall seconds in the notes.
"""
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("SLUICE_BUILD", "build/release"))
STEPS = int(os.environ.get("SLUICE_BENCH_STEPS", "2000"))
HISTORY = int(os.environ.get("SLUICE_BENCH_HISTORY", "1000000"))
ROUNDS = int(os.environ.get("SLUICE_BENCH_ROUNDS", "5"))
CHAIN = 40
HEAD = "apiVersion: sluice/v1\nkind: Pipeline\nname: {}\nsteps:\n"


def row(name, value, unit, target=None, note=""):
    line = {"name": name, "value": round(value, 4), "unit": unit, "note": note}
    if target:
        line["target"] = target
    print(json.dumps(line), flush=True)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def write_inputs(work):
    parts = 40
    axes = "".join(f"      {n}: [{','.join(map(str, range(c)))}]\n"
                   for n, c in (("a", parts), ("b", STEPS // parts)))
    noop = HEAD.format("noop") + ("  one:\n    command: [/bin/true]\n    cache: \"off\"\n"
                                  "    matrix:\n" + axes)
    chain = HEAD.format("chain") + "".join(
        f"  s{i}:\n    command: [/bin/true]\n    cache: \"off\"\n"
        + (f"    needs: [s{i - 1}]\n" if i else "") for i in range(CHAIN))
    edges = "rule t\n  command = /bin/true $out\n" + "".join(
        f"build o{i}: t\n" for i in range(STEPS // parts * parts))
    many = "rule t\n  command = /bin/true $out\n" + "".join(
        f"build o{i}: t\n" for i in range(200000))
    write(f"{work}/ninja/build.ninja", edges)
    write(f"{work}/ninja-load/build.ninja", many + "build all: phony o0\ndefault all\n")
    return write(f"{work}/noop/noop.yml", noop), write(f"{work}/chain/chain.yml", chain)


def engine(data, pipeline, rounds=1):
    out = subprocess.run([f"{BUILD}/perf_engine_bench", data, pipeline, str(rounds)], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    assert all(r["state"] == "succeeded" for r in rows), rows
    return rows


def ninja(folder, *args):
    """Wall and CPU seconds of one clean build."""
    for name in (".ninja_log", ".ninja_deps"):
        if os.path.exists(f"{folder}/{name}"):
            os.remove(f"{folder}/{name}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run(["ninja", *args], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def many_steps(work, pipeline):
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(engine(f"{work}/data", pipeline)[0])
        theirs.append(ninja(f"{work}/ninja", "-j2"))
    wall = statistics.median(r["wall_s"] for r in ours)
    cpu = statistics.median(r["self_cpu_s"] + r["child_cpu_s"] for r in ours)
    ninja_wall = statistics.median(t[0] for t in theirs)
    ninja_cpu = statistics.median(t[1] for t in theirs)
    n = ours[0]["steps"]
    row("steps.noop_vs_ninja", ninja_wall / wall, "x ninja -j2", ">= 0.45",
        f"{n} steps in {wall:.2f} s, ninja {ninja_wall:.2f} s; medians of {ROUNDS}")
    row("steps.noop_cpu_vs_ninja", ninja_cpu / cpu, "x ninja -j2", None,
        f"{cpu:.2f} s of CPU, ninja {ninja_cpu:.2f} s")
    row("steps.noop_per_s", n / wall, "steps/s", None, "durable, through shims")
    row("steps.peak_rss", max(r["peak_rss_mb"] for r in ours), "MB", None,
        f"engine with a run of {n} steps")


def chain(work, pipeline):
    rows = engine(f"{work}/data-chain", pipeline, ROUNDS)
    row("steps.chain_40", statistics.median(r["wall_s"] for r in rows), "s", "<= 0.5",
        "submission included")


def large_plan(work):
    plans, loads = [], []
    for _ in range(3):
        out = subprocess.run([f"{BUILD}/perf_plan_100k"], check=True, stdout=subprocess.PIPE).stdout
        plans.append(json.loads(out))
        loads.append(ninja(f"{work}/ninja-load", "-n")[0])
    load = statistics.median(loads)
    row("plan.100k_s", statistics.median(p["plan_s"] for p in plans), "s", "< 2",
        f"{plans[0]['steps']} steps; ninja loads 200,000 edges in {load:.2f} s")
    row("plan.100k_rss", max(p["rss_mb"] for p in plans), "MB", "< 200")


def latencies_ms(data, rows):
    """From the end of the step before to the start of the process, per link of each chain."""
    db = sqlite3.connect(f"file:{data}/sluice.db?mode=ro", uri=True)
    found = []
    for r in rows:
        times = db.execute("SELECT started_ms, ended_ms FROM attempt WHERE run_id = ? "
                           "ORDER BY started_ms, ended_ms", (r["run"],)).fetchall()
        assert len(times) == CHAIN, len(times)
        found += [times[i][0] - times[i - 1][1] for i in range(1, CHAIN)]
    db.close()
    return found


def add_history(data, n):
    """n ended steps, their attempts, events and cache entries, in runs of 1,000 steps each."""
    db = sqlite3.connect(f"{data}/sluice.db", isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    template = [c[1] for c in db.execute("PRAGMA table_info(run)")]
    model = db.execute("SELECT * FROM run LIMIT 1").fetchone()
    db.execute("BEGIN")
    for i in range(n // 1000):
        values = dict(zip(template, model))
        values.update(id=f"{i:032x}", pipeline="history", number=i + 1, n_steps=1000)
        db.execute(f"INSERT INTO run({','.join(values)}) VALUES({','.join('?' * len(values))})",
                   list(values.values()))
    db.execute("CREATE TEMP TABLE k AS WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 "
               f"FROM c WHERE i + 1 < {n}) SELECT i, printf('%032x', i / 1000) AS run, i % 1000 "
               "AS step FROM c")
    db.execute("INSERT INTO step(run_id, step, key, step_id, state, reason, attempts, started_ms, "
               "ended_ms) SELECT run, step, 'one.' || step, 'one', 'succeeded', '', 1, i, i + 1 "
               "FROM k")
    db.execute("INSERT INTO attempt(id, run_id, step, number, state, identity, started_ms, "
               "ended_ms) SELECT printf('%08x%024x', (i * 4095) % 4294967296, i), run, step, 1, "
               "'succeeded', '{}', i, i + 1 FROM k ORDER BY 1")
    db.execute("INSERT INTO event(ts, type, run_id, subject, payload) SELECT i, 'step.state', run, "
               "'one', '{}' FROM k")
    kind, edge = db.execute("SELECT n.kind, e.kind FROM lineage_node n JOIN lineage_edge e ON "
                            "e.from_nid = n.nid WHERE n.id = e.attempt_id LIMIT 1").fetchone()
    db.execute("INSERT INTO lineage_node(kind, id, name, ts) SELECT 'run', run, 'history#' || i, i FROM k "
               "WHERE step = 0")
    db.execute("INSERT INTO lineage_node(kind, id, name, ts) SELECT ?, printf('%08x%024x', (i * 4095) % "
               "4294967296, i), 'history#' || (i / 1000 + 1) || '/one.' || step, i FROM k", (kind,))
    db.execute("INSERT INTO lineage_edge(from_nid, to_nid, kind, run_id, attempt_id, ts) SELECT n.nid, r.nid, "
               "?, k.run, n.id, i FROM k JOIN lineage_node n ON n.id = printf('%08x%024x', (i * 4095) % "
               "4294967296, i) AND n.kind = ? JOIN lineage_node r ON r.id = k.run AND r.kind = 'run'",
               (edge, kind))
    db.execute("INSERT INTO cache(key, run_id, step, created_ms) SELECT "
               "printf('%08x%056x', (i * 4095) % 4294967296, i), run, step, i FROM k ORDER BY 1")
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def dispatch(work, pipeline):
    small, large = f"{work}/data-0", f"{work}/data-1m"
    engine(small, pipeline)
    engine(large, pipeline)
    add_history(large, HISTORY)
    os.sync()  # half a gigabyte was written without: the disk is not to be busy with it later
    engine(large, pipeline)  # both caches are warm from here on
    found = {small: [], large: []}
    for _ in range(2 * ROUNDS):
        for data in (small, large):
            found[data] += latencies_ms(data, engine(data, pipeline))
    mean = {data: statistics.fmean(values) for data, values in found.items()}
    row("dispatch.empty_ms", mean[small], "ms", "<= 5", "mean of a step's readiness to its exec")
    row("dispatch.history_ms", mean[large], "ms", None, f"with {HISTORY} historical steps")
    row("dispatch.history_ratio", mean[large] / mean[small], "x empty", "<= 1.2")


def main():
    work = tempfile.mkdtemp(prefix="sluice-bench-")
    try:
        noop_yml, chain_yml = write_inputs(work)
        many_steps(work, noop_yml)
        chain(work, chain_yml)
        large_plan(work)
        dispatch(work, chain_yml)
    finally:
        shutil.rmtree(work, ignore_errors=True)


main()
