"""Secrets below their names in YAML, line by line as a program prints it and as a whole."""

import pytest

from quark.redaction import HIDDEN, redact_text
from quark.session.capture.lines import redacted_lines

X = "hunter2Zq9"
SHOWN = f"""\
model: cnn
database:
  host: db
  password: |
    {HIDDEN}

    {HIDDEN}
  port: 5432
credentials:
  - {HIDDEN}
  - user: {HIDDEN}
api_key: >-
  {HIDDEN}
tokens:
  train: 1200
  hub: {HIDDEN}
notes: |
  nothing here is secret
"""
GIVEN = SHOWN.replace(HIDDEN, X)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_document_keeps_its_form_and_loses_its_secrets(newline: str) -> None:
    """Names, lines and indents stay; so does what lies beside a secret."""
    shown = redact_text(GIVEN.replace("\n", newline))
    assert shown.replace(newline, "\n") == SHOWN
    assert redact_text(shown) == shown


def test_lines_that_come_one_by_one_are_treated_as_the_whole_is() -> None:
    """A program prints a configuration line by line."""
    assert list(redacted_lines(GIVEN.split("\n"))) == SHOWN.split("\n")
