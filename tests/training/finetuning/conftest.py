from __future__ import annotations

from collections.abc import Iterator

import pytest

BLANK = '<svg class="chart"></svg>'


@pytest.fixture(scope="module", autouse=True)
def blank_charts(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the charts of reports blank: drawing them takes longer than the tiny runs themselves.

    The runs of ``test_finetuner`` draw theirs; what charts show is tested in ``test_report`` and ``test_golden_pages``.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name != "test_finetuner.py":
            patch.setattr("distilbert.training.reports.charts.draw_svg", lambda *arguments: BLANK)
        yield


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """End runs without evaluation, report and card, which take longer than four tiny steps."""
    monkeypatch.setattr("distilbert.training.finetuning.finetuner.write_results", lambda *arguments: None)
