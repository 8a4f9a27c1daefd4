"""A process is forked while a thread holds a threading.Lock, or afterwards.

usage: python_lock.py fork-inside|fork-after|spawn-inside FACTS

CPython up to 3.13 makes its locks of POSIX semaphores: nobody owns them. FACTS is a file that takes
what differs from run to run. Exit status 3: the process hung, as it would for ever, and was killed.
"""

import json
import multiprocessing
import os
import sys
import threading

PATIENCE = 1.5  # seconds for work of microseconds; only a process that hangs uses them up

table_lock = threading.Lock()


def keep_the_table(has_it, leave, facts):
    with table_lock:
        facts["holder"] = threading.get_native_id()
        os.write(has_it, b"h")
        os.read(leave, 1)


def read_the_table():
    with table_lock:
        print("process has the table", flush=True)


def main(method, facts_file):
    facts = {"parent": os.getpid()}
    reader, has_it = os.pipe()
    leave, left = os.pipe()
    thread = threading.Thread(target=keep_the_table, args=(has_it, leave, facts))
    thread.start()
    os.read(reader, 1)
    if method == "fork-after":
        os.write(left, b"l")
        thread.join()
    context = multiprocessing.get_context("spawn" if method == "spawn-inside" else "fork")
    process = context.Process(target=read_the_table)
    process.start()
    process.join(PATIENCE)
    facts["child"] = process.pid
    hung = process.is_alive()
    if hung:
        with open(f"/proc/{process.pid}/syscall") as file:
            facts["call"] = file.read().split()
        process.kill()
        process.join()
    print("process hung" if hung else f"process ended with {process.exitcode}", flush=True)
    if method != "fork-after":
        os.write(left, b"l")
        thread.join()
    with open(facts_file, "w") as file:
        json.dump(facts, file)
    return 3 if hung else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
