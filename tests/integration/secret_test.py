"""Canary secrets in a real engine with a hostile step: no trace in the data directory (database and its log, content,
git objects, logs, exit records), the audit log, answers, error texts, the command lines and environments of our
processes, or the memory that a core dump of the engine would hold. Then rotation and what a crash at every boundary
leaves, and the stored rows decrypted by an implementation of their own (below, from the RFCs).

    secret_test.py [--keep]
"""
import base64
import glob
import hashlib
import json
import os
import re
import resource
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import urllib.parse
import zlib

BIN = os.path.abspath(os.environ.get("SLUICE_BIN", "build/dev/sluice"))
TOKEN = "cAnArY-7f3a9d/+hub \u00f6 \"x\""
KEY_LINES = ["-----BEGIN CANARY KEY-----", "q8Zk2LmN0pRsT4uVwXyZcAnArYkEy01234567890abcdEFGH", "-----END CANARY KEY-----"]
KEY = "\n".join(KEY_LINES) + "\n"
SECOND = "SeCoNd-canary-b81e44"
THIRD = "third-canary-value"
HEAD = "apiVersion: sluice/v1\nkind: Pipeline\n"
checks = 0

SHOW = HEAD + r"""name: show
steps:
  show:
    secrets: { TOKEN: hub-token, KEYFILE: { secret: deploy-key, as: file } }
    outputs: { note: { artifact: note } }
    run: |
      printf %s "$TOKEN" | sha256sum; sha256sum < "$KEYFILE"
      echo "token: $TOKEN" ; echo "in an error: $TOKEN" >&2
      rest=${TOKEN#?????????}; printf %s "${TOKEN%"$rest"}"; printf %s "$rest"; echo
      printf %s "$TOKEN" | base64; printf 'u:%s' "$TOKEN" | base64; base64 < "$KEYFILE"; base64 -w0 < "$KEYFILE"; echo
      printf %s "$TOKEN" | od -An -tx1 | tr -d ' \n'; echo
      cat "$KEYFILE"; /usr/bin/python3 -c '
      import json, os, urllib.parse
      t = os.environ["TOKEN"]
      print(json.dumps({"t": t}), json.dumps({"t": t}, ensure_ascii=False), urllib.parse.quote(t), urllib.parse.quote_plus(t))'
      /bin/sh -c 'exit 0' "$TOKEN"
      echo '{"loss": 0.5}' >> "$SLUICE_METRICS"; echo clean > "$SLUICE_OUT_note"
"""
HOLD = HEAD + r"""name: hold
steps:
  hold:
    secrets: { TOKEN: hub-token, KEYFILE: { secret: deploy-key, as: file } }
    env: { UP: "@/up", GO: "@/go" }
    run: echo "$KEYFILE" > "$UP"; read x < "$GO"; test -s "$KEYFILE"
"""
LEAKS = {
    "output": ('echo "x $TOKEN y" > "$SLUICE_OUT_out"', "output 'out': holds the value of secret 'hub-token'"),
    "encoded": ('printf %s "$TOKEN" | base64 > "$SLUICE_OUT_out"', "output 'out': holds the value of secret 'hub-token'"),
    "deep": ('mkdir -p "$SLUICE_OUT_out/a/b"; head -c 700000 /dev/zero > "$SLUICE_OUT_out/a/b/c"; '
             'printf %s "$TOKEN" >> "$SLUICE_OUT_out/a/b/c"', "output 'out', file 'a/b/c': holds the value of secret 'hub-token'"),
    "link": ('mkdir "$SLUICE_OUT_out"; ln -s "$(printf %s "$TOKEN" | base64)" "$SLUICE_OUT_out/l"',
             "output 'out', file 'l': holds the value of secret 'hub-token'"),
    "metrics": ('echo "{\\"loss\\": 1, \\"slice\\": \\"$(printf %s "$TOKEN" | base64)\\"}" >> "$SLUICE_METRICS"; '
                ': > "$SLUICE_OUT_out"', "metrics: holds the value of secret 'hub-token'"),
    "failing": ('printf %s "$TOKEN" >> "$SLUICE_METRICS"; exit 3', "exit code 3; metrics: holds the value of secret 'hub-token'"),
}


def leak_text(name, body):
    return HEAD + f"name: leak-{name}\nsteps:\n  leak:\n    secrets: {{ TOKEN: hub-token }}\n" + \
        f"    outputs: {{ out: {{ artifact: leak-{name} }} }}\n    run: |\n      {body}\n"


def check(good, what):
    global checks
    checks += 1
    if not good:
        print(f"FAIL: {what}")
        sys.exit(1)


class Place:
    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="sluice-secret-")
        self.work, self.data = f"{self.top}/work", f"{self.top}/data"
        self.env = {**os.environ, "SLUICE_DATA": self.data}
        os.mkdir(self.work)
        self.said = b""  # all that commands printed

    def run(self, *args, stdin=b"", env=None):
        done = subprocess.run([BIN, *args], cwd=self.work, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**self.env, **(env or {})}, timeout=60, check=False)
        self.said += done.stdout
        return done.returncode, done.stdout.decode(errors="replace")

    def good(self, *args, stdin=b""):
        code, text = self.run(*args, stdin=stdin)
        check(code == 0, f"sluice {' '.join(args)}: exit {code}: {text}")
        return text

    def write(self, name, text):
        with open(f"{self.work}/{name}", "w", encoding="utf-8") as f:
            f.write(text.replace("@/", f"{self.top}/"))

    def serve(self):
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        log = open(f"{self.top}/engine.log", "ab")
        engine = subprocess.Popen([BIN, "serve"], cwd=self.top, env=self.env, stdout=log, stderr=log)
        while self.run("runners", "--json")[0] != 0 or not os.path.exists(f"{self.data}/sock"):
            check(engine.poll() is None, "the engine did not start")
        return engine


# ---- looking for canaries ---------------------------------------------------------------------------

def forms(value):
    b = value.encode()
    return {b, b.hex().encode(), base64.b64encode(b).rstrip(b"=")[:-1], base64.b64encode(b"u:" + b)[4:-4],
            json.dumps(value)[1:-1].encode(), urllib.parse.quote(value).encode(), urllib.parse.quote(value, safe="").encode(),
            b.decode().encode("utf-16-le")}


def needles():
    return forms(TOKEN) | forms(SECOND) | forms(THIRD) | {line.encode() for line in KEY_LINES[1:2]} | forms(KEY_LINES[1])


def unpacked(data):
    """What a compressed file holds: git's objects are zlib, packs and blobs may be zstd."""
    yield data
    if data[:1] == b"\x78":
        try:
            yield zlib.decompress(data)
        except zlib.error:
            pass
    for at in (m.start() for m in re.finditer(rb"\x28\xb5\x2f\xfd", data)):
        done = subprocess.run(["zstd", "-dcq"], input=data[at:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        yield done.stdout
    if data[:4] == b"PACK":
        for at in range(12, len(data)):
            if data[at] == 0x78:
                try:
                    yield zlib.decompressobj().decompress(data[at:])
                except zlib.error:
                    pass


def search(where, data):
    for needle in needles():
        check(needle not in data, f"{where} holds {needle!r}")


def search_tree(top, skip=()):
    n = 0
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            search(path, name.encode())
            if os.path.islink(path):
                search(path, os.readlink(path).encode())
            elif os.path.isfile(path) and path not in skip:
                with open(path, "rb") as f:
                    data = f.read()
                for text in unpacked(data):
                    search(path, text)
                n += 1
    return n


def search_database(data):
    db = sqlite3.connect(f"file:{data}/sluice.db?mode=ro", uri=True)
    for line in db.iterdump():
        search("the database's dump", line.encode("utf-8", "surrogateescape"))
    acts = [json.loads(row[0])["act"] for row in db.execute("SELECT leaf FROM audit_entry ORDER BY idx")]
    db.close()
    return acts


def dumpable_memory(pid):
    """What a core dump of the process holds: all mappings but those marked dd (MADV_DONTDUMP)."""
    parts = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as f:
        blocks = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", f.read())
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for block in blocks[1:]:
            start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", block).groups()
            flags = re.search(r"VmFlags: (.*)", block).group(1).split()
            if mode[0] == "r" and "dd" not in flags and "[vvar]" not in block and "[vsyscall]" not in block:
                try:
                    mem.seek(int(start, 16))
                    parts.append(mem.read(int(end, 16) - int(start, 16)))
                except OSError:
                    pass
    return b"\0".join(parts)


def search_memory(pid, when):
    memory = dumpable_memory(pid)
    check(b"hub-token" in memory or when == "at first", f"the engine's memory was not read ({when}): a known name is not there")
    search(f"the engine's memory ({when})", memory)


def search_processes(but_step):
    """Command lines of all processes, environments of ours; the step itself has its variable."""
    out = subprocess.run(["ps", "auxww"], stdout=subprocess.PIPE, check=True).stdout
    search("ps", out)
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        pid = path.split("/")[2]
        try:
            with open(path, "rb") as f:
                line = f.read()
            search(path, line)
            if (b"sluice" in line.split(b"\0")[0]) and pid != str(but_step):
                with open(f"/proc/{pid}/environ", "rb") as f:
                    search(f"/proc/{pid}/environ", f.read())
        except (FileNotFoundError, ProcessLookupError):
            pass


# ---- an implementation of its own -------------------------------------------------------------------
# HChaCha20 and ChaCha20: RFC 8439 and draft-irtf-cfrg-xchacha-03. Poly1305: RFC 8439, 2.5. Keys: BLAKE2b with salt
# and personalisation, as libsodium documents crypto_kdf.

def chacha_rounds(state):
    s = list(state)

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xffffffff
            s[z] ^= s[x]
            s[z] = ((s[z] << turn) | (s[z] >> (32 - turn))) & 0xffffffff
    for _ in range(10):
        for a in range(4):
            quarter(a, a + 4, a + 8, a + 12)
        for a in range(4):
            quarter(a, 4 + (a + 1) % 4, 8 + (a + 2) % 4, 12 + (a + 3) % 4)
    return s


SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def hchacha(key, nonce16):
    s = chacha_rounds(SIGMA + struct.unpack("<8I", key) + struct.unpack("<4I", nonce16))
    return struct.pack("<8I", *(s[0:4] + s[12:16]))


def chacha_block(key, counter, nonce12):
    start = SIGMA + struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce12)
    return struct.pack("<16I", *((a + b) & 0xffffffff for a, b in zip(start, chacha_rounds(start))))


def poly1305(key, text):
    r, s = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff, int.from_bytes(key[16:], "little")
    total = 0
    for i in range(0, len(text), 16):
        total = (total + int.from_bytes(text[i:i + 16] + b"\1", "little")) * r % (2 ** 130 - 5)
    return ((total + s) & (2 ** 128 - 1)).to_bytes(16, "little")


def pad(b):
    return b + bytes(-len(b) % 16)


def xchacha_open(key, nonce, text, aad):
    sub, n12 = hchacha(key, nonce[:16]), bytes(4) + nonce[16:]
    body, tag = text[:-16], text[-16:]
    want = poly1305(chacha_block(sub, 0, n12)[:32], pad(aad) + pad(body) + struct.pack("<QQ", len(aad), len(body)))
    check(want == tag, "a stored row authenticates by the independent implementation")
    stream = b"".join(chacha_block(sub, 1 + i, n12) for i in range((len(body) + 63) // 64))
    return bytes(a ^ b for a, b in zip(body, stream))


def master_key(data, want):
    """The key that the rows are under: after a crash its file may still wait for the rename."""
    for path in (f"{data}/secret.key", f"{data}/secret.key.new"):
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                first, key_id, key = f.read().splitlines()
            check(first == "sluice-secret-key 1", "the key file's version")
            if key_id == f"id {want}":
                return bytes.fromhex(key.split()[1])
    check(False, f"no file holds master key {want}")
    return b""


def decrypt(data, name, version):
    db = sqlite3.connect(f"file:{data}/sluice.db?mode=ro", uri=True)
    key_id = db.execute("SELECT id FROM secret_master").fetchone()[0]
    row = db.execute("SELECT wrap_nonce, wrapped, nonce, text FROM secret_version WHERE project = 'default' AND name = ? "
                     "AND version = ?", (name, version)).fetchone()
    db.close()
    master = master_key(data, key_id)
    wrap = hashlib.blake2b(b"", digest_size=32, key=master, salt=struct.pack("<QQ", 1, 0), person=b"sl-wrap_" + bytes(8)).digest()

    def aad(what):
        return f"sluice-secret 1\n{what}\n{key_id}\ndefault\n{name}\n{version}\n".encode()
    data_key = xchacha_open(wrap, row[0], row[1], aad("key"))
    return xchacha_open(data_key, row[2], row[3], aad("value"))


def check_vectors():
    """RFC 8439, 2.5.2 and 2.3.2; draft-irtf-cfrg-xchacha-03, 2.2.1."""
    tag = poly1305(bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b"),
                   b"Cryptographic Forum Research Group")
    check(tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9", "Poly1305 of the RFC")
    block = chacha_block(bytes(range(32)), 1, bytes.fromhex("000000090000004a00000000"))
    check(block[:16].hex() == "10f1e7e4d13b5915500fdd1fa32071c4", "ChaCha20 of the RFC")
    sub = hchacha(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))
    check(sub.hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc", "HChaCha20 of the draft")


# ---- the tests --------------------------------------------------------------------------------------

def log_of(place, ref):
    return place.good("logs", ref)


def canaries(place):
    engine = place.serve()
    search_memory(engine.pid, "at first")
    place.good("secret", "set", "hub-token", stdin=TOKEN.encode() + b"\n")
    place.write("key.pem", KEY)
    place.good("secret", "set", "deploy-key", "--file", "key.pem")
    os.unlink(f"{place.work}/key.pem")
    search_memory(engine.pid, "after set")

    place.good("run", "show.yml")
    log = log_of(place, "last")
    check(hashlib.sha256(TOKEN.encode()).hexdigest() in log, "the step received its token")
    check(hashlib.sha256(KEY.encode()).hexdigest() in log, "the step received its key")
    check("token: ***" in log and "in an error: ***" in log and log.count("***") >= 10, f"the log is masked:\n{log}")
    search_memory(engine.pid, "after a run")

    os.mkfifo(f"{place.top}/up")
    os.mkfifo(f"{place.top}/go")
    waiting = subprocess.Popen([BIN, "run", "hold.yml"], cwd=place.work, env=place.env, stdout=subprocess.DEVNULL)
    up = os.open(f"{place.top}/up", os.O_RDONLY | os.O_NONBLOCK)
    while not select.select([up], [], [], 0.1)[0]:
        check(waiting.poll() is None, "the held run ended early")
    key_file = os.read(up, 4096).decode().strip()
    os.close(up)
    check(os.stat(key_file).st_mode & 0o7777 == 0o400 and key_file.startswith("/dev/shm/"), f"the key's file: {key_file}")
    search_memory(engine.pid, "while a step has them")
    search_processes(but_step=0)
    search_tree(place.data)
    with open(f"{place.top}/go", "w", encoding="utf-8") as f:  # the step waits there
        f.write("on\n")
    check(waiting.wait(timeout=120) == 0, "the held step ended well")
    check(not os.path.exists(os.path.dirname(key_file)), "the key's directory went with the step")

    for name, (body, reason) in LEAKS.items():
        place.write(f"{name}.yml", leak_text(name, body))
        code, text = place.run("run", f"{name}.yml")
        check(code == (1 if name == "failing" else 3), f"{name}: exit {code}: {text}")
        check(reason in place.good("show", "last"), f"{name}: the reason: {text}")
        check(place.run("artifact", "show", f"leak-{name}")[0] != 0, f"{name}: a version was made")
        search_memory(engine.pid, f"after leak {name}")
    place.good("secret", "ls")
    place.good("secret", "ls", "--json")
    lineage = place.good("lineage", "show#1", "--down", "--depth", "5") + place.good("lineage", "note")
    check("default/hub-token@v1" in lineage and "default/deploy-key@v1" in lineage, f"lineage names the versions:\n{lineage}")
    return engine


def core_dump(place, engine):
    """A real one, where the kernel writes cores into the working directory."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as f:
        pattern = f.read().strip()
    engine.send_signal(signal.SIGABRT)
    engine.wait(timeout=60)
    cores = glob.glob(f"{place.top}/core*")
    if pattern.startswith("|") or "/" in pattern or not cores:
        print(f"no core file here (core_pattern {pattern!r}): the engine's mappings were searched instead")
        return
    with open(cores[0], "rb") as f:
        data = f.read()
    check(b"hub-token" in data, "the core dump holds the engine's memory")
    search("the core dump", data)
    os.unlink(cores[0])


def rotation(place):
    place.good("run", "show.yml")  # the other pipeline files have changed its code
    place.good("run", "show.yml")
    check("cached" in place.good("show", "last"), "the same step is taken from the cache")
    place.good("secret", "rotate", "hub-token", stdin=SECOND.encode())
    place.good("run", "show.yml")
    check("cached" in place.good("show", "last"), "a rotated value changes no key")
    place.good("run", "show.yml", "--no-cache")
    check(hashlib.sha256(SECOND.encode()).hexdigest() in log_of(place, "last"), "the next attempt has the new value")
    code, text = place.run("secret", "rotate", "hub-tokn", stdin=b"x")
    check(code == 2 and "did you mean 'hub-token'?" in text, text)
    check(decrypt(place.data, "hub-token", 2) == SECOND.encode(), "the current row decrypts independently")
    check(decrypt(place.data, "hub-token", 1) == TOKEN.encode(), "the previous row decrypts independently")
    check(decrypt(place.data, "deploy-key", 1) == KEY.encode(), "the key's row decrypts independently")


def adoption(place):
    """The engine dies while a step has its secrets; the next one still knows what to look for."""
    os.mkfifo(f"{place.top}/up2")
    os.mkfifo(f"{place.top}/go2")
    place.write("adopt.yml", leak_text("adopt", f'echo up > {place.top}/up2; read x < {place.top}/go2; '
                                                'echo "$TOKEN" > "$SLUICE_OUT_out"; echo "late: $TOKEN"'))
    engine = subprocess.Popen([BIN, "run", "adopt.yml"], cwd=place.work, env=place.env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    up = os.open(f"{place.top}/up2", os.O_RDONLY | os.O_NONBLOCK)
    while not select.select([up], [], [], 0.1)[0]:
        check(engine.poll() is None, "the run that was to be adopted ended early")
    os.close(up)
    engine.kill()
    engine.wait()
    place.good("secret", "rotate", "hub-token", stdin=THIRD.encode())
    with open(f"{place.top}/go2", "w", encoding="utf-8") as f:
        f.write("on\n")
    code, text = place.run("resume")
    check(code == 3, f"resume: exit {code}: {text}")
    check("output 'out': holds the value of secret 'hub-token'" in place.good("show", "leak-adopt"), text)
    check("late: ***" in log_of(place, "leak-adopt"), "the log of an adopted step is masked")


def sandbox(place):
    """A shut-in step receives its secrets too, and no process outside shows them."""
    place.write("box.yml", SHOW.replace("name: show", "name: box").replace("  show:\n", "  show:\n    sandbox: strict\n"))
    code, text = place.run("run", "box.yml")
    if code == 3 and "sandbox" in text and not os.environ.get("CI"):
        print(f"no sandbox here: {text.strip().splitlines()[-1]}")
        return
    check(code == 0, f"exit {code}: {text}")
    log = log_of(place, "box")
    check(hashlib.sha256(SECOND.encode()).hexdigest() in log and hashlib.sha256(KEY.encode()).hexdigest() in log, log)


def refusals(place):
    place.write("missing.yml", HEAD + "name: missing\nsteps:\n  a:\n    secrets: { T: hub-tokem }\n    run: x\n")
    code, text = place.run("run", "missing.yml")
    check(code == 2 and "step 'a', variable T: there is no secret 'hub-tokem'; did you mean 'hub-token'?" in text, text)
    place.write("hook.yml", HEAD + "name: hook\nsteps:\n  a:\n    run: x\n    hooks: { on_failure: { run: y, secrets: { T: absent } } }\n")
    code, text = place.run("run", "hook.yml")
    check(code == 2 and "variable T: there is no secret 'absent'; store one with: sluice secret set absent" in text, text)
    key = f"{place.data}/secret.key"
    os.chmod(key, 0o644)
    code, text = place.run("secret", "set", "x", stdin=b"value")
    check(code == 3 and "others may read or change it" in text, f"exit {code}: {text}")
    os.chmod(key, 0o600)


def fault_points():
    out = subprocess.run([BIN, "debug", "faults"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"(?m)^\s*((?:db|fs|secret)\.[a-z_]+)", out)
    check("secret.key" in names and "secret.master" in names and "db.commit" in names, out)
    return names


def value_now(place):
    """What a step receives, as the independent implementation and the listed version say."""
    listed = json.loads(place.good("secret", "ls", "--json"))["secrets"]
    version = next(s["version"] for s in listed if s["name"] == "canary")
    return decrypt(place.data, "canary", version).decode()


def kills(place):
    """Every boundary of set, rotate and a new master key: the old value or the new one, never none."""
    struck = {}
    place.good("secret", "set", "canary", stdin=b"canary-value-0")
    have, n = "canary-value-0", 0
    for args in (("set", "canary"), ("rotate", "canary"), ("rotate", "--master")):
        for point in fault_points():
            for nth in (1, 2, 3, 4, 6, 9):
                n += 1
                new = f"canary-value-{n}"
                stdin = b"" if args[1] == "--master" else new.encode()
                code, text = place.run("secret", *args, stdin=stdin, env={"SLUICE_FAULT": f"{point}:{nth}:kill"})
                if code == -signal.SIGKILL:
                    struck.setdefault(point, set()).add(args[0] + args[1])
                else:
                    check(code == 0, f"{args} {point}:{nth}: exit {code}: {text}")
                now = value_now(place)
                want = {have} if args[1] == "--master" else {have, new}
                check(now in want and (code != 0 or args[1] == "--master" or now == new), f"{args} {point}:{nth}: {now}")
                have = now
                if code == 0:
                    break
    check({"secret.key", "secret.master", "db.commit", "db.committed"} <= set(struck), f"struck: {sorted(struck)}")
    text = place.good("secret", "rotate", "--master")
    check("new master key" in text and value_now(place) == have, text)
    check(not glob.glob(f"{place.data}/secret.key.*"), "no key file is left beside the one")
    return sum(len(v) for v in struck.values())


def first_key(points):
    """The very first secret, killed at every boundary: afterwards one can be stored and read."""
    n = 0
    for point in points:
        place = Place()
        place.good("init")
        code, _ = place.run("secret", "set", "canary", stdin=b"one", env={"SLUICE_FAULT": f"{point}:1:kill"})
        n += code == -signal.SIGKILL
        place.good("secret", "set", "canary", stdin=b"two")
        check(value_now(place) == "two", f"after {point}")
        shutil.rmtree(place.top)
    return n


def main():
    check_vectors()
    place = Place()
    place.good("init")
    place.write("show.yml", SHOW)
    place.write("hold.yml", HOLD)
    try:
        core_dump(place, canaries(place))
        rotation(place)
        sandbox(place)
        adoption(place)
        refusals(place)
        files = search_tree(place.top)
        acts = search_database(place.data)
        check({"secret.set", "secret.rotate", "secret.lease"} <= set(acts), f"acts: {set(acts)}")
        search("what commands printed", place.said)
        place.good("audit", "verify")
        place.good("secret", "rm", "deploy-key")
        struck = kills(place) + first_key(["secret.key", "fs.write", "fs.fsync", "db.begin", "db.commit", "db.committed"])
    finally:
        if "--keep" not in sys.argv:
            shutil.rmtree(place.top, ignore_errors=True)
    print(f"secrets: {checks} checks, {files} files searched, {struck} kills")


main()
