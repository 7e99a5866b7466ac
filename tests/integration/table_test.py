"""Tables written by pyarrow, pandas, DuckDB and fastparquet are read equal, cell by cell, whole and in ranges.

Their wheels come from the folder that ci/setup fills; without them the test is left out, or, with CI set, fails.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

TOOL = os.path.join(os.environ.get("SLUICE_BUILD", "build/dev"), "table_tool")
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
CLIENT = f"{ROOT}/tests/clients/table"
WHEELS = os.environ.get("SLUICE_TEST_WHEELS") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sluice-tests/wheels")


def read(path, *args):
    return subprocess.run([TOOL, path, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def text(path):
    with open(path, "rb") as f:
        return f.read()


def difference(got, wanted):
    for number, (a, b) in enumerate(zip(got.splitlines(), wanted.splitlines())):
        if a != b:
            for k, (x, y) in enumerate(zip(a.split(b"|"), b.split(b"|"))):
                if x != y:
                    return f"line {number + 1}, column {k + 1}: {x!r}, expected {y!r}"
    return f"{len(got.splitlines())} lines, expected {len(wanted.splitlines())}"


def check(path):
    """What is wrong, or None."""
    selected = re.search(r"\.select-([^.]+)\.", path)
    args = ["--columns", selected.group(1)] if selected else []
    if os.path.exists(f"{path}.error"):
        run, wanted = read(path, *args), text(f"{path}.error")
        return None if run.returncode == 2 and wanted in run.stderr else f"expected an error with {wanted}: {run.stderr}"
    wanted = text(f"{path}.expected")
    for extra in ([], ["--ranges", "3"]):
        run = read(path, *args, *extra)
        if run.returncode != 0:
            return run.stderr.decode()
        if run.stdout != wanted:
            return difference(run.stdout, wanted)
    return None


def main():
    if not glob.glob(f"{WHEELS}/pyarrow-*.whl"):
        print(f"left out: no wheels in {WHEELS} (ci/setup fetches them)")
        return 1 if os.environ.get("CI") else 0
    failed = n = 0
    with tempfile.TemporaryDirectory() as top:
        venv, out = f"{top}/venv", f"{top}/out"
        os.mkdir(out)
        subprocess.run(["/usr/bin/python3", "-m", "venv", venv], check=True)
        subprocess.run([f"{venv}/bin/python", "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--require-hashes",
                        "--find-links", WHEELS, "-r", f"{CLIENT}/requirements.txt"], check=True)
        subprocess.run([f"{venv}/bin/python", f"{CLIENT}/write_tables.py", out], check=True)
        for path in sorted(glob.glob(f"{out}/*")):
            if path.endswith((".expected", ".error")):
                continue
            n += 1
            wrong = check(path)
            if wrong:
                failed += 1
                print(f"{os.path.basename(path)}: {wrong}")
    print(f"{n} files, {failed} wrong")
    return 1 if failed or n < 150 else 0


if __name__ == "__main__":
    sys.exit(main())
