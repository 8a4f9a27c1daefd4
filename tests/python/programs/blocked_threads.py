"""Threads that wait in many ways, and what the interpreter itself says of their frames.

usage: blocked_threads.py threads|child|at-fork|c-fork|many

Writes one JSON object, {"pid": ..., "threads": {TID: [[function, file, line], ...]}}, and then
waits in every thread. Ends when its standard input does, or when it is killed.

A thread that waits says so and waits in one line: from then on its frames stay the same, wherever
in that line it is.
"""

import asyncio
import ctypes
import functools
import json
import os
import sys
import threading
import time

SELF = threading.get_native_id
arrived = threading.Semaphore(0)
never = threading.Lock()
never.acquire()
native = {}  # of threading.get_ident()


def listed(frame):
    found = []
    while frame is not None:
        code = frame.f_code
        found.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return found


def answer(frame, others=True):
    """Frames of the caller's line, and of all other threads, for it to write and wait."""
    threads = {SELF(): listed(frame)}
    for ident, of_thread in sys._current_frames().items() if others else ():
        if ident != threading.get_ident():
            threads[native[ident]] = listed(of_thread)
    return (json.dumps({"pid": os.getpid(), "threads": threads}) + "\n").encode()


def block():
    native[threading.get_ident()] = SELF()
    arrived.release(); never.acquire()


# Ways to get there.

def in_sleep():
    native[threading.get_ident()] = SELF()
    arrived.release(); time.sleep(1000000)


def in_read(pipe=os.pipe()):
    native[threading.get_ident()] = SELF()
    arrived.release(); os.read(pipe[0], 1)


def in_generator():
    def inner():
        yield 1
        block()
        yield 2

    def outer():
        yield from inner()
    return list(outer())


def in_coroutine():
    async def leaf():
        await asyncio.sleep(0)
        block()

    async def stem():
        await leaf()
    asyncio.run(stem())


def in_async_generator():
    async def numbers():
        yield 1
        block()

    async def stem():
        async for _ in numbers():
            pass
    coroutine = stem()
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


def in_sort_key():
    def key(number):
        if number == 3:
            block()
        return -number
    return sorted(range(10), key=key)


def in_reduce():
    return functools.reduce(lambda total, n: block() if n > 4 else total + n, range(10))


def in_c_callback():
    # C code in between that is no part of the interpreter.
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    array = (ctypes.c_int * 2)(2, 1)

    def compare(_a, _b):
        block()
        return 0
    ctypes.CDLL(None).qsort(array, 2, ctypes.sizeof(ctypes.c_int), kind(compare))


def in_recursion(depth=200):
    if depth > 0:
        in_recursion(depth - 1)
    else:
        block()


def in_recursion_through_c(depth=20):
    if depth > 0:
        sorted([depth], key=lambda d: in_recursion_through_c(d - 1))
    else:
        block()


class Shape:
    class Edge:
        def __init__(self):
            block()

        def __del__(self):
            pass

    @property
    def edge(self):
        return Shape.Edge()

    @classmethod
    def in_method(cls):
        with cls() as found:
            return found

    def __enter__(self):
        return self.edge

    def __exit__(self, *_):
        pass


class AtDeletion:
    def __del__(self):
        block()


def in_deletion():
    held = AtDeletion()
    del held


def in_comprehension():
    return {
        outer: [
            inner if inner < 3
            else block()
            for inner in range(5)
        ]
        for outer in "ab"
    }


def in_expression_of_many_lines():
    # The line of a call goes back and forth within it.
    return max(
        1,
        (
            2 +
            int(
                block()
                or 0)
        ),
        3,
    )


def in_handler():
    try:
        try:
            raise ValueError("one")
        finally:
            sys.intern("two")
    except ValueError:
        try:
            raise KeyError("three")
        except KeyError:
            block()
        finally:
            sys.intern("four")


def compiled(source, file):
    names = {"block": block}
    exec(compile(source, file, "exec"), names)
    return names


def in_latin_1():
    compiled("def größe():\n\n    block()\n", "/tmp/größe.py")["größe"]()


def in_ucs_2():
    compiled("def 数える():\n    block()\n", "/tmp/日本語/スレッド.py")["数える"]()


def in_ucs_4():
    compiled("def \U00010330():\n    block()\n", "/tmp/\U0001f40d.py")["\U00010330"]()


def in_file_that_is_not_utf_8():
    compiled("def f():\n    block()\n", os.fsdecode(b"/tmp/caf\xe9.py"))["f"]()


def in_distant_line():
    compiled("\n" * 70000 + "def f():\n" + "\n" * 1000 + "    block()\n", "distant")["f"]()


def in_backward_line():
    # What a template compiler or a macro makes: later code with an earlier line.
    import ast
    tree = ast.parse("def f():\n" + "\n" * 500 + "    x = 1\n    block()\n    y = 2\n")
    function = tree.body[0]
    function.body[1].lineno = function.body[1].end_lineno = 3
    function.body[1].value.lineno = function.body[1].value.end_lineno = 3
    function.body[1].value.func.lineno = function.body[1].value.func.end_lineno = 3
    names = {"block": block}
    exec(compile(tree, "backward", "exec"), names)
    names["f"]()


def in_long_function():
    body = "".join(f"    x{n} = [{n}, y, {{}}, (y + {n}) * {n}]\n" for n in range(3000))
    compiled(f"def f(y=1):\n{body}    block()\n{body}", "long")["f"]()


def in_import():
    class Finder:
        @staticmethod
        def find_spec(name, _path=None, _target=None):
            if name == "forkscope_no_such_module":
                block()
    sys.meta_path.insert(0, Finder)
    import forkscope_no_such_module


def in_trace():
    # With a trace function the interpreter keeps the line elsewhere as well.
    sys.settrace(lambda *_: lambda *_: None)
    in_handler()


def start(functions):
    threads = [threading.Thread(target=f, daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for _ in threads:
        arrived.acquire()


def ways():
    found = [f for name, f in globals().items() if name.startswith("in_")]
    return found + [block, Shape.in_method]


def wait_with_all():
    start(ways())
    os.write(1, answer(sys._getframe())); os.read(0, 1); os._exit(0)


def fork_in_a_thread(fork):
    def forker():
        if fork() == 0:
            os.write(1, answer(sys._getframe(), others=False)); os.read(0, 1); os._exit(0)
        os.wait()
        os._exit(1)
    start(ways()[:8])
    threading.Thread(target=forker, daemon=True).start()
    os.read(0, 1)
    os._exit(0)


def stay_in_at_fork():
    def handler():
        os.write(1, answer(sys._getframe(), others=False)); os.read(0, 1); os._exit(0)
    os.register_at_fork(after_in_child=handler)
    fork_in_a_thread(os.fork)


def fork_behind_its_back():
    # PyOS_AfterFork_Child is not called: the threads that are gone are still on the list.
    fork_in_a_thread(ctypes.PyDLL(None).fork)


def wait_with_many():
    start([functools.partial(in_recursion, 25)] * 100)
    os.write(1, answer(sys._getframe())); os.read(0, 1); os._exit(0)


{"threads": wait_with_all, "child": lambda: fork_in_a_thread(os.fork), "at-fork": stay_in_at_fork,
 "c-fork": fork_behind_its_back, "many": wait_with_many}[sys.argv[1]]()
