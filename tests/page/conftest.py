"""A server on tiny models of every head, and Chromium to look at its page; without Chromium these tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.make_models import make
from tests.server_process import serving

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MODELS = ("labels", "entities", "answers", "masked-lm", "nli", "choices", "encoder")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in MODELS:
        make(folder, name)
    return folder


@pytest.fixture(scope="session")
def address(models: Path) -> Iterator[str]:
    with serving(models, *MODELS, "--precision", "fp32") as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no Chromium is installed: none of {', '.join(BROWSERS)}; the variable CHROMIUM names another")
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = driver.chromium.launch(executable_path=program, args=options)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open the page; it must not complain of anything, and call no other host."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(address: str, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("request", lambda request: request.url.startswith((address.split("#")[0], "data:", "blob:")) or
                complaints.append(f"a call to {request.url}"))  # fmt: skip
        page.complaints = complaints
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
