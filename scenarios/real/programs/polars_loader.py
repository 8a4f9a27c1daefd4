"""What torch's DataLoader does, without torch: workers get indices from a queue each, read rows by
Polars, and put them into one queue: polars_loader.py METHOD FOLDER. The parent has read the file
before, for its length.
"""

import multiprocessing
import os
import sys

import polars as pl

WORKERS, BATCHES, ROWS = 2, 6, 100


class Rows:
    """A dataset: lazy, opened by whoever asks."""

    def __init__(self, path):
        self.path = path
        self.count = pl.scan_parquet(path).select(pl.len()).collect().item()

    def batch(self, number):
        rows = pl.scan_parquet(self.path).slice(number * ROWS, ROWS).collect()
        return rows["a"].sum()


def work(rows, indices, results):
    while (number := indices.get()) is not None:
        results.put(rows.batch(number))


def main(method, folder):
    path = os.path.join(folder, "rows.parquet")
    pl.DataFrame({"a": list(range(ROWS * BATCHES))}).write_parquet(path)
    rows = Rows(path)
    context = multiprocessing.get_context(method)
    results = context.Queue()
    queues = [context.Queue() for _ in range(WORKERS)]
    workers = [context.Process(target=work, args=(rows, queue, results), daemon=True)
               for queue in queues]
    for worker in workers:
        worker.start()
    for number in range(BATCHES):
        queues[number % WORKERS].put(number)
    sums = sorted(results.get() for _ in range(BATCHES))
    for queue in queues:
        queue.put(None)
    for worker in workers:
        worker.join()
    print(f"{rows.count} rows, sum {sum(sums)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
