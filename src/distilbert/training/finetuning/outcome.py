"""What a fine-tuning run came to: its evaluation, ``summary.json``, the report and the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.files import write_json
from ...data.examples import Labels
from ...models.checkpoint import open_checkpoint
from ..evaluation.config import EvaluateConfig
from ..evaluation.evaluate import evaluate
from ..evaluation.result import Evaluation
from ..loop import Progress
from ..reports.model_card import is_ours, write_card
from ..reports.training_report import write_report
from ..run_summary import about_run
from .finetune_config import FinetuneConfig

EVALUATION = "evaluation"  # folder inside that of the run


def finish(config: FinetuneConfig, folder: Path, data: dict[str, Any], labels: Labels, progress: Progress) -> None:
    """Evaluate the model in ``folder``, beside its teacher if it has one, and write what there is to read about it."""
    models: dict[str, Any] = {"model": _facts(folder)}
    more: dict[str, Any] = {}
    if config.eval_data:
        result = evaluate(
            EvaluateConfig(
                model=str(folder),
                compare=config.teacher,
                task=config.task,
                precision="fp32",  # figures that are the same on every machine
                data=config.eval_data,
                columns=config.columns,
                delimiter=config.delimiter,
                split=config.eval_split,
                output=str(folder / EVALUATION),
                device=config.device,
                overwrite=True,
            ),
            labels=labels,
        )
        models = _measured(result)
        more = {"main_metric": result.main_metric, "evaluation": f"{EVALUATION}/report.html"}
    write_json(
        folder / "summary.json",
        about_run(folder, data, progress) | {"task": config.task, "problem": labels.problem, "models": models} | more,
    )
    write_report(folder)
    card = folder / "README.md"
    if not card.exists() or is_ours(card):
        write_card(folder, base=config.model)


def _facts(folder: Path) -> dict[str, Any]:
    config = open_checkpoint(folder).config
    return {"layers": config.n_layers, "dim": config.dim}


def _measured(result: Evaluation) -> dict[str, Any]:
    roles = ("student", "teacher") if len(result.models) == 2 else ("model",)
    measured: dict[str, Any] = {}
    for role, one in reversed(list(zip(roles, result.models, strict=True))):
        speed = {} if one.speed is None else {"tokens_per_second": one.speed.tokens_per_second}
        measured[role] = one.facts | one.metrics | speed
    return measured
