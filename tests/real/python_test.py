"""multiprocessing under the fork start method while a thread is inside SQLite: diagnosed, by name.
The cures, and fork when the thread is not inside: they work, and forkscope is silent.

usage: python_test.py FORKSCOPE fork-inside|spawn-inside|fork-after|fork-own-connection
"""

import json

from observe import (PROGRAMS, Program, Skipped, check, check_equal, check_lucky, check_same,
                     check_silent, main,
                     run_both)

PYTHON = "/usr/bin/python3"
SYS_FUTEX, FUTEX_WAIT_PRIVATE = "202", "0x80"


def modules_of(stack):
    return [frame["module"].rsplit("/", 1)[-1] for frame in stack if frame["module"]]


def functions_of(stack):
    return [frame["function"] for frame in stack if frame["function"]]


def is_sqlite(module):
    return module.startswith("libsqlite3.so")


def is_python(module):
    return module.startswith(("python3", "libpython3"))


def session(method):
    def run(folder, forkscope):
        facts_file = folder / "facts.json"
        command = [PYTHON, "-sE", "-Wignore", PROGRAMS / "sqlite_fork.py", method, facts_file]
        ended = Program(command, folder, forkscope).end()
        check(facts_file.exists(), f"the program failed: {ended}")
        return ended, json.loads(facts_file.read_text())
    return run


def check_hangs_for_ever(facts):
    """One thread, in an untimed wait on a private futex: nobody is left who could wake it."""
    check_equal(facts["threads"], 1, "threads of the hung process")
    number, _, operation, _, timeout = facts["call"][:5]
    check_equal((number, operation, timeout), (SYS_FUTEX, FUTEX_WAIT_PRIVATE, "0x0"),
                "system call of the hung process")


def check_diagnosed(observed, facts):
    graves = observed.findings("deadlock", "latent")
    check_equal([(f["severity"], f["kind"], f["count"]) for f in graves],
                [("deadlock", "orphaned-lock", 1)], "findings")
    finding = graves[0]
    check_equal(finding["process"], facts["child"], "process of the finding")
    check_equal(int(finding["lock"]["address"], 16), int(facts["call"][1], 16),
                "lock of the finding, against the futex of the hung process")
    check_equal(finding["lock"]["type"], "recursive mutex", "type of the lock")

    holder, waiter = finding["holder"], finding["waiter"]
    check_equal(holder["tid"], facts["holder"], "thread that holds the lock")
    check(holder["acquired_complete"], "the acquisition stack does not reach the thread's start")
    modules = modules_of(holder["acquired"])
    check(is_sqlite(modules[0]), f"not SQLite takes the lock: {modules}")
    check("sqlite3_step" in functions_of(holder["acquired"]), "not in sqlite3_step()")
    check(any(map(is_python, modules)), f"Python is not on the acquisition stack: {modules}")
    # start_thread and clone3: without names where libc's debug information is not installed
    check(modules[-1].startswith("libc.so"), f"does not end where threads start: {modules}")

    check_equal((waiter["tid"], waiter["call"]), (facts["child"], "pthread_mutex_lock"), "waiter")
    modules = modules_of(waiter["stack"])
    check(is_sqlite(modules[0]), f"not SQLite waits for the lock: {modules}")
    check("sqlite3_prepare_v2" in functions_of(waiter["stack"]), "not in sqlite3_prepare_v2()")
    check(any(map(is_python, modules)), f"Python is not on the waiter's stack: {modules}")

    check('multiprocessing.get_context("spawn")' in finding["cure"], f"cure: {finding['cure']}")
    check(str(facts["holder"]) in finding["explanation"], f"explains: {finding['explanation']}")

    forks = observed.forks()
    check_equal([(f["api"], f["pid"], f["child"], f["outcome"], f["threads_total"]) for f in forks],
                [("fork", facts["parent"], facts["child"], "deadlock", 2)], "forks")
    # Python's own locks are semaphores: listed by who waited last, which is no ownership.
    check_equal([held["owner"] for held in forks[0]["held"]
                 if held["lock"]["type"] != "semaphore"], [facts["holder"]],
                "owners of the locks held at the fork")
    check(f" (pid {facts['child']}) hangs at " in observed.own[0] and ".py:" in observed.own[0],
          f"first line: {observed.own[0]}")
    check(observed.own[1].startswith(f"  DEADLOCK in process {facts['child']}: orphaned-lock"),
          f"second line: {observed.own[1]}")
    check(observed.own[-2] == "forkscope: 1 fork: 1 deadlocked; found 1 deadlock",
          f"last line but one: {observed.own[-2]}")
    check(observed.own[-1].startswith("SUMMARY: forkscope: deadlock (orphaned-lock) "),
          f"last line: {observed.own[-1]}")


def need_serialised_sqlite():
    try:
        import sqlite3
    except ImportError as error:
        raise Skipped(f"{PYTHON} cannot import sqlite3: {error}") from None
    if sqlite3.threadsafety != 3:
        raise Skipped("this SQLite does not serialise the use of a connection with a mutex")


def test(forkscope, method):
    need_serialised_sqlite()
    (bare, bare_facts), (observed, facts) = run_both(forkscope, session(method))
    hangs = method == "fork-inside"
    child = ["process hung"] if hangs else ["process reads [(42,)]", "process ended with 0"]
    query = ["query gave [(7,)]"]
    expected = query + child if method == "fork-after" else child + query
    check_equal(bare.output.splitlines(), expected, "output of the bare program")
    check_equal((bare.status, bare.errors), (3 if hangs else 0, []), "end of the bare program")
    check_same(bare, observed)
    if hangs:
        check_hangs_for_ever(bare_facts)
        check_hangs_for_ever(facts)
        check_diagnosed(observed, facts)
    elif method == "fork-own-connection":
        # The thread is inside a query on its connection; what the library has but once, they share.
        check_lucky(observed, "libsqlite3")
    else:
        check_silent(observed)


main(test)
