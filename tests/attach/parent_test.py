"""forkscope attach on the process that people have: the parent, which waits with its idle threads
for children that hang. The headline is the children, one diagnosis for those alike, then the cure;
JSON and exit status agree.

usage: parent_test.py FORKSCOPE PROGRAMS
"""

import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "real"))

# pylint: disable=wrong-import-position
import targets
from observe import check, check_equal, main, patience


def attach(forkscope, *words):
    done = subprocess.run([forkscope, "attach", *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=max(patience(), 1), check=False)
    check_equal(done.returncode, 86, f"status of attach {words}: {done.stdout}{done.stderr}")
    return done.stdout


def test(forkscope, programs):
    program = pathlib.Path(programs) / "hangs_in_forked_child"
    started = targets.Started([program, "two-children"])
    children = sorted(started.targets(2))
    for pid in children:
        targets.blocked(pid)
    targets.blocked(started.pid, 66)
    parent = str(started.pid)

    text = attach(forkscope, parent)
    lines = text.splitlines()
    check_equal(lines[0], f"forkscope: process {parent} (hangs_in_forked_child) has 2 children that "
                f"are deadlocked by a fork: processes {children[0]} and {children[1]}", "headline")
    check(lines[1].startswith(f"  hangs_in_forked_child (pid {children[0]}) hangs at "),
          f"second line: {lines[1]}")
    check("cache_lock" in lines[1], f"the lock is not in the second line: {lines[1]}")
    check_equal(text.count("\n  cure "), 1, f"cures in\n{text}")
    check(f"the same holds of\n    process {children[1]}\n" in text, f"no others in\n{text}")
    check(f"  process {parent} itself\n    waits normally: " in text, f"no parent in\n{text}")
    check(len(lines) < 30, f"{len(lines)} lines:\n{text}")
    check(text.index("\n  cure ") < text.index(" itself\n"), f"order of\n{text}")

    document = json.loads(attach(forkscope, "--json", "-", parent))
    check_equal(document["answer"], "deadlock", "answer")
    check_equal(document["itself"]["answer"], "waiting", "answer about itself")
    check(lines[0].endswith(document["sentence"]), f"the sentence is {document['sentence']}")
    check_equal(document["finding"]["process"], children[0], "process of the finding")
    hung = document["hung_children"]
    check_equal([(one["pid"], one["answer"], one["like"]) for one in hung],
                [(children[0], "deadlock", None), (children[1], "deadlock", children[0])], "children")
    check_equal(hung[0]["diagnosis"]["process"]["pid"], children[0], "diagnosis")

    # Idle threads that do the same at one place are one entry, not a screen.
    threads = attach(forkscope, parent, "-vv")
    check(threads.count("waits on condition variable") >= 64, "with -vv each thread is there")
    whole = attach(forkscope, str(children[0]), "--stacks")
    check("--stacks" not in whole, f"asks for what was given:\n{whole}")


if __name__ == "__main__":
    main(test)
