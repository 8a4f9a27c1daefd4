"""The labelled corpus: every case, how it is started, and what attach must answer.

GROUPS maps the name of a group to its cases. A case is started by a function of places.Places that
gives the PIDs to look at; see `Case`.
"""

import dataclasses
from typing import Callable

import servers
import starts
from answers import SILENT, Expected, hangs, waits


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    what: str  # a clause for the table
    start: Callable  # (places) -> PIDs
    expected: Expected
    quiet: bool = True  # nothing wakes any thread of it while it is looked at
    spins: bool = False  # its thread never sleeps: it shows where it is only with --stacks


# What cannot be seen from outside decides which answers are right.
NO_OWNER = "nothing in it says who holds it, or that it is used as a lock"
STALE = "whether the child tried to unlock it is not to be seen"
GONE = "the kernel refuses, and glibc waits for ever on a word of its own instead"
HANDLER = "whether its handler posts is not to be seen"
ALONE = "the forker's other threads may have ended before the fork: then nothing shows one"
SPIN = "a thread that runs may always stop running"
OTHERS = "the child has threads of its own, which could act"
PARKS = Expected(("probable", *SILENT),
                 why="nothing tells a wait on purpose from one for a thread that was lost")
INSIDE = "the process hangs in making a child, not as one: that takes the library to see"

# (scenario, method) that hang without help; the test `labels` compares the list with the programs'
# own descriptions.
SCENARIOS = {
    ("allocator-lock", "naive"): hangs("orphaned-lock"),
    ("atfork-inversion", "inverted"): waits("stuck", why=INSIDE),
    ("atfork-inversion", "registered-twice"): waits("stuck", why=INSIDE),
    ("atfork-late", "late"): hangs("orphaned-lock", "cache_lock"),
    ("barrier", "fork"): hangs("lost-thread", "step_done"),
    ("c11-threads", "fork"): hangs("orphaned-lock", "queue_lock"),
    ("c11-threads", "fork-cnd"): hangs("lost-thread", "job_done"),
    ("call-once", "underscore-fork"): hangs("orphaned-lock"),  # on the stack
    ("exit-teardown", "fork-exit"): hangs("lost-thread", lost="pool-0"),
    ("file-lock", "fork-wait-flock"): waits("waiting"),  # its parent may release it
    ("file-lock", "fork-wait-record"): waits("waiting"),
    ("fork-bypass", "handlers-skipped"): hangs("orphaned-lock"),
    ("fork-in-signal", "fork"): hangs("self-held-lock"),
    ("futex-lock", "fork"): hangs("lost-thread orphaned-lock", "cache_lock", why=NO_OWNER),
    ("inherited-waiters", "fork-broadcast"): hangs("lost-thread", "tickets_changed"),
    ("inherited-waiters", "fork-destroy"): hangs("lost-thread", "tickets_changed"),
    ("libc-locks", "localtime"): hangs("libc-lock"),
    ("libc-locks", "setenv"): hangs("libc-lock"),
    ("libc-locks", "getaddrinfo"): hangs("libc-lock"),
    ("libc-locks", "atexit"): hangs("libc-lock"),
    ("loader-list", "fork"): hangs("libc-lock"),
    ("logger-lock", "fork"): hangs("orphaned-lock"),
    ("lost-future", "fork"): hangs("lost-thread"),
    ("mutex-types", "recursive"): hangs("stale-owner self-held-lock", "account_lock", why=STALE),
    ("mutex-types", "errorcheck"): hangs("stale-owner self-held-lock", "account_lock", why=STALE),
    ("mutex-types", "robust"): hangs("stale-owner self-held-lock", "account_lock", why=STALE),
    ("mutex-types", "pi-holder-ended"): hangs("orphaned-lock lost-thread", why=GONE),
    ("mutex-types", "normal-relock"): hangs("self-held-lock", "account_lock"),
    ("nested-fork", "fork"): hangs("orphaned-lock"),
    ("openmp-region", "fork"): hangs("lost-thread"),
    ("parquet-lock", "fork"): hangs("orphaned-lock", "orders"),
    ("parquet-write", "fork"): hangs("orphaned-lock"),
    ("pipe-never-ends", "fork"): waits(),  # for data that may come: nothing of it is lost
    ("rwlock", "fork"): hangs("orphaned-lock", "prices_lock"),
    ("rwlock", "fork-writer-held"): hangs("orphaned-lock", "prices_lock"),
    ("rwlock", "fork-atfork-unlock"): hangs("stale-owner orphaned-lock", "prices_lock", why=STALE,
                                            stuck=ALONE),
    ("semaphore-lock", "fork"): hangs("orphaned-lock lost-thread", "session_lock", why=NO_OWNER),
    ("spinlock", "fork"): hangs("orphaned-lock lost-thread", probable=SPIN),
    ("static-local", "fork"): hangs("orphaned-lock", "only"),
    ("stdio-lock", "underscore-fork"): hangs("orphaned-lock libc-lock", why="it is both"),
    ("undrained-queue", "fork"): hangs("lost-thread", lost="sender-0"),
    ("worker-pool", "fork"): hangs("lost-thread"),
}

# Methods that end by themselves: their workers, caught while they live, are no deadlock.
ENDING_METHODS = (
    ("c11-threads", "spawn"), ("dontfork-memory", "spawn"), ("futex-lock", "spawn"),
    ("loader", "spawn"), ("mutex-types", "pshared"), ("parquet-lock", "spawn"),
    ("parquet-lock", "forkserver"), ("parquet-lock", "fork-without-read"), ("rwlock", "spawn"),
    ("rwlock", "fork-atfork"), ("semaphore-lock", "spawn"), ("semaphore-lock", "fork-signal-posts"),
    ("spinlock", "spawn"), ("worker-pool", "spawn"), ("worker-pool", "forkserver"),
    ("worker-pool", "fork-own-pool"))


def scenario(name, method, expected):
    return Case(f"{name}.{method}", f"scenario {name}, method {method}",
                starts.scenario(name, method), expected, quiet=name != "spinlock",
                spins=name == "spinlock")


def program(name, mode, what, expected, *words, threads=1, targets=1, quiet=True):
    return Case(f"{name}.{'-'.join([mode, *words])}", what,
                starts.program(name, mode, *words, threads=threads, count=targets, quiet=quiet),
                expected, quiet)


def python(mode, what, expected, targets=1, quiet=True):
    return Case(f"python.{mode}", what, starts.python(mode, targets, quiet), expected, quiet)


CHILD = "hangs_in_forked_child"
HUNG = [
    program(CHILD, "simple", "a mutex that a living thread of the parent holds",
            hangs("orphaned-lock", "cache_lock", "cache-filler", "cache-filler")),
    program(CHILD, "own-pool", "the same; the child has two idle threads of its own",
            hangs("orphaned-lock", "cache_lock", "cache-filler"), threads=3),
    program(CHILD, "chain", "the first thread waits for one that waits for the lost holder",
            hangs("orphaned-lock", "cache_lock", "cache-filler"), threads=2),
    program(CHILD, "joins-hung-thread", "the first thread joins one that hangs",
            hangs("orphaned-lock", "cache_lock", "cache-filler"), threads=2),
    program(CHILD, "grandchild", "the holder is a thread of the grandparent",
            hangs("orphaned-lock", "cache_lock", "cache-filler")),
    program(CHILD, "parent-gone", "the parent has ended", hangs("orphaned-lock", "cache_lock")),
    program(CHILD, "signal-handler", "the child catches a signal",
            hangs("orphaned-lock", "cache_lock", "cache-filler",
                  probable="a handler may do what it must not, and unlock it")),
    program(CHILD, "child-handler", "hangs in a child handler of pthread_atfork",
            hangs("atfork-handler orphaned-lock", "cache_lock", "cache-filler",
                  why="it is both")),
    program(CHILD, "lost-pool-own-pool", "a condition of a lost pool; idle threads of its own",
            hangs("lost-thread", "result_ready", lost="worker-0", probable=OTHERS), threads=3),
    program(CHILD, "all-threads", "three threads of the child hang on the same mutex",
            hangs("orphaned-lock", "cache_lock", "cache-filler"), threads=3),
    program(CHILD, "beside-a-server", "another thread of the child serves on",
            hangs("orphaned-lock", "cache_lock", "cache-filler"), threads=2),
    program(CHILD, "ownerless", "a lock that does not say who holds it",
            hangs("orphaned-lock", "font_lock", lost="font-loader")),
    program(CHILD, "ownerless-beside-a-server", "the same; another thread of the child serves on",
            hangs("orphaned-lock", "font_lock", lost="font-loader", probable=OTHERS), threads=2),
    program(CHILD, "ownerless-in-second-thread", "the same; the first thread serves on",
            hangs("orphaned-lock", "font_lock", lost="font-loader", probable=OTHERS), threads=2),
    *(program("hangs_in_libc", name, f"the lock inside {name}()", hangs("libc-lock"))
      for name in ("localtime", "setenv", "random", "dl_iterate_phdr", "setlocale",
                   "iconv_open")),
    python("thread-lock", "CPython: a threading.Lock that a lost thread has",
           hangs("orphaned-lock lost-thread", why=NO_OWNER,
                 probable="CPython catches SIGINT")),
    python("thread-lock-beside", "the same, beside a thread of the child that reads",
           hangs("orphaned-lock", why=NO_OWNER, probable=OTHERS)),
    python("thread-pool", "CPython: the result of a lost ThreadPoolExecutor",
           hangs("orphaned-lock lost-thread", why=NO_OWNER,
                 probable="CPython catches SIGINT")),
]

STUCK = [
    program(CHILD, "stuck-abba", "two threads have each other's mutex, nobody forked",
            waits("stuck"), threads=2),
    program(CHILD, "stuck-abba-forked", "the same in a forked child", waits("stuck"), threads=2),
    program(CHILD, "stuck-twice", "a thread locks a mutex twice, nobody forked", waits("stuck")),
    program(CHILD, "stuck-twice-forked", "the same in the child of a threaded process, which "
            "locked it first after the fork", waits("stuck")),
]

KERNEL = [program("waits_in_kernel", mode, what, waits("waiting")) for mode, what in {
    "accept": "accept", "recvfrom": "recvfrom", "epoll": "epoll_wait", "poll": "poll",
    "select": "select", "sleep": "nanosleep", "read-pipe": "read of a pipe",
    "read-terminal": "read of a terminal", "wait4": "wait4", "waitid": "waitid",
    "sigwait": "sigwait", "pause": "pause", "sigsuspend": "sigsuspend", "flock": "flock",
    "record-lock": "fcntl(F_SETLKW)", "vfork-child": "the child of a vfork",
    "seccomp": "read in strict seccomp mode"}.items()]
KERNEL += [
    program("waits_in_kernel", "sem-signal", "sem_wait, posted by a signal handler",
            waits("waiting", "unknown", why=HANDLER)),
    program("waits_in_kernel", "sem-signal-forked", "the same in a forked child of a process with "
            "one thread", waits("waiting", "unknown", why=HANDLER)),
    program("waits_in_kernel", "poll-again", "poll with a time limit, again and again",
            waits("waiting"), quiet=False),
    program("waits_in_kernel", "vfork-parent", "a parent in vfork: state D", waits("waiting")),
    program("waits_in_kernel", "stopped", "stopped by SIGSTOP", waits("waiting")),
    program("waits_in_kernel", "traced", "stopped by a debugger", waits("waiting", "unknown")),
    program("waits_in_kernel", "zombie", "a zombie", waits("ended")),
    Case("kernel-thread", "a kernel thread", starts.kernel_thread, waits("waiting", "unknown"),
         quiet=False),
    Case("vanished", "a process that ends while it is looked at", starts.vanishing, waits(),
         quiet=False),
]

OF_THREADS = {
    "pool-and-epoll": ("idle pool, epoll_wait", 4),
    "pool-and-join": ("idle pool, the first thread joins the event loop", 5),
    "pool-and-sigwait": ("idle pool, the first thread in sigwait", 4),
    "join-sleeper": ("joins a thread that sleeps", 2),
    "join-reader": ("joins a thread that reads", 2),
    "condition-of-reader": ("a condition, while a thread reads", 2),
    "semaphore-of-reader": ("a semaphore, while a thread reads", 2),
    "mutex-of-reader": ("a mutex of a thread that reads", 2),
    "rwlock-of-reader": ("a lock of a thread that reads", 2),
    "library-lock-of-reader": ("a lock without an owner word of a thread that reads", 2),
    "library-lock-of-first": ("the same; the first thread has it and reads, another one waits", 2),
    "once-of-reader": ("pthread_once of a thread that reads", 2),
    "barrier-with-reader": ("a barrier, while a thread reads", 2),
    "timed-condition": ("pthread_cond_timedwait", 1),
    "timed-semaphore": ("sem_timedwait", 1),
    "semaphore-of-handler": ("idle pool, a semaphore that a signal handler posts", 3),
}
THREADS = [program("waits_for_threads", mode, what,
                   waits("waiting", *(["unknown"] if "handler" in mode else [])), threads=threads)
           for mode, (what, threads) in OF_THREADS.items()]
THREADS.append(program("waits_for_threads", "thousand-threads", "a thousand threads",
                       waits("waiting"), threads=1000))
THREADS.append(program("waits_for_threads", "first-thread-ended", "the first thread has ended, "
                       "the others are an idle pool and an event loop", waits("waiting"),
                       threads=4))

FORKED = [program("waits_in_forked_child", mode, what, waits("waiting"), threads=threads)
          for mode, (what, threads) in OF_THREADS.items() if mode != "semaphore-of-handler"]
FORKED += [
    program("waits_in_forked_child", "semaphore-of-handler", "idle pool, a semaphore that a signal "
            "handler posts", waits("waiting", "unknown", why=HANDLER), threads=3),
    program("waits_in_forked_child", "read-pipe", "read of a pipe", waits("waiting")),
    program("waits_in_forked_child", "sleep", "nanosleep", waits("waiting")),
    program("waits_in_forked_child", "timer-thread", "a condition, while glibc's timer thread "
            "waits for the kernel", waits("waiting"), threads=2),
    program("waits_in_forked_child", "asynchronous-read", "aio_suspend, while glibc's thread reads",
            waits("waiting"), threads=2),
    program("waits_in_forked_child", "read-pipe", "read of a pipe, the parent has ended",
            waits("waiting"), "parent-ends"),
    program("waits_in_forked_child", "pool-and-epoll", "idle pool, epoll_wait, the parent has "
            "ended", waits("waiting"), "parent-ends", threads=4),
    program("waits_in_forked_child", "condition-of-reader", "a condition, while a thread reads, "
            "the parent has ended", waits("waiting"), "parent-ends", threads=2),
    program("waits_in_forked_child", "parks", "a raw futex of its own, for ever, on purpose", PARKS),
    program("waits_in_forked_child", "parks-in-condition", "the same in pthread_cond_wait", PARKS),
    program("waits_in_forked_child", "parks", "a raw futex of its own, the parent has ended", PARKS,
            "parent-ends"),
    program("waits_in_forked_child", "parks-until-signal", "a raw futex, until a signal handler "
            "ends it", waits("waiting", "unknown", why=HANDLER)),
    Case("waits_in_forked_child.computes", "uses a processor",
         starts.computing("waits_in_forked_child", "computes"), waits("running"), quiet=False),
    Case("waits_in_forked_child.condition-of-computer", "a condition, while a thread computes",
         starts.computing("waits_in_forked_child", "condition-of-computer"),
         waits("waiting", "running"), quiet=False),
    Case("stopped_forked_child", "read of a pipe, then stopped by SIGSTOP",
         starts.stopped(starts.program("waits_in_forked_child", "read-pipe")), waits("waiting")),
]

NOT_SEEN = waits("waiting", "unknown")
SHARED = [program("waits_for_processes", mode, what, NOT_SEEN) for mode, what in {
    "mutex-of-forker": "mutex in shared memory, held by the thread that forked",
    "mutex-of-other-thread": "mutex in shared memory, held by another thread of the parent",
    "mutex-of-sibling": "mutex in shared memory, held by a sibling",
    "rwlock": "read-write lock in shared memory, held by the parent",
    "condition": "condition variable in shared memory",
    "semaphore": "semaphore in shared memory",
    "barrier": "barrier in shared memory",
    "futex": "a raw futex in shared memory",
    "shared-memory-clone": "a private futex of a process cloned with CLONE_VM",
    "vfork-child": "a private mutex in the child of a vfork, held by a thread of its parent",
}.items()]

PYTHON = [
    python("idle-fork-pool", "workers of a multiprocessing.Pool, method fork", waits("waiting"), 3),
    python("idle-spawn-pool", "the same, method spawn", waits("waiting"), 3),
    python("idle-forkserver-pool", "the same, method forkserver", waits("waiting"), 3),
    python("forkserver", "the fork server itself", waits("waiting")),
    python("forked-executor", "child of a threaded process with an idle ThreadPoolExecutor",
           waits("waiting")),
    python("forked-executor-works", "the same, its first thread waits for one that sleeps",
           waits("waiting")),
    python("forked-join", "child of a threaded process joins its own thread, which accepts",
           waits("waiting")),
    python("prefork", "four children of a server in accept", waits("waiting"), 4),
    python("asyncio", "a forked asyncio server", waits("waiting")),
    python("event-until-signal", "a forked child in Event().wait() until SIGTERM", waits()),
    python("event-until-signal-threaded", "the same, the parent has a thread",
           Expected(("probable", *SILENT),
                    why="its handler may set the event; so might a thread that was lost")),
    python("own-lock-in-with", "a threading.Lock that a thread of the child has, in a `with`",
           waits("waiting")),
    python("own-lock-by-call", "the same, taken by a function that has returned", waits("waiting")),
    python("shared-lock", "children queue for a multiprocessing.Lock", waits("waiting"), 3),
    python("shared-queue", "children in multiprocessing.Queue.get", waits("waiting"), 2),
]

SERVERS = [
    Case("redis", "redis-server, idle", servers.redis, waits("waiting"), quiet=False),
    Case("nginx", "nginx, master and workers, idle", servers.nginx, waits("waiting"), quiet=False),
    Case("postgres", "PostgreSQL, idle: all its processes", servers.postgres, waits("waiting"),
         quiet=False),
    Case("node", "node, an idle server", servers.node, waits("waiting"), quiet=False),
    Case("ruby", "ruby, a forked child with threads, idle", servers.ruby, waits("waiting"),
         quiet=False),
]

OTHERS_THAN_GLIBC = [
    Case("musl", "musl: idle pool, the first thread joins", starts.built(
        ["musl-gcc"], "waits_for_threads", "pool-and-join", 5), waits("waiting", "unknown")),
    Case("musl-mutex", "musl: a mutex of a thread that reads", starts.built(
        ["musl-gcc"], "waits_for_threads", "mutex-of-reader", 2), waits("waiting", "unknown")),
    Case("musl-forked", "musl: forked child, a condition, while a thread reads", starts.built(
        ["musl-gcc"], "waits_in_forked_child", "condition-of-reader", 2),
        waits("waiting", "unknown")),
    Case("static-musl", "musl, static: idle pool, epoll_wait", starts.built(
        ["musl-gcc", "-static"], "waits_for_threads", "pool-and-epoll", 4),
        waits("waiting", "unknown")),
    Case("static", "static: idle pool, the first thread joins", starts.built(
        ["gcc", "-static"], "waits_for_threads", "pool-and-join", 5), waits("waiting")),
    Case("static-forked", "static: forked child, a condition, while a thread reads", starts.built(
        ["gcc", "-static"], "waits_in_forked_child", "condition-of-reader", 2), waits("waiting")),
    Case("static-hung", "static: hung on a mutex of the parent's thread", starts.built(
        ["gcc", "-static"], CHILD, "simple", 1),
        hangs("orphaned-lock", "cache_lock", "cache-filler")),
    Case("stripped-hung", "stripped: hung on a mutex of the parent's thread", starts.built(
        ["gcc", "-s"], CHILD, "simple", 1), hangs("orphaned-lock", "", "cache-filler")),
    Case("deleted-hung", "the file of the program is gone: hung on a mutex of the parent's thread",
         starts.deleted(CHILD, "simple"), hangs("orphaned-lock", "", "cache-filler")),
    Case("musl-hung", "musl: hung on a mutex of the parent's thread", starts.built(
        ["musl-gcc"], CHILD, "simple", 1),
        hangs("orphaned-lock", "cache_lock", lost="cache-filler")),
    Case("static-musl-hung", "musl, static: hung on a mutex of the parent's thread", starts.built(
        ["musl-gcc", "-static"], CHILD, "simple", 1),
        hangs("orphaned-lock", "cache_lock", lost="cache-filler")),
    Case("musl-forked-mutex", "musl: forked child, a mutex of a thread that reads", starts.built(
        ["musl-gcc"], "waits_in_forked_child", "mutex-of-reader", 2),
        waits("waiting", "unknown")),
    Case("32-bit", "32-bit: idle pool, epoll_wait", starts.built(
        ["gcc", "-m32"], "waits_for_threads", "pool-and-epoll", 4), waits("waiting", "unknown")),
    Case("namespaces", "in other PID and mount namespaces: idle pool",
         starts.in_namespaces("waits_in_forked_child", "pool-and-epoll", 4), waits("waiting")),
    Case("namespaces-hung", "in other PID and mount namespaces: hung",
         starts.in_namespaces(CHILD, "simple", 1),
         hangs("orphaned-lock", "cache_lock", "cache-filler")),
]

GROUPS = {
    "scenario": [scenario(*key, expected) for key, expected in SCENARIOS.items()],
    "hung": HUNG,
    "stuck": STUCK,
    "kernel": KERNEL,
    "threads": THREADS,
    "forked": FORKED,
    "shared": SHARED,
    "python": PYTHON,
    "server": SERVERS,
    "other": OTHERS_THAN_GLIBC,
    "ending": [Case(f"{name}.{method}", f"workers of scenario {name}, method {method}",
                    starts.ending(name, method), waits(), quiet=False)
               for name, method in ENDING_METHODS],
}
