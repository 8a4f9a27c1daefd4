"""stress-ng's stressors of processes, threads and locks, each bounded by a number of operations: it
ends with the same status and says the same of itself bare and observed, and no deadlock is found.

usage: stress_suite.py FORKSCOPE [--bounded] ... (compare.py)
"""

import re

from compare import compare_suite
from observe import main, need

# Name and operations; CI runs a fiftieth of it.
STRESSORS = {
    "fork": 2000, "vfork": 2000, "vforkmany": 200, "clone": 1000, "spawn": 200, "daemon": 100,
    "pthread": 2000, "mutex": 20000, "sem": 100000, "futex": 20000, "exec": 200, "zombie": 1000,
    "forkheavy": 500, "flock": 20000, "kill": 20000, "lockf": 20000, "lockofd": 20000,
    "mmapfork": 10, "nice": 200, "pipe": 20000, "poll": 2000, "resched": 2000, "schedpolicy": 20000,
    "sem-sysv": 20000, "sigabrt": 200, "sigchld": 2000, "sigfd": 20000, "sigpending": 20000,
    "sigpipe": 1000, "sigq": 10000, "sigrt": 10000, "sigsegv": 10000, "sigsuspend": 10000,
    "sigtrap": 10000, "switch": 20000, "wait": 2000,
}
BOUNDED = ("fork", "vfork", "vforkmany", "clone", "spawn", "daemon", "pthread", "mutex", "sem",
           "futex", "exec", "zombie")
ENDLESS = ("vforkmany", "sem", "exec")  # they do not stop at their operations: time ends them
TROUBLE = re.compile(r"stress-ng: (?:fail|error): +\[\d+\] *(.*)")


class Stress:
    name, jobs, seconds = "stress-ng", 1, 90
    user = "nobody"  # some stressors refuse to run as root

    def __init__(self, options):
        self._bounded = options.bounded
        self._path, = need("stress-ng")

    def programs(self):
        return BOUNDED if self._bounded else list(STRESSORS)

    def command(self, program):
        operations = STRESSORS[program] // (50 if self._bounded else 1)
        seconds = (1 if self._bounded else 5) if program in ENDLESS else 30
        return [self._path, f"--{program}", "2", f"--{program}-ops", max(operations, 2), "--verify",
                "--temp-path", "{folder}/work", "--timeout", seconds]

    def verdicts(self, program, ended):
        trouble = sorted({re.sub(r"\d+", "N", text) for text in TROUBLE.findall(ended.output)})
        return {program: "; ".join([ended.end(), *trouble])}

    def again(self, case):
        return case


main(compare_suite(Stress))
