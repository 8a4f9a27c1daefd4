"""Before `attach --stacks` stops threads it says which of their calls the kernel will end: of sockets,
those with a time limit and no others.

usage: stop_words_test.py FORKSCOPE PROGRAMS
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "real"))

# pylint: disable=wrong-import-position
import targets
from observe import check, check_equal, main, patience


def announced(forkscope, programs, mode):
    """The process, and what is said of it."""
    pid = targets.Started([pathlib.Path(programs) / "waits_in_kernel", mode]).targets()[0]
    targets.blocked(pid)
    done = subprocess.run([forkscope, "attach", "--stacks", str(pid)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=max(patience(), 1), check=False)
    check_equal(done.returncode, 0, f"status: {done.stdout}{done.stderr}")
    return pid, done.stderr.strip()


def test(forkscope, programs):
    for mode, call in (("epoll", "epoll_wait"), ("recvfrom-for-an-hour", "recvfrom")):
        pid, said = announced(forkscope, programs, mode)
        check_equal(said, f"forkscope: stopping the thread of process {pid} for an instant; "
                          f"{call}() of thread {pid} will fail with EINTR", mode)
    for mode in ("recvfrom", "accept", "read-pipe"):
        pid, said = announced(forkscope, programs, mode)
        check_equal(said, f"forkscope: stopping the thread of process {pid} for an instant", mode)
        targets.blocked(pid)  # in the same call: the kernel continued it
        check("ended" not in targets.state(pid), f"{mode}: process {pid} went on")


if __name__ == "__main__":
    main(test)
