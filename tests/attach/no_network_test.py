"""attach and scan answer at once where DEBUGINFOD_URLS names a server that never answers: they do not
ask it.

usage: no_network_test.py FORKSCOPE PROGRAMS
"""

import os
import pathlib
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "real"))

# pylint: disable=wrong-import-position
import targets
from observe import check, main, patience


def was_asked(server):
    server.settimeout(0)
    try:
        server.accept()[0].close()
        return True
    except BlockingIOError:
        return False


def test(forkscope, programs):
    server = socket.create_server(("127.0.0.1", 0))
    environment = dict(os.environ, DEBUGINFOD_URLS=f"http://127.0.0.1:{server.getsockname()[1]}",
                       DEBUGINFOD_TIMEOUT="1", DEBUGINFOD_CACHE_PATH="/nonexistent")
    pid = targets.Started([pathlib.Path(programs) / "hangs_in_forked_child", "simple"]).targets()[0]
    targets.blocked(pid)

    def run(*words):
        return subprocess.run([forkscope, *words], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=max(patience(), 1), check=False, env=environment)

    for words in (("attach", str(pid)), ("attach", "--stacks", str(pid)), ("scan",)):
        done = run(*words)
        check(done.returncode == 86, f"{words}: {done.returncode}: {done.stdout}{done.stderr}")
        check(not was_asked(server), f"{words} asked the network")


if __name__ == "__main__":
    main(test)
