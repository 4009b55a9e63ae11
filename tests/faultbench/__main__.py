"""``python -m tests.faultbench --seed N``: all scenarios as the seed perturbs them, and the table of the outcome."""

import argparse
from pathlib import Path

from .bench import run_all, score
from .scenarios import FAULTS, HEALTHY
from .table import table, write_table


def main() -> None:
    """Run, print, and with ``--write`` put the table into docs/diagnosis.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.faultbench", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--repeat", type=int, default=1, help="so many seeds from the first one on")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--write", action="store_true", help="write the table into docs/diagnosis.md")
    parser.add_argument("-v", "--verbose", action="store_true", help="every run")
    given = parser.parse_args()
    chosen = [one for one in (*FAULTS, *HEALTHY) if given.only in one.__name__]
    cases = run_all(range(given.seed, given.seed + given.repeat), chosen)
    for case in cases:
        missed = case.valid and case.plan.expected and not case.found
        wrong = case.valid and case.wrong
        if given.verbose or missed or wrong:
            mark = "invalid" if not case.valid else "MISSED" if missed else "WRONG" if wrong else "ok"
            print(f"{mark:8}{case.name:28} seed {case.seed}: {case.said} delay {case.delay}")
            for rule in sorted(case.wrong):
                print(f"         {case.first[rule].fact}")
    print(table(cases))
    counted = score(cases)
    print(f"{sum(not case.valid for case in cases)} of {len(cases)} runs did not come about as planned; {counted}")
    if given.write:
        write_table(Path(__file__).parents[2] / "docs" / "diagnosis.md", cases)


if __name__ == "__main__":
    main()
