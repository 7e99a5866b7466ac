#!/usr/bin/env python3
"""Size of the stripped binary; memory of an idle `sluice serve` and the time until it answers."""
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("SLUICE_BUILD", "build/release"))
ROUNDS = 5


def row(name, value, unit, target=None, note=""):
    line = {"name": name, "value": round(value, 3), "unit": unit, "note": note}
    if target:
        line["target"] = target
    print(json.dumps(line), flush=True)


def connect(path, deadline):
    """Waits for the socket by trying to connect, without a pause: starting takes milliseconds."""
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(path)
                return
            except OSError:
                os.sched_yield()
    raise SystemExit("footprint: sluice serve does not answer")


def rss_mb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS:"))


def serve_once(work, i):
    data = f"{work}/{i}"
    environment = {**os.environ, "SLUICE_DATA": data}
    subprocess.run([f"{BUILD}/sluice", "init"], cwd=work, env=environment, check=True,
                   stdout=subprocess.DEVNULL)
    start = time.monotonic()
    with subprocess.Popen([f"{BUILD}/sluice", "serve"], cwd=work, env=environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        connect(f"{data}/sock", start + 10)
        ready_ms = (time.monotonic() - start) * 1e3
        rss = rss_mb(server.pid)
        server.terminate()
    return ready_ms, rss


def main():
    size = os.path.getsize(f"{BUILD}/sluice.stripped")
    row("binary.stripped", size / 1e6, "MB", "< 6")
    work = tempfile.mkdtemp(prefix="sluice-bench-")
    try:
        found = [serve_once(work, i) for i in range(ROUNDS)]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    row("serve.ready", statistics.median(f[0] for f in found), "ms", "< 100")
    row("serve.idle_rss", statistics.median(f[1] for f in found), "MB", "< 30")


main()
