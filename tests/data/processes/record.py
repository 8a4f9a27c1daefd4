#!/usr/bin/env python3
"""Writes what /proc shows of a process and of those it is a copy of to one text, for the tests.

    record.py FORKSCOPE PID [--rename OLD=NEW]... [--note TEXT] > NAME.txt

Nothing is stopped or changed. Texts of /proc are kept as they are, without the lines that do not
matter here; memory: the ELF headers of the modules on the stacks, and what lies around the awaited
words. Stacks and their names come from `forkscope attach --json`. README.md has the format.
"""

import argparse
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import time

FUTEX = {"x86_64": 202}.get(os.uname().machine, 98)
BEFORE, AFTER = 128, 128  # kBytesBefore, kBytesAfter of lock_layout.hpp
FORKED = 0x40  # PF_FORKNOEXEC
STATUS = ("Name", "State", "Tgid", "Pid", "PPid", "TracerPid", "Uid", "NSpid", "Threads", "SigCgt",
          "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
MOST_FRAMES, MOST_NAME = 32, 160
PATIENCE = 0.35  # seconds: kPatienceMilliseconds of observe.hpp
LIBC = ("libc.so", "libc-2.", "libpthread", "ld-", "libstdc++")


class Recorder:
    def __init__(self, forkscope, renames):
        self.forkscope = forkscope
        self.renames = renames
        self.lines = []

    def put(self, head, text=None):
        self.lines.append("@" + head)
        if text:
            for old, new in self.renames:
                text = text.replace(old, new)
            self.lines.append(text.rstrip("\n"))

    def process(self, pid, role):
        proc = pathlib.Path(f"/proc/{pid}")
        read = lambda name: (proc / name).read_text("utf-8", "surrogateescape")
        tids = sorted((int(path.name) for path in (proc / "task").iterdir()),
                      key=lambda tid: (tid != pid, tid))
        first = {tid: self.look(proc, tid) for tid in tids}
        second = {tid: self.look(proc, tid) for tid in tids}
        stat, maps = read("stat"), read("maps")
        attach = subprocess.run([self.forkscope, "attach", "--json", "-", str(pid)],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        stacks = {one["tid"]: one for one in json.loads(attach.stdout)["threads"]}

        self.put(f"process {role}")
        self.put("exe", os.readlink(proc / "exe"))
        self.put("command", read("cmdline").rstrip("\0").replace("\0", "\n"))
        self.put("stat", stat)
        self.put("status", self.shorter(read("status")))
        modules = {frame["module"] for one in stacks.values() for frame in one["stack"]}
        modules.add(os.readlink(proc / "exe"))
        maps = [line for line in maps.splitlines() if self.matters(line, modules, second)]
        self.put("maps", "\n".join(maps))
        self.memory(proc, maps, modules, second)
        for tid in tids:
            self.thread(tid, tid == pid, first[tid], second[tid], stacks.get(tid))
        return stat, second

    @staticmethod
    def look(proc, tid):
        """In the order of LiveProcess::look_at_thread."""
        task = proc / "task" / str(tid)
        return {name: (task / name).read_text("utf-8", "surrogateescape")
                for name in ("syscall", "status", "stat")}

    @staticmethod
    def shorter(status):
        return "\n".join(line for line in status.splitlines() if line.split(":")[0] in STATUS)

    @staticmethod
    def mapping(line):
        fields = line.split(maxsplit=5)
        begin, end = (int(one, 16) for one in fields[0].split("-"))
        return begin, end, fields[1], int(fields[2], 16), fields[5] if len(fields) == 6 else ""

    def matters(self, line, modules, threads):
        """Whether a thread's code, stack or awaited word lies there."""
        begin, end, _, _, path = self.mapping(line)
        words = [int(word, 16) for look in threads.values()
                 for word in look["syscall"].split()[1:2] + look["syscall"].split()[-2:-1]
                 if word != "running"]
        return path in modules or path in ("[heap]", "[stack]") or any(
            begin <= word < end for word in words)

    def memory(self, proc, maps, modules, threads):
        ranges = []
        for line in maps:
            begin, end, rights, offset, path = self.mapping(line)
            if rights == "r--p" and offset == 0 and path in modules:
                ranges.append((begin, begin + 64 + 56 * 16))
            for look in threads.values():
                words = look["syscall"].split()
                if words[0] == str(FUTEX) and begin <= int(words[1], 16) < end:
                    address = int(words[1], 16)
                    ranges.append((max(begin, address - BEFORE), min(end, address + AFTER)))
        with open(proc / "mem", "rb", buffering=0) as mem:
            for begin, end in sorted(set(ranges)):
                mem.seek(begin)
                data = mem.read(end - begin).hex()
                self.put(f"memory {begin:#x}",
                         "\n".join(data[at:at + 96] for at in range(0, len(data), 96)))

    def thread(self, tid, leads, first, second, shown):
        self.put(f"thread {tid}")
        self.put("stat", second["stat"])
        self.put("status", self.shorter(second["status"]))
        self.put("syscall", second["syscall"])
        self.put("earlier-status", self.shorter(first["status"]))
        self.put("earlier-syscall", first["syscall"])
        if not shown or not shown["stack"]:
            return
        frames = shown["stack"]
        words = lambda frame: "{} {} {} {} {}".format(
            frame["address"], frame["offset"], "i" if frame["inlined"] else "f",
            frame["module"] or "-", (frame["function"] or "")[:MOST_NAME]).rstrip()
        outermost = [frame for frame in frames if not frame["inlined"] and frame["module"] and
                     not os.path.basename(frame["module"]).startswith(LIBC) and
                     not (frame["function"] or "").startswith("std::")]
        if shown["stack_complete"] and outermost and not leads:
            self.put("start", words(outermost[-1]))
        self.put("stack " + ("complete" if shown["stack_complete"] else "short"),
                 "\n".join(words(frame) for frame in frames[:MOST_FRAMES]))


class Remembered:
    """Threads that a forked child's glibc still knows (detector/inspect/glibc_threads.hpp), read
    with the offsets that this process's own libc states; for processes that use the same one."""
    ENDED = 0x30

    def __init__(self, pid):
        self.mem = open(f"/proc/{pid}/mem", "rb", buffering=0)
        self.maps = pathlib.Path(f"/proc/{pid}/maps").read_text("utf-8", "surrogateescape")
        self.process = ctypes.CDLL(None)

    def number(self, address, size=8):
        self.mem.seek(address)
        return int.from_bytes(self.mem.read(size), "little")

    def threads(self):
        find = self.process.dlvsym
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p] + 2 * [ctypes.c_char_p]
        symbol = lambda name: find(None, name.encode(), b"GLIBC_PRIVATE")
        describe = lambda field: (ctypes.c_uint32 * 3).from_address(
            symbol("_thread_db_" + field))[2]
        base = lambda maps: next((int(line.split("-")[0], 16) for line in maps.splitlines()
                                  if "/ld-linux" in line), None)
        ours = base(pathlib.Path("/proc/self/maps").read_text("utf-8"))
        theirs = base(self.maps)
        cache = theirs + symbol("_rtld_global") - ours + describe("rtld_global__dl_stack_user") + 16
        node = self.number(cache)
        while node != cache:
            thread = node - describe("pthread_list")
            start = self.number(thread + describe("pthread_start_routine"))
            ended = self.number(thread + describe("pthread_cancelhandling"), 4) & self.ENDED
            if start and not ended and self.number(thread + describe("pthread_tid"), 4) == 0:
                yield start
            node = self.number(node)

    def module(self, address):
        for line in self.maps.splitlines():
            begin, end, _, _, path = Recorder.mapping(line)
            if begin <= address < end:
                return path
        return "-"


def image_mark(pid):
    """AT_RANDOM: alike in copies by fork."""
    data = pathlib.Path(f"/proc/{pid}/auxv").read_bytes()
    for at in range(0, len(data), 16):
        if int.from_bytes(data[at:at + 8], "little") == 25:
            address = int.from_bytes(data[at + 8:at + 16], "little")
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
                mem.seek(address)
                return address, mem.read(16)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("forkscope")
    parser.add_argument("pid", type=int)
    parser.add_argument("--rename", action="append", default=[], metavar="OLD=NEW")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    recorder = Recorder(options.forkscope, [one.split("=", 1) for one in options.rename])
    recorder.lines.append("# " + options.note)
    pid, role = options.pid, "child"
    _, seen = recorder.process(pid, role)
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8", "surrogateescape")
    while int(stat.rpartition(")")[2].split()[6]) & FORKED:
        parent = int(stat.rpartition(")")[2].split()[1])
        if parent <= 1 or image_mark(parent) != image_mark(pid):
            break
        stat, _ = recorder.process(parent, "ancestor")
        pid = parent
    time.sleep(PATIENCE)
    lasted = True
    for tid, look in seen.items():
        now = Recorder.look(pathlib.Path(f"/proc/{options.pid}"), tid)
        lasted = lasted and (now["syscall"], recorder.shorter(now["status"])) == (
            look["syscall"], recorder.shorter(look["status"]))
    recorder.put("lasted", "yes" if lasted else "no")
    remembered = Remembered(options.pid)
    recorder.put("remembered", "\n".join(f"{start:#x} 0x0 f {remembered.module(start)}"
                                         for start in remembered.threads()))
    sys.stdout.write("\n".join(recorder.lines) + "\n")


if __name__ == "__main__":
    main()
