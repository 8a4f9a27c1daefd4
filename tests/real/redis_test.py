"""Redis forks to write its snapshot and its log while redis-benchmark keeps it busy, and while its
background threads wait on their mutexes and conditions: it does what it does alone, and forkscope
is silent.

usage: redis_test.py FORKSCOPE
"""

import contextlib
import re
import socket
import subprocess

from observe import (Program, check, check_equal, check_silent, main, need, patience,
                     run_both, until)

SAVES, REWRITES = 4, 2
LOG_LINE = re.compile(r"$|\d+:[A-Z] \d+ \w+ \d+ ")
COMMANDS_BETWEEN = 200  # the benchmark's, before each save


class Client:
    """Speaks just enough of the protocol. Replies are str, int or None."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(patience())
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._replies = self._socket.makefile("rb")

    def close(self):
        self._replies.close()
        self._socket.close()

    def send(self, *words):
        message = b"*%d\r\n" % len(words)
        for word in map(str.encode, words):
            message += b"$%d\r\n%s\r\n" % (len(word), word)
        self._socket.sendall(message)

    def reply(self):
        line = self._replies.readline().rstrip().decode()
        if not line:
            return None
        kind, rest = line[0], line[1:]
        if kind == "$":
            size = int(rest)
            return None if size < 0 else self._replies.read(size + 2)[:-2].decode()
        return int(rest) if kind == ":" else line

    def ask(self, *words):
        self.send(*words)
        return self.reply()

    def number(self, section, name):
        return int(re.search(rf"^{name}:(\d+)\r?$", self.ask("INFO", section), re.M)[1])


def connected(server, path):
    def attempt():
        server.check_runs()
        with contextlib.suppress(OSError):
            return Client(path)
        return None
    return until(attempt, "the server listens")


def save(client, command, running):
    """One fork, with the benchmark at work, until its child is done."""
    before = client.number("stats", "total_commands_processed")
    until(lambda: client.number("stats", "total_commands_processed") > before + COMMANDS_BETWEEN,
          "the benchmark keeps the server busy")
    reply = client.ask(command)
    until(lambda: client.number("persistence", running) == 0, f"{command} ends")
    return reply


def use(client):
    """Everything whose outcome does not depend on the benchmark."""
    said = [client.ask("SET", "fixed", "value")]
    for _ in range(SAVES):
        said += [save(client, "BGSAVE", "rdb_bgsave_in_progress"),
                 client.ask("INFO", "persistence").count("rdb_last_bgsave_status:ok")]
    for _ in range(REWRITES):
        said += [save(client, "BGREWRITEAOF", "aof_rewrite_in_progress"),
                 client.ask("INFO", "persistence").count("aof_last_bgrewrite_status:ok")]
    return said + [client.ask("GET", "fixed")]


def session(server_path, benchmark_path, check_path):
    def run(folder, forkscope):
        # Relative: a socket's path must be short.
        server = Program([server_path, "--port", "0", "--unixsocket", "redis.sock", "--save", "",
                          "--appendonly", "no", "--dir", folder, "--daemonize", "no"],
                         folder, forkscope)
        client = connected(server, folder / "redis.sock")
        benchmark = subprocess.Popen(
            [benchmark_path, "-s", str(folder / "redis.sock"), "-t", "set,get,lpush,hset", "-l",
             "-c", "8", "-n", "5000", "-r", "1000", "-q"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            said = use(client)
            check(benchmark.poll() is None, "the benchmark ended by itself")
        finally:
            benchmark.kill()
            benchmark.wait()
        client.send("SHUTDOWN", "NOSAVE")
        check_equal(client.reply(), None, "reply to SHUTDOWN")
        client.close()
        ended = server.end()
        snapshot = subprocess.run([check_path, folder / "dump.rdb"], stdin=subprocess.DEVNULL,
                                  capture_output=True, check=False)
        said.append(("check of the snapshot", snapshot.returncode))
        return ended, said
    return run


def test(forkscope):
    paths = need("redis-server", "redis-benchmark", "redis-check-rdb")
    (bare, bare_said), (observed, said) = run_both(forkscope, session(*paths))
    check_equal(bare_said, ["+OK"] + ["+Background saving started", 1] * SAVES +
                ["+Background append only file rewriting started", 1] * REWRITES +
                ["value", ("check of the snapshot", 0)], "replies of the bare server")
    check_equal(said, bare_said, "replies of the observed server")
    check_equal((bare.status, observed.status), (0, 0), "exit status, bare and observed")
    check_equal(observed.errors, bare.errors, "standard error of the observed server")
    # Its log, with times and process numbers in it.
    for words in ("Background saving terminated with success",
                  "Background AOF rewrite terminated with success"):
        check_equal(observed.output.count(words), bare.output.count(words), f"log: {words}")
    extra = [line for line in observed.output.splitlines() if not LOG_LINE.match(line)]
    check_equal(extra, [], "output that is not the server's log")
    check_silent(observed)
    check_equal([(f["api"], f["outcome"], f["status"]) for f in observed.forks()],
                [("fork", "exit", 0)] * (SAVES + REWRITES), "forks")
    threads = min(f["threads_total"] for f in observed.forks())
    check(threads > 1, "the server had no background threads when it forked")


main(test)
