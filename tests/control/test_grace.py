"""The grace period of a request."""

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import quark
from quark import SchemaValidationError, WrongTypeError


def test_a_grace_period_is_seconds_or_a_timedelta(tmp_path: Path) -> None:
    """``stop`` takes either, by position too, and says what it may be."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(quark.start_run(project="p", run_id="r", storage_dir=tmp_path)).flush()
        view = stack.enter_context(quark.open(tmp_path)).run("r")
        assert view.stop(timedelta(minutes=10)).stop_grace_s == 600
        assert view.stop(5).stop_grace_s == 5 and view.stop(grace_period_s=timedelta(seconds=2)).stop_grace_s == 2
        wrong: list[tuple[Any, type[Exception]]] = [
            (timedelta(0), SchemaValidationError), (timedelta(days=31), SchemaValidationError),
            ("10 min", WrongTypeError),
        ]  # fmt: skip
        for grace, error in wrong:
            with pytest.raises(error, match="grace_period_s must be"):
                view.stop(grace)
