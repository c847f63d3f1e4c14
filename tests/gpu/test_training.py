"""Training on the GPU: autocast, gradient checkpointing, a distillation step, and going on to the bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from distilbert.models.pytorch import modeling
from tests.tiny import tiny_inputs, tiny_labels, tiny_model

from .device import DEVICE, ON_CPU, distance, on_gpu

pytestmark = on_gpu
HEAD = "ForSequenceClassification"
BATCH = {
    name: tensor[:2].to(DEVICE)  # rows whose first token, which is classified, is no padding
    for name, tensor in (tiny_inputs(HEAD) | tiny_labels(HEAD)).items()
} if ON_CPU or torch.cuda.is_available() else {}  # fmt: skip


@pytest.fixture
def one_order() -> Iterator[None]:
    """Let sums be computed in one order, so that bits can be compared."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def gradients(model: nn.Module, autocast: bool = False) -> list[torch.Tensor]:
    model.zero_grad()
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=autocast):
        loss = model(**BATCH).loss
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flash_attention_2"])
def test_autocast(implementation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients in bf16 point where those in fp32 do, and a few steps lower the loss."""
    if ON_CPU:
        monkeypatch.setattr(modeling, "require_flash", lambda device: None)
    changes = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
    model = tiny_model(HEAD, **changes).to(DEVICE).train()
    exact = torch.cat([gradient.flatten() for gradient in gradients(model)])
    model.config.attn_implementation = implementation
    low = torch.cat([gradient.flatten() for gradient in gradients(model, autocast=True)])
    assert torch.cosine_similarity(exact, low, dim=0) > 0.99
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        with torch.autocast(DEVICE.type, torch.bfloat16):
            loss = model(**BATCH).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


def test_gradient_checkpointing() -> None:
    """Blocks computed twice, with the same dropout, give the same gradients."""
    model = tiny_model(HEAD).to(DEVICE).train()
    torch.manual_seed(1)
    plain = gradients(model)
    model.gradient_checkpointing_enable()
    torch.manual_seed(1)
    for a, b in zip(gradients(model), plain, strict=True):
        assert distance(a, b) < 1e-5


@pytest.mark.parametrize("implementation", ["sdpa", "flash_attention_2"])
@pytest.mark.usefixtures("one_order")
def test_going_on_from_a_saved_state_to_the_bit(
    implementation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ON_CPU:
        monkeypatch.setattr(modeling, "require_flash", lambda device: None)

    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = tiny_model(HEAD).to(DEVICE).train()
        model.config.attn_implementation = implementation
        return model, torch.optim.AdamW(model.parameters(), lr=1e-3, fused=not ON_CPU)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
        torch.manual_seed(number)  # dropout, as the training loop draws it
        with torch.autocast(DEVICE.type, torch.bfloat16):
            loss = model(**BATCH).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer = begin()
    for number in range(6):
        if number == 3:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
        step(model, optimizer, number)
    other, others_optimizer = begin()
    state = torch.load(tmp_path / "state.pt", map_location=DEVICE)
    other.load_state_dict(state["model"])
    others_optimizer.load_state_dict(state["optimizer"])
    for number in range(3, 6):
        step(other, others_optimizer, number)
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.usefixtures("one_order")
def test_a_distillation_that_is_resumed_to_the_bit(tmp_path: Path) -> None:
    """The whole run, as the command does it: four steps, and two, then two."""
    pytest.importorskip("tomli_w", reason="the settings of a run are written with tomli_w, which is not installed")
    from distilbert.training.distill_config import DistillConfig
    from distilbert.training.distillation import distill
    from tests.training.tiny_run import settings, write_model

    class Stop(Exception):
        pass

    teacher = write_model(tmp_path / "teacher")
    values = settings(tmp_path, teacher=teacher, device="cpu" if ON_CPU else "auto", precision="bf16", keep=9)
    whole = distill(DistillConfig(**values | {"output": str(tmp_path / "whole")}))

    def stop_at_three(record: dict[str, Any]) -> None:
        if record["kind"] == "train" and record["step"] == 3:
            raise Stop

    config = DistillConfig(**values | {"output": str(tmp_path / "resumed")})
    with pytest.raises(Stop):
        distill(config, on_record=stop_at_three)
    resumed = distill(config, resume=True)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("low", [False, True], ids=["fp32", "bf16"])
def test_a_distillation_step(low: bool) -> None:
    """The loss, its terms and its gradients on the GPU are those of the CPU."""
    from distilbert.training.distill_objective import DistillObjective, LossPlan

    plan = LossPlan({"ce": 5.0, "mlm": 2.0, "cos": 1.0}, temperature=2.0, chunk=8)
    teacher = tiny_model("ForMaskedLM", seed=3, n_layers=3, dropout=0.0, attention_dropout=0.0)
    student = tiny_model("ForMaskedLM", seed=4, dropout=0.0, attention_dropout=0.0)
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(5, 97, (6, 12), generator=generator)
    labels = torch.where(torch.rand(ids.shape, generator=generator) < 0.2, ids, -100)
    counts = {"tokens": ids.numel(), "masked": int((labels != -100).sum())}
    found = []
    for device, bf16 in ((torch.device("cpu"), False), (DEVICE, low)):
        objective = DistillObjective(copy.deepcopy(student), plan, copy.deepcopy(teacher)).to(device).train()
        objective.place_teacher(device, torch.bfloat16 if bf16 else torch.float32)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss, terms = objective(ids.to(device), labels.to(device), counts=counts)
        loss.backward()
        flat = torch.cat([p.grad.flatten().cpu() for p in objective.parameters() if p.grad is not None])
        found.append((float(loss.detach()), {name: float(value) for name, value in terms.items()}, flat))
    (loss, terms, exact), (got, got_terms, gradient) = found
    tolerance = 0.03 if low else 1e-4
    assert got == pytest.approx(loss, rel=tolerance)
    assert got_terms == pytest.approx(terms, rel=2 * tolerance, abs=tolerance)
    assert torch.cosine_similarity(exact, gradient, dim=0) > (0.98 if low else 0.99999)
