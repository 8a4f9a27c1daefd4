"""What Python programs wait for in a forked child: python_kinds.py WHAT WHERE FOLDER. WHERE is held (by
a thread of the parent, or left to it to be done), beside (the same, and the child has a thread of its
own that waits for events), second (the same, and that is its first thread), own (healthy: a thread of
the child has it, or is to do it) or free (healthy: nobody has it). The child prints "target PID" first
and "done" at the end.
"""

import concurrent.futures
import importlib
import os
import queue
import select
import signal
import sys
import threading
import time

INSIDE = threading.Semaphore(0)
CACHE_LOCK, CACHE_RLOCK = threading.Lock(), threading.RLock()
READY, ROWS, STOP = threading.Condition(), queue.Queue(), threading.Event()
EXECUTOR = concurrent.futures.ThreadPoolExecutor(2, "fetcher")
WHAT, WHERE, FOLDER = sys.argv[1:4]


def wait_for_events():
    select.select([os.pipe()[0]], [], [])


def inside():
    """Called by the thread where it must be at the fork."""
    if threading.current_thread().name == "holder":
        INSIDE.release()
        wait_for_events()


def refresh_with_lock():
    with CACHE_LOCK:
        inside()


def refresh_with_rlock():
    with CACHE_RLOCK:
        inside()


def refresh_with_acquire():
    CACHE_LOCK.acquire()
    inside()


def refresh_with_timeout():
    """Asks again and again."""
    while not CACHE_LOCK.acquire(timeout=0.05):
        pass
    inside()


def import_settings():
    importlib.import_module("python_slow_module")


def feed():
    """The thread that would end the waits below; it has nothing to give."""
    inside()


def next_row():
    ROWS.get()


def next_row_timed():
    while True:
        try:
            return ROWS.get(timeout=0.05)
        except queue.Empty:
            continue


def wait_until_ready():
    with READY:
        while not READY.wait(0.05):
            pass


def wait_until_stopped():
    while not STOP.wait(0.05):
        pass


def beat():
    """Healthy: a worker that works every now and then, until a signal ends it."""
    beats = 0
    with open(os.path.join(FOLDER, "beats"), "w", encoding="utf-8") as file:
        while not STOP.wait(0.05):
            beats += 1
            file.write(f"{beats}\n")
            file.flush()


def tick():
    """Healthy: the same with nothing to be seen, until SIGTERM's handler."""
    signal.signal(signal.SIGTERM, lambda *_: STOP.set())
    ticks = 0
    while not STOP.wait(0.05):
        ticks += 1


def sleep_on():
    """Healthy: what the main thread of many a daemon does."""
    while True:
        time.sleep(0.02)


def compute():
    """Healthy: no wait at all."""
    total = 0
    while total >= 0:
        total += 1


def fetch():
    return EXECUTOR.submit(sum, range(10)).result()


def fetch_slowly():
    """Healthy: its own executor has threads, which are at work."""
    own = concurrent.futures.ThreadPoolExecutor(1, "own-fetcher")
    return own.submit(wait_for_events).result()


def numba_sum():
    """The compiled code is kept for the next run: compiling takes half a minute on a busy machine."""
    global numba, SESSION
    import numba
    import numpy
    if SESSION is None:
        numba.config.THREADING_LAYER = "workqueue"

        def total(values):
            result = 0.0
            for i in numba.prange(values.size):
                result += values[i]
            return result

        SESSION = numba.njit(parallel=True, cache=True)(total)
    return SESSION(numpy.ones(100000))


SESSION = None


def message(*fields):
    """A message of protocol buffers: (number, int or bytes) each."""
    def varint(value):
        parts = b""
        while value > 127:
            parts += bytes([value & 127 | 128])
            value >>= 7
        return parts + bytes([value])

    return b"".join(varint(number << 3) + varint(value) if isinstance(value, int) else
                    varint(number << 3 | 2) + varint(len(value)) + value
                    for number, value in fields)


def matrix(name):
    size = message((1, message((1, 800))))
    shape = message((1, size[2:]), (1, size[2:]))
    return message((1, name), (2, message((1, message((1, 1), (2, shape))))))


def onnx_multiply():
    """A model of two products, made here: A times B and B times A, at once."""
    import numpy
    import onnxruntime
    global SESSION
    values = numpy.ones((800, 800), numpy.float32)
    if SESSION is None:
        nodes = [(1, message((1, one), (1, other), (2, result), (4, b"MatMul")))
                 for one, other, result in ((b"A", b"B", b"C"), (b"B", b"A", b"D"))]
        graph = message(*nodes, (2, b"g"), (11, matrix(b"A")), (11, matrix(b"B")),
                        (12, matrix(b"C")), (12, matrix(b"D")))
        model = message((1, 8), (7, graph), (8, message((1, b""), (2, 13))))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 3
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        SESSION = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    return SESSION.run(None, {"A": values, "B": values})


def duckdb_sum():
    import duckdb
    global SESSION
    if SESSION is None:
        SESSION = duckdb.connect(config={"threads": 4})
    SESSION.execute("SELECT sum(length) FROM (SELECT i % 1000 AS g, count(*) AS length "
                    "FROM range(2000000) t(i) GROUP BY g)").fetchall()


def telemetry():
    """Spans that an exporter's thread is to send."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    global SESSION

    class Exporter(SpanExporter):
        def export(self, _):
            inside_exporter()
            return SpanExportResult.SUCCESS

    if SESSION is None:
        SESSION = TracerProvider()
        SESSION.add_span_processor(BatchSpanProcessor(Exporter()))
    SESSION.get_tracer("rows").start_span("row").end()
    SESSION.force_flush()


def inside_exporter():
    if PARENT == os.getpid():
        INSIDE.release()
        wait_for_events()


PARENT = os.getpid()
WAITS = {  # WHAT: what the holder does before the fork, and the child after it
    "lock": (refresh_with_lock, refresh_with_lock),
    "rlock": (refresh_with_rlock, refresh_with_rlock),
    "acquire": (refresh_with_acquire, refresh_with_acquire),
    "timeout": (refresh_with_timeout, refresh_with_timeout),
    "import": (import_settings, import_settings),
    "get": (feed, next_row),
    "get-timed": (feed, next_row_timed),
    "condition-timed": (feed, wait_until_ready),
    "event-timed": (feed, wait_until_stopped),
    "beats": (feed, beat),
    "ticks": (feed, tick),
    "sleeps": (feed, sleep_on),
    "computes": (feed, compute),
    "telemetry": (telemetry, telemetry),
}
POOLS = {  # used in both
    "executor": fetch,
    "numba": numba_sum,
    "onnx": onnx_multiply,
    "duckdb": duckdb_sum,
}


def start_thread(routine, name):
    threading.Thread(target=routine, name=name, daemon=True).start()


def child(routine, hold):
    os.write(1, f"target {os.getpid()}\n".encode())
    if WHERE == "beside":
        start_thread(wait_for_events, "poller")
    if WHERE == "own" and hold is not None:
        start_thread(hold, "holder")
        INSIDE.acquire()
    if WHERE == "second":
        start_thread(routine, "second")
        wait_for_events()
    routine()
    os.write(1, b"done\n")


def main():
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    hold = None
    if WHAT in WAITS:
        hold, routine = WAITS[WHAT]
        if WHERE in ("own", "free"):
            start_thread(wait_for_events, "poller")
        else:
            start_thread(hold, "holder")
            INSIDE.acquire()
    else:
        routine = POOLS[WHAT]
        if WHERE in ("held", "beside"):
            routine()
        else:
            start_thread(wait_for_events, "poller")
            routine = fetch_slowly if (WHAT, WHERE) == ("executor", "own") else routine
    pid = os.fork()
    if pid == 0:
        child(routine, hold)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    os._exit(os.waitstatus_to_exitcode(status) & 127)


if __name__ == "__main__":
    main()
