"""Names as MLflow takes them; every change of a name is noted, so that it can be undone."""

import re
from hashlib import sha256

MAX_NAME = 250

_REFUSED = re.compile(r"[^\w.\-/ :]")


def name_for(name: str) -> str:
    """``name`` if MLflow takes it, else one that it takes and that no other name is given.

    MLflow takes letters, digits and ``_ . - / :`` and spaces, no path with empty or dotted parts, and 250 characters.
    What it refuses becomes an underscore, and the end is a digest of the whole name.
    """
    parts = name.split("/")
    plain = not _REFUSED.search(name) and all(part not in ("", ".", "..") for part in parts)
    if plain and len(name) <= MAX_NAME:
        return name
    cleaned = "/".join("_" if part in ("", ".", "..") else _REFUSED.sub("_", part) for part in parts)
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{cleaned[: MAX_NAME - 9]}-{digest}"
