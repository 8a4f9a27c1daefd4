"""Software of others: what is run, by whom, and what attach must answer. See cases.py."""

import dataclasses

from answers import Expected, hangs, waits

PYTHON = "CPython catches SIGINT"
OTHERS = "the child has threads of its own, which could act"


@dataclasses.dataclass(frozen=True)
class ThirdParty:
    name: str
    what: str  # a clause for the table
    part: str  # of setup.sh
    command: tuple  # {folder}: that of scenarios/real/setup.sh, {programs}: those there
    expected: Expected | None  # nothing: the program must come to its end
    threads: int = 1
    module: str = ""  # part of the name of the one that waits, as gdb must show it too
    function: str = ""  # part of one on the stack


def python(name, what, before, after, expected, method="fork", **others):
    return ThirdParty(name, what, "python", ("{folder}/python/bin/python", "{programs}/fork_after.py",
                                             before, after, method, "{work}"), expected, **others)


def polars(name, what, before, after, **others):
    """Seldom a worker of the streaming engine has the lock of their parking place at the fork: then
    the child meets that first (docs/real-systems.md)."""
    return python(f"polars-{name}", f"Polars: {what}", f"polars_make+{before}", after,
                  hangs("lost-thread orphaned-lock", lost="polars-0", probable=PYTHON),
                  module="_polars_runtime", **others)


def ends(name, what, before, after, method="fork"):
    return python(name, what, before, after, None, method)


def rust(mode, what, expected, **others):
    return ThirdParty(f"rust-{mode}", f"Rust: {what}", "rayon", ("{folder}/rayon_fork", mode),
                      expected, **others)


def openmp(mode, what, expected, **others):
    return ThirdParty(f"openmp-{mode}", f"libgomp: {what}", "openmp",
                      ("{folder}/openmp_fork", mode), expected,
                      **{"module": "libgomp", **others})


NO_OWNER = "no owner is stored in it"

CASES = [
    polars("read-parquet", "the user guide's example: read_parquet().filter() in both",
           "polars_read_parquet", "polars_read_parquet"),
    polars("scan-parquet", "scan_parquet().collect() in both", "polars_scan_parquet",
           "polars_scan_parquet"),
    polars("streaming", 'collect(engine="streaming") in both', "polars_streaming",
           "polars_streaming"),
    polars("read-csv", "read_csv in both", "polars_read_csv", "polars_read_csv"),
    polars("write-parquet", "write_parquet in both", "polars_write_parquet",
           "polars_write_parquet"),
    polars("sort", "sort in both: rayon alone", "polars_sort", "polars_sort"),
    polars("group-by", "group_by in both: rayon alone", "polars_group_by", "polars_group_by"),
    # The parent has used rayon only; the child starts the asynchronous runtime, then waits for it.
    python("polars-new-runtime", "Polars: sort, then scan_parquet in the child, which starts a "
           "runtime of its own", "polars_sort", "polars_make+polars_scan_parquet",
           hangs("lost-thread", lost="polars-0", probable=OTHERS), module="_polars_runtime",
           threads=3),
    ends("polars-spawn", "Polars: the same, method spawn", "polars_make+polars_read_parquet",
         "polars_read_parquet", "spawn"),
    ends("polars-forkserver", "Polars: the same, method forkserver",
         "polars_make+polars_read_parquet", "polars_read_parquet", "forkserver"),
    python("polars-not-used", "Polars: the forked child only reads a pipe",
           "polars_make+polars_read_parquet", "then_wait", waits("waiting")),
    python("polars-spawn-idle", "Polars: idle in a spawned process", "polars_make",
           "polars_read_parquet+then_wait", waits("waiting"), "spawn", threads=3),
    python("polars-first-in-child", "Polars: first used in the child, which waits for a worker of "
           "its own that sleeps", "start_thread", "polars_slow_function", waits("waiting"),
           threads=3),
    ends("pyarrow", "pyarrow: read_table and group_by in both; it makes its pools anew",
         "pyarrow_read", "pyarrow_read"),
    python("pyarrow-idle", "pyarrow: used in both, the child reads a pipe", "pyarrow_read",
           "pyarrow_read+then_wait", waits("waiting"), threads=2),
    ends("numpy", "numpy with OpenBLAS: matrices multiplied in both; it has an at-fork handler",
         "numpy_multiply", "numpy_multiply"),
    python("numpy-idle", "numpy with OpenBLAS: used in both, the child reads a pipe",
           "numpy_multiply", "numpy_multiply+then_wait", waits("waiting"), threads=2),
    python("sklearn-kmeans", "scikit-learn with libgomp: KMeans in both", "sklearn_kmeans",
           "sklearn_kmeans", hangs("lost-thread", probable=f"{PYTHON}; {OTHERS}"),
           module="libgomp", function="GOMP_parallel"),
    ends("sklearn-spawn", "scikit-learn: the same, method spawn", "sklearn_kmeans",
         "sklearn_kmeans", "spawn"),
    rust("rayon", "a rayon pool used in both", hangs("lost-thread"), function="rayon_core"),
    rust("rayon-install", "the same, the child has a pool of its own that is idle",
         hangs("lost-thread", probable=OTHERS), threads=3, function="rayon_core"),
    rust("mutex", "std::sync::Mutex", hangs("orphaned-lock", "MUTEX", probable=NO_OWNER)),
    rust("rwlock", "std::sync::RwLock", hangs("orphaned-lock", "RWLOCK", probable=NO_OWNER)),
    rust("parking_lot", "parking_lot::Mutex", hangs("orphaned-lock lost-thread",
                                                   probable=NO_OWNER)),
    rust("condvar", "std::sync::Condvar, of which no thread knows", hangs(
        "lost-thread", "DONE", probable="nothing shows that a thread was to notify it")),
    rust("once", "std::sync::Once", hangs("orphaned-lock lost-thread", "ONCE", probable=NO_OWNER)),
    rust("own-pool", "the child's own rayon pool is idle, it reads a pipe", waits("waiting"),
         threads=3),
    rust("own-pool-works", "the child waits for its own rayon pool, which sleeps",
         waits("waiting"), threads=3),
    rust("own-thread", "the child waits on a Condvar, its own thread sleeps", waits("waiting"),
         threads=2),
    openmp("region", "a parallel region in both", hangs("lost-thread")),
    openmp("lock", "omp_set_lock, another thread has it", hangs("orphaned-lock", "table_lock",
                                                               probable=NO_OWNER)),
    openmp("critical", "a critical section another thread is in",
           hangs("orphaned-lock", probable=NO_OWNER)),
    openmp("own-region", "the child's own team waits for its master", waits("waiting"), threads=3),
    openmp("own-idle", "the child's own team is idle", waits("waiting"), threads=4, module=""),
    ThirdParty("go-shared", "a Go library in a C program, used in both", "go",
               ("{folder}/go_fork",), hangs("runtime-not-forkable lost-thread",
                                            probable="the Go runtime catches all signals"),
               module="libwork.so"),
    ThirdParty("go-idle", "a Go program, idle", "go", ("{folder}/go_idle",),
               waits("waiting", "unknown")),
    ThirdParty("gunicorn", "gunicorn, three forked workers, idle", "python",
               ("{folder}/python/bin/gunicorn", "--chdir", "{programs}", "-b", "unix:{work}/socket",
                "-w", "3", "idle_application:application"), waits("waiting")),
    ThirdParty("gunicorn-threads", "gunicorn, two workers with threads, idle", "python",
               ("{folder}/python/bin/gunicorn", "--chdir", "{programs}", "-b", "unix:{work}/socket",
                "-w", "2", "--threads", "4", "idle_application:application"), waits("waiting")),
]
