from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from distilbert.cluster import worker_supervision
from distilbert.cluster.manifest import Manifest, Shard
from distilbert.cluster.shard_answering import ShardAnswerer, ShardTry
from distilbert.cluster.shard_outputs import OnRecord, OutputFolder
from distilbert.cluster.worker_supervision import OnWorkerEvent
from distilbert.tasks import loading
from tests.cli.helpers import ROOT, Command

from . import fake_worker


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command with a task without a model, in this process and in its workers."""
    command = Command(monkeypatch, capfd, tmp_path)
    monkeypatch.setattr(loading, "pipeline", fake_worker.pipeline)
    monkeypatch.setattr(worker_supervision, "COMMAND", fake_worker.COMMAND)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'src'}")
    return command


class OwnWorkers:
    """Answers shards in this process, the last one first."""

    def run(
        self, manifest: Manifest, output: str, shards: Sequence[Shard], on_record: OnRecord, on_event: OnWorkerEvent
    ) -> None:
        settings = manifest.settings
        folder = OutputFolder(output, settings.shard_format)
        answerer = ShardAnswerer(settings, folder, settings.load(), "1", lambda event: on_event("1", event))
        for shard in sorted(shards, key=lambda shard: -shard.number):
            on_record(answerer.answer(ShardTry(shard, manifest.files[shard.file], {})))


@pytest.fixture
def own_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes: many cases in little time."""
    monkeypatch.setattr("distilbert.cli.run.sharding.LocalWorkers", lambda workers, threads: OwnWorkers())
