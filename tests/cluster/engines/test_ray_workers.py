"""Shards on Ray: the bytes of one file, and layouts that Ray would wait for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from distilbert.cluster.answer_settings import AnswerSettings
from distilbert.cluster.ray_workers import RayWorkers, workers_that_fit
from distilbert.cluster.shard_outputs import REJECTS
from distilbert.cluster.sharded_run import run_sharded
from distilbert.core.errors import UsageError
from tests.cluster import fake_worker

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's


@pytest.mark.usefixtures("cluster")
def test_actors_give_the_bytes_of_one_process(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(2000)]
    texts[1234] = "kill me"
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    settings = AnswerSettings("text-classification", {"model": "m"}, column="text", largest_window=64)
    workers = RayWorkers("local", 2, command=fake_worker.COMMAND)
    summary = run_sharded(settings, [str(tmp_path / "in.jsonl")], str(tmp_path / "out"), workers, shard_rows=300)
    answers: list[Any] = [{"label": f"L{len(text)}", "score": 1 / len(text)} for text in texts]
    answers[1234] = None
    content = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").glob("shard-*.jsonl")))
    assert content == "".join(json.dumps(answer) + "\n" for answer in answers).encode()
    assert summary["rejects"] == 1
    assert set(summary["workers"]) == {"1", "2"}
    assert "SIGABRT" in (tmp_path / "out" / REJECTS).read_text()


@pytest.mark.usefixtures("cluster")
def test_a_layout_that_would_hang_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n" * 5000)
    settings = AnswerSettings("text-classification", {"model": "m"}, largest_window=64)
    workers = RayWorkers("local", 3)
    with pytest.raises(UsageError, match="3 workers of 1 CPUs do not fit .* --workers 2"):
        run_sharded(settings, [str(tmp_path / "in.txt")], str(tmp_path / "out"), workers, shard_rows=300)


def test_room_is_counted_by_machine() -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 7.0}}, {"Alive": True, "Resources": {"CPU": 3.0}}]
    nodes += [{"Alive": False, "Resources": {"CPU": 64.0}}, {"Alive": True, "Resources": {}}]
    assert [workers_that_fit(nodes, threads) for threads in (1, 2, 4, 8)] == [10, 4, 1, 0]
