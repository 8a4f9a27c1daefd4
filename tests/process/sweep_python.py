# What sweep_test.cpp sweeps: the program of "why your multiprocessing.Pool is stuck". A thread
# writes log records, which other threads put into a queue; workers are forked meanwhile, and log.
#
#   records: a thread that takes records out of a queue and writes them, for ever
#   noise:   a thread that logs, for ever
#   main:    forks a worker, waits for it
#   worker:  logs once
#
# The logging module makes its own locks anew in the child (_after_at_fork_child_reinit_locks), the
# queue does not; with the argument "cured" this program does it for the queue.
import logging
import logging.handlers
import multiprocessing
import os
import queue
import sys
import threading

records = queue.Queue()
stop = threading.Event()


def drain():
    while not stop.is_set():
        try:
            records.get(timeout=0.01)
        except queue.Empty:
            pass


def make_noise():
    log = logging.getLogger("noise")
    while not stop.wait(0.005):
        log.warning("still here")


def worker():
    logging.getLogger("worker").warning("begins")


def renew_queue():
    records.mutex = threading.Lock()
    records.not_empty = threading.Condition(records.mutex)
    records.not_full = threading.Condition(records.mutex)
    records.all_tasks_done = threading.Condition(records.mutex)


def main():
    if sys.argv[1:] == ["cured"]:
        os.register_at_fork(after_in_child=renew_queue)
    logger = logging.getLogger()
    logger.addHandler(logging.handlers.QueueHandler(records))
    logger.warning("starts")
    threads = [threading.Thread(target=each) for each in (drain, make_noise)]
    for each in threads:
        each.start()
    context = multiprocessing.get_context("fork")
    failed = False
    for _ in range(4):
        child = context.Process(target=worker)
        child.start()
        child.join()
        failed = failed or child.exitcode != 0
    stop.set()
    for each in threads:
        each.join()
    sys.exit(3 if failed else 0)


main()
