"""Processes that cannot be looked at: forkscope says in one sentence why, names what would help,
and exits with 125.

usage: refusals_test.py FORKSCOPE PROGRAMS
"""

import os
import pathlib
import pwd
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "real"))

# pylint: disable=wrong-import-position
import targets
from observe import check, check_equal, main, patience, work_folder


def refused(forkscope, *words, **identity):
    """What it says."""
    done = subprocess.run([forkscope, "attach", *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=max(patience(), 1), check=False,
                          **identity)
    check_equal(done.returncode, 125, f"status of attach {words}: {done.stdout}{done.stderr}")
    check_equal(done.stdout, "", f"standard output of attach {words}")
    check(done.stderr.startswith("forkscope: "), f"attach {words} says: {done.stderr}")
    check_equal(len(done.stderr.strip().splitlines()), 1, f"lines of attach {words}")
    return done.stderr


def ended_process():
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return str(process.pid)


def of_another_user(forkscope, programs, folder):
    """The hung child of somebody else. In a folder of its own, which that user may enter."""
    if os.getuid() != 0:
        print("not root: the process of another user is not tried")
        return
    copy = folder / "forkscope"
    shutil.copy(forkscope, copy)
    copy.chmod(0o755)
    started = targets.Started([programs / "hangs_in_forked_child", "simple"])
    pid = started.targets()[0]
    targets.blocked(pid)
    said = refused(copy, str(pid), user=pwd.getpwnam("nobody").pw_uid, extra_groups=[], cwd="/")
    check("sudo" in said, f"names no command that helps: {said}")


def test(forkscope, programs):
    refused(forkscope, ended_process())
    refused(forkscope, "0")
    refused(forkscope, "4194305")  # greater than any PID
    refused(forkscope, "--core", "/dev/null")
    with work_folder() as folder:
        of_another_user(forkscope, pathlib.Path(programs), folder)


if __name__ == "__main__":
    main(test)
