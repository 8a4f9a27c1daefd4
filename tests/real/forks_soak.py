"""A great many forks under `forkscope run`: what the observed process, its session folder and the
command itself hold after a tenth of them and at the end. What grows with the number of forks is
growth, and is printed as bytes a fork; the records of a session file may grow until it is full, and
the report then says how many are missing.

usage: forks_soak.py FORKSCOPE [FORKS]
"""

import json
import pathlib
import re
import subprocess
import time

from lore_test import build
from observe import check, check_equal, main, work_folder

LINE = re.compile(r"forks (\d+) anonymous (\d+) shared (\d+) descriptors (\d+) mappings (\d+)")


def size_of(folder):
    """What its files hold, and what they take on disk."""
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return len(files), sum(f.st_size for f in files), sum(f.st_blocks for f in files) * 512


def resident_of(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def test(forkscope, forks="1000000"):
    forks = int(forks)
    with work_folder() as folder:
        build("many_forks.c", folder / "many_forks")
        session, report = folder / "session", folder / "report.json"
        begin = time.monotonic()
        with subprocess.Popen([forkscope, "run", "--session", session, "--json", report, "--",
                               folder / "many_forks", str(forks)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              text=True) as process:
            rows = []
            for line in process.stdout:
                facts = tuple(map(int, LINE.match(line).groups()))
                rows.append((facts, size_of(session), resident_of(process.pid)))
                print(f"{line.strip()}; session {rows[-1][1][0]} files of {rows[-1][1][1]} bytes, "
                      f"{rows[-1][1][2]} on disk; command {rows[-1][2]} KiB", flush=True)
            errors = process.stderr.read()
        seconds = time.monotonic() - begin
        check_equal(process.returncode, 0, f"status: {errors}")
        facts = json.loads(report.read_text())
        print(f"{forks} forks in {seconds:.0f} s ({seconds / forks * 1e6:.0f} us a fork); "
              f"report of {report.stat().st_size} bytes; {facts['summary']}\n{errors.strip()}")
        (first, files, command), (last, files_last, command_last) = rows
        check_equal(last[3:], first[3:], "descriptors and mappings at the end")
        check(last[1] - first[1] <= 256, f"its memory grew from {first[1]} to {last[1]} KiB")
        # The session's records are mapped, and may be resident; its files grow ahead of them.
        check(last[2] - first[2] <= files_last[1] // 1024,
              f"resident pages of files grew from {first[2]} to {last[2]} KiB")
        # It may have looked at the records in between for the first time: it reads a file whole.
        check(command_last - command <= 4096 + files_last[1] // 1024,
              f"the command grew: {command} to {command_last} KiB")
        check_equal(files_last[0], files[0], "files of the session")
        check_equal(facts["findings"], [], "findings")


if __name__ == "__main__":
    main(test)
