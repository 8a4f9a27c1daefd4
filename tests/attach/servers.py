"""Servers as they are packaged, started and left alone: functions as those in starts.py."""

import os
import pwd
import socket
import subprocess
import time

import targets
from observe import need, until
from postgres_test import Cluster, programs as postgres_programs
from starts import PROGRAMS, wait_until_blocked


def _accepts(path):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def _whole_tree(pid, at_least):
    def settled():
        # Who served a client that has gone is about to end.
        first = targets.descendants(pid)
        time.sleep(0.2)
        return len(first) + 1 >= at_least and targets.descendants(pid) == first

    until(settled, f"{at_least} processes from {pid} downwards")
    return wait_until_blocked([pid, *targets.descendants(pid)], quiet=False)


def redis(places):
    server, *_ = need("redis-server")
    path = places.folder / "redis.sock"
    started = targets.Started([server, "--port", "0", "--unixsocket", path, "--save", "",
                               "--dir", places.folder])
    until(lambda: _accepts(path), "redis-server answers")
    return wait_until_blocked([started.pid], 2, quiet=False)


def nginx(places):
    server, *_ = need("nginx")
    path, folder = places.folder / "nginx.sock", places.folder
    places.folder.chmod(0o777)
    lines = ["daemon off;", "worker_processes 2;", f"pid {folder}/pid;", "error_log stderr;",
             "events { worker_connections 64; }",
             "http { access_log off; server { listen unix:%s; }" % path]
    for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        lines.append(f"{name}_temp_path {folder}/{name};")
    (folder / "conf").write_text("\n".join([*lines, "}"]))
    started = targets.Started([server, "-p", folder, "-c", folder / "conf"])
    until(lambda: _accepts(path), "nginx answers")
    return _whole_tree(started.pid, 3)


def postgres(places):
    """With one client that says nothing."""
    postgres_programs()
    folder = places.folder / "postgres"
    folder.mkdir()
    for above in (places.folder, *places.folder.parents[:1]):
        above.chmod(0o755)
    cluster = Cluster(folder, [])
    cluster.create()
    cluster.start()
    identity = {"user": pwd.getpwnam("nobody").pw_uid} if os.getuid() == 0 else {}
    subprocess.Popen([postgres_programs() / "psql", "-XAtq", "-h", folder, "-U", "tester",
                      "postgres"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder,
                     **identity)
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle'"
    until(lambda: cluster.ask(query) == "1", "a client is connected")
    return _whole_tree(cluster.postmaster(), 6)


def node(_):
    program, *_ = need("node")
    return wait_until_blocked(targets.Started([program, PROGRAMS / "idle.js"]).targets(), 4,
                              quiet=False)


def ruby(_):
    program, *_ = need("ruby")
    return wait_until_blocked(targets.Started([program, PROGRAMS / "idle.rb"]).targets(), 3,
                              quiet=False)
