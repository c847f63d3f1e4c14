"""Each term of the loss against its formula in NumPy, the paper's code in PyTorch, and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from distilbert.training.loss_terms import (
    VocabularyTerms,
    cosine_term,
    held_out_terms,
    hidden_term,
    relation_term,
    similarities,
    vocabulary_terms,
)

M, D, E, V, B, S, N = 13, 6, 10, 29, 3, 5, 2
T = 2.0
EXACT = {"rtol": 0.0, "atol": 1e-6}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels_of(count: int = M) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(0, V, (count,), generator=generator)
    return ids.masked_fill(torch.rand(count, generator=generator) < 0.6, -100)


def parts() -> dict[str, Any]:
    return {
        "student": draw(M, D, seed=1),
        "weight": draw(V, D, seed=2),
        "bias": draw(V, seed=3),
        "teacher": draw(M, E, seed=4),
        "teacher_weight": draw(V, E, seed=6) * 0.5,
        "labels": labels_of(),
    }


def chunked(p: dict[str, Any], chunk: int = 4, **weights: float) -> tuple[Tensor, dict[str, Tensor]]:
    masked = int((p["labels"] != -100).sum())
    terms = VocabularyTerms(**weights, temperature=T, tokens=M, masked=masked, chunk=chunk)
    return vocabulary_terms(
        p["student"], p["weight"], p["bias"], p["labels"], terms, p["teacher"], lambda t: t @ p["teacher_weight"].t()
    )


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_the_vocabulary_terms_equal_numpy() -> None:
    p = parts()
    s = (p["student"] @ p["weight"].t() + p["bias"]).numpy()
    t = (p["teacher"] @ p["teacher_weight"].t()).numpy()
    p_s, p_t = softmax(s / T), softmax(t / T)
    rows = np.flatnonzero(p["labels"].numpy() != -100)
    assert 0 < len(rows) < M
    expected = {
        "ce": T**2 * (p_t * np.log(p_t / p_s)).sum(-1).mean(),
        "mlm": -np.log(softmax(s)[rows, p["labels"].numpy()[rows]]).mean(),
        "mse": ((s - t) ** 2).sum(-1).mean(),
    }
    total, values = chunked(p, ce=5.0, mlm=2.0, mse=0.5)
    for name, value in expected.items():
        np.testing.assert_allclose(values[name].numpy(), value, **EXACT)
    np.testing.assert_allclose(
        total.numpy(), 5 * expected["ce"] + 2 * expected["mlm"] + 0.5 * expected["mse"], rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("weights", [{"ce": 5.0}, {"mlm": 2.0}, {"mse": 0.3}, {"ce": 5.0, "mlm": 2.0, "mse": 0.3}])
@pytest.mark.parametrize("chunk", [1, 4, 13, 50])
def test_value_and_gradient_equal_the_plain_computation(weights: dict[str, float], chunk: int) -> None:
    inputs, plain = parts(), parts()
    for p in (inputs, plain):
        for name in ("student", "weight", "bias"):
            p[name].requires_grad_()
    total, values = chunked(inputs, chunk, **weights)
    s = F.linear(plain["student"], plain["weight"], plain["bias"])
    t = plain["teacher"] @ plain["teacher_weight"].t()
    terms = {  # as the paper's training code computes them
        "ce": F.kl_div((s / T).log_softmax(-1), (t / T).softmax(-1), reduction="batchmean") * T**2,
        "mlm": F.cross_entropy(s, plain["labels"], ignore_index=-100),
        "mse": F.mse_loss(s, t, reduction="sum") / M,
    }
    sum(weight * terms[name] for name, weight in weights.items()).backward()
    (total * 3).backward()  # the backward pass must scale the gradient
    assert set(values) == set(weights)
    for name in weights:
        torch.testing.assert_close(values[name], terms[name].detach(), **EXACT)
    for name in ("student", "weight", "bias"):
        torch.testing.assert_close(inputs[name].grad, 3 * plain[name].grad, **EXACT)


def test_gradcheck_of_the_vocabulary_terms() -> None:
    p = parts()

    def total(student: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return chunked(p | {"student": student, "weight": weight, "bias": bias}, ce=5.0, mlm=2.0, mse=0.1)[0]

    assert torch.autograd.gradcheck(total, [p[name].requires_grad_() for name in ("student", "weight", "bias")])


def test_the_teacher_is_needed_only_where_it_is_compared_with() -> None:
    p = parts() | {"teacher": None}
    total, values = chunked(p, mlm=2.0)
    assert set(values) == {"mlm"}
    torch.testing.assert_close(total, 2 * chunked(parts(), mlm=2.0)[1]["mlm"], **EXACT)


def test_nothing_selected_gives_nothing() -> None:
    p = parts() | {"student": draw(0, D).requires_grad_(), "teacher": draw(0, E), "labels": labels_of(0)}
    terms = VocabularyTerms(ce=5.0, mlm=2.0, temperature=T, tokens=7, masked=3)
    total, _ = vocabulary_terms(
        p["student"], p["weight"], p["bias"], p["labels"], terms, p["teacher"], lambda t: t @ p["teacher_weight"].t()
    )
    total.backward()
    assert total.item() == 0
    assert p["student"].grad.shape == (0, D)


def test_bf16_matrix_products_under_autocast() -> None:
    p = {name: t.float() if t.is_floating_point() else t for name, t in parts().items()}
    exact, rough = dict(p), dict(p)
    for q in (exact, rough):
        q["student"] = p["student"].clone().requires_grad_()
        q["weight"] = p["weight"].clone().requires_grad_()
    chunked(exact, ce=5.0, mlm=2.0)[0].backward()
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = chunked(rough, ce=5.0, mlm=2.0)
    total.backward()
    assert total.dtype == torch.float32
    for name in ("student", "weight"):
        assert rough[name].grad.dtype == torch.float32
        error = (rough[name].grad - exact[name].grad).norm() / exact[name].grad.norm()
        assert 0 < error < 2e-2


def test_held_out_terms_equal_the_plain_computation() -> None:
    p = parts()
    labels = torch.arange(M) % V
    s = p["student"] @ p["weight"].t() + p["bias"]
    t = p["teacher"] @ p["teacher_weight"].t()
    got = held_out_terms(
        p["student"],
        lambda x: x @ p["weight"].t() + p["bias"],
        labels,
        p["teacher"],
        lambda x: x @ p["teacher_weight"].t(),
        4,
    )
    log_s, log_t = s.log_softmax(-1), t.log_softmax(-1)
    at = torch.arange(M)
    expected = [
        -log_s[at, labels].sum(),
        -log_t[at, labels].sum(),
        (log_t.exp() * (log_t - log_s)).sum(),
        (s.argmax(-1) == t.argmax(-1)).double().sum(),
    ]
    torch.testing.assert_close(got, torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_the_cosine_term() -> None:
    s, t = draw(B, S, D, seed=1), draw(B, S, D, seed=2)
    a, b = s.numpy(), t.numpy()
    cosines = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    np.testing.assert_allclose(cosine_term(s, t, B * S).numpy(), (1 - cosines).mean(), **EXACT)
    reference = F.cosine_embedding_loss(s.flatten(0, 1), t.flatten(0, 1), torch.ones(B * S), reduction="mean")
    torch.testing.assert_close(cosine_term(s, t, B * S), reference, **EXACT)
    assert torch.autograd.gradcheck(lambda x: cosine_term(x, t, B * S), [s.requires_grad_()])


def test_the_hidden_term() -> None:
    s, t = draw(B, S, D, seed=1), draw(B, S, D, seed=2)
    np.testing.assert_allclose(hidden_term(s, t, B * S).numpy(), ((s - t).numpy() ** 2).mean(), **EXACT)
    assert torch.autograd.gradcheck(lambda x: hidden_term(x, t, B * S), [s.requires_grad_()])


def test_the_relation_term_of_unequal_widths() -> None:
    s, t = draw(B, S, D, seed=1), draw(B, S, E, seed=2)
    divergence = 0.0
    for row in range(B):
        for head in range(N):
            relations = []
            for x in (s[row].numpy(), t[row].numpy()):
                width = x.shape[-1] // N
                part = x[:, head * width : (head + 1) * width]  # (S, H)
                relations.append(softmax(part @ part.T / np.sqrt(width)))
            r_s, r_t = relations
            divergence += (r_t * np.log(r_t / r_s)).sum()
    np.testing.assert_allclose(relation_term(s, t, N, B * S).numpy(), divergence / (N * B * S), **EXACT)
    assert torch.autograd.gradcheck(lambda x: relation_term(x, t, N, B * S), [s.requires_grad_()])


def test_terms_of_passes_add_up_to_the_mean_of_the_step() -> None:
    s, t = draw(B, S, D, seed=1), draw(B, S, D, seed=2)
    for term in (cosine_term, hidden_term, lambda a, b, count: relation_term(a, b, N, count)):
        whole = term(s, t, B * S)
        torch.testing.assert_close(term(s[:1], t[:1], B * S) + term(s[1:], t[1:], B * S), whole, **EXACT)


def test_similarities_are_exact_in_mixed_precision() -> None:
    vectors = 1 + 1e-3 * draw(B, D).float()  # nearly the same, as the vectors of like texts are
    exact = F.cosine_similarity(vectors[:, None].double(), vectors[None].double(), dim=-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = similarities(vectors)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-6)
