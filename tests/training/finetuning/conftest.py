from __future__ import annotations

import pytest


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without the evaluation, the report and the card, which take longer than four tiny steps."""
    monkeypatch.setattr("distilbert.training.finetuning.finetuner.write_results", lambda *arguments: None)
