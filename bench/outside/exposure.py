#!/usr/bin/env python3
"""What `forkscope exposure` costs: itself, and the program it looks at.

    exposure.py FORKSCOPE TARGET [--rounds N] [--pairs N]

TARGET is the program of exposure_target.c, built beside this. The same program runs by turns under
`forkscope run` and under `forkscope exposure`, which looks at it 1000 times a second: the difference
is what the looks cost it. Prints a table of medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile


def pair(command):
    return float(subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("forkscope")
    parser.add_argument("target")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pairs", type=int, default=100_000_000)
    options = parser.parse_args()
    forkscope, target = os.path.abspath(options.forkscope), os.path.abspath(options.target)
    print(f"load before: {os.getloadavg()[0]:.2f}\n")
    print("| threads | looks a second | a look | of one core | pair alone | pair looked at | ratio |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for threads in (2, 16, 256):
            alone, looked, ratios, rates, prices, shares = [], [], [], [], [], []
            program = [target, str(threads), str(options.pairs)]
            for turn in range(options.rounds):
                def without():
                    alone.append(pair([forkscope, "run", "--quiet", "--watch=off", "--", *program]))

                def seen():
                    report = os.path.join(folder, "json")
                    looked.append(pair([forkscope, "exposure", "--json", report, "--", *program]))
                    exposure = json.load(open(report))
                    looks, cpu = exposure["any"]["looks"], exposure["sampler_cpu_seconds"]
                    rates.append(looks / exposure["seconds"])
                    prices.append(cpu / looks)
                    shares.append(cpu / exposure["seconds"])

                for part in (without, seen) if turn % 2 else (seen, without):
                    part()
                ratios.append(looked[-1] / alone[-1])
            median = statistics.median
            print(f"| {threads} | {median(rates):.0f} | {1e6 * median(prices):.1f} us "
                  f"| {100 * median(shares):.1f} % | {median(alone):.2f} ns | {median(looked):.2f} ns "
                  f"| {median(ratios):.3f} |", flush=True)


if __name__ == "__main__":
    main()
