"""Takes the pictures of the documentation in the browser of the tests: python -m tests.dashboard.pictures."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, expect, sync_playwright

from ..children import child_environment
from .browser import launched, looking
from .process import Ui

RECORDER = Path(__file__).with_name("record_demo.py")
IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZE = {"width": 1280, "height": 720}
PICTURES = {
    "page-run": "r/sick",
    "page-layers": "r/sick/layers",
    "page-alert": "r/sick/alerts/2",
    "page-project": "p/sweep",
    "page-compare": "c?runs=lr0.3-seed0,lr0.1-seed1,lr0.01-seed2",
}


def take(page: Page, url: str, directory: Path) -> None:
    """Every picture, as ``NAME.png``; the page is signed in."""
    page.set_viewport_size(SIZE)  # type: ignore[arg-type]  a TypedDict
    for name, path in PICTURES.items():
        page.goto(url + path)
        expect(page.locator("main canvas, main article").first).to_be_visible()
        page.wait_for_load_state("load")
        page.wait_for_timeout(1500)  # charts further down are drawn one after the other
        page.screenshot(path=directory / f"{name}.png")


def main() -> None:
    """Record the runs and take the pictures anew."""
    with TemporaryDirectory() as place, sync_playwright() as playwright:
        subprocess.run([sys.executable, RECORDER, place], env=child_environment(), check=True, timeout=300)
        browser = launched(playwright)
        with Ui(Path(place)) as ui, looking(browser) as page:
            page.goto(ui.link)
            expect(page.get_by_role("heading", name="Latest runs")).to_be_visible()
            take(page, ui.url, IMAGES)
        browser.close()


if __name__ == "__main__":
    main()
