"""Servers on loopback for tests of imports: HTTP(S) with Range, ETag and accidents, and an S3 that checks
signatures. Written from the specifications, not from the code under test."""
import hashlib
import hmac
import http.server
import os
import ssl
import subprocess
import threading
import urllib.parse


def certificate(folder):
    """A CA and a certificate for localhost and 127.0.0.1; returns (ca, chain, key)."""
    def run(*args):
        subprocess.run(["openssl", *args], check=True, cwd=folder, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
        "3650", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
        "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(folder, "ext"), "w", encoding="utf-8") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "3650", "-extfile", "ext", "-out", "server.pem")
    return tuple(os.path.join(folder, n) for n in ("ca.pem", "server.pem", "server.key"))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler, tls=None):
        super().__init__(("127.0.0.1", 0), handler)
        self.scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        self.files = {}     # path -> Item
        self.log = []       # (method, path, headers)
        self.guard = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass


class Item:
    """A resource. `data` is bytes, or (size, byte function) for large ones."""
    def __init__(self, data, etag=None, modified="Wed, 01 Jan 2025 00:00:00 GMT"):
        self.data = data
        self.etag = etag if etag is not None else f'"{hashlib.md5(data).hexdigest()}"'
        self.modified = modified
        self.ranges = True
        self.cut_after = []         # bytes to send before each next connection is cut
        self.statuses = []          # (status, headers) to answer first
        self.swap_after_cut = None  # Item that takes the place once cut
        self.redirect = None
        self.version = None
        self.lie_length = 0


class Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def plain(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def span(self, item):
        """(first, status) that the request's Range asks for."""
        header = self.headers.get("Range")
        if not header or not item.ranges or not header.startswith("bytes="):
            return 0, 200
        condition = self.headers.get("If-Range")
        if condition and condition not in (item.etag, item.modified):
            return 0, 200
        first = int(header[6:].split("-")[0])
        return (first, 416) if first >= len(item.data) else (first, 206)

    def do_GET(self):
        with self.server.guard:
            self.server.log.append((self.command, self.path, dict(self.headers)))
            plain = self.path if "#" in self.path else urllib.parse.urlsplit(self.path).path
            item = self.server.files.get(plain)
        if item is None:
            return self.plain(404, b"no such file")
        if item.redirect:
            return self.plain(302, b"", [("Location", item.redirect)])
        if item.statuses:
            status, headers = item.statuses.pop(0)
            return self.plain(status, b"not now", headers)
        facts = [("Last-Modified", item.modified)] if item.modified else []
        facts += [("ETag", item.etag)] if item.etag else []
        facts += [("x-amz-version-id", item.version)] if item.version else []
        if item.etag and self.headers.get("If-None-Match") == item.etag:
            self.send_response(304)
            self.send_header("ETag", item.etag)
            self.end_headers()
            return None
        first, status = self.span(item)
        if status == 416:
            return self.plain(416, b"", [("Content-Range", f"bytes */{len(item.data)}"), *facts])
        body = item.data[first:]
        self.send_response(status)
        for name, value in facts:
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range",
                             f"bytes {first}-{len(item.data) - 1}/{len(item.data)}")
        self.send_header("Content-Length", str(len(body) + item.lie_length))
        self.end_headers()
        if item.cut_after:
            self.wfile.write(body[:item.cut_after.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            if item.swap_after_cut and not item.cut_after:
                self.server.files[self.path] = item.swap_after_cut
            self.connection.close()
            return None
        self.wfile.write(body)
        if item.lie_length:
            self.close_connection = True
        return None

    do_HEAD = do_GET


class S3(Files):
    """ListObjectsV2 and GetObject of any bucket for one key pair. Pages have `server.page` objects."""

    def check_signature(self):
        """None when right, else what is wrong. AWS Signature Version 4, as documented."""
        text = self.headers.get("Authorization", "")
        if not text.startswith("AWS4-HMAC-SHA256 "):
            return "no signature"
        fields = dict(p.strip().split("=", 1) for p in text[len("AWS4-HMAC-SHA256 "):].split(","))
        key, day, region, service, end = fields["Credential"].split("/")
        names = fields["SignedHeaders"].split(";")
        if key != self.server.key or end != "aws4_request":
            return "wrong key"
        for name in self.headers:
            if (name.lower() == "host" or name.lower().startswith("x-amz-")) and \
                    name.lower() not in names:
                return f"{name} is not signed"
        url = urllib.parse.urlsplit(self.path)
        pairs = sorted(p.partition("=")[::2] for p in url.query.split("&") if p)
        body_hash = self.headers["x-amz-content-sha256"]
        canonical = "\n".join([
            self.command, url.path, "&".join(f"{a}={b}" for a, b in pairs),
            *[f"{n}:{' '.join(self.headers[n].split())}" for n in names], "",
            ";".join(names), body_hash])
        scope = f"{day}/{region}/{service}/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", self.headers["x-amz-date"], scope,
                             hashlib.sha256(canonical.encode()).hexdigest()])
        secret = ("AWS4" + self.server.secret).encode()
        for part in (day, region, service, "aws4_request"):
            secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
        expected = hmac.new(secret, to_sign.encode(), hashlib.sha256).hexdigest()
        if body_hash != hashlib.sha256(b"").hexdigest():
            return "wrong body hash"
        return None if hmac.compare_digest(expected, fields["Signature"]) else "wrong signature"

    def do_GET(self):
        wrong = self.check_signature()
        if wrong:
            return self.plain(403, f"<Error><Code>SignatureDoesNotMatch</Code><Message>{wrong}"
                                   "</Message></Error>".encode())
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        if query.get("list-type") == "2":
            return self.list(url.path.strip("/"), query)
        self.path = urllib.parse.unquote(url.path)
        if "versionId" in query:
            self.path += "#" + query["versionId"]  # where put_version keeps it
        return Files.do_GET(self)

    def list(self, bucket, query):
        with self.server.guard:
            self.server.log.append(("LIST", self.path, dict(self.headers)))
            prefix = f"/{bucket}/"
            names = sorted(p[len(prefix):] for p, i in self.server.files.items()
                           if i is not None and p.startswith(prefix + query.get("prefix", ""))
                           and "#" not in p)
        after = query.get("continuation-token")
        names = [n for n in names if after is None or n > after]
        page, rest = names[:self.server.page], names[self.server.page:]
        escape = lambda t: t.replace("&", "&amp;").replace("<", "&lt;")
        rows = "".join(
            f"<Contents><Key>{escape(n)}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{self.server.files[prefix + n].etag.replace(chr(34), '&quot;')}</ETag>"
            f"<Size>{len(self.server.files[prefix + n].data)}</Size></Contents>" for n in page)
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if rest else ""
        return self.plain(200, ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns='
                                '"http://s3.amazonaws.com/doc/2006-03-01/">'
                                f"<Name>{bucket}</Name><IsTruncated>{str(bool(rest)).lower()}"
                                f"</IsTruncated>{more}{rows}</ListBucketResult>").encode())

    do_HEAD = do_GET


def s3_server(page=1000):
    server = Server(S3)
    server.key, server.secret, server.page = "TESTKEY", "test/secret+key", page
    return server


def put_version(server, path, item, version):
    """As a bucket with versioning: the newest under its name, each under its id."""
    item.version = version
    server.files[path] = server.files[f"{path}#{version}"] = item
