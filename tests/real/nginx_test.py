"""nginx with two workers serves pages, starts new workers on SIGHUP, ends on SIGQUIT: as it does
alone, and forkscope is silent. Run by root, its workers change their user.

usage: nginx_test.py FORKSCOPE
"""

import contextlib
import os
import re
import signal
import socket

from observe import Program, check, check_equal, check_silent, main, need, patience, run_both, until

WORKERS = 2
PAGE = "the page\n"
CONFIGURATION = """\
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 64; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen unix:{folder}/nginx.sock;
    root {folder}/pages;
    add_header X-Worker $pid;
  }}
}}
"""


def get(folder, path):
    """Status line, worker and body."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience())
        connection.connect(str(folder / "nginx.sock"))
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().decode().partition("\r\n\r\n")
    worker = re.search(r"^X-Worker: (\d+)", head, re.M)
    return head.splitlines()[0], int(worker[1]) if worker else None, body


def started(server, folder):
    def attempt():
        server.check_runs()
        with contextlib.suppress(OSError, ValueError):
            return int((folder / "nginx.pid").read_text()) if get(folder, "/page.txt") else None
    return until(attempt, "the server serves")


def workers_of(master):
    with contextlib.suppress(OSError), open(f"/proc/{master}/task/{master}/children") as file:
        return {int(pid) for pid in file.read().split()}
    return set()


def reload(master, folder):
    """Until the old workers are gone and a new one serves."""
    old = until(lambda: len(workers := workers_of(master)) == WORKERS and workers,
                "all workers run")
    os.kill(master, signal.SIGHUP)
    until(lambda: not old & workers_of(master) and len(workers_of(master)) == WORKERS,
          "all workers are new")
    until(lambda: get(folder, "/page.txt")[1] not in old, "a new worker serves")


def session(nginx):
    def run(folder, forkscope):
        (folder / "pages").mkdir()
        (folder / "pages" / "page.txt").write_text(PAGE)
        configuration = folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, workers=WORKERS))
        server = Program([nginx, "-c", configuration, "-p", folder, "-e", folder / "error.log"],
                         folder, forkscope)
        master = started(server, folder)
        said = []
        for _ in range(2):
            said += [get(folder, path)[::2] for path in ["/page.txt", "/missing.txt"] * 10]
            reload(master, folder)
        said += [get(folder, "/page.txt")[::2]]
        os.kill(master, signal.SIGQUIT)
        ended = server.end()
        log = (folder / "error.log").read_text()
        check(not re.search(r"\[(error|crit|alert|emerg)\](?!.*missing\.txt)", log),
              f"the server's log:\n{log}")
        return ended, said, len(re.findall(r"worker process \d+ exited with code 0", log))
    return run


def test(forkscope):
    (bare, bare_said, bare_exits), (observed, said, exits) = run_both(
        forkscope, session(*need("nginx")))
    check_equal((bare_said[0], bare_said[-1], len(bare_said)),
                (("HTTP/1.1 200 OK", PAGE), ("HTTP/1.1 200 OK", PAGE), 41),
                "pages of the bare server")
    check_equal(said, bare_said, "pages of the observed server")
    check_equal((bare.status, bare.output, bare.errors), (0, "", []), "end of the bare server")
    check_equal((observed.status, observed.output, observed.errors), (0, "", []),
                "end of the observed server")
    check_equal((bare_exits, exits), (3 * WORKERS, 3 * WORKERS), "workers that exited, by the log")
    check_silent(observed)
    check_equal([(f["api"], f["outcome"], f["status"]) for f in observed.forks()],
                [("fork", "exit", 0)] * (3 * WORKERS), "forks")


main(test)
