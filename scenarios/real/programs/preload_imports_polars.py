"""For the server process of forkserver: importing Polars starts no threads."""

import polars  # noqa: F401
