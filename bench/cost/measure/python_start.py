#!/usr/bin/env python3
"""Measures one case of `forkscope bench` for CPython's start methods of multiprocessing.

    python_start.py CASE [--samples=FILE] [--budget=SECONDS] [--most=N]

The same command line, samples file and exit status 77 as cost_bench. Times are CLOCK_MONOTONIC
nanoseconds, which are the same in all processes. `ready` is the first line of the worker's function:
the interpreter is up and what the main module imports is imported.
"""

import os
import sys
import time

# Where a main module has its imports: a child by spawn imports it again, and them with it.
for _module in filter(None, os.environ.get("FORKSCOPE_BENCH_IMPORTS", "").split("+")):
    try:
        __import__(_module)
    except ImportError as error:
        print(f"{os.path.realpath(sys.executable)} cannot import {_module}", file=sys.stderr)
        sys.exit(77)


def worker(pipe):
    pipe.send_bytes(b"%d" % time.monotonic_ns())


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def size(text):
    for unit, shift in ("GiB", 30), ("MiB", 20), ("KiB", 10):
        if text.endswith(unit):
            return int(text[: -len(unit)]) << shift
    return int(text)


def start_once(context, samples):
    receiver, sender = context.Pipe(False)
    process = context.Process(target=worker, args=(sender,))
    begin = time.monotonic_ns()
    process.start()
    returned = time.monotonic_ns()
    ready = int(receiver.recv_bytes())
    process.join()
    reaped = time.monotonic_ns()
    if process.exitcode != 0:
        raise SystemExit(f"the child exited with {process.exitcode}")
    receiver.close()
    sender.close()
    for clock, at in ("call", returned), ("ready", ready), ("reap", reaped):
        samples.setdefault(clock, []).append(at - begin)
    return reaped - begin


def process_per_task(context, tasks, task, workers):
    from multiprocessing.connection import wait

    running = {}
    for _ in range(tasks):
        if len(running) == workers:
            for sentinel in wait(list(running)):
                running.pop(sentinel).join()
        process = context.Process(target=burn, args=(task,))
        process.start()
        running[process.sentinel] = process
    for process in running.values():
        process.join()


def pool_once(context, tasks, task, workers):
    with context.Pool(workers) as pool:
        pool.map(burn, [task] * tasks, chunksize=1)
        pool.close()
        pool.join()


def batch_once(context, spec, samples):
    run = pool_once if int(spec.get("reuse", "0")) else process_per_task
    begin = time.monotonic_ns()
    run(
        context,
        int(spec["tasks"]),
        int(spec.get("task", "0ms").removesuffix("ms")) / 1000,
        int(spec.get("workers", "1")),
    )
    samples.setdefault("batch", []).append(time.monotonic_ns() - begin)
    return samples["batch"][-1]


def main():
    import multiprocessing

    options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
    names = [word for word in sys.argv[1:] if not word.startswith("--")]
    if len(names) != 1 or not names[0].startswith("python-"):
        sys.exit("python_start.py: a case is missing: python_start.py python-METHOD[/...]")
    method, *parts = names[0].split("/")
    spec = dict(part.split("=", 1) for part in parts)
    if spec.get("imports", "") != os.environ.get("FORKSCOPE_BENCH_IMPORTS", ""):
        os.environ["FORKSCOPE_BENCH_IMPORTS"] = spec.get("imports", "")
        os.execv(sys.executable, [sys.executable, *sys.argv])

    context = multiprocessing.get_context(method.removeprefix("python-"))
    if method == "python-forkserver":
        start_once(context, {})  # the server itself is started once, by the first
    memory = bytearray(size(spec.get("resident", "1MiB")))
    for at in range(0, len(memory), 4096):
        memory[at] = 1

    def once(samples):
        return batch_once(context, spec, samples) if "tasks" in spec else start_once(context, samples)

    budget = float(options.get("budget", "0.5")) * 1e9
    most = int(options.get("most", "1000"))
    if "tasks" not in spec:
        for _ in range(2):
            once({})
    samples, spent, count = {}, 0, 0
    while count == 0 or (spent < budget and count < most):
        spent += once(samples)
        count += 1
    for clock, values in samples.items():
        middle = sorted(values)[len(values) // 2]
        print(f"{names[0]:48} {clock:8} median {middle / 1e6:10.3f} ms of {len(values)}")
    if "samples" in options:
        with open(options["samples"], "w", encoding="ascii") as file:
            for clock, values in samples.items():
                print(clock, *values, file=file)
            print("end", file=file)


if __name__ == "__main__":
    main()
