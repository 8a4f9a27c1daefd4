"""Redis and PostgreSQL, bare and observed in pairs: the ratio of what they serve in a second.

A bare server and an observed one are up at the same time, and one idles while the other serves a
short load; which of the two comes first alternates, and a pair is over in a second or two, so that
what else the machine does falls on both. Printed are the medians of both and, which is what counts,
the median and quartiles of the pairs' ratios observed / bare; the control is a second bare server,
loaded in the same pairs. A measurement, not a test: its exit status says only that it was made.

usage: throughput.py FORKSCOPE [PAIRS]
"""

import contextlib
import os
import pathlib
import re
import statistics
import subprocess

import observe
from compare import staged
from observe import Program, check, main, need, until, work_folder
from postgres_test import Cluster, folder_for_cluster

CLIENTS, THREADS = "8", "2"


@contextlib.contextmanager
def redis(forkscope):
    """Gives load(), which gives {command: requests in a second}, and end()."""
    server_path, benchmark, client = need("redis-server", "redis-benchmark", "redis-cli")
    with work_folder() as folder:
        server = Program([server_path, "--port", "0", "--unixsocket", "redis.sock", "--save", "",
                          "--appendonly", "no", "--dir", folder], folder, forkscope)
        sock = folder / "redis.sock"
        until(lambda: server.check_runs() or sock.exists(), "the server listens")

        def load():
            out = subprocess.run([benchmark, "-s", sock, "-t", "set,get", "-c", CLIENTS, "-n",
                                  "20000", "-r", "10000", "--csv"], capture_output=True,
                                 text=True, check=True, stdin=subprocess.DEVNULL).stdout
            return {f"redis-benchmark {name}": float(rate) for name, rate in
                    re.findall(r'^"(SET|GET)","([\d.]+)"', out, re.M)}

        def end():
            subprocess.run([client, "-s", sock, "shutdown", "nosave"], check=False,
                           stdin=subprocess.DEVNULL, capture_output=True)
            server.end()

        yield load, end


@contextlib.contextmanager
def postgres(forkscope):
    """Gives load(), which gives {kind: transactions in a second}, and end()."""
    with folder_for_cluster() as folder:
        cluster = Cluster(folder, [] if forkscope is None else [forkscope, "run", "--"])
        cluster.create()
        cluster.start()
        cluster.call("pgbench", "-i", "-s", "5", "-q")

        def rate(*words):
            out = cluster.call("pgbench", "-n", "-c", CLIENTS, "-j", THREADS, *words)
            return float(re.search(r"tps = ([\d.]+)", out)[1])

        def load():
            return {"pgbench": rate("-t", "100"), "pgbench -S": rate("-S", "-t", "1000"),
                    "pgbench -S -C, a process each": rate("-S", "-C", "-t", "8")}

        yield load, cluster.stop


def measure(server, command, pairs):
    """{what: [(bare, observed, second bare), ...]}"""
    rates = {}
    with server(None) as bare, server(command) as observed, server(None) as control:
        loads, ends = zip(bare, observed, control)
        for load in loads:
            load()  # warm, and not counted
        for number in range(pairs):
            got = [None] * len(loads)
            for offset in range(len(loads)):
                which = (number + offset) % len(loads)
                got[which] = loads[which]()
            for what in got[0]:
                rates.setdefault(what, []).append(tuple(one[what] for one in got))
        for end in ends:  # all of them, before the first folder is cleared of processes
            end()
    return rates


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.3f} ({low:.3f} - {high:.3f})"


def test(forkscope, pairs="30"):
    pairs = int(pairs)
    check(pairs > 1, "quartiles need two pairs")
    observe.LONGEST = 120 + 30 * pairs
    print("load before:", pathlib.Path("/proc/loadavg").read_text().split()[0], "on",
          os.cpu_count(), "CPUs", flush=True)
    with staged(forkscope) as command:
        for server in (redis, postgres):
            for what, rates in measure(server, command, pairs).items():
                bare, observed, _ = map(statistics.median, zip(*rates))
                print(f"{what}: bare {bare:.0f}/s, observed {observed:.0f}/s, observed / bare "
                      f"{quartiles([o / b for b, o, _ in rates])}, bare / bare "
                      f"{quartiles([c / b for b, _, c in rates])}", flush=True)


main(test)
