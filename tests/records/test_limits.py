"""A record has a size: what is too large for a service is refused where it is logged."""

import time
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.records.limits import (
    _STRING,
    MAX_ANNOTATION_BYTES,
    MAX_ELEMENTS,
    MAX_RECORD_BYTES,
    check_size,
    check_sizes,
)


@pytest.mark.parametrize(
    "payload", [{"m": "x" * MAX_RECORD_BYTES}, {"m": [[] for _ in range(MAX_ELEMENTS)]}], ids=["bytes", "values"]
)
def test_what_is_too_large_is_refused_where_it_is_logged(tmp_path: Path, payload: dict[str, Any]) -> None:
    """An event that no service would take raises, and so does a configuration; what fits is recorded."""
    with pytest.raises(quark.SchemaValidationError, match="artifact"):
        quark.start_run(project="p", storage_dir=tmp_path, config=payload, strict_mode=True)
    with quark.start_run(project="p", storage_dir=tmp_path, strict_mode=True) as run:
        with pytest.raises(quark.SchemaValidationError, match="artifact"):
            run.add_log("x", payload=payload)
        with pytest.raises(quark.SchemaValidationError, match="metadata"):
            quark.MetricsLogger(run).log("loss", 1.0, step=1, metadata={"m": "x" * MAX_ANNOTATION_BYTES})
        run.add_log("x", payload={"m": "x" * (MAX_RECORD_BYTES - 1000)})
        quark.MetricsLogger(run).log("loss", 1.0, step=1, metadata={"m": "x" * 1000})


def test_separators_in_strings_are_no_values() -> None:
    """Text may hold as many commas and brackets as it likes, behind escapes too."""
    text = b'{"m":"' + b'\\",[{' * 300_000 + b'"}'
    assert check_size(text) is text
    with pytest.raises(quark.SchemaValidationError, match="values"):
        check_size(b'{"m":[' + b'"",' * MAX_ELEMENTS + b'""]}')


@pytest.mark.parametrize("piece", [b'\\",', b'",', b"\\\\[,"])
@pytest.mark.parametrize("end", [b"", b"\\"])
def test_strings_without_end_are_searched_once(piece: bytes, end: bytes) -> None:
    """The work grows as the line does, whatever is left open in it: it is searched before it is parsed."""
    seconds = []
    for count in (500, 16_000):
        line = b'"' + piece * count + end
        began = time.process_time()
        _STRING.sub(b"", line)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 300 * max(seconds[0], 1e-4), "32 times as much text: 1024 times the work if it is quadratic"


@pytest.mark.parametrize("before", [b"", b"{}\n" * 400_000, b"{}\n" * 166_666 + b"{\n"])
def test_a_large_line_is_seen_among_small_ones(before: bytes) -> None:
    """Wherever it stands, and whether a newline follows it or not."""
    check_sizes(before)
    for end in (b"", b"\n", b"\n{}\n"):
        with pytest.raises(quark.SchemaValidationError, match="bytes"):
            check_sizes(before + b"x" * (MAX_RECORD_BYTES + 1) + end)
