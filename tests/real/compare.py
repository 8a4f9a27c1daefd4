"""Runs the test suites of others bare and observed, and compares them verdict by verdict.

For the *_suite.py scripts in this folder. A suite is an object with
  name              of the suite, for the table
  jobs              how many of its programs may run at a time
  programs()        what to start: names, one program each; it raises Skipped where nothing is there
  command(program)  its arguments
  verdicts(program, ended)  {case: verdict}; a case is one test, a verdict a short word
  again(case)       the program that runs this case alone
and, where it needs them, environment, wrap (a command to put around forkscope), user (who runs it
where the script runs as root) and owner (whose the folder is where `wrap` changes the user).

Each program runs bare, under `forkscope run` and under plain LD_PRELOAD. A case whose verdict is
not the bare one is repeated alone, the modes taking turns. A verdict that comes again, and never
came bare, is the library's fault and fails the comparison; so does a finding of severity deadlock
in a program that ends by itself. What also varies bare is "flaky", what came only the first time
"differed once": both are printed, with how often each verdict came.

usage: X_suite.py FORKSCOPE ARGS... [--bounded] [--mode=run,preload] [--repeats=N] [--json=FILE]
                                    [--only=PATTERN]
"""

import collections
import concurrent.futures
import contextlib
import fnmatch
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from observe import SEARCH_PATH, Failed, check

LIBRARY = "lib/forkscope/libforkscope.so"
BARE, RUN, PRELOAD = "bare", "run", "preload"
NOT_RUN = "did not run"


def library_of(forkscope):
    """The library that belongs to this command."""
    library = pathlib.Path(forkscope).resolve().parent.parent / LIBRARY
    check(library.exists(), f"there is no {library}")
    return library


class Options:
    """What the command line asked for; the rest are the suite's own words."""

    def __init__(self, words):
        self.forkscope, self.words = os.path.abspath(words[0]), []
        self.bounded, self.modes, self.repeats, self.only = False, [RUN, PRELOAD], 5, "*"
        self.json = None
        for word in words[1:]:
            key, _, value = word.partition("=")
            if key == "--bounded":
                self.bounded = True
            elif key == "--mode":
                self.modes = value.split(",")
            elif key == "--repeats":
                self.repeats = int(value)
            elif key == "--json":
                self.json = value
            elif key == "--only":
                self.only = value
            elif key.startswith("--"):
                raise Failed(f"no such option: {word}")
            else:
                self.words.append(word)


class Ended:
    """One program that has ended: how, what it printed, and forkscope's report of it."""

    def __init__(self, folder, status, output, report, seconds):
        self.folder, self.status, self.output = folder, status, output
        self.report, self.seconds = report, seconds

    def end(self):
        """The exit status as a verdict."""
        if self.status is None:
            return "hangs"
        if self.status < 0:
            return signal.Signals(-self.status).name
        return "pass" if self.status == 0 else f"exit {self.status}"

    def deadlocks(self):
        return [f for f in (self.report or {}).get("findings", []) if f["severity"] == "deadlock"]


@contextlib.contextmanager
def staged(forkscope):
    """A copy of the command and its library where every user may read it."""
    with tempfile.TemporaryDirectory(prefix="forkscope-staged-") as folder:
        os.chmod(folder, 0o755)
        command = pathlib.Path(folder, "bin", "forkscope")
        for source, target in ((forkscope, command),
                               (library_of(forkscope), pathlib.Path(folder, LIBRARY))):
            target.parent.mkdir(parents=True)
            shutil.copy(source, target)
        yield str(command)


def ends_within(pid, seconds):
    """Whether this child ended in that time; it is left to be reaped."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def run(command, mode, forkscope, seconds, environment=None, wrap=None, user=None,
        owner=None):
    """Runs it to its end, or kills it and what it started after that time. The folder, with what
    the program left in it, lasts as long as the context. `wrap` goes around forkscope."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="forkscope-suite-"))
    work = folder / "work"
    work.mkdir()
    (folder / "tmp").mkdir()
    identity = {}
    if (user or owner) and os.getuid() == 0:
        entry = pwd.getpwnam(user or owner)
        if user:
            identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        for path in (folder, work, folder / "tmp"):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    variables = {"PATH": SEARCH_PATH, "HOME": str(work), "TMPDIR": str(folder / "tmp"),
                 "LC_ALL": "C.UTF-8", "TZ": "UTC", **(environment or {})}
    whole = [str(word).replace("{folder}", str(folder)) for word in command]
    report = folder / "report.json"
    if mode == RUN:
        whole = [forkscope, "run", "--json", str(report), "--", *whole]
    elif mode == PRELOAD:
        whole = ["env", f"LD_PRELOAD={library_of(forkscope)}", *whole]
    whole = (wrap or []) + whole
    begin = time.monotonic()
    try:
        with open(folder / "output", "wb") as output:
            process = subprocess.Popen(whole, cwd=work, env=variables, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=subprocess.STDOUT,
                                       start_new_session=True, **identity)
        ended = ends_within(process.pid, seconds)
        # Until it is reaped its number cannot be anybody else's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        if not ended:
            status = None
        facts = json.loads(report.read_text()) if report.exists() else None
        yield Ended(folder, status, (folder / "output").read_text("utf-8", "replace"), facts,
                    time.monotonic() - begin)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Comparison:
    def __init__(self, suite, options):
        self.suite, self.options = suite, options
        self.seen = collections.defaultdict(lambda: collections.defaultdict(collections.Counter))
        self.deadlocks, self.seconds = [], collections.Counter()

    def _one(self, program, mode):
        suite = self.suite
        with run(suite.command(program), mode, self.options.forkscope, suite.seconds,
                 **{name: getattr(suite, name) for name in
                    ("environment", "wrap", "user", "owner") if hasattr(suite, name)}) as ended:
            self.seconds[mode] += ended.seconds
            if ended.status is not None:
                self.deadlocks += [(program, f["kind"], f["lock"].get("symbol"))
                                   for f in ended.deadlocks()]
            return suite.verdicts(program, ended)

    def _differs(self, case, mode):
        return set(self.seen[case][mode]) - set(self.seen[case][BARE])

    def _count(self, program, mode):
        for case, verdict in self._one(program, mode).items():
            self.seen[case][mode][verdict] += 1

    def compare(self):
        programs = [p for p in self.suite.programs() if fnmatch.fnmatch(p, self.options.only)]
        check(programs, f"nothing to run is called {self.options.only}")
        modes = [BARE, *self.options.modes]

        def run_in_turn(program):  # never two of the same: they would meet in files and names
            for mode in modes:
                self._count(program, mode)

        pool = concurrent.futures.ThreadPoolExecutor(self.suite.jobs)
        try:
            list(pool.map(run_in_turn, programs))
        finally:
            pool.shutdown(cancel_futures=True)  # told to end: what runs is the last
        check(self.seen, "no test was run")
        for seen in self.seen.values():  # a program that died early has fewer cases
            for mode in modes:
                if not seen[mode]:
                    seen[mode][NOT_RUN] += 1
        first = {case: {mode: seen[mode].copy() for mode in modes}
                 for case, seen in self.seen.items()}
        again = collections.defaultdict(list)  # one program may give many cases
        for case in self.seen:
            if any(self._differs(case, mode) for mode in modes):
                again[self.suite.again(case)].append(case)
        for program, cases in again.items():
            for _ in range(self.options.repeats):
                for mode in modes:
                    found = self._one(program, mode)
                    for case in cases:
                        self.seen[case][mode][found.get(case, NOT_RUN)] += 1
        self._first = first

    def word(self, case):
        """What a case is whose verdicts are not all the same."""
        repeated = [verdict for mode in self.options.modes for verdict in self._differs(case, mode)
                    if self.seen[case][mode][verdict] > self._first[case][mode][verdict]]
        if repeated:
            return "DIFFERS"
        once = any(self._differs(case, mode) for mode in self.options.modes)
        return "differed once" if once else "flaky"

    def defects(self):
        return [case for case in self.seen if self.word(case) == "DIFFERS"]

    def print(self):
        modes, cases = [BARE, *self.options.modes], self.seen
        for mode in modes:
            totals = collections.Counter(max(seen[mode], key=seen[mode].get)
                                         for seen in cases.values())
            print(f"{self.suite.name} {mode}: {len(cases)} cases, " +
                  ", ".join(f"{n} {verdict}" for verdict, n in totals.most_common()) +
                  f"; {self.seconds[mode]:.1f} s")
        for case, seen in sorted(cases.items()):
            if any(len(seen[mode]) > 1 or seen[mode].keys() != seen[BARE].keys()
                   for mode in modes):
                print(f"{self.word(case)}: {case}: " + "; ".join(
                    f"{mode} " + ", ".join(f"{n} x {v}" for v, n in seen[mode].items())
                    for mode in modes))
        for deadlock in self.deadlocks:
            print(f"DEADLOCK reported: {deadlock}")

    def save(self, path):
        pathlib.Path(path).write_text(json.dumps(
            {"suite": self.suite.name, "deadlocks": self.deadlocks, "cases": self.seen}, indent=1))


def compare_suite(make_suite):
    """For observe.main(): runs the suite that make_suite(options) gives."""
    def test(forkscope, *words):
        options = Options([forkscope, *words])
        with staged(forkscope) as options.forkscope:
            comparison = Comparison(make_suite(options), options)
            comparison.compare()
        comparison.print()
        sys.stdout.flush()
        if options.json:
            comparison.save(options.json)
        check(not comparison.defects(), "verdicts differ under forkscope: " +
              ", ".join(comparison.defects()))
        check(not comparison.deadlocks, "deadlocks were reported in programs that ended")
    return test
