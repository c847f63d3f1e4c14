from __future__ import annotations

import pytest


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """End runs without evaluation, report and card, which take longer than four tiny steps."""
    monkeypatch.setattr("distilbert.training.finetuning.finetuner.write_results", lambda *arguments: None)
