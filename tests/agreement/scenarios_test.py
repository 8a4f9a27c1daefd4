"""One hang, one answer: `forkscope run`, `attach` and a core file give a scenario's hung child the
same kind, variable and fingerprint, and call its lock alike.

usage: scenarios_test.py FORKSCOPE PROGRAMS SCENARIO METHOD [no-core]
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("real", "attach"):
    sys.path.insert(0, str(HERE.parent / folder))

# pylint: disable=wrong-import-position
import starts
from observe import check, main, work_folder
from starts import Places

COMPARED = ("kind", "symbol", "type", "fingerprint")


def answer_of(finding):
    lock = finding["lock"]
    return {"kind": finding["kind"], "symbol": lock["symbol"], "type": lock["type"],
            "fingerprint": finding["fingerprint"], "severity": finding["severity"],
            "certainty": finding["certainty"]}


def by_attach(forkscope, *target):
    done = subprocess.run([forkscope, "attach", "--json", "-", *map(str, target)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90,
                          check=False)
    document = json.loads(done.stdout)
    check(document.get("finding"), f"attach {target} has no finding: {done.stdout}{done.stderr}")
    return answer_of(document["finding"])


def by_core(forkscope, folder, pid):
    dumped = subprocess.run(["gcore", "-o", folder / "core", str(pid)], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=90, check=False)
    core = folder / f"core.{pid}"
    if not core.exists():
        print(f"no core file to compare with: {dumped.stderr.strip()}")
        return None
    return by_attach(forkscope, "--core", core)


def by_run(forkscope, folder, program, method, *options):
    report = folder / "run.json"
    done = subprocess.run(
        [forkscope, "run", f"--json={report}", *options, "--", program, f"--method={method}",
         "--workers=1", "--patience=20000"], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=90, check=False)
    findings = [f for f in json.loads(report.read_text())["findings"]
                if f["severity"] == "deadlock" or f["certainty"] == "probable"]
    check(len(findings) == 1, f"run has {len(findings)} findings of a hang: {done.stderr}")
    return answer_of(findings[0])


def test(forkscope, programs, scenario, method, *words):
    with work_folder() as folder:
        folder = pathlib.Path(folder)
        places = Places(folder, pathlib.Path(programs), folder)
        [pid] = starts.scenario(scenario, method)(places)
        answers = {"attach": by_attach(forkscope, pid)}
        if "no-core" not in words:
            answers["core"] = by_core(forkscope, folder, pid)
        answers["run, killed"] = by_run(forkscope, folder, places.scenarios / scenario, method,
                                        "--on-deadlock=kill")
        first = answers["attach"]
        for how, answer in answers.items():
            same = answer is None or all(answer[name] == first[name] for name in COMPARED)
            check(same, f"{how} and attach do not agree:\n{json.dumps(answers, indent=1)}")


main(test)
