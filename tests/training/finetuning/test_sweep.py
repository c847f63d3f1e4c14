"""Several seeds and learning rates: the median counts, the best rate is chosen, a resume does the missing runs."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.errors import ConfigError, InputError
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetuner import finetune
from distilbert.training.finetuning.sweep import SweepRun, seed_spread
from tests.training.tiny_run import Record, run, write_model

from .tiny_tasks import config_of, options_of, values_of

SWEEP: Record = {"seeds": 3, "learning_rates": [0.001, 0.03], "max_steps": 2}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FinetuneConfig, list[str]]:
    lines: list[str] = []
    config = config_of(tmp_path_factory.mktemp("swept"), **SWEEP)
    return finetune(config, on_data=lines.append), config, lines


def table_of(folder: Path) -> Record:
    return dict(json.loads((folder / "runs.json").read_text()))


def test_the_median_of_seeds_and_the_best_rate(swept: Any) -> None:
    folder, _, lines = swept
    table = table_of(folder)
    assert table["main_metric"] == "accuracy"
    names = [f"runs/lr-{rate}-seed-{seed}" for rate in ("0.001", "0.03") for seed in (42, 43, 44)]
    assert [entry["folder"] for entry in table["runs"]] == names
    rates = table["learning_rates"]
    assert [rate["learning_rate"] for rate in rates] == [0.001, 0.03]
    for rate in rates:
        own_runs = [entry for entry in table["runs"] if entry["learning_rate"] == rate["learning_rate"]]
        values = [entry["metrics"]["accuracy"] for entry in own_runs]
        for entry, value in zip(own_runs, values, strict=True):
            summary = json.loads((folder / entry["folder"] / "summary.json").read_text())
            assert summary["models"]["model"]["accuracy"] == value
        assert (rate["seeds"], rate["lowest"], rate["highest"]) == (3, min(values), max(values))
        assert rate["median"] == statistics.median(values)
        assert rate["standard_deviation"] == pytest.approx(statistics.stdev(values))
        assert (
            next(entry for entry in own_runs if entry["folder"] == rate["run"])["metrics"]["accuracy"] == rate["median"]
        )
    assert table["chosen"] == max(rates, key=lambda rate: rate["median"])["run"]
    assert [line for line in lines if line.startswith("learning rate")] == [
        f"learning rate {rate}, seed {seed}" for rate in ("0.001", "0.03") for seed in (42, 43, 44)
    ]


def test_the_chosen_run_becomes_the_model(swept: Any) -> None:
    folder, config, _ = swept
    chosen = folder / table_of(folder)["chosen"]
    for name in ("model.safetensors", "config.json", "summary.json", "report.html", "vocab.txt", "README.md"):
        assert (folder / name).read_bytes() == (chosen / name).read_bytes(), name
    assert (folder / "evaluation" / "report.html").is_file()
    assert FinetuneConfig.load(folder / "config.toml") == config
    assert not (folder / "checkpoints").exists()
    assert not [path for path in folder.iterdir() if path.name.endswith(".tmp")]


def test_runs_differ_by_seed_and_rate_alone(swept: Any) -> None:
    folder, config, _ = swept
    for entry in table_of(folder)["runs"]:
        own = FinetuneConfig.load(folder / entry["folder"] / "config.toml")
        differing = {line.split(":")[0] for line in own.differences(config)}
        assert differing <= {"seed", "seeds", "learning_rate", "learning_rates"}
        assert (own.seed, own.learning_rate, own.seeds) == (entry["seed"], entry["learning_rate"], 1)


def test_a_single_run_of_the_same_settings_is_one_of_them(swept: Any, tmp_path: Path) -> None:
    folder, config, _ = swept
    values = {**config.to_dict(), "seeds": 1, "learning_rates": [], "seed": 43, "learning_rate": 0.03}
    alone = finetune(FinetuneConfig(**{**values, "output": str(tmp_path / "alone")}))
    twin = folder / "runs" / "lr-0.03-seed-43"
    assert (alone / "model.safetensors").read_bytes() == (twin / "model.safetensors").read_bytes()


def test_a_resume_does_what_is_left(swept: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, config, _ = swept
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    own = FinetuneConfig(**{**config.to_dict(), "output": str(cut)})
    half = cut / "runs" / "lr-0.03-seed-43"  # interrupted in its last step
    (half / "summary.json").unlink()
    shutil.rmtree(cut / "runs" / "lr-0.03-seed-44")  # not started
    for name in ("runs.json", "model.safetensors", "summary.json"):
        (cut / name).unlink()
    seen: list[Record] = []
    lines: list[str] = []
    finetune(own, resume=True, verbose=False, on_record=seen.append, on_data=lines.append)
    assert "checkpoint" not in caplog.text
    assert [record["step"] for record in seen if record["kind"] == "train"] == [1, 2]
    assert lines.count("24 examples to train on (text = sentence, label = label)") == 2
    assert (cut / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    before, after = table_of(folder), table_of(cut)
    for table in (before, after):
        for entry in table["runs"]:
            entry["metrics"].pop("tokens_per_second", None)
    assert before == after


def interrupt(record: Record) -> None:
    raise KeyboardInterrupt


def test_a_sweep_that_is_overwritten_and_stopped_does_not_go_on_with_the_runs_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(tmp_path, seeds=2, max_steps=1, baselines=False)
    folder = finetune(config, verbose=False)
    notes = folder / "runs" / "lr-0.01-seed-43" / "notes.txt"
    notes.write_text("mine")
    longer = config_of(tmp_path, seeds=2, max_steps=3, baselines=False)
    with pytest.raises(KeyboardInterrupt):
        finetune(longer, overwrite=True, verbose=False, on_record=interrupt)
    for name in ("summary.json", "runs.json"):
        assert not (folder / name).exists(), name
    for name in ("config.toml", "summary.json", "checkpoints/step-1"):
        assert not (notes.parent / name).exists(), name
    caplog.clear()
    finetune(longer, resume=True, verbose=False)
    for entry in table_of(folder)["runs"]:
        assert json.loads((folder / entry["folder"] / "summary.json").read_text())["steps"] == 3
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if "to resume" in line] == []  # of a run that had not begun
    assert len([line for line in said if "no checkpoint yet" in line]) == 1  # of the run that was stopped
    assert notes.read_text() == "mine"


def test_a_finished_run_with_other_settings_is_not_taken(swept: Any, tmp_path: Path) -> None:
    folder, config, _ = swept
    shutil.copytree(folder, tmp_path / "copy")
    own = FinetuneConfig(**{**config.to_dict(), "output": str(tmp_path / "copy")})
    settings = tmp_path / "copy" / "runs" / "lr-0.03-seed-44" / "config.toml"
    settings.write_text(settings.read_text().replace("max_steps = 2", "max_steps = 1"))
    with pytest.raises(ConfigError, match=r"lr-0\.03-seed-44 holds a run with other settings.*\n  max_steps: 1 -> 2"):
        finetune(own, resume=True)


@pytest.mark.parametrize("rates", [[3e-5, 5e-5, 3e-5], [1.0000001e-4, 1.0000002e-4]])
def test_two_runs_do_not_share_a_folder(tmp_path: Path, rates: list[float]) -> None:
    with pytest.raises(ConfigError, match="learning_rates must be different in their first six digits"):
        config_of(tmp_path, learning_rates=rates)


def test_folders_that_are_taken(swept: Any, tmp_path: Path) -> None:
    _, config, _ = swept
    with pytest.raises(InputError, match=r"holds a run; go on with it \(resume\)"):
        finetune(config)
    changed = FinetuneConfig(**{**config.to_dict(), "seeds": 2})
    with pytest.raises(ConfigError, match=r"Before -> now:\n  seeds: 3 -> 2\n"):
        finetune(changed, resume=True)
    with pytest.raises(InputError, match="choose one"):
        finetune(config, resume=True, overwrite=True)
    model = write_model(tmp_path / "model", head="", n_layers=2)
    before = {path.name: path.read_bytes() for path in Path(model).iterdir()}
    with pytest.raises(InputError, match="output must be another folder than that of the model"):
        finetune(config_of(tmp_path, seeds=2, output=model), overwrite=True)
    assert {path.name: path.read_bytes() for path in Path(model).iterdir()} == before


@pytest.mark.parametrize(("values", "median"), [([3.0], 3.0), ([4.0, 1.0], 1.0), ([5.0, 1.0, 2.0, 9.0], 2.0)])
def test_the_lower_median(values: list[float], median: float) -> None:
    runs = [SweepRun(f"r{number}", 0.1, number, {"f1": value}) for number, value in enumerate(values)]
    spread = seed_spread(runs, "f1")
    assert (spread["median"], spread["run"]) == (median, f"r{values.index(median)}")
    assert spread["standard_deviation"] == (0.0 if len(values) == 1 else statistics.stdev(values))


@pytest.mark.slow
def test_in_two_processes(tmp_path: Path) -> None:
    """The first process writes the results of the sweep, after the other has looked at the folder."""
    values = values_of(tmp_path, seeds=2, max_steps=1)
    code, _, err = run(["finetune", *options_of(values)], processes=2)
    assert code == 0, err
    assert err.count("examples to train on") == 2
    assert len(table_of(tmp_path / "run")["runs"]) == 2
    code, _, err = run(["finetune", "--resume", "--output", values["output"]], processes=2)
    assert code == 0, err
