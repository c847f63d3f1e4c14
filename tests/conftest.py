"""Settings of all tests, and the peak memory of the process that ran them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine must not fail a property test: speed is measured in benchmarks, never in tests.
settings.register_profile("distilbert", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("distilbert")


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep what the engine keeps in a folder of this run, and not among the user's files."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["DISTILBERT_CACHE"] = str(folder)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the peak memory: ``make test`` is split into processes so that each stays under 4 GB."""
    if sys.platform == "linux":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        terminalreporter.write_line(f"peak memory: {peak / 1e6:.2f} GB")
