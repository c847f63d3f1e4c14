from __future__ import annotations

from collections.abc import Iterator

import pytest

BLANK = '<svg class="chart"></svg>'
# These test what charts show; the charts of real runs are drawn in tests/cli and tests/docs, too.
DRAWN = ("test_report.py", "test_golden_pages.py", "test_evaluate.py")


@pytest.fixture(scope="module", autouse=True)
def blank_charts(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the charts of reports blank: drawing them takes longer than the tiny runs themselves."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in DRAWN:
            patch.setattr("distilbert.training.reports.charts.draw_svg", lambda *arguments: BLANK)
        yield
