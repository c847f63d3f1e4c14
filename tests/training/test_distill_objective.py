"""The objective of distillation, building students, and the errors of both."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from distilbert import ConfigError, DistillConfig
from distilbert.training.distill_models import build_student, pick_layers, spread_evenly
from distilbert.training.distill_objective import DistillObjective, LossPlan, loss_plan
from tests.tiny import tiny_model

IDS = torch.randint(5, 97, (3, 9), generator=torch.Generator().manual_seed(0))
LABELS = IDS.masked_fill(torch.rand(3, 9, generator=torch.Generator().manual_seed(1)) < 0.7, -100)
COUNTS = {"tokens": IDS.numel(), "masked": int((LABELS != -100).sum())}
EXACT = {"rtol": 0.0, "atol": 1e-5}


def teacher(**changes: Any) -> Any:
    return tiny_model("ForMaskedLM", **({"n_layers": 4} | changes)).requires_grad_(False)


def student(**changes: Any) -> Any:
    return tiny_model("ForMaskedLM", seed=3, **changes)


def config(**changes: Any) -> DistillConfig:
    return DistillConfig(**({"data": ["x"], "output": "y", "teacher": "z"} | changes))


@pytest.mark.parametrize("tokens", ["all", "masked"])
def test_the_triple_loss_is_the_sum_of_its_terms(tokens: str) -> None:
    student_model, teacher_model = student(), teacher()
    plan = LossPlan({"ce": 5.0, "mlm": 2.0, "cos": 1.0}, temperature=2.0, ce_tokens=tokens, chunk=4)
    objective = DistillObjective(student_model, plan, teacher_model)
    loss, values = objective(IDS, LABELS, COUNTS)
    loss.backward()
    got = {name: p.grad.clone() for name, p in student_model.named_parameters() if p.grad is not None}
    student_model.zero_grad()
    s, t = student_model(IDS), teacher_model(IDS)
    states = [model.distilbert(IDS).last_hidden_state.flatten(0, 1) for model in (student_model, teacher_model)]
    rows = (LABELS != -100) if tokens == "masked" else torch.ones_like(LABELS, dtype=torch.bool)
    expected = {
        "ce": 4
        * F.kl_div((s.logits[rows] / 2).log_softmax(-1), (t.logits[rows] / 2).softmax(-1), reduction="batchmean"),
        "mlm": F.cross_entropy(s.logits.flatten(0, 1), LABELS.flatten()),
        "cos": F.cosine_embedding_loss(*states, torch.ones(IDS.numel())),
    }
    total = 5 * expected["ce"] + 2 * expected["mlm"] + expected["cos"]
    total.backward()
    torch.testing.assert_close(loss, total, rtol=1e-5, atol=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(values[name].float(), value.detach(), **EXACT)
    for name, parameter in student_model.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-4, atol=1e-4)
    assert all(p.grad is None for p in teacher_model.parameters())


def test_hidden_and_relation_read_the_layers_that_they_name() -> None:
    student_model, teacher_model = student(), teacher()
    pairs = ((0, 0), (2, 3))
    plan = LossPlan({"hidden": 1.0, "relation": 1.0}, hidden_pairs=pairs, relation_layer=1, relation_heads=2)
    _, values = DistillObjective(student_model, plan, teacher_model)(IDS, LABELS, COUNTS)
    states = [
        model.distilbert(IDS, output_hidden_states=True).hidden_states for model in (student_model, teacher_model)
    ]
    hidden = torch.stack([F.mse_loss(states[0][a], states[1][b]) for a, b in pairs]).mean()
    torch.testing.assert_close(values["hidden"], hidden.detach(), **EXACT)
    relation = torch.zeros(())
    attentions = (
        student_model.distilbert.transformer.layer[1].attention,
        teacher_model.distilbert.transformer.layer[1].attention,
    )
    for name in ("q_lin", "k_lin", "v_lin"):
        r = []
        for attention, x in zip(attentions, (states[0][1], states[1][1]), strict=True):
            y = getattr(attention, name)(x).unflatten(-1, (2, 12)).transpose(1, 2)
            r.append((y @ y.transpose(-1, -2) / 12**0.5).log_softmax(-1))
        relation = relation + F.kl_div(*r, reduction="sum", log_target=True) / (2 * IDS.numel())
    torch.testing.assert_close(values["relation"], relation.detach(), **EXACT)


def test_a_narrower_student_learns_through_projections_and_relations() -> None:
    student_model, teacher_model = student(dim=12, hidden_dim=20), teacher()
    plan = LossPlan(
        {"ce": 1.0, "hidden": 1.0, "relation": 1.0}, hidden_pairs=((1, 2), (2, 4)), relation_layer=3, relation_heads=3
    )
    objective = DistillObjective(student_model, plan, teacher_model)
    assert [tuple(p.weight.shape) for p in objective.projections] == [(24, 12), (24, 12)]
    loss, _ = objective(IDS, LABELS, COUNTS)
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in objective.projections.parameters())
    assert not [name for name, _ in objective.named_parameters() if "teacher" in name]


def test_an_evaluation_sums_over_masked_tokens() -> None:
    student_model, teacher_model = student(), teacher()
    sums, rest = DistillObjective(student_model, LossPlan({"ce": 1.0}), teacher_model)(IDS, LABELS)
    rows = LABELS != -100
    log_s, log_t = (model(IDS).logits[rows].log_softmax(-1).double() for model in (student_model, teacher_model))
    expected = [
        F.nll_loss(log_s, LABELS[rows], reduction="sum"),
        F.nll_loss(log_t, LABELS[rows], reduction="sum"),
        F.kl_div(log_s, log_t, reduction="sum", log_target=True),
        (log_s.argmax(-1) == log_t.argmax(-1)).double().sum(),
    ]
    torch.testing.assert_close(sums, torch.stack(expected).detach(), rtol=1e-5, atol=1e-4)
    assert rest == {}


def test_a_placed_teacher_says_the_same() -> None:
    plan = LossPlan({"ce": 5.0, "cos": 1.0}, temperature=2.0)
    teacher_model, student_model = teacher(dim=48, hidden_dim=96), student(dim=48, hidden_dim=96)
    objective = DistillObjective(student_model, plan, teacher_model)
    before = objective(IDS, LABELS, COUNTS)[1]
    objective.place_teacher(torch.device("cpu"), torch.float32)
    after = objective(IDS, LABELS, COUNTS)[1]
    for name in before:
        torch.testing.assert_close(after[name], before[name], **EXACT)
    half = DistillObjective(student_model, plan, teacher(dim=48, hidden_dim=96))
    half.place_teacher(torch.device("cpu"), torch.bfloat16)
    assert half.teacher is not None
    assert half.teacher.dtype == torch.bfloat16
    rough = half(IDS, LABELS, COUNTS)[1]
    torch.testing.assert_close(rough["cos"], before["cos"], rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("plan", "changes", "message"),
    [
        (LossPlan({"cos": 1.0}), {"dim": 12}, "cos compares vectors of equal width; the teacher's have 24"),
        (LossPlan({"ce": 1.0}), {"vocab_size": 98}, r"different vocabularies \(97 and 98 ids\)"),
        (LossPlan({"hidden": 1.0}, hidden_pairs=((3, 4),)), {}, "3:4 is no pair of states; the student has 0 to 2"),
        (LossPlan({"relation": 1.0}, relation_layer=4), {}, "below the teacher's 4 layers"),
        (
            LossPlan({"relation": 1.0}, relation_layer=0, relation_heads=5),
            {},
            "5 does not divide the teacher's width 24",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused(plan: LossPlan, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistillObjective(student(**changes), plan, teacher())


def test_terms_that_need_a_teacher() -> None:
    with pytest.raises(ConfigError, match="ce, cos need a teacher"):
        DistillObjective(student(), LossPlan({"ce": 1.0, "mlm": 1.0, "cos": 1.0}))


def text_batch() -> tuple[torch.Tensor, torch.Tensor, dict[str, float]]:
    """Three texts of different lengths, the ids behind their ends at random."""
    mask = (torch.arange(9) < torch.tensor([[9], [4], [6]])).long()
    return IDS, mask, {"tokens": 19.0, "texts": 3.0, "pairs": 6.0}


TEXT_PLAN = LossPlan(
    {"pooled": 2.0, "similarity": 3.0, "cos": 1.0, "hidden": 1.0, "relation": 1.0},
    hidden_pairs=((1, 2), (2, 4)), relation_layer=3, relation_heads=3,
)  # fmt: skip


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_terms_between_vectors_of_texts(pooling: str) -> None:
    student_model, teacher_model = tiny_model("", seed=3), tiny_model("", n_layers=4).requires_grad_(False)
    ids, mask, counts = text_batch()
    plan = LossPlan({"pooled": 2.0, "similarity": 3.0}, pooling=pooling)
    loss, values = DistillObjective(student_model, plan, teacher_model)(ids, counts=counts, attention_mask=mask)
    vectors = []
    for model in (student_model, teacher_model):
        rows = []
        for row, length in zip(ids, mask.sum(1).tolist(), strict=True):
            hidden = model(row[None, :length]).last_hidden_state[0]
            rows.append(F.normalize(hidden.mean(0) if pooling == "mean" else hidden[0], dim=-1))
        vectors.append(torch.stack(rows))
    student_vectors, teacher_vectors = vectors
    pooled = (student_vectors - teacher_vectors).square().sum(-1).mean() / 2
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    similarity = torch.stack(
        [(student_vectors[i] @ student_vectors[j] - teacher_vectors[i] @ teacher_vectors[j]).square() for i, j in pairs]
    ).mean()
    torch.testing.assert_close(values["pooled"], pooled.detach(), **EXACT)
    torch.testing.assert_close(values["similarity"], similarity.detach(), **EXACT)
    torch.testing.assert_close(loss, 2 * pooled + 3 * similarity, **EXACT)


def test_padding_changes_no_term_and_no_gradient() -> None:
    ids, mask, counts = text_batch()
    results = []
    for extra in (0, 5):
        student_model, teacher_model = tiny_model("", seed=3), tiny_model("", n_layers=4).requires_grad_(False)
        objective = DistillObjective(student_model, TEXT_PLAN, teacher_model)
        longer, longer_mask = F.pad(ids, (0, extra), value=7), F.pad(mask, (0, extra))
        loss, values = objective(longer, counts=counts, attention_mask=longer_mask)
        loss.backward()
        gradients = {name: p.grad for name, p in student_model.named_parameters()}
        results.append((values, gradients))
    (values, gradients), (more_values, more_gradients) = results
    assert values.keys() == TEXT_PLAN.terms.keys()
    for name in values:
        torch.testing.assert_close(more_values[name], values[name], **EXACT)
    for name, gradient in gradients.items():
        torch.testing.assert_close(more_gradients[name], gradient, rtol=1e-4, atol=1e-5)


def test_terms_with_a_full_mask_are_those_without_one() -> None:
    student_model, teacher_model = tiny_model("", seed=3), tiny_model("", n_layers=4)
    objective = DistillObjective(student_model, TEXT_PLAN, teacher_model)
    counts = {"tokens": 27.0, "texts": 3.0, "pairs": 6.0}
    plain, masked = objective(IDS, counts=counts), objective(IDS, counts=counts, attention_mask=torch.ones_like(IDS))
    torch.testing.assert_close(masked[0], plain[0], **EXACT)
    for name, value in plain[1].items():
        torch.testing.assert_close(masked[1][name], value, **EXACT)


def test_a_narrower_student_is_compared_through_a_projection_and_by_similarities() -> None:
    student_model, teacher_model = tiny_model("", seed=3, dim=12, hidden_dim=20), tiny_model("", n_layers=4)
    plan = LossPlan({"pooled": 1.0, "similarity": 1.0})
    objective = DistillObjective(student_model, plan, teacher_model)
    ids, mask, counts = text_batch()
    loss, _ = objective(ids, counts=counts, attention_mask=mask)
    loss.backward()
    (projection,) = objective.text_projection.parameters()
    assert tuple(projection.shape) == (24, 12)
    assert projection.grad is not None
    assert projection.grad.abs().sum() > 0
    only_similar = DistillObjective(student_model, LossPlan({"similarity": 1.0}), teacher_model)
    sums, rest = only_similar(ids, attention_mask=mask)
    assert (sums[0], sums[1], sums[3], rest) == (0, 3, 6, {})


def test_an_evaluation_compares_vectors_of_texts() -> None:
    student_model, teacher_model = tiny_model("", seed=3), tiny_model("", n_layers=4)
    ids, mask, counts = text_batch()
    objective = DistillObjective(student_model, LossPlan({"pooled": 1.0, "similarity": 1.0}), teacher_model)
    _, values = objective(ids, counts=counts, attention_mask=mask)
    sums, _ = objective(ids, attention_mask=mask)
    assert sums[0].item() == pytest.approx(3 * (1 - values["pooled"].item()), abs=1e-5)
    assert sums[2].item() == pytest.approx(6 * values["similarity"].item(), abs=1e-5)
    same = DistillObjective(teacher_model, LossPlan({"similarity": 1.0}), teacher_model)
    assert same(ids, attention_mask=mask)[0].tolist() == pytest.approx([3, 3, 0, 6], abs=1e-5)


@pytest.mark.parametrize(
    ("layers", "of", "expected"),
    [
        ("0,2,4,7,9,11", 12, [0, 2, 4, 7, 9, 11]),
        ("6", 12, [0, 2, 4, 7, 9, 11]),
        ("half", 12, [0, 2, 4, 7, 9, 11]),
        ("3", 6, [0, 3, 5]),
        ("1", 6, [0]),
        ("5,", 6, [5]),
        ("6", 6, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_layer_picks(layers: str, of: int, expected: list[int]) -> None:
    assert pick_layers(layers, of) == expected


@pytest.mark.parametrize("layers", ["7", "0", "0,6", "a", "-1", ""])
def test_layers_that_are_not_there(layers: str) -> None:
    with pytest.raises(ConfigError, match="layers"):
        pick_layers(layers, 6)


def test_a_spread_is_even_and_keeps_both_ends() -> None:
    for n in range(2, 25):
        for count in range(2, n + 1):
            picks = spread_evenly(count, n)
            assert (picks[0], picks[-1], len(set(picks))) == (0, n - 1, count)
            steps = [b - a for a, b in itertools.pairwise(picks)]
            assert max(steps) - min(steps) <= 1


def test_a_student_is_copied_from_the_layers_picked() -> None:
    teacher_model = teacher()
    student_model = build_student(config(layers="1,3"), teacher_model)
    assert student_model.config.n_layers == 2
    teacher_state = teacher_model.state_dict()
    for name, tensor in student_model.state_dict().items():
        source = name.replace("layer.1.", "layer.3.").replace("layer.0.", "layer.1.")
        assert torch.equal(tensor, teacher_state[source]), name
    assert student_model.vocab_projector.weight is student_model.distilbert.embeddings.word_embeddings.weight
    with torch.no_grad():
        student_model.distilbert.embeddings.word_embeddings.weight.zero_()
    assert teacher_model.distilbert.embeddings.word_embeddings.weight.abs().sum() > 0, "the teacher is another model"


def test_a_random_student_depends_on_the_seed_alone() -> None:
    teacher_model = teacher()
    first, same, other = (
        build_student(config(layers="2", init="random", dim=12, seed=seed), teacher_model) for seed in (1, 1, 2)
    )
    assert (first.config.dim, first.config.hidden_dim, first.config.n_heads, first.config.n_layers) == (12, 48, 3, 2)
    name = "distilbert.transformer.layer.0.ffn.lin1.weight"
    assert torch.equal(first.get_parameter(name), same.get_parameter(name))
    assert not torch.equal(first.get_parameter(name), other.get_parameter(name))


def test_a_plan_fills_in_the_defaults() -> None:
    student_model, teacher_model = student().config, teacher().config
    plan = loss_plan(config(), student_model, teacher_model)
    assert plan.hidden_pairs == ((1, 2), (2, 4))
    assert (plan.relation_layer, plan.relation_heads) == (3, 3)
    plan = loss_plan(
        config(hidden_pairs=["0:0", "2:1"], relation_layer=1, relation_heads=6), student_model, teacher_model
    )
    assert (plan.hidden_pairs, plan.relation_layer, plan.relation_heads) == (((0, 0), (2, 1)), 1, 6)
    with pytest.raises(ConfigError, match="hidden_pairs must be pairs such as 1:2"):
        loss_plan(config(hidden_pairs=["1-2"]), student_model, teacher_model)
