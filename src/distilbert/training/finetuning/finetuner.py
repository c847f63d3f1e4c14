"""From labelled files to a fine-tuned model folder: one run, or a sweep over seeds and learning rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from ...core.errors import ConfigError, TrainingError
from ...core.files import write_json
from ...data.examples import Example, Labels, QuestionExample, TextExample
from ...data.labels import class_counts
from ...models.auto import AutoTokenizer
from ...models.pytorch.runner import PytorchRunner
from ...tasks.registry import task_class, task_spec
from ...text.tokenizer_base import TokenizerBase
from ...weights.checkpoint import open_checkpoint
from .. import checkpoints
from ..corpus.masking import token_weights
from ..evaluation.evaluate_config import EvaluateConfig
from ..evaluation.evaluator import evaluate
from ..evaluation.result import Evaluation
from ..evaluation.task_metrics import CustomMetrics, compute_metrics, predict
from ..fitting.model_start import measure_what_to_beat, start_as_linear_head
from ..loop import TrainingSetup, TrainingState, train
from ..processes import agree_on_precision, cpu_threads, make_accelerator
from ..reports.model_card import is_ours, write_card
from ..reports.training_report import write_report
from ..run_folder import (
    CONFIG,
    ModelFiles,
    clear_progress,
    discard_run,
    is_finished,
    open_run,
    open_run_folder,
    start_run,
)
from ..run_inputs import hash_examples, hash_model
from ..run_summary import about_run
from ..training_callback import TrainingCallback
from ..training_progress import MetricsRecord, TrainingProgress
from .encoded_examples import encode_examples
from .finetune_config import FinetuneConfig
from .finetune_data import FinetuneData, read_data, trains_on_text_alone
from .finetune_objective import FinetuneObjective
from .finetune_tasks import EncodedExample, finetune_task
from .labelled_batches import LabelledBatches, SequenceMasking
from .other_vocabulary import scores_for
from .sweep import RUNS_TABLE, finish_sweep, is_sweep, sweep_configs
from .task_models import Teacher, build_model, check_model_fits, starts_linear
from .trials import finish_trials, forget_failure, search_space, trial_folders, trial_runs, write_failure

EVALUATION = "evaluation"  # folder inside that of the run
SMOOTHING = 0.7  # of the weights for selecting tokens to mask, as in pretraining


def finetune(
    config: FinetuneConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
    metrics: CustomMetrics | None = None,
    on_record: Callable[[MetricsRecord], None] | None = None,
    on_data: Callable[[str], None] | None = None,
    callbacks: Sequence[TrainingCallback] = (),
) -> Path:
    """Train a model on labelled data and write its folder: model, tokenizer, report, card, metrics, checkpoints.

    With several seeds or learning rates there is one run for each combination, in a folder of its own under ``runs/``,
    and the model is that of the run that :func:`.sweep.finish_sweep` chooses.

    Args:
        config: all settings.
        resume: continue from the newest checkpoint in ``config.output``; without one, start at step 0.
        overwrite: start over in a folder that holds a run.
        verbose: show the data, the progress and the evaluations on standard error, or in a notebook below the cell.
        metrics: metrics of your own, which every evaluation has beside those of the task; see :func:`.evaluate`.
        on_record: called with every record of ``metrics.jsonl`` as it is written.
        on_data: called with lines about the data: which columns are used, how many examples and labels there are.
        callbacks: objects that hear of the run; see :class:`~distilbert.TrainingCallback`.

    Returns:
        The folder.

    Raises:
        ConfigError: the settings do not fit each other, the models or the run to resume.
        DataError: data cannot be read or understood; the message names file and line.
        TrainingError: the loss became infinite or NaN.
        CheckpointError: a checkpoint could not be written, for example because the disk is full.
        WeightsError: the checkpoint to resume from is damaged.
        Interrupted: Ctrl-C or SIGTERM, a KeyboardInterrupt; a checkpoint of the last step is written before.
    """
    FinetuneConfig.check(config, "finetune")
    with (
        TrainingProgress(
            verbose, on_record=on_record, on_data=on_data, callbacks=callbacks, settings=config.to_dict()
        ) as progress,
        cpu_threads(config.threads),
    ):
        if config.trials:
            return _finetune_trials(config, resume, overwrite, progress, metrics or {})
        if is_sweep(config):
            return _finetune_sweep(config, resume, overwrite, progress, metrics or {})
        return _finetune_once(config, resume, overwrite, progress, metrics or {})


def _finetune_sweep(
    config: FinetuneConfig, resume: bool, overwrite: bool, progress: TrainingProgress, metrics: CustomMetrics
) -> Path:
    """Run the training of each seed and learning rate that is not finished yet, and choose one."""
    folder = open_sweep(config, resume, overwrite, progress.notice)
    accelerator = make_accelerator(config)  # waits for all processes, so that each has looked before one writes
    configs = sweep_configs(config)
    if accelerator.is_main_process:
        save_sweep(config, overwrite)
    for run in configs:
        progress.show_data(f"learning rate {run.learning_rate:g}, seed {run.seed}")
        if not (resume and is_finished(run)):
            _finetune_member(run, resume, overwrite, progress, metrics)
    if accelerator.is_main_process:
        finish_sweep(folder, configs)
    accelerator.wait_for_everyone()
    return folder


def open_sweep(config: FinetuneConfig, resume: bool, overwrite: bool, notice: Callable[[str], None]) -> Path:
    """Check that the runs of a sweep may be written or resumed, and return their folder; arguments as of finetune."""
    return open_run_folder(config, (config.model, config.teacher), resume, overwrite, notice)[0]


def save_sweep(config: FinetuneConfig, overwrite: bool) -> None:
    """Write the settings of a sweep or a search into its folder; one that starts over first removes earlier runs."""
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    if overwrite:
        clear_progress(folder)
        (folder / RUNS_TABLE).unlink(missing_ok=True)
        for run in trial_folders(config) if config.trials else [Path(run.output) for run in sweep_configs(config)]:
            discard_run(run)
    config.save(folder / CONFIG)


def _finetune_member(
    run: FinetuneConfig, resume: bool, overwrite: bool, progress: TrainingProgress, metrics: CustomMetrics
) -> None:
    """Run the training of one member of a sweep or a search; a resume begins those that have not begun."""
    goes_on = resume and (Path(run.output) / CONFIG).is_file()
    _finetune_once(run, goes_on, (resume or overwrite) and not goes_on, progress, metrics)


def _finetune_trials(
    config: FinetuneConfig, resume: bool, overwrite: bool, progress: TrainingProgress, metrics: CustomMetrics
) -> Path:
    """Run the trainings whose settings Optuna chooses, and choose the best."""
    space = search_space(config)  # an error comes before anything is written
    if any("balanced" in field.choices for field in space):  # class weights, which a regression refuses
        read_data(replace(config, trials=0, search=[], class_weights="balanced"), lambda line: None)
    names = [field.name for field in space]
    folder = open_sweep(config, resume, overwrite, progress.notice)
    accelerator = make_accelerator(config)
    if accelerator.is_main_process:
        save_sweep(config, overwrite)
    runs = []
    for number, run in enumerate(trial_runs(config), 1):
        chosen = ", ".join(f"{name} {_shown(getattr(run, name))}" for name in names)
        progress.show_data(f"trial {number} of {config.trials}: {chosen}")
        if not (resume and is_finished(run)):
            forget_failure(run)
            try:
                _finetune_member(run, resume, overwrite, progress, metrics)
            except TrainingError as error:
                progress.notice(f"trial {number} failed: {error}")
                if accelerator.is_main_process:
                    write_failure(run, str(error))
                accelerator.wait_for_everyone()
        runs.append(run)
    if accelerator.is_main_process:
        finish_trials(config, runs)
    accelerator.wait_for_everyone()
    return folder


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _finetune_once(
    config: FinetuneConfig,
    resume: bool,
    overwrite: bool,
    progress: TrainingProgress,
    metrics: CustomMetrics,
) -> Path:
    """Run the training of one seed and learning rate."""
    folder, checkpoint = open_run(config, (config.model, config.teacher), resume, overwrite, progress.notice)
    accelerator = make_accelerator(config)
    data = read_data(config, progress.show_data if accelerator.is_main_process else lambda line: None)
    check_model_fits(config)
    precision = checkpoint.state["precision"] if checkpoint else agree_on_precision(config.precision, accelerator)
    student = build_model(config, data.labels)
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    if len(tokenizer) > student.config.vocab_size:
        raise ConfigError(
            f"The tokenizer of {config.model} has {len(tokenizer)} tokens and the model {student.config.vocab_size}: "
            "they do not belong together."
        )
    linear_start = starts_linear(config, data.labels)
    if checkpoint is None and linear_start:
        progress.show_data("the new head starts as a linear model of the texts' vectors")
        start_as_linear_head(student, tokenizer, data.training, data.labels, config)
    if config.gradient_checkpointing:
        student.gradient_checkpointing_enable()
    teacher = Teacher(config, data.labels, precision == "bf16") if config.teacher else None
    batches = _make_batches(config, data, student.config.max_position_embeddings, tokenizer, teacher, accelerator)
    start_run(config, folder, checkpoint, accelerator)
    masked_lm_teacher = None
    if teacher is not None and trains_on_text_alone(config.task):
        masked_lm_teacher = teacher.model.to(accelerator.device).eval()
    files = ModelFiles(student, tokenizer)
    evaluate_every = config.evaluate_every or batches.steps_per_epoch
    checkpoint_every = config.checkpoint_every or batches.steps_per_epoch
    if _keeps_best(config):
        checkpoint_every = evaluate_every  # any evaluation may be the best one
    evaluator = None
    if data.evaluation:
        evaluator = LabelledEvaluator(config.task, student, tokenizer, data.evaluation, data.labels, metrics)
    setup = TrainingSetup(
        config=replace(config, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every),
        precision=precision,
        objective=FinetuneObjective(student, config, data.labels.problem, masked_lm_teacher),
        batches=batches,
        inputs=batches.inputs | _hash_inputs(config, data),
        steps=batches.steps(),
        evaluator=evaluator,
        save_model=files.save,
        load_model=files.load,
        on_record=progress.show_record,
        notice=progress.notice,
        patience=config.patience,
    )
    state = train(setup, accelerator, checkpoint)
    if accelerator.is_main_process:
        _copy_model(config, folder, type(student), tokenizer, state)
        facts = data.facts | {"units": len(batches.examples)}
        if config.baselines and data.evaluation and config.task == "text-classification":
            facts["baselines"] = measure_what_to_beat(
                tokenizer, data.training, data.evaluation, data.labels, config, linear_start
            )
        write_results(config, folder, facts, data.labels, state, metrics)
    accelerator.wait_for_everyone()
    return folder


def _hash_inputs(config: FinetuneConfig, data: FinetuneData) -> dict[str, str]:
    """Return a hash of each input besides the examples to train on, by the name of its setting."""
    models = {name: getattr(config, name) for name in ("model", "teacher")}
    hashes = {name: hash_model(model) for name, model in models.items() if model}
    return hashes | ({"eval_data": hash_examples(data.evaluation)} if config.eval_data else {})


def _make_batches(
    config: FinetuneConfig,
    data: FinetuneData,
    positions: int,
    tokenizer: TokenizerBase,
    teacher: Teacher | None,
    accelerator: Accelerator,
) -> LabelledBatches:
    """Encode the examples and compute what the batches need besides: masking, teacher scores and class weights."""
    length = config.max_length or min(positions, finetune_task(config.task).longest_sequence or positions)
    examples = _encode(config, data, tokenizer, length)
    masking, teacher_scores, teacher_weights, class_weights = None, None, None, None
    if trains_on_text_alone(config.task):
        ids = np.concatenate([example.sequences[0] for example in examples])
        counts = np.bincount(ids, minlength=len(tokenizer))  # (V,)
        masking = SequenceMasking(tokenizer, token_weights(counts, tokenizer.all_special_ids, SMOOTHING))
    elif teacher is not None:
        if teacher.tokenizer is None:
            teacher_scores = _score_examples(teacher, examples, accelerator)
        else:
            length = min(length, teacher.model.config.max_position_embeddings)
            read = _encode(config, data, teacher.tokenizer, length)
            scores = _score_examples(teacher, read, accelerator)
            teacher_scores, teacher_weights = scores_for(examples, read, scores)
    if config.class_weights == "balanced":
        label_counts = class_counts(data.training, data.labels)  # (L,)
        class_weights = label_counts.sum() / (len(label_counts) * np.maximum(label_counts, 1))
    return LabelledBatches(
        config,
        examples,
        class_weights=class_weights,
        teacher_scores=teacher_scores,
        teacher_weights=teacher_weights,
        masking=masking,
    )


def _encode(
    config: FinetuneConfig, data: FinetuneData, tokenizer: TokenizerBase, max_length: int
) -> list[EncodedExample]:
    """Tokenize the examples to train on, then those without labels."""
    return [
        encoded
        for group in (data.training, data.unlabelled)
        for encoded in encode_examples(
            config.task,
            group,
            data.labels,
            tokenizer,
            max_length=max_length,
            stride=min(config.stride, max_length // 4),
            long_texts=config.long_texts,
        )
    ]


def _score_examples(teacher: Teacher, examples: list[EncodedExample], accelerator: Accelerator) -> list[np.ndarray]:
    """Compute the teacher's scores of all examples once; each process computes a share."""
    process, processes = accelerator.process_index, accelerator.num_processes
    teacher.model.to(accelerator.device)
    share = enumerate(teacher.score(examples[process::processes]))
    results = gather_object([(process + processes * position, scores) for position, scores in share])
    return [scores for _, scores in sorted(results, key=lambda result: result[0])]


class LabelledEvaluator:
    """Evaluates a model on labelled examples, by the answers that a user gets; see :class:`.loop.Evaluator`."""

    before_training = False

    def __init__(
        self,
        task: str,
        model: Any,
        tokenizer: TokenizerBase,
        examples: Sequence[Example],
        labels: Labels,
        metrics: CustomMetrics,
    ) -> None:
        self._task, self._model, self._tokenizer = task, model, tokenizer
        self._examples, self._labels, self._custom_metrics = examples, labels, metrics
        # If some question has no answer, "no answer" is allowed for all. Every share must contain such a question.
        questions = (example for example in examples if isinstance(example, QuestionExample))
        self._unanswerable: Sequence[Example] = [question for question in questions if not question.answers][:1]
        metric = task_spec(task).metric_for(labels.problem)
        self.deciding_metric, self.higher_is_better = metric.name, metric.higher_is_better

    def evaluate_share(self, module: nn.Module, process: int, processes: int, device: torch.device) -> list[Any]:
        """Return (number, prediction) of every example in the share of a process."""
        share = range(process, len(self._examples), processes)
        with torch.autocast(device.type, enabled=False):
            task = task_class(self._task)(PytorchRunner(self._model), self._tokenizer)
            if trains_on_text_alone(self._task):  # masks depend on the position among all texts: blank the others
                texts = [
                    example if number in share else TextExample("", "") for number, example in enumerate(self._examples)
                ]
                predictions = predict(task, texts)[process::processes]
            else:
                predictions = predict(task, [*(self._examples[number] for number in share), *self._unanswerable])
        return list(zip(share, predictions, strict=False))

    def metrics(self, results: list[Any]) -> dict[str, float]:
        """Return the metrics over all predictions."""
        predictions = [prediction for _, prediction in sorted(results, key=lambda result: result[0])]
        return compute_metrics(self._task, self._examples, predictions, self._labels, self._custom_metrics)


def _keeps_best(config: FinetuneConfig) -> bool:
    return config.select == "best" or config.patience > 0


def _copy_model(
    config: FinetuneConfig, folder: Path, model_class: Any, tokenizer: TokenizerBase, state: TrainingState
) -> None:
    """Save the model of the best or the last checkpoint, as the settings say, in the folder of the run."""
    saved = checkpoints.load_all(folder / "checkpoints")
    chosen = saved[-1]
    if _keeps_best(config):
        chosen = next(checkpoint for checkpoint in saved if checkpoint.step == state.best_step)
    model_class.from_pretrained(chosen.folder / checkpoints.MODEL).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_results(
    config: FinetuneConfig,
    folder: Path,
    data: dict[str, Any],
    labels: Labels,
    state: TrainingState,
    metrics: CustomMetrics,
) -> None:
    """Evaluate the model in ``folder`` beside its teacher, and write ``summary.json``, the report and the card."""
    source = open_checkpoint(folder).config
    models: dict[str, Any] = {"model": {"layers": source.n_layers, "dim": source.dim}}
    evaluation: dict[str, Any] = {}
    if config.eval_data:
        result = evaluate(
            EvaluateConfig(
                model=str(folder),
                compare=config.teacher,
                task=config.task,
                precision="fp32",  # gives the same figures on every machine
                data=config.eval_data,
                columns=config.columns,
                delimiter=config.delimiter,
                encoding=config.encoding,
                split=config.eval_split,
                output=str(folder / EVALUATION),
                device=config.device,
                overwrite=True,
            ),
            labels=labels,
            metrics=metrics,
            verbose=False,
        )
        models = _evaluated_models(result)
        evaluation = {"main_metric": result.main_metric, "evaluation": f"{EVALUATION}/report.html"}
    summary = about_run(folder, data, state) | {"task": config.task, "problem": labels.problem, "models": models}
    write_json(folder / "summary.json", summary | evaluation)
    write_report(folder)
    card = folder / "README.md"
    if not card.exists() or is_ours(card):
        write_card(folder, base=config.model)


def _evaluated_models(result: Evaluation) -> dict[str, Any]:
    """Return facts, metrics and speed of ``teacher`` and ``student``, or of the only ``model``."""
    roles = ("student", "teacher") if len(result.models) == 2 else ("model",)
    evaluated: dict[str, Any] = {}
    for role, model in reversed(list(zip(roles, result.models, strict=True))):
        speed = {} if model.speed is None else {"tokens_per_second": model.speed.tokens_per_second}
        evaluated[role] = model.facts | model.metrics | speed
    return evaluated
