"""How the cases of the corpus are started. Each function gives one that takes the Places, starts
the processes, waits until they are in the state the case is about, and gives their PIDs.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import targets
from observe import SEARCH_PATH, Skipped, check, need, patience, until

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"


@dataclasses.dataclass(frozen=True)
class Places:
    programs: pathlib.Path  # the built programs of the corpus
    scenarios: pathlib.Path  # the built scenarios
    folder: pathlib.Path  # removed at the end


def wait_until_blocked(pids, threads=1, quiet=True):
    for pid in pids:
        targets.blocked(pid, threads, quiet)
    return pids


def scenario(name, method):
    """The first worker, when it hangs. Its parent would wait for an hour before it kills it."""
    def start(places):
        program = targets.Started([places.scenarios / name, f"--method={method}", "--workers=1",
                                   "--patience=3600000"])
        pids = [int(pid) for pid in program.said(r"^worker 1: started, pid (\d+)$")]
        program.said("^(timing ready_us)")
        if name == "spinlock":
            targets.spins(pids[0])
            return pids
        return wait_until_blocked(pids)
    return start


def ending(name, method):
    """A scenario that ends well: gives the program, whose workers come and go."""
    def start(places):
        return targets.Started([places.scenarios / name, f"--method={method}",
                                "--workers=1000000", "--patience=3600000"], says=False)
    return start


def vanishing(_):
    """Gives a program as ending() does."""
    return targets.Started(["/bin/sh", "-c", "while :; do sleep 0.02; done"], says=False)


def program(name, mode, *words, threads=1, count=1, quiet=True):
    def start(places):
        started = targets.Started([places.programs / name, mode, *words])
        return wait_until_blocked(started.targets(count), threads, quiet)
    return start


def computing(name, mode):
    def start(places):
        pids = targets.Started([places.programs / name, mode]).targets()
        targets.spins(pids[0])
        return pids
    return start


def deleted(name, mode, threads=1):
    """The file of the program is gone, as after an upgrade."""
    def start(places):
        copy = places.folder / name
        shutil.copy(places.programs / name, copy)
        pids = wait_until_blocked(targets.Started([copy, mode]).targets(), threads)
        copy.unlink()
        return pids
    return start


def python(mode, count=1, quiet=True):
    def start(_):
        started = targets.Started([sys.executable, PROGRAMS / "python_processes.py", mode])
        return wait_until_blocked(started.targets(count), 1, quiet)
    return start


def stopped(of):
    def start(places):
        pids = of(places)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            until(lambda pid=pid: targets.state(pid) == "T", f"process {pid} is stopped")
        return pids
    return start


def kernel_thread(_):
    if targets.read(targets.PROC / "2" / "comm").strip() != "kthreadd":
        raise Skipped("kernel threads are not visible in this PID namespace")
    return [2]


def _build(command, source, output):
    """Skipped when the compiler can build nothing here; an error when it is this source."""
    def run(program):
        return subprocess.run([*command, "-x", "c", program, "-o", output, "-pthread"],
                              input="#include <pthread.h>\nint main(void) { return 0; }\n",
                              capture_output=True, text=True, timeout=max(patience(), 1),
                              check=False, cwd=output.parent)
    try:
        done = run(source)
        if done.returncode != 0 and run("-").returncode != 0:
            raise Skipped(f"{command[0]} builds nothing here: {done.stderr.splitlines()[-1]}")
    except subprocess.TimeoutExpired:
        raise Skipped(f"{command[0]} takes too long to build this") from None
    check(done.returncode == 0, f"{command[0]} cannot build {source.name}: {done.stderr}")


def built(compiler, source, mode, threads):
    """A program of the corpus that is built here, by another compiler or in another way."""
    def start(places):
        output = places.folder / source
        command = [*need(compiler[0]), *compiler[1:], "-std=gnu11", "-O1", "-w"]
        _build(command, PROGRAMS / f"{source}.c", output)
        return wait_until_blocked(targets.Started([output, mode]).targets(), threads)
    return start


def in_namespaces(name, mode, threads):
    def start(places):
        unshare, *_ = need("unshare")
        words = [unshare, "--fork", "--pid", "--mount-proc"]
        if os.getuid() != 0:
            words.append("--map-root-user")
        with contextlib.suppress(subprocess.TimeoutExpired):
            if subprocess.run([*words, "true"], capture_output=True, timeout=10,
                              check=False).returncode == 0:
                started = targets.Started([*words, places.programs / name, mode])
                return wait_until_blocked(started.targets(), threads)
        raise Skipped("a PID namespace cannot be made here")
    return start
