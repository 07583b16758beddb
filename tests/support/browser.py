"""Headless Chromium as fixtures, of which tests use ``visit``.

When a test ends, every page that it opened must have logged no error and sent no request to
another machine; a test that causes an error on purpose clears ``errors`` itself.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AXE = files("axe_playwright_python") / "axe.min.js"
expect.set_options(timeout=30_000)  # as Playwright's other waits; 5 s are few beside a training
LOCAL_HOSTS = {"127.0.0.1", "localhost", "[::1]", ""}  # "" is the host of file:, data: and blob:


@dataclass
class Visit:
    """An open page, the errors that it logged and its requests to other machines."""

    page: Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def violations(self, inside: str = "html") -> list[str]:
        """Return the serious and critical violations that axe finds inside a selector."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(
            "inside => axe.run(inside, {resultTypes: ['violations']})", inside
        )["violations"]
        return [
            f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        root = "document.documentElement"
        return int(self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))

    def _log(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _guard(self, route: Route) -> None:
        parts = urlsplit(route.request.url)
        if (parts.hostname or "") in LOCAL_HOSTS:
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium for one module: Playwright's event loop must not outlive it."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root, nor in most containers.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens a file or URL: ``visit(address, dark=False, width=1200)``."""
    visits: list[Visit] = []

    def open_page(address: Path | str, dark: bool = False, width: int = 1200) -> Visit:
        page = browser.new_page(
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 800},
            reduced_motion="reduce",
        )
        visits.append(visit := Visit(page))
        page.on("console", visit._log)
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        page.route("**/*", visit._guard)
        page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return visit

    yield open_page
    for visited in visits:
        visited.page.close()
    assert [error for visited in visits for error in visited.errors] == []
    assert [url for visited in visits for url in visited.outside] == []
