"""A report as one HTML file: the pages' own bundle inside it, and beside it what the pages would ask a service for."""

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from typing import Any

import orjson

from .assets import INDEX, assets

_BREAKS_OUT = re.compile(rb"[<>&]|\xe2\x80[\xa8\xa9]")


def document(data: dict[str, Any], *, title: str, notes: Sequence[str] = ()) -> bytes:
    """The file. It loads nothing, and its policy lets only the bundle that is inside it run.

    Args:
        data: ``path``, the page to show; ``answers`` of the API by their paths; ``charts`` of whole runs.
        title: the title of the document.
        notes: sentences at its foot, such as what was left out.
    """
    script, style = _linked("js"), _linked("css")
    policy = "; ".join((
        "default-src 'none'", f"script-src {_source(script)}", f"style-src {_source(style)}", "img-src blob: data:",
        "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'",
    ))  # fmt: skip
    foot = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return b"".join((
        b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        b'<meta http-equiv="Content-Security-Policy" content="', html.escape(policy).encode(), b'">\n'
        b'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        b'<meta name="color-scheme" content="dark light">\n<meta name="referrer" content="no-referrer">\n<title>',
        html.escape(title).encode("utf-8", "replace"), b'</title>\n<link rel="icon" href="data:,">\n<style>',
        style, b'</style>\n</head>\n<body>\n<div id="app"></div>\n'
        b"<noscript>This report draws its charts with JavaScript.</noscript>\n",
        f'<footer class="note">{foot}</footer>\n'.encode("utf-8", "replace") if foot else b"",
        b'<script type="application/json" id="quark-report">', _data(data), b"</script>\n",
        b'<script type="module">', script, b"</script>\n</body>\n</html>\n",
    ))  # fmt: skip


def _linked(ending: str) -> bytes:
    """The script or the style that the document of the pages names, which may hold nothing that ends its element."""
    name = re.search(rf"/static/(app\.[\w-]+\.{ending})", assets()[INDEX].content.decode())
    if name is None:
        raise RuntimeError(f"the document of the pages names no file app.*.{ending}")
    content = assets()[name[1]].content
    if re.search(rb"</(script|style)|<!--|\r", content, re.IGNORECASE):
        raise RuntimeError(f"{name[1]} holds text that would end the element that it stands in")
    return content


def _source(content: bytes) -> str:
    """What a policy calls an element by its content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"


def _data(data: dict[str, Any]) -> bytes:
    """JSON in which no name and no log line can end the element that it stands in."""
    return _BREAKS_OUT.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), orjson.dumps(data))
