"""A bash script with pipelines, substitutions, jobs, a coprocess, traps and exec: it does what it
does alone, and forkscope is silent.

usage: bash_test.py FORKSCOPE
"""

from observe import PROGRAMS, Program, check, check_equal, check_same, check_silent, main, need, \
    run_both


def session(bash):
    def run(folder, forkscope):
        return Program([bash, PROGRAMS / "bash_work.sh"], folder, forkscope).end()
    return run


def test(forkscope):
    bare, observed = run_both(forkscope, session(*need("bash")))
    check_equal(bare.status, 7, f"exit status of the bare program: {bare}")
    check_equal(bare.errors, ["standard error is there"], "standard error of the bare program")
    check_equal(bare.output.splitlines()[-1], "trap of the last program", "end of the bare program")
    check_same(bare, observed)
    check_silent(observed)
    check(len(observed.forks()) > 100, f"only {len(observed.forks())} forks were seen")


main(test)
