"""A process is started while a thread is inside SQLite, or afterwards.

usage: sqlite_fork.py fork-inside|spawn-inside|fork-after|fork-own-connection FACTS

SQLite serialises each connection with a pthread mutex, which the thread holds for as long as its
query runs: until we let a function that the query calls return. Nothing is left to chance. FACTS is
a file that takes what differs from run to run. Exit status 3: the process hung, as it would for
ever, and was killed.
"""

import json
import multiprocessing
import os
import sqlite3
import sys
import threading

PATIENCE = 1.5  # seconds for work of microseconds; only a process that hangs uses them up


class Query:
    """A thread that is inside a query of `connection` until finish() is called."""

    def __init__(self, connection):
        self._connection = connection
        entered_reader, self._entered = os.pipe()
        self._leave, self._left = os.pipe()
        connection.create_function("wait_inside", 0, self._wait_inside)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        os.read(entered_reader, 1)

    def _wait_inside(self):
        self.tid = threading.get_native_id()
        os.write(self._entered, b"e")
        os.read(self._leave, 1)
        return 7

    def _run(self):
        self.rows = self._connection.execute("select wait_inside()").fetchall()

    def finish(self):
        os.write(self._left, b"l")
        self._thread.join()
        print("query gave", self.rows, flush=True)


def use(connection):
    print("process reads", connection.execute("select 6 * 7").fetchall(), flush=True)


def use_inherited(connection, ready):
    os.write(ready, b"r")
    use(connection)


def use_own():
    use(sqlite3.connect(":memory:"))


def look_at(pid):
    """What /proc says of a process: its threads, and the system call the first of them is in."""
    with open(f"/proc/{pid}/syscall") as file:
        return {"threads": len(os.listdir(f"/proc/{pid}/task")), "call": file.read().split()}


def main(method, facts_file):
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    query = Query(connection)
    if method == "fork-after":
        query.finish()
        while os.path.exists(f"/proc/self/task/{query.tid}"):  # Python's join comes back earlier
            pass

    context = multiprocessing.get_context("spawn" if method == "spawn-inside" else "fork")
    if method in ("fork-inside", "fork-after"):
        ready_reader, ready = os.pipe()
        process = context.Process(target=use_inherited, args=(connection, ready))
        process.start()
        os.read(ready_reader, 1)
    else:
        process = context.Process(target=use_own)
        process.start()
    facts = {"parent": os.getpid(), "holder": query.tid, "child": process.pid}
    process.join(PATIENCE if method == "fork-inside" else None)
    hung = process.is_alive()
    if hung:
        facts.update(look_at(process.pid))
        process.kill()
        process.join()
    print("process", "hung" if hung else f"ended with {process.exitcode}", flush=True)
    if method != "fork-after":
        query.finish()
    with open(facts_file, "w") as file:
        json.dump(facts, file)
    return 3 if hung else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
