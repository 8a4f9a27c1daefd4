#!/usr/bin/env python3
"""What a look from outside costs: attach, scan and the watchdog of run.

    measure.py FORKSCOPE TARGET [--gib N] [--rounds N] [--seconds N]

TARGET is the program of target.c, built beside this. Prints a table: wall time and processor time of
forkscope. A round is one start of forkscope, the machine's other work included: run it alone.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import time


def started(target, *words):
    """The process, and the PIDs that it says, when all of them sleep."""
    process = subprocess.Popen([target, *map(str, words)], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    for pid in pids:
        while open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.01)
    return process, pids


def timed(command):
    """Seconds of wall and of processor time, and what it printed."""
    before = os.times()
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    wall = time.monotonic() - begin
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, done.stdout


def row(name, results, note=""):
    wall = statistics.median(result[0] for result in results)
    cpu = statistics.median(result[1] for result in results)
    print(f"| {name} | {wall:.2f} s | {cpu:.2f} s | {note} |", flush=True)


def cpu_of(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
    return total / 1e9


def watch(forkscope, target, name, way, seconds):
    """Processor time of `forkscope run` over some seconds, once the children are judged."""
    process = subprocess.Popen([forkscope, "run", "--quiet", "--", target, "0", "2", "100", way],
                               stdout=subprocess.PIPE, text=True)
    program = int(process.stdout.readline().split()[0])
    time.sleep(5)  # they are looked at once; what counts here is the watching after
    before = cpu_of(process.pid)
    time.sleep(seconds)
    share = (cpu_of(process.pid) - before) / seconds
    os.kill(program, signal.SIGKILL)
    process.wait()
    print(f"| {name} | | {100 * share:.2f} % of one core | over {seconds} s |", flush=True)


def detection(forkscope, target, interval_ms, wait_ms):
    """Seconds from when a child sleeps for ever to the line that says so. The fork comes after
    `wait_ms`, so that it meets the rounds of the watchdog at another moment each time."""
    process = subprocess.Popen([forkscope, "run", f"--watch={interval_ms}ms", "--", target, "0", "2",
                                "1", "unseen", str(int(wait_ms))], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    program, child = (int(pid) for pid in process.stdout.readline().split())
    while open(f"/proc/{child}/stat").read().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.001)
    begin = time.monotonic()
    while "DEADLOCK" not in process.stderr.readline():
        pass
    end = time.monotonic()
    os.kill(program, signal.SIGKILL)
    process.communicate()
    return end - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("forkscope")
    parser.add_argument("target")
    parser.add_argument("--gib", type=int, default=10, help="resident memory of the large process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    forkscope, target = os.path.abspath(options.forkscope), os.path.abspath(options.target)
    print(f"load before: {os.getloadavg()[0]:.2f}\n")
    print("| what | wall | forkscope's processor time | answer |\n|---|--:|--:|---|")

    process, (parent, child) = started(target, options.gib, 1000, 1, "hang")
    large = f"{options.gib} GiB resident, 1,000 threads"
    for name, pid in ((f"attach: {large}", parent), (f"attach: hung child of it", child)):
        results = [timed([forkscope, "attach", "--json", "-", str(pid)])
                   for _ in range(options.rounds)]
        row(name, results, json.loads(results[0][2])["answer"])
    process.kill()
    process.wait()

    for name, way in (("healthy", "wait"), ("hung", "hang")):
        process, _ = started(target, 0, 5, 1000, way)
        results = [timed([forkscope, "scan", "--json", "-"]) for _ in range(options.rounds)]
        row(f"scan: 1,000 forked processes, {name}", results,
            f"{len(json.loads(results[0][2])['found'])} found")
        process.kill()
        process.wait()

    for interval in 100, 500:
        count = 4 * options.rounds
        times = [detection(forkscope, target, interval, interval * (2 + i / count))
                 for i in range(count)]
        times += [detection(forkscope, target, interval, 0) for _ in range(options.rounds)]
        print(f"| run: time until a hang is told, --watch={interval}ms | "
              f"{statistics.median(times):.3f} s | | {min(times):.3f} to {max(times):.3f} s |",
              flush=True)
    watch(forkscope, target, "run: 100 children that wait", "wait", options.seconds)
    watch(forkscope, target, "run: 100 children that hang", "hang", options.seconds)


if __name__ == "__main__":
    main()
