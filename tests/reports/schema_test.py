"""What the commands write with --json validates against docs/report.schema.json.

schema_test.py FORKSCOPE PROBE SCHEMA GOLDEN_FOLDER

Needs Python's jsonschema; exits with 77 (skipped) without it. With FORKSCOPE_SARIF_SCHEMA=FILE, the
schema of SARIF 2.1.0, --sarif is validated as well; the npm package @microsoft/jest-sarif has one.
"""
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

try:
    import jsonschema
except ImportError:
    print("skipped: Python's jsonschema is not installed")
    sys.exit(77)

forkscope, probe, schema_file, golden = sys.argv[1:]
schema = json.loads(pathlib.Path(schema_file).read_text())
# One branch at a time: an error of oneOf names no field.
parts = {name: {**schema, "oneOf": [{"$ref": "#/$defs/" + name}]} for name in ("run", "attach", "scan")}


def errors_of(document, part):
    for error in jsonschema.Draft202012Validator(parts[part]).iter_errors(document):
        yield from error.context or [error]


def check(path, part):
    document = json.loads(pathlib.Path(path).read_text())
    errors = [f"{error.json_path}: {error.message[:200]}" for error in errors_of(document, part)]
    assert not errors, f"{path} as {part}:\n" + "\n".join(errors[:10])
    return document


def check_sarif(path):
    document = json.loads(pathlib.Path(path).read_text())
    if sarif_schema := os.environ.get("FORKSCOPE_SARIF_SCHEMA"):
        jsonschema.validate(document, json.loads(pathlib.Path(sarif_schema).read_text()))
    return document["runs"][0]["results"]


def check_junit(path):
    cases = xml.etree.ElementTree.parse(path).getroot().findall("testsuite/testcase")
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert names and len(set(names)) == len(names), names
    return cases


def machine_options(folder, name):
    return [f"--{kind}={folder}/{name}.{kind}" for kind in ("json", "sarif", "junit")]


def check_machine_files(folder, name, part, findings):
    document = check(f"{folder}/{name}.json", part)
    assert len(check_sarif(f"{folder}/{name}.sarif")) == findings, name
    assert len(check_junit(f"{folder}/{name}.junit")) == findings + 1, name
    return document


def run(*words, **options):
    return subprocess.run([forkscope, *words], capture_output=True, text=True, timeout=60, **options)


def children_of(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def hung_child(program):
    """The child that the probe forked, once it waits for the lock."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in children_of(program.pid):
            if pathlib.Path(f"/proc/{child}/wchan").read_text().startswith("futex"):
                return child
        time.sleep(0.01)
    raise AssertionError("the probe's child does not hang")


def check_runs(folder):
    session = f"{folder}/session"
    run("run", "--quiet", "--on-deadlock=kill", f"--session={session}",
        *machine_options(folder, "run"), "--", probe, "deadlock")
    document = check_machine_files(folder, "run", "run", 1)
    run("report", *machine_options(folder, "report"), session)
    check_machine_files(folder, "report", "run", 1)
    run("run", "--quiet", *machine_options(folder, "none"), "--", "/bin/true")
    check_machine_files(folder, "none", "run", 0)
    return document


def check_looks(folder):
    with subprocess.Popen([probe, "deadlock"], start_new_session=True) as program:
        try:
            child = hung_child(program)
            assert run("attach", *machine_options(folder, "attach"), child).returncode == 86
            # The parent only waits for the one that hangs.
            assert run("attach", *machine_options(folder, "parent"), str(program.pid)).returncode == 86
            run("scan", *machine_options(folder, "scan"))
        finally:
            os.killpg(program.pid, 9)
    check_machine_files(folder, "attach", "attach", 1)
    check_machine_files(folder, "parent", "attach", 1)
    scan = check(f"{folder}/scan.json", "scan")  # other processes of the host may hang as well
    assert int(child) in [found["process"]["pid"] for found in scan["found"]]
    assert len(check_sarif(f"{folder}/scan.sarif")) >= 1
    check_junit(f"{folder}/scan.junit")


def check_that_it_can_fail(document):
    wrong = copy.deepcopy(document)
    del wrong["findings"][0]["lock"]["address"]
    wrong["forks"][0]["outcome"] = "perhaps"
    assert len(list(errors_of(wrong, "run"))) == 2
    assert list(errors_of(document, "scan"))


with tempfile.TemporaryDirectory() as folder:
    jsonschema.Draft202012Validator.check_schema(schema)
    for file in pathlib.Path(golden).glob("report*.json"):
        check(file, "run")
    check_that_it_can_fail(check_runs(folder))
    check_looks(folder)
