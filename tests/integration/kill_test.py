"""Kills the engine with SIGKILL at every fault point and at random moments of a thirty-step run, restarts it,
and checks that nothing was lost and nothing was done twice.

    kill_test.py [--kills N] [--seed N] [--round N] [--keep]

Every round is one run in its own data directory, disturbed up to three times, then finished by an engine
that nobody disturbs. The plan of a round follows from the seed alone; --round repeats one of them. The
moment of a random kill and what runs beside it do not: a finding is proven by its evidence, kept on failure.
"""
import argparse
import concurrent.futures
import os
import random
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.environ.get("TEST_SUPPORT") or
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import engine_rig as rig  # noqa: E402

PER_ROUND = 3
SICK_POINTS = ("deploy.revert", "deploy.reverted")
RARE = ("deploy.", "promote.", "runner.")   # struck at their first hits; others anywhere up to the hundredth
START_AND_END_S = 2.0


def sick_round(points):
    return any(point in SICK_POINTS for point in points)


def plan(seed, number, points):
    """What a round does to its engines: (point, nth) or seconds."""
    rng = random.Random(f"{seed}:{number}")
    if number < 2 * len(points):  # every point by its first hit, then by a later one
        point = points[number % len(points)]
        rare = point.startswith(RARE)
        first = 1 if number < len(points) else rng.randint(2, 4 if rare else 100)
        return [(point, first)] + [(point, rng.randint(1, 3 if rare else 60)) for _ in range(PER_ROUND - 1)]
    return [rng.uniform(0, START_AND_END_S) if rng.random() < 0.7 else (rng.choice(points), rng.randint(1, 40))
            for _ in range(PER_ROUND)]


class Round:
    def __init__(self, seed, number, points, baselines):
        self.number, self.strikes = number, plan(seed, number, points)
        self.sick = sick_round([s[0] for s in self.strikes if isinstance(s, tuple)])
        self.want = baselines[self.sick]
        self.kills, self.adoptions, self.problems, self.reached = 0, 0, [], set()
        self.place = rig.Place(sick=self.sick)

    def strike(self, what):
        args = ("resume",) if self.place.has_run() else ("run", "pipeline.yml")
        before = self.place.held()
        if isinstance(what, tuple):
            status, text = self.place.engine(*args, fault=f"{what[0]}:{what[1]}:kill")
        else:
            status, text = self.place.engine(*args, kill_after_s=what)
        if status != -signal.SIGKILL:
            if status not in (0, 1):
                self.problems.append(f"{args[0]}: exit {status}: {text[-2000:]}")
            return
        self.kills += 1
        if isinstance(what, tuple):
            self.reached.add(what[0])
        self.check_held(before)

    def check_held(self, before):
        """The step that runs must have outlived the engine, and be the same process as before."""
        lines = [line for line in self.place.ledger() if line[1] == "hold"]
        now = self.place.held()
        if lines and now is None and not os.path.exists(f"{self.place.top}/let-go"):
            self.problems.append("the running step died with its engine")
        if before is not None and now not in (None, before):
            self.problems.append(f"the running step was process {before} and is process {now}")
        self.adoptions += now is not None

    def finish(self):
        args = ("resume",) if self.place.has_run() else ("run", "pipeline.yml")
        status, text = self.place.engine(*args)
        want = 1 if self.sick else 0
        if status != want and "nothing to resume" not in text:
            self.problems.append(f"the last engine: exit {status}, not {want}: {text[-2000:]}")
        state = self.place.end_state()
        for part, value in self.want.items():
            if state[part] != value:
                gone = [row for row in value if row not in state[part]]
                more = [row for row in state[part] if row not in value]
                self.problems.append(f"{part} differ from an undisturbed run: lacks {gone}, has {more}")
        self.problems += self.place.problems()

    def go(self, keep):
        for what in self.strikes:
            self.strike(what)
        self.finish()
        if self.problems:
            self.problems.insert(0, f"evidence in {self.place.top}")
        elif not keep:
            self.place.remove()
        return self


def baseline(sick):
    place = rig.Place(sick=sick)
    status, text = place.engine("run", "pipeline.yml")
    problems = place.problems()
    state = place.end_state()
    if status != (1 if sick else 0) or problems or len(state["steps"]) != rig.N_STEPS:
        sys.exit(f"an undisturbed run: exit {status}, {problems}\n{text}")
    place.remove()
    return state


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=90)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--round", type=int)
    options.add_argument("--keep", action="store_true")
    options = options.parse_args()
    points = [p for p in rig.fault_points() if not p.startswith(("env.", "gc.", "secret."))]  # env_test.py, history_test.py, secret_test.py
    baselines = {False: baseline(False), True: baseline(True)}
    kills = adoptions = violations = rounds = 0
    reached = set()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        while rounds == 0 or (options.round is None and (kills < options.kills or rounds < len(points))):
            numbers = [options.round] if options.round is not None else range(rounds, rounds + 4)
            batch = [Round(options.seed, n, points, baselines) for n in numbers]
            for done in pool.map(lambda r: r.go(options.keep), batch):
                kills += done.kills
                adoptions += done.adoptions
                reached |= done.reached
                violations += bool(done.problems)
                for line in done.problems:
                    print(f"round {done.number} {done.strikes}: {line}", flush=True)
            rounds += len(batch)
    missed = sorted(set(points) - reached)
    print(f"seed {options.seed}, {rounds} rounds; points struck: {len(reached)} of {len(points)}"
          f"{', not reached: ' + ' '.join(missed) if missed else ''}")
    print(f"kill test: {kills} kills, {adoptions} adoptions, {violations} violations")
    return 1 if violations or (options.round is None and (missed or adoptions == 0)) else 0


if __name__ == "__main__":
    sys.exit(main())
