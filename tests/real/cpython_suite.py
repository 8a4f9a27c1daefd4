"""CPython's own tests of processes, threads and signals, as Debian packages them for its Python:
every test case bare and observed.

usage: cpython_suite.py FORKSCOPE [--bounded] [--only=MODULE] ... (compare.py)
"""

import pathlib
import xml.etree.ElementTree

from compare import compare_suite
from observe import Skipped, main

PYTHON = "/usr/bin/python3"
MODULES = ("test_thread", "test_threading", "test_fork1", "test_posix", "test_os", "test_signal",
           "test_subprocess", "test_concurrent_futures", "test_multiprocessing_fork",
           "test_multiprocessing_forkserver", "test_multiprocessing_spawn")
# What CI runs: classes with the most forks, locks and at-fork handlers, and little waiting.
BOUNDED = {
    "test_thread": ("TestForkInThread.*", "LockTests.*", "BarrierTest.*"),
    "test_threading": ("ThreadJoinOnShutdown.*", "ThreadTests.test_*fork*", "RLockTests.*",
                       "ConditionTests.*", "SemaphoreTests.*"),
    "test_posix": ("TestPosixSpawn*", "PosixTester.test_*fork*"),
    "test_subprocess": ("POSIXProcessTestCase.test_preexec*", "ProcessTestCase.test_communicate*",
                        "POSIXProcessTestCase.test_pass_fds*"),
    "test_multiprocessing_fork": ("WithProcessesTestLock.*", "WithProcessesTestQueue.test_fork",
                                  "WithProcessesTestSemaphore.*", "TestForkAwareThreadLock.*",
                                  "WithProcessesTestCondition.test_*wait*",
                                  "TestSyncManagerTypes.*"),
}


class CPython:
    name, jobs, seconds = "CPython", 3, 500  # its modules mostly wait

    def __init__(self, options):
        self._bounded = options.bounded
        folders = list(pathlib.Path("/usr/lib").glob("python3.*/test/test_threading.py"))
        if not pathlib.Path(PYTHON).exists() or not folders:
            raise Skipped(f"there are no tests for {PYTHON}: libpython3.11-testsuite has them")

    def programs(self):
        return list(BOUNDED) if self._bounded else MODULES

    def command(self, program):
        module, _, case = program.partition(" ")
        match = [case] if case else BOUNDED[module] if self._bounded else []
        return [PYTHON, "-sE", "-m", "test", "--tempdir={folder}/tmp", "--timeout=300",
                "--junit-xml={folder}/junit.xml",
                *(word for pattern in match for word in ("-m", f"*.{pattern}")), module]

    def verdicts(self, program, ended):
        """Cases are called "module class.method"; what befalls a whole module is its own case."""
        module = program.partition(" ")[0]
        results = {module: ended.end()}
        path = ended.folder / "junit.xml"
        if not path.exists():
            return results
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            name = case.get("name").removeprefix("test.").removeprefix("_" + module + ".")
            kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
            if case.get("status") == "run" and not kinds:
                verdict = "pass"
            else:
                verdict = kinds[0] if kinds else case.get("result", "?")
            results[f"{module} {name}"] = verdict
        return results

    def again(self, case):
        return case


main(compare_suite(CPython))
