"""Locks of Python's own library that another thread has when a process is forked, or had before:
python_locks.py WHAT WHEN METHOD FOLDER. WHEN is held (the thread is inside when the fork happens)
or idle (it was inside before, lives, and has nothing to do). The second process prints "target PID"
first and "done" at the end.

Nothing here is left to chance: the thread tells when it is inside, and stays.
"""

import concurrent.futures
import importlib
import logging
import logging.handlers
import multiprocessing
import os
import queue
import sys
import threading

INSIDE = threading.Semaphore(0)
STAYS = False  # whether the thread stays inside what it is in


def inside():
    """Called by the thread where it has the lock."""
    if STAYS and threading.current_thread().name == "writer":
        INSIDE.release()
        threading.Event().wait()


class Queue(queue.Queue):
    def _put(self, item):
        super()._put(item)
        inside()


class Handler(logging.StreamHandler):
    def emit(self, record):
        inside()
        super().emit(record)


QUEUE = Queue()
LOCK = threading.Lock()
EXECUTOR = concurrent.futures.ThreadPoolExecutor(1, "worker")


def use_queue():
    QUEUE.put("row")


def use_logging():
    logging.getLogger("handler").warning("row")


def use_queue_logging():
    """logging through a queue, as its cookbook has it for threads that must not wait for a disk."""
    logging.getLogger("queue").warning("row")


def use_lock():
    with LOCK:
        inside()


def use_import():
    importlib.import_module("python_slow_module")


def use_thread_pool():
    return EXECUTOR.submit(len, "row").result()


def setup():
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    for name, handler in (("handler", Handler(sys.stderr)),
                          ("queue", logging.handlers.QueueHandler(QUEUE))):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(handler)


def child(what):
    os.write(1, f"target {os.getpid()}\n".encode())
    setup_again = not logging.getLogger("queue").handlers  # a fresh interpreter
    if setup_again:
        setup()
    globals()[f"use_{what}"]()
    os.write(1, b"done\n")


def thread(what):
    globals()[f"use_{what}"]()
    INSIDE.release()
    threading.Event().wait()


def main(what, when, method, _):
    global STAYS
    setup()
    STAYS = when == "held"
    if what == "thread_pool":
        use_thread_pool()
    else:
        threading.Thread(target=thread, args=(what,), name="writer", daemon=True).start()
        INSIDE.acquire()
    process = multiprocessing.get_context(method).Process(target=child, args=(what,))
    process.start()
    process.join()
    sys.stdout.flush()
    os._exit(process.exitcode)


if __name__ == "__main__":
    main(*sys.argv[1:])
