"""Training loops that use accelerate alone, as the scripts without Trainer do, and accelerate's own functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

accelerate = pytest.importorskip("accelerate")
import torch  # noqa: E402
from accelerate import Accelerator  # noqa: E402
from accelerate.state import AcceleratorState  # noqa: E402
from accelerate.utils import convert_outputs_to_fp32, find_tied_parameters, set_seed  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from distilbert import (  # noqa: E402
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertTokenizerFast,
)
from tests.interop.tiny_data import SIZES, sentences, write_vocabulary  # noqa: E402


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> None:
    """accelerate keeps one state for a process, and Trainer's tests leave theirs behind."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> DistilBertTokenizerFast:
    return write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


def batches(tokenizer: Any, masked: bool = False) -> DataLoader[Any]:
    def collate(rows: list[tuple[str, int]]) -> dict[str, torch.Tensor]:
        batch = dict(tokenizer([text for text, _ in rows], padding=True, return_tensors="pt"))
        batch["labels"] = torch.tensor([label for _, label in rows])
        if masked:
            batch["labels"] = batch["input_ids"].clone()
            batch["labels"][:, ::2] = -100
        return batch

    return DataLoader(sentences(), batch_size=8, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]


def model_of(cls: Any, **changes: Any) -> Any:
    set_seed(0)
    return cls(DistilBertConfig(**(SIZES | {"initializer_range": 0.2} | changes)))


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("cls", [DistilBertForSequenceClassification, DistilBertForMaskedLM])
def test_a_loop_of_its_own(tmp_path: Path, tokenizer: Any, cls: Any, precision: str) -> None:
    accelerator = Accelerator(cpu=True, mixed_precision=precision, gradient_accumulation_steps=2)
    model = model_of(cls)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = batches(tokenizer, masked=cls is DistilBertForMaskedLM)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    losses = []
    for _ in range(5):
        for batch in loader:
            with accelerator.accumulate(model):
                outputs = model(**batch)
                assert outputs.logits.dtype == torch.float32, "accelerate converts the outputs of mixed precision"
                accelerator.backward(outputs.loss)
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            losses.append(float(accelerator.gather_for_metrics(outputs.loss.detach())))
    assert sum(losses[-8:]) < sum(losses[:8])
    accelerator.wait_for_everyone()
    unwrapped = accelerator.unwrap_model(model)
    assert type(unwrapped) is cls
    unwrapped.save_pretrained(
        tmp_path,
        is_main_process=accelerator.is_main_process,
        save_function=accelerator.save,
        state_dict=accelerator.get_state_dict(model),
    )
    loaded = cls.from_pretrained(tmp_path)
    for name, weight in unwrapped.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


@pytest.mark.parametrize("cls", [DistilBertForSequenceClassification, DistilBertForMaskedLM])
def test_states_are_saved_and_loaded(tmp_path: Path, tokenizer: Any, cls: Any) -> None:
    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare(model_of(cls))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    accelerator.save_state(str(tmp_path))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    accelerator.load_state(str(tmp_path))
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


def test_outputs_of_half_precision_become_fp32(tokenizer: Any) -> None:
    model = model_of(DistilBertForQuestionAnswering).bfloat16()
    forward = convert_outputs_to_fp32(model.forward)
    batch = tokenizer(["a film was good .", "a book"], padding=True, return_tensors="pt")
    outputs = forward(**batch, output_hidden_states=True)
    assert type(outputs) is type(model(**batch))
    assert outputs.start_logits.dtype == outputs["end_logits"].dtype == outputs[0].dtype == torch.float32
    assert outputs.hidden_states[0].dtype == torch.float32


def test_ties_and_blocks_are_known() -> None:
    model = model_of(DistilBertForMaskedLM)
    assert find_tied_parameters(model) == [["distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight"]]
    sizes = accelerate.utils.compute_module_sizes(model)
    assert sizes[""] > 0
    devices = accelerate.infer_auto_device_map(model, no_split_module_classes=model._no_split_modules)
    assert set(devices.values()) == {"cpu"} or set(devices.values()) <= {0, "cpu"}
    with accelerate.init_empty_weights():
        empty = DistilBertForSequenceClassification(DistilBertConfig(**SIZES))
    assert all(parameter.is_meta for parameter in empty.parameters())
