from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.helpers import ROOT


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on two CPUs of this machine."""
    ray = pytest.importorskip("ray")
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    ray.init(
        num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": paths},
    )  # fmt: skip
    yield
    ray.shutdown()
