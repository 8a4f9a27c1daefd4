"""Systems of others that fork: what is run, how it must end, what forkscope must find, and the
control that must end well. The table that `run` works through; plain data, for others to read:

    import cases; cases.CASES; cases.as_json()

Each case is a command for setup.sh's folder. `end` says what the program alone does, every time:
HANGS, ENDS (status 0), or FAILS (it ends by itself, and not well); "a|b" where chance decides.
`kinds` are those of the finding that is right (docs/findings/), of which one is enough. A case
whose name is another's `control` is the same work done in the way that is cured, or that happens
not to meet the cause.
"""

import dataclasses
import json

HANGS, ENDS, FAILS = "hangs", "ends", "fails"

# What a user may meet in more than one case.
POLARS_ISSUES = "https://github.com/pola-rs/polars/issues/"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    system: str  # the heading it stands under
    what: str  # a clause for the table
    part: str  # of setup.sh; "" needs nothing but the system
    command: tuple  # {folder}: that of setup.sh, {programs}: here, {work}: an empty one
    end: str = ENDS
    kinds: tuple = ()  # of the finding, when it hangs
    latent: tuple = ()  # of the latent findings, when it ends well by luck
    may: tuple = ()  # of those that are right, too, and depend on timing
    control: str = ""  # the case that must end well
    version: str = ""  # of which package or program, if not the system's first
    source: str = ""  # where the public learned of it


PYTHON314 = "{folder}/python3.14/usr/bin/python3.14"
PYTHON, VENV, TORCH = "/usr/bin/python3", "{folder}/python/bin/python", "{folder}/torch_python"


def python(name, system, what, script, *words, part="python", interpreter=VENV, **others):
    return Case(name, system, what, part,
                (interpreter, "{programs}/" + script, *words, "{work}"), **others)


def after(name, system, what, before, child, method="fork", **others):
    """fork_after.py: something of a library in both processes."""
    return python(name, system, what, "fork_after.py", before, child, method, **others)


def hangs(*kinds, control):
    return {"end": HANGS, "kinds": kinds, "control": control}


def lost(control):
    return hangs("lost-thread", control=control)


def streaming(control):
    """Now and then the streaming engine's own mutex is met first, with a worker inside."""
    return hangs("lost-thread", "orphaned-lock", control=control)


def in_lock(control):
    """threading.Lock is a semaphore until Python 3.13. The library saw who waited last; from
    outside nobody can, and it is a wait for a thread that is not there."""
    return hangs("orphaned-lock", "lost-thread", control=control)


def polars(name, what, before, child, method="fork", **others):
    return after(f"polars-{name}", "Polars", what, before, child, method, version="polars",
                 **others)


def guide(name, what, *words, **others):
    return python(f"polars-guide-{name}", "Polars", f"the user guide's example, {what}",
                  "polars_guide.py", *words, version="polars", **others)


def stdlib(name, what, *words, interpreter=PYTHON, part="", script="python_pools.py", **others):
    return python(f"python-{name}", "Python's own library", what, script, *words, part=part,
                  interpreter=interpreter, version="python", **others)


def lock(name, what, *words, **others):
    return stdlib(name, what, *words, script="python_locks.py", **others)


def newer(name, what, *words, **others):
    """CPython 3.14, whose locks are words of its own, and whose start method is forkserver."""
    return stdlib(f"3.14-{name}", what, *words, interpreter=PYTHON314, part="python3.14", **others)


LIBRARIES, LANGUAGES = "Libraries with threads", "Other languages"
GUIDE = "https://docs.pola.rs/user-guide/misc/multiprocessing/"
ARTICLE = "https://pythonspeed.com/articles/python-multiprocessing/"

CASES = [
    guide("fork", "fork", "read", "fork", **lost("polars-guide-spawn"), source=GUIDE),
    guide("spawn", "spawn", "read", "spawn"),
    guide("forkserver", "forkserver", "read", "forkserver"),
    guide("without-read", "fork without the read", "made", "fork"),
    polars("read", "read_parquet, fork, read_parquet", "polars_make+polars_read_parquet",
           "polars_read_parquet", **streaming("polars-read-spawn")),
    polars("read-spawn", "the same by spawn", "polars_make+polars_read_parquet",
           "polars_read_parquet", "spawn"),
    polars("write", "write_parquet, fork, write_parquet", "polars_write_parquet",
           "polars_write_parquet", **lost("polars-write-spawn"), source=POLARS_ISSUES + "18583"),
    polars("write-spawn", "the same by spawn", "polars_write_parquet", "polars_write_parquet",
           "spawn"),
    polars("write-read", "write_parquet, fork, read_parquet", "polars_write_parquet+polars_make",
           "polars_read_parquet", **streaming("polars-read-spawn"), source=POLARS_ISSUES + "19380"),
    polars("scan", "scan_parquet(file).collect() in both", "polars_make+polars_scan_open_file",
           "polars_scan_open_file", **streaming("polars-scan-forkserver"),
           source=POLARS_ISSUES + "24162"),
    polars("scan-forkserver", "the same by forkserver", "polars_make+polars_scan_open_file",
           "polars_scan_open_file", "forkserver"),
    python("polars-loader", "Polars", "a loop of workers as in a DataLoader, fork",
           "polars_loader.py", "fork", version="polars", **streaming("polars-loader-spawn"),
           source=POLARS_ISSUES + "24162"),
    python("polars-loader-spawn", "Polars", "the same by spawn", "polars_loader.py", "spawn",
           version="polars"),
    polars("memory", "no file: a frame in memory, filter, fork, filter", "polars_filter",
           "polars_filter", **lost("polars-memory-spawn")),
    polars("memory-spawn", "the same by spawn", "polars_filter", "polars_filter", "spawn"),
    Case("polars-one-thread", "Polars", "the same with POLARS_MAX_THREADS=1", "python",
         ("/usr/bin/env", "POLARS_MAX_THREADS=1", VENV, "{programs}/fork_after.py",
          "polars_filter", "polars_filter", "fork", "{work}"), version="polars",
         **lost("polars-memory-spawn")),
    polars("height", "read_parquet, fork, and only `height`", "polars_make+polars_keep",
           "polars_height"),
    python("polars-preload", "Polars", "forkserver that preloads a module which imports Polars",
           "python_pools.py", "pool", "preload-preload_imports_polars", version="polars"),
    python("polars-preload-used", "Polars", "forkserver that preloads a module which uses Polars",
           "python_pools.py", "pool", "preload-preload_uses_polars", version="polars",
           **lost("polars-preload")),

    stdlib("process-fork", "Process by fork", "process", "fork"),
    stdlib("process-spawn", "Process by spawn", "process", "spawn"),
    stdlib("process-forkserver", "Process by forkserver", "process", "forkserver"),
    stdlib("pool-fork", "Pool by fork", "pool", "fork"),
    stdlib("pool-spawn", "Pool by spawn", "pool", "spawn"),
    stdlib("pool-forkserver", "Pool by forkserver", "pool", "forkserver"),
    stdlib("executor-fork", "ProcessPoolExecutor by fork", "executor", "fork"),
    stdlib("executor-spawn", "ProcessPoolExecutor by spawn", "executor", "spawn"),
    stdlib("executor-forkserver", "ProcessPoolExecutor by forkserver", "executor", "forkserver"),
    lock("lock", "threading.Lock, a thread has it", "lock", "held", "fork",
         **in_lock("python-lock-spawn")),
    lock("lock-idle", "the same, the thread had it before", "lock", "idle", "fork",
         latent=("orphaned-lock",)),
    lock("lock-spawn", "the same by spawn", "lock", "held", "spawn"),
    lock("queue", "queue.Queue, a thread puts into it", "queue", "held", "fork",
         **in_lock("python-queue-forkserver")),
    lock("queue-idle", "the same, the thread did so before", "queue", "idle", "fork",
         latent=("orphaned-lock",)),
    lock("queue-forkserver", "the same by forkserver", "queue", "held", "forkserver"),
    lock("queue-logging", "logging through a QueueHandler, a thread logs", "queue_logging", "held",
         "fork", **in_lock("python-queue-logging-spawn"), source=ARTICLE),
    lock("queue-logging-idle", "the same, the thread did so before", "queue_logging", "idle",
         "fork", latent=("orphaned-lock",)),
    lock("queue-logging-spawn", "the same by spawn", "queue_logging", "held", "spawn"),
    lock("logging", "logging, a thread is in the handler: Python makes these locks anew",
         "logging", "held", "fork"),
    lock("import", "a thread imports a module, the child imports it, too", "import", "held", "fork",
         **in_lock("python-import-spawn")),
    lock("import-spawn", "the same by spawn", "import", "held", "spawn"),
    lock("thread-pool", "ThreadPoolExecutor of the parent, used in the child", "thread_pool",
         "idle", "fork", **hangs("lost-thread", control="python-thread-pool-spawn")),
    lock("thread-pool-spawn", "the same by spawn", "thread_pool", "idle", "spawn"),
    newer("pool", "Pool by what is the default: forkserver", "pool", "default"),
    newer("pool-fork", "Pool by fork", "pool", "fork"),
    newer("executor", "ProcessPoolExecutor by what is the default", "executor", "default"),
    newer("lock", "threading.Lock, a thread has it", "lock", "held", "fork",
          script="python_locks.py", **in_lock("python-3.14-lock-default")),
    newer("lock-idle", "the same, the thread had it before: nothing can be seen of it", "lock",
          "idle", "fork", script="python_locks.py", may=("orphaned-lock",)),
    newer("lock-default", "the same by forkserver", "lock", "held", "forkserver",
          script="python_locks.py"),
    newer("queue-logging", "logging through a QueueHandler, a thread logs", "queue_logging",
          "held", "fork", script="python_locks.py", **in_lock("python-3.14-lock-default"),
          source=ARTICLE),
    newer("import", "a thread imports a module, the child imports it, too", "import", "held",
          "fork", script="python_locks.py", **in_lock("python-3.14-lock-default")),
    newer("thread-pool", "ThreadPoolExecutor of the parent, used in the child", "thread_pool",
          "idle", "fork", script="python_locks.py", **lost("python-3.14-lock-default")),

    after("pyarrow", LIBRARIES, "pyarrow: Parquet read and grouped in both; "
          "it makes its pools anew", "pyarrow_read", "pyarrow_read", version="pyarrow",
          may=("orphaned-lock",)),
    after("numpy", LIBRARIES, "numpy with OpenBLAS: matrices multiplied in both; "
          "it has an at-fork handler", "numpy_multiply", "numpy_multiply", version="numpy"),
    after("sklearn", LIBRARIES, "scikit-learn with libgomp: KMeans in both",
          "sklearn_kmeans", "sklearn_kmeans", version="scikit-learn", **lost("sklearn-spawn")),
    after("sklearn-spawn", LIBRARIES, "the same by spawn", "sklearn_kmeans",
          "sklearn_kmeans", "spawn", version="scikit-learn"),
    after("duckdb", LIBRARIES, "DuckDB: one connection queried in both; the caller does what the "
          "threads do not", "duckdb_keep", "duckdb_query", version="duckdb",
          may=("orphaned-lock",)),
    after("duckdb-close", LIBRARIES, "DuckDB: the child closes the inherited connection",
          "duckdb_keep", "duckdb_close", version="duckdb", end=FAILS, kinds=("lost-thread",),
          control="duckdb-own"),
    after("duckdb-own", LIBRARIES, "DuckDB: the child opens a database of its own", "duckdb_keep",
          "duckdb_own", version="duckdb", may=("orphaned-lock",)),
    python("grpc", LIBRARIES, "gRPC: one channel used in both; it has at-fork handlers",
           "grpc_channel.py", "same", "fork", version="grpcio", end=f"{ENDS}|{FAILS}",
           control="grpc-spawn"),
    python("grpc-own", LIBRARIES, "gRPC: the child makes a channel of its own", "grpc_channel.py",
           "own", "fork", version="grpcio", end=f"{ENDS}|{FAILS}", control="grpc-spawn"),
    python("grpc-spawn", LIBRARIES, "gRPC: a channel of its own, by spawn", "grpc_channel.py",
           "own", "spawn", version="grpcio"),
    after("opencv", LIBRARIES, "OpenCV: an image blurred in both", "opencv_blur", "opencv_blur",
          version="opencv-python-headless", may=("orphaned-lock",)),
    after("tokenizers", LIBRARIES, "Hugging Face tokenizers: encode_batch in both",
          "tokenizers_encode", "tokenizers_encode", version="tokenizers"),
    after("tokenizers-parallel", LIBRARIES, "the same, TOKENIZERS_PARALLELISM=true",
          "tokenizers_parallel+tokenizers_encode", "tokenizers_encode", version="tokenizers",
          **lost("tokenizers")),
    after("torch", LIBRARIES, "torch with libgomp: tensors in both", "torch_multiply",
          "torch_multiply", part="torch", interpreter=TORCH, version="torch",
          **lost("torch-one-thread")),
    after("torch-one-thread", LIBRARIES, "the same after set_num_threads(1) in the "
          "child", "torch_multiply", "torch_one_thread", part="torch", interpreter=TORCH,
          version="torch"),
    python("torch-loader", LIBRARIES, "torch's DataLoader by fork; it sets one thread",
           "torch_loader.py", "fork", "one", part="torch", interpreter=TORCH, version="torch"),
    python("torch-loader-threads", LIBRARIES, "the same, workers set four threads",
           "torch_loader.py", "fork", "four", part="torch", interpreter=TORCH, version="torch",
           **lost("torch-loader")),

    Case("rayon", LANGUAGES, "Rust: a rayon pool used in both", "rayon",
         ("{folder}/rayon_fork", "rayon"), **lost("rayon-own-pool"), version="rayon"),
    Case("rayon-own-pool", LANGUAGES, "Rust: the child uses rayon first", "rayon",
         ("{folder}/rayon_fork", "first-in-child"), version="rayon"),
    Case("openmp", LANGUAGES, "C: libgomp, a parallel region in both", "openmp",
         ("/usr/bin/env", "OMP_WAIT_POLICY=passive", "{folder}/openmp_fork", "region"),
         **lost("openmp-in-child"), version="gcc"),
    Case("openmp-in-child", LANGUAGES, "C: libgomp, a parallel region only in the child",
         "openmp", ("{folder}/openmp_fork", "first-in-child"), version="gcc"),
    Case("go-shared", LANGUAGES, "Go: a shared library in a C program, used in both", "go",
         ("{folder}/go_fork",), **lost("go-shared-after"), version="go"),
    Case("go-shared-after", LANGUAGES, "Go: the child executes the program anew", "go",
         ("{folder}/go_fork", "exec"), version="go"),
    Case("ruby-mutex", LANGUAGES, "Ruby: a Mutex that a thread has; Ruby frees it", "",
         ("/usr/bin/ruby", "--disable=gems", "{programs}/ruby_threads.rb", "mutex"),
         version="ruby"),
    Case("ruby-queue", LANGUAGES, "Ruby: a Queue that a thread feeds; Ruby raises an error",
         "", ("/usr/bin/ruby", "--disable=gems", "{programs}/ruby_threads.rb", "queue"), end=FAILS,
         version="ruby", control="ruby-thread"),
    Case("ruby-thread", LANGUAGES, "Ruby: the child's own thread feeds it", "",
         ("/usr/bin/ruby", "--disable=gems", "{programs}/ruby_threads.rb", "thread"),
         version="ruby"),
]


def as_json():
    return json.dumps([dataclasses.asdict(case) for case in CASES], indent=1)


if __name__ == "__main__":
    print(as_json())
