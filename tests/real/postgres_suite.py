"""PostgreSQL's own regression and isolation tests: their driver creates a cluster, starts in it the
server that Debian packages, and runs the tests, all of it bare and observed.

The driver and the server are Debian's; the tests are not packaged: the caller names a checkout of
the installed major version, with `regress.so` built (docs/compatibility.md says how). The account
that runs the server must be able to read it. The server listens on a socket in a folder only.

usage: postgres_suite.py FORKSCOPE CHECKOUT [--only=regress|isolation] ... (compare.py)
"""

import pathlib
import re

from compare import compare_suite
from observe import Skipped, check, main
from postgres_test import ACCOUNT, programs

# Program: the driver, its schedule, both below src/test/<program>.
DRIVERS = {"regress": ("pg_regress", "parallel_schedule"),
           "isolation": ("pg_isolation_regress", "isolation_schedule")}
# The driver takes them from the folder that has regress.so; Debian has them with its extensions.
EXTENSIONS = ("autoinc.so", "refint.so")
LEAST_FORKS = 300  # each connection is one
VERSION = re.compile(r'^#define PG_MAJORVERSION "(\d+)"', re.M)
# A test alone, or, indented, one of a group of parallel tests.
RESULT = re.compile(r"^(?:test| {4}) +(\S+) +\.\.\. (ok|FAILED|failed \(ignored\))(.*)$", re.M)
DIED = re.compile(r"\(test process ([^)]*)\)")
PREPARE = """
mkdir lib && cp "$1" lib/ && ln -s "$2" "$3" lib/ && shift 3 || exit 99
"$@"
status=$?
grep -sh -e PANIC -e 'was terminated by signal' log/postmaster.log
exit $status
"""
SERVER_TROUBLE = re.compile(r"PANIC: .*|terminated by signal \d+")


class PostgreSQL:
    name, jobs, seconds = "PostgreSQL", 1, 1200
    user = ACCOUNT

    def __init__(self, options):
        if not options.words:
            raise Skipped("name a checkout of PostgreSQL")
        self._bin = programs()
        base = self._bin.parent
        self._tests = pathlib.Path(options.words[0]).resolve() / "src" / "test"
        self._drivers = {name: base / "lib" / "pgxs" / "src" / "test" / name / driver
                         for name, (driver, _) in DRIVERS.items()}
        config = self._tests.parent / "include" / "pg_config.h"
        self._libraries = [self._tests / "regress" / "regress.so",
                           *(base / "lib" / name for name in EXTENSIONS)]
        for path in (config, *self._libraries, *self._drivers.values()):
            if not path.exists():
                raise Skipped(f"there is no {path}")
        version = VERSION.search(config.read_text())[1]
        if version != base.name:
            raise Skipped(f"the checkout is of version {version}, the server of {base.name}")

    def programs(self):
        return list(DRIVERS)

    def command(self, program):
        source = self._tests / program
        return ["/bin/sh", "-c", PREPARE, "sh", *self._libraries, self._drivers[program],
                "--temp-instance=instance", f"--bindir={self._bin}", "--dlpath=lib",
                "--no-locale", "--encoding=UTF8", f"--inputdir={source}", "--outputdir=.",
                f"--schedule={source / DRIVERS[program][1]}"]

    def verdicts(self, program, ended):
        if ended.report and ended.status == 0:  # a server that is not observed proves nothing
            forks = ended.report["summary"]["forks"]
            check(forks > LEAST_FORKS, f"{program}: only {forks} forks were seen")
        trouble = sorted(set(SERVER_TROUBLE.findall(ended.output)))
        found = {program: "; ".join([ended.end(), *trouble])}
        for case, verdict, rest in RESULT.findall(ended.output):
            died = DIED.search(rest)
            found[f"{program}: {case}"] = f"{verdict}, {died[1]}" if died else verdict
        return found

    def again(self, case):  # tests need what others before them created
        return case.partition(":")[0]


main(compare_suite(PostgreSQL))
