"""A Ruby program with busy and sleeping threads forks children that work: as it does alone, and
forkscope is silent.

usage: ruby_test.py FORKSCOPE
"""

from observe import PROGRAMS, Program, check, check_equal, check_same, check_silent, main, need, \
    run_both

CHILDREN = 12


def session(ruby):
    def run(folder, forkscope):
        return Program([ruby, "--disable=gems", PROGRAMS / "threads_and_forks.rb"], folder,
                       forkscope).end()
    return run


def test(forkscope):
    bare, observed = run_both(forkscope, session(*need("ruby")))
    check_equal(bare.status, 5, f"exit status of the bare program: {bare}")
    check_equal(bare.output.count("child "), CHILDREN, f"children of the bare program: {bare}")
    check_equal(bare.errors, [], "standard error of the bare program")
    check_same(bare, observed)
    check_silent(observed)
    forks = [f for f in observed.forks() if f["outcome"] == "exit" and f["status"] in range(1, 13)]
    check(len(forks) >= CHILDREN, f"{len(forks)} children of fork that exit were seen")
    check(all(f["threads_total"] >= 3 for f in forks), "a fork without the program's threads")


main(test)
