"""Processes of Python's own libraries that wait, and some that hang: python_processes.py MODE.

Prints "target PID" for each process to look at; the driver waits until it is blocked.
"""

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time


def target(pid=None):
    os.write(1, f"target {pid or os.getpid()}\n".encode())


def sleep_for_ever():
    threading.Event().wait(3600)


# ---- waiting ------------------------------------------------------------------------------------


def started(_):
    return os.getpid()


def idle_pool(method):
    pool = multiprocessing.get_context(method).Pool(3)
    pool.map(started, range(3))
    for worker in multiprocessing.active_children():
        target(worker.pid)
    sleep_for_ever()


def forkserver_itself():
    """The server process, which listens for requests."""
    context = multiprocessing.get_context("forkserver")
    worker = context.Process(target=started, args=(0,))
    worker.start()
    worker.join()
    from multiprocessing import forkserver  # pylint: disable=import-outside-toplevel
    target(forkserver._forkserver._forkserver_pid)  # pylint: disable=protected-access
    sleep_for_ever()


def forked_executor():
    """Parent and child have a pool of threads each; the child's first thread reads a pipe."""
    mine = concurrent.futures.ThreadPoolExecutor(2)
    mine.submit(int).result()
    if os.fork() == 0:
        own = concurrent.futures.ThreadPoolExecutor(2)
        own.submit(int).result()
        target()
        os.read(os.pipe()[0], 1)
    sleep_for_ever()


def forked_executor_works():
    """The child waits for what a thread of its own pool does."""
    mine = concurrent.futures.ThreadPoolExecutor(2)
    mine.submit(int).result()
    if os.fork() == 0:
        own = concurrent.futures.ThreadPoolExecutor(2)
        job = own.submit(time.sleep, 3600)
        target()
        job.result()
    sleep_for_ever()


def forked_join():
    """The child joins its own thread, which listens."""
    threading.Thread(target=sleep_for_ever, daemon=True).start()
    if os.fork() == 0:
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=listener.accept)
        thread.start()
        target()
        thread.join()
    os.wait()


def prefork():
    """A server of the usual kind: the parent listens, four children accept."""
    listener = socket.create_server(("127.0.0.1", 0))
    for _ in range(4):
        if os.fork() == 0:
            target()
            listener.accept()
    os.wait()


def asyncio_server():
    async def serve():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        target()
        await server.serve_forever()

    if os.fork() == 0:
        asyncio.run(serve())
    os.wait()


def event_until_signal(threads):
    """`Event().wait()` until a signal handler sets it: nothing but the handler can end it."""
    if threads:
        threading.Thread(target=sleep_for_ever, daemon=True).start()
    if os.fork() == 0:
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        target()
        stop.wait()
    os.wait()


def shared_lock():
    """Three children queue up for a lock in shared memory that the parent has."""
    context = multiprocessing.get_context("fork")
    threading.Thread(target=sleep_for_ever, daemon=True).start()
    lock = context.Lock()
    lock.acquire()

    def ask():
        target()
        lock.acquire()

    for _ in range(3):
        context.Process(target=ask).start()
    sleep_for_ever()


def shared_queue():
    context = multiprocessing.get_context("fork")
    threading.Thread(target=sleep_for_ever, daemon=True).start()
    queue = context.Queue()

    def ask():
        target()
        queue.get()

    for _ in range(2):
        context.Process(target=ask).start()
    sleep_for_ever()


# ---- hung ---------------------------------------------------------------------------------------


def serve_on():
    threading.Thread(target=os.read, args=(os.pipe()[0], 1), name="server", daemon=True).start()


def thread_lock(beside=None):
    lock = threading.Lock()
    locked = threading.Event()

    def holder():
        with lock:
            locked.set()
            sleep_for_ever()

    threading.Thread(target=holder, name="holder", daemon=True).start()
    locked.wait()
    if os.fork() == 0:
        if beside:
            beside()
        target()
        lock.acquire()
    os.wait()


LOCK = threading.Lock()


def take():
    LOCK.acquire()


def hold_in_with(done):
    with LOCK:
        done.set()
        os.read(os.pipe()[0], 1)


def hold_by_call(done):
    take()
    done.set()
    os.read(os.pipe()[0], 1)


def own_lock(hold):
    """A thread of the child has the lock; one that was not copied is where it takes it."""
    def asks():
        with LOCK:
            pass
        sleep_for_ever()

    threading.Thread(target=asks, name="asks", daemon=True).start()
    if os.fork() == 0:
        done = threading.Event()
        threading.Thread(target=hold, args=(done,), name="own-holder", daemon=True).start()
        done.wait()
        target()
        take()
    os.wait()


def thread_pool():
    """The result of a thread that was not copied."""
    pool = concurrent.futures.ThreadPoolExecutor(2)
    pool.submit(int).result()
    if os.fork() == 0:
        target()
        pool.submit(int).result()
    os.wait()


MODES = {
    "idle-fork-pool": lambda: idle_pool("fork"),
    "idle-spawn-pool": lambda: idle_pool("spawn"),
    "idle-forkserver-pool": lambda: idle_pool("forkserver"),
    "forkserver": forkserver_itself,
    "forked-executor": forked_executor,
    "forked-executor-works": forked_executor_works,
    "forked-join": forked_join,
    "prefork": prefork,
    "asyncio": asyncio_server,
    "event-until-signal": lambda: event_until_signal(False),
    "event-until-signal-threaded": lambda: event_until_signal(True),
    "shared-lock": shared_lock,
    "shared-queue": shared_queue,
    "thread-lock": thread_lock,
    "thread-lock-beside": lambda: thread_lock(serve_on),
    "own-lock-in-with": lambda: own_lock(hold_in_with),
    "own-lock-by-call": lambda: own_lock(hold_by_call),
    "thread-pool": thread_pool,
}

if __name__ == "__main__":
    MODES[sys.argv[1]]()
