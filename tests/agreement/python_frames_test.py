"""What `forkscope run` says of locks of Python: who waits and who holds, in Python, though the child
is ended the moment it is found; and a fingerprint for each place in the program.

usage: python_frames_test.py FORKSCOPE kill|exit|report|latent|two-places
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "real"))

from observe import check, check_equal, main  # pylint: disable=wrong-import-position

PROGRAM = pathlib.Path(__file__).resolve().parent / "programs" / "python_locks.py"
PYTHON = "/usr/bin/python3"


def run(forkscope, folder, mode, *options, program=PROGRAM):
    report = pathlib.Path(folder) / f"{mode}.json"
    done = subprocess.run(
        [forkscope, "run", f"--json={report}", *options, "--", PYTHON, "-sE", "-Wignore",
         program, mode],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False)
    check(report.exists(), f"no report: {done.stderr}")
    findings = json.loads(report.read_text())["findings"]
    return [f for f in findings if f["severity"] in ("deadlock", "latent")], done


def functions(frames):
    return [frame["function"] for frame in frames]


def check_frames(finding, text):
    check_equal(functions(finding["waiter"]["python"])[0], "read_table", "Python function that waits")
    check_equal(finding["waiter"]["python"][0]["file"], str(PROGRAM), "its file")
    check(finding["waiter"]["python"][0]["line"] > 0, "its line is not known")
    holder = finding["holder"]
    check_equal(functions(holder["python"])[0], "keep_table", "Python function of the holder")
    check(holder["now"], "where the holder is in machine code is not known")
    check(re.search(r"waits at +programs/python_locks\.py:\d+ in read_table$", text, re.M),
          f"no Python line of the wait in the text:\n{text}")
    check(re.search(r"waited last .* at programs/python_locks\.py:\d+ in keep_table$", text, re.M),
          f"no Python line of the holder in the text:\n{text}")
    check(finding["fingerprint"].startswith("v1-"), f"fingerprint: {finding['fingerprint']}")


def check_ended(forkscope, folder, action, outcome):
    for mode, forker in (("held-by-fork", "start_by_fork"), ("held-by-process", "_launch")):
        findings, done = run(forkscope, folder, mode, f"--on-deadlock={action}")
        check_equal(len(findings), 1, f"deadlocks of {mode}: {done.stderr}")
        check_equal(findings[0]["outcome"], outcome, "what became of the child")
        check_frames(findings[0], done.stderr)
        check_equal(functions(findings[0]["fork_python"])[0].split(".")[-1], forker,
                    "Python function that forked")


def check_report(forkscope, folder):
    """The same by run, by report and without an end."""
    session = pathlib.Path(folder) / "session"
    killed, _ = run(forkscope, folder, "held-by-fork", "--on-deadlock=kill", f"--session={session}")
    again = subprocess.run([forkscope, "report", "--json", "-", session], capture_output=True,
                           text=True, timeout=90, check=True)
    told = [f for f in json.loads(again.stdout)["findings"] if f["severity"] == "deadlock"]
    check_equal(told, killed, "findings told again")
    left, done = run(forkscope, folder, "held-by-fork", "--timeout=2")
    check_frames(left[0], done.stderr)
    check_equal(left[0]["fingerprint"], killed[0]["fingerprint"], "fingerprint of a child left alone")


def check_latent(forkscope, folder):
    findings, done = run(forkscope, folder, "used-before")
    check_equal([f["severity"] for f in findings], ["latent"], done.stderr)
    check_equal(functions(findings[0]["waiter"]["python"])[0], "read_table", "who took it")
    check_equal(functions(findings[0]["fork_python"])[0], "start_by_fork", "who forked")
    check(findings[0]["fingerprint"].startswith("v1-"), findings[0]["fingerprint"])
    check(re.search(r"python_locks\.py:\d+ in read_table$", done.stderr, re.M),
          f"no Python line in the text:\n{done.stderr}")


def check_two_places(forkscope, folder):
    findings, done = run(forkscope, folder, "two-places", "--on-deadlock=kill")
    check_equal(sorted(functions(f["waiter"]["python"])[0] for f in findings),
                ["read_table", "write_table"], done.stderr)
    check_equal(len({f["fingerprint"] for f in findings}), 2, "fingerprints")
    # The baseline of one program accepts no deadlock of another.
    baseline = pathlib.Path(folder) / "baseline"
    run(forkscope, folder, "held-by-fork", "--on-deadlock=kill", f"--write-baseline={baseline}")
    for mode, status in (("held-by-fork", 0), ("two-places", 86)):
        _, done = run(forkscope, folder, mode, "--on-deadlock=kill", f"--baseline={baseline}",
                      "--fail-on=deadlock")
        check_equal(done.returncode, status, f"exit status of {mode}: {done.stderr}")


CASES = {
    "kill": lambda f, d: check_ended(f, d, "kill", "killed"),
    "exit": lambda f, d: check_ended(f, d, "exit:3", "exited"),
    "report": check_report,
    "latent": check_latent,
    "two-places": check_two_places,
}


def test(forkscope, case):
    with tempfile.TemporaryDirectory() as folder:
        CASES[case](forkscope, folder)


main(test)
