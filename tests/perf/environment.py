#!/usr/bin/env python3
"""What an environment costs a run when it is there already, beside what making it costs."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("SLUICE_BUILD", "build/release"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import make_wheels  # noqa: E402

PACKAGES, ROUNDS = 30, 9
PIPELINE = 'apiVersion: sluice/v1\nkind: Pipeline\nname: {name}\nsteps: {{ use: {{ cache: "off", run: "true"{runtime} }} }}\n'


def row(name, value, unit, target=None, note=""):
    line = {"name": name, "value": round(value, 3), "unit": unit, "note": note}
    if target:
        line["target"] = target
    print(json.dumps(line), flush=True)


def run(work, name):
    environment = {"PATH": "/usr/bin:/bin", "HOME": work, "PIP_FIND_LINKS": f"{work}/index", "PIP_NO_INDEX": "1"}
    start = time.monotonic()
    subprocess.run([f"{BUILD}/sluice", "run", f"{name}.yml"], cwd=work, env=environment, check=True,
                   stdout=subprocess.DEVNULL)
    return (time.monotonic() - start) * 1e3


def main():
    work = tempfile.mkdtemp(prefix="sluice-bench-")
    os.mkdir(f"{work}/index")
    with open(f"{work}/requirements.lock", "w", encoding="utf-8") as lock:
        for i in range(PACKAGES):
            digest = make_wheels.wheel(f"{work}/index", f"package{i}", "1.0", [])
            lock.write(f"package{i}==1.0 --hash=sha256:{digest}\n")
    for name, runtime in (("host", ""), ("venv", ", runtime: { venv: requirements.lock }")):
        with open(f"{work}/{name}.yml", "w", encoding="utf-8") as out:
            out.write(PIPELINE.format(name=name, runtime=runtime))
    run(work, "host")
    made = run(work, "venv")
    host, venv = [], []
    for _ in range(ROUNDS):
        host.append(run(work, "host"))
        venv.append(run(work, "venv"))
    added = min(venv) - min(host)
    row("environment.hit", added, "ms", "< 20", f"added to a run; {PACKAGES} packages, made once in {made:.0f} ms")
    row("environment.made", made, "ms")
    subprocess.run(["chmod", "-R", "u+w", work], check=True)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
