"""``python -m tests.torture --seconds 60 --seed 1``: a line of JSON a seed; the exit code is 1 if anything is wrong."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .harness import Torture
from .service import MUTANTS


def main() -> int:
    """Run the torture for each seed."""
    options = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    options.add_argument("--seconds", type=float, default=60, help="how long each seed")
    options.add_argument("--seed", type=int, nargs="+", default=[1])
    options.add_argument("--postgres", action="store_true", help="the service stores in PostgreSQL")
    options.add_argument("--mutant", choices=sorted(MUTANTS), help="a build with a fault; it has to be found")
    options.add_argument("--keep", type=Path, help="leave everything in this directory, for a look")
    wanted = options.parse_args()
    wrong = 0
    for seed in wanted.seed:
        with ExitStack() as stack:
            place = wanted.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quark-torture-")))
            db = None
            if wanted.postgres:
                from ..postgres import new_database, own_server

                server = own_server()
                stack.callback(server.remove)
                db = stack.enter_context(new_database(server.url))
            report = Torture(place / f"seed-{seed}", seed, db=db, mutant=wanted.mutant).run(wanted.seconds)
            print(json.dumps(report.to_dict()), flush=True)
            wrong += bool(report.wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
