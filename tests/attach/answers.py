"""What `forkscope attach` answers, compared with what it must.

Single-threaded. Every check raises observe.Failed with what was expected and the whole answer.
"""

import dataclasses
import json
import subprocess
import time

from observe import Failed, check, patience
from targets import look, tracer

PROVEN, PROBABLE = 86, 87
SILENT = ("stuck", "waiting", "running", "ended", "unknown")


@dataclasses.dataclass(frozen=True)
class Expected:
    """Answers that are right, and of a finding its kinds and, where they can be known, the symbol
    of the lock, the thread that holds it, one of the threads that were lost."""
    answers: tuple
    kinds: tuple = ()
    symbol: str = ""
    holder: str = ""
    lost: str = ""
    why: str = ""  # where more than one answer or kind is right


def waits(*answers, why=""):
    """Not a deadlock by a fork; by default any other answer will do."""
    return Expected(answers or SILENT, why=why)


def hangs(kinds, symbol="", holder="", lost="", probable="", stuck="", why=""):
    """`probable` says why it cannot be proven from outside, `stuck` why a fork may not explain it."""
    answers = ("deadlock",) + ("probable",) * bool(probable) + ("stuck",) * bool(stuck)
    return Expected(answers, tuple(kinds.split()), symbol, holder, lost,
                    "; ".join(filter(None, [probable, stuck, why])))


@dataclasses.dataclass
class Answer:
    pid: int
    status: int
    report: dict
    seconds: float

    @property
    def word(self):
        return self.report["itself"]["answer"]

    @property
    def finding(self):
        return self.report.get("finding") or {}

    def __str__(self):
        return json.dumps(self.report, indent=1)


def attach(forkscope, pid, *options):
    """The answer, or Failed with forkscope's words."""
    begin = time.monotonic()
    try:
        done = subprocess.run([forkscope, "attach", "--json", "-", *options, str(pid)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=max(patience(), 1), check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"forkscope attach {pid} does not end") from None
    seconds = time.monotonic() - begin
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise Failed(f"forkscope attach {pid} exits with {done.returncode} and no JSON: "
                     f"{done.stdout}{done.stderr}") from None
    check(report.get("schema") == "forkscope.attach/1", f"schema of {report}")
    return Answer(pid, done.returncode, report, seconds)


def attach_unnoticed(forkscope, pid, quiet=True):
    """As attach(); the process must not have been stopped for it, nor woken."""
    before = look(pid)
    was_traced = tracer(pid)
    answer = attach(forkscope, pid)
    check(tracer(pid) == was_traced, f"process {pid} is traced by {tracer(pid)} afterwards")
    if quiet:
        after = look(pid)
        check(after == before, f"attaching changed process {pid}:\n{before}\n{after}")
    return answer


def compare(answer, expected):
    """That the answer is one of those expected, and its status the one of that answer."""
    check(answer.word in expected.answers,
          f"the answer is {answer.word}, not {' or '.join(expected.answers)}\n{answer}")
    # A parent that waits for a child that hangs has that child's status.
    whole = answer.report["answer"]
    status = PROVEN if whole == "deadlock" else PROBABLE if whole == "probable" else 0
    check(answer.status == status, f"exit status {answer.status}, not {status}\n{answer}")
    check(answer.report["sentence"], f"the first line is empty\n{answer}")
    if answer.word not in ("deadlock", "probable"):
        check(not answer.finding or answer.report["hung_children"],
              f"there is a finding without a deadlock\n{answer}")
        return
    finding = answer.finding
    check(finding, f"there is no finding\n{answer}")
    check(not expected.kinds or finding["kind"] in expected.kinds,
          f"the kind is {finding.get('kind')}, not {' or '.join(expected.kinds)}\n{answer}")
    symbol = (finding.get("lock") or {}).get("symbol") or ""
    check(expected.symbol in symbol, f"the lock is '{symbol}', not {expected.symbol}\n{answer}")
    holder = (finding.get("holder") or {}).get("name") or ""
    check(not expected.holder or holder == expected.holder,
          f"the holder is '{holder}', not {expected.holder}\n{answer}")
    lost = [thread["name"] for thread in answer.report.get("lost", [])]
    check(not expected.lost or expected.lost in lost,
          f"{expected.lost} is not among the threads that were not copied: {lost}\n{answer}")
