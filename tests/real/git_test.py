"""git commits, merges, packs, searches, clones and pushes, with hooks, some of it in threads: all
as it does alone, and forkscope is silent.

usage: git_test.py FORKSCOPE
"""

from observe import PROGRAMS, Program, check, check_equal, check_same, check_silent, main, need, \
    run_both


def run(folder, forkscope):
    return Program(["/bin/sh", PROGRAMS / "git_work.sh"], folder, forkscope).end()


def test(forkscope):
    need("git")
    bare, observed = run_both(forkscope, run)
    check_equal(bare.status, 9, f"exit status of the bare program: {bare}")
    for line in ("post-commit: Change to version 3", "refused by pre-commit, status 1",
                 "refused by commit-msg, status 1"):
        check(line in bare.output.splitlines() + bare.errors,
              f"the bare program did not print: {line}\n{bare}")
    check_same(bare, observed)
    check_silent(observed)
    check(len(observed.forks()) > 100, f"only {len(observed.forks())} forks were seen")
    check(any(f["threads_total"] > 1 for f in observed.forks()), "no fork of a threaded process")


main(test)
