"""Which version of a system a case runs, as the system itself says it."""

import functools
import pathlib
import re
import subprocess

PROGRAMS = {
    "gcc": ("gcc", "-dumpfullversion"),
    "ruby": ("/usr/bin/ruby", "--version"),
    "go": ("/usr/bin/env", "PATH=/usr/bin:/usr/local/go/bin", "go", "version"),
}
LOCK = pathlib.Path(__file__).resolve().parent / "programs" / "rayon_fork" / "Cargo.lock"


@functools.cache
def _first_number(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    found = re.search(r"\d+(\.\d+)+[a-z0-9]*", done.stdout + done.stderr)
    return found[0] if found else ""


def of(case, folder):
    interpreter = case.command[0].format(folder=folder)
    if "env" in interpreter:
        interpreter = next((word.format(folder=folder) for word in case.command
                            if word.endswith("/python")), interpreter)
    if case.version in PROGRAMS:
        return f"{case.version} {_first_number(*PROGRAMS[case.version])}"
    if case.version == "rayon":
        found = re.search(r'name = "rayon"\nversion = "([^"]*)"', LOCK.read_text())
        return f"rayon {found[1]}"
    python = f"Python {_first_number(interpreter, '-V')}"
    if case.version == "python":
        return python
    code = f"import importlib.metadata as m; print(m.version({case.version!r}))"
    return f"{case.version} {_first_number(interpreter, '-c', code)}, {python}"
