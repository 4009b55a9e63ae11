"""The pages in a real browser, as people use them: by mouse and by keyboard, without an error, without a stranger."""

import fcntl
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="missing: pip install playwright")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from quark.service import ServiceConfig

from ..children import child_environment
from ..service.serving import Threaded
from .browser import CHROMIUM, PATIENCE_MS, PHONE, launched, looking
from .pictures import IMAGES, PICTURES, RECORDER, take
from .process import Ui
from .test_ui import LIVE, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(CHROMIUM is None, reason="missing: the browser chromium; apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The installed Chromium."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The runs that are looked at, recorded once for all processes of the suite."""
    base = tmp_path_factory.getbasetemp()
    directory = (base if worker_id == "master" else base.parent) / "shown"
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done := directory.with_suffix(".done")).exists():
            subprocess.run([sys.executable, RECORDER, directory], env=child_environment(), check=True, timeout=300)
            done.touch()
    return directory


@pytest.fixture(scope="module")
def ui(shown: Path) -> Iterator[Ui]:
    """`quark ui` on the recorded runs."""
    with Ui(shown) as ui:
        yield ui


@pytest.fixture
def page(browser: Browser, ui: Ui) -> Iterator[Page]:
    """A browser that has opened a link of `quark ui`, at its home page."""
    with looking(browser) as page:
        open_link(page, ui)
        yield page


def open_link(page: Page, ui: Ui) -> None:
    """Open the page with the cookie of this module's link, which the first test that needs it exchanges."""
    if ui.cookies is None:
        page.goto(ui.link)
        expect(page.get_by_role("heading", name="Latest runs")).to_be_visible()
        ui.cookies = page.context.cookies()
        assert page.url == ui.url, "the token stays in the address"
    else:
        page.context.add_cookies(ui.cookies)
        page.goto(ui.url)
        expect(page.get_by_role("heading", name="Latest runs")).to_be_visible()


def chart(page: Page, key: str) -> Locator:
    """The picture of a chart, once it is drawn."""
    figure = page.locator(f"figure[data-key='{key}']")
    expect(figure.locator("canvas").first).to_be_visible()
    return figure.get_by_role("img")


def test_a_newcomer_opens_the_demo(browser: Browser, tmp_path: Path) -> None:
    """`quark demo`, then `quark ui`: the run is a click away, its charts are drawn, and each has its numbers."""
    command = [sys.executable, "-m", "quark.cli", "demo", "--epochs", "2", "-d", str(tmp_path / "runs")]
    subprocess.run(command, env=child_environment(), check=True, capture_output=True, timeout=300)
    with Ui(tmp_path / "runs") as ui, looking(browser) as page:
        page.goto(ui.link)
        page.get_by_role("table").get_by_role("link").first.click()
        expect(page.get_by_role("status").or_(page.locator(".status")).first).to_contain_text("completed")
        picture = chart(page, "train/loss")
        expect(picture).to_have_attribute("aria-label", re.compile(r"train/loss.*last"))
        picture.focus()
        page.keyboard.press("t")
        expect(page.get_by_role("table").first).to_be_visible()
        assert page.title().endswith("Quark")


def test_a_live_run_is_watched_and_stopped(browser: Browser, tmp_path: Path) -> None:
    """Its charts go on by themselves and keep the zoom; Stop asks once more, and the process ends after its step."""
    process = started(LIVE, tmp_path, "live-run")
    try:
        with Ui(tmp_path) as ui, looking(browser) as page:
            page.goto(ui.link)
            page.get_by_role("link", name="live-run").or_(page.locator("a[href='/r/live-run']")).first.click()
            picture = chart(page, "train/loss")
            before = picture.get_attribute("aria-label")
            page.evaluate("window.stays = true")
            expect(picture).not_to_have_attribute("aria-label", before or "", timeout=PATIENCE_MS)
            box = picture.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 60)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
            page.mouse.up()
            expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
            zoomed = page.url
            page.get_by_role("button", name="Stop", exact=True).click()
            page.get_by_role("button", name="Stop the run").click()
            process.communicate(timeout=90)
            expect(page.locator(".head .status")).not_to_contain_text("running")
            assert page.url == zoomed
            assert page.evaluate("window.stays") is True, "the page was loaded again"
    finally:
        process.kill()
        process.communicate()


def test_an_alert_leads_to_its_layer(page: Page) -> None:
    """From the home page to the run, to what is wrong with it, to the layer's series, to the layers' heat map."""
    expect(page.get_by_role("link", name=re.compile("Gradients vanish"))).to_be_visible()
    page.get_by_role("link", name="sick-network").click()
    expect(page.get_by_label("Verdict")).to_contain_text("nan")
    page.get_by_role("link", name=re.compile("^Alerts")).click()
    page.get_by_role("link", name=re.compile("Gradients vanish")).click()
    expect(page.get_by_role("heading", name=re.compile("Gradients vanish"))).to_be_visible()
    expect(page.get_by_role("article").get_by_text("0.weight").first).to_be_visible()
    expect(page.get_by_label("What to do").get_by_role("listitem").first).to_be_visible()
    expect(page.get_by_role("article").locator("figure[data-key^='0.weight']")).to_be_visible()
    page.get_by_role("link", name="Compare with the other layers").click()
    row = page.get_by_role("list", name="Layers").get_by_role("button", name="0.weight", exact=True)
    expect(row).to_have_attribute("title", "0.weight: has an alert")
    expect(row).to_have_attribute("aria-pressed", "true")
    expect(page.locator("figure[data-key^='0.weight']")).to_be_visible()


def test_spikes_and_nan_are_told_at_every_zoom(page: Page) -> None:
    """The label of the chart names the greatest value and the NaN, whatever the width of the window."""
    for width in (1440, 700, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(page.url.split("/r/")[0].rstrip("/") + "/r/sick")
        expect(chart(page, "train/loss")).to_have_attribute("aria-label", re.compile("max 42, 1 not finite"))


def test_two_runs_are_compared(page: Page) -> None:
    """Tick two, press Compare: what differs comes first, and the charts hold both."""
    page.get_by_role("link", name="sweep", exact=True).first.click()
    boxes = page.get_by_role("checkbox", name=re.compile("^Show .* in the charts"))
    expect(boxes.first).to_be_visible()
    for box in boxes.all():
        name = box.get_attribute("aria-label") or ""
        box.set_checked("lr0.3-seed0" in name or "lr0.01-seed0" in name)
    page.get_by_role("button", name="Compare 2").click()
    differing = page.get_by_role("table").first
    expect(differing).to_contain_text("lr")
    expect(differing).not_to_contain_text("momentum")
    expect(chart(page, "train/loss")).to_have_attribute(
        "aria-label", re.compile("lr0.3-seed0.*lr0.01-seed0|lr0.01-seed0.*lr0.3-seed0", re.S)
    )


def test_runs_are_grouped_and_filtered(page: Page) -> None:
    """Twelve runs by learning rate are four groups of three; a query leaves the half, a regex leaves one chart."""
    page.get_by_role("link", name="sweep", exact=True).first.click()
    expect(page.get_by_text("12 runs")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Group")).click()
    page.get_by_role("dialog", name=re.compile("^Group")).get_by_label("lr", exact=True).check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Runs").get_by_text("n = 3")).to_have_count(4)
    expect(chart(page, "val/loss")).to_be_visible()
    page.get_by_role("searchbox", name="Query over runs").fill("lr<0.05")
    expect(page.get_by_text("6 runs")).to_be_visible()
    page.get_by_role("searchbox", name="Filter charts").fill("^val/a")
    expect(page.locator("figure[data-key]")).to_have_count(1)
    again = page.url
    page.goto("about:blank")
    page.goto(again)
    expect(page.get_by_text("6 runs")).to_be_visible()
    expect(page.locator("figure[data-key]")).to_have_count(1)


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until an element has the focus."""
    expect(wanted.first).to_be_visible()
    for _ in range(150):
        page.keyboard.press("Tab")
        if wanted.first.evaluate("element => element === document.activeElement"):
            return
    focus = page.evaluate("document.activeElement.outerHTML.slice(0, 500)")
    raise AssertionError(f"Tab does not reach {wanted} on {page.url}; it is at {focus}")


def pick(page: Page, text: str) -> None:
    """Go somewhere by the command palette."""
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name=re.compile("^Search"))
    expect(box).to_be_focused()
    page.keyboard.type(text)
    expect(page.get_by_role("listbox", name="Found").get_by_role("option").first).to_contain_text(
        re.compile(re.escape(text), re.I)
    )
    page.keyboard.press("Enter")
    expect(box).to_be_hidden()


def test_the_palette_opens_while_it_closes(page: Page) -> None:
    """Somebody who presses Ctrl K at once after Escape gets it: the end of the one before does not close the next."""
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name=re.compile("^Search"))
    expect(box).to_be_focused()
    page.evaluate("""() => new Promise((resolve) => {
        const dialog = document.querySelector("dialog");
        dialog.addEventListener("close", () => setTimeout(resolve, 100), { once: true });
        new MutationObserver((_, observer) => {
            observer.disconnect();
            dispatchEvent(new KeyboardEvent("keydown", { key: "k", ctrlKey: true }));
        }).observe(dialog, { attributeFilter: ["open"] });
        dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    })""")
    expect(box).to_be_focused()


def test_it_can_be_used_without_a_mouse(page: Page) -> None:
    """Run, chart, alert, layer, comparison and groups, by keys alone."""
    pick(page, "sick-network")
    picture = chart(page, "train/loss")
    tab_to(page, picture)
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("status").filter(has_text="train/loss, step")).to_have_count(1)
    page.keyboard.press("t")
    expect(page.get_by_role("table").first).to_be_visible()
    page.keyboard.press("Escape")
    pick(page, "Gradients vanish")
    expect(page.get_by_role("heading", name=re.compile("Gradients vanish"))).to_be_visible()
    pick(page, "Layers")
    layer = page.get_by_role("list", name="Layers").get_by_role("button", name="0.weight", exact=True)
    tab_to(page, layer)
    page.keyboard.press("Enter")
    expect(page.locator("figure[data-key^='0.weight']")).to_be_visible()
    pick(page, "sweep")
    group = page.get_by_role("button", name=re.compile("^Group"))
    tab_to(page, group)
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("dialog", name=re.compile("^Group")).get_by_label("lr", exact=True))
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    expect(page.get_by_text("n = 3")).to_have_count(4)
    page.go_back()
    compare = page.get_by_role("button", name=re.compile(r"^Compare \d"))
    expect(compare).to_be_enabled()
    tab_to(page, compare)
    page.keyboard.press("Enter")
    expect(page.get_by_text("What differs")).to_be_visible()


@pytest.mark.parametrize(
    "path",
    ["", "p/hostile", "r/hostile", "r/hostile/logs", "r/hostile/config", "r/hostile/artifacts", "c?runs=hostile,sick"],
)
def test_names_are_text_everywhere(browser: Browser, ui: Ui, path: str) -> None:
    """Scripts, quotes, mirrored and endless text are shown, run nothing and break no page."""
    with looking(browser) as page:
        page.on("dialog", lambda dialog: dialog.dismiss())
        open_link(page, ui)
        page.goto(ui.url + path)
        expect(
            page.get_by_text("<img src=x").first.or_(page.locator("main table, main figure").first).first
        ).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.pwned") is None
        assert page.locator("img[src=x], main script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")


@pytest.mark.parametrize("path", ["r/hostile", "p/hostile"])
def test_metrics_have_the_names_that_they_were_given(page: Page, ui: Ui, path: str) -> None:
    """Not the keys under which they are stored."""
    page.goto(ui.url + path)
    expect(page.locator("figure").get_by_text("train/<b>loss</b>", exact=True).first).to_be_visible()


PAGES = [
    "", "p/sweep", "r/sick", *(f"r/sick/{tab}" for tab in ("layers", "alerts", "alerts/2", "system", "logs", "config")),
    "c?runs=lr0.3-seed0,lr0.1-seed0",
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(browser: Browser, ui: Ui, scheme: str) -> None:
    """axe-core finds nothing serious or critical on any page, in light and dark, on a desk and on a phone."""
    found: list[str] = []
    with looking(browser, color_scheme=scheme, bypass_csp=True) as page:
        open_link(page, ui)
        for path in PAGES:
            page.goto(ui.url + path)
            expect(
                page.locator("main table, main figure, main .card, main .heat, main .log-line").first
            ).to_be_visible()
            found += [f"/{path}: {each}" for each in violations(page)]
        page.set_viewport_size(PHONE)
        page.goto(ui.url + "r/sick")
        chart(page, "train/loss")
        found += [f"phone: {each}" for each in violations(page)]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
    assert found == []


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical, with the first element of each."""
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0]['failureSummary'][:200]}"
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def test_a_report_is_the_page_in_one_file(browser: Browser, shown: Path, tmp_path: Path) -> None:
    """Opened from the disk it shows charts, layers and logs, and a comparison of runs; it asks nobody for anything."""
    for name, runs in (("one", ["sick"]), ("two", ["lr0.3-seed0", "hostile"])):
        command = [sys.executable, "-m", "quark.cli", "report", *runs, "-d", shown, "-o", tmp_path / f"{name}.html"]
        subprocess.run(command, env=child_environment(), check=True, capture_output=True, timeout=120)
    with looking(browser, offline=True) as page:
        page.goto((tmp_path / "one.html").as_uri())
        expect(chart(page, "train/loss")).to_have_attribute("aria-label", re.compile("max 42, 1 not finite"))
        page.get_by_role("link", name="Layers").click()
        expect(
            page.get_by_role("list", name="Layers").get_by_role("button", name="0.weight", exact=True)
        ).to_be_visible()
        page.get_by_role("link", name="Logs").click()
        expect(page.get_by_text("checkpoint at step 30")).to_be_visible()
        page.goto((tmp_path / "two.html").as_uri())
        expect(page.get_by_text("What differs")).to_be_visible()
        assert page.evaluate("window.pwned") is None


def test_a_report_is_printed(shown: Path, tmp_path: Path) -> None:
    """--pdf has the installed browser write a PDF beside the file."""
    command = [sys.executable, "-m", "quark.cli", "report", "sick", "-d", shown, "-o", tmp_path / "run.html", "--pdf"]
    subprocess.run(command, env=child_environment(), check=True, capture_output=True, timeout=300)
    assert (tmp_path / "run.pdf").read_bytes().startswith(b"%PDF-")


def test_the_pictures_of_the_documentation_can_be_taken(page: Page, ui: Ui, tmp_path: Path) -> None:
    """Each picture that a page of the documentation shows is one that the pages still give, at its size."""
    take(page, ui.url, tmp_path)
    for name in PICTURES:
        made, kept = (directory / f"{name}.png" for directory in (tmp_path, IMAGES))
        assert made.read_bytes()[:24] == kept.read_bytes()[:24], "take them anew: python -m tests.dashboard.pictures"


def test_a_used_link_says_so(browser: Browser, recorded: Path) -> None:
    """A second browser that opens the same link sees no run, and what to do."""
    with Ui(recorded) as ui:
        with looking(browser) as first:
            first.goto(ui.link)
            expect(first.get_by_role("heading", name="Latest runs")).to_be_visible()
        with looking(browser, expected=("401",)) as second:
            second.goto(ui.link)
            expect(second.get_by_role("heading", name="Sign in")).to_be_visible()
            expect(second.get_by_text("digits")).to_have_count(0)


def test_a_key_that_ends_asks_for_another(browser: Browser, tmp_path: Path) -> None:
    """In an open page of a service a revoked key leads to the form, and a new key leads back to the runs."""
    service = Threaded(ServiceConfig.of(f"sqlite:///{tmp_path}/served/quark.db"))
    try:
        keys = service.app.state.key_store
        text, key = keys.create("leaver", ["read"])
        with looking(browser, expected=("401",)) as page:
            page.goto(service.url)
            page.get_by_label("Key of the service").fill(text)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", name="No run yet")).to_be_visible()
            keys.revoke(key.id)
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
            page.get_by_label("Key of the service").fill(keys.create("stayer", ["read"])[0])
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", name="No run yet")).to_be_visible()
    finally:
        service.close()
