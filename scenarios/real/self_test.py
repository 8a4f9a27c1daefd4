"""The tables of cases are whole, and the runners see what differs from them. Run by ctest; needs no
system of others, no forkscope and no other process.

usage: self_test.py
"""

import dataclasses
import json
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

# pylint: disable=wrong-import-position
import cases
import kinds
import scoring
import table

BY_NAME = {case.name: case for case in cases.CASES}


def seen(end, *found, status=0):
    return {"end": end, "status": status, "seconds": 0.1, "text": "", "output": "",
            "found": [list(one) for one in found]}


def entry(bare=(), attach=(), run=()):
    return {"version": "1.0", "skipped": "", "bare": list(bare), "attach": list(attach),
            "run": list(run)}


DEADLOCK, LATENT = ("deadlock", "lost-thread", "futex word"), ("latent", "orphaned-lock", "mutex")


class Cases(unittest.TestCase):
    def test_names_are_unique(self):
        self.assertEqual(len(BY_NAME), len(cases.CASES))

    def test_what_goes_wrong_has_a_control_that_ends_well(self):
        for case in cases.CASES:
            if case.end != cases.ENDS:
                self.assertEqual(BY_NAME[case.control].end, cases.ENDS, case.name)

    def test_what_hangs_has_kinds_that_are_documented(self):
        pages = {page.stem for page in (HERE.parent.parent / "docs" / "findings").glob("*.md")}
        for case in cases.CASES:
            if case.end == cases.HANGS:
                self.assertTrue(case.kinds, case.name)
            self.assertLessEqual({*case.kinds, *case.latent, *case.may}, pages, case.name)

    def test_programs_exist(self):
        for case in cases.CASES:
            for word in case.command:
                if word.startswith("{programs}/"):
                    path = HERE / "programs" / word.removeprefix("{programs}/")
                    self.assertTrue(path.exists(), f"{case.name}: {path}")

    def test_as_json_holds_every_case(self):
        names = [case["name"] for case in json.loads(cases.as_json())]
        self.assertEqual(names, [case.name for case in cases.CASES])


class Differences(unittest.TestCase):
    hangs = BY_NAME["polars-guide-fork"]
    ends = BY_NAME["polars-guide-spawn"]
    lucky = BY_NAME["python-queue-idle"]

    def different(self, case, **runs):
        return len(table.differences(case, entry(**runs)))

    def test_what_is_as_expected_is_none(self):
        self.assertEqual(self.different(
            self.hangs, bare=[seen("hangs")], attach=[seen("deadlock", DEADLOCK)],
            run=[seen("killed", DEADLOCK)]), 0)
        self.assertEqual(self.different(self.ends, bare=[seen("ends")], run=[seen("ends")]), 0)
        self.assertEqual(self.different(self.lucky, run=[seen("ends", LATENT)]), 0)

    def test_another_end_is_one(self):
        self.assertEqual(self.different(self.hangs, bare=[seen("ends")]), 1)
        self.assertEqual(self.different(self.ends, bare=[seen("fails", status=-11)]), 1)
        self.assertEqual(self.different(self.ends, run=[seen("fails", status=-11)]), 1)

    def test_a_missed_deadlock_is_one(self):
        self.assertEqual(self.different(self.hangs, run=[seen("hangs")]), 1)
        self.assertEqual(self.different(self.hangs, run=[seen("hangs", LATENT)]), 1)
        self.assertEqual(self.different(self.hangs, attach=[seen("waiting", ("waiting", "", ""))]),
                         1)

    def test_another_kind_is_one(self):
        other = ("deadlock", "orphaned-lock", "futex word")
        self.assertEqual(self.different(self.hangs, run=[seen("killed", other)]), 1)

    def test_a_finding_in_what_ends_well_is_one(self):
        self.assertEqual(self.different(self.ends, run=[seen("ends", LATENT)]), 1)
        self.assertEqual(self.different(self.ends, run=[seen("ends", DEADLOCK)]), 1)

    def test_what_may_happen_is_none_when_it_does(self):
        case = BY_NAME["opencv"]
        lock = ("deadlock", "orphaned-lock", "mutex")
        self.assertEqual(self.different(case, run=[seen("killed", lock)]), 0)
        self.assertEqual(self.different(case, run=[seen("ends", lock)]), 1)
        self.assertEqual(self.different(case, run=[seen("killed", DEADLOCK)]), 1)

    def test_a_missed_latent_finding_is_one(self):
        self.assertEqual(self.different(self.lucky, run=[seen("ends")]), 1)


class Kinds(unittest.TestCase):
    def test_names_are_unique(self):
        self.assertEqual(len({case.name for case in kinds.CASES}), len(kinds.CASES))

    def test_every_point_with_a_hang_has_a_healthy_twin(self):
        self.assertLessEqual({case.point for case in kinds.CASES if case.kinds} - {29, 31, 10},
                             {case.point for case in kinds.CASES if not case.kinds})

    def test_what_hangs_has_documented_kinds_and_a_culprit(self):
        pages = {page.stem for page in (HERE.parent.parent / "docs" / "findings").glob("*.md")}
        for case in kinds.CASES:
            self.assertEqual(bool(case.kinds), bool(case.culprit), case.name)
            self.assertLessEqual({*case.kinds}, {*pages, "runtime-not-forkable"}, case.name)

    def test_programs_exist(self):
        sources = {path.stem for path in (HERE / "programs" / "kinds").iterdir()}
        for case in kinds.CASES:
            for word in case.command:
                if word.startswith("{folder}/kinds/") and not word.endswith(".so"):
                    name = word.removeprefix("{folder}/kinds/")
                    self.assertIn(name.removesuffix("_stripped").removesuffix("_musl"), sources)


class Judgement(unittest.TestCase):
    hangs = kinds.Case("hangs", 1, (), ("orphaned-lock",), "cache_lock")
    healthy = kinds.Case("healthy", 1, ())

    def judged(self, case, *found, culprit="", answer=""):
        return scoring.judge(case, scoring.Said(answer or found[0][0], list(found), culprit))

    def test_a_right_answer_is_right_only_with_the_culprit(self):
        found = ("probable", "orphaned-lock")
        self.assertEqual(self.judged(self.hangs, found, culprit="mutex cache_lock"),
                         {"class": True, "culprit": True})
        self.assertEqual(self.judged(self.hangs, found, culprit="mutex"),
                         {"class": True, "culprit": False})

    def test_another_kind_beside_the_right_one_is_wrong(self):
        self.assertFalse(self.judged(self.hangs, ("deadlock", "orphaned-lock"),
                                     ("hazard", "lost-thread"))["class"])

    def test_no_answer_is_wrong_where_one_is_due(self):
        self.assertFalse(self.judged(self.hangs, answer="waiting")["class"])
        lenient = dataclasses.replace(self.hangs, may_be_unknown=True)
        self.assertTrue(self.judged(lenient, answer="unknown")["class"])
        self.assertFalse(self.judged(lenient, answer="waiting")["class"])

    def test_a_grave_finding_in_what_is_healthy_is_wrong(self):
        self.assertFalse(self.judged(self.healthy, ("probable", "lost-thread"))["silent"])
        self.assertTrue(self.judged(self.healthy, ("hazard", "orphaned-lock"))["silent"])
        strict = dataclasses.replace(self.healthy, no_hazard=True)
        self.assertFalse(self.judged(strict, ("hazard", "orphaned-lock"))["silent"])


class Markdown(unittest.TestCase):
    def test_counts_what_happened_how_often(self):
        case = dataclasses.replace(Differences.hangs, what="it forks", system="A system",
                                   source="https://example.org/1")
        text = table.markdown([case], {case.name: entry(
            bare=[seen("hangs")] * 19 + [seen("ends")],
            attach=[seen("deadlock", ("deadlock", "lost-thread", "Rust Condvar"))] * 19,
            run=[seen("killed", DEADLOCK, LATENT)] * 2)})
        self.assertEqual(text.splitlines(), [
            "### A system", "",
            "| case | version | alone | `forkscope run` | `attach` | control |",
            "|---|---|---|---|---|---|",
            "| `polars-guide-fork`: it forks ([source](https://example.org/1)) | 1.0 | "
            "hangs 19/20, ends well 1/20 | deadlock: "
            "lost-thread (futex word); latent: orphaned-lock 2/2 | deadlock: lost-thread "
            "(Rust Condvar) 19/19 | `polars-guide-spawn` |"])

    def test_tells_what_was_skipped_and_why(self):
        skipped = {**entry(), "skipped": "pip cannot install it"}
        text = table.markdown([Differences.ends], {Differences.ends.name: skipped})
        self.assertIn("skipped: pip cannot install it", text)

    def test_a_page_keeps_what_is_around_its_marks(self):
        page = f"prose\n{table.BEGIN}\nold\n{table.END_MARK}\nmore\n"
        changed = table.put_into(page, "new\n")
        self.assertEqual(changed, f"prose\n{table.BEGIN}\n\nnew\n\n{table.END_MARK}\nmore\n")
        self.assertEqual(table.put_into(changed, "new\n"), changed)
        self.assertEqual(table.put_into("no marks\n", "new\n"), "new\n")


if __name__ == "__main__":
    unittest.main()
