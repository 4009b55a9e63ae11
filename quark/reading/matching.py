"""Regular expressions that somebody types or an agent sends: bounded in length and in time."""

import time
from collections.abc import Iterable

from ..errors import SchemaValidationError, WrongTypeError
from ..records.grammar import shown

MOST_CHARACTERS = 200
SEARCH_S = 1.0
"""Seconds that a pattern may take over all texts of one search."""


class Pattern:
    """A regular expression, found anywhere in a text without regard to case; an empty one matches everything.

    Raises:
        WrongTypeError: it is no text.
        SchemaValidationError: it is too long, or no regular expression.
    """

    def __init__(self, pattern: str) -> None:
        import re

        import regex

        if not isinstance(pattern, str):
            raise WrongTypeError(f"a pattern is text, got {shown(pattern)}")
        if len(pattern) > MOST_CHARACTERS:
            raise SchemaValidationError(
                f"the pattern has {len(pattern)} characters, at most {MOST_CHARACTERS} are allowed; shorten it"
            )
        try:
            re.compile(pattern)  # it knows no recursion, which takes memory faster than time
            self._compiled = regex.compile(pattern, regex.IGNORECASE)
        except (re.error, regex.error, ValueError, OverflowError, RecursionError) as error:
            raise SchemaValidationError(
                f"{shown(pattern)} is no regular expression ({error}); put a backslash before signs such as ( and ["
            ) from None
        self._text = pattern
        self._left_s = SEARCH_S

    def matches(self, text: str) -> bool:
        """Whether it is found in ``text``.

        Raises:
            SchemaValidationError: with all texts so far it took too long.
        """
        start = time.monotonic()
        try:
            if self._left_s <= 0:
                raise TimeoutError
            return self._compiled.search(text, timeout=self._left_s) is not None
        except TimeoutError:
            raise SchemaValidationError(
                f"the pattern {shown(self._text)} takes more than {SEARCH_S:g} s; write a simpler one, without a "
                "repetition within a repetition"
            ) from None
        finally:
            self._left_s -= time.monotonic() - start

    def among(self, texts: Iterable[str]) -> list[str]:
        """The texts that match, in their order."""
        return [text for text in texts if self.matches(text)]
