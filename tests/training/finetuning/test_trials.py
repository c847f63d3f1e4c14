"""A search of settings: what it may choose, the same runs after a stop, failed runs, and the best one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.errors import ConfigError, TrainingError
from distilbert.training.finetuning import finetuner, trials
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetuner import finetune
from distilbert.training.finetuning.trials import SearchedField, search_space

from .test_sweep import interrupt
from .tiny_tasks import config_of

SEARCH = ["learning_rate=1e-4:1e-1", "batch_size=4|8", "epochs=1:2", "freeze=none|embeddings"]


def test_what_is_searched(tmp_path: Path) -> None:
    config = config_of(tmp_path, trials=3, search=SEARCH, learning_rate=1e-3)
    assert search_space(config) == [
        SearchedField("learning_rate", 1e-4, 1e-1),
        SearchedField("batch_size", choices=(4, 8)),
        SearchedField("epochs", 1.0, 2.0),
        SearchedField("freeze", choices=("none", "embeddings")),
    ]
    rate, warmup = search_space(replace(config, search=[]))
    assert (rate.low, rate.high, warmup.high) == (pytest.approx(2e-4), pytest.approx(5e-3), 0.2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("teacher=a|b", "'teacher=a|b' is no field with its values"),
        ("learning_rate", "is no field with its values"),
        ("learning_rate=high", "must be LOW:HIGH, or A|B|C"),
        ("learning_rate=1e-3:1e-5", "must be LOW:HIGH"),
        ("freeze=a:b", "must be LOW:HIGH"),
        ("batch_size=0|8", "batch_size must be at least 1"),
        ("new_head=linear|huge", "new_head"),
        ("max_length=16:64", "max_length 64 is more than the model's 23 positions"),
        ("freeze=1|3", "freeze: the model has 2 blocks; got 3"),
    ],
)
def test_what_cannot_be_searched(tmp_path: Path, entry: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("|", r"\|")):
        finetune(config_of(tmp_path, trials=2, search=[entry]))
    assert not (tmp_path / "run").exists()


def test_class_weights_of_a_regression_are_refused_before_the_first_trial(tmp_path: Path) -> None:
    rows = tmp_path / "numbers.tsv"
    rows.write_text("text\tlabel\na\t1.5\nb\t2.5\n", encoding="utf-8")
    config = config_of(
        tmp_path, train_data=[str(rows)], eval_data=[str(rows)], trials=2, search=["class_weights=none|balanced"]
    )
    with pytest.raises(ConfigError, match="class_weights must be none: the labels are numbers"):
        finetune(config)
    assert not Path(config.output).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 2, "seeds": 2}, "trials must be 0 where seeds or learning_rates"),
        ({"trials": -1}, "trials must be 0 or more"),
        ({"search": SEARCH}, "search must be left out where trials is 0"),
        ({"trials": 2, "eval_data": []}, "trials must be 0 where eval_data is not given"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, **changes)


def figures_of(table: dict[str, Any]) -> list[Any]:
    """Settings and quality of each run, without its speed."""
    return [(run["settings"], run["metrics"].get("log_loss")) for run in table["runs"]]


def test_the_best_run_becomes_the_model_and_a_stopped_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    once, trained = finetuner._finetune_once, []

    def counting(config: FinetuneConfig, *arguments: Any) -> Path:
        name = Path(config.output).name
        trained.append(name)
        if name == "trial-001":
            raise TrainingError("the loss is NaN")
        if len(trained) == 4:
            raise KeyboardInterrupt
        return once(config, *arguments)

    monkeypatch.setattr(finetuner, "_finetune_once", counting)
    search = ["learning_rate=1e-4:1e-1", "batch_size=4|8"]
    whole = config_of(tmp_path / "whole", trials=4, search=search, max_steps=1)
    with pytest.raises(KeyboardInterrupt):
        finetune(whole)
    folder = finetune(whole, resume=True)
    assert trained == ["trial-000", "trial-001", "trial-002", "trial-003", "trial-003"]
    table = json.loads((folder / "runs.json").read_text())
    assert [run["folder"] for run in table["runs"]] == [f"runs/trial-{number:03d}" for number in range(4)]
    assert [bool(run["metrics"]) for run in table["runs"]] == [True, False, True, True]
    best = max((run for run in table["runs"] if run["metrics"]), key=lambda run: run["metrics"]["accuracy"])
    assert table["chosen"] == best["folder"]
    for run in table["runs"]:
        assert 1e-4 <= run["settings"]["learning_rate"] <= 1e-1
        assert run["settings"]["batch_size"] in (4, 8)
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (folder / table["chosen"] / weights).read_bytes()
    trained += ["the interrupt came"]
    again = finetune(replace(whole, output=str(tmp_path / "again")))
    assert figures_of(json.loads((again / "runs.json").read_text())) == figures_of(table)


def test_a_search_that_is_overwritten_and_stopped_does_not_go_on_with_the_runs_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs(config: FinetuneConfig) -> Iterator[FinetuneConfig]:
        for folder in trials.trial_folders(config):
            yield replace(config, output=str(folder), trials=0, search=[])

    def failing(config: FinetuneConfig, *arguments: Any) -> Path:
        raise TrainingError("the loss is NaN")

    def steps() -> list[int]:
        return [json.loads(path.read_text())["steps"] for path in (tmp_path / "run" / "runs").glob("*/summary.json")]

    monkeypatch.setattr(finetuner, "trial_runs", runs)
    config = config_of(tmp_path, trials=2, max_steps=1, baselines=False)
    finetune(config, verbose=False)
    assert steps() == [1, 1]
    longer = replace(config, max_steps=2)
    with pytest.raises(KeyboardInterrupt):
        finetune(longer, overwrite=True, verbose=False, on_record=interrupt)
    assert steps() == []
    finetune(longer, resume=True, verbose=False)
    assert steps() == [2, 2]
    with monkeypatch.context() as patch:
        patch.setattr(finetuner, "_finetune_once", failing)
        with pytest.raises(ConfigError, match="All 2 runs of the search failed"):
            finetune(longer, overwrite=True, verbose=False)
    with pytest.raises(ConfigError, match="All 2 runs of the search failed"):
        finetune(longer, resume=True, verbose=False)  # a run that failed is not repeated
    with pytest.raises(KeyboardInterrupt):
        finetune(longer, overwrite=True, verbose=False, on_record=interrupt)
    assert not list((tmp_path / "run").rglob("failed.json"))


def test_metrics_of_your_own_in_every_evaluation(tmp_path: Path) -> None:
    config = config_of(tmp_path, max_steps=2, evaluate_every=1)
    folder = finetune(config, metrics={"answers": lambda expected, given: len(set(given))})
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    assert evaluations
    assert all(record["answers"] >= 1 for record in evaluations)
    assert json.loads((folder / "summary.json").read_text())["models"]["model"]["answers"] >= 1
