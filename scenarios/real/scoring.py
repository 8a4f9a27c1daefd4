"""What is right and wrong in what was said of the cases of kinds.py: answers against labels, the
counts, the table. Pure: no I/O."""

import dataclasses
import pathlib
import re

import harness

AIMS = {"class": 0.95, "culprit": 0.90}  # of the programs that hang
GRAVE = ("deadlock", "probable")


@dataclasses.dataclass
class Said:
    """What one view said of one case."""
    answer: str  # of attach; of run the gravest severity, "silent" without one
    found: list = dataclasses.field(default_factory=list)  # (gravity, kind) of the grave findings
    culprit: str = ""  # all of what a finding names: lock, holder, lost threads, headline
    fingerprint: str = ""
    text: str = ""
    error: str = ""  # why there is no answer to judge


def places(frames):
    return [word for frame in frames or [] for word in
            (frame.get("function"), pathlib.Path(frame.get("module") or frame.get("file") or "").name)]


def named(finding, sentence, lost):
    """What a reader is told of who is to blame. The stack of the wait is no part of it, but for the
    Python functions, which are the only names that Python's locks have."""
    lock, holder, waiter = (finding.get(key) or {} for key in ("lock", "holder", "waiter"))
    words = [sentence, finding.get("verdict"), lock.get("symbol"), lock.get("name"), finding.get("file"),
             pathlib.Path(lock.get("module") or "").name, holder.get("name")]
    words += places([holder.get("start") or {}]) + places(holder.get("acquired"))
    words += places(holder.get("python")) + places(waiter.get("python"))
    for thread in [*lost, *(finding.get("lost") or [])]:
        words += [thread.get("name"), *places([thread.get("start") or {}])]
    return "\n".join(word for word in words if word)


def judge_look(report, text):
    finding = report.get("finding") or {}
    answer = report["answer"]
    found = [(answer, finding.get("kind", ""))] if answer in GRAVE else []
    return Said(answer, found, named(finding, report.get("sentence") or "", report.get("lost") or []),
                finding.get("fingerprint") or "", text)


def judge_run(report, text):
    grave = []
    for finding in report["findings"]:
        gravity = harness.gravity(finding)
        # A hazard with a waiter is a wait that the report does not take for one without end.
        if gravity in GRAVE or gravity == "hazard" and finding.get("waiter"):
            grave.append((gravity, finding))
    said = Said("silent", [(gravity, finding["kind"]) for gravity, finding in grave], text=text)
    said.answer = next((word for word in (*GRAVE, "hazard") if word in dict(grave)), "silent")
    said.culprit = "\n".join(named(finding, "", []) for _, finding in grave)
    said.fingerprint = next((finding["fingerprint"] for _, finding in grave), "")
    return said


def judge(case, said):
    """{"class", "culprit"} of what hangs, {"silent"} of what is healthy: whether right, None where
    the label says that no answer is due."""
    grave = [kind for gravity, kind in said.found if gravity in GRAVE]
    if not case.kinds:
        orphans = [kind for gravity, kind in said.found if gravity == "hazard"]
        return {"silent": not grave and not (case.no_hazard and orphans)}
    if not grave and case.may_be_unknown and said.answer in ("unknown", "silent"):
        return {"class": True, "culprit": None}
    kinds_said = {kind for _, kind in said.found}
    return {"class": bool(grave) and kinds_said <= set(case.kinds),
            "culprit": bool(grave) and bool(re.search(case.culprit, said.culprit))}


def share(results, view, key):
    judged = [entry[view]["judged"][key] for entry in results.values()
              if view in entry and entry[view]["judged"].get(key) is not None]
    return sum(judged), len(judged)


def summary(results, views):
    return {view: {key: dict(zip(("right", "of"), share(results, view, key)))
                   for key in ("class", "culprit", "silent")} for view in views}


def alike(results):
    """Of the cases that several views found: how many have one fingerprint, and how many there are."""
    prints = [{entry["said"]["fingerprint"] for entry in views.values() if entry["said"]["fingerprint"]
               and entry["said"]["answer"] in GRAVE} for views in results.values()
              if sum(entry["said"]["answer"] in GRAVE for entry in views.values()) > 1]
    return sum(len(one) == 1 for one in prints), len(prints)


def met(counts):
    return (counts["silent"]["right"] == counts["silent"]["of"] and
            all(counts[key]["right"] >= aim * counts[key]["of"] for key, aim in AIMS.items()))


def words_of(said):
    found = "; ".join(f"{gravity} {kind}" for gravity, kind in said.found)
    return found or said.answer


def table(wanted, results, views):
    lines = ["| case | point | label | " + " | ".join(views) + " |",
             "|---|--:|---|" + "---|" * len(views)]
    for case in wanted:
        if case.name not in results:
            continue
        cells = []
        for view in views:
            entry = results[case.name].get(view)
            if not entry:
                cells.append("-")
                continue
            wrong = [key for key, right in entry["judged"].items() if right is False]
            cells.append(words_of(Said(**entry["said"])) + (f" **{', '.join(wrong)}**" if wrong else ""))
        label = f"{'/'.join(case.kinds)}: {case.culprit}" if case.kinds else "healthy"
        label = label.replace("|", "\\|")
        lines.append(f"| `{case.name}` | {case.point} | {label} | " + " | ".join(cells) + " |")
    lines.append("")
    for view, counts in summary(results, views).items():
        parts = [f"{key} {one['right']} of {one['of']}" +
                 (f" ({100 * one['right'] / one['of']:.0f} %)" if one["of"] else "")
                 for key, one in counts.items()]
        lines.append(f"{view}: {', '.join(parts)}")
    lines.append("one fingerprint by every view that found it: {} of {}".format(*alike(results)))
    return "\n".join(lines)
