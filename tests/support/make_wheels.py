"""Tiny wheels for tests, each byte decided by name, version and body, and the lock that names them.

    make_wheels.py DIR NAME==VERSION[:NEEDED[,NEEDED]]...    writes wheels into DIR, prints a lock
"""
import base64
import hashlib
import os
import sys
import zipfile


def wheel(folder, name, version, needs):
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{module}.py": f"version = {version!r}\n\n\ndef main():\n    print('{name}', version)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    target = os.path.join(folder, f"{module}-{version}-py3-none-any.whl")
    with zipfile.ZipFile(target, "w") as out:
        for path, text in files.items():
            out.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    with open(target, "rb") as made:
        return hashlib.sha256(made.read()).hexdigest()


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for word in sys.argv[2:]:
        pinned, _, needs = word.partition(":")
        name, version = pinned.split("==")
        digest = wheel(folder, name, version, [need for need in needs.split(",") if need])
        print(f"{name}=={version} \\\n    --hash=sha256:{digest}")


if __name__ == "__main__":
    main()
