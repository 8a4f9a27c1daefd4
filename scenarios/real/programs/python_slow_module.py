"""A module whose body takes its time, when the thread of python_locks.py imports it."""

import sys

if hasattr(sys.modules["__main__"], "inside"):
    sys.modules["__main__"].inside()
