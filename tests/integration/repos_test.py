"""Three repositories of real shape, from clone to gated model with the pipelines of docs/your-repository.md, no
change to their code, and the same run a second time without network.

The wheels of the scikit-learn one come from a folder that ci/setup fills; without it that part is skipped, or, with
CI set, fails.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BIN = os.path.abspath(os.environ.get("SLUICE_BIN", "build/dev/sluice"))
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
REPOS = f"{ROOT}/tests/clients/repos"
WHEELS = os.environ.get("SLUICE_TEST_WHEELS") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sluice-tests/wheels")
IRIS = "/usr/lib/python3/dist-packages/sklearn/datasets/data/iris.csv"
sys.path.insert(0, f"{ROOT}/tests/support")
import make_wheels  # noqa: E402


def pipelines():
    """The complete pipelines of the page, in its order; at most fifteen lines each."""
    with open(f"{ROOT}/docs/your-repository.md", encoding="utf-8") as page:
        found = re.findall(r"^```yaml\n(.*?)^```$", page.read(), re.M | re.S)
    assert len(found) == 3, len(found)
    for text in found:
        assert len(text.splitlines()) <= 15, f"{len(text.splitlines())} lines:\n{text}"
    return found


class Clone:
    """A clone of a repository, with the pipeline beside the code and the data imported."""

    def __init__(self, top, name, pipeline, extra=None, find_links=None):
        self.top, self.dir, self.find_links = top, f"{top}/{name}", find_links
        origin = f"{top}/{name}-origin"
        shutil.copytree(f"{REPOS}/{name}", origin)
        for path, text in (extra or {}).items():
            with open(f"{origin}/{path}", "w", encoding="utf-8") as out:
                out.write(text)
        git = ["git", "-C", origin, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "their code"]):
            subprocess.run(git + words, check=True)
        subprocess.run(["git", "clone", "-q", origin, self.dir], check=True)
        with open(f"{self.dir}/pipeline.yml", "w", encoding="utf-8") as out:
            out.write(pipeline)
        self.sluice("init")
        self.sluice("data", "add", "iris", f"{top}/iris.csv")

    def start(self, *args, offline=False):
        env = {"PATH": "/usr/bin:/bin", "HOME": self.top, "LC_ALL": "C.UTF-8", "TERM": "dumb"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        if self.find_links and not offline:
            env.update(PIP_FIND_LINKS=self.find_links, PIP_NO_INDEX="1")
        prefix = ["unshare", "-n"] if offline and os.geteuid() == 0 else []
        return subprocess.Popen([*prefix, BIN, *args], cwd=self.dir, env=env, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def sluice(self, *args, want=0, offline=False):
        process = self.start(*args, offline=offline)
        out, _ = process.communicate(timeout=600)
        if process.returncode != want:
            logs, _ = self.start("logs", "last").communicate()
            raise AssertionError(f"{args}: exit {process.returncode}, not {want}:\n{out}\n{logs}")
        return out

    def states(self):
        return {s["key"]: s["state"] for s in json.loads(self.sluice("show", "last", "--json"))["steps"]}

    def twice(self, model):
        """A gated model, then the same without network."""
        self.sluice("run", "pipeline.yml")
        states = self.states()
        assert set(states.values()) == {"succeeded"} and "gate" in states, states
        first = json.loads(self.sluice("model", "show", model, "--json"))
        self.sluice("run", "pipeline.yml", offline=True)
        again = self.states()
        assert all(state == "cached" for key, state in again.items() if key != "gate"), again
        assert again["gate"] == "succeeded", again
        self.sluice("run", "pipeline.yml", "--no-cache", offline=True)  # everything anew but the environment
        states = self.states()
        assert {state for key, state in states.items() if key.startswith("env:")} <= {"cached"}, states
        assert all(state == "succeeded" for key, state in states.items() if not key.startswith("env:")), states
        assert json.loads(self.sluice("model", "show", model, "--json"))["digest"] == first["digest"]
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], cwd=self.dir,
                                 capture_output=True, text=True, check=True).stdout
        assert changed == "", changed  # not a byte of their code
        lineage = self.sluice("lineage", f"{model}@v1")
        assert "dataset" in lineage and "code_snapshot" in lineage, lineage
        return states


def edits_during_a_run_change_nothing(clone):
    """Both steps see the script as it was submitted, though it is edited between them."""
    for name in ("reached", "go"):
        os.mkfifo(f"{clone.top}/{name}")
    with open(f"{clone.dir}/edit.yml", "w", encoding="utf-8") as out:
        out.write(f"""apiVersion: sluice/v1
kind: Pipeline
name: edit
steps:
  first: {{ run: "sha256sum train.sh; echo x >{clone.top}/reached; read x <{clone.top}/go" }}
  second: {{ needs: [first], run: "sha256sum train.sh" }}
""")
    run = clone.start("run", "edit.yml")
    with open(f"{clone.top}/reached", encoding="utf-8") as reached:
        reached.read()
    with open(f"{clone.dir}/train.sh", "a", encoding="utf-8") as script:
        script.write("# edited meanwhile\n")
    with open(f"{clone.top}/go", "w", encoding="utf-8") as go:
        go.write("x\n")
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 0, out
    digests = {line.split()[-2] for line in clone.sluice("logs", "last").splitlines() if "train.sh" in line}
    assert len(digests) == 1, digests
    clone.sluice("run", "pipeline.yml")  # now the edit counts
    why = clone.sluice("why", "last/train")
    assert "code.digest" in why, why


def main():
    top = tempfile.mkdtemp(prefix="sluice-repos-")
    sklearn, packages, shell = pipelines()
    with open(IRIS, encoding="utf-8") as table, open(f"{top}/iris.csv", "w", encoding="utf-8") as out:
        out.write("sepal_length,sepal_width,petal_length,petal_width,class\n" + table.read().split("\n", 1)[1])
    parts = []

    clone = Clone(top, "shell", shell)
    clone.twice("threshold")
    edits_during_a_run_change_nothing(clone)
    parts.append("shell")

    os.mkdir(f"{top}/index")
    digest = make_wheels.wheel(f"{top}/index", "distances", "1.2", [])
    lock = f"distances==1.2 \\\n    --hash=sha256:{digest}\n"
    clone = Clone(top, "packages", packages, {"requirements.lock": lock}, f"{top}/index")
    assert clone.twice("acme")["env:requirements.lock"] == "cached"
    parts.append("packages")

    if glob.glob(f"{WHEELS}/scikit_learn-*.whl"):
        clone = Clone(top, "sklearn", sklearn, find_links=WHEELS)
        assert clone.twice("iris")["env:requirements.txt"] == "cached"
        parts.append("sklearn")
    else:
        print(f"the scikit-learn repository was left out: no wheels in {WHEELS} (ci/setup fetches them)")
        if os.environ.get("CI"):
            sys.exit(1)
    print(f"repositories: {', '.join(parts)}: gated, twice, the second time without network")
    subprocess.run(["chmod", "-R", "u+w", top], check=True)
    shutil.rmtree(top)


if __name__ == "__main__":
    main()
