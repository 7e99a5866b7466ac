"""A stock JSON Schema validator and `lint` agree about structure.

Every good pipeline is accepted by both, every bad one numbered 100 to 199 (wrong in structure) is
refused by both. Needs python3-jsonschema, as ci/setup installs it.
"""
import json
import os
import subprocess
import sys

import jsonschema

TOOL = os.path.join(os.environ.get("SLUICE_BUILD", "build/dev"), "spec_tool")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "tests", "golden", "lint")


def run(*args):
    return subprocess.run([TOOL, *args], stdout=subprocess.PIPE, check=False)


def files(folder):
    for directory, _, names in os.walk(os.path.join(GOLDEN, folder)):
        for name in sorted(names):
            if name.endswith(".yml"):
                yield os.path.join(directory, name)


def main():
    schema = json.loads(run("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    problems, n_good, n_bad = [], 0, 0
    for path in files("good"):
        n_good += 1
        if run("lint", path).returncode != 0:
            problems.append(f"{path}: lint refuses a good file")
        for document in json.loads(run("json", path).stdout):
            for error in validator.iter_errors(document):
                problems.append(f"{path}: schema refuses a good file: {error.message}")
    for path in files("bad"):
        if not os.path.basename(path).startswith("1"):
            continue
        n_bad += 1
        documents = json.loads(run("json", path).stdout)
        if all(validator.is_valid(document) for document in documents):
            problems.append(f"{path}: schema accepts what is wrong in structure")
        if run("lint", path).returncode != 2:
            problems.append(f"{path}: lint accepts what is wrong in structure")
    for problem in problems:
        print(problem)
    print(f"{n_good} good and {n_bad} bad files, {len(problems)} problems")
    if n_good < 8 or n_bad < 60:
        print("too few files were tried")
        return 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
