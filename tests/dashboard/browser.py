"""A browser that looks at the pages, and notices whatever should not happen there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 60_000
"""How long a page may take on a machine that is busy with other tests."""

ARGUMENTS = ("--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
"""Containers often have too little shared memory for a browser, which then dies in the middle of a page."""

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}

expect.set_options(timeout=PATIENCE_MS)


def launched(playwright: Playwright) -> Browser:
    """The installed Chromium; none is downloaded."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=CHROMIUM, args=[*arguments, *ARGUMENTS])


class Noticed:
    """What a page did that none should: errors, violations of its policy, requests beyond this machine."""

    def __init__(self, page: Page, expected: tuple[str, ...] = ()) -> None:
        self.wrong: list[str] = []
        self._expected = expected
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(text in message.text for text in self._expected):
            self.wrong.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if (
            urlsplit(request.url).scheme in ("http", "https", "ws", "wss")
            and urlsplit(request.url).hostname != "127.0.0.1"
        ):
            self.wrong.append(f"request: {request.url}")


@contextmanager
def looking(browser: Browser, *, expected: tuple[str, ...] = (), **context: Any) -> Iterator[Page]:
    """A page in a browser of its own; what it does wrong fails the test in the end.

    Args:
        expected: parts of messages in the console that belong to the test.
        context: of the browser's context, such as ``viewport`` or ``color_scheme``.
    """
    made = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light", "reduced_motion": "reduce", **context})
    try:
        made.set_default_timeout(PATIENCE_MS)
        page = made.new_page()
        noticed = Noticed(page, expected)
        yield page
        assert noticed.wrong == []
    finally:
        made.close()
