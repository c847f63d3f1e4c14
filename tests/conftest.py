"""Settings of all tests, and the peak memory of the process that ran them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

# A busy machine must not fail a property test: speed is measured in benchmarks, never in tests.
settings.register_profile("distilbert", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("distilbert")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the peak memory: ``make test`` is split into processes so that each stays under 4 GB."""
    if sys.platform == "linux":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        terminalreporter.write_line(f"peak memory: {peak / 1e6:.2f} GB")
