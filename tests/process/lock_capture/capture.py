#!/usr/bin/env python3
"""Writes a fixture for the tests of lock layouts: what a thread waits on, seen from outside.

usage: capture.py OUTPUT MADE-WITH PROGRAM [ARGUMENT...]

Runs the program (locks.c, runtimes.cpp, rust/), waits until its thread "waiter" is in a futex wait
and stays there, and writes the system call, the functions on its stack (from gdb) and the bytes
around the awaited word. MADE-WITH is a line for people: versions and the command that built it.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

BEFORE, AFTER = 128, 128
FUTEX = 202  # x86-64

FRAMES = r"""
import gdb, json, os
tid = int(os.environ["WAITER"])
for thread in gdb.selected_inferior().threads():
    if thread.ptid[1] == tid:
        thread.switch()
frames = []
frame = gdb.newest_frame()
while frame is not None and len(frames) < 14:
    frames.append((frame.name() or "", gdb.solib_name(frame.pc()) or ""))
    frame = frame.older()
print("FRAMES " + json.dumps(frames))
"""


def said(process):
    """The words of the program until it names its process."""
    words = {}
    for line in process.stdout:
        name, _, value = line.strip().partition(" ")
        words[name] = int(value, 0)
        if name == "process":
            return words
    sys.exit("the program said nothing, or cannot do this here")


def read(path):
    with open(path) as file:
        return file.read().strip()


def blocked(pid):
    """TID and system call of the waiting thread, once it is the same in ten looks."""
    before, same = None, 0
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(0.05)
        found = None
        for tid in os.listdir(f"/proc/{pid}/task"):
            if read(f"/proc/{pid}/task/{tid}/comm") == "waiter":
                call = read(f"/proc/{pid}/task/{tid}/syscall").split()
                if call[0] == str(FUTEX):
                    found = int(tid), call
        same = same + 1 if found and found == before else 0
        before = found
        if same == 10:
            return found
    sys.exit("no thread \"waiter\" came to wait on a futex")


def module_of(pid, address):
    """File whose data the address lies in; memory right behind a file's is its .bss."""
    last = ""
    end = 0
    for line in read(f"/proc/{pid}/maps").splitlines():
        fields = line.split(maxsplit=5)
        low, high = (int(part, 16) for part in fields[0].split("-"))
        path = fields[5] if len(fields) == 6 else ""
        if path or low != end:
            last = path
        end = high
        if low <= address < high:
            return os.path.basename(last) if last.startswith("/") else ""
    return ""


def frames(pid, tid):
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(FRAMES)
        script.flush()
        out = subprocess.run(
            ["gdb", "-nx", "-batch", "-p", str(pid), "-x", script.name],
            env=dict(os.environ, WAITER=str(tid)), capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL).stdout
    match = re.search(r"^FRAMES (.*)$", out, re.M)
    return json.loads(match.group(1)) if match else []


def main():
    output, made = sys.argv[1:3]
    program = sys.argv[3:]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL, text=True)
    try:
        words = said(process)
        pid = words["process"]
        tid, call = blocked(pid)
        number, address, operation, expected, timeout = (int(word, 0) for word in call[:5])
        assert number == FUTEX
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(address - BEFORE)
            bytes_ = memory.read(BEFORE + AFTER)
        executable = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        stack = frames(pid, tid)
        path = module_of(pid, address)
    finally:
        process.kill()
        process.wait()
    modules = [os.path.basename(module) or executable for _, module in stack] or [""]
    outside = [m for m in modules if not m.startswith(("libc.so", "ld-", "libpthread"))] or [""]
    lines = [
        f"# {made}",
        f"address {address:#x}",
        f"operation {operation & 0xffffffff:#x}",
        f"expected {expected & 0xffffffff:#x}",
        f"timed {int(timeout != 0 and operation & 127 not in (6, 13))}",
        f"lock {words.get('lock', 0):#x}",
        f"owner {words.get('owner', 0)}",
        f"module {modules[0]}",
        f"caller-module {outside[0]}",
        f"address-module {path}",
    ]
    lines += [f"function {name}" for name, _ in stack]
    for row in range(0, len(bytes_), 32):
        lines.append(f"bytes {bytes_[row:row + 32].hex()}")
    with open(output, "w") as file:
        file.write("\n".join(lines) + "\n")


main()
