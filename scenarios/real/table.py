"""What the results of `run` say: the table of docs/real-systems.md, and where they differ from what
cases.py has. Pure: no I/O."""

import collections

HANGS = "hangs"
BEGIN = "<!-- made by scenarios/real/run: begin -->"
END_MARK = "<!-- made by scenarios/real/run: end -->"
END = {"hangs": "hangs", "ends": "ends well", "fails": "fails by itself"}


def _counted(words):
    """The commonest first: "word 19/20, or other 1/20"."""
    words = list(words)
    counts = collections.Counter(words).most_common()
    return ", or ".join(f"{word} {count}/{len(words)}" for word, count in counts)


def _alone(entry):
    counts = collections.Counter(seen["end"] for seen in entry["bare"])
    total = len(entry["bare"])
    return ", ".join(f"{END.get(end, end)} {count}/{total}" for end, count in counts.most_common())


def _words(severity, kind, lock):
    """Which locks might have been held differs from run to run: their kind will do."""
    return f"{severity}: {kind}" + (f" ({lock})" if lock and severity != "latent" else "")


def _found(seen):
    found = {_words(*one) for one in seen["found"] if one[0] in ("deadlock", "probable", "latent")}
    return "; ".join(sorted(found)) or "silent"


def _run(entry):
    return _counted(_found(seen) for seen in entry["run"])


def _attach(entry):
    words = [_words(answer, kind, lock) if kind else answer
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
        what = case.what + (f" ([source]({case.source}))" if case.source else "")
        lines.append(f"| `{case.name}`: {what} | {entry['version']} | {_alone(entry)} | "
                     f"{_run(entry)} | {_attach(entry)} | {control} |")
    return "\n".join(lines[1:]) + "\n"


def put_into(page, text):
    """The page with the table between its marks; without marks the table is all there is."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END_MARK)
    return f"{before}{begin}\n\n{text}\n{end}{after}" if begin and end else text


def differences(case, entry):
    """Sentences, none when everything is as cases.py has it."""
    said = collections.Counter()
    for seen in entry["bare"]:
        if seen["end"] not in case.end.split("|"):
            said[f"alone it {seen['end']} ({seen['status']}), not {case.end}: "
                 f"{(seen['output'] + seen['text']).strip()[-300:]}"] += 1
    for seen in entry["attach"]:
        if not any(kind in case.kinds for _, kind, _ in seen["found"]):
            said[f"attach says {seen['found']}, not {' or '.join(case.kinds) or 'nothing'}"] += 1
    for seen in entry["run"]:
        grave = [(severity, kind) for severity, kind, _ in seen["found"]
                 if severity in ("deadlock", "probable", "latent")]
        if case.kinds:
            right = any(s != "latent" and kind in case.kinds for s, kind in grave)
        else:
            kinds = {kind for s, kind in grave if s == "latent"}
            hung = {kind for s, kind in grave if s != "latent"}
            # What may be latent may also happen; that it did was waited for.
            happened = seen["end"] == "killed" and hung and hung <= {*case.may}
            right = (happened or not hung and seen["end"] in case.end.split("|")) and (
                set(case.latent) <= kinds <= {*case.latent, *case.may})
        if not right:
            said[f"run: {seen['end']} ({seen['status']}), found {grave}"] += 1
    return [f"{count} of {len(entry['run' if text.startswith('run') else 'bare'])}: {text}"
            for text, count in said.items()]
