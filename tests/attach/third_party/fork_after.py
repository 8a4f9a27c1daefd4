"""Uses a library, starts a process by a method of multiprocessing, and uses the library there:
fork_after.py BEFORE AFTER METHOD FOLDER. BEFORE and AFTER are names of functions here. The second
process prints "target PID" first and "done" at the end.
"""

import multiprocessing
import os
import sys

# libgomp's threads sleep at once where they would wait in a loop for a while, on a busy machine for long.
os.environ["OMP_WAIT_POLICY"] = "passive"

FOLDER = sys.argv[-1]
PARQUET = os.path.join(FOLDER, "table.parquet")
CSV = os.path.join(FOLDER, "table.csv")


def polars():
    import polars as module
    return module


def frame():
    return polars().DataFrame({"a": list(range(200_000))})


def polars_make():
    """The files the others read; also what most programs have done before they fork."""
    frame().write_csv(CSV)
    frame().write_parquet(PARQUET)


def polars_read_parquet():
    """The example of the user guide's page on multiprocessing."""
    return polars().read_parquet(PARQUET).filter(polars().col("a") > 5).height


def polars_scan_parquet():
    return polars().scan_parquet(PARQUET).filter(polars().col("a") > 5).collect().height


def polars_streaming():
    plan = polars().scan_parquet(PARQUET).filter(polars().col("a") > 5)
    return plan.collect(engine="streaming").height


def polars_read_csv():
    return polars().read_csv(CSV).height


def polars_write_parquet():
    frame().write_parquet(f"{PARQUET}.{os.getpid()}")


def polars_sort():
    """Rayon alone."""
    return polars().DataFrame({"a": list(range(2_000_000))}).sort("a", descending=True).height


def polars_group_by():
    return frame().group_by(polars().col("a") % 7).len().height


def polars_slow_function():
    """Waits for a worker of this very process, which sleeps."""
    import time
    plan = frame().lazy().select(polars().col("a").map_batches(lambda _: time.sleep(3600)))
    polars().collect_all([plan, plan])


def start_thread():
    """A thread that has nothing to do with any library."""
    import threading
    threading.Thread(target=then_wait, daemon=True).start()


def pyarrow_read():
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet
    path = os.path.join(FOLDER, "arrow.parquet")
    if not os.path.exists(path):
        columns = {name: list(range(200_000)) for name in "abc"}
        pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=10_000)
    table = pyarrow.parquet.read_table(path)
    return table.group_by("a").aggregate([("b", "sum")]).num_rows


def numpy_multiply():
    import numpy
    matrix = numpy.random.rand(600, 600)
    return float((matrix @ matrix).sum())


def sklearn_kmeans():
    import numpy
    from sklearn.cluster import KMeans
    return KMeans(4, n_init=1).fit(numpy.random.rand(20_000, 8)).inertia_


def then_wait():
    """Nothing of the library: the process reads a pipe."""
    os.read(os.pipe()[0], 1)


def child(names):
    os.write(1, f"target {os.getpid()}\n".encode())
    for name in names.split("+"):
        globals()[name]()
    os.write(1, b"done\n")


def main():
    before, after, method = sys.argv[1:4]
    for name in before.split("+"):
        globals()[name]()
    process = multiprocessing.get_context(method).Process(target=child, args=(after,))
    process.start()
    process.join()
    sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
