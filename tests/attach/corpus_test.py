"""The labelled corpus: starts the processes of a case without forkscope, waits until they hang or
wait, attaches to each, and compares the answer with the label. Attaching must not have stopped or
woken any thread.

usage: corpus_test.py FORKSCOPE PROGRAMS SCENARIOS GROUP CASE   one case; exit status 77: skipped
       corpus_test.py FORKSCOPE PROGRAMS SCENARIOS labels       every hanging scenario has a label
       corpus_test.py FORKSCOPE PROGRAMS SCENARIOS table        all, as the tables of the docs
       corpus_test.py list                                      GROUP CASE of each, for the build
"""

import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "real"))

# pylint: disable=wrong-import-position
import targets
from answers import SILENT, attach, attach_unnoticed, compare, waits
from cases import GROUPS, SCENARIOS
from observe import check, main, patience, work_folder
from starts import Places

HEADINGS = {
    "scenario": "Scenarios that hang", "hung": "Other hangs",
    "stuck": "For ever, but not because of a fork", "kernel": "One thread in a system call",
    "threads": "Threads of one process", "forked": "Forked children of threaded processes",
    "shared": "Memory shared by processes", "python": "Python's own libraries",
    "server": "Servers from packages", "other": "Other ways to build and to run",
    "ending": "Workers of scenarios that end well, caught while they live"}


def find(group, name):
    found = [case for case in GROUPS[group] if case.name == name]
    check(found, f"there is no case {name} in {group}")
    return found[0]


def row(case, answer):
    """What the table says of it."""
    report, finding = answer.report, answer.finding
    lock = finding.get("lock") or {}
    holder = finding.get("holder") or {}
    cells = [case.what, report["answer"], finding.get("kind", ""), lock.get("symbol") or "",
             holder.get("name") or "", f"{answer.seconds * 1000:.0f}"]
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def ask(forkscope, case, pid):
    if case.spins:  # a thread that never sleeps shows where it is only when it is stopped
        return attach(forkscope, pid, "--stacks")
    answer = attach_unnoticed(forkscope, pid, case.quiet)
    end = time.monotonic() + patience()
    # Who is not quiet wakes now and then, and may run when it is looked at.
    while answer.word == "running" and not case.quiet and time.monotonic() < end:
        answer = attach_unnoticed(forkscope, pid, case.quiet)
    return answer


def test_case(forkscope, places, group, case):
    pids = case.start(places)
    rows = []
    for pid in pids:
        answer = ask(forkscope, case, pid)
        compare(answer, case.expected)
        rows.append(row(case, answer))
        above = targets.parent(pid)
        if group in ("scenario", "hung") and above != os.getpid():
            compare(attach_unnoticed(forkscope, above, quiet=False), waits())
    print(rows[0])


def test_ending(forkscope, case, program):
    """Attaches to whatever process there is below the program, and to the program. That one is gone
    is an answer too."""
    answers, end = {}, time.monotonic() + 5
    while time.monotonic() < end:
        check(targets.state(program.pid) not in ("", "Z"), f"the program has ended: {answers}")
        below = targets.descendants(program.pid)
        for pid in [*below, program.pid]:
            done = subprocess.run([forkscope, "attach", "--json", "-", str(pid)],
                                  capture_output=True, text=True, timeout=30, check=False)
            word = "gone" if done.returncode == 125 else json.loads(done.stdout)["answer"]
            check(word in ("gone", *SILENT),
                  f"the answer on a worker that ends is {word}: {done.stdout}")
            check(word != "gone" or len(done.stderr.splitlines()) == 1,
                  f"not one sentence: {done.stderr}")
            answers[word] = answers.get(word, 0) + 1
    check(answers, "there was no time for a look")
    said = ", ".join(f"{word} {count}" for word, count in sorted(answers.items()))
    print(f"| {case.what} | {said} | | | | |")


def test_labels(places):
    """Compares SCENARIOS with what the programs say of themselves."""
    hanging, silent = set(), []
    programs = [path for path in sorted(places.scenarios.iterdir()) if path.is_file()]
    check(len(programs) > 15, f"where are the scenarios? {programs}")
    for path in programs:
        text = subprocess.run([path, "--describe"], capture_output=True, text=True, timeout=20,
                              check=True).stdout
        methods = [method for method in json.loads(text)["methods"] if method["end"] == "deadlock"]
        hanging |= {(path.name, method["name"]) for method in methods}
        silent += [(path.name, method["name"]) for method in methods if "attached" not in method]
    check(hanging == set(SCENARIOS),
          f"with a label, but not hanging: {sorted(set(SCENARIOS) - hanging)}; hanging, without "
          f"a label: {sorted(hanging - set(SCENARIOS))}")
    check(not silent, f"hanging, but not saying what is seen from outside: {silent}")


def print_tables(words):
    """Each case in a process of its own, as the tests are."""
    for group, cases in GROUPS.items():
        print(f"\n### {HEADINGS[group]}\n\n| case | answer | kind | lock | holder | ms |\n"
              "|---|---|---|---|---|---|")
        for case in cases:
            done = subprocess.run([sys.executable, "-sEB", __file__, *words, group, case.name],
                                  capture_output=True, text=True, check=False)
            lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
            if done.returncode == 0 and lines:
                print(lines[0])
            else:
                first = (done.stdout + done.stderr).strip().partition("\n")[0]
                print(f"| {case.what} | **{first}** | | | | |")
            sys.stdout.flush()


def test(forkscope, programs, scenarios, group, name=None):
    words = [forkscope, programs, scenarios]
    if group == "table":
        print_tables(words)
        return
    with work_folder() as folder:
        places = Places(pathlib.Path(programs), pathlib.Path(scenarios), folder)
        if group == "labels":
            test_labels(places)
            return
        case = find(group, name)
        if group == "ending" or name == "vanished":
            test_ending(forkscope, case, case.start(places))
        else:
            test_case(forkscope, places, group, case)


if __name__ == "__main__":
    if sys.argv[1:] == ["list"]:
        for each in GROUPS:
            for one in GROUPS[each]:
                print(f"{each} {one.name}")
    else:
        main(test)
