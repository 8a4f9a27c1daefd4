"""One run of a case: bare, and `forkscope attach` when it hangs; or under `forkscope run`.

A program counts as hung when no thread of its whole process tree ran for a while, or when its time
is over. Afterwards nothing of it is left: the caller is the subreaper of all it starts (adopt()),
and kill_tree() kills what is below a process, generation by generation. Single-threaded.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "attach"), str(ROOT / "tests" / "real")]

# pylint: disable=wrong-import-position
import targets  # what /proc says of processes

PATIENCE = 240  # seconds for a program that neither ends nor sleeps: minutes, on a busy machine
SETTLED = 1.5  # seconds without a switch of any thread: longer than anything here is in the kernel
LOOK = 0.1  # seconds from one look at a program to the next
GRAVE = re.compile(r"^  (PROBABLE )?DEADLOCK\b", re.M)


def adopt():
    """Orphans below this process become its children, so that kill_tree() finds them."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


@dataclasses.dataclass
class Seen:
    """What one run did."""
    end: str  # "ends", "hangs", "fails"; "killed" when it was ended as its child had deadlocked
    status: int | None = None
    seconds: float = 0.0
    found: list = dataclasses.field(default_factory=list)  # (severity, kind, lock) of run or attach
    text: str = ""  # what forkscope wrote
    output: str = ""  # what the program wrote


def below(pid):
    """All processes below it, parents first, by the kernel's own lists: asked often."""
    found, generation = [], [pid]
    while generation:
        children = []
        for one in generation:
            tasks = targets.PROC / str(one) / "task"
            for tid in targets.numbered(tasks):
                children += [int(word) for word in
                             targets.read(tasks / str(tid) / "children").split()]
        found += children
        generation = children
    return found


def kill_tree(pid):
    """Everything below the process, and it; what is orphaned meanwhile comes to us."""
    for _ in range(100):
        tree = below(pid)
        for one in reversed(tree):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        if not [one for one in tree if targets.state(one) not in ("", "Z")]:
            return
        time.sleep(0.01)


class Program:
    """A started program in an empty folder; it and all it started are gone when the block ends."""

    def __init__(self, command, folder, prefix=()):
        self._base = tempfile.TemporaryDirectory(prefix="forkscope-system-")
        self.work = pathlib.Path(self._base.name) / "work"
        self.work.mkdir()
        self.report = self.work.parent / "report.json"
        places = {"folder": folder, "programs": HERE / "programs", "work": self.work}
        words = [word.format(**places) for word in command]
        if prefix:
            words = [*prefix, "--json", str(self.report), "--", *words]
        self._texts = [self.work.parent / name for name in ("output", "errors")]
        self._process = None
        self.begin = time.monotonic()
        with open(self._texts[0], "wb") as output, open(self._texts[1], "wb") as errors:
            self._process = subprocess.Popen(
                words, cwd=self.work, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.work),
                     "LC_ALL": "C.UTF-8", "TMPDIR": str(self.work), "PYTHONDONTWRITEBYTECODE": "1"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            kill_tree(self._process.pid)
            self._process.kill()
            self._process.wait()
        kill_tree(os.getpid())  # what outlived its parent
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        self._base.cleanup()

    @property
    def pid(self):
        return self._process.pid

    @property
    def output(self):
        return self._texts[0].read_text("utf-8", "replace")

    @property
    def errors(self):
        return self._texts[1].read_text("utf-8", "replace")

    def status(self):
        return self._process.poll()

    def kill_program(self):
        """All but the process itself, which is forkscope and has a report to write."""
        kill_tree(self.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)

    def _calm(self):
        pids = [self.pid, *below(self.pid)]
        return tuple((pid, targets.look(pid)) for pid in pids
                     if targets.state(pid) not in ("", "Z"))

    def wait(self, settled, stop=lambda: False):
        """Until it ends, stop() says so, or nothing of it ran for `settled` seconds: whether it
        sleeps."""
        last, since = None, time.monotonic()
        while self.status() is None and not stop():
            now = time.monotonic()
            if now - self.begin > PATIENCE:
                return True
            calm = self._calm()
            if calm != last or not all(look.blocked() for _, look in calm):
                last, since = calm, now
            elif now - since >= settled:
                return True
            time.sleep(LOOK)
        return False

    def suspects(self):
        """Those to ask about: what the program names, else every process nothing is below."""
        named = [int(pid) for pid in re.findall(r"^target (\d+)$", self.output, re.M)]
        tree = below(self.pid)
        if named := [pid for pid in named if pid in tree]:
            return named
        parents = {targets.parent(pid) for pid in tree}
        return [pid for pid in tree if pid not in parents] or [self.pid]


def _end(status):
    return "ends" if status == 0 else "fails"


def _lock(finding):
    lock = finding.get("lock") or {}
    return lock.get("symbol") or lock.get("type") or ""


def gravity(finding):
    return "probable" if finding["certainty"] == "probable" else finding["severity"]


def bare(case, folder, forkscope=None):
    """Runs it alone; when it hangs, forkscope is asked about it, if given: (Seen, Seen or None)."""
    with Program(case.command, folder) as program:
        if not program.wait(SETTLED):
            seen = Seen(_end(program.status()), program.status())
            seen.seconds, seen.output = time.monotonic() - program.begin, program.output
            seen.text = program.errors
            return seen, None
        seen = Seen("hangs", None, time.monotonic() - program.begin, output=program.output)
        return seen, attach(forkscope, program) if forkscope else None


def attach(forkscope, program):
    """What is said of a program that hangs: the gravest answer for one of its processes."""
    grave = ["deadlock", "probable", "stuck", "unknown", "running", "waiting", "ended"]
    best, words = None, []
    for pid in program.suspects():
        done = subprocess.run([forkscope, "attach", "--json", "-", str(pid)], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150)
        try:
            report = json.loads(done.stdout)
        except ValueError:
            words.append(done.stdout + done.stderr)
            continue
        answer = report["answer"]
        if best is None or grave.index(answer) < grave.index(best[0]):
            best = (answer, report)
    if best is None:
        return Seen("unknown", text="".join(words))
    answer, report = best
    finding = report.get("finding") or {}
    found = [(answer, finding.get("kind", ""), _lock(finding))]
    text = subprocess.run([forkscope, "attach", str(report["process"]["pid"])], check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150)
    return Seen(answer, found=found, text=text.stdout + text.stderr)


def observed(case, folder, forkscope):
    """Runs it under forkscope; ends the program when a deadlock was reported, and lets the report
    be written."""
    with Program(case.command, folder, [forkscope, "run"]) as program:
        sleeps = program.wait(4 * SETTLED, lambda: GRAVE.search(program.errors))
        if case.may and not sleeps:  # by bad luck it may hang: if it is true, it does so for ever
            program.wait(SETTLED)
        status = program.status()
        if status is None:
            program.kill_program()
        seen = Seen("hangs" if sleeps else "killed" if status is None else _end(status), status,
                    time.monotonic() - program.begin, text=program.errors, output=program.output)
        try:
            report = json.loads(program.report.read_text())
        except (OSError, ValueError):
            seen.text += "there is no report\n"
            return seen
        seen.found = sorted({(gravity(one), one["kind"], _lock(one))
                             for one in report["findings"]})
        return seen
