"""For the server process of forkserver: a module that uses Polars while it is imported, so that the
server has threads, which none of the processes forked from it gets."""

import polars

SETTINGS = polars.DataFrame({"a": list(range(1000))}).filter(polars.col("a") > 0)
