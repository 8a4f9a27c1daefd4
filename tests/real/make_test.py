"""make -j4 builds a program from libraries in folders of their own, with recursive make and gcc:
the same files come out as without forkscope, byte for byte, and forkscope is silent.

usage: make_test.py FORKSCOPE
"""

import hashlib

from observe import Program, check, check_equal, check_same, check_silent, main, need, run_both

LIBRARIES = ("red", "green", "blue")
SOURCES = 5  # of each library

TOP = """\
LIBRARIES = {libraries}
all: program check
$(LIBRARIES):
\t+@$(MAKE) -C $@
program: main.c $(LIBRARIES)
\t$(CC) $(CFLAGS) -o $@ main.c $(foreach l,$(LIBRARIES),$(l)/lib$(l).a)
check: program
\t./program | grep -c . && ./program
fail: all
\t@echo "$(shell echo computed by the shell)"; exit 3
.PHONY: all check fail $(LIBRARIES)
"""

LIBRARY = """\
OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))
lib{name}.a: $(OBJECTS)
\t$(AR) rc $@ $(sort $^)
%.o: %.c
\t$(CC) -pipe $(CFLAGS) -c -o $@ $<
"""


def write_sources(folder):
    (folder / "Makefile").write_text(TOP.format(libraries=" ".join(LIBRARIES)))
    names = []
    for library in LIBRARIES:
        (folder / library).mkdir()
        (folder / library / "Makefile").write_text(LIBRARY.format(name=library))
        for number in range(SOURCES):
            name = f"{library}_{number}"
            names.append(name)
            (folder / library / f"{name}.c").write_text(
                f"#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n"
                f"int {name}(int x) {{ return printf(\"{name} %d\\n\", x + {number}); }}\n")
    (folder / "main.c").write_text(
        "".join(f"int {name}(int);\n" for name in names) + "int main(void) {\n" +
        "".join(f"  {name}({value});\n" for value, name in enumerate(names)) + "  return 0;\n}\n")


def run(folder, forkscope):
    write_sources(folder)
    ended = Program(["make", "-j4", "CFLAGS=-O1 -g", "fail"], folder, forkscope).end()
    files = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
             for path in sorted(folder.rglob("*")) if path.is_file()}
    return ended, files


def test(forkscope):
    need("make", "cc", "ar")
    (bare, bare_files), (observed, files) = run_both(forkscope, run)
    check_equal(bare.status, 2, f"exit status of the bare program: {bare}")
    objects = [name for name in bare_files if name.endswith(".o")]
    check_equal(len(objects), len(LIBRARIES) * SOURCES, f"objects that were built: {bare}")
    check("program" in bare_files, f"no program was built: {bare}")
    check("computed by the shell" in bare.output.splitlines(), f"$(shell) did not run: {bare}")
    # Four at a time: in what order they print is left to chance.
    check_same(bare, observed, lambda text: sorted(text.splitlines()))
    check_equal(files, bare_files, "files after the observed build")
    check_silent(observed)
    # Each compilation is a driver and at least a compiler and an assembler.
    check(observed.report["summary"]["execed"] >= 3 * len(objects),
          f"only {observed.report['summary']['execed']} programs were seen to start")


main(test)
