"""Runs a program bare and under `forkscope run`, and compares the two.

For the tests in this folder, which are scripts: main() runs one, turns what it finds into an exit
status (77: skipped), and leaves neither process nor file behind, whatever happens. Every wait is
bounded. Single-threaded; the script adopts whatever its programs leave behind
(PR_SET_CHILD_SUBREAPER), and run_both() reaps all of it: a session must have waited for processes
it started by itself.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
PATIENCE = 40  # seconds for one wait; the longest takes a few
LONGEST = 100  # seconds for the whole script, so that ctest does not kill it before it cleaned up
PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
# Nothing of the caller's: what a program prints must depend on the program alone.
SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
OWN = ("forkscope: ", "SUMMARY: forkscope: ")

_PR_SET_CHILD_SUBREAPER = 36
_begin = time.monotonic()


def patience():
    """Seconds that a wait which begins now may take."""
    return max(0, min(PATIENCE, _begin + LONGEST - time.monotonic()))


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def check_equal(actual, expected, what):
    if actual != expected:
        raise Failed(f"{what}:\n--- is\n{actual}\n--- should be\n{expected}")


def need(*programs):
    """Paths of these programs; the test is skipped where one is missing."""
    paths = []
    for program in programs:
        path = shutil.which(program, path=SEARCH_PATH)
        if path is None:
            raise Skipped(f"{program} is not installed")
        paths.append(path)
    return paths


class Ended:
    """What a program that has ended did. `own` are forkscope's lines of standard error, `errors`
    the others."""

    def __init__(self, status, output, errors, report):
        self.status, self.output, self.report = status, output, report
        self.own, self.errors = [], []
        explains = False  # in the indented part that may follow a line of forkscope's
        for line in errors.splitlines():
            explains = line.startswith(OWN) or (explains and line.startswith("  "))
            (self.own if explains else self.errors).append(line)

    def findings(self, *severities):
        return [f for f in self.report["findings"] if f["severity"] in severities]

    def forks(self, api=None):
        return [f for f in self.report["forks"] if api in (None, f["api"])]

    def __str__(self):
        text = f"status {self.status}\n--- output\n{self.output}--- errors\n"
        return text + "\n".join(self.errors + self.own)


class Program:
    """A program that was started in `folder`: under `forkscope run`, or bare when `forkscope` is
    None."""

    def __init__(self, command, folder, forkscope=None, extra_environment=None):
        self.command = [str(word) for word in command]
        self._notes = pathlib.Path(tempfile.mkdtemp(prefix="notes-", dir=folder.parent))
        self._report = self._notes / "report.json"
        scratch = self._notes / "tmp"
        scratch.mkdir()
        environment = {"PATH": SEARCH_PATH, "HOME": str(folder), "TMPDIR": str(scratch),
                       "LC_ALL": "C.UTF-8", "TZ": "UTC", **(extra_environment or {})}
        whole = self.command
        if forkscope is not None:
            whole = [forkscope, "run", "--json", str(self._report), "--", *self.command]
        self._observed = forkscope is not None
        with open(self._notes / "output", "wb") as output, \
                open(self._notes / "errors", "wb") as errors:
            self._process = subprocess.Popen(whole, cwd=folder, env=environment,
                                             stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=errors)

    def _text(self, name):
        return (self._notes / name).read_text("utf-8", "replace")

    def end(self):
        """Waits for the end."""
        try:
            status = self._process.wait(seconds := patience())
        except subprocess.TimeoutExpired:
            raise Failed(f"still runs after {seconds:.0f} s: {' '.join(self.command)}\n"
                         f"{self._text('output')}{self._text('errors')}") from None
        report = None
        if self._observed:
            check(self._report.exists(), "there is no JSON report\n" + self._text("errors"))
            report = json.loads(self._report.read_text())
            check_equal(report["schema"], "forkscope.report/1", "schema of the report")
        ended = Ended(status, self._text("output"), self._text("errors"), report)
        shutil.rmtree(self._notes)
        return ended

    def check_runs(self):
        if self._process.poll() is not None:
            raise Failed(f"the server ended at once: {self.end()}")


@contextlib.contextmanager
def work_folder():
    """A folder, removed with all it holds. Others may enter it: a server run by root serves as
    somebody else."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="forkscope-real-"))
    base.chmod(0o755)
    folder = base / "work"
    folder.mkdir()
    try:
        yield folder
    finally:
        kill_children()  # none unless the test failed
        shutil.rmtree(base)


def run_both(forkscope, session):
    """Calls session(folder, forkscope or None) bare, then observed, in a fresh folder of the same
    path, and checks that no process is left. Gives both results."""
    results = []
    with work_folder() as folder:
        for command in (None, forkscope):
            results.append(session(folder, command))
            left = _reap(5)
            check(not left, f"processes were left behind: {left}")
            shutil.rmtree(folder)
            folder.mkdir()
    return results


def check_same(bare, observed, arrange=lambda text: text):
    """The observed program did what it does alone; `arrange` takes what is left to chance out of
    its standard output."""
    check_equal(observed.status, bare.status, "exit status of the observed program")
    check_equal(arrange(observed.output), arrange(bare.output), "output of the observed program")
    check_equal(observed.errors, bare.errors, "standard error of the observed program")


def check_lucky(observed, place):
    """Nothing went wrong, but a lock in this place might have been taken at the fork."""
    lucky = observed.findings("latent")
    check(lucky, "no latent deadlock was found")
    for finding in lucky:
        check_equal((finding["kind"], finding["evidence"]), ("orphaned-lock", "took-before"), "finding")
    places = [f["lock"]["symbol"] or f["lock"]["module"] or f["waiter"]["stack"][0]["module"]
              for f in lucky]
    check(all(place in one for one in places), f"the locks are in {places}, expected {place}")
    check_silent(observed, but="latent")


def check_silent(observed, but=None):
    """Nothing was found, and nothing was missed because it was not looked at."""
    found = [one for one in observed.findings("deadlock", "latent") if one["severity"] != but]
    check(not found, f"was found in a correct program:\n{json.dumps(found, indent=1)}")
    for line in observed.own if but is None else []:
        check(line.startswith("forkscope: "), f"forkscope said: {line}")
    check_equal(observed.report["not_observed"], [], "programs that were not observed")
    summary = observed.report["summary"]
    for name in ("deadlocked", "running", "unknown", "dropped_records", "dropped_locks",
                 "dropped_threads"):
        check_equal(summary[name], 0, f"summary: {name}")
    check(summary["forks"] > 0, "no fork was seen")


def until(condition, what):
    """Asks a server again and again until it says yes: it has no way to call back."""
    seconds = patience()
    end = time.monotonic() + seconds
    while not (result := condition()):
        check(time.monotonic() < end, f"did not happen in {seconds:.0f} s: {what}")
        time.sleep(0.01)
    return result


class _TimeOver(Exception):
    pass


def _reap(seconds):
    """Waits for every process of this script, adopted ones included, and kills those that are still
    there after that time. Gives their commands."""
    def over(*_):
        raise _TimeOver

    before = signal.signal(signal.SIGALRM, over)
    left = []
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
    except _TimeOver:
        left = kill_children()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return left


def numbered(folder):
    """The numbers that name entries of a folder in /proc, ascending; none when it is gone.

    Not glob(): it asks whether a path exists, and ESRCH of a process that ends is an error there.
    """
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    except OSError:
        return []


def _children():
    for pid in numbered("/proc"):
        with contextlib.suppress(OSError):
            status = pathlib.Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
            if re.search(rf"^PPid:\t{os.getpid()}$", status, re.M):
                yield pid


def kill_children():
    """Each generation becomes ours when the one before it is gone."""
    killed = []
    while pids := list(_children()):
        for pid in pids:
            with contextlib.suppress(OSError):
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                if line:
                    killed.append(f"{pid} {line.replace(bytes(1), b' ').decode(errors='replace')}")
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    return killed


def main(test):
    """Runs test(forkscope, further arguments...) of the command line and exits."""
    forkscope = os.path.abspath(sys.argv[1])
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("FAILED: was told to end"))
    try:
        test(forkscope, *sys.argv[2:])
    except Skipped as reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    except Failed as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
    finally:
        kill_children()
