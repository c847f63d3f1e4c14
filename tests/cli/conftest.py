from __future__ import annotations

from pathlib import Path

import pytest

from .helpers import Command


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    return Command(monkeypatch, capfd, tmp_path)
