"""The table of docs/real-systems.md, from the results of `run`. Pure: no I/O."""

import collections

END = {"hangs": "hangs", "ends": "ends well", "fails": "fails by itself"}


def _counted(words):
    """The commonest first: "word 19/20, or other 1/20"."""
    words = list(words)
    counts = collections.Counter(words).most_common()
    return ", or ".join(f"{word} {count}/{len(words)}" for word, count in counts)


def _alone(entry):
    counts = collections.Counter(seen["end"] for seen in entry["bare"])
    total = len(entry["bare"])
    return ", ".join(f"{END[end]} {count}/{total}" for end, count in counts.most_common())


def _found(seen, severities):
    found = [f"{severity}: {kind}{f' `{lock}`' if lock else ''}"
             for severity, kind, lock in seen["found"] if severity in severities]
    return "; ".join(sorted(set(found))) or "silent"


def _run(entry):
    return _counted([_found(seen, ("deadlock", "probable", "latent")) for seen in entry["run"]])


def _attach(entry):
    words = [f"{answer}: {kind}{f' `{lock}`' if lock else ''}" if kind else answer
             for seen in entry["attach"] for answer, kind, lock in seen["found"] or [("?", "", "")]]
    return _counted(words) if words else ""


def markdown(cases, results):
    lines, system = [], ""
    for case in cases:
        entry = results.get(case.name)
        if not entry:
            continue
        if case.system != system:
            system = case.system
            lines += ["", f"### {system}", "",
                      "| case | version | alone | `forkscope run` | `attach` | control |",
                      "|---|---|---|---|---|---|"]
        if entry["skipped"]:
            lines.append(f"| `{case.name}`: {case.what} | | skipped: {entry['skipped']} | | | |")
            continue
        control = f"`{case.control}`" if case.control else ""
        lines.append(f"| `{case.name}`: {case.what} | {entry['version']} | {_alone(entry)} | "
                     f"{_run(entry)} | {_attach(entry)} | {control} |")
    return "\n".join(lines[1:]) + "\n"
