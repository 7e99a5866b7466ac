"""A full disk during any write: a clear error, a store that is intact, and a run that goes on once there is room.

    disk_full_test.py [--points N]

First every fault point that can fail is made to report "no space left", from its n-th hit on. Then, as root,
the data directory lies on a small file system of its own that is filled for real at different moments.
"""
import argparse
import concurrent.futures
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.environ.get("TEST_SUPPORT") or
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import engine_rig as rig  # noqa: E402

WRITES = ("blob.", "db.", "fs.", "registry.", "runner.spawn")
AFTER = ("committed", "published", "moved", "done", "written", "synced", "spawned")  # nothing can fail there
HITS = (1, 7, 40)
TEXT = "no space left"
FILLS = ((10, 0), (10, 96), (10, 256), (10, 512), (10, 768), (10, 1024), (10, 1536))  # size in MiB, KiB left


def finish(place, want, problems, who):
    """With room again: the run ends as if nothing had been, and everything is whole. A step whose own command
    failed on the full disk has failed for good: then a retry, which is a new run, has to succeed."""
    args = ("resume",) if place.has_run() else ("run", "pipeline.yml")
    status, text = place.engine(*args)
    parts = ("run", "steps", "outputs", "versions", "aliases", "metrics", "deployments")
    own = [row for row in place.query("SELECT s.key, a.exit_code FROM attempt a JOIN step s USING(run_id, step) "
                                      "WHERE s.state = 'failed' AND a.exit_code > 0")]
    if own:
        parts = ("versions", "aliases", "deployments")
        status, text = place.engine("retry", "last")
    if status != 0 and "nothing to resume" not in text:
        problems.append(f"{who}: with room again: exit {status}: {text[-1500:]}")
    state = place.end_state()
    for part in parts:
        if state[part] != want[part]:
            problems.append(f"{who}: {part} differ from an undisturbed run: "
                            f"lacks {[r for r in want[part] if r not in state[part]][:5]}, "
                            f"has {[r for r in state[part] if r not in want[part]][:5]}")
    found = place.store_problems() + place.left_over() if own else place.problems()
    problems += [f"{who}: {line}" for line in found]


def one_point(job):
    point, hit, want = job
    who = f"{point}:{hit}+"
    place, problems = rig.Place(), []
    status, text = place.engine("run", "pipeline.yml", fault=f"{point}:{hit}+:enospc", go=True)
    struck = status != 0
    if struck and status != 1:
        problems.append(f"{who}: exit {status}, not 1: {text[-1500:]}")
    if struck and TEXT not in text.lower():
        problems.append(f"{who}: the reason is not said: {text[-1500:]}")
    finish(place, want, problems, who)
    if not problems:
        place.remove()
    return struck, problems


def one_fill(size_mib, left_kib, want):
    """A file system of its own, filled until `left_kib` are free before the run begins."""
    top = tempfile.mkdtemp(prefix="sluice-full-")
    who = f"{left_kib} KiB free"
    problems = []
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", top], check=True)
    try:
        place = rig.Place(data=f"{top}/data")
        place.full_disk = True
        status, text = place.call("init")
        if status != 0:
            return False, [f"init: {text}"]
        room = os.statvfs(top)
        with open(f"{top}/ballast", "wb") as ballast:
            ballast.write(bytes(max(0, room.f_bavail * room.f_frsize - (left_kib << 10))))
        status, text = place.engine("run", "pipeline.yml")
        struck = status != 0
        if struck and (status != 1 or TEXT not in text.lower()):
            problems.append(f"{who}: exit {status}, and the reason is not said: {text[-1500:]}")
        os.unlink(f"{top}/ballast")
        finish(place, want, problems, who)
        place.remove()
        return struck, problems
    finally:
        subprocess.run(["umount", "-l", top], check=False)
        os.rmdir(top)


def undisturbed():
    place = rig.Place()
    status, text = place.engine("run", "pipeline.yml")
    if status != 0:
        sys.exit(f"an undisturbed run: exit {status}\n{text}")
    state = place.end_state()
    place.remove()
    return state


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--points", default="", help="only points whose name contains this")
    options = options.parse_args()
    want = undisturbed()
    points = [p for p in rig.fault_points()
              if p.startswith(WRITES) and not p.endswith(AFTER) and options.points in p]
    jobs = [(point, hit, want) for point in points for hit in HITS]
    struck, problems = 0, []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for hit, found in pool.map(one_point, jobs):
            struck += hit
            problems += found
    fills = 0
    if options.points:
        print("some points only: no full file systems")
    elif os.geteuid() == 0:
        try:
            for size_mib, left_kib in FILLS:
                hit, found = one_fill(size_mib, left_kib, want)
                fills += hit
                problems += found
        except subprocess.CalledProcessError as refused:
            print(f"no file system of our own here ({refused}): fault points only")
    else:
        print("not root: fault points only")
    for line in problems:
        print(line)
    print(f"disk full test: {struck} of {len(jobs)} refusals struck, {fills} of {len(FILLS)} full file systems, "
          f"{len(problems)} problems")
    return 1 if problems or struck == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
