"""Processes to look at: started, followed until they are blocked, and what /proc says of them.

Nothing here stops or changes a process. Single-threaded; every wait is bounded by observe.until().
The script must adopt what its programs leave behind, as observe.main() makes it.
"""

import dataclasses
import os
import pathlib
import re
import select
import subprocess
import time

from observe import Failed, SEARCH_PATH, Skipped, check, numbered, patience, until

PROC = pathlib.Path("/proc")


def read(path):
    """The text of a file in /proc, empty when the process is gone."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def field(status, name):
    found = re.search(rf"^{name}:\s*(.*)$", status, re.M)
    return found[1] if found else ""


@dataclasses.dataclass(frozen=True)
class Look:
    """What /proc says of all threads at one moment: (TID, state, system call, switches)."""
    threads: tuple

    @property
    def switches(self):
        """Times that each thread was taken off a processor: a stopped thread gets one more."""
        return {thread[0]: thread[3] for thread in self.threads}

    def blocked(self):
        """All threads sleep, are stopped, or have ended."""
        return bool(self.threads) and all(state in "SDTtZ" and call != "running"
                                          for _, state, call, _ in self.threads)


def look(pid):
    threads = []
    tasks = PROC / str(pid) / "task"
    for tid in numbered(tasks):
        task = tasks / str(tid)
        status = read(task / "status")
        threads.append((tid, field(status, "State")[:1], read(task / "syscall").strip(),
                        (field(status, "voluntary_ctxt_switches"),
                         field(status, "nonvoluntary_ctxt_switches"))))
    return Look(tuple(threads))


def tracer(pid):
    return field(read(PROC / str(pid) / "status"), "TracerPid")


def blocked(pid, threads=1, quiet=True, settled=0.05):
    """Waits until all threads of the process are blocked, at least so many, and stay so for two
    looks `settled` seconds apart; one look will do for a process that wakes now and then."""
    def holds():
        first = look(pid)
        if not (first.blocked() and len(first.threads) >= threads):
            return False
        time.sleep(settled)
        return not quiet or look(pid) == first

    until(holds, f"process {pid} is blocked: {look(pid)}")


def spins(pid):
    """Waits until it has used a tenth of a second of processor time."""
    def ticks():
        words = read(PROC / str(pid) / "stat").rpartition(")")[2].split()
        return int(words[11]) + int(words[12]) if words else 0

    begin = ticks()
    until(lambda: ticks() - begin >= os.sysconf("SC_CLK_TCK") / 10, f"process {pid} spins")


def state(pid):
    return field(read(PROC / str(pid) / "status"), "State")[:1]


def parent(pid):
    return int(field(read(PROC / str(pid) / "status"), "PPid") or 0)


def descendants(pid):
    """All processes below it, parents first."""
    children = {}
    for one in numbered(PROC):
        children.setdefault(field(read(PROC / str(one) / "status"), "PPid"), []).append(one)
    found, generation = [], [pid]
    while generation:
        generation = [child for one in generation for child in children.get(str(one), [])]
        found += generation
    return found


class Started:
    """A program that prints `target PID` for each process to look at. PIDs are those of its own
    PID namespace. The process itself is killed by observe.main(), with everything that is left."""

    def __init__(self, command, folder="/", environment=None, says=True):
        self.command = [str(word) for word in command]
        self._process = subprocess.Popen(
            self.command, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if says else subprocess.DEVNULL, stderr=subprocess.STDOUT,
            start_new_session=True,
            env={"PATH": SEARCH_PATH, "HOME": "/", "LC_ALL": "C.UTF-8", "TZ": ":/etc/localtime",
                 "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})})
        self._text = ""

    @property
    def pid(self):
        return self._process.pid

    def said(self, pattern, count=1):
        """Waits until so many lines match, and gives what their first groups did."""
        output, end = self._process.stdout, time.monotonic() + patience()
        while len(found := re.findall(pattern, self._text, re.M)) < count:
            wait = end - time.monotonic()
            check(wait > 0, f"{' '.join(self.command)} did not say {pattern}: {self._text}")
            if select.select([output], [], [], wait)[0]:
                piece = os.read(output.fileno(), 1 << 16).decode("utf-8", "replace")
                if "skipped:" in piece:
                    raise Skipped(piece.partition("skipped:")[2].strip())
                if not piece:
                    raise Failed(f"{' '.join(self.command)} ended: {self._text}")
                self._text += piece
        return found

    def targets(self, count=1):
        """PIDs in our namespace."""
        found = []
        for own in self.said(r"^target (\d+)$", count):
            inside = int(own)
            if read(PROC / own / "status") and (inside == self.pid or self._is_ours(inside)):
                found.append(inside)
                continue
            mine = [pid for pid in descendants(self.pid)
                    if field(read(PROC / str(pid) / "status"), "NSpid").split()[-1:] == [own]]
            check(mine, f"there is no process {own} below {self.pid}")
            found.append(mine[0])
        return found

    def _is_ours(self, pid):
        """It is below us, perhaps adopted, and sees the same PIDs as we do."""
        return (pid in descendants(os.getpid()) and
                len(field(read(PROC / str(pid) / "status"), "NSpid").split()) == 1)
