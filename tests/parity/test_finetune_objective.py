"""The objective of fine-tuning on packed examples against transformers on padded batches: losses and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from distilbert.core.model_checks import IGNORED
from distilbert.core.schema import HEADS
from distilbert.data.examples import MULTI, REGRESSION, SINGLE
from distilbert.tasks.registry import TASKS
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetune_objective import FinetuneObjective
from distilbert.training.finetuning.finetune_tasks import EncodedExample
from distilbert.training.finetuning.labelled_batches import LabelledBatches, SequenceMasking
from distilbert.training.loop import on_device
from tests.data.corpora import tokenizer
from tests.tiny import LABELS, tiny_model

from .test_pytorch import reference

NEAR = {"rtol": 1e-5, "atol": 1e-6}
PROBLEMS = {"single": SINGLE, "multi": MULTI, "regression": REGRESSION}
KINDS = ("single", "multi", "regression", "token-classification", "question-answering", "multiple-choice", "fill-mask")
Arrays = dict[str, np.ndarray]


def task_of(kind: str) -> str:
    return "text-classification" if kind in PROBLEMS else kind


def model_of(kind: str) -> Any:
    """A model without dropout; ``HEADS`` names are what ``tiny_model`` knows."""
    changes = (
        {"problem_type": PROBLEMS[kind], "num_labels": 1 if kind == "regression" else LABELS}
        if kind in PROBLEMS
        else {}
    )
    return tiny_model(HEADS[TASKS[task_of(kind)].head].name, **changes)


def make_examples(kind: str, count: int = 7, seed: int = 0) -> list[EncodedExample]:
    """Random examples of different lengths; some tags are unknown and some answers outside of the window."""
    draw = np.random.default_rng(seed)

    def sequence() -> np.ndarray:
        middle = draw.integers(5, 31, draw.integers(3, 20))
        return np.concatenate([[2], middle, [3]]).astype(np.int64)

    def target(ids: np.ndarray) -> np.ndarray | None:
        if kind == "multi":
            return draw.integers(0, 2, LABELS).astype(np.float32)
        if kind == "regression":
            return np.array(draw.normal(), np.float32)
        if kind == "token-classification":
            tags = np.where(draw.random(len(ids)) < 0.4, IGNORED, draw.integers(0, LABELS, len(ids)))
            tags[[0, -1]] = IGNORED
            return tags.astype(np.int64)
        if kind == "question-answering":
            return np.sort(draw.integers(0, len(ids), 2)) if draw.random() < 0.7 else np.zeros(2, np.int64)
        return None if kind == "fill-mask" else np.array(draw.integers(0, LABELS), np.int64)

    examples = []
    for number in range(count):
        if kind == "multiple-choice":
            sequences = tuple(sequence() for _ in range(2 + number % 3))
            examples.append(EncodedExample(sequences, number, np.array(draw.integers(0, len(sequences)), np.int64)))
        else:
            ids = sequence()
            starts = np.arange(1, len(ids) - 1) if kind == "token-classification" else None
            examples.append(EncodedExample((ids,), number, target(ids), word_starts=starts))
    return examples


def config_of(kind: str, **changes: Any) -> FinetuneConfig:
    values = {"task": task_of(kind), "model": "m", "train_data": ["a"], "output": "o", "micro_tokens": 10_000}
    return FinetuneConfig(**{**values, **changes})


def batches_of(kind: str, examples: Sequence[EncodedExample], config: FinetuneConfig, **more: Any) -> LabelledBatches:
    masking = SequenceMasking(tokenizer(), np.r_[np.zeros(5), np.ones(26)]) if kind == "fill-mask" else None
    return LabelledBatches(config, examples, masking=masking, **more)


def ours(
    kind: str, model: Any, batches: LabelledBatches, config: FinetuneConfig, processes: int = 1
) -> dict[str, Tensor]:
    """The terms of step 0; the model keeps the gradients. The micro-batches of all processes run one after another."""
    teacher = tiny_model("ForMaskedLM", seed=9) if kind == "fill-mask" and config.teacher else None
    objective = FinetuneObjective(model, config, PROBLEMS.get(kind, ""), teacher)
    steps = [batches.step(0, process, processes) for process in range(processes)]
    counts = {name: sum(step.counts[name] for step in steps) for name in steps[0].counts}
    sums: dict[str, Tensor] = {}
    for step in steps:
        for micro_batch in step.micro_batches:
            loss, terms = objective(**on_device(micro_batch, torch.device("cpu")), counts=counts)
            loss.backward()
            for name, value in {"loss": loss.detach(), **terms}.items():
                sums[name] = sums.get(name, torch.zeros(())) + value
    return sums


def padded(sequences: Sequence[np.ndarray], fill: int = 0) -> Tensor:
    rows = [torch.from_numpy(np.asarray(sequence)) for sequence in sequences]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)


def transformers_loss(kind: str, twin: Any, examples: Sequence[EncodedExample], arrays: Arrays) -> Tensor:
    """The loss of transformers on the same examples; our ``arrays`` contain the masks."""
    if kind == "fill-mask":
        lengths = arrays["lengths"].tolist()
        labels = np.full(sum(lengths), IGNORED, np.int64)
        labels[arrays["rows"]] = arrays["labels"]
        cuts = np.cumsum(lengths)[:-1]
        ids, mask = np.split(arrays["input_ids"], cuts), [np.ones(length, np.int64) for length in lengths]
        return twin(padded(ids), padded(mask), labels=padded(np.split(labels, cuts), IGNORED)).loss
    if kind in ("question-answering", "multiple-choice"):
        # One by one: in a padded batch answers compete with padding, and all questions need the same number of choices.
        losses = []
        for example in examples:
            ids, mask = padded(example.sequences), padded([np.ones(len(s), np.int64) for s in example.sequences])
            assert example.target is not None
            target = torch.from_numpy(example.target)
            if kind == "multiple-choice":
                losses.append(twin(ids[None], mask[None], labels=target[None]).loss)
            else:
                losses.append(twin(ids, mask, start_positions=target[:1], end_positions=target[1:]).loss)
        return torch.stack(losses).mean()
    ids = [example.sequences[0] for example in examples]
    mask = padded([np.ones(len(sequence), np.int64) for sequence in ids])
    targets = [example.target for example in examples if example.target is not None]
    labels = padded(targets, IGNORED) if kind == "token-classification" else torch.from_numpy(np.stack(targets))
    return twin(padded(ids), mask, labels=labels).loss


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_transformers(kind: str) -> None:
    model, examples, config = model_of(kind), make_examples(kind), config_of(kind)
    twin = reference(model)
    batches = batches_of(kind, examples, config)
    terms = ours(kind, model, batches, config)
    other = transformers_loss(kind, twin, examples, batches.step(0, 0, 1).micro_batches[0].arrays)
    other.backward()
    assert terms.keys() == {"loss", "task"}
    torch.testing.assert_close(terms["loss"], other.detach(), **NEAR)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    largest = max(float(parameter.grad.abs().max()) for parameter in twin.parameters())
    for name, parameter in twin.named_parameters():
        mine_, theirs_ = gradients[name], parameter.grad
        assert theirs_ is not None, name
        torch.testing.assert_close(mine_, theirs_, rtol=1e-4, atol=1e-5 * largest, msg=lambda t, n=name: f"{n}: {t}")


def test_answers_of_equal_lengths_are_one_padded_batch() -> None:
    """Without padding, transformers computes the same in one batch."""
    kind = "question-answering"
    model, config = model_of(kind), config_of(kind)
    examples = [
        EncodedExample((example.sequences[0][:5],), n, np.array([n % 4, 4]))
        for n, example in enumerate(make_examples(kind))
    ]
    terms = ours(kind, model, batches_of(kind, examples, config), config)
    targets = torch.tensor([example.target.tolist() for example in examples if example.target is not None])
    ids = padded([example.sequences[0] for example in examples])
    other = reference(model)(ids, start_positions=targets[:, 0], end_positions=targets[:, 1]).loss
    torch.testing.assert_close(terms["loss"], other.detach(), **NEAR)


@pytest.mark.parametrize("kind", ["single", "token-classification"])
def test_class_weights_are_those_of_cross_entropy(kind: str) -> None:
    model, examples, config = model_of(kind), make_examples(kind), config_of(kind, class_weights="balanced")
    weights = np.array([0.5, 2.0, 1.0, 4.0, 0.1])
    terms = ours(kind, model, batches_of(kind, examples, config, class_weights=weights), config)
    ids = [example.sequences[0] for example in examples]
    mask = padded([np.ones(len(sequence), np.int64) for sequence in ids])
    logits = reference(model)(padded(ids), mask).logits.flatten(0, -2)
    targets = [example.target for example in examples if example.target is not None]
    labels = padded(targets, IGNORED) if kind == "token-classification" else torch.from_numpy(np.stack(targets))
    other = F.cross_entropy(logits, labels.flatten(), weight=torch.tensor(weights, dtype=torch.float32))
    torch.testing.assert_close(terms["loss"], other.detach(), **NEAR)


def test_a_class_weight_of_several_labels_is_the_mean_of_theirs() -> None:
    model, examples, config = model_of("multi"), make_examples("multi"), config_of("multi", class_weights="balanced")
    examples[0] = EncodedExample(examples[0].sequences, 0, np.zeros(LABELS, np.float32))  # no label, so its weight is 1
    weights = np.array([0.5, 2.0, 1.0, 4.0, 0.1])
    terms = ours("multi", model, batches_of("multi", examples, config, class_weights=weights), config)
    ids = [example.sequences[0] for example in examples]
    logits = reference(model)(padded(ids), padded([np.ones(len(s), np.int64) for s in ids])).logits
    labels = np.stack([example.target for example in examples if example.target is not None])
    rows = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels), reduction="none").mean(1)
    each = torch.tensor([weights[row > 0].mean() if row.any() else 1.0 for row in labels], dtype=torch.float32)
    torch.testing.assert_close(terms["loss"], ((rows * each).sum() / each.sum()).detach(), **NEAR)


@pytest.mark.parametrize(("micro", "processes"), [(1, 1), (30, 1), (30, 2), (10_000, 3), (10_000, 9)])
@pytest.mark.parametrize("kind", KINDS)
def test_passes_sum_to_one_pass(kind: str, micro: int, processes: int) -> None:
    """Also with a teacher, unlabelled examples among the others, and more processes than examples."""
    examples = make_examples(kind)
    if kind != "fill-mask":
        examples[2:4] = [replace(example, target=None) for example in examples[2:4]]
    draw = np.random.default_rng(3)
    width = {"regression": 1, "question-answering": 2, "multiple-choice": 1}.get(kind, LABELS)
    teacher_scores = [draw.normal(size=(rows_of(kind, example), width)).astype(np.float32) for example in examples]
    runs = []
    for micro_tokens, count in ((10_000, 1), (micro, processes)):
        config = config_of(kind, micro_tokens=micro_tokens, teacher="t")
        model = model_of(kind)
        batches = batches_of(kind, examples, config, teacher_scores=None if kind == "fill-mask" else teacher_scores)
        sums = ours(kind, model, batches, config, count)
        runs.append((sums, [parameter.grad for parameter in model.parameters()]))
    (single, gradients), (several_processes, others) = runs
    assert single.keys() == several_processes.keys()
    for name in single:
        torch.testing.assert_close(several_processes[name], single[name], rtol=1e-6, atol=1e-6)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    for first, second in zip(gradients, others, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-5 * largest)


def rows_of(kind: str, example: EncodedExample) -> int:
    """Number of rows of teacher scores for an example."""
    if kind == "token-classification":
        return int((example.target != IGNORED).sum()) if example.target is not None else len(example.sequences[0]) - 2
    return {"question-answering": len(example.sequences[0]), "multiple-choice": len(example.sequences)}.get(kind, 1)
