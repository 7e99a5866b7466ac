"""Imports from a real S3 server: Ceph's radosgw, by Debian's packages (radosgw ceph-mon ceph-osd ceph-common)."""
import hashlib
import hmac
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ["SLUICE_BIN"]
PORT = int(os.environ.get("CEPH_PORT", "18480"))
KEY, SECRET, REGION = "LABKEY", "LABSECRET", "default"
checks = 0


def check(condition, text):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAIL: {text}")


def s3(method, path, body=b"", query=""):
    """A signed request, from the specification."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    host = f"127.0.0.1:{PORT}"
    digest = hashlib.sha256(body).hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    quoted = urllib.parse.quote(path)
    pairs = "&".join(sorted(p if "=" in p else p + "=" for p in query.split("&") if p))
    canonical = f"{method}\n{quoted}\n{pairs}\nhost:{host}\nx-amz-content-sha256:{digest}\n" \
                f"x-amz-date:{now}\n\n{names}\n{digest}"
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + SECRET).encode()
    for part in (now[:8], REGION, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(f"http://{host}{quoted}{'?' + query if query else ''}", data=body or None,
                                     method=method)
    request.add_header("x-amz-date", now)
    request.add_header("x-amz-content-sha256", digest)
    request.add_header("Authorization", f"AWS4-HMAC-SHA256 Credential={KEY}/{scope},"
                                        f"SignedHeaders={names},Signature={signature}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(answer.headers), answer.read()


def multipart(path, parts):
    _, body = s3("POST", path, query="uploads")
    upload = body.decode().split("<UploadId>")[1].split("<")[0]
    tags = []
    for i, part in enumerate(parts, 1):
        headers, _ = s3("PUT", path, part, f"partNumber={i}&uploadId={upload}")
        tags.append(headers["ETag"])
    rows = "".join(f"<Part><PartNumber>{i}</PartNumber><ETag>{t}</ETag></Part>"
                   for i, t in enumerate(tags, 1))
    s3("POST", path, f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode(),
       f"uploadId={upload}")


def main():
    work = tempfile.mkdtemp(prefix="sluice-radosgw-")
    env = {**os.environ, "SLUICE_DATA": os.path.join(work, "data"), "AWS_ACCESS_KEY_ID": KEY,
           "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION,
           "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}"}
    os.mkdir(env["SLUICE_DATA"])
    ceph = {**os.environ, "DIR": os.path.join(work, "ceph"), "PORT": str(PORT)}

    def sluice(*args, code=0):
        p = subprocess.run([BIN, *args], cwd=work, env=env, text=True, capture_output=True,
                           timeout=300)
        check(p.returncode == code, f"{args}: {p.returncode}: {p.stderr}")
        return p.stdout if code == 0 else p.stderr

    subprocess.run([os.path.join(HERE, "ceph_s3.sh"), "up"], env=ceph, check=True)
    try:
        rng = random.Random(7)
        s3("PUT", "/lake")
        files = {f"data/f{i:04}": rng.randbytes(rng.randrange(0, 2000)) for i in range(1205)}
        files["data/sub/a b+c&d\u00e4.csv"] = b"odd"
        for name, data in files.items():
            s3("PUT", "/lake/" + name, data)
        big = [rng.randbytes(5 << 20), rng.randbytes(1 << 20)]
        multipart("/lake/data/big", big)
        files["data/big"] = b"".join(big)
        v = json.loads(sluice("data", "import", "s3://lake/data", "lake", "--json"))
        check(v["files"] == len(files), f"{v}")
        sluice("data", "get", "lake", os.path.join(work, "got"))
        for name, data in files.items():
            with open(os.path.join(work, "got", name[len("data/"):]), "rb") as f:
                check(f.read() == data, name)
        v = json.loads(sluice("data", "refresh", "lake", "--json"))
        check(not v["created"] and v["fetched_bytes"] == 0, f"unchanged: {v}")
        s3("PUT", "/lake/data/f0001", b"changed")
        s3("DELETE", "/lake/data/f0002")
        v = json.loads(sluice("data", "refresh", "lake", "--json"))
        check(v["version"] == 2 and v["fetched_bytes"] == 7 and v["files"] == len(files) - 1, f"{v}")
        multipart("/lake/apart", [big[0][::-1], big[1]])
        sluice("data", "import", "s3://lake/apart", "big", "--reference")
        sluice("data", "get", "big", os.path.join(work, "ref"))
        s3("PUT", "/lake/apart", b"other")
        check("changed since" in sluice("data", "get", "big", os.path.join(work, "bad"), code=1), "ref")
        s3("PUT", "/kept")
        s3("PUT", "/kept", b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
           "versioning")
        s3("PUT", "/kept/v", b"first")
        sluice("data", "import", "s3://kept/v", "v", "--reference")
        s3("PUT", "/kept/v", b"second")
        sluice("data", "get", "v", os.path.join(work, "pinned"))
        with open(os.path.join(work, "pinned", "v"), "rb") as f:
            check(f.read() == b"first", "a pinned version id outlives what takes its place")
        env["AWS_SECRET_ACCESS_KEY"] = "wrong"
        check("403" in sluice("data", "import", "s3://lake/data", "x", code=5), "wrong secret")
    finally:
        subprocess.run([os.path.join(HERE, "ceph_s3.sh"), "down"], env=ceph, check=False)
        shutil.rmtree(work, ignore_errors=True)
    print(f"radosgw: {checks} checks")


main()
