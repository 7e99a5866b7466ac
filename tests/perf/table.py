#!/usr/bin/env python3
"""Reading CSV and Parquet on one core beside pandas and pyarrow, in one run, file cache warm, the fastest of ROUNDS.

Without the wheels that ci/setup fetches only our own figures are printed.
"""
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
READER = os.path.join(os.environ.get("SLUICE_BUILD", "build/release"), "perf_table_read")
WHEELS = os.environ.get("SLUICE_TEST_WHEELS") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sluice-tests/wheels")
ROWS = int(os.environ.get("SLUICE_BENCH_TABLE_ROWS", "200000"))
ROUNDS = 5
PEER = """
import sys, time
import pandas as pd, pyarrow as pa, pyarrow.csv as pc, pyarrow.parquet as pq
pa.set_cpu_count(1)
csv, parquet, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
pc.read_csv(csv)
pd.read_csv(csv).to_parquet(parquet)
def best(read):
    times = []
    for _ in range(rounds):
        before = time.perf_counter()
        read()
        times.append(time.perf_counter() - before)
    return min(times)
print(best(lambda: pd.read_csv(csv)), best(lambda: pc.read_csv(csv, pc.ReadOptions(use_threads=False))),
      best(lambda: pd.read_parquet(parquet, use_threads=False)), best(lambda: pq.read_table(parquet, use_threads=False)))
"""


def row(name, value, unit, target=None, note=""):
    line = {"name": name, "value": round(value, 4), "unit": unit, "note": note}
    if target:
        line["target"] = target
    print(json.dumps(line), flush=True)


def write_csv(path):
    r = random.Random(1)
    with open(path, "w", encoding="utf-8") as f:
        f.write(",".join(f"c{i}" for i in range(20)) + "\n")
        for _ in range(ROWS):
            f.write(",".join(str(r.randrange(100000)) if i % 2 else f"{r.gauss(0, 1):.6f}" for i in range(20)) + "\n")


def ours(path):
    run = subprocess.run([READER, path, str(ROUNDS)], stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def main():
    with tempfile.TemporaryDirectory() as top:
        csv, parquet = f"{top}/n.csv", f"{top}/n.parquet"
        write_csv(csv)
        mine = ours(csv)
        row("table: numeric CSV, one core", mine["mb_per_s"], "MB/s", ">= 200", f"{ROWS} rows of 20 columns")
        if not glob.glob(f"{WHEELS}/pyarrow-*.whl"):
            return
        subprocess.run(["/usr/bin/python3", "-m", "venv", f"{top}/venv"], check=True)
        python = f"{top}/venv/bin/python"
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--require-hashes", "--find-links",
                        WHEELS, "-r", f"{ROOT}/tests/clients/table/requirements.txt"], check=True, stdout=sys.stderr)
        run = subprocess.run([python, "-c", PEER, csv, parquet, str(ROUNDS)], stdout=subprocess.PIPE, check=True)
        pandas_csv, arrow_csv, pandas_parquet, arrow_parquet = (float(x) for x in run.stdout.split())
        mine = ours(csv)
        row("table: CSV beside pandas", pandas_csv / mine["seconds"], "x pandas", ">= 1", f"pandas {pandas_csv:.3f} s")
        row("table: CSV beside pyarrow, one core", arrow_csv / mine["seconds"], "x pyarrow", None, f"pyarrow {arrow_csv:.3f} s")
        mine = ours(parquet)
        row("table: Parquet beside pandas", pandas_parquet / mine["seconds"], "x pandas", None,
            f"ours {mine['seconds']:.4f} s, pandas {pandas_parquet:.4f} s")
        row("table: Parquet beside pyarrow, one core", arrow_parquet / mine["seconds"], "x pyarrow", None,
            f"pyarrow {arrow_parquet:.4f} s")


main()
