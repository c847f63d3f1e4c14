"""Frees what JAX has compiled after each file: together the tests of this folder would hold gigabytes of it."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def compiled_functions() -> Iterator[None]:
    yield
    jax.clear_caches()
