"""Fine-tuning with settings that Optuna chooses: what is searched, which run comes next, and which becomes the model.

Optuna's sampler is a function of the seed and of the results so far. So a search that is resumed asks for the same runs
again, and those that are finished only tell their results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from ...core.extras import require
from ...core.files import write_json
from ..run_folder import CONFIG, FAILED
from .finetune_config import FinetuneConfig
from .sweep import RUNS, RUNS_TABLE, copy_results, final_metrics
from .task_models import check_model_fits

SEARCHABLE = (
    "learning_rate", "epochs", "batch_size", "warmup", "weight_decay", "layer_decay", "clip", "temperature",
    "teacher_weight", "max_length", "freeze", "pooling", "new_head", "class_weights",
)  # fmt: skip
LOGARITHMIC_FROM = 10.0  # ratio of the ends of a range from which it is searched by its logarithm
RANDOM_TRIALS = 5  # before the sampler learns from results


@dataclass(frozen=True)
class SearchedField:
    """A field, and the values that it may take.

    Attributes:
        name: of the field of ``FinetuneConfig``.
        low: end of a range.
        high: other end of it.
        choices: values, instead of a range.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()

    def distribution(self, optuna: Any) -> Any:
        """Return it as Optuna names it."""
        kinds = optuna.distributions
        if self.choices:
            return kinds.CategoricalDistribution(self.choices)
        by_logarithm = self.low > 0 and self.high / self.low >= LOGARITHMIC_FROM
        if isinstance(self.low, int) and isinstance(self.high, int):
            return kinds.IntDistribution(self.low, self.high, log=by_logarithm)
        return kinds.FloatDistribution(self.low, self.high, log=by_logarithm)


def search_space(config: FinetuneConfig) -> list[SearchedField]:
    """Return what is searched: ``config.search``, or else the learning rate and the warm-up around their settings.

    Raises:
        ConfigError: an entry cannot be understood, or one of its values cannot be a setting.
    """
    if not config.search:
        rate = config.learning_rate
        return [SearchedField("learning_rate", rate / 5, rate * 5), SearchedField("warmup", 0.0, 0.2)]
    space = [_parse(entry) for entry in config.search]
    for field in space:
        for value in field.choices or (field.low, field.high):
            check_model_fits(replace(config, trials=0, search=[], **{field.name: value}))  # which checks the value, too
    return space


def _parse(entry: str) -> SearchedField:
    name, _, values = entry.partition("=")
    name = name.strip().replace("-", "_")
    if name not in SEARCHABLE or not values:
        raise ConfigError(
            f"search: {entry!r} is no field with its values, such as learning_rate=1e-5:1e-3 or batch_size=16|32. "
            f"Fields are: {', '.join(SEARCHABLE)}."
        )
    kind = {field.name: str(field.type) for field in fields(FinetuneConfig)}[name]
    try:
        if "|" in values or ":" not in values:
            return SearchedField(name, choices=tuple(_value(text, kind) for text in values.split("|")))
        low, high = (_value(text, kind) for text in values.split(":"))
        if kind == "str" or not low < high:
            raise ValueError(values)
    except ValueError:
        raise ConfigError(
            f"search: the values of {entry!r} must be LOW:HIGH, or A|B|C, and such as {name} can have."
        ) from None
    return SearchedField(name, low, high)


def _value(text: str, kind: str) -> Any:
    return {"int": int, "float": float}.get(kind, str)(text.strip())


def trial_folders(config: FinetuneConfig) -> list[Path]:
    """Return the folder of each run."""
    return [Path(config.output) / RUNS / f"trial-{number:03d}" for number in range(config.trials)]


def trial_runs(config: FinetuneConfig) -> Iterator[FinetuneConfig]:
    """Yield the settings of one run after the other. Each must be finished before the next is asked for.

    A run whose loss became infinite or NaN leaves ``failed.json`` in its folder, and counts as one that failed.

    Raises:
        MissingExtraError: Optuna is not installed.
    """
    optuna = require("optuna", "optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {each.name: each.distribution(optuna) for each in search_space(config)}
    sampler = optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=RANDOM_TRIALS)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for folder in trial_folders(config):
        trial = study.ask(distributions)
        run = replace(config, output=str(folder), trials=0, search=[], **trial.params)
        yield run
        if (Path(run.output) / FAILED).is_file():
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        metric, higher_is_better, metrics = final_metrics(run)
        study.tell(trial, metrics[metric] if higher_is_better else -metrics[metric])


def finish_trials(config: FinetuneConfig, configs: Sequence[FinetuneConfig]) -> None:
    """Write ``runs.json`` with the settings and figures of all runs, and copy the best model into the folder.

    Args:
        config: of the search.
        configs: of its runs.

    Raises:
        ConfigError: every run failed.
    """
    folder, names = Path(config.output), [field.name for field in search_space(config)]
    runs: list[dict[str, Any]] = []
    main_metric, higher_is_better = "", True
    for run in configs:
        entry: dict[str, Any] = {
            "folder": f"{RUNS}/{Path(run.output).name}",
            "settings": {name: getattr(run, name) for name in names},
        }
        if (Path(run.output) / FAILED).is_file():
            runs.append(entry | {"metrics": {}})
            continue
        main_metric, higher_is_better, metrics = final_metrics(run)
        runs.append(entry | {"metrics": metrics})
    finished = [run for run in runs if run["metrics"]]
    if not finished:
        raise ConfigError(f"All {len(runs)} runs of the search failed: search lower learning rates.")
    best = (max if higher_is_better else min)(finished, key=lambda run: run["metrics"][main_metric])
    write_json(folder / RUNS_TABLE, {"main_metric": main_metric, "chosen": best["folder"], "runs": runs})
    copy_results(folder / best["folder"], folder)


def write_failure(config: FinetuneConfig, reason: str) -> None:
    """Note that a run failed for good."""
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    config.save(folder / CONFIG)
    write_json(folder / FAILED, {"failed": reason})


def forget_failure(config: FinetuneConfig) -> None:
    """Remove the note that a run failed, before it begins anew."""
    (Path(config.output) / FAILED).unlink(missing_ok=True)
