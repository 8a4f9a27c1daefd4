"""The ways of Python's own library to work in other processes: python_pools.py WAY METHOD FOLDER.
WAY is process, pool or executor. METHOD is a start method, or default (that of this version: fork
until 3.13, forkserver from 3.14 on), or preload-MODULE: forkserver, whose server process imports that
module of this folder first.
"""

import concurrent.futures
import multiprocessing
import os
import sys

# The server process of forkserver takes it from here only, and is silent when a module is missing.
os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))


def square(number):
    return number * number


def work_with_polars(number):
    import polars as pl
    return pl.DataFrame({"a": [number] * 1000}).filter(pl.col("a") >= 0).height


def by_process(context, work, count):
    processes = [context.Process(target=work, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def by_pool(context, work, count):
    with context.Pool(2) as pool:
        return pool.map(work, range(count))


def by_executor(context, work, count):
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        return list(pool.map(work, range(count)))


def main(way, method, _):
    work = square
    if method.startswith("preload-"):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([method.removeprefix("preload-")])
        work = work_with_polars
    else:
        context = multiprocessing.get_context(None if method == "default" else method)
    ways = {"process": by_process, "pool": by_pool, "executor": by_executor}
    print(context.get_start_method(), ways[way](context, work, 4))


if __name__ == "__main__":
    main(*sys.argv[1:])
