"""A configuration that is too large for one record keeps what fits, and says what does not."""

from pathlib import Path
from typing import Any

import pytest

import quark
from quark.records.fitting import fitted
from quark.records.limits import MAX_ELEMENTS, check_size
from quark.records.line import encode

LONG = list(range(MAX_ELEMENTS + 1))
NOTE = f"<list of {len(LONG):,} items, too large to be recorded>"
TEXT = "k" * 5_000_000
TEXT_NOTE = "<text of 5,000,000 characters, too large to be recorded>"


def test_what_fits_is_left_as_it_is() -> None:
    """Nothing is copied and nothing is said."""
    values = {"lr": 0.1, "layers": [64, 10]}
    assert fitted(values, {}, "the config") == (values, None)


@pytest.mark.parametrize(
    ("values", "kept", "named"),
    [
        ({"a": 1, "b": TEXT, "c": 2}, {"a": 1, "b": TEXT_NOTE, "c": 2}, "b"),
        ({"data": {"path": "x", "ids": LONG}}, {"data": {"path": "x", "ids": NOTE}}, "data.ids"),
        ({"n": 1, TEXT: 2}, {"n": 1}, "k" * 80),
    ],
    ids=["text", "nested", "name"],
)
def test_what_does_not_fit_is_replaced_by_its_size(values: dict[str, Any], kept: dict[str, Any], named: str) -> None:
    """Its neighbours stay, in their order, also within a mapping; the error names it."""
    found, excess = fitted(values, {}, "the config")
    assert (found, list(found)) == (kept, list(kept))
    assert str(excess).endswith(f"left out: {named}")


def test_a_great_many_small_values_are_cut_off() -> None:
    """As many as there is room for are kept, and the others are counted."""
    beside = "x" * 1_000_000
    found, excess = fitted({f"k{number}": "x" * 1000 for number in range(5000)}, beside, "the config")
    assert 3000 < len(found) < 4000
    check_size(encode((found, beside)))
    whole = sum(value[0] == "x" for value in found.values())
    assert f"and {5000 - whole - 5:,} more" in str(excess)


def test_a_run_begins_with_a_configuration_of_any_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At its start, by an update and at a further attempt; what is left out is counted and warned about."""
    for attempt in range(2):
        with quark.start_run(
            project="p", run_id="large-1", storage_dir=tmp_path, config={"lr": 0.1, "ids": [attempt, *LONG]}
        ) as run:
            run.config.update(more=LONG, epochs=3)
            run.end_run(status="interrupted")
    with quark.open(tmp_path) as store:
        view = store.run("large-1")
        assert view.config == {"lr": 0.1, "ids": NOTE.replace("1 items", "2 items"), "more": NOTE, "epochs": 3}
        assert view.unrecorded().keys["config"] >= 3
    assert "left out: ids" in caplog.text and "left out: more" in caplog.text


def test_a_change_of_a_large_value_is_recorded(tmp_path: Path) -> None:
    """What replaces a value does not need room beside it; the event of the change has what fits."""
    with quark.start_run(project="p", storage_dir=tmp_path, config={"ids": LONG[:130_000]}) as run:
        run.config["ids"] = LONG[1:130_001]
        assert run.config["ids"][0] == 1
        assert run.health()["refused"] == 0


def test_strict_mode_raises(tmp_path: Path) -> None:
    """It starts no run."""
    with pytest.raises(quark.SchemaValidationError, match="left out: ids"):
        quark.start_run(project="p", storage_dir=tmp_path, config={"ids": LONG}, strict_mode=True)
