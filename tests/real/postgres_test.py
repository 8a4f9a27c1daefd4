"""PostgreSQL creates a cluster, serves pgbench's transactions with eight clients, vacuums, loses a
server process and recovers, and forks a process for every connection: it does what it does alone,
its data is whole, and forkscope is silent.

usage: postgres_test.py FORKSCOPE [TRANSACTIONS_OF_A_CLIENT]
"""

import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

from compare import staged
from observe import (SEARCH_PATH, Skipped, check, check_equal, kill_children, main, patience, until)

ACCOUNT = "nobody"  # the server refuses to run as root
CLIENTS = 8
CHECK = ("SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM "
         "pgbench_history), (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(tbalance) "
         "FROM pgbench_tellers), (SELECT count(*) FROM pgbench_history)")


def programs():
    """The folder of the newest server that Debian installed."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                   key=lambda path: int(path.parts[4]))
    if not found or not (found[-1].parent / "initdb").exists():
        raise Skipped("postgresql is not installed")
    return found[-1].parent


class Cluster:
    """A server on a socket in `folder`; `prefix` goes before the server's command."""

    def __init__(self, folder, prefix):
        self._folder, self._prefix, self._bin = folder, prefix, programs()
        self._identity = {}
        if os.getuid() == 0:
            entry = pwd.getpwnam(ACCOUNT)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            self._identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._variables = {"PATH": SEARCH_PATH, "HOME": str(folder), "TMPDIR": str(folder),
                           "LC_ALL": "C.UTF-8", "TZ": "UTC", "PGHOST": str(folder),
                           "PGUSER": "tester", "PGDATABASE": "postgres"}
        self._server = None

    def call(self, program, *words, prefix=()):
        """Gives its standard output."""
        done = subprocess.run([*prefix, self._bin / program, *words], cwd=self._folder,
                              env=self._variables, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=max(patience(), 1), check=False, **self._identity)
        check_equal(done.returncode, 0, f"status of {program}: {done.stdout}{done.stderr}")
        return done.stdout

    def create(self, prefix=()):
        self.call("initdb", "-D", "data", "-U", "tester", "-A", "trust", "--no-sync",
                  prefix=prefix)

    def start(self):
        with open(self._folder / "log", "ab") as log:
            self._server = subprocess.Popen(
                [*self._prefix, self._bin / "postgres", "-D", "data", "-k", self._folder, "-c",
                 "listen_addresses=", "-c", "fsync=off", "-c", "autovacuum_naptime=1s"],
                cwd=self._folder, env=self._variables, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, **self._identity)
        ready = [self._bin / "pg_isready", "-q"]
        until(lambda: self.runs() and subprocess.run(ready, env=self._variables, check=False)
              .returncode == 0, "the server answers")

    def runs(self):
        check(self._server.poll() is None, f"the server has ended: {self.log()}")
        return True

    def log(self):
        return (self._folder / "log").read_text("utf-8", "replace")

    def postmaster(self):
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def crash(self):
        """The end of a server process makes all others end, and the postmaster start anew."""
        victim = int(self.ask("SELECT pid FROM pg_stat_activity WHERE backend_type = "
                              "'checkpointer'"))
        before = self.log().count("database system is ready")
        os.kill(victim, signal.SIGKILL)
        until(lambda: self.log().count("database system is ready") > before, "it recovers")

    def stop(self):
        """Gives its exit status."""
        os.kill(self.postmaster(), signal.SIGTERM)
        try:
            return self._server.wait(patience())
        except subprocess.TimeoutExpired:
            check(False, f"the server does not end: {self.log()}")

    def ask(self, query):
        return self.call("psql", "-XAtqc", query).strip()


def use(cluster, transactions):
    """What the server says to it all, without times."""
    def bench(*words):
        out = cluster.call("pgbench", "-n", *words)  # -n: else it empties the history
        return re.search(r"actually processed: (\d+/\d+)", out)[1]

    cluster.call("pgbench", "-i", "-s", "1", "-q")
    said = [bench("-c", str(CLIENTS), "-j", "2", "-t", str(transactions)),
            bench("-C", "-c", "4", "-j", "2", "-t", "15"),  # a process for each transaction
            bench("-S", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-t", str(transactions)),
            cluster.ask(CHECK)]
    cluster.ask("VACUUM (FULL, ANALYZE, PARALLEL 0) pgbench_accounts")
    cluster.ask("SET max_parallel_workers_per_gather = 4; SET min_parallel_table_scan_size = 0; "
                "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; "
                "SELECT count(*), sum(abalance % 7) FROM pgbench_accounts")
    cluster.crash()
    said += [cluster.ask(CHECK), bench("-c", "2", "-t", "20"), cluster.ask(CHECK)]
    return said


@contextlib.contextmanager
def folder_for_cluster():
    base = pathlib.Path(tempfile.mkdtemp(prefix="forkscope-pg-"))
    base.chmod(0o755)
    try:
        yield base
    finally:
        kill_children()
        shutil.rmtree(base, ignore_errors=True)


def session(forkscope, transactions):
    """(what it said, exit status, report or None)"""
    with folder_for_cluster() as folder:
        prefix = [] if forkscope is None else [forkscope, "run", "--json", folder / "report.json",
                                               "--"]
        of_init = [] if forkscope is None else [forkscope, "run", "--fail-on=deadlock,latent",
                                                "--quiet", "--"]
        cluster = Cluster(folder, prefix)
        cluster.create(of_init)
        cluster.start()
        said = use(cluster, transactions)
        status = cluster.stop()
        check("PANIC" not in cluster.log(), f"log of the server: {cluster.log()}")
        path = folder / "report.json"
        return said, status, json.loads(path.read_text()) if path.exists() else None


def test(forkscope, transactions="40"):
    programs()
    transactions = int(transactions)
    bare_said, bare_status, _ = session(None, transactions)
    with staged(forkscope) as command:
        said, status, report = session(command, transactions)
    rows = CLIENTS * transactions
    check_equal(bare_said, [f"{rows}/{rows}", "60/60", f"{rows}/{rows}", f"t|t|{rows + 60}",
                            f"t|t|{rows + 60}", "40/40", f"t|t|{rows + 100}"],
                "replies of the bare server")
    check_equal(said, bare_said, "replies of the observed server")
    check_equal((bare_status, status), (0, 0), "exit status, bare and observed")
    check(report is not None, "there is no JSON report")
    found = [f for f in report["findings"] if f["severity"] in ("deadlock", "latent")]
    check(not found, f"was found in PostgreSQL:\n{json.dumps(found, indent=1)}")
    summary = report["summary"]
    for name in ("deadlocked", "running", "dropped_records", "dropped_locks", "dropped_threads"):
        check_equal(summary[name], 0, f"summary: {name}")
    check(summary["forks"] > 80, f"only {summary['forks']} forks were seen")
    print(f"{summary['forks']} forks; {summary}")


if __name__ == "__main__":
    main(test)
