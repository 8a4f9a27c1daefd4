"""What the example of the Polars user guide's page on multiprocessing does, in its form of 2026: a
frame is read from a Parquet file (or, `made`, only made in memory), and five processes filter it,
one after the other: polars_guide.py read|made METHOD FOLDER.
"""

import multiprocessing
import os
import sys

import polars as pl


def keep_positive(frame, job):
    kept = frame.filter(pl.col("a") > 0)
    print(f"job {job}: {kept.height} rows", flush=True)


def made():
    return pl.DataFrame({"a": [0, 2, 3, 4, 5], "b": [0, 4, 5, 56, 4]})


def main(origin, method, folder):
    if origin == "read":
        path = os.path.join(folder, "test.parquet")
        made().write_parquet(path)
        frame = pl.read_parquet(path)
    else:
        frame = made()
    for job in range(5):
        process = multiprocessing.get_context(method).Process(target=keep_positive,
                                                              args=(frame, job))
        process.start()
        process.join()
    sys.exit(process.exitcode)


if __name__ == "__main__":
    main(*sys.argv[1:])
