"""Patterns of names: the answers of SQL's LIKE, for letters of every alphabet, without trying over and over."""

from hypothesis import given
from hypothesis import strategies as st

from quark.storage.patterns import like

LETTERS = st.text("abA%_", max_size=8)


def reference(text: str, pattern: str) -> bool:
    """LIKE as its definition reads."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(reference(text[at:], pattern[1:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and reference(text[1:], pattern[1:])


@given(LETTERS, LETTERS)
def test_patterns_match_as_they_are_defined(text: str, pattern: str) -> None:
    """Any text against any pattern of a few letters."""
    assert like([pattern])(text) == reference(text.lower(), pattern.lower())


def test_a_hostile_pattern_ends() -> None:
    """Hundreds of ``%`` against a long name that nearly matches are compared in one pass, not in every combination."""
    assert not like(["%a" * 499 + "%b"])("a" * 4096)
    assert not like(["%"])(None)
