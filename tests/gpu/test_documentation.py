"""The three examples of DistilBERT's page in the documentation of transformers, as a user runs them with this library.

What changes: the library's name in the import, and a folder in place of the name of a model on the hub.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch

from .device import DEVICE, ON_CPU, on_gpu

pytestmark = on_gpu
SST2 = Path(__file__).parents[2] / "packages" / "distilbert-mini-sst2" / "src" / "distilbert_mini_sst2" / "model"

PIPELINE = """
import torch
from distilbert import pipeline

classifier = pipeline(
    task="text-classification",
    model="MODEL",
    torch_dtype=torch.float16,
    device=0
)
result = classifier("I love using Hugging Face Transformers!")
print(result)
"""
AUTO_MODEL = """
import torch
from distilbert import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("MODEL")
model = AutoModelForSequenceClassification.from_pretrained(
    "MODEL",
    torch_dtype=torch.float16,
    device_map="auto",
    attn_implementation="sdpa"
)
inputs = tokenizer("I love using Hugging Face Transformers!", return_tensors="pt").to(model.device)

with torch.no_grad():
    outputs = model(**inputs)

predicted_class_id = torch.argmax(outputs.logits, dim=-1).item()
predicted_label = model.config.id2label[predicted_class_id]
print(f"Predicted label: {predicted_label}")
"""
FLASH = """
import torch
from distilbert import AutoTokenizer, AutoModel

device = "cuda"  # the device to load the model onto

tokenizer = AutoTokenizer.from_pretrained("MODEL")
model = AutoModel.from_pretrained("MODEL", torch_dtype=torch.float16, attn_implementation="flash_attention_2")

text = "Replace me by any text you'd like."

encoded_input = tokenizer(text, return_tensors="pt").to(device)
model.to(device)

output = model(**encoded_input)
"""


def run(example: str) -> tuple[dict[str, Any], str]:
    """Run an example; return its variables and what it printed."""
    example = example.replace("MODEL", SST2.as_posix())
    if ON_CPU:  # FlashAttention is what a rehearsal cannot cover here
        for gpu, cpu in (("device=0", "device=-1"), ('"cuda"', '"cpu"'), ("flash_attention_2", "sdpa")):
            example = example.replace(gpu, cpu)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(example, names)
    return names, printed.getvalue()


def test_pipeline() -> None:
    names, printed = run(PIPELINE)
    assert names["result"][0]["label"] == "positive"
    assert names["result"][0]["score"] > 0.9
    assert "'label': 'positive'" in printed
    assert names["classifier"].device == DEVICE


def test_auto_model() -> None:
    names, printed = run(AUTO_MODEL)
    assert printed == "Predicted label: positive\n"
    assert (names["model"].device, names["model"].dtype) == (DEVICE, torch.float16)


def test_flash_attention() -> None:
    from distilbert import AutoModel

    names, _ = run(FLASH)
    got = names["output"].last_hidden_state
    assert (got.device, got.dtype) == (DEVICE, torch.float16)
    with torch.inference_mode():
        inputs = {name: tensor.cpu() for name, tensor in names["encoded_input"].items()}
        expected = AutoModel.from_pretrained(SST2)(**inputs).last_hidden_state
    assert (got.float().cpu() - expected).abs().max() < 0.03
