"""A report as a browser shows it: figures are drawn, sound plays, nothing is complained of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.sweeps import write_sweep
from tests.unit.test_report import QUALITY, write_tone
from vibesweep.delivery.report.write import write_report
from vibesweep.quality.quality_file import write_quality

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
TWO_LINES_PX = 45
FLAGS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
PHONE_PX, PAPER_PX, DESKTOP_PX = 375, 720, 1_280

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sweep(tmp_path_factory.mktemp("sweeps") / "made", 40)
    write_quality(QUALITY, folder.quality)
    for name in ("b", "t", "r"):
        write_tone(folder.best / f"{name}.wav", 0.5)
    return Path(str(write_report(folder)))


@pytest.mark.parametrize("width_px", [PHONE_PX, DESKTOP_PX])
def test_a_report_opens_without_a_complaint(browser: Browser, report: Path, width_px: int) -> None:
    page = browser.new_page(viewport={"width": width_px, "height": 800})
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    _open(page, report)
    assert page.locator(".plot").count() == page.locator(".plot .main-svg:first-child").count() == 9
    assert page.locator(".plot .scatterlayer .trace").count() > 8
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    row_px = page.evaluate("document.querySelector('#trials tbody tr:nth-child(2)').offsetHeight")
    assert row_px < TWO_LINES_PX, "a trial is one line"
    assert page.evaluate(PLAY) == [True] * 3
    assert complaints == []
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    page.close()


PLAY = """async () => {
  const played = [];
  for (const audio of document.querySelectorAll("audio")) {
    await audio.play();
    await new Promise((done) => audio.addEventListener("ended", done));
    played.push(audio.currentTime > 0.4 && audio.error === null);
  }
  return played;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_page_and_figures_stands_out(browser: Browser, report: Path, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    _open(page, report)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = page.evaluate("getComputedStyle(document.body).color")
    label = page.evaluate("getComputedStyle(document.querySelector('.plot .xtick text')).fill")
    assert label == ink
    assert (_brightness(paper) > _brightness(ink)) == (scheme == "light")
    assert abs(_brightness(paper) - _brightness(ink)) > 150
    page.set_viewport_size({"width": PAPER_PX, "height": DESKTOP_PX})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_PX
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


def _open(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn")


def _brightness(colour: str) -> float:
    """Return the mean of ``rgb(1, 2, 3)``."""
    parts = colour.removeprefix("rgb(").removesuffix(")").split(",")
    return sum(map(float, parts)) / len(parts)
