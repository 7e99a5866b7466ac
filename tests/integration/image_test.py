"""Images: an OCI layout that the test writes becomes the root of a step; layers, whiteouts and links as the image
specification says; hostile layers reach nothing; made again from what is stored."""
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

BIN = os.path.abspath(os.environ.get("SLUICE_BIN", "build/dev/sluice"))
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Layer:
    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", mode=0o644, link=""):
        info = tarfile.TarInfo(name)
        info.type, info.size, info.mode, info.linkname = kind, len(data), mode, link
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def link(self, name, target, kind=tarfile.SYMTYPE):
        return self.add(name, kind, link=target)

    def done(self, packed):
        self.tar.close()
        return gzip.compress(self.bytes.getvalue(), mtime=0) if packed else self.bytes.getvalue()


class Layout:
    def __init__(self, path):
        self.path = path
        os.makedirs(f"{path}/blobs/sha256")
        with open(f"{path}/oci-layout", "w", encoding="utf-8") as out:
            out.write('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{self.path}/blobs/sha256/{digest}", "wb") as out:
            out.write(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def image(self, layers, index=True):
        """Gives the digest that names the image."""
        config = {"architecture": ARCH, "os": "linux",
                  "config": {"Env": ["PATH=/usr/bin:/opt/tools", "FROM_IMAGE=yes"], "WorkingDir": "/opt"}}
        manifest = self.blob(json.dumps({"schemaVersion": 2, "config": self.blob(json.dumps(config).encode()),
                                         "layers": [self.blob(layer) for layer in layers]}).encode())
        if not index:
            return manifest["digest"]
        other = {**manifest, "digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "s390x"}}
        mine = {**manifest, "platform": {"os": "linux", "architecture": ARCH}}
        return self.blob(json.dumps({"schemaVersion": 2, "manifests": [other, mine]}).encode())["digest"]


def libraries(program):
    """Program and what its loader needs, as (path in the image, bytes)."""
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in [program, *re.findall(r"(/\S+) \(0x", out)]:
        with open(path, "rb") as source:
            yield path, source.read()


def base_layer():
    layer = Layer()
    for name in ("bin", "lib", "lib64"):
        layer.add(f"usr/{name}", tarfile.DIRTYPE, mode=0o755).link(name, f"usr/{name}")
    for program in ("/bin/dash", "/bin/cat"):
        for path, data in libraries(program):
            layer.add("." + path, data=data, mode=0o755)  # through the links, as layers of distributions do
    layer.link("usr/bin/sh", "dash").add("etc/os-release", data=b"NAME=first\n").link("etc/absolute", "/etc/os-release")
    layer.add("opt/gone/file", data=b"x").add("opt/emptied/old", data=b"x").add("opt/emptied/kept-not", data=b"x")
    layer.add("opt/file", data=b"same\n").link("opt/hard", "opt/file", tarfile.LNKTYPE)
    layer.add("opt/tools/tool", data=b"#!/bin/sh\necho tool\n", mode=0o755).add("var/lib/thing", data=b"x")
    return layer.done(True)


def upper_layer():
    layer = Layer()
    layer.add("opt/.wh.gone").add("opt/emptied/.wh..wh..opq").add("opt/emptied/new", data=b"new\n")
    layer.add("etc/os-release", data=b"NAME=second\n").link("var/lib/thing", "../../../../../../etc/os-release")
    return layer.done(False)


PIPELINE = """apiVersion: sluice/v1
kind: Pipeline
name: boxed
steps:
  use:
    runtime: {{ image: "{image}" }}
    inputs: {{ data: {{ dataset: d@latest }} }}
    env: {{ SAID: "yes" }}
    outputs: {{ out: {{ artifact: out }} }}
    run: |
      cat /etc/os-release /etc/absolute /opt/hard /var/lib/thing /opt/emptied/new "$SLUICE_IN_data"; tool
      echo "env $FROM_IMAGE $SAID"; [ ! -e /opt/gone ] && [ ! -e /opt/emptied/old ] && echo "whiteouts done"
      [ ! -e /usr/bin/python3 ] && [ ! -e "{data}/sluice.db" ] && echo "nothing of the machine"
      (echo x >/opt/x) 2>/dev/null || echo "the root is read-only"
      echo made >"$SLUICE_OUT_out"; echo '{{"n": 1}}' >>"$SLUICE_METRICS"
"""
WANT = ["NAME=second", "NAME=second", "same", "NAME=second", "new", "input", "tool", "env yes yes", "whiteouts done",
        "nothing of the machine", "the root is read-only"]


class Place:
    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="sluice-image-")
        self.repo = f"{self.top}/repo"
        os.mkdir(self.repo)

    def sluice(self, *args, want=0):
        env = {"PATH": "/usr/bin:/bin", "HOME": self.top, "LC_ALL": "C.UTF-8", "TERM": "dumb"}
        env.update({k: os.environ[k] for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if k in os.environ})
        ran = subprocess.run([BIN, *args], cwd=self.repo, env=env, text=True, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
        if ran.returncode != want:
            logs = "" if args[0] == "logs" else self.sluice("logs", "last")
            raise AssertionError(f"{args}: exit {ran.returncode}, not {want}:\n{ran.stdout}\n{logs}")
        return ran.stdout

    def pipeline(self, image):
        with open(f"{self.repo}/pipeline.yml", "w", encoding="utf-8") as out:
            out.write(PIPELINE.format(image=image, data=f"{self.repo}/.sluice"))

    def run(self, want=0):
        out = self.sluice("run", "pipeline.yml", want=want)
        steps = json.loads(self.sluice("show", "last", "--json"))["steps"]
        return {step["key"].split("@")[0].split(":")[0]: step["state"] for step in steps}, out


def refused_clearly(place, layout, good):
    place.pipeline("python@" + good)
    _, out = None, place.sluice("run", "pipeline.yml", want=2)
    assert "is in a registry" in out and "skopeo copy" in out, out
    place.pipeline(f"oci:{layout.path}@sha256:{'1' * 64}")
    states, _ = place.run(want=1)
    assert states == {"env": "failed", "use": "omitted"}, states
    assert "blobs/sha256/1111" in place.sluice("logs", "last"), place.sluice("logs", "last")


def damaged_and_hostile_layers(place, layout):
    broken = layout.image([base_layer(), b"no archive at all"], index=False)
    place.pipeline(f"oci:{layout.path}@{broken}")
    assert place.run(want=1)[0]["env"] == "failed"
    assert "layer 2" in place.sluice("logs", "last")
    outside = f"{place.top}/outside"
    os.mkdir(outside)
    hostile = Layer()
    hostile.add(f"../../../../../../../../..{outside}/up", data=b"x").add(f"{outside}/absolute", data=b"x")
    hostile.link("door", outside).add("door/through", data=b"x").link("opt/out", "../" * 40 + outside[1:])
    hostile.add("opt/out/further", data=b"x").link("opt/steal", "../" * 20 + "etc/hostname", tarfile.SYMTYPE)
    name = layout.image([base_layer(), hostile.done(False)], index=False)
    place.pipeline(f"oci:{layout.path}@{name}")
    place.sluice("run", "pipeline.yml", want=1)  # os-release stays "first": the step itself fails on what lacks
    assert os.listdir(outside) == [], os.listdir(outside)
    roots = [f"{place.repo}/.sluice/envs/{e}/root" for e in os.listdir(f"{place.repo}/.sluice/envs")
             if os.path.isdir(f"{place.repo}/.sluice/envs/{e}/root")]
    for root in roots:
        for folder, _, files in os.walk(root):
            for file in files:
                real = os.path.realpath(os.path.join(folder, file))
                assert real.startswith(root), f"{folder}/{file} leads to {real}"
    devices = Layer().add("dev/null", tarfile.CHRTYPE).done(False)
    place.pipeline(f"oci:{layout.path}@{layout.image([base_layer(), devices], index=False)}")
    assert place.run(want=1)[0]["env"] == "failed"


def main():
    place = Place()
    trial = subprocess.run(["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, check=False) \
        if shutil.which("bwrap") else None
    if trial is None or trial.returncode != 0:
        print("images: left out, bubblewrap does not work here")
        sys.exit(1 if os.environ.get("CI") else 0)
    layout = Layout(f"{place.top}/layout")
    good = layout.image([base_layer(), upper_layer()])
    with open(f"{place.top}/data", "w", encoding="utf-8") as out:
        out.write("input\n")
    place.sluice("init")
    place.sluice("data", "add", "d", f"{place.top}/data")
    place.pipeline(f"oci:{layout.path}@{good}")
    states, out = place.run()
    assert states == {"env": "succeeded", "use": "succeeded"}, out
    said = [line.split("| ", 1)[1] for line in place.sluice("logs", "last/use").splitlines() if "| " in line] \
        or place.sluice("logs", "last/use").splitlines()
    assert said == WANT, said
    [env] = json.loads(place.sluice("env", "ls", "--json"))["environments"]
    assert env["kind"] == "image" and env["ready"], env
    assert place.run()[0] == {"env": "cached", "use": "cached"}
    place.sluice("env", "gc", "--older", "0")
    shutil.move(layout.path, layout.path + ".gone")
    states, out = place.run()
    assert states == {"env": "succeeded", "use": "cached"}, out
    shutil.move(layout.path + ".gone", layout.path)
    refused_clearly(place, layout, good)
    damaged_and_hostile_layers(place, layout)
    print("images: layers, whiteouts, links and hostile ones: fine")
    subprocess.run(["chmod", "-R", "u+w", place.top], check=True)
    shutil.rmtree(place.top)


if __name__ == "__main__":
    main()
