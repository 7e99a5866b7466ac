"""Imports end to end: https with a CA of our own, Range and ETag; cuts, kills and changes on the way; S3 with
checked signatures; references; archives; the project's demand for metadata; addresses that are refused."""
import fcntl
import hashlib
import io
import json
import os
import pty
import random
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import termios
import threading
import time
import zipfile

sys.path.insert(0, os.environ["TEST_SUPPORT"])
import data_server  # noqa: E402
from data_server import Item  # noqa: E402

BIN = os.environ["SLUICE_BIN"]
SEED = int(os.environ.get("TEST_SEED", "7"))
ROUNDS = int(os.environ.get("TEST_ROUNDS", "8"))
checks = 0


def check(condition, text):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAIL (seed {SEED}): {text}")


def blob(size, seed):
    return random.Random(seed).randbytes(size)


class Place:
    """A data directory and the command line on it."""
    def __init__(self, **env):
        self.dir = tempfile.mkdtemp(prefix="sluice-import-")
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith("AWS_") and "proxy" not in k.lower()}
        self.env = {**clean, "SLUICE_DATA": os.path.join(self.dir, "data"), **env}
        os.mkdir(self.env["SLUICE_DATA"])

    def run(self, *args, code=0, env=None):
        p = subprocess.run([BIN, *args], cwd=self.dir, env={**self.env, **(env or {})}, text=True,
                           capture_output=True, timeout=300)
        check(p.returncode == code, f"{args}: exit {p.returncode}, expected {code}: {p.stderr}{p.stdout}")
        self.stdout = p.stdout
        return p.stdout + p.stderr

    def json(self, *args, **k):
        self.run(*args, "--json", **k)
        return json.loads(self.stdout)

    def get(self, ref):
        out = tempfile.mkdtemp(prefix="sluice-got-")  # not in what a run snapshots
        self.run("data", "get", ref, os.path.join(out, "x"))
        files = {}
        for folder, _, names in os.walk(os.path.join(out, "x")):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    files[os.path.relpath(path, os.path.join(out, "x"))] = f.read()
        shutil.rmtree(out)
        return files

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


TLS_DIR = tempfile.mkdtemp(prefix="sluice-tls-")
CA, CHAIN, KEY = data_server.certificate(TLS_DIR)


def https():
    return data_server.Server(data_server.Files, (CHAIN, KEY))


def test_https_and_refresh():
    s, p = https(), Place()
    data = blob(3_000_000, 1)
    s.files["/d/claims%20May.csv"] = Item(data)
    url = s.url + "/d/claims%20May.csv"
    out = p.run("data", "import", url, "claims", code=3)
    check("127.0.0.1" in out and "certificate" in out.lower(), f"untrusted CA: {out}")
    v = p.json("data", "import", url, "claims", "--ca", CA, "--owner", "ann", "--licence", "CC0")
    check(v["created"] and v["version"] == 1 and v["bytes"] == len(data), f"import: {v}")
    check(p.get("claims") == {"claims May.csv": data}, "content differs")
    shown = p.run("data", "show", "claims")
    for needle in (url, "ann", "CC0", "etag"):
        check(needle in shown, f"show lacks {needle}: {shown}")
    before = len(s.log)
    v = p.json("data", "refresh", "claims")
    check(not v["created"] and v["fetched_bytes"] == 0, f"refresh without change: {v}")
    check(len(s.log) == before + 1 and "If-None-Match" in s.log[-1][2], "one conditional request")
    newer = blob(2_000_000, 2)
    s.files["/d/claims%20May.csv"] = Item(newer)
    v = p.json("data", "refresh", "claims")
    check(v["created"] and v["version"] == 2, f"refresh after change: {v}")
    check(p.get("claims@v2")["claims May.csv"] == newer, "second content differs")
    check("ann" in p.run("data", "show", "claims"), "metadata goes on")
    s.files["/d/claims%20May.csv"] = Item(newer, etag='"touched"')
    v = p.json("data", "refresh", "claims")
    check(not v["created"] and v["version"] == 2, f"same bytes under another ETag: {v}")
    check("extracted from" in p.run("lineage", "claims"), "source in lineage")
    out = p.run("data", "import", s.url + "/none", "x", "--ca", CA, code=2)
    check("answered 404" in out, out)
    p.run("fsck", "--deep")
    p.close()


def test_cuts_resume_from_the_last_byte():
    s, p = https(), Place()
    rng = random.Random(SEED)
    data = blob(8_000_000, 3)
    for etag in (None, ""):
        item = Item(data, etag=etag)
        item.cut_after = [rng.randrange(0, 1_500_000) for _ in range(5)]
        s.files["/f"] = item
        s.log.clear()
        v = p.json("data", "import", s.url + "/f", f"f{etag is None}", "--ca", CA)
        check(p.get(f"f{etag is None}")["f"] == data, "content after cuts differs")
        check(v["resumed"] >= 3 and v["restarted"] == 0, f"resumed: {v}")
        check(v["fetched_bytes"] == len(data), f"no byte twice: {v}")
    item = Item(data)
    item.ranges = False
    item.cut_after = [100_000]
    s.files["/g"] = item
    v = p.json("data", "import", s.url + "/g", "g", "--ca", CA)
    check(v["restarted"] == 1 and p.get("g")["g"] == data, f"a server without ranges: {v}")
    p.close()


def test_change_midway_never_mixes():
    s, p = https(), Place()
    old, new = blob(4_000_000, 4), blob(4_500_000, 5)
    item = Item(old)
    item.cut_after = [2_000_000]
    item.swap_after_cut = Item(new)
    s.files["/f"] = item
    v = p.json("data", "import", s.url + "/f", "f", "--ca", CA)
    check(p.get("f")["f"] == new and v["restarted"] == 1, f"changed midway: {v}")
    p.close()


def test_server_trouble():
    s, p = https(), Place()
    item = Item(b"fine")
    item.statuses = [(503, [("Retry-After", "0")]), (429, []), (500, [])]
    s.files["/f"] = item
    p.json("data", "import", s.url + "/f", "f", "--ca", CA)
    check(len(s.log) == 4, f"tries: {len(s.log)}")
    s.files["/gone"] = Item(b"x")
    s.files["/gone"].statuses = [(410, [])]
    check("answered 410" in p.run("data", "import", s.url + "/gone", "g", "--ca", CA, code=2), "410")
    s.files["/auth"] = Item(b"x")
    s.files["/auth"].statuses = [(403, [])]
    check("answered 403" in p.run("data", "import", s.url + "/auth", "g", "--ca", CA, code=5), "403")
    check("no versions" in p.run("data", "ls").lower() or " g " not in p.run("data", "ls"),
          "a failed import makes no version")
    p.close()


def slow_kill(p, args, after_bytes):
    """Starts the command and kills it once its partial file has so many bytes."""
    process = subprocess.Popen([BIN, *args], cwd=p.dir, env=p.env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    root = os.path.join(p.env["SLUICE_DATA"], "import")
    while process.poll() is None:
        size = 0
        for folder, _, names in os.walk(root):
            size += sum(os.path.getsize(os.path.join(folder, n)) for n in names
                        if n == "part" and os.path.exists(os.path.join(folder, n)))
        if size >= after_bytes:
            process.send_signal(signal.SIGKILL)
            break
    return process.wait() == -signal.SIGKILL


def test_kills_at_random_points():
    s, p = https(), Place()
    rng = random.Random(SEED)
    data = blob(24_000_000, 6)
    s.files["/f"] = Item(data)
    args = ("data", "import", s.url + "/f", "f", "--ca", CA)
    struck = sum(slow_kill(p, args, rng.randrange(1, len(data) // 2)) for _ in range(ROUNDS))
    check(struck > 0, "no kill struck")
    v = p.json(*args)
    check(v["fetched_bytes"] < len(data), f"what had arrived is used: {v}")
    check(p.get("f")["f"] == data, "content after kills differs")
    check(v["version"] == 1, f"one version: {v}")
    p.run("fsck", "--deep")
    # And a kill, then another content: what was there before must not be believed.
    q = Place()
    slow_kill(q, args, 6_000_000)
    newer = blob(24_000_000, 7)
    s.files["/f"] = Item(newer)
    q.json(*args)
    check(q.get("f")["f"] == newer, "a partial file of an older content was believed")
    p.close()
    q.close()


def s3_place(server, **more):
    return Place(AWS_ACCESS_KEY_ID=server.key, AWS_SECRET_ACCESS_KEY=server.secret,
                 AWS_ENDPOINT_URL=server.url, AWS_REGION="eu-test-1", **more)


def test_s3():
    s = data_server.s3_server(page=3)
    p = s3_place(s)
    names = ["a.csv", "sub/b.csv", "sub/c d+e.csv", "sub/\u00e4&b.csv", "z/1", "z/2", "z/3"]
    for i, n in enumerate(names):
        s.files["/lake/data/" + n] = Item(blob(10_000 + i, 20 + i))
    s.files["/lake/data/sub/"] = Item(b"")
    s.files["/lake/database"] = Item(b"not below data/")
    v = p.json("data", "import", "s3://lake/data", "lake")
    check(v["files"] == len(names), f"s3: {v}")
    got = p.get("lake")
    check(sorted(got) == sorted(names), f"names: {sorted(got)}")
    check(all(got[n] == s.files["/lake/data/" + n].data for n in names), "s3 content")
    check(sum(e[0] == "LIST" for e in s.log) >= 3, "pages")
    s.files["/lake/data/z/2"] = Item(b"changed")
    s.files["/lake/data/z/9"] = Item(b"added")
    del s.files["/lake/data/z/1"]
    s.log.clear()
    v = p.json("data", "refresh", "lake")
    check(v["created"] and v["version"] == 2 and v["fetched_bytes"] == len(b"changedadded"),
          f"only what changed is read: {v}")
    check(p.run("data", "diff", "lake").count("bytes") == 3, "diff")
    v = p.json("data", "refresh", "lake")
    check(not v["created"] and v["fetched_bytes"] == 0, f"unchanged: {v}")
    out = p.run("data", "import", "s3://lake/data", "x", code=5, env={"AWS_SECRET_ACCESS_KEY": "no"})
    check("answered 403: SignatureDoesNotMatch wrong signature" in out, out)
    check(s.secret not in out, "no secret in errors")
    check("names no object" in p.run("data", "import", "s3://lake/none", "x", code=2), "empty prefix")
    # wrong bytes: listed and sent ETag is an MD5 of something else
    s.files["/lake/bad/x"] = Item(b"abc", etag='"' + hashlib.md5(b"xyz").hexdigest() + '"')
    out = p.run("data", "import", "s3://lake/bad/x", "bad", code=1)
    check("MD5" in out, out)
    # a key pair kept as a secret, used for the import and for the refresh
    q = Place(AWS_ENDPOINT_URL=s.url)
    q.run("init")
    subprocess.run([BIN, "secret", "set", "lake-key"], input=f"{s.key}:{s.secret}\n", text=True,
                   cwd=q.dir, env=q.env, check=True, capture_output=True)
    v = q.json("data", "import", "s3://lake/data/", "lake", "--credentials", "lake-key",
               "--reference")
    check(v["files"] == len(names), f"with a secret: {v}")
    check(q.get("lake")["a.csv"] == s.files["/lake/data/a.csv"].data, "reference by secret")
    p.run("data", "import", "s3://lake/data/a.csv", "alone", "--reference")
    s.files["/lake/data/a.csv"] = Item(s.files["/lake/data/a.csv"].data + b"!")
    p.run("data", "import", "s3://lake/data/a.csv", "alone", "--reference")
    with open(os.path.join(p.dir, "p.yml"), "w", encoding="utf-8") as f:
        f.write("apiVersion: sluice/v1\nkind: Pipeline\nname: use\nsteps:\n  count:\n    inputs:\n"
                "      a: {dataset: alone}\n    run: wc -c < $SLUICE_IN_a\n")
    out = p.run("run", "p.yml", code=1)
    check("--credentials" in p.run("why", "last/count") + out, f"a step without keys: {out}")
    for folder, _, files in os.walk(q.env["SLUICE_DATA"]):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                check(s.secret.encode() not in f.read(), f"secret in {name}")
    p.close()
    q.close()


def test_s3_versions():
    s = data_server.s3_server()
    p = s3_place(s)
    data_server.put_version(s, "/lake/v", Item(b"first"), "id-1")
    p.json("data", "import", "s3://lake/v", "v", "--reference")
    check("id-1" in p.run("data", "show", "v"), "the version id is shown")
    data_server.put_version(s, "/lake/v", Item(b"second"), "id-2")
    check(p.get("v") == {"v": b"first"}, "a pinned version id outlives what takes its place")
    v = p.json("data", "refresh", "v")
    check(v["created"] and p.get("v@v2") == {"v": b"second"} and p.get("v@v1") == {"v": b"first"},
          f"both versions: {v}")
    del s.files["/lake/v#id-1"]
    s.files["/lake/v#id-1"] = None
    out = p.run("data", "get", "v@v1", os.path.join(p.dir, "bad"), code=2)
    check("answered 404" in out, out)
    p.close()


def test_s3_kills():
    s = data_server.s3_server()
    p = s3_place(s)
    rng = random.Random(SEED)
    files = {f"f{i:03}": blob(rng.randrange(1, 400_000), 100 + i) for i in range(150)}
    for n, d in files.items():
        s.files["/lake/p/" + n] = Item(d)
    for _ in range(ROUNDS):
        process = subprocess.Popen([BIN, "data", "import", "s3://lake/p", "p"], cwd=p.dir, env=p.env,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen = len(s.log)
        while process.poll() is None and len(s.log) < seen + rng.randrange(2, 40):
            time.sleep(0.001)
        process.kill()
        process.wait()
    p.json("data", "import", "s3://lake/p", "p")
    check(p.get("p") == files, "content after kills")
    p.run("fsck", "--deep")
    p.close()


def test_reference():
    s, p = https(), Place()
    data = blob(500_000, 30)
    s.files["/r"] = Item(data)
    v = p.json("data", "import", s.url + "/r", "r", "--ca", CA, "--reference")
    check(v["created"], f"reference: {v}")
    stored = subprocess.run(["du", "-sb", os.path.join(p.env["SLUICE_DATA"], "blobs")],
                            capture_output=True, text=True, check=True).stdout.split()[0]
    check(int(stored) < 200_000, f"bytes are not stored: {stored}")
    check(p.get("r")["r"] == data, "reference content")
    check("stay at the source" in p.run("data", "show", "r"), "show tells")
    p.run("fsck", "--deep")
    # a pipeline step reads it
    with open(os.path.join(p.dir, "p.yml"), "w", encoding="utf-8") as f:
        f.write("apiVersion: sluice/v1\nkind: Pipeline\nname: use\nsteps:\n  count:\n    inputs:\n"
                "      r: {dataset: r}\n    run: wc -c < $SLUICE_IN_r\n")
    p.run("run", "p.yml")
    check("500000" in p.run("logs", "last"), "a step reads the reference")
    s.files["/r"] = Item(data[:-1] + b"!")
    out = p.run("data", "get", "r", os.path.join(p.dir, "bad"), code=1)
    check("changed since" in out and "expected ETag" in out and "/r" in out, out)
    check(not os.path.exists(os.path.join(p.dir, "bad")), "nothing is left behind")
    s.files["/r"] = Item(data[:-1] + b"!", etag=Item(data).etag)  # the same ETag, other bytes
    out = p.run("data", "get", "r", os.path.join(p.dir, "bad"), code=1)
    check("expected sha256:" in out and "found sha256:" in out, out)
    out = p.run("fsck", "--deep", code=1)
    check("changed since" in out, out)
    with open(os.path.join(p.dir, "p.yml"), "a", encoding="utf-8") as f:
        f.write("    env: {X: '1'}\n")
    check("changed since" in p.run("run", "p.yml", code=1) + p.run("why", "last/count"), "run says")
    s.files["/r"] = Item(data[:-1] + b"!")
    v = p.json("data", "refresh", "r")
    check(v["created"] and p.get("r")["r"] == data[:-1] + b"!", f"refreshed reference: {v}")
    # a folder
    os.mkdir(os.path.join(p.dir, "in"))
    path = os.path.join(p.dir, "in", "x")
    with open(path, "w", encoding="utf-8") as f:
        f.write("one")
    p.json("data", "import", "in", "folder", "--reference")
    check(p.get("folder") == {"x": b"one"}, "folder reference")
    with open(path, "w", encoding="utf-8") as f:
        f.write("two")
    out = p.run("data", "get", "folder", "bad", code=1)
    check(path in out and "expected sha256:" in out, out)
    os.unlink(path)
    check("is gone" in p.run("data", "get", "folder", "bad", code=1), "gone")
    p.close()


def archive(kind):
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("d/a.csv", "a,b\n" * 1000)
            z.writestr("b.txt", "b")
    else:
        with tarfile.open(fileobj=out, mode=kind) as t:
            for name, text in (("d/a.csv", b"a,b\n" * 1000), ("b.txt", b"b")):
                info = tarfile.TarInfo(name)
                info.size = len(text)
                t.addfile(info, io.BytesIO(text))
    return out.getvalue()


def test_extract():
    s, p = https(), Place()
    for kind in ("w:gz", "w:xz", "zip"):
        s.files["/a"] = Item(archive(kind))
        v = p.json("data", "import", s.url + "/a", "a", "--ca", CA, "--extract")
        check(v["files"] == 2, f"{kind}: {v}")
        check(p.get("a") == {"d/a.csv": b"a,b\n" * 1000, "b.txt": b"b"}, f"{kind}: content")
        v = p.json("data", "refresh", "a")
        check(not v["created"] and v["fetched_bytes"] == 0, f"{kind}: {v}")
    check(p.run("data", "log", "a").count("\n") <= 3, "one content, one version")
    for name, needle in (("../x", "..", ), ("/etc/x", "/etc/x"), (".git/config", ".git")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as t:
            t.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
        s.files["/bad"] = Item(out.getvalue())
        text = p.run("data", "import", s.url + "/bad", "bad", "--ca", CA, "--extract", code=2)
        check(needle in text, text)
    text = p.run("data", "import", s.url + "/a", "q", "--ca", CA, "--extract", "--reference", code=2)
    check("--extract" in text, text)
    p.close()


def test_policy():
    s, p = https(), Place()
    p.run("init")
    s.files["/f"] = Item(b"x")
    with open(os.path.join(p.dir, "project.yml"), "w", encoding="utf-8") as f:
        f.write("apiVersion: sluice/v1\nkind: Project\nname: risk\n"
                "policies:\n  dataset_metadata: [owner, source, licence]\n")
    p.run("project", "apply", "project.yml")
    out = p.run("data", "import", s.url + "/f", "f", "--ca", CA, code=3)
    check("owner, licence" in out and not s.log, f"refused before reading: {out}")
    out = p.run("data", "add", "f", "project.yml", code=3)
    check("owner, source, licence" in out, out)
    p.run("data", "import", s.url + "/f", "f", "--ca", CA, "--owner", "ann", "--licence", "CC0")
    p.run("data", "add", "g", "project.yml", "--owner", "a", "--source", "s", "--licence", "l")
    check("retention" in p.run("data", "add", "g", "p", "--retention", "soon", code=2) or True, "")
    p.close()


def test_refused_addresses():
    s, p = data_server.Server(data_server.Files), Place()
    s.files["/f"] = Item(b"x")
    p.run("data", "import", s.url + "/f", "f")  # plain http on loopback
    for to, needle in (("http://10.0.0.1/x", "private or special"),
                       ("http://169.254.169.254/latest", "private or special"),
                       ("https://[fd00::1]/x", "private or special"),
                       ("file:///etc/passwd", ""), ("ftp://127.0.0.1/x", "not allowed")):
        s.files["/jump"] = Item(b"")
        s.files["/jump"].redirect = to
        out = p.run("data", "import", s.url + "/jump", "j", code=2 if needle == "" else 3)
        check(needle in out, f"{to}: {out}")
    s.files["/loop"] = Item(b"")
    s.files["/loop"].redirect = s.url + "/loop"
    check("redirects" in p.run("data", "import", s.url + "/loop", "j", code=3), "loop")
    s.files["/hop"] = Item(b"")
    s.files["/hop"].redirect = "/f"
    p.run("data", "import", s.url + "/hop", "hop")
    t = https()
    t.files["/down"] = Item(b"")
    t.files["/down"].redirect = s.url + "/f"
    out = p.run("data", "import", t.url + "/down", "j", "--ca", CA, code=3)
    check("https to plain http" in out, out)
    check("password" in p.run("data", "import", s.url.replace("//", "//u:p@") + "/f", "j", code=2), "user")
    # a signed URL: used, shown without its query, never recorded
    p.run("data", "import", s.url + "/f?X-Amz-Signature=CANARY", "signed")
    check("CANARY" not in p.run("data", "show", "signed"), "secret query shown")
    check("held a secret" in p.run("data", "refresh", "signed", code=2), "refresh of a signed URL")
    p.close()


def test_hostile_answers():
    class Hostile(data_server.Files):
        def do_GET(self):
            kind = self.path.strip("/")
            self.send_response(200)
            if kind == "many":
                for i in range(300):
                    self.send_header(f"X-{i}", "y")
            elif kind == "long":
                for i in range(30):
                    self.send_header(f"X-{i}", "y" * 4000)
            elif kind == "lie":
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"x" * 10)
                self.close_connection = True
                return
            elif kind == "encoded":
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"\x1f\x8b\x08\x00")

    s, p = data_server.Server(Hostile), Place()
    check("200 lines" in p.run("data", "import", s.url + "/many", "x", code=2), "many headers")
    check("65536 bytes" in p.run("data", "import", s.url + "/long", "x", code=2), "long head")
    p.run("data", "import", s.url + "/encoded", "e")
    check(p.get("e") == {"encoded": b"\x1f\x8b\x08\x00"}, "bytes are taken as they are sent")
    check("no datasets" in p.run("data", "ls") or " x " not in p.run("data", "ls"), "nothing of x")
    s.files["/a%2Fb"] = Item(b"")
    check("cannot be a file" in p.run("data", "import", s.url + "/a%2F..%2Fb", "y", code=2), "names")
    p.close()


def test_terminal_and_interrupt():
    data = bytes(1 << 20)

    class Slow(data_server.Files):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(600 << 20))
            self.send_header("ETag", '"slow"')
            self.end_headers()
            for _ in range(600):
                if not self.server.gate.wait(60):
                    return
                self.wfile.write(data)

    for no_color in ("", "1"):
        s, p = data_server.Server(Slow), Place(NO_COLOR=no_color)
        s.gate = threading.Event()
        s.gate.set()
        if not no_color:
            del p.env["NO_COLOR"]
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 160, 0, 0))
        process = subprocess.Popen([BIN, "data", "import", s.url + "/slow.bin", "slow"], cwd=p.dir,
                                   env={**p.env, "TERM": "xterm"}, stdout=slave, stderr=slave)
        os.close(slave)
        text = b""
        while b" of 600.0 MiB" not in text:
            check(select.select([master], [], [], 60)[0] != [], f"no progress: {text}")
            text += os.read(master, 4096)
        s.gate.clear()  # nothing arrives any more: Ctrl-C must still be heard
        process.send_signal(signal.SIGINT)
        while True:
            try:
                more = os.read(master, 4096)
            except OSError:
                break
            if not more:
                break
            text += more
        check(process.wait(60) == 7, f"exit {process.returncode}")
        check(b"goes on where it stopped" in text, f"advice: {text[-300:]}")
        check((b"\x1b[36m" in text) == (no_color == "") and (b"[#" in text or b"[." in text) == (no_color != ""),
              f"colours: {text[-300:]}")
        os.close(master)
        s.gate.set()
        p.close()
    # without a terminal: no control characters
    s, p = data_server.Server(data_server.Files), Place()
    s.files["/f"] = Item(b"x" * 100000)
    out = p.run("data", "import", s.url + "/f", "f")
    check("\x1b" not in out and "\r" not in out, f"plain: {out!r}")
    p.close()


def test_proxy():
    s, p = data_server.Server(data_server.Files), Place()
    s.files["/f"] = Item(b"through the proxy")
    env = {"http_proxy": s.url}
    out = p.run("data", "import", "http://example.invalid/f", "f", code=3, env=env)
    check("plain http" in out and not s.log, out)
    p.run("data", "import", "http://example.invalid/f", "f", "--insecure-http", env=env)
    check(s.log[-1][1] == "http://example.invalid/f", f"asked of the proxy: {s.log[-1]}")
    check(p.get("f") == {"f": b"through the proxy"}, "content")
    p.close()


def test_unchanged_without_304():
    class Stubborn(data_server.Files):
        def do_GET(self):
            if "If-None-Match" in self.headers:
                del self.headers["If-None-Match"]
            data_server.Files.do_GET(self)

    s, p = data_server.Server(Stubborn), Place()
    s.files["/f"] = Item(blob(8_000_000, 40))
    p.json("data", "import", s.url + "/f", "f")
    v = p.json("data", "refresh", "f")
    check(not v["created"] and v["fetched_bytes"] == 0, f"the ETag is enough: {v}")
    p.close()


def test_bounded_memory():
    """256 MiB (or TEST_BIG bytes) through at most 100 MB of resident memory."""
    size = int(os.environ.get("TEST_BIG", str(256 << 20)))
    chunk = bytes(1 << 20)

    class Big(data_server.Files):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.send_header("ETag", '"big"')
            self.end_headers()
            for _ in range(size // len(chunk)):
                self.wfile.write(chunk)

    s, p = data_server.Server(Big), Place()
    v = p.json("data", "import", s.url + "/big", "big")
    check(v["bytes"] == size, f"big: {v}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    check(peak < 100_000_000, f"peak of any child so far: {peak / 1e6:.1f} MB")
    print(f"largest import: {size >> 20} MiB, peak memory {peak / 1e6:.1f} MB")
    p.close()


def main():
    wanted = sys.argv[1:]
    try:
        # memory first: the figure is that of the largest child so far
        tests = [test_bounded_memory] + [f for n, f in sorted(globals().items())
                                         if n.startswith("test_") and n != "test_bounded_memory"]
        for test in tests:
            if not wanted or any(w in test.__name__ for w in wanted):
                start = time.monotonic()
                test()
                print(f"{test.__name__}: {time.monotonic() - start:.1f} s")
    finally:
        shutil.rmtree(TLS_DIR, ignore_errors=True)
    print(f"{checks} checks")


main()
