"""Environments: made once from hashed locks, used offline, made again from stored wheels, never used half made.

Packages are tiny wheels that the test writes itself; pip finds them by its own configuration (PIP_FIND_LINKS), as
a user's index would be found.
"""
import contextlib
import glob
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile

BIN = os.path.abspath(os.environ.get("SLUICE_BIN", "build/dev/sluice"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../support"))
import make_wheels  # noqa: E402

POINTS = ("env.begin", "env.venv", "env.wheels", "env.installed", "env.sealed", "env.marked")
PIPELINE = """apiVersion: sluice/v1
kind: Pipeline
name: demo
steps:
  use:
    runtime: { venv: requirements.lock }
    code: [use.py]
    command: [python, use.py]
    outputs: { said: { artifact: said } }
"""
USE = """import os, sys, tiny, helper
assert sys.prefix == os.environ["VIRTUAL_ENV"], sys.prefix
print("tiny", tiny.version, "helper", helper.version)
with open(os.environ["SLUICE_OUT_said"], "w") as out:
    out.write(tiny.version)
"""


class Place:
    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="sluice-env-")
        self.repo, self.index = f"{self.top}/repo", f"{self.top}/index"
        os.mkdir(self.repo)
        self.write("pipeline.yml", PIPELINE)
        self.write("use.py", USE)
        self.lock(["tiny==1.0:helper", "helper==2.0"])

    def write(self, name, text):
        with open(f"{self.repo}/{name}", "w", encoding="utf-8") as out:
            out.write(text)

    def lock(self, words, before=""):
        os.makedirs(self.index, exist_ok=True)
        text = before
        for word in words:
            pinned, _, needs = word.partition(":")
            name, version = pinned.split("==")
            digest = make_wheels.wheel(self.index, name, version, [n for n in needs.split(",") if n])
            text += f"{pinned} \\\n    --hash=sha256:{digest}\n    # via test\n"
        self.write("requirements.lock", text)

    def env(self, **more):
        env = {"PATH": "/usr/bin:/bin", "HOME": self.top, "LC_ALL": "C.UTF-8", "TERM": "dumb",
               "PIP_FIND_LINKS": self.index, "PIP_NO_INDEX": "1"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(more)
        return {name: value for name, value in env.items() if value is not None}

    def start(self, *args, prefix=(), **more):
        return subprocess.Popen([*prefix, BIN, *args], cwd=self.repo, env=self.env(**more), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def sluice(self, *args, want=0, **more):
        process = self.start(*args, **more)
        out, _ = process.communicate(timeout=300)
        if process.returncode != want:
            logs = subprocess.run([BIN, "logs", "last"], cwd=self.repo, env=self.env(), text=True,
                                  capture_output=True, check=False).stdout
            raise AssertionError(f"{args}: exit {process.returncode}, not {want}:\n{out}\n{logs}")
        return out

    def steps(self, run="last"):
        shown = json.loads(self.sluice("show", run, "--json"))
        return {step["key"]: step["state"] for step in shown["steps"]}

    def envs(self):
        return json.loads(self.sluice("env", "ls", "--json"))["environments"]


def expect(got, want):
    assert got == want, f"{got!r} is not {want!r}"


def offline():
    """A prefix without any network where that can be made; elsewhere pip is pointed at nothing."""
    if os.geteuid() == 0 and subprocess.run(["unshare", "-n", "true"], check=False).returncode == 0:
        return ["unshare", "-n"]
    return []


def made_once_then_offline(place):
    out = place.sluice("run", "pipeline.yml")
    expect(place.steps(), {"env:requirements.lock": "succeeded", "use": "succeeded"})
    assert "tiny 1.0 helper 2.0" in place.sluice("logs", "last/use"), out
    shutil.move(place.index, place.index + ".gone")  # nothing to fetch from any more
    place.sluice("run", "pipeline.yml", prefix=offline(), PIP_FIND_LINKS=None)
    expect(place.steps(), {"env:requirements.lock": "cached", "use": "cached"})
    [env] = place.envs()
    shown = place.sluice("show", "last")
    assert f"runs in   requirements.lock  {env['id'][:12]}" in shown and "not reproducible" not in shown, shown
    assert env["ready"] and env["packages"] == 2 and env["in_use_by"] == [], env
    held = [path for path in glob.glob(f"{place.repo}/.sluice/envs/{env['id']}/**", recursive=True)
            if not os.path.islink(path) and os.stat(path).st_mode & 0o222]
    expect(held, [])  # nothing in it can be written


def made_again_from_stored_wheels(place):
    place.sluice("env", "gc", "--older", "0")
    expect(place.envs(), [])
    plan = place.sluice("plan", "pipeline.yml")
    assert "installed again from stored wheels" in plan and re.search(r"use +cached", plan), plan
    place.write("use.py", USE + "print('edited')\n")
    place.sluice("run", "pipeline.yml", prefix=offline(), PIP_FIND_LINKS=None)
    expect(place.steps(), {"env:requirements.lock": "succeeded", "use": "succeeded"})
    assert "without network" in place.sluice("logs", "last/env:requirements.lock")
    shutil.move(place.index + ".gone", place.index)


def what_the_key_depends_on(place):
    before = place.envs()[0]["id"]
    text = open(f"{place.repo}/requirements.lock", encoding="utf-8").read()
    place.write("requirements.lock", "# a comment\n--extra-index-url http://me:word@localhost:1/\n" + text)
    place.write("other.py", "nobody declared this\n")
    place.sluice("run", "pipeline.yml")
    expect(place.steps(), {"env:requirements.lock": "cached", "use": "cached"})
    place.lock(["tiny==1.1:helper", "helper==2.0"])
    assert "runtime.packages.tiny" in place.sluice("plan", "pipeline.yml")
    place.sluice("run", "pipeline.yml")
    why = json.loads(place.sluice("why", "last/use", "--json"))
    expect([(d["field"], d["old"], d["new"]) for d in why["differences"]],
           [("runtime.packages.tiny", "1.0", "1.1")])
    said = place.sluice("why", "last/use")
    assert "runtime.packages.tiny" in said and "1.0" in said and "1.1" in said, said
    after = [env["id"] for env in place.envs()]
    assert before in after and len(after) == 2, (before, after)
    lineage = place.sluice("lineage", "said@v2")
    assert "environment env:requirements.lock" in lineage, lineage


def never_half_made(place):
    for number, point in enumerate(POINTS):
        place.lock([f"tiny==3.{number}:helper", "helper==2.0"])
        place.sluice("run", "pipeline.yml", want=1, SLUICE_FAULT=f"{point}:1:kill")
        expect(place.steps(), {"env:requirements.lock": "failed", "use": "omitted"})
        ready = sum(env["ready"] for env in place.envs())
        place.sluice("run", "pipeline.yml")
        assert f"tiny 3.{number}" in place.sluice("logs", "last/use")
        now = sum(env["ready"] for env in place.envs())
        expect(now - ready, 0 if point == "env.marked" else 1)  # whole from its marker on
    place.lock(["tiny==3.9:helper", "helper==2.0"])
    place.sluice("run", "pipeline.yml", want=1, SLUICE_FAULT="env.sealed:1:enospc")
    assert "No space left" in place.sluice("logs", "last/env:requirements.lock")
    place.sluice("env", "gc")  # half made ones go without asking for their age
    assert all(env["ready"] for env in place.envs())


def engine_killed_while_building(place, slow):
    """The builder goes on without its engine; the next engine takes it up."""
    place.lock(["tiny==4.0:helper", "helper==2.0"])
    place.write("pipeline.yml", PIPELINE.replace("requirements.lock }", f"requirements.lock, python: {slow.path} }}"))
    run = place.start("run", "pipeline.yml")
    slow.reached()
    run.send_signal(signal.SIGKILL)
    run.wait()
    slow.let_go()
    place.sluice("resume")
    expect(place.steps(), {"env:requirements.lock": "succeeded", "use": "succeeded"})
    shown = json.loads(place.sluice("show", "last", "--json"))
    expect({step["key"]: step["attempts"] for step in shown["steps"]}, {"env:requirements.lock": 1, "use": 1})


def cancelled_while_building(place, slow):
    place.lock(["tiny==4.1:helper", "helper==2.0"])
    run = place.start("run", "pipeline.yml")
    slow.reached()
    busy = json.loads(place.sluice("env", "gc", "--older", "0", "--dry-run", "--json"))
    assert all("runs in it" not in env["reason"] or not env["removed"] for env in busy["environments"])
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=120)
    expect(run.returncode, 7)
    expect(place.steps()["env:requirements.lock"], "cancelled")
    slow.let_go()
    place.sluice("run", "pipeline.yml")
    assert "tiny 4.1" in place.sluice("logs", "last/use"), out
    place.write("pipeline.yml", PIPELINE)


class SlowPython:
    """An interpreter that, asked for a venv, says so in a FIFO and waits until it may go on."""

    def __init__(self, top):
        self.path, self.said, self.go = f"{top}/slow-python", f"{top}/said", f"{top}/go"
        for path in (self.said, self.go):
            os.mkfifo(path)
        with open(self.path, "w", encoding="utf-8") as out:
            out.write(f'#!/bin/sh\ncase "$*" in *"-m venv"*) echo x >{self.said}; read x <{self.go} ;; esac\n'
                      'exec /usr/bin/python3 "$@"\n')
        os.chmod(self.path, 0o755)

    def reached(self):
        with open(self.said, encoding="utf-8") as said:
            said.read()

    def let_go(self):
        """Whoever waits goes on, now and later."""
        os.remove(self.said)
        with open(self.said, "w", encoding="utf-8"):
            pass
        with contextlib.suppress(OSError):
            fd = os.open(self.go, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"x\n")
            os.close(fd)
        os.remove(self.go)
        with open(self.go, "w", encoding="utf-8") as go:
            go.write("x\n")

    def renew(self):
        for path in (self.said, self.go):
            os.remove(path)
            os.mkfifo(path)


def bad_locks_fail_clearly(place):
    place.write("requirements.lock", "# wanted\ntiny>=1.0\nhelper\n")
    for command in ("lint", "run", "plan"):
        out = place.sluice(command, "pipeline.yml", want=2)
        assert "requirements.lock:2:1: error: 'tiny' has no hash" in out, out
        assert "uv pip compile --generate-hashes" in out and "pip-compile --generate-hashes" in out, out
    os.rename(f"{place.repo}/requirements.lock", f"{place.repo}/requirement.lock")
    out = place.sluice("lint", "pipeline.yml", want=2)
    assert "did you mean 'requirement.lock'?" in out, out
    os.remove(f"{place.repo}/requirement.lock")
    place.lock(["tiny==5.0:helper"])  # helper is not locked
    place.sluice("run", "pipeline.yml", want=1)
    logs = place.sluice("logs", "last/env:requirements.lock")
    assert "helper" in logs, logs
    expect(place.steps(), {"env:requirements.lock": "failed", "use": "omitted"})
    place.write("requirements.lock", "tiny==1.0 --hash=sha256:" + "0" * 64 + "\n")
    place.sluice("run", "pipeline.yml", want=1)
    assert "DO NOT MATCH THE HASHES" in place.sluice("logs", "last/env:requirements.lock")
    place.lock(["tiny==1.0:helper", "helper==2.0"])
    place.write("pipeline.yml", PIPELINE.replace("requirements.lock }", "requirements.lock, python: python9.9 }"))
    out = place.sluice("run", "pipeline.yml", want=2)
    assert "python9.9" in out, out
    place.write("pipeline.yml", PIPELINE)


def two_interpreters_are_two_environments(place, slow):
    place.write("pipeline.yml", PIPELINE + f"""  again:
    runtime: {{ venv: requirements.lock, python: {slow.path} }}
    command: [tiny]
""")
    place.sluice("run", "pipeline.yml")
    steps = place.steps()
    assert f"env:requirements.lock:{slow.path}" in steps and len(steps) == 4, steps
    place.write("pipeline.yml", PIPELINE)


def kept_while_a_run_uses_it(place):
    """The engine itself knows its runs: gc goes through it."""
    os.mkfifo(f"{place.top}/hold")
    os.mkfifo(f"{place.top}/held")
    place.write("hold.yml", PIPELINE.replace("demo", "hold").replace(
        "command: [python, use.py]", f"run: echo x >{place.top}/held; read x <{place.top}/hold; tiny")
        .replace("    outputs: { said: { artifact: said } }\n", ""))
    place.sluice("run", "pipeline.yml")
    run = place.start("run", "hold.yml")
    with open(f"{place.top}/held", encoding="utf-8") as held:
        held.read()
    kept = json.loads(place.sluice("env", "gc", "--older", "0", "--json"))["environments"]
    with open(f"{place.top}/hold", "w", encoding="utf-8") as hold:
        hold.write("x\n")
    out, _ = run.communicate(timeout=120)
    expect(run.returncode, 0)
    assert [env["reason"] for env in kept if not env["removed"]] == ["hold#1 runs in it"], (kept, out)


def credentials_leave_no_trace(place):
    canary = "canary5f1c7e"
    place.lock(["tiny==6.0:helper", "helper==2.0"])
    place.sluice("run", "pipeline.yml", PIP_NO_INDEX=None, PIP_INDEX_URL=f"http://me:{canary}@127.0.0.1:9/simple",
                 PIP_RETRIES="0", HTTPS_PROXY=f"http://me:{canary}@127.0.0.1:9", AWS_SECRET_ACCESS_KEY=canary)
    found = subprocess.run(["grep", "-rl", canary, f"{place.repo}/.sluice"], capture_output=True, text=True,
                           check=False).stdout
    expect(found, "")


def made_without_a_pipeline(place):
    place.lock(["tiny==7.0:helper", "helper==2.0"])
    out = place.sluice("env", "build", "requirements.lock")
    assert "succeeded" in out, out
    place.sluice("run", "pipeline.yml")
    expect(place.steps()["env:requirements.lock"], "cached")
    shown = place.sluice("env", "show", sorted(place.envs(), key=lambda e: e["built_ms"])[-1]["id"][:8])
    assert re.search(r"tiny +7\.0", shown), shown
    place.sluice("env", "build", "nothing.lock", want=2)
    place.sluice("env", "show", "ffffffffffff", want=2)


def source_is_built_once(place):
    """A source distribution with a backend of its own: built by the first run, its wheel kept for the others."""
    backend = """import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "sourced-1.0-py3-none-any.whl", "sourced-1.0.dist-info"
    files = {"sourced.py": "version = '1.0'\\n", f"{info}/METADATA": "Metadata-Version: 2.1\\nName: sourced\\nVersion: 1.0\\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}
    with zipfile.ZipFile(f"{folder}/{name}", "w") as out:
        for path, text in files.items():
            out.writestr(path, text)
        out.writestr(f"{info}/RECORD", "".join(f"{path},,\\n" for path in files) + f"{info}/RECORD,,\\n")
    return name
"""
    files = {"backend.py": backend, "PKG-INFO": "Metadata-Version: 2.1\nName: sourced\nVersion: 1.0\n",
             "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'}
    path = f"{place.index}/sourced-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        for name, text in files.items():
            info = tarfile.TarInfo(f"sourced-1.0/{name}")
            info.size = len(text)
            out.addfile(info, io.BytesIO(text.encode()))
    with open(path, "rb") as made:
        place.write("requirements.lock", f"sourced==1.0 --hash=sha256:{hashlib.sha256(made.read()).hexdigest()}\n")
    place.write("sourced.yml", PIPELINE.replace("demo", "sourced").replace(
        "command: [python, use.py]", "run: python -c 'import sourced; print(sourced.version)' | tee \"$SLUICE_OUT_said\""))
    place.sluice("run", "sourced.yml")
    os.remove(path)
    place.sluice("env", "gc", "--older", "0")
    place.sluice("run", "sourced.yml", "--no-cache", prefix=offline(), PIP_FIND_LINKS=None)
    expect(place.steps(), {"env:requirements.lock": "succeeded", "use": "succeeded"})
    assert "1.0" in place.sluice("logs", "last/use")


def policy_wants_reproducible_steps(place):
    place.write("project.yml", "apiVersion: sluice/v1\nkind: Project\nname: strict\npolicies: { reproducible: true }\n")
    place.sluice("project", "apply", "project.yml")
    place.write("host.yml", "apiVersion: sluice/v1\nkind: Pipeline\nname: host\nsteps: { a: { run: 'true' } }\n")
    out = place.sluice("run", "host.yml", want=3)
    assert "step 'a' runs on the host" in out, out
    place.sluice("run", "pipeline.yml")


def sandbox_policy_wants_wheels(place):
    """A source distribution runs its own code while it is built, outside the sandbox."""
    place.write("project.yml", "apiVersion: sluice/v1\nkind: Project\nname: strict\npolicies: { sandbox: strict }\n")
    place.sluice("project", "apply", "project.yml")
    out = place.sluice("run", "pipeline.yml", want=3)
    assert "takes wheels only; put the line '--only-binary :all:'" in out or "must run in a strict sandbox" in out, out
    with open(f"{place.repo}/requirements.lock", "a", encoding="ascii") as lock:
        lock.write("--only-binary :all:\n")
    if shutil.which("bwrap"):
        place.sluice("run", "pipeline.yml")


def example_of_the_page_runs(place):
    """The pipeline of docs/environments.md, under a lock without packages."""
    page = os.path.join(os.path.dirname(__file__), "../../docs/environments.md")
    with open(page, encoding="utf-8") as text:
        [example] = re.findall(r"^```yaml\n(.*?)^```$", text.read(), re.M | re.S)
    place.write("requirements.lock", "")
    place.write("example.yml", example)
    place.sluice("run", "example.yml")
    expect(place.steps(), {"env:requirements.lock": "succeeded", "train": "succeeded", "tidy": "succeeded"})
    assert "in the environment" in place.sluice("logs", "last/train")
    assert "the host as it is: not reproducible" in place.sluice("show", "last")


def main():
    place = Place()
    slow = SlowPython(place.top)
    made_once_then_offline(place)
    made_again_from_stored_wheels(place)
    what_the_key_depends_on(place)
    never_half_made(place)
    engine_killed_while_building(place, slow)
    slow.renew()
    cancelled_while_building(place, slow)
    bad_locks_fail_clearly(place)
    two_interpreters_are_two_environments(place, slow)
    kept_while_a_run_uses_it(place)
    credentials_leave_no_trace(place)
    made_without_a_pipeline(place)
    example_of_the_page_runs(place)
    source_is_built_once(place)
    place.lock(["tiny==7.0:helper", "helper==2.0"])
    policy_wants_reproducible_steps(place)
    sandbox_policy_wants_wheels(place)
    print(f"environments: {len(POINTS)} kill points, {len(place.envs())} environments, all fine")
    subprocess.run(["chmod", "-R", "u+w", place.top], check=True)
    shutil.rmtree(place.top)


if __name__ == "__main__":
    main()
