"""Messages to people: webhooks with signatures, tries and 410; mail through a real SMTP server; what is left over
is delivered by the next engine; nothing secret is told."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from aiosmtpd.controller import Controller
import email
import email.policy

BIN = os.environ["SLUICE_BIN"]
checks = 0


def check(condition, text):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAIL: {text}")


class Hook(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        status, headers = self.server.answers.pop(0) if self.server.answers else (200, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def hook_server():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    s.got, s.answers = [], []
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s


class Mails:
    def __init__(self):
        self.got = []

    async def handle_DATA(self, server, session, envelope):
        self.got.append(envelope)
        return "250 OK"


class Place:
    def __init__(self, project, notify):
        self.dir = tempfile.mkdtemp(prefix="sluice-notify-")
        self.env = {**os.environ, "SLUICE_DATA": os.path.join(self.dir, ".sluice"),
                    "SLUICE_NOTIFY_ALLOW": "loopback"}
        os.mkdir(self.env["SLUICE_DATA"])
        self.write("project.yml", "apiVersion: sluice/v1\nkind: Project\nname: p\nchannels:\n" + project)
        self.write("p.yml", "apiVersion: sluice/v1\nkind: Pipeline\nname: p\nsteps:\n"
                            "  work: {run: 'true'}\n  tell:\n    needs: [work]\n    notify: " + notify + "\n")
        self.run("init")

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as f:
            f.write(text)

    def run(self, *args, code=0, stdin=None, env=None):
        p = subprocess.run([BIN, *args], cwd=self.dir, env={**self.env, **(env or {})}, input=stdin,
                           text=True, capture_output=True, timeout=120)
        check(p.returncode == code, f"{args}: exit {p.returncode}, expected {code}: {p.stderr}{p.stdout}")
        return p.stdout + (p.stderr if code else "")

    def rows(self, *args):
        return json.loads(self.run("notifications", "--json", *args))["notifications"]

    def until(self, condition, what, seconds=60):
        """With an engine that serves."""
        p = subprocess.Popen([BIN, "serve"], cwd=self.dir, env=self.env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + seconds
            while not condition():
                check(time.monotonic() < end, what)
                time.sleep(0.05)
        finally:
            p.terminate()
            p.wait()

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def test_webhook():
    s = hook_server()
    url = f"http://127.0.0.1:{s.server_address[1]}/services/CANARYPATH"
    p = Place("  chat: {webhook: {url_secret: hook-url, secret: hook-key}}\n",
              "{webhook: chat, text: 'done: ${{ run.status }} \u00e4'}")
    key = base64.b64encode(b"a key of some length here").decode()
    p.run("secret", "set", "hook-url", stdin=url + "\n")
    p.run("secret", "set", "hook-key", stdin="whsec_" + key + "\n")
    p.run("project", "apply", "project.yml")
    p.run("run", "p.yml")
    check(len(s.got) == 1, f"a foreground run delivers before it ends: {len(s.got)}")
    path, headers, body = s.got[0]
    message = json.loads(body)
    check(message["text"].startswith("done: ") and message["pipeline"] == "p" and message["number"] == 1,
          f"body: {message}")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"a key of some length here", signed, hashlib.sha256).digest())
    check(headers["webhook-signature"] == "v1," + expected.decode(), "signature")
    check(abs(int(headers["webhook-timestamp"]) - time.time()) < 300, "timestamp")
    check(message["id"] == headers["webhook-id"], "id")
    row = p.rows()[0]
    check(row["state"] == "sent" and row["tries"] == 1, f"row: {row}")
    # trouble: tried again, with the same id; the address is told nowhere
    s.answers = [(500, {}), (503, {"Retry-After": "1"})]
    p.run("run", "p.yml")
    row = p.rows()[0]
    check(row["state"] == "pending" and "500" in row["error"], f"waits: {row}")
    p.until(lambda: len(s.got) == 4, "two more tries")
    check(len({h["webhook-id"] for _, h, _ in s.got[1:]}) == 1, "one id over all tries")
    check(s.got[1][1]["webhook-id"] != s.got[0][1]["webhook-id"], "another message, another id")
    row = p.rows()[0]
    check(row["state"] == "sent" and row["tries"] == 3, f"row: {row}")
    # 410: off, until the project changes
    s.answers = [(410, {})]
    p.run("run", "p.yml")
    check(p.rows()[0]["state"] == "failed", "410 fails")
    n = len(s.got)
    p.run("run", "p.yml")
    row = p.rows("--failed")[0]
    check(len(s.got) == n and "until the project changes" in row["error"], f"off: {row}")
    p.write("project.yml", open(os.path.join(p.dir, "project.yml"), encoding="utf-8").read() + "# again\n")
    p.run("project", "apply", "project.yml")
    p.run("notifications", "--retry", str(row["id"]))
    p.until(lambda: len(s.got) == n + 1, "delivered after the project changed")
    check("no message 999" in p.run("notifications", "--retry", "999", code=2), "unknown id")
    for folder, _, names in os.walk(p.env["SLUICE_DATA"]):
        for name in names:
            with open(os.path.join(folder, name), "rb") as f:
                data = f.read()
            check(b"CANARYPATH" not in data and key.encode() not in data, f"secret in {name}")
    p.close()


def test_refused_inside():
    s = hook_server()
    p = Place("  chat: {webhook: {url: 'https://127.0.0.1:%d/'}}\n" % s.server_address[1],
              "{webhook: chat, text: hi}")
    p.run("project", "apply", "project.yml")
    p.run("run", "p.yml", env={"SLUICE_NOTIFY_ALLOW": ""})
    row = p.rows()[0]
    check("loopback" in row["error"] and not s.got, f"inside: {row}")
    out = p.run("run", "p.yml", code=2, env={"SLUICE_NOTIFY_ALLOW": "everything"})
    check("none of http, loopback, private" in out, out)
    p.close()


def test_nobody_listens_then_the_next_engine():
    s = hook_server()
    port = s.server_address[1]
    s.shutdown()
    s.server_close()
    p = Place("  chat: {webhook: {url: 'http://127.0.0.1:%d/'}}\n" % port, "{webhook: chat, text: hi}")
    p.run("project", "apply", "project.yml")
    p.run("run", "p.yml")
    check(p.rows()[0]["state"] == "pending", "waits")
    s = http.server.ThreadingHTTPServer(("127.0.0.1", port), Hook)
    s.got, s.answers = [], []
    threading.Thread(target=s.serve_forever, daemon=True).start()
    p.until(lambda: len(s.got) == 1, "the next engine delivers")
    check(json.loads(s.got[0][2])["text"] == "hi", "text")
    p.close()


def test_mail():
    mails = Mails()
    server = Controller(mails, hostname="127.0.0.1", port=0)
    try:
        server.start()
        port = server.server.sockets[0].getsockname()[1]
    except OSError:  # an older aiosmtpd connects to port 0 to see whether it listens
        port = server.server.sockets[0].getsockname()[1]
    p = Place("  team: {mail: {to: [bo@example.org, cy@example.org], from: ci@example.org, "
              f"smtp: 'smtp://127.0.0.1:{port}'}}}}\n",
              "{mail: team, text: 'line one', subject: 'B\u00e4ume'}")
    p.run("project", "apply", "project.yml")
    p.run("run", "p.yml")
    check(len(mails.got) == 1, f"mail: {p.rows()}")
    envelope = mails.got[0]
    check(envelope.mail_from == "ci@example.org" and
          envelope.rcpt_tos == ["bo@example.org", "cy@example.org"], f"envelope: {envelope.rcpt_tos}")
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    check(message["Subject"] == "B\u00e4ume", f"subject: {message['Subject']}")
    check(message.get_content().strip() == "line one", "text")
    check(message["Message-ID"].startswith("<msg_"), "id")
    check(p.rows()[0]["state"] == "sent", "sent")
    server.stop()
    p.close()


for test in [f for n, f in sorted(globals().items()) if n.startswith("test_")]:
    if len(sys.argv) < 2 or any(w in test.__name__ for w in sys.argv[1:]):
        begin = time.monotonic()
        test()
        print(f"{test.__name__}: {time.monotonic() - begin:.1f} s")
print(f"{checks} checks")
