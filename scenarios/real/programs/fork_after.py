"""Uses a library, starts a process by a method of multiprocessing, and uses the library there:
fork_after.py BEFORE AFTER METHOD FOLDER. BEFORE and AFTER are names of functions here. The second
process prints "target PID" first and "done" at the end.
"""

import multiprocessing
import os
import sys

# libgomp's threads sleep at once, and wait in no loop, which takes long on a busy machine.
os.environ["OMP_WAIT_POLICY"] = "passive"

FOLDER = sys.argv[-1]
PARQUET = os.path.join(FOLDER, "table.parquet")
CSV = os.path.join(FOLDER, "table.csv")
KEPT = None  # what a library made before the fork


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


def polars_filter():
    """No file at all: a frame in memory."""
    return frame().filter(polars().col("a") > 5).height


def polars_keep():
    """A frame that was read, for polars_height() in the child."""
    global KEPT
    KEPT = polars().read_parquet(PARQUET)


def polars_height():
    return KEPT.height


def polars_scan_open_file():
    """As polars issue 24162 has it: the file is open, and the whole of it is collected."""
    with open(PARQUET, "rb") as file:
        return polars().scan_parquet(file).collect().height


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


def duckdb_connect():
    import duckdb
    return duckdb.connect(config={"threads": 4})


def duckdb_sum(connection):
    return connection.execute("SELECT sum(length), count(*) FROM (SELECT i % 1000 AS g, "
                              "count(*) AS length FROM range(2000000) t(i) GROUP BY g)").fetchall()


def duckdb_keep():
    """A connection that has used its threads, for the child."""
    global KEPT
    KEPT = duckdb_connect()
    duckdb_sum(KEPT)


def duckdb_query():
    return duckdb_sum(KEPT)


def duckdb_own():
    """A database of the child's own; the inherited one is left alone."""
    own = duckdb_connect()
    duckdb_sum(own)
    own.close()


def duckdb_close():
    """The inherited one is closed, as happens when the last reference to it goes."""
    KEPT.close()


def opencv_blur():
    import cv2
    import numpy
    cv2.setNumThreads(4)
    image = numpy.full((2000, 2000, 3), 7, numpy.uint8)
    return cv2.resize(cv2.GaussianBlur(image, (9, 9), 3), (1000, 1000)).mean()


def opencv_one_thread():
    """What OpenCV's users are told to do in workers."""
    import cv2
    cv2.setNumThreads(0)


def tokenizers_encode():
    from tokenizers import Tokenizer, models, pre_tokenizers
    words = {word: number for number, word in enumerate("a b c d [UNK]".split())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return len(tokenizer.encode_batch(["a b c d a b c d"] * 5000))


def tokenizers_parallel():
    """The setting that its users know; without it the library turns itself down after a fork."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"


def torch_multiply():
    import torch
    torch.set_num_threads(4)
    return float(torch.rand(2_000_000).exp().sum())


def torch_one_thread():
    """What torch's own DataLoader does in each worker."""
    import torch
    torch.set_num_threads(1)
    return float(torch.rand(2_000_000).exp().sum())


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
