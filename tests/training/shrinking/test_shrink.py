"""``shrink`` as its users see it: what it writes, when it refuses, how it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert.cli.shrink import print_table
from distilbert.core.errors import ConfigError, DataError, GateError, InputError, Interrupted, TokenizerError
from distilbert.core.installed import find_installed
from distilbert.data.labelled import read_examples
from distilbert.tasks import pipeline
from distilbert.training.evaluation.speed import Speed
from distilbert.training.finetuning import finetuner
from distilbert.training.shrink_config import ShrinkConfig
from distilbert.training.shrinking import planner, shrinker
from distilbert.training.shrinking.shrinker import shrink
from tests.training.finetuning.tiny_tasks import KINDS, LABELS, TASKS, write_data, write_teacher
from tests.training.tiny_run import run_here, weights

SHRUNK_KINDS = [kind for kind in KINDS if kind != "text"]


def by_size(tasks: Mapping[str, Any], examples: Sequence[Any], rounds: int = 3) -> dict[str, Speed]:
    """Speeds that depend on the size of a model alone: tiny models do nothing but wait for Python."""
    speeds = {}
    for name, task in tasks.items():
        sizes = task.runner.config
        heads = sum(sizes.n_heads - len(sizes.pruned_heads.get(layer, ())) for layer in range(sizes.n_layers))
        seconds = 1 + sizes.n_layers * (1 + sizes.hidden_dim / 10) + heads / 2
        speeds[name] = Speed(1, 1, 1, 1, 1, 1000 / seconds, 1)
    return speeds


@pytest.fixture(autouse=True)
def even_speeds(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "slow" not in request.keywords:  # which measures
        for module in (planner, shrinker):
            monkeypatch.setattr(module, "measure_speeds", by_size)


def settings(folder: Path, kind: str = "single", **changes: Any) -> dict[str, Any]:
    """Settings of a run of three steps on a model of three layers."""
    if not (folder / "model").exists():
        write_teacher(folder / "model", kind)
        write_data(folder / "train", kind, 24)
        write_data(folder / "dev", kind, 60, seed=1)
    files = {name: str(next(folder.glob(f"{name}.*"))) for name in ("train", "dev")}
    return {
        "model": str(folder / "model"), "data": [files["train"]], "metric_data": [files["dev"]],
        "output": str(folder / "small"), "target_speedup": 1.5, "max_drop": 100.0, "max_steps": 3, "batch_size": 8,
        "threads": 1, **changes,
    }  # fmt: skip


@pytest.mark.parametrize("kind", SHRUNK_KINDS)
def test_every_task_becomes_smaller(tmp_path: Path, kind: str) -> None:
    lines: list[str] = []
    result = shrink(ShrinkConfig(**settings(tmp_path, kind)), verbose=False, on_progress=lines.append)
    measured = json.loads((tmp_path / "small" / "shrink.json").read_text())
    assert measured == result.measured
    assert measured["speedup"] >= 1.5
    assert measured["drop"] == pytest.approx(measured["before"] - measured["after"])
    assert measured["parameters"] < measured["parameters_before"]
    assert any("times as fast" in line for line in lines)
    small = pipeline(TASKS[kind], tmp_path / "small", precision="fp32")
    assert small.runner.config.n_layers == measured["layers"]
    assert small.runner.config.hidden_dim == measured["hidden_dim"]
    assert measured["layers"] < 3 or measured["hidden_dim"] < 40
    if kind in LABELS:
        assert small.runner.config.id2label == dict(enumerate(LABELS[kind]))
    card = (tmp_path / "small" / "README.md").read_text()
    assert "## Shrinking" in card
    assert f"{measured['speedup']:.2f} times as fast (asked for: 1.5)" in card
    assert (tmp_path / "small" / "report.html").is_file()


def test_heads_and_vocabulary_are_cut_where_asked_for(tmp_path: Path) -> None:
    values = settings(tmp_path, prune_heads=True, vocabulary=27, layers="3", target_speedup=1.7)
    with pytest.raises(TokenizerError, match=r"can be cut to 31 at least"):
        shrink(ShrinkConfig(**values), verbose=False)
    result = shrink(ShrinkConfig(**values | {"vocabulary": 31}), overwrite=True, verbose=False)
    small = pipeline("text-classification", result.folder, precision="fp32").runner.config
    assert small.n_layers == 3
    assert small.pruned_heads
    assert result.measured["heads"] == 9 - sum(map(len, small.pruned_heads.values()))
    assert (small.vocab_size, result.measured["vocabulary_before"]) == (31, 31)
    assert "31 of 31 entries of the vocabulary" in (result.folder / "README.md").read_text()


def test_a_vocabulary_alone(tmp_path: Path) -> None:
    """The embeddings beyond the entries of its tokenizer go."""
    result = shrink(ShrinkConfig(**settings(tmp_path, vocabulary=31, target_speedup=1.0)), verbose=False)
    gone = 24 * (97 - 31)
    assert result.measured["parameters"] == result.measured["parameters_before"] - gone
    assert (result.measured["layers"], result.measured["hidden_dim"], result.measured["heads"]) == (3, 40, 9)


def test_layers_alone(tmp_path: Path) -> None:
    result = shrink(ShrinkConfig(**settings(tmp_path, layers="0,2", target_speedup=1.0)), verbose=False)
    assert (result.measured["layers"], result.measured["hidden_dim"], result.measured["heads"]) == (2, 40, 6)


@pytest.mark.parametrize(("layers", "kept"), [("", 3), ("2", 2)])
def test_a_stated_number_of_columns(tmp_path: Path, layers: str, kept: int) -> None:
    """It holds on every machine, however fast; no speed is asked for then."""
    result = shrink(ShrinkConfig(**settings(tmp_path, layers=layers, hidden_dim=24)), verbose=False)
    measured = result.measured
    assert (measured["layers"], measured["hidden_dim"], measured["target_speedup"]) == (kept, 24, None)
    assert f"{measured['speedup']:.2f} times as fast, with" in (result.folder / "README.md").read_text()
    with pytest.raises(ConfigError, match="The model has 40 columns in each layer; got 41"):
        shrink(ShrinkConfig(**settings(tmp_path, hidden_dim=41)), overwrite=True, verbose=False)


def test_without_training_the_result_is_what_was_cut(tmp_path: Path) -> None:
    result = shrink(ShrinkConfig(**settings(tmp_path, epochs=0.0, max_steps=0)), verbose=False)
    assert not (tmp_path / "small" / "run").exists()
    card = (tmp_path / "small" / "README.md").read_text()
    assert card.startswith("# small\n\n## Shrinking")
    cut, written = weights(tmp_path / "small" / "start"), weights(result.folder)
    assert cut.keys() == written.keys()
    assert all((cut[name] == written[name]).all() for name in cut)


def test_a_drop_that_is_too_large_writes_no_model_and_may_be_allowed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Falling(shrinker.RunnerScorer):
        scores = iter([90.0, 80.0] * 2)

        def __call__(self, runner: Any) -> float:
            super().__call__(runner)
            return next(self.scores)

    monkeypatch.setattr(shrinker, "RunnerScorer", Falling)
    values = settings(tmp_path, max_drop=5.0)
    with pytest.raises(
        GateError, match=r"a drop of 10\.00 against 90\.00; 5 may be lost\. No model was written"
    ) as error:
        shrink(ShrinkConfig(**values), verbose=False)
    assert error.value.fp32_score == 90
    folder = tmp_path / "small"
    assert not (folder / "config.json").exists()
    assert not (folder / "shrink.json").exists()
    trained = weights(folder / "run")
    result = shrink(ShrinkConfig(**values | {"max_drop": 10.0}), resume=True, verbose=False)
    assert result.measured["drop"] == 10
    for name, tensor in weights(folder).items():
        assert (tensor == trained[name]).all()
    Falling.scores = iter([90.0, 80.0])
    with pytest.raises(GateError, match="No model was written"):
        shrink(ShrinkConfig(**values | {"max_drop": 9.0}), resume=True, verbose=False)
    assert not (folder / "config.json").exists()
    assert not (folder / "model.safetensors").exists()
    assert not (folder / "shrink.json").exists()
    assert weights(folder / "run").keys() == trained.keys()


def test_an_interrupted_run_goes_on_to_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shrink(ShrinkConfig(**settings(tmp_path, output=str(tmp_path / "whole"))), verbose=False)

    def stop(*arguments: Any, **options: Any) -> None:
        raise Interrupted("stopped")

    values = settings(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(finetuner, "train", stop)
        with pytest.raises(Interrupted):
            shrink(ShrinkConfig(**values), verbose=False)
    with pytest.raises(InputError, match="is not empty"):
        shrink(ShrinkConfig(**values), verbose=False)
    with pytest.raises(ConfigError, match=r"target_speedup: 1\.5 -> 1\.6"):
        shrink(ShrinkConfig(**values | {"target_speedup": 1.6}), resume=True, verbose=False)
    planned = (tmp_path / "small" / "plan.json").stat().st_mtime_ns
    resumed = shrink(ShrinkConfig(**values), resume=True, verbose=False)
    assert (tmp_path / "small" / "plan.json").stat().st_mtime_ns == planned
    for name, tensor in weights(resumed.folder).items():
        np.testing.assert_array_equal(tensor, weights(whole.folder)[name])


@pytest.mark.parametrize("steps", [3, 2])
def test_a_run_that_is_overwritten_and_stopped_while_it_is_planned_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Neither the training of the old plan goes on, nor are its settings in the way."""

    def stop(*arguments: Any) -> None:
        raise Interrupted("stopped")

    values = settings(tmp_path, target_speedup=1.0, layers="0,", max_steps=steps)
    expected = weights(shrink(**values, verbose=False).folder)
    shrink(**values | {"layers": "1,", "max_steps": 3}, overwrite=True, verbose=False)
    with monkeypatch.context() as patch:
        patch.setattr(planner.Planner, "write", stop)
        with pytest.raises(Interrupted):
            shrink(**values, overwrite=True, verbose=False)
    result = shrink(**values, resume=True, verbose=False)
    for name, tensor in weights(result.folder).items():
        np.testing.assert_array_equal(tensor, expected[name])


def test_what_cannot_be_shrunk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    values = settings(tmp_path)
    encoder, words = write_teacher(tmp_path / "words", "text"), tmp_path / "quantized"
    words.mkdir()
    (words / "config.json").write_text((tmp_path / "model" / "config.json").read_text())
    (words / "quantization.safetensors").write_bytes(b"")
    (tmp_path / "few.tsv").write_text("\n".join((Path(values["metric_data"][0])).read_text().splitlines()[:20]))
    for changes, error, message in (
        ({"model": encoder}, InputError, "does fill-mask; shrink takes models for"),
        ({"model": str(words)}, InputError, "is quantized; shrink the model that it was made of"),
        ({"metric_data": [str(tmp_path / "few.tsv")]}, DataError, "has 19 examples.*at least 50 are needed"),
        ({"output": values["model"]}, InputError, "the folder of the model itself"),
    ):
        with pytest.raises(error, match=message):
            shrink(ShrinkConfig(**values | changes), verbose=False)
    with pytest.raises(InputError, match="Ask for a smaller speedup"):
        shrink(ShrinkConfig(**values | {"target_speedup": 500.0}), verbose=False)
    assert not (tmp_path / "small" / "plan.json").exists()


def test_settings_that_ask_for_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="target_speedup must be more than 1, unless layers, hidden_dim or"):
        ShrinkConfig(**settings(tmp_path, target_speedup=1.0))
    with pytest.raises(ConfigError, match="prune_heads must be left out where hidden_dim is stated"):
        ShrinkConfig(**settings(tmp_path, hidden_dim=24, prune_heads=True))


def test_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    values = settings(tmp_path)
    arguments = [
        "shrink", values["model"], "--data", values["data"][0], "--metric-data", values["metric_data"][0],
        "--output", values["output"], "--target-speedup", "1.5", "--max-drop", "100", "--max-steps", "2",
    ]  # fmt: skip
    code, shown, _ = run_here(arguments, capfd)
    assert code == 0
    assert "examples a second" in shown
    assert f"written to {values['output']}" in shown
    assert "were asked for" not in shown
    measured = json.loads((Path(values["output"]) / "shrink.json").read_text())
    print_table(measured | {"speedup": 1.2})
    assert "1.20 times as fast (1.50 were asked for; measure again" in capfd.readouterr().out
    code, shown, _ = run_here(["shrink", "--resume", "--output", values["output"], "--json"], capfd)
    assert (code, json.loads(shown)["folder"]) == (0, values["output"])
    code, _, error = run_here(["shrink", "--output", values["output"]], capfd)
    assert code == 2
    assert "Missing argument MODEL" in error


@pytest.mark.slow
def test_the_engine_is_as_fast_as_was_asked_for(tmp_path: Path) -> None:
    """On the installed model, with nothing imitated."""
    if find_installed("distilbert-mini-sst2") is None:
        pytest.skip("the model distilbert-mini-sst2 is not installed")
    lines = ["sentence\tlabel"]
    for number in range(200):
        lines.append(f"the {'best' if number % 2 else 'worst'} film number {number} of many\t{number % 2}")
    (tmp_path / "data.tsv").write_text("\n".join(lines))
    result = shrink(
        model="distilbert-mini-sst2", data=[str(tmp_path / "data.tsv")], metric_data=[str(tmp_path / "data.tsv")],
        output=str(tmp_path / "small"), target_speedup=1.5, max_drop=100.0, max_steps=2, vocabulary=8000,
    )  # fmt: skip
    assert result.measured["speedup"] > 1.3
    assert result.measured["vocabulary"] == 8000
    texts = read_examples("text-classification", [str(tmp_path / "data.tsv")]).examples
    assert len(pipeline("text-classification", result.folder)([example.text for example in texts])) == 200
