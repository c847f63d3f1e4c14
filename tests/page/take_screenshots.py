"""The pictures of the page in the documentation, from a server with the default model.

python -m tests.page.take_screenshots
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.page.conftest import BROWSERS
from tests.server_process import serving

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PICTURES = (  # name, task, width, theme
    ("serving-page", "text-classification", 1180, "light"),
    ("serving-page-phone", "sentence-similarity", 400, "dark"),
)


def main() -> None:
    """Take them."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)))
    IMAGES.mkdir(exist_ok=True)
    with serving(Path.cwd()) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for name, task, width, theme in PICTURES:
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
            page.goto(f"{address}/#{task}")
            page.wait_for_selector("#latency:has-text('ms')")
            page.click("#examples button:last-child")
            for _ in range(3):  # so that the live figures have something to show
                page.wait_for_timeout(1000)
                page.click("#send")
            page.wait_for_timeout(1000)
            page.screenshot(path=IMAGES / f"{name}.png", full_page=width < 500)
        browser.close()


if __name__ == "__main__":
    main()
