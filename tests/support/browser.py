"""A headless Chromium over pages in files, which may load nothing: what it asks for is counted."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def chromium() -> str:
    """The path of Chromium; without it, or without playwright, the test is skipped and says what is missing."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (apt-get install chromium)")
    return found


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A browser with a user-data-dir of its own."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield started
        finally:
            started.close()


@dataclass
class Opened:
    """A page in the browser, and what it said and asked for.

    Attributes:
        page: playwright's.
        said: messages of its console, errors and dialogs.
        asked: addresses that it asked for besides its own file.
    """

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        """The text of the first element."""
        return str(self.page.locator(selector).first.inner_text())


@contextlib.contextmanager
def opened(started: Any, path: Path, width: int = 1600, theme: str = "light", **options: Any) -> Iterator[Opened]:
    """A page, once it is drawn; every request but that for the file is refused and kept."""
    context = started.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **options)
    page = context.new_page()
    found = Opened(page)
    page.on("console", lambda message: found.said.append(message.text))
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("dialog", lambda dialog: (found.said.append(dialog.message), dialog.dismiss()))

    def route(request: Any) -> None:
        if request.request.url.split("#")[0] == path.as_uri():
            request.continue_()
        else:
            found.asked.append(request.request.url)
            request.abort()

    page.route("**/*", route)
    try:
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]", timeout=20_000)
        yield found
    finally:
        context.close()


def axe(folder: Path) -> str:
    """The script of axe-core, from npm; without npm or network the test is skipped and says so."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm, from which axe-core comes (apt-get install npm)")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"axe-core could not be had from npm: {type(error).__name__}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
