"""Secrets in a diff: in changed lines, in the context around them, and in files that are nothing but secrets."""

import re
from collections.abc import Iterable, Iterator

from ...redaction import HIDDEN
from .lines import LONGEST_LINE, LineRedactor, be_polite, shortened

_SECRET_FILE = re.compile(
    r"""(?:^|/)(?:
        \.env(?:[._-][^/]*)?|[^/]*\.env|\.netrc|_netrc|\.npmrc|\.pypirc|\.pgpass|\.htpasswd|\.git-credentials
        |id_(?:rsa|dsa|ecdsa|ed25519)[^/]*|(?:credentials|secrets?)(?:\.[^/]*)?
        |[^/]*\.(?:pem|key|p12|pfx|jks|keystore|ppk|kdbx)
    )"?\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_BASE64 = re.compile(r"\s*[A-Za-z0-9+/]{40,}={0,2}\s*\Z")
_BASE64_END = re.compile(r"\s*[A-Za-z0-9+/]+={0,2}\s*\Z")
_HEADER, _PLACE = "diff --git ", "@@ "


def redacted_patch(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a diff without secrets. The marks in the first column stay, so that it is still a diff.

    A part of a diff may show the middle of a private key and not its beginning: lines of nothing but base64 are hidden.
    """
    redactor, secret, in_part, in_base64 = LineRedactor(), False, False, False
    for number, line in enumerate(lines):
        be_polite(number)
        if line.startswith(_HEADER):
            secret, in_part = bool(_SECRET_FILE.search(line.strip())), False
        if line.startswith((_HEADER, _PLACE)) or not in_part:
            redactor, in_base64 = LineRedactor(), False
            in_part = line.startswith(_PLACE)
            place, _, context = line.partition(" @@") if in_part else ("", "", line)
            context = HIDDEN if in_part and secret and context else redactor.redacted(context[:LONGEST_LINE])
            yield f"{place} @@{context}" if in_part else context
            continue
        mark, text = line[:1], line[1:]
        if mark == "\\":
            yield line
            continue
        in_base64 = bool(_BASE64.match(text)) or (in_base64 and bool(_BASE64_END.match(text)))
        shown = redactor.redacted(text[:LONGEST_LINE])
        yield mark + (HIDDEN if (secret or in_base64) and text.strip() else shortened(shown, text))
