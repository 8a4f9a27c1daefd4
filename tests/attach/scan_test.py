"""forkscope scan lists the hung processes of the host and none that waits normally, in a second or
so for a thousand processes, and changes none of them. Other tests may have hung processes too.

usage: scan_test.py FORKSCOPE PROGRAMS
"""

import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "real"))

# pylint: disable=wrong-import-position
import targets
from observe import check, check_equal, main, numbered, patience

LONGEST = 15  # seconds for a scan on a machine that is busy with other tests


def scan(forkscope, *words):
    begin = time.monotonic()
    done = subprocess.run([forkscope, "scan", *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=max(patience(), 1), check=False)
    return done, time.monotonic() - begin


def start(program, mode, threads=1):
    pid = targets.Started([program, mode]).targets()[0]
    targets.blocked(pid, threads)
    return pid


def test(forkscope, programs):
    programs = pathlib.Path(programs)
    waiting = [start(programs / name, mode, threads) for name, mode, threads in (
        ("waits_in_forked_child", "pool-and-epoll", 4),
        ("waits_in_forked_child", "condition-of-reader", 2),
        ("waits_in_forked_child", "mutex-of-reader", 2),
        ("waits_in_forked_child", "timed-semaphore", 1),
        ("waits_for_processes", "mutex-of-other-thread", 1),
        ("waits_for_processes", "semaphore", 1),
        ("waits_for_threads", "pool-and-join", 5),
        ("hangs_in_forked_child", "stuck-twice", 1))]
    many = targets.Started([programs / "waits_for_processes", "thousand-processes"]).targets()[0]
    waiting += targets.descendants(many)
    check(len(waiting) > 1000, f"only {len(waiting)} processes")
    hung = [start(programs / "hangs_in_forked_child", mode, threads) for mode, threads in (
        ("simple", 1), ("own-pool", 3), ("grandchild", 1))]
    before = {pid: targets.look(pid) for pid in hung + waiting[:8]}

    done, seconds = scan(forkscope, "--json", "-")
    check_equal(done.returncode, 86, f"exit status: {done.stderr}")
    found = {each["process"]["pid"]: each for each in json.loads(done.stdout)["found"]}
    for pid in hung:
        check(found.get(pid, {}).get("answer") == "deadlock", f"{pid} was not found: {done.stdout}")
        check_equal(found[pid]["finding"]["lock"]["symbol"], "cache_lock", "lock")
    wrong = sorted(set(found) & set(waiting))
    check(not wrong, f"wait normally and were found: {[found[pid] for pid in wrong]}")
    check({pid: targets.look(pid) for pid in before} == before, "the scan changed a process")
    print(f"{seconds:.2f} s for {len(numbered(targets.PROC))} processes")
    check(seconds < LONGEST, f"the scan took {seconds:.1f} s")

    done, _ = scan(forkscope)
    for pid in hung:
        check(str(pid) in done.stdout, f"{pid} is not in the text: {done.stdout}")
    check("cache_lock" in done.stdout, f"the lock is not in the text: {done.stdout}")
    done, _ = scan(forkscope, "--user", "games")  # one without processes
    check_equal((done.returncode, done.stdout, done.stderr), (0, "", ""), "a scan without finding")
    done, _ = scan(forkscope, "--user", "no-such-user")
    check_equal((done.returncode, done.stdout), (125, ""), "a scan for a user who does not exist")


if __name__ == "__main__":
    main(test)
