"""Software of others that hangs after a fork, or does not: forkscope attach against the label, and
against what gdb shows of the same process.

usage: third_party_test.py FORKSCOPE FOLDER CASE   FOLDER: what setup.sh of scenarios/real built
       third_party_test.py FORKSCOPE FOLDER table  all, as the table of the docs
       third_party_test.py list                    PART CASE of each, for the build
Exit status 77: skipped.
"""

import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE.parent.parent / "scenarios" / "real" / "programs"
sys.path.insert(0, str(HERE.parent / "real"))

# pylint: disable=wrong-import-position
import targets
from answers import attach_unnoticed, compare, waits
from corpus_test import row
from observe import SEARCH_PATH, Failed, Skipped, check, main, patience, until, work_folder
from third_party_cases import CASES

SETTLED = 1.0  # seconds without a switch: such a child computes for a while before it hangs


def words(case, folder, work):
    places = {"folder": folder, "work": work, "programs": PROGRAMS}
    return [word.format(**places) for word in case.command]


def gdb_stacks(pid):
    """{TID: [(function or "", module or "")]} as gdb has it, or nothing without gdb."""
    gdb = shutil.which("gdb", path=SEARCH_PATH)
    if gdb is None:
        print("gdb is not installed: the stacks are not compared")
        return {}
    out = subprocess.run([gdb, "-nx", "-batch", "-p", str(pid), "-ex", "set debuginfod enabled off",
                          "-ex", "thread apply all backtrace 12"], capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, timeout=max(patience(), 1), check=False).stdout
    stacks, tid = {}, None
    for line in out.splitlines():
        if found := re.match(r"Thread .*LWP (\d+)", line):
            tid = int(found[1])
            stacks[tid] = []
        elif tid and (found := re.match(r"#\d+ +(?:0x[0-9a-f]+ in )?(.*?) \(", line)):
            module = re.search(r"\) from (\S+)$", line)
            stacks[tid].append((found[1], module[1] if module else ""))
    return stacks


def base(name):
    """Of a function, without namespaces, hashes, templates and versions."""
    name = re.sub(r"\[[0-9a-f]+\]|<[^<>]*>|@.*|\{.*", "", name)
    return name.split("::")[-1].strip("<> ") or name


def compare_with_gdb(case, answer, stacks):
    """The innermost function that gdb can name is on our stack too, or at least its module."""
    for thread in answer.report["threads"]:
        theirs = stacks.get(thread["tid"])
        if not theirs or not thread["stack"]:
            continue
        ours = {base(frame.get("function") or "") for frame in thread["stack"]}
        modules = {pathlib.Path(frame.get("module") or "?").name for frame in thread["stack"]}
        named = [(function, module) for function, module in theirs if function != "??"]
        check(not named or base(named[0][0]) in ours or pathlib.Path(named[0][1]).name in modules,
              f"gdb shows thread {thread['tid']} in {theirs}, forkscope in {thread['stack']}")
    if case.module:
        modules = [frame.get("module") or "" for frame in answer.report["threads"][0]["stack"]]
        check(any(case.module in module for module in modules),
              f"{case.module} is not on the stack: {modules}\n{answer}")
    # A stack that was read without a stop may end before it.
    if case.function and answer.report["threads"][0]["stack_complete"]:
        functions = [frame.get("function") or ""
                     for frame in answer.report["threads"][0]["stack"]]
        check(any(case.function in function for function in functions),
              f"{case.function} is not on the stack: {functions}\n{answer}")


def test_case(forkscope, folder, work, case):
    reason = folder / f"{case.part}.skipped"
    if not (folder / f"{case.part}.ready").exists():
        raise Skipped(reason.read_text().strip() if reason.exists() else
                      f"{folder} has no {case.part}: scenarios/real/setup.sh was not run")
    started = targets.Started(words(case, folder, work), folder=work, says=True)
    if case.expected is None:
        started.said("^(done)$")
        until(lambda: targets.state(started.pid) in ("", "Z"), "the program ends")
        print(f"| {case.what} | it ends well | | | | |")
        return
    count = int(case.command[case.command.index("-w") + 1]) if "-w" in case.command else 1
    if case.name == "go-idle":
        pids = [started.pid]
        started.said("^target (.*)$")
    else:
        pids = started.targets(count)
    quiet = case.part != "go" and count == 1
    for pid in pids:
        try:
            targets.blocked(pid, case.threads, quiet, SETTLED)
        except Failed:
            # OpenMP's barriers spin now and then, for ever: another hang than the one this is about.
            if any(call == "running" for _, _, call, _ in targets.look(pid).threads):
                raise Skipped(f"process {pid} spins this time, it does not sleep") from None
            raise
    for pid in pids:
        answer = attach_unnoticed(forkscope, pid, quiet)
        compare(answer, case.expected)
        above = targets.parent(pid)
        if above == started.pid:
            compare(attach_unnoticed(forkscope, above, quiet=False), waits())
    compare_with_gdb(case, answer, gdb_stacks(pids[-1]))
    print(row(case, answer))


def print_table(forkscope, folder):
    print("| case | answer | kind | lock | holder | ms |\n|---|---|---|---|---|---|")
    for case in CASES:
        done = subprocess.run([sys.executable, "-sEB", __file__, forkscope, folder, case.name],
                              capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
        first = (done.stdout + done.stderr).strip().partition("\n")[0]
        print(lines[0] if done.returncode == 0 and lines else
              f"| {case.what} | **{first}** | | | | |", flush=True)


def test(forkscope, folder, name):
    if name == "table":
        print_table(forkscope, folder)
        return
    found = [case for case in CASES if case.name == name]
    check(found, f"there is no case {name}")
    with work_folder() as work:
        test_case(forkscope, pathlib.Path(folder).resolve(), work, found[0])


if __name__ == "__main__":
    if sys.argv[1:] == ["list"]:
        print("\n".join(f"{case.part} {case.name}" for case in CASES))
    else:
        main(test)
