"""Patterns are compiled at their first use, and the first text is treated like all that follow."""

import re

import pytest

from quark.redaction import HIDDEN, formats, redact_text
from quark.redaction.lazy import lazy_pattern

KEYS = ("sk-abcdefghijkl0123", "ghp_abcdefgh12", "AKIAABCDEFGH1234", "xoxb-12345678", "hf_abcdefgh12",
        "wandb_v1_abcdefgh12", "dapi0123456789abcdef0123456789abcdef", "AIzaabcdefgh")  # fmt: skip
OTHERS = ("epoch 3: loss=0.5", "sk-learn is a library", "hf_transformers", "/home/ada/gha_x/qk.py", "npm_x")


@pytest.mark.parametrize("text", [*KEYS, *OTHERS])
def test_the_first_key_of_a_process_is_hidden_like_the_next(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the pattern of all formats is compiled yet, a text comes out the same."""
    monkeypatch.setattr(formats, "_prefixed", None)
    first = redact_text(f"see {text}")
    monkeypatch.setattr(formats, "_prefixed", formats._compiled())
    assert first == redact_text(f"see {text}")
    assert (HIDDEN in first) == (text in KEYS)


def test_the_pattern_is_compiled_once_many_texts_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large configuration without keys is not looked through beginning by beginning."""
    monkeypatch.setattr(formats, "_prefixed", None)
    monkeypatch.setattr(formats, "_looked_through", 0)
    redact_text("epoch 3: loss=0.5")
    assert formats._prefixed is None
    for _ in range(300):
        redact_text("epoch 3: loss=0.5")
    assert formats._prefixed is not None


def test_a_lazy_pattern_does_what_the_pattern_does() -> None:
    """Searching, replacing, flags and attributes are those of ``re.compile``, the first time and later."""
    for _ in range(2):
        lazy, plain = lazy_pattern(r"(?P<word>a+)", re.IGNORECASE), re.compile(r"(?P<word>a+)", re.IGNORECASE)
        assert lazy.sub("b", "AAc") == plain.sub("b", "AAc") == lazy.sub("b", "AAc")
        assert lazy.search("xA")["word"] == "A"
        assert (lazy.pattern, lazy.flags) == (plain.pattern, plain.flags)


def test_a_pattern_that_is_wrong_is_told_at_its_first_use() -> None:
    """What ``re`` raises reaches the caller, every time."""
    wrong = lazy_pattern("(")
    for _ in range(2):
        with pytest.raises(re.error, match="missing"):
            wrong.search("x")
