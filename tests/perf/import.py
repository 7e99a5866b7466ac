"""Import throughput beside `curl | sha256sum` on the same server, and the memory that it takes."""
import http.server
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

BIN = os.environ["SLUICE_BIN"]
MIB = int(os.environ.get("SLUICE_BENCH_MIB", "1024"))
DATA = os.urandom(1 << 20)


def serve(path):
    """nginx would do; a process of its own keeps the server's work out of both measurements alike."""
    code = (
        "import http.server, os, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    protocol_version = 'HTTP/1.1'\n"
        "    def log_message(self, *a): pass\n"
        "    def do_GET(self):\n"
        "        if self.headers.get('If-None-Match') == '\"1\"':\n"
        "            self.send_response(304); self.end_headers(); return\n"
        "        size = os.path.getsize(sys.argv[1])\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', str(size)); self.send_header('ETag', '\"1\"')\n"
        "        self.end_headers(); self.wfile.flush()\n"
        "        with open(sys.argv[1], 'rb') as f:\n"
        "            at = 0\n"
        "            while at < size:\n"
        "                at += os.sendfile(self.connection.fileno(), f.fileno(), at, size - at)\n"
        "s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)\n"
        "print(s.server_address[1], flush=True)\n"
        "s.serve_forever()\n")
    p = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    return p, f"http://127.0.0.1:{p.stdout.readline().strip()}/file.bin"


def row(name, value, unit, target=None, note=""):
    line = {"name": name, "value": round(value, 3), "unit": unit, "note": note}
    if target:
        line["target"] = target
    print(json.dumps(line), flush=True)


def seconds(command, **k):
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **k)
    return time.monotonic() - start


def main():
    work = tempfile.mkdtemp(prefix="sluice-bench-")
    path = os.path.join(work, "file.bin")
    with open(path, "wb") as f:
        for i in range(MIB):
            f.write(i.to_bytes(8, "little") + DATA[8:])
    server, url = serve(path)
    try:
        env = {**os.environ, "SLUICE_DATA": os.path.join(work, "data")}
        os.mkdir(env["SLUICE_DATA"])
        subprocess.run([BIN, "init"], cwd=work, env=env, check=True, stdout=subprocess.DEVNULL)
        curl = min(seconds(["sh", "-c", f"curl -s {url} | sha256sum"]) for _ in range(2))
        keep = seconds(["sh", "-c", f"curl -s {url} | tee {work}/copy | sha256sum && sync -d {work}/copy"])
        mine = seconds([BIN, "data", "import", url, "file"], cwd=work, env=env)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        again = seconds([BIN, "data", "refresh", "file"], cwd=work, env=env)
        row("import.vs_curl_sha256sum", curl / mine, "x curl|sha256sum", ">= 0.5",
            f"{MIB} MiB in {mine:.2f} s, durable; curl|sha256sum {curl:.2f} s, keeps nothing")
        row("import.vs_curl_kept", keep / mine, "x curl|tee|sha256sum", ">= 0.8",
            f"the same with a synced file: {keep:.2f} s")
        row("import.mb_per_s", MIB * 1.048576 / mine, "MB/s")
        row("import.peak_mib", peak, "MiB", "<= 95", "largest of all programs measured")
        row("import.refresh_unchanged_s", again, "s")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(work, ignore_errors=True)


main()
