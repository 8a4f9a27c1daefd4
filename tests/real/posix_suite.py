"""The Open POSIX Test Suite (part of the Linux Test Project): the interfaces pthread_*, sem_* and
fork, each test program bare and observed.

It is not packaged and not part of this repository: the caller names the folder
`open_posix_testsuite` of a checkout, built by its own rules (its QUICK-START and BUILD say how).

usage: posix_suite.py FORKSCOPE BUILT_FOLDER [--only=PATTERN] ... (compare.py)
"""

import pathlib

from compare import compare_suite
from observe import Skipped, main

INTERFACES = ("pthread_*", "sem_*", "fork")
# The suite's include/posixtest.h.
VERDICTS = {"pass": "pass", "exit 1": "fail", "exit 2": "unresolved", "exit 4": "unsupported",
            "exit 5": "untested"}


class Posix:
    # Many tests only sleep; a few measure time, and are repeated alone where they differ.
    name, jobs, seconds = "Open POSIX", 4, 120

    def __init__(self, options):
        if not options.words:
            raise Skipped("name the folder open_posix_testsuite of a built checkout")
        base = pathlib.Path(options.words[0]).resolve() / "conformance" / "interfaces"
        self._paths = {path.name.removesuffix(".run-test"): path for pattern in INTERFACES
                       for path in base.glob(f"{pattern}/**/*.run-test")}
        if not self._paths:
            raise Skipped(f"there is no built test below {base}")

    def programs(self):
        return sorted(self._paths)

    def command(self, program):
        return [self._paths[program]]

    def verdicts(self, program, ended):
        return {program: VERDICTS.get(ended.end(), ended.end())}

    def again(self, case):
        return case


main(compare_suite(Posix))
