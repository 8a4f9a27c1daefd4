"""The labelled programs that `score` counts: a hang of each kind, made of software that others use, and
its healthy twin. Plain data; `point` groups them by what was once wrong about them.

`kinds` are those of the finding that is right (docs/findings/); none: the program is healthy, and a
grave finding is wrong. `culprit` is a regular expression that what the finding names must match: the
lock, its holder, a lost thread, the library. It must not match what only a stack has. Programs are
those of programs/kinds/, built by setup.sh; where a thread is at the fork is made certain by pipes.
"""

import dataclasses

PYTHON = "{folder}/python/bin/python"
JVM = "/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    point: int
    command: tuple
    kinds: tuple = ()
    culprit: str = ""
    part: str = "kinds"  # of setup.sh
    restless: bool = False  # its threads never sleep for long; attach is given --stacks
    may_be_unknown: bool = False  # no answer is right, too: what would end it may be outside
    no_hazard: bool = False  # a hazard is wrong, too


def missing(case, folder):
    """Why it cannot be run here, or nothing."""
    if not (folder / f"{case.part}.ready").exists():
        return f"setup.sh did not make its part {case.part}"
    for word in case.command:
        place = word.removeprefix("{folder}/")
        if word.startswith("{folder}/kinds/") and not (folder / place).exists():
            return f"{place} could not be built"
    return ""


def program(name, *words):
    return (f"{{folder}}/kinds/{name}", *words)


def own(name, *words):
    """A program whose parent is gone."""
    return ("/usr/bin/env", "KINDS_GONE=1", *program(name, *words))


def python(*words):
    return ("/usr/bin/env", "PYTHONPATH={folder}/kinds-python",
            "NUMBA_CACHE_DIR={folder}/numba-cache", PYTHON, "{programs}/kinds/python_kinds.py", *words,
            "{work}")


def after(before, child, method="fork"):
    return (PYTHON, "{programs}/fork_after.py", before, child, method, "{work}")


# A lock on the heap has no name but that of who holds it, and a core file has no names of threads.
HEAP = "holder|libglib|held by thread|held itself|from before the fork"


def hangs(name, point, command, kind, culprit, **others):
    return Case(name, point, command, tuple(kind.split()), culprit, **others)


def healthy(name, point, command, **others):
    return Case(name, point, command, **others)


LOCK, LOST, OWN = "orphaned-lock", "lost-thread", "stale-owner self-held-lock"
EITHER = f"{LOCK} {LOST}"  # where nothing in the program says that it is a lock


def locks(prefix, point, command, culprit, wheres=("held", "beside", "own"), kind=LOCK,
          **others):
    """A case for each place of the holder and the waiter; see programs/kinds/kinds.h."""
    for where in wheres:
        words = tuple(word.replace("WHERE", where) for word in command)
        if where in ("own", "first", "free"):
            yield healthy(f"{prefix}-{where}", point, words, **others)
        else:
            yield hangs(f"{prefix}-{where}", point, words, OWN if where == "forker" else kind, culprit,
                        **others)


def shared():
    for kind in ("mutex", "rwlock", "sem", "cond"):
        yield healthy(f"shared-{kind}-process", 2, program("shared", kind, "{work}/file", "process"))
    yield hangs("shared-mutex-private", 2, program("shared", "mutex", "{work}/file", "thread"), LOCK,
                "held by|work/file", may_be_unknown=True)
    yield healthy("lmdb-process", 2, program("lmdb", "{work}", "process"))


CASES = [
    *locks("reuse", 1, program("reuse", "{folder}/kinds/orders.so", "{folder}/kinds/prices.so",
                               "WHERE"), r"(?s)^(?!.*orders).*prices_lock"),
    *shared(),

    hangs("stacks-reused", 3, program("pool", "gone"), LOST, "job_done|pool-"),
    hangs("stacks-reused-gone", 3, own("pool", "gone"), LOST, "job_done|pool-", may_be_unknown=True),
    hangs("stacks-freed-gone", 3, own("pool", "ended"), LOST, "job_done|pool-", may_be_unknown=True),
    healthy("stacks-own-gone", 3, own("pool", "own-gone")),
    hangs("poll-eventfd", 3, program("pool", "eventfd"), LOST, "pool-", may_be_unknown=True),
    hangs("nanomsg", 3, program("nanomsg", "{work}"), LOST, "nanomsg|nn_", may_be_unknown=True),
    hangs("gstreamer-bus", 3, program("gst"), LOST, "libgst|fakesrc|gst", may_be_unknown=True),
    healthy("poll-pipe", 3, program("pool", "pipe")),

    healthy("reinit-handler", 4, program("reinit", "handler"), no_hazard=True),
    healthy("reinit-code", 4, program("reinit", "code"), no_hazard=True),
    # Its default loop's queue mutex is not made anew: a hazard is right.
    healthy("libuv", 4, program("uv")),

    hangs("pthreadpool", 6, program("pthreadpool", "both"), LOST, "pthreadpool"),
    healthy("pthreadpool-child", 6, program("pthreadpool", "child")),

    *locks("glib-mutex", 8, program("glib", "mutex", "WHERE"), "cache_mutex",
           ("held", "beside", "second", "own", "first")),
    *locks("glib-writer", 8, program("glib", "writer", "WHERE"), HEAP),
    *locks("glib-reader", 8, program("glib", "reader", "WHERE"), HEAP),
    *locks("glib-rec", 8, program("glib", "rec", "WHERE"), HEAP,
           ("held", "beside", "forker", "own")),
    *locks("glib-once", 8, program("glib", "once", "WHERE"), "cache_once|[Oo]nce flag|holder"),
    *locks("glib-bits", 8, program("glib", "bits", "WHERE"), "cache_bits|g_bit|holder"),
    *locks("absl-writer", 8, program("absl", "writer", "WHERE"), "cache_mutex",
           ("held", "beside", "second", "own", "first")),
    *locks("absl-reader", 8, program("absl", "reader", "WHERE"), "cache_mutex"),
    *locks("qt-mutex", 8, program("qt", "mutex", "WHERE"), "cache_mutex", kind=EITHER),
    *locks("qt-writer", 8, program("qt", "writer", "WHERE"), "cache_lock|libQt5Core|holder",
           kind=EITHER),
    *locks("qt-reader", 8, program("qt", "reader", "WHERE"), "cache_lock|libQt5Core|holder",
           kind=EITHER),
    *locks("fftw", 8, program("fftw", "planner", "WHERE"), "fftw|holder", ("held", "beside", "free")),
    *locks("python-lock", 8, python("lock", "WHERE"), "refresh_with_lock", ("held", "own", "free")),
    *locks("python-rlock", 8, python("rlock", "WHERE"), "refresh_with_rlock", ("held", "own")),
    *locks("python-acquire", 8, python("acquire", "WHERE"), "refresh_with_acquire", ("held", "own")),
    *(hangs(f"rust-{lock}", 8, ("{folder}/rayon_fork", lock), LOCK, symbol, part="rayon") for
      lock, symbol in (("mutex", "MUTEX"), ("rwlock", "RWLOCK"), ("parking_lot", "PARKING_LOT"),
                       ("once", "ONCE"))),
    healthy("rust-own-thread", 8, ("{folder}/rayon_fork", "own-thread"), part="rayon"),
    *locks("sqlite", 10, program("sqlite", "connection", "WHERE"), "sqlite|holder|held by thread"),
    *locks("ocaml-mutex", 8, program("ocaml_lock", "WHERE"), "libc|caml|ocaml_lock", ("held", "free")),

    *locks("static-local", 9, program("static_local", "table", "WHERE"), "price_table",
           ("held", "beside", "free")),
    *(case for lock in ("recursive", "errorcheck", "robust") for case in
      locks(f"posix-{lock}", 10, program("posix", lock, "WHERE"), "cache_lock", ("held", "forker"))),
    *locks("posix-plain", 11, program("posix", "plain", "WHERE"), "cache_lock", ("second", "own")),

    hangs("two-pools", 12, program("pool_stripped", "other"), LOST, "pool-|pool_stripped"),
    healthy("two-pools-own", 12, program("pool_stripped", "own-other")),
    hangs("leveldb", 12, program("leveldb", "{work}", "both"), LOST, "leveldb"),
    healthy("leveldb-child", 12, program("leveldb", "{work}", "free")),
    hangs("polars-tokio", 12, after("polars_make+polars_read_parquet", "polars_scan_parquet"),
          EITHER, "polars", part="python"),
    hangs("polars-new-runtime", 12, after("polars_sort", "polars_make+polars_scan_parquet"), LOST,
          "polars", part="python"),
    healthy("polars-slow", 12, after("start_thread", "polars_slow_function"), part="python"),

    hangs("timed-loop", 13, program("pool", "timed"), LOST, "job_done|pool-", restless=True),
    healthy("timed-loop-own", 13, program("pool", "own-timed"), restless=True),
    *(healthy(name, 13, program("pool", name), restless=True) for name in ("beats", "ticks")),
    hangs("rdkafka-flush", 13, program("rdkafka"), LOST, "rdkafka|rdk:|rd_kafka", restless=True),
    hangs("python-get", 13, python("get", "held"), LOST, "next_row"),
    hangs("python-get-timed", 13, python("get-timed", "held"), LOST, "next_row", restless=True),
    hangs("python-condition-timed", 13, python("condition-timed", "held"), LOST, "wait_until_ready",
          restless=True),
    hangs("python-event-timed", 13, python("event-timed", "held"), LOST, "wait_until_stopped",
          restless=True),
    healthy("python-get-own", 13, python("get-timed", "own"), restless=True),
    healthy("python-condition-own", 13, python("condition-timed", "own"), restless=True),
    *(healthy(f"python-{name}", 13, python(name, "held"), restless=True)
      for name in ("beats", "ticks", "sleeps", "computes")),

    hangs("tbbmalloc", 14, program("tbbmalloc", "memory", "held"), EITHER, "tbbmalloc",
          restless=True),
    healthy("tbbmalloc-free", 14, program("tbbmalloc", "memory", "free")),
    hangs("spin", 14, program("pool", "spin"), EITHER, "pool-|spin_for_job", restless=True),
    hangs("spin-stripped", 14, program("pool_stripped", "spin"), EITHER,
          "pool-|pool_stripped", restless=True),
    hangs("spin-yield", 14, program("pool", "yield"), EITHER, "pool-|yield_for_job",
          restless=True),
    healthy("spin-own", 14, program("pool", "own-spin"), restless=True),
    *(healthy(name, 14, program("pool", name), restless=True) for name in ("computes", "alike")),
    hangs("openmp-active", 14, ("/usr/bin/env", "OMP_WAIT_POLICY=active", "OMP_NUM_THREADS=3",
                                "GOMP_SPINCOUNT=infinite", "{folder}/openmp_fork", "region"), LOST,
          "gomp", part="openmp", restless=True),
    healthy("openmp-in-child", 14, ("{folder}/openmp_fork", "first-in-child"), part="openmp"),

    *(case for how in ("nap", "futex", "yield") for case in
      locks(f"lock-{how}", 28, program("nap_lock", how, "WHERE"), "table_lock|holder",
            ("held", "own"), kind=EITHER, restless=True)),
    hangs("nap-for-pool", 28, program("pool", "nap"), EITHER, "pool-|nap_for_job",
          restless=True),
    *(healthy(name, 28, program("pool", name), restless=True) for name in ("naps", "sleeps")),
    hangs("d-collector", 28, program("gc", "bypass"), f"{LOCK} fork-bypass", "gphobos|_D|collect",
          restless=True),
    healthy("d-collector-handler", 28, program("gc", "handler"), restless=True),
    healthy("d-collector-free", 28, program("gc", "free")),
    hangs("tcmalloc", 28, program("tcmalloc", "bypass"), f"{LOCK} fork-bypass", "tcmalloc",
          restless=True),
    healthy("tcmalloc-handler", 28, program("tcmalloc", "handler"), restless=True),
    healthy("tcmalloc-free", 28, program("tcmalloc", "free")),

    hangs("go-shared", 29, ("{folder}/go_fork",), f"{LOST} runtime-not-forkable", "libwork|[Gg]o",
          part="go"),
    healthy("go-shared-exec", 29, ("{folder}/go_fork", "exec"), part="go"),
    healthy("go-idle", 29, ("{folder}/go_idle",), part="go"),
    hangs("jvm-gc", 29, program("jvm", JVM), LOST, "jvm|VM Thread|java"),

    *locks("deepbind", 31, ("/usr/bin/env", "KINDS_DEEPBIND=1", *program(
        "reuse", "{folder}/kinds/orders.so", "{folder}/kinds/prices.so", "WHERE")), "prices_lock"),
    *locks("musl", 31, program("posix_musl", "plain", "WHERE"), "cache_lock", ("held", "beside", "own")),
    *locks("musl-recursive", 31, program("posix_musl", "recursive", "WHERE"), "cache_lock", ("held",)),

    *locks("python-import", 32, python("import", "WHERE"), "import_settings|python_slow_module",
           ("held", "beside", "own")),
    *locks("python-lock", 32, python("lock", "WHERE"), "refresh_with_lock", ("beside", "second")),
    *locks("python-timeout", 32, python("timeout", "WHERE"), "refresh_with_timeout",
           ("held", "own"), restless=True),
    hangs("python-executor", 32, python("executor", "held"), LOST, "fetch"),
    hangs("python-executor-beside", 32, python("executor", "beside"), LOST, "fetch"),
    healthy("python-executor-own", 32, python("executor", "own")),
    hangs("python-get-beside", 32, python("get", "beside"), LOST, "next_row"),
    hangs("grpc-channel", 32, ("/usr/bin/env", "GRPC_ENABLE_FORK_SUPPORT=false", PYTHON,
                               "{programs}/grpc_channel.py", "same", "fork", "{work}"), EITHER, "grpc",
          part="python", restless=True, may_be_unknown=True),
    healthy("grpc-spawn", 32, (PYTHON, "{programs}/grpc_channel.py", "own", "spawn", "{work}"),
            part="python"),
    hangs("onnxruntime", 32, python("onnx", "held"), LOST, "onnx", restless=True),
    healthy("onnxruntime-child", 32, python("onnx", "free")),
    healthy("duckdb", 32, python("duckdb", "held")),
    healthy("numba", 32, python("numba", "held")),
    healthy("telemetry", 32, python("telemetry", "held")),
]
