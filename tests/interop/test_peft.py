"""peft on models of this package: LoRA is trained, saved, loaded and merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

peft = pytest.importorskip("peft")
import torch  # noqa: E402

from distilbert import (  # noqa: E402
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
)
from tests.interop.tiny_data import SIZES, sentences, write_vocabulary  # noqa: E402

TASKS = {
    DistilBertForSequenceClassification: "SEQ_CLS",
    DistilBertForTokenClassification: "TOKEN_CLS",
    DistilBertForQuestionAnswering: "QUESTION_ANS",
    DistilBertForMaskedLM: None,
}


def base(cls: Any, folder: Path) -> Any:
    """A saved and loaded base model, as adapters have one."""
    torch.manual_seed(0)
    cls(DistilBertConfig(**SIZES, initializer_range=0.2)).save_pretrained(folder)
    return cls.from_pretrained(folder)


def batch(folder: Path, cls: Any) -> dict[str, torch.Tensor]:
    rows = sentences()
    inputs = dict(write_vocabulary(folder)([text for text, _ in rows], padding=True, return_tensors="pt"))
    labels = torch.tensor([label for _, label in rows])
    if cls is DistilBertForSequenceClassification:
        return inputs | {"labels": labels}
    if cls is DistilBertForQuestionAnswering:
        return inputs | {"start_positions": labels + 1, "end_positions": labels + 2}
    return inputs | {"labels": labels[:, None].expand(inputs["input_ids"].shape)}


def logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        answer: torch.Tensor = model.eval()(**inputs)[1]
    return answer


@pytest.mark.parametrize("cls", TASKS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_is_trained_saved_loaded_and_merged(tmp_path: Path, cls: Any, checkpointing: bool) -> None:
    model = base(cls, tmp_path / "base")
    inputs = batch(tmp_path / "vocabulary", cls)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
        model.enable_input_require_grads()
    settings = peft.LoraConfig(task_type=TASKS[cls], r=4, target_modules=["q_lin", "v_lin"], lora_dropout=0.0)
    adapted = peft.get_peft_model(model, settings)
    frozen = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(12):
        loss = adapted.train()(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for name, weight in model.named_parameters():
        if name in frozen:
            torch.testing.assert_close(weight, frozen[name], rtol=0, atol=0)
    trained = logits(adapted, inputs)
    adapted.save_pretrained(tmp_path / "adapter")
    assert peft.PeftConfig.from_pretrained(tmp_path / "adapter").base_model_name_or_path == str(tmp_path / "base")

    again = peft.PeftModel.from_pretrained(cls.from_pretrained(tmp_path / "base"), tmp_path / "adapter")
    torch.testing.assert_close(logits(again, inputs), trained)
    merged = again.merge_and_unload()
    assert type(merged) is cls
    torch.testing.assert_close(logits(merged, inputs), trained, rtol=1e-4, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(cls.from_pretrained(tmp_path / "merged"), inputs), trained, rtol=1e-4, atol=1e-4)


def test_adapters_are_switched_off() -> None:
    torch.manual_seed(0)
    model = DistilBertForSequenceClassification(DistilBertConfig(**SIZES, initializer_range=0.2))
    inputs = {"input_ids": torch.tensor([[2, 5, 6, 3]]), "labels": torch.tensor([1])}
    plain = logits(model, inputs)
    settings = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["q_lin", "lin1"], init_lora_weights=False)
    adapted = peft.get_peft_model(model, settings)
    assert not torch.allclose(logits(adapted, inputs), plain)
    with adapted.disable_adapter():
        torch.testing.assert_close(logits(adapted, inputs), plain)
