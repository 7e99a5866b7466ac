#!/usr/bin/env python3
"""Large matrices and short ways: submit to the script's first line, 20,000 steps in 8 slots against ninja, memory of the
engine per step that waits, and how quick it answers meanwhile."""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

SLUICE = os.environ["SLUICE_BIN"]
N_MATRIX = int(os.environ.get("SCALE_STEPS", "20000"))
N_WAITING = 100_000
HEAD = "apiVersion: sluice/v1\nkind: Pipeline\nname: {name}\nsteps:\n"


def row(name, value, unit, target=None, note=""):
    line = {"name": name, "value": round(value, 3), "unit": unit, "note": note}
    print(json.dumps({**line, "target": target} if target else line), flush=True)


def pipeline(name, steps):
    with open(f"{name}.yml", "w", encoding="utf-8") as f:
        f.write(HEAD.format(name=name) + steps)
    return f"{name}.yml"


def square(n):
    side = int(n ** 0.5)
    return f"{{ a: {list(range(side))}, b: {list(range(n // side))} }}"


def first_line():
    file = pipeline("first", '  a: { run: "date +%%s%%N > $OUT_FILE", cache: off, env: { OUT_FILE: "%s/first.txt" } }\n'
                    % os.getcwd())
    took = []
    for _ in range(9):
        begun = time.time_ns()
        subprocess.run([SLUICE, "run", file], check=True, stdout=subprocess.DEVNULL)
        with open("first.txt", encoding="ascii") as f:
            took.append((int(f.read()) - begun) / 1e6)
    row("submit to first line", statistics.median(took), "ms", "<= 50", "command, engine and /bin/sh start included")


def matrix():
    cpus = os.cpu_count()
    file = pipeline("matrix", f"  each:\n    matrix: {square(N_MATRIX)}\n    run: \"true\"\n    cache: off\n"
                    f"    resources: {{ cpu: {cpus * 1000 // 8}m }}\n")
    n = int(N_MATRIX ** 0.5)
    n *= N_MATRIX // n
    with open(".sluiceignore", "w", encoding="ascii") as f:
        f.write("build.ninja\n.ninja_log\nmatrix.log\n")  # else every step gets a copy of them as its code
    with open("build.ninja", "w", encoding="ascii") as f:
        f.write("rule r\n  command = /bin/sh -eu -c true\n")
        f.writelines(f"build t{i}: r\n" for i in range(n))
    begun = time.perf_counter()
    subprocess.run(["ninja", "-j8"], check=True, stdout=subprocess.DEVNULL)
    ninja = time.perf_counter() - begun
    begun = time.perf_counter()
    with open("matrix.log", "wb") as log:
        subprocess.run([SLUICE, "run", file], check=True, stdout=log)
    ours = time.perf_counter() - begun
    row(f"{n} steps in 8 slots", ninja / ours, "x ninja -j8", ">= 0.45", f"{ours:.1f} s, {n / ours:.0f} steps/s")
    row("what it printed", os.path.getsize("matrix.log") / 1024, "KiB", "<= 16")


def memory_kb(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field))


def held(name, n):
    """Memory of an engine while `n` steps wait for one that runs, and the answers that it gives."""
    file = pipeline(name, '  first: { run: "sleep 600", cache: off }\n'
                    f"  each:\n    needs: [first]\n    matrix: {square(n)}\n    run: \"true\"\n    cache: off\n")
    with subprocess.Popen([SLUICE, "run", file], stdout=subprocess.DEVNULL) as engine:
        while True:
            got = subprocess.run([SLUICE, "runs", "--json", "--pipeline", name], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=False)
            if got.returncode == 0 and any(r["state"] == "running" for r in json.loads(got.stdout)["runs"]):
                break
            if engine.poll() is not None:
                sys.exit(f"{file} ended")
            time.sleep(0.05)
        kb = memory_kb(engine.pid, "VmRSS")
        answers = {}
        for words in (["runs"], ["show", name]):
            begun = time.perf_counter()
            subprocess.run([SLUICE, *words], check=True, stdout=subprocess.DEVNULL)
            answers[words[0]] = (time.perf_counter() - begun) * 1000
        engine.send_signal(signal.SIGINT)
        engine.wait()
    return kb, answers


def waiting():
    few, _ = held("few", 4)
    many, answers = held("many", N_WAITING)
    n = int(N_WAITING ** 0.5)
    n *= N_WAITING // n
    row("memory per waiting step", (many - few) * 1024 / n, "bytes", None,
        f"plan included; engine {many / 1024:.0f} MB with {n} steps")
    row("'runs' beside 100k steps", answers["runs"], "ms", "<= 50")
    row("'show' of 100k steps", answers["show"], "ms")


def main():
    work = tempfile.mkdtemp(prefix="sluice-scale-")
    os.chdir(work)
    os.environ.pop("SLUICE_DATA", None)
    try:
        subprocess.run([SLUICE, "init"], check=True, stdout=subprocess.DEVNULL)
        first_line()
        waiting()
        matrix()
    finally:
        os.chdir("/")
        subprocess.run(["chmod", "-R", "u+w", work], check=False)
        shutil.rmtree(work, ignore_errors=True)


main()
