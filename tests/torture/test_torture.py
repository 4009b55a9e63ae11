"""A short lane of the torture: the whole of it is ``python -m tests.torture --seconds 60 --seed 1 2 3 4 5``."""

from pathlib import Path

import pytest

from .harness import Report, Torture
from .service import MUTANTS

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(400)]
BUSY = "this machine is too busy to torture anything: hardly anything befell service and clients"


def judged(report: Report) -> None:
    """The books agree, and there was something to account for."""
    assert report.wrong == []
    if not report.hurt:
        pytest.skip(BUSY)
    assert report.books.runs
    assert report.books.held >= report.books.acknowledged > 1000


def test_every_acknowledged_record_is_held_once(tmp_path: Path) -> None:
    """Service and clients killed, answers lost, cut, late, repeated and made up: the books agree."""
    judged(Torture(tmp_path / "t", 1).run(6))


def test_the_same_on_postgresql(tmp_path: Path, bare_postgres_url: str) -> None:
    """The other database keeps the same books."""
    judged(Torture(tmp_path / "t", 2, db=bare_postgres_url).run(6))


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_planted_fault_is_found(tmp_path: Path, mutant: str) -> None:
    """Books that agree with a broken service would be worth nothing; what is found is in the records.

    A fault shows when the right request comes at the right moment: where a machine is slow, that takes more than once.
    """
    for seed in (3, 4, 5):
        report = Torture(tmp_path / f"t-{seed}", seed, mutant=mutant).run(6)
        if report.books.wrong:
            return
        if not report.hurt:
            pytest.skip(BUSY)
    pytest.fail("three tortures, and the books agree with a broken service")
