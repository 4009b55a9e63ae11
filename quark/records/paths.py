"""Addresses that were written where a path is expected: what looks like one would become a file of that name."""

import re

_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.\-]+:")  # a drive of Windows has one letter
_SLASH = re.compile(_SCHEME.pattern + r"[/\\]")
_USER = re.compile(r"\s*[A-Za-z]:[^/\\]*@")
_KEYWORDS = re.compile(r"\s*(?:host|hostaddr|dbname|user|password|service)\s*=")


def is_address(text: str) -> bool:
    """Whether a text begins as a URL does, however it is misspelt: ``s3://bucket``, ``s3:/bucket``."""
    return _SLASH.match(text) is not None


def is_database_address(text: str) -> bool:
    """Whether a text is meant for a database server: any scheme, or a list of keywords as libpq takes it."""
    return any(pattern.match(text) for pattern in (_SCHEME, _KEYWORDS, _USER))
