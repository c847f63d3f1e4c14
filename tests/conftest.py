"""Settings of all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine must not fail a property test: speed is measured in benchmarks, never in tests.
settings.register_profile("distilbert", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("distilbert")
