"""Small programs in C at the edges of what a preloaded library may meet, each built by the test and
run bare, under `forkscope run` and under plain LD_PRELOAD: three times the same, and nothing found.

usage: lore_test.py FORKSCOPE CASE ARGS...   (the functions below whose names begin with case_)
"""

import pathlib
import re
import subprocess

from compare import library_of
from observe import (Program, Skipped, check, check_equal, check_lucky, check_same, check_silent, main, need,
                     run_both, work_folder)

SOURCES = pathlib.Path(__file__).resolve().parent / "lore"
LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
OTHERS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4",
          "faketime": "faketime/libfaketimeMT.so.1"}
FAKETIME = {"FAKETIME": "@2001-01-01 00:00:00", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def build(source, target, *flags, compiler="gcc"):
    path, = need(compiler)
    made = subprocess.run([path, "-O1", "-g", "-pthread", *flags, "-o", target, SOURCES / source],
                          capture_output=True, text=True, check=False)
    if re.search(r"cannot find \S*(libclang_rt|lib[at]san)", made.stderr):
        raise Skipped(f"{compiler} has no run-time library for {' '.join(flags)} here")
    check_equal(made.returncode, 0, f"{compiler} {source}: {made.stderr}")


class Three:
    """The same program bare, under the command, and preloaded: `errors` may differ in nothing that
    is not forkscope's."""

    def __init__(self, forkscope, program, arguments=(), environment=None, preload=None):
        """`preload`: the value of LD_PRELOAD, where {shim} stands for the library. The bare program
        has only the others; the command puts the library before them, whatever the order."""
        environment = environment or {}
        shim = str(library_of(forkscope))
        others = [word for word in (preload or "{shim}").split(":") if word != "{shim}"]
        alone = {"LD_PRELOAD": ":".join(others)} if others else {}

        def session(folder, command):
            return Program([program, *arguments], folder, command, {**environment, **alone}).end()

        self.bare, self.observed = run_both(forkscope, session)
        with work_folder() as folder:
            order = (preload or "{shim}").replace("{shim}", shim)
            self.preloaded = Program(["/usr/bin/env", f"LD_PRELOAD={order}", program, *arguments],
                                     folder, None, environment).end()

    def check(self, last_line, unknown_ends=0, lucky=None):
        """Silent, but for children whose end nobody reported."""
        check_equal((self.bare.status, self.bare.errors), (0, []), f"the bare program: {self.bare}")
        lines = self.bare.output.splitlines()
        check(lines and lines[-1] == last_line, f"the bare program's last line: {self.bare}")
        check_same(self.bare, self.observed)
        check_same(self.bare, self.preloaded)
        check_equal(self.preloaded.own, [], "what the library said without the command")
        summary = self.observed.report["summary"]
        check_equal(summary["unknown"], unknown_ends, "children with unknown end")
        summary["unknown"] = 0
        check_lucky(self.observed, lucky) if lucky else check_silent(self.observed)


def case_other_library(forkscope, folder, name, order):
    library = LIBRARIES / OTHERS[name]
    if not library.exists():
        raise Skipped(f"{library} is not installed")
    build("busy.c", folder / "busy")
    preload = ":".join([str(library), "{shim}"] if order == "first" else ["{shim}", str(library)])
    three = Three(forkscope, folder / "busy", environment=FAKETIME if name == "faketime" else {},
                  preload=preload)
    three.check("40 of 40 children ended well")
    check_equal(len(three.observed.forks("fork")), 40, "forks")


def case_static_sanitizer(forkscope, folder, compiler, name):
    """Its interceptors are in the program, before every library."""
    flags = [f"-fsanitize={name}"]
    if compiler == "gcc":
        flags += ["-static-libasan" if name == "address" else "-static-libtsan"]
    build("busy.c", folder / "busy", "-DNO_HEAP", *flags, compiler=compiler)
    Three(forkscope, folder / "busy").check("40 of 40 children ended well")


def case_shared_tsan(forkscope, folder):
    """The library comes first in the list: what it forwards must reach the runtime's interceptors,
    all of it, or the runtime sees a lock without its unlock and reports races that are none."""
    build("busy.c", folder / "busy", "-DNO_HEAP", "-fsanitize=thread")
    Three(forkscope, folder / "busy").check("40 of 40 children ended well")


def build_asan(compiler, folder, source, *flags):
    """The path of the program, linked with the shared runtime. clang's is not on the loader's path;
    a program that is to run with another environment needs it in its own."""
    if compiler == "clang":
        runtime = printed(compiler, "-print-file-name=libclang_rt.asan-x86_64.so").parent
        flags = [*flags, "-shared-libasan", f"-Wl,-rpath,{runtime}"]
    program = folder / pathlib.Path(source).stem
    build(source, program, "-fsanitize=address", *flags, compiler=compiler)
    return program


def printed(compiler, question):
    path, = need(compiler)
    return pathlib.Path(subprocess.run([path, question], capture_output=True, text=True,
                                       check=True).stdout.strip())


def comparable(lines):
    """What a sanitizer says, but for what differs from run to run and for frames of the library."""
    lines = [line for line in lines if not re.search(r"libforkscope|preload/\w+\.cpp", line)]
    return [re.sub(r"==\d+==|0x[0-9a-f]+|^ +#\d+", "", line) for line in lines]


def case_shared_asan(forkscope, folder, compiler):
    """AddressSanitizer's runtime wants to be the first library, and finds itself so."""
    program = build_asan(compiler, folder, "busy.c", "-DNO_HEAP")
    three = Three(forkscope, program)
    three.check("40 of 40 children ended well")
    check_equal(len(three.observed.forks("fork")), 40, "forks")


def case_shared_asan_preloaded(forkscope, folder, order):
    """The user preloads the runtime, as one must for a plug-in that was built with it."""
    build("busy.c", folder / "busy", "-DNO_HEAP")
    runtime = printed("gcc", "-print-file-name=libasan.so").resolve()
    preload = ":".join([str(runtime), "{shim}"] if order == "first" else ["{shim}", str(runtime)])
    Three(forkscope, folder / "busy", preload=preload).check("40 of 40 children ended well")


def case_shared_asan_is_not_first(forkscope, folder):
    """Where it refuses to run alone, because of another library, it refuses observed as well."""
    program = build_asan("gcc", folder, "busy.c", "-DNO_HEAP")
    build("wrappers.c", folder / "other.so", "-shared", "-fPIC")
    three = Three(forkscope, program, preload=f"{{shim}}:{folder / 'other.so'}")
    for ended in (three.bare, three.observed, three.preloaded):
        check_equal((ended.status, ended.output), (1, ""), f"the program: {ended}")
        check("ASan runtime does not come first" in "".join(ended.errors), f"refusal: {ended}")


def case_shared_asan_tree(forkscope, folder, order):
    """Programs with the runtime, without it and, where it says so, static ones start each other. A
    static one passes its environment on as the library never sees."""
    asan = build_asan("gcc", folder, "starter.c")
    busy = build_asan("gcc", folder, "busy.c", "-DNO_HEAP")
    build("starter.c", folder / "plain")
    if order == "shell":
        words = ["/bin/sh", "-c", f"{asan} spawn /bin/true && {asan} fork /bin/true && "
                                  f"{asan} system /bin/true && {busy}"]
        expected = {"posix_spawn": 1, "system": 1}
    elif order == "spawn":
        words = [folder / "plain", "spawn", asan, "spawn", folder / "plain", "fork", busy]
        expected = {"posix_spawn": 2, "fork": 41}
    else:
        build("starter.c", folder / "static", "-static")
        words = ["/usr/bin/env", folder / "static", "system", f"exec {busy}"]
        expected = {"fork": 40}
    three = Three(forkscope, words[0], words[1:])
    check_equal((three.bare.status, three.bare.errors), (0, []), f"the bare tree: {three.bare}")
    check_equal(three.bare.output, "40 of 40 children ended well\n", "output of the bare tree")
    check_same(three.bare, three.observed)
    check_same(three.bare, three.preloaded)
    check_equal(three.observed.findings("deadlock", "latent"), [], "findings")
    for api, count in expected.items():
        check_equal(len(three.observed.forks(api)), count, f"calls of {api} that were seen")
    not_observed = [each["reason"] for each in three.observed.report["not_observed"]]
    check_equal(not_observed, ["is statically linked"] if order == "static" else [],
                "not observed")


def case_shared_asan_leak(forkscope, folder, compiler):
    """The leak check at exit walks the libraries and the threads' memory: it finds the leak, all of
    it, and nothing else."""
    program = build_asan(compiler, folder, "leaks.c")
    three = Three(forkscope, program)
    if "LeakSanitizer has encountered a fatal error" in "".join(three.bare.errors):
        raise Skipped("LeakSanitizer may not stop threads here")
    check("Direct leak of 7 byte(s) in 1 object(s)" in "\n".join(three.bare.errors),
          f"the bare program: {three.bare}")
    check_same_report(three)


def case_shared_asan_error(forkscope, folder, compiler):
    """The place of an error, and the stack by which its thread was created."""
    program = build_asan(compiler, folder, "freed.c")
    three = Three(forkscope, program)
    errors = "\n".join(three.bare.errors)
    check("heap-use-after-free" in errors and re.search(r"created by T0 here:(\n +#.*)* in main ",
                                                        errors), f"the bare program: {three.bare}")
    check_same_report(three)


def check_same_report(three):
    for ended in (three.observed, three.preloaded):
        check_equal((ended.status, ended.output), (three.bare.status, three.bare.output), "ended")
        check_equal("\n".join(comparable(ended.errors)),
                    "\n".join(comparable(three.bare.errors)), "what the sanitizer said")


def case_shared_asan_deadlock(forkscope, folder, compiler):
    """The runtime's interceptors are between the library and libc: the lock, its holder and all
    three places are named as ever."""
    program = build_asan(compiler, folder, "orphan.c")
    with work_folder() as empty:
        ended = Program([program], empty, forkscope,
                        {"FORKSCOPE_OPTIONS": "on_deadlock=exit:86"}).end()
    check_equal(ended.status, 86, f"status of the program: {ended}")
    found = ended.findings("deadlock")
    check_equal([each["kind"] for each in found], ["orphaned-lock"], "deadlocks")
    check_equal(found[0]["lock"]["symbol"], "g_resource", "lock")
    for what, frames, function in (("waiter", found[0]["waiter"]["stack"], "use_the_resource"),
                                   ("holder", found[0]["holder"]["acquired"], "hold_the_resource"),
                                   ("fork", found[0]["fork_stack"], "main")):
        check(function in [frame["function"] for frame in frames], f"stack of the {what}: {frames}")


def case_wrappers(forkscope, folder, where):
    """Wrappers without symbol versions, in the program itself or in another preloaded library that
    comes before or after ours: every call passes through all of them."""
    if where == "program":
        build("wrapped.c", folder / "wrapped", "-rdynamic", str(SOURCES / "wrappers.c"))
        preload = None
    else:
        build("wrapped.c", folder / "wrapped")
        build("wrappers.c", folder / "wrappers.so", "-shared", "-fPIC")
        other = str(folder / "wrappers.so")
        preload = ":".join([other, "{shim}"] if where == "first" else ["{shim}", other])
    Three(forkscope, folder / "wrapped", preload=preload).check(
        "counted: pthread_mutex_lock seen pthread_mutex_unlock seen pthread_cond_signal seen "
        "pthread_create seen fork seen waitpid seen pthread_cond_wait seen")


def case_deepbind(forkscope, folder):
    """What the object calls goes past every preloaded library: its fork is seen by the at-fork
    handlers, but not how its children end."""
    build("plugin.c", folder / "plugin.so", "-shared", "-fPIC")
    build("host.c", folder / "host")
    three = Three(forkscope, folder / "host", [folder / "plugin.so", "5", "d"])
    three.check("host: fork gave 0", unknown_ends=5)
    check_equal(len(three.observed.forks()), 10, "forks")


def case_unload(forkscope, folder, flags):
    build("plugin.c", folder / "plugin.so", "-shared", "-fPIC")
    build("host.c", folder / "host")
    three = Three(forkscope, folder / "host", [folder / "plugin.so", "5", flags])
    three.check("host: fork gave 0")
    check_equal(len(three.observed.forks("fork")), 10, "forks")


def case_moments(forkscope, folder):
    build("moments.c", folder / "moments")
    three = Three(forkscope, folder / "moments")
    three.check("lock in a destructor")
    check_equal(len(three.observed.forks("fork")), 30, "forks")


def case_thread_forks(forkscope, folder):
    build("thread_forks.c", folder / "thread_forks")
    three = Three(forkscope, folder / "thread_forks")
    three.check("40 of 40 families are complete")
    check_equal(len(three.observed.forks("fork")), 160, "forks")


def case_exec_storm(forkscope, folder):
    build("exec_storm.c", folder / "exec_storm")
    three = Three(forkscope, folder / "exec_storm", ["100"])
    three.check("process replaced itself 100 times; 100 of 100 programs ended well")
    check_equal([f["outcome"] for f in three.observed.forks("fork")], ["exec"] * 100, "forks")


def case_threads(forkscope, folder, count):
    build("threads.c", folder / "threads")
    three = Three(forkscope, folder / "threads", [count])
    if three.bare.status == 77:
        raise Skipped(three.bare.output)
    three.check(f"{2 * int(count)} threads, child status 0", lucky="g_lock")
    check_equal([f["threads_total"] for f in three.observed.forks("fork")], [int(count) + 1],
                "threads at the fork")


def test(forkscope, case, *arguments):
    with work_folder() as folder:
        globals()["case_" + case](forkscope, folder, *arguments)


if __name__ == "__main__":
    main(test)
