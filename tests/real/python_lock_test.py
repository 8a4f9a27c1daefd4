"""multiprocessing under the fork start method while a thread holds a threading.Lock: a semaphore,
which nobody owns. Diagnosed by who waited last; silent when it is free, and under spawn.

usage: python_lock_test.py FORKSCOPE fork-inside|fork-after|spawn-inside
"""

import json

from observe import (PROGRAMS, Program, check, check_equal, check_same, check_silent, main,
                     run_both)

PYTHON = "/usr/bin/python3"


def session(method):
    def run(folder, forkscope):
        facts_file = folder / "facts.json"
        command = [PYTHON, "-sE", "-Wignore", PROGRAMS / "python_lock.py", method, facts_file]
        ended = Program(command, folder, forkscope).end()
        check(facts_file.exists(), f"the program failed: {ended}")
        return ended, json.loads(facts_file.read_text())
    return run


def check_diagnosed(observed, facts):
    graves = observed.findings("deadlock", "latent")
    check_equal([(f["severity"], f["kind"], f["count"]) for f in graves],
                [("deadlock", "orphaned-lock", 1)], "findings")
    finding = graves[0]
    check_equal(finding["process"], facts["child"], "process of the finding")
    check_equal(int(finding["lock"]["address"], 16), int(facts["call"][1], 16),
                "lock of the finding, against the futex of the hung process")
    check_equal(finding["lock"]["type"], "Python lock", "type of the lock")
    check_equal(finding["evidence"], "waited-last", "evidence")
    check_equal(finding["holder"]["tid"], facts["holder"], "thread that waited last")
    check_equal(finding["waiter"]["call"], "sem_wait", "call")
    check('multiprocessing.get_context("spawn")' in finding["cure"], f"cure: {finding['cure']}")


def test(forkscope, method):
    (bare, bare_facts), (observed, facts) = run_both(forkscope, session(method))
    hangs = method == "fork-inside"
    if hangs and bare_facts["call"][0] != "202":
        check(False, f"the bare program hangs elsewhere: {bare_facts['call']}")
    check_equal(bare.output.splitlines(),
                ["process hung"] if hangs else ["process has the table", "process ended with 0"],
                "output of the bare program")
    check_same(bare, observed)
    if hangs:
        check_diagnosed(observed, facts)
    else:
        check_silent(observed)


main(test)
