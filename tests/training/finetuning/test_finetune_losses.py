"""The losses of labels and teachers against plain NumPy, and their gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from distilbert.data.examples import MULTI, REGRESSION, SINGLE
from distilbert.training.finetuning.finetune_objective import (
    PADDING_SCORE,
    FinetuneObjective,
    label_loss,
    pad_groups,
    teacher_loss,
)
from tests.tiny import model_class, tiny_config

from .tiny_tasks import config_of

ROWS, WIDTH = 6, 5


def scores(seed: int, width: int = WIDTH) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, width, generator=generator, dtype=torch.float64) * 3


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def expected(student: np.ndarray, teacher: np.ndarray, problem: str, temperature: float) -> np.ndarray:
    if problem == REGRESSION:
        return (student[:, 0] - teacher[:, 0]) ** 2
    if problem == MULTI:
        p, q = sigmoid(teacher / temperature), sigmoid(student / temperature)
        return temperature**2 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(axis=1)
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return temperature**2 * (p * np.log(p / q)).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION, ""])
def test_the_loss_of_a_teacher(problem: str, temperature: float) -> None:
    width = 1 if problem == REGRESSION else WIDTH
    student, teacher = scores(0, width), scores(1, width)
    loss = teacher_loss(student, teacher, problem, temperature)
    np.testing.assert_allclose(loss.numpy(), expected(student.numpy(), teacher.numpy(), problem, temperature), 1e-9)
    np.testing.assert_allclose(teacher_loss(teacher, teacher, problem, temperature).numpy(), 0, atol=1e-12)


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
def test_gradients(problem: str) -> None:
    width = 1 if problem == REGRESSION else WIDTH
    student, teacher = scores(0, width).requires_grad_(), scores(1, width)
    assert torch.autograd.gradcheck(lambda x: teacher_loss(x, teacher, problem, 2.0), (student,))
    labels = {SINGLE: torch.tensor([0, 4, 1, 2, -100, 3]), MULTI: (teacher > 0).double(), REGRESSION: teacher[:, 0]}
    assert torch.autograd.gradcheck(lambda x: label_loss(x, labels[problem], problem), (student,))


def test_a_label_that_is_left_out_costs_nothing() -> None:
    loss = label_loss(scores(0), torch.tensor([-100, 1, 2, 3, 4, -100]), "")
    assert loss[[0, 5]].tolist() == [0, 0]
    assert (loss[1:5] > 0).all()


def test_groups_of_different_sizes() -> None:
    rows = pad_groups(torch.arange(1.0, 7.0), torch.tensor([1, 3, 2]))
    assert rows.tolist() == [[1, PADDING_SCORE, PADDING_SCORE], [2, 3, 4], [5, 6, PADDING_SCORE]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_beyond_a_group_is_not_there(dtype: torch.dtype) -> None:
    """Neither the loss nor the gradient of a group changes with the size of its neighbours."""
    sizes, width = torch.tensor([2, 5]), 5
    values, teacher = scores(0).flatten()[:7].to(dtype), scores(1).flatten()[:7].to(dtype)
    both = [values.clone().requires_grad_(), values.clone().requires_grad_()]
    target = torch.tensor([1, 3])
    student_rows, teacher_rows = pad_groups(both[0], sizes), pad_groups(teacher, sizes)
    assert student_rows.shape == (2, width)
    loss = label_loss(student_rows, target, "") + teacher_loss(student_rows, teacher_rows, "", 2.0)
    alone = []
    for part, label in ((slice(0, 2), 1), (slice(2, 7), 3)):
        group = both[1][part][None]
        alone.append(label_loss(group, torch.tensor([label]), "") + teacher_loss(group, teacher[part][None], "", 2.0))
    torch.testing.assert_close(loss, torch.cat(alone))
    loss.sum().backward()
    torch.cat(alone).sum().backward()
    torch.testing.assert_close(both[0].grad, both[1].grad)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_labels_and_teacher_share_the_loss(tmp_path_factory: pytest.TempPathFactory, weight: float) -> None:
    """A row without a label only counts in the teacher's loss, and a row without any weight not at all."""
    config = config_of(tmp_path_factory.mktemp("share"), teacher="t", teacher_weight=weight, temperature=2.0)
    torch.manual_seed(0)
    model = model_class("ForSequenceClassification")(tiny_config("ForSequenceClassification")).eval()
    objective = FinetuneObjective(model, config, SINGLE)
    ids, lengths = torch.arange(5, 17), torch.tensor([3, 4, 5])
    teacher_scores = scores(1)[:3].float()
    labels, weights, mask = torch.tensor([4, 1, 0]), torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
    loss, terms = objective(
        ids, lengths, labels, weights, mask, {"label_weight": 1.0, "teacher_rows": 2.0}, teacher_scores=teacher_scores
    )
    logits = torch.cat([model(part[None]).logits for part in ids.split(lengths.tolist())]).detach()
    task = label_loss(logits[:1], labels[:1], SINGLE)[0]
    teacher = teacher_loss(logits[:2], teacher_scores[:2], SINGLE, 2.0).mean()
    torch.testing.assert_close(terms, {"task": task, "teacher": teacher})
    torch.testing.assert_close(loss.detach(), (1 - weight) * task + weight * teacher)
