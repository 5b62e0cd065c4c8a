"""A real browser at the Prefect UI. The selectors are those of its pages, which come with the locked Prefect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

from tests.contract.servers import need

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
PATIENCE_MILLISECONDS = 60_000


@contextmanager
def browsing() -> Iterator[Page]:
    """An empty page of a browser that nobody sees."""
    program = need("chromium", *PROGRAMS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(PATIENCE_MILLISECONDS)
            yield page
        finally:
            browser.close()


def resume_form(page: Page, run_page: str) -> Locator:
    """The form of a suspended run, opened as a person opens it."""
    page.goto(run_page)
    page.get_by_role("button", name="Resume").first.click()
    form = page.locator(".p-modal").last
    form.get_by_text("Your answer", exact=True).wait_for()
    return form


def choose(page: Page, form: Locator, option: str) -> None:
    """Chooses an option of the form's only list."""
    form.locator(".p-select").first.click()
    page.keyboard.press("ArrowDown")  # the list is drawn when it is moved in
    page.locator(".p-select-option").filter(has_text=option).first.click()


def picture(page: Page, folder: Path, name: str) -> None:
    """Keeps what the page looks like, for a person to look at."""
    page.screenshot(path=folder / f"{name}.png")
