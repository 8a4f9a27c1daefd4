"""A child takes a threading.Lock that a thread of its parent has, or had.

usage: python_locks.py held-by-fork|held-by-process|two-places|used-before

held-...: prints "target PID" and waits for that child, for an hour. used-before: ends by itself.
"""

import multiprocessing
import os
import sys
import threading

table = threading.Lock()


def keep_table(has_it, leave):
    with table:
        os.write(has_it, b"h")
        os.read(leave, 1)


def use_table():
    with table:
        pass


def holder(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, name="holder", daemon=True)
    thread.start()
    return thread


def read_table():
    with table:
        print("has the table", flush=True)


def write_table():
    with table:
        print("has the table", flush=True)


def start_by_fork(task):
    pid = os.fork()
    if pid == 0:
        task()
        os._exit(0)
    return pid


def start_by_process(task):
    process = multiprocessing.get_context("fork").Process(target=task)
    process.start()
    return process.pid


def main(mode):
    reader, has_it = os.pipe()
    leave, _ = os.pipe()
    if mode == "used-before":
        holder(use_table).join()
        # A second thread lives on: the fork does lose one.
        beside = holder(keep_other, has_it, leave)
        os.read(reader, 1)
        os.waitpid(start_by_fork(read_table), 0)
        return beside
    holder(keep_table, has_it, leave)
    os.read(reader, 1)
    start = start_by_process if mode == "held-by-process" else start_by_fork
    children = [start(task) for task in ([read_table, write_table] if mode == "two-places"
                                         else [read_table])]
    for child in children:
        print(f"target {child}", flush=True)
    for child in children:
        os.waitpid(child, 0)
    return None


def keep_other(has_it, leave):
    use_table()
    os.write(has_it, b"h")
    os.read(leave, 1)


if __name__ == "__main__":
    main(sys.argv[1])
