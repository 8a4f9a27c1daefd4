#!/usr/bin/env python3
"""Compares cost_bench with other tools on the same machine, on points that both measure.

    compare_tools.py FOLDER [--rounds N] [--seconds N]

FOLDER has cost_bench: build/release/lib/forkscope/bench. The tools are run by turns with cost_bench,
which of the two first changes from round to round; those that are not installed are left out with a
word. Prints a Markdown table: medians and quartiles over the rounds, and whether the quartiles
overlap.

    stress-ng   --fork 1, --vfork 1: operations of a second, one child at a time, reaped
    lat_proc    of lmbench: fork, exec, shell
    perf trace  the clone() system call by the kernel's own tracepoints, in the same run that
                cost_bench measures by the clock around fork()
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile


def output(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout + done.stderr


def samples(folder, case, budget, prefix=()):
    """Of each clock the nanoseconds, and what was printed."""
    with tempfile.NamedTemporaryFile("r") as file:
        printed = output(
            [*prefix, f"{folder}/cost_bench", case, f"--samples={file.name}",
             f"--budget={budget}", "--most=100000"]
        )
        lines = [line.split() for line in file.read().splitlines()]
    assert lines[-1] == ["end"]
    return {line[0]: [int(word) for word in line[1:]] for line in lines[:-1]}, printed


def ours(folder, case, clock, seconds):
    # The mean: operations a second are one, too.
    return statistics.fmean(samples(folder, case, seconds)[0][clock]) / 1e3


def stress_ng(stressor, seconds):
    text = output(
        ["stress-ng", f"--{stressor}", "1", f"--{stressor}-max", "1", "--timeout", f"{seconds}s",
         "--metrics-brief"]
    )
    # stressor, operations, real time, ...
    found = re.search(rf"\] {stressor} +(\d+) +([\d.]+)", text)
    return float(found[2]) / float(found[1]) * 1e6


def lat_proc(what):
    text = output(["lat_proc", what])
    if "not found" in text:  # of the program that it executes; it goes on all the same
        raise RuntimeError("lat_proc: " + text.splitlines()[0])
    return float(re.search(r"([\d.]+) microseconds", text)[1])


def perf_trace(folder, case, seconds):
    """The least of clone() by tracepoints and of fork() by our clock, of one run. Not the means: a
    parent that loses the processor on its way out of the kernel waits by our clock only."""
    with tempfile.NamedTemporaryFile("r") as summary:
        values, _ = samples(folder, case, seconds,
                            ("perf", "trace", "-o", summary.name, "-s", "-e", "clone"))
        # calls, errors, total, min, ...; in milliseconds with three digits
        rows = re.findall(r"clone +(\d+) +\d+ +[\d.]+ +([\d.]+) ", summary.read())
    _, least = max((int(calls), float(least)) for calls, least in rows)
    return least * 1e3, min(values["call"]) / 1e3


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def text(values):
    low, middle, high = quartiles(values)
    return f"{middle:.1f} ({low:.1f} - {high:.1f})"


def pairs(measure, rounds):
    theirs, mine = [], []
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            (theirs if which == 0 else mine).append(measure[which]())
    return theirs, mine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    folder, seconds, rounds = options.folder, options.seconds, options.rounds

    points = []
    if shutil.which("stress-ng"):
        for stressor in "fork", "vfork":
            points.append((f"stress-ng --{stressor}", stressor, "reap",
                           (lambda s=stressor: stress_ng(s, seconds),
                            lambda s=stressor: ours(folder, s, "reap", seconds))))
    else:
        print("stress-ng is not installed.")
    if shutil.which("lat_proc"):
        for what, case in ("fork", "fork"), ("exec", "fork-exec"), ("shell", "system"):
            points.append((f"lat_proc {what}", case, "reap",
                           (lambda w=what: lat_proc(w),
                            lambda c=case: ours(folder, c, "reap", seconds))))
    else:
        print("lat_proc (lmbench) is not installed; Debian has it in non-free.")

    print(f"Load {os.getloadavg()[0]:.1f} before, {rounds} rounds. Microseconds, medians of the "
          "rounds' means (of perf trace: least values), quartiles in brackets.\n")
    print("| tool | theirs | case | clock | ours | ours / theirs | quartiles overlap |")
    print("|---|--:|---|---|--:|--:|---|")

    def row(tool, theirs, case, clock, mine):
        (a, b, c), (d, e, f) = quartiles(theirs), quartiles(mine)
        print(f"| {tool} | {text(theirs)} | {case} | {clock} | {text(mine)} | {e / b:.2f} | "
              f"{'yes' if a <= f and d <= c else 'no'} |", flush=True)

    for tool, case, clock, measure in points:
        theirs, mine = pairs(measure, rounds)
        row(tool, theirs, case, clock, mine)
    if not shutil.which("perf"):
        print("\nperf is not installed.")
        return
    for case in "fork", "fork/resident=64MiB", "fork/resident=512MiB":
        try:
            both = [perf_trace(folder, case, seconds) for _ in range(rounds)]
        except (RuntimeError, ValueError) as error:
            print(f"\nperf trace cannot be used here: {error}")
            return
        row("perf trace, clone()", [a for a, _ in both], case, "call", [b for _, b in both])


if __name__ == "__main__":
    main()
