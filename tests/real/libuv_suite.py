"""libuv's own tests, all in one run of its runner, each in a process of its own.

Debian's package has none of them: the caller names the folder where a checkout was built with its
tests (libuv's README says how). Some tests reach for the network, so the whole runs in a network
namespace with nothing but a loopback device, for which the caller needs unshare(1) and ip(8). The
runner refuses to run as root: root runs it as the owner of the folder, somebody else.

usage: libuv_suite.py FORKSCOPE BUILT_FOLDER [--only=PATTERN] ... (compare.py)
"""

import os
import pathlib
import pwd
import re

from compare import compare_suite
from observe import Skipped, main, need

RESULT = re.compile(r"^(not ok|ok) \d+ - (\w+)( # SKIP)?", re.M)
ALL = "all"


class Libuv:
    name, jobs, seconds = "libuv", 1, 500

    def __init__(self, options):
        if not options.words:
            raise Skipped("name the folder of a built libuv")
        self._runner = pathlib.Path(options.words[0]).resolve() / "uv_run_tests"
        if not self._runner.exists():
            raise Skipped(f"there is no {self._runner}")
        unshare, ip, shell, setpriv = need("unshare", "ip", "sh", "setpriv")
        owner = self._runner.stat()
        begin = f"{ip} link set lo up && "
        if os.getuid() == 0:
            self.owner = pwd.getpwuid(owner.st_uid).pw_name
            begin += (f"{setpriv} --reuid {owner.st_uid} --regid {owner.st_gid} --clear-groups "
                      "-- \"$@\"")
            rights = []
        else:
            begin += '"$@"'
            rights = ["--map-current-user", "--keep-caps"]
        self.wrap = [unshare, "--net", *rights, shell, "-c", begin.replace('&& ', '&& exec ', 1),
                     "sh"]
        # Its tests open files of the checkout by relative paths.
        self._enter = [shell, "-c", 'cd "$1" && shift && exec "$@"', "sh",
                       self._runner.parent.parent]

    def programs(self):
        return [ALL]

    def command(self, program):
        return [*self._enter, self._runner, *([] if program == ALL else [program])]

    def verdicts(self, program, ended):
        found = {name: "skip" if skipped else {"ok": "pass", "not ok": "fail"}[word]
                 for word, name, skipped in RESULT.findall(ended.output)}
        if program != ALL and program not in found:
            found[program] = ended.end()
        return found

    def again(self, case):
        return case


main(compare_suite(Libuv))
