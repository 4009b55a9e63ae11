"""The grammar of ids: what can be the name of a file and a part of an address on every system, and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quark
from quark.records.identifiers import ID_PATTERN, check_id, is_id

GOOD = [
    "a",
    "0",
    "exp-1",
    "v1.2",
    "a..b",
    "A_b-c.d",
    "x" * 128,
    "0-1-0123456789ab",
    "01a2214a-7c3e-7000-8000-0123456789ab",
]
BAD = [
    "", ".", "..", "../x", "a/b", "/a", "a/", "a\\b", ".hidden", "-x", "_x", "a b", " a", "a\n", "a\n\n", "\na", "a\nb",
    "a\r", "a\0b", "a\x1bb", "x" * 129, "é", "a\u2028", "a\u202eb", "\ud800", "a:b", "a;b", "a%2fb", "~", "a*", "C:\\x",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_an_id_is_kept_as_it_is(text: str) -> None:
    """Letters, digits, dots, dashes and underscores, up to 128 of them."""
    assert check_id(text) == text


@pytest.mark.parametrize("text", BAD, ids=repr)
def test_what_cannot_be_a_file_name_is_no_id(text: str) -> None:
    """No way upwards, no separator, no control character, no newline at the end, nothing over 128 characters."""
    with pytest.raises(quark.SchemaValidationError, match="run_id must be 1 to 128"):
        check_id(text)


@pytest.mark.parametrize("value", [None, 5, b"a", 1.5, ["a"], object()], ids=lambda value: type(value).__name__)
def test_an_id_is_text(value: object) -> None:
    """Anything else is of the wrong type, and the message names the argument."""
    with pytest.raises(quark.WrongTypeError, match="parent_run_id must be a string"):
        check_id(value, "parent_run_id")


@given(st.text(max_size=140))
def test_an_id_names_one_entry_of_a_directory(text: str) -> None:
    """Whatever passes is one component of a path, and reads the same in an address."""
    if is_id(text):
        assert re.fullmatch("[A-Za-z0-9._-]+", text) and text not in (".", "..") and len(text) <= 128


def test_the_pattern_says_the_same_to_other_readers() -> None:
    """The pattern stands in JSON Schemas, whose readers search instead of matching from the start."""
    assert all(re.search(ID_PATTERN, text) for text in GOOD)
    assert not any(re.search(ID_PATTERN, text) for text in BAD)
