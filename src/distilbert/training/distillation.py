"""From settings to a trained model folder: distillation (arXiv 1910.01108, section 3) and masked-LM pretraining."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.errors import ConfigError
from ..core.files import write_json
from ..core.runner_protocol import Batch
from ..models.auto import AutoTokenizer
from ..models.pytorch import DistilBertForMaskedLM
from ..models.pytorch.runner import PytorchRunner
from ..tasks.sentence_similarity import SPEC as SENTENCE_SIMILARITY
from ..text.tokenizer_base import TokenizerBase
from . import checkpoints
from .corpus.sentence_batches import SentenceText, open_sentences
from .corpus.text_batches import MaskedText, MicroBatch, count_masked, open_text
from .distill_config import TEXT_TERMS, DistillConfig, PretrainConfig, TextConfig
from .distill_models import build_pretrained, build_student, load_teacher, missing_head
from .distill_objective import DistillObjective, Encoder, LossPlan, encoder_of, loss_plan
from .loop import TrainingSetup, TrainingState, on_device, train
from .processes import agree_on_precision, cpu_threads, make_accelerator
from .reports.model_card import is_ours, write_card
from .reports.training_report import write_report
from .run_folder import ModelFiles, open_run, start_run
from .run_inputs import hash_model
from .run_summary import about_run
from .seeded_random import seeded
from .training_callback import TrainingCallback
from .training_progress import MetricsRecord, TrainingProgress

SIMILARITY_ERROR = "similarity_error"


def distill(
    config: DistillConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
    on_record: Callable[[MetricsRecord], None] | None = None,
    on_tokenized: Callable[[int, int], None] | None = None,
    callbacks: Sequence[TrainingCallback] = (),
) -> Path:
    """Distil a teacher into a student and write its folder: model, tokenizer, report, card, metrics, checkpoints.

    Args:
        config: all settings.
        resume: continue from the newest checkpoint in ``config.output``; without one, start at step 0.
        overwrite: start over in a folder that holds a run.
        verbose: show the progress and the evaluations on standard error, or in a notebook below the cell.
        on_record: called with every record of ``metrics.jsonl`` as it is written.
        on_tokenized: called with the documents and tokens of the corpus so far, while it is tokenized.
        callbacks: objects that hear of the run; see :class:`~distilbert.TrainingCallback`.

    Returns:
        The folder.

    Raises:
        ConfigError: the settings do not fit each other, the teacher or the run to resume.
        DataError: text cannot be read, or there is too little of it.
        TrainingError: the loss became infinite or NaN.
        CheckpointError: a checkpoint could not be written, for example because the disk is full.
        WeightsError: the checkpoint to resume from is damaged.
        Interrupted: Ctrl-C or SIGTERM, a KeyboardInterrupt; a checkpoint of the last step is written before.
    """
    DistillConfig.check(config, "distill")
    with (
        TrainingProgress(
            verbose, on_record=on_record, on_tokenized=on_tokenized, callbacks=callbacks, settings=config.to_dict()
        ) as progress,
        cpu_threads(config.threads),
    ):
        folder, checkpoint = open_run(config, (config.teacher, config.student), resume, overwrite, progress.notice)
        teacher = load_teacher(config.teacher, with_head=needs_head(config))
        with seeded(config.seed):  # until the projections are drawn
            student = build_student(config, teacher)
            plan = loss_plan(config, student.config, teacher.config)
            objective = DistillObjective(student, plan, teacher)
        models = {"teacher": hash_model(config.teacher)}
        models |= {"student": hash_model(config.student)} if config.student else {}
        return _train_on_text(config, folder, checkpoint, objective, config.teacher, models, progress)


def needs_head(config: DistillConfig) -> bool:
    """Say whether the models of a run have masked-LM heads.

    Terms over the vocabulary need them. With terms between hidden states alone, a teacher that has a head gives it to
    its student, and both are compared by it.

    Raises:
        UnsupportedArchitectureError: the teacher is no BERT.
    """
    if config.compares_vocabulary:
        return True
    by_vectors = config.reads_passages or any(name in config.terms for name in TEXT_TERMS)
    return not by_vectors and not missing_head(config.teacher)


def pretrain(
    config: PretrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
    on_record: Callable[[MetricsRecord], None] | None = None,
    on_tokenized: Callable[[int, int], None] | None = None,
    callbacks: Sequence[TrainingCallback] = (),
) -> Path:
    """Train the masked-LM objective alone: to add a missing head, to adapt a model to new text, or from scratch.

    Arguments, result and errors are those of :func:`distill`.
    """
    PretrainConfig.check(config, "pretrain")
    with (
        TrainingProgress(
            verbose, on_record=on_record, on_tokenized=on_tokenized, callbacks=callbacks, settings=config.to_dict()
        ) as progress,
        cpu_threads(config.threads),
    ):
        folder, checkpoint = open_run(config, (config.model,), resume, overwrite, progress.notice)
        objective = DistillObjective(build_pretrained(config), LossPlan(chunk=config.chunk))
        models = {"model": hash_model(config.model, "config" if config.init == "random" else "model")}
        return _train_on_text(config, folder, checkpoint, objective, config.model, models, progress)


def _train_on_text(
    config: TextConfig,
    folder: Path,
    checkpoint: checkpoints.TrainingCheckpoint | None,
    objective: DistillObjective,
    base: str,
    models: Mapping[str, str],
    progress: TrainingProgress,
) -> Path:
    """Run the training; ``base`` names the model that the tokenizer comes from, ``models`` has the hashes of models."""
    student = objective.student
    longest = student.config.max_position_embeddings
    if config.sequence_length > longest:
        raise ConfigError(f"sequence_length {config.sequence_length} is more than the model's {longest} positions.")
    accelerator = make_accelerator(config, all_weights_used=objective.plan.compares_vocabulary)
    tokenizer = AutoTokenizer.from_pretrained(base)
    if len(tokenizer) > student.config.vocab_size:
        raise ConfigError(
            f"The tokenizer of {base} has {len(tokenizer)} tokens and the model {student.config.vocab_size}: they do "
            "not belong together."
        )
    with accelerator.main_process_first():
        if isinstance(config, DistillConfig) and config.reads_passages:
            text: Text = open_sentences(config, tokenizer, progress.show_tokenized)
        else:
            text = open_text(config, tokenizer, progress.show_tokenized)
    text.check(accelerator.num_processes)
    evaluator = evaluator_of(objective, text)
    start_run(config, folder, checkpoint, accelerator)
    if config.gradient_checkpointing:
        student.gradient_checkpointing_enable()
    precision = checkpoint.state["precision"] if checkpoint else agree_on_precision(config.precision, accelerator)
    objective.place_teacher(accelerator.device, torch.bfloat16 if precision == "bf16" else torch.float32)
    files = ModelFiles(student, tokenizer)
    setup = TrainingSetup(
        config=config,
        precision=precision,
        objective=objective,
        batches=text,
        inputs={**text.inputs, **models},
        steps=text.steps(),
        evaluator=evaluator,
        save_model=files.save,
        load_model=files.load,
        on_record=progress.show_record,
        notice=progress.notice,
    )
    state = train(setup, accelerator, checkpoint)
    if accelerator.is_main_process:
        _write_results(folder, objective, text, tokenizer, state, base)
    accelerator.wait_for_everyone()
    return folder


Text = MaskedText | SentenceText


def evaluator_of(objective: DistillObjective, text: Text) -> HeldOutEvaluator | VectorEvaluator:
    """Return what measures the student on held-out text: its masked-LM head, or its vectors where it has none.

    Raises:
        ConfigError: there are no two held-out texts whose vectors could be compared.
    """
    if isinstance(text, MaskedText):
        if isinstance(objective.student, DistilBertForMaskedLM):
            return HeldOutEvaluator(text, has_teacher=objective.teacher is not None)
        text.check_held_out_pairs()
    return VectorEvaluator(text)


class _HeldOutText:
    """Runs the objective on held-out text, each process a share of the micro-batches; see :class:`.loop.Evaluator`."""

    before_training = True

    def __init__(self, text: Text) -> None:
        self._text = text
        self._micro_batches: list[MicroBatch] = []

    def evaluate_share(self, module: nn.Module, process: int, processes: int, device: torch.device) -> list[Any]:
        """Return (number, values) of each micro-batch: the sums of the objective, and what is counted beside them."""
        self._micro_batches = self._micro_batches or self._text.held_out(process, processes)
        results = []
        for micro_batch in self._micro_batches:
            sums = module(**on_device(micro_batch, device))[0].tolist()
            results.append((micro_batch.number, [*sums, *self._counts(micro_batch)]))
        return results

    def _counts(self, micro_batch: MicroBatch) -> list[int]:
        return []


class VectorEvaluator(_HeldOutText):
    """Compares vectors of held-out texts with the teacher's; see :meth:`.DistillObjective.forward` for the sums."""

    deciding_metric, higher_is_better = SIMILARITY_ERROR, False

    def metrics(self, results: list[Any]) -> dict[str, float]:
        """Return means over texts and pairs, summed in the same order on any number of processes.

        ``similarity_error`` is the root of the mean squared difference between cosines of pairs of texts, as the
        student and as the teacher sees them; ``vector_cosine`` the mean cosine of both models' vectors of a text.
        """
        cosines, texts, errors, pairs = np.array([sums for _, sums in sorted(results)]).sum(axis=0).tolist()
        metrics = {SIMILARITY_ERROR: math.sqrt(errors / pairs)}
        return metrics | ({"vector_cosine": cosines / texts} if cosines else {})


class HeldOutEvaluator(_HeldOutText):
    """Evaluates a masked LM; the values are the sums of :func:`.loss_terms.held_out_terms` and the masked tokens."""

    deciding_metric, higher_is_better = "perplexity", False

    def __init__(self, text: MaskedText, has_teacher: bool) -> None:
        super().__init__(text)
        self._has_teacher = has_teacher

    def _counts(self, micro_batch: MicroBatch) -> list[int]:
        return [count_masked(micro_batch.arrays["labels"])]

    def metrics(self, results: list[Any]) -> dict[str, float]:
        """Return means over the masked tokens, summed in the same order on any number of processes."""
        sums = np.array([values for _, values in sorted(results)]).sum(axis=0)
        loss, teacher_loss, divergence, agreements, count = sums.tolist()
        metrics = {"loss": loss / count, "perplexity": _perplexity(loss / count)}
        if self._has_teacher:
            metrics |= {
                "kl": divergence / count,
                "agreement": agreements / count,
                "teacher_perplexity": _perplexity(teacher_loss / count),
            }
        return metrics


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # exp overflows soon after


def _write_results(
    folder: Path,
    objective: DistillObjective,
    text: Text,
    tokenizer: TokenizerBase,
    state: TrainingState,
    base: str,
) -> None:
    """Write the model, ``summary.json``, the report and the card."""
    last = checkpoints.newest(folder / "checkpoints")
    assert last is not None
    model_class = type(objective.student)
    student = model_class.from_pretrained(last.folder / checkpoints.MODEL)
    student.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    teacher = None if objective.teacher is None else model_class.from_pretrained(base)
    models = _measure_models(student, teacher, text, state)
    by_vectors = (
        {}
        if model_class is DistilBertForMaskedLM
        else {"task": SENTENCE_SIMILARITY.name, "main_metric": SIMILARITY_ERROR}
    )
    write_json(folder / "summary.json", about_run(folder, text.facts, state) | by_vectors | {"models": models})
    write_report(folder)
    card = folder / "README.md"
    if not card.exists() or is_ours(card):
        write_card(folder, base=base)


def _measure_models(
    student: Encoder, teacher: Encoder | None, text: Text, state: TrainingState
) -> dict[str, dict[str, Any]]:
    """Return sizes, speed and held-out metrics of ``teacher`` and ``student``, or of the only ``model``."""
    models = {"student": student} | ({"teacher": teacher} if teacher is not None else {})
    speeds = encoder_speeds(models, text)
    measured: dict[str, dict[str, Any]] = {
        name: {
            "parameters": model.num_parameters(),
            "bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
            "layers": model.config.n_layers,
            "dim": model.config.dim,
            "tokens_per_second": speeds[name],
        }
        for name, model in models.items()
    }
    last = state.last
    metrics = ("perplexity", "kl", "agreement", SIMILARITY_ERROR, "vector_cosine")
    measured["student"] |= {key: last[key] for key in metrics if key in last}
    if teacher is None:
        return {"model": measured["student"]}
    if "teacher_perplexity" in last:
        measured["teacher"]["perplexity"] = last["teacher_perplexity"]
    return {"teacher": measured["teacher"], "student": measured["student"]}


def encoder_speeds(models: Mapping[str, Encoder], text: Text, rounds: int = 3) -> dict[str, float]:
    """Return the tokens per second of each encoder on held-out text: the best of some rounds, measured in turn."""
    arrays = text.held_out(0, 1)[0].arrays
    ids = arrays["input_ids"]  # (B, S)
    lengths = arrays.get("attention_mask", np.ones_like(ids)).sum(axis=1)  # (B,)
    batch = Batch.of([row[:length].tolist() for row, length in zip(ids, lengths, strict=True)])
    runners = {name: PytorchRunner(encoder_of(model)) for name, model in models.items()}
    best = dict.fromkeys(models, float("inf"))
    for _ in range(rounds):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner(batch)
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: round(int(lengths.sum()) / seconds, 1) for name, seconds in best.items()}
