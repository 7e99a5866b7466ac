"""What the checks share: listing files, reading C without comments and strings, reporting."""
import os
import re
import subprocess
import sys

C_TOPS = ("core", "registry", "runners", "pipelines", "web", "cmd", "tests")


def root():
    """The tree to check: the argument, else the repository of this script."""
    if len(sys.argv) > 1:
        return os.path.abspath(sys.argv[1])
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(top, suffixes=None):
    """Paths below `top`, relative and sorted: git's view where there is one, else all."""
    listed = subprocess.run(
        ["git", "-C", top, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if os.path.isdir(os.path.join(top, ".git")) and listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = []
        for directory, _, here in os.walk(top):
            names += [os.path.relpath(os.path.join(directory, n), top) for n in here]
    names = [n for n in names if os.path.isfile(os.path.join(top, n))]
    return sorted(n for n in names if suffixes is None or n.endswith(suffixes))


def c_files(top, suffixes=(".c", ".h")):
    return [n for n in files(top, suffixes) if n.split("/")[0] in C_TOPS]


def read(top, name):
    with open(os.path.join(top, name), encoding="utf-8", errors="replace") as f:
        return f.read()


TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def code_only(text):
    """The text with comments and literals blanked, line numbers kept."""
    return TOKEN.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def finish(findings, check):
    """Prints one line per finding; exit status 1 when there is one."""
    for finding in findings:
        print(finding)
    print(f"{check}: {len(findings)} findings", file=sys.stderr)
    sys.exit(1 if findings else 0)
