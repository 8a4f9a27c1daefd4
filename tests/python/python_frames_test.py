"""The Python frames read from outside are those the interpreter itself tells of.

usage: python_frames_test.py PROBE 3.N CASE

Cases are those of programs/blocked_threads.py, each against the interpreter of that version; the
environment variable FORKSCOPE_PYTHON_3_N names it, else it is looked for in the usual places. There
may be none: exit status 77.
"""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

PROGRAM = pathlib.Path(__file__).with_name("programs") / "blocked_threads.py"
SKIPPED = 77


def interpreters(version):
    """Different files that are that version, those that can be run."""
    named = os.environ.get("FORKSCOPE_PYTHON_" + version.replace(".", "_"))
    if named:
        return [named]
    name = "python" + version
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = [f"/usr/bin/{name}", f"/usr/local/bin/{name}", shutil.which(name)]
    candidates += glob.glob(f"{pyenv}/versions/*/bin/{name}") + glob.glob(f"/opt/*/bin/{name}")
    found = {}
    for path in filter(None, candidates):
        # A launcher (pyenv's shims are scripts) is not the interpreter.
        if not os.path.exists(path) or open(path, "rb").read(4) != b"\x7fELF":
            continue
        code = "import ctypes, threading, asyncio, sys; print(sys.version_info[:2])"
        run = subprocess.run([path, "-c", code], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
        if run.returncode == 0 and run.stdout.strip() == str(tuple(map(int, version.split(".")))):
            found[os.path.realpath(path)] = path
    return list(found.values())


def read_from_outside(probe, pid, **environment):
    run = subprocess.run([probe, str(pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env={**os.environ, **environment}, timeout=60)
    if run.returncode != 0:
        sys.exit(f"the probe failed: {run.stderr.decode()}")
    version, threads = None, {}
    for line in run.stdout.decode().splitlines():
        kind, *fields = line.split("\t")
        if kind == "version":
            version = fields[0]
        elif kind == "thread":
            frames = threads.setdefault(fields[0], [])
        else:
            frames.append([fields[0], fields[1], int(fields[2])])
    return version, threads


def expected(threads):
    def text(name):  # half a surrogate pair is no character
        return "".join("\ufffd" if 0xd800 <= ord(c) <= 0xdfff else c for c in name)
    return {tid: [[text(function), text(file), line] for function, file, line in frames]
            for tid, frames in threads.items()}


def show(frames):
    return "".join(f"    {function} ({file}:{line})\n" for function, file, line in frames) or \
        "    none\n"


def compare(title, inside, outside):
    wrong = 0
    for tid in sorted(set(inside) | set(outside)):
        if inside.get(tid) == outside.get(tid):
            continue
        wrong += 1
        print(f"{title}: thread {tid}\n  inside:\n{show(inside.get(tid, []))}"
              f"  outside:\n{show(outside.get(tid, []))}")
    return wrong


def check(probe, python, version, case):
    with subprocess.Popen([python, "-sE", "-Wignore", PROGRAM, case], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as program:
        told = None
        try:
            line = program.stdout.readline()
            if not line:
                sys.exit(f"{python} {PROGRAM.name} {case} failed")
            told = json.loads(line)
            seen_version, seen = read_from_outside(probe, told["pid"])
            assert seen_version and (seen_version + ".").startswith(version + "."), seen_version
            inside = expected(told["threads"])
            wrong = compare(case, inside, seen)
            if case == "threads":
                # Thread IDs left aside, the stack tells them apart: all but the first, whose stack
                # has nothing of the C library's in it.
                _, by_stack = read_from_outside(probe, told["pid"], PROBE_BY_STACK="1")
                first = str(told["pid"])
                wrong += compare(case + " by stack", {**inside, first: []}, by_stack)
            frames = sum(map(len, inside.values()))
            print(f"{python} ({seen_version}): {case}: {len(inside)} threads, {frames} frames, "
                  f"{wrong} threads wrong")
            return wrong == 0 and frames > 0
        finally:
            # What forked beside threads may well hang, and must not outlive the test.
            if told and told["pid"] != program.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(told["pid"], signal.SIGKILL)
            program.stdin.close()
            try:
                program.wait(20)
            finally:
                program.kill()


def main():
    probe, version, case = sys.argv[1:]
    found = interpreters(version)
    if not found:
        print(f"skipped: there is no CPython {version} on this machine")
        sys.exit(SKIPPED)
    sys.exit(0 if all([check(probe, python, version, case) for python in found]) else 1)


main()
