"""Redis' own tests, every unit that its runner knows, with the redis-server that Debian packages,
each test bare and observed.

The package has no tests: the caller names a checkout of the same version, of which only the tests
are used; those of the module interface where the modules are built (`make -C tests/modules`). They
run in a network namespace with nothing but a loopback device and in a process namespace, for which
the caller needs to be root, unshare(1) and ip(8); and tclsh.

usage: redis_suite.py FORKSCOPE CHECKOUT [--only=UNIT] ... (compare.py)
"""

import pathlib
import re

from compare import compare_suite
from observe import Skipped, check, main, need

MODULE_UNIT = re.compile(r"--single (unit/moduleapi/\S+)")
RESULT = re.compile(r"\[(ok|err|exception|skip|ignore)\]: (.*?)(?: in tests/| \(\d+ ms\)|$)", re.M)
TIME = re.compile(r"[0-9.]+ *(ms|s|sec|seconds)\b")
# Of integration/psync2: which server replicates from which, and how much was written, is random.
RANDOM = "PSYNC2: "
PREPARE = """
mkdir src && cp -r "$1/tests" "$1/runtest" "$1/utils" . && shift || exit 99
for program in server cli benchmark check-aof check-rdb; do
  ln -s "/usr/bin/redis-$program" src/ || exit 99
done
exec ./runtest --clients 1 --timeout 200 --single "$1"
"""


class Redis:
    name, jobs, seconds = "Redis", 2, 600

    def __init__(self, options):
        if not options.words:
            raise Skipped("name a checkout of Redis")
        self._checkout = pathlib.Path(options.words[0]).resolve()
        runner = self._checkout / "tests" / "test_helper.tcl"
        if not runner.exists():
            raise Skipped(f"there are no tests in {self._checkout}")
        # Tcl: set ::all_tests { a word each }
        self._units = runner.read_text().partition("set ::all_tests {")[2].partition("}")[0].split()
        if list(self._checkout.glob("tests/modules/*.so")):
            self._units += MODULE_UNIT.findall((self._checkout / "runtest-moduleapi").read_text())
        check(self._units, f"{runner} names no unit")
        unshare, ip, self._shell, *_ = need("unshare", "ip", "sh", "tclsh", "redis-server",
                                            "redis-benchmark", "redis-check-aof")
        # The tests kill servers by process numbers they remember, which may be somebody else's by
        # then: they see no process but their own.
        self.wrap = [unshare, "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                     self._shell, "-c", f'{ip} link set lo up && "$@"; exit $?', "sh"]

    def programs(self):
        return self._units

    def command(self, program):
        return [self._shell, "-c", PREPARE, "sh", self._checkout, program]

    def verdicts(self, program, ended):
        found = {program: ended.end()}
        for verdict, case in RESULT.findall(re.sub(r"\x1b\[[\d;]*m", "", ended.output)):
            case = re.sub(r"\d+", "N", case) if case.startswith(RANDOM) else TIME.sub("N s", case)
            name = f"{program}: {case}"
            if found.get(name, "ok") == "ok":  # of the same name: the worst
                found[name] = verdict
        return found

    def again(self, case):
        return case.partition(":")[0]


main(compare_suite(Redis))
