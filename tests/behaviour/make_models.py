"""Tiny model folders for every head, the same on every machine: weights from a seeded generator, vocabulary in code.

``python -m tests.behaviour.make_models FOLDER`` writes them. Sizes all differ, so that a swapped axis cannot pass.
"""

from __future__ import annotations

import json
import string
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from distilbert.core.config import DistilBertConfig
from distilbert.core.schema import HEADS, tensor_shapes, tied

WORD_LIST = """
the a an of to in and is was for on at with from this that it he she they we you i my name who what where
when how why do does did live lives lived work works worked city river mountain sea big small good bad great
new old york paris london berlin france germany john mary anna wolf gang obama google apple bank water film
movie book example sport politics science capital country year day one two three ten first last love hate
best worst not very about like said made born president company music red blue green answer question
"""
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
EXTRA = [*"0123456789", "é", "ß", "中", "国", "東", "京", "😀"]
PIECES = ["##ing", "##ed", "##er", "##s", "##ly", "##ton", "##land", "##ville", "##ness", "##é", "##ß"]
LETTERS = list(string.ascii_lowercase)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = list(
    dict.fromkeys(
        SPECIAL
        + PUNCTUATION
        + EXTRA
        + WORD_LIST.split()
        + PIECES
        + LETTERS[:-2]
        + [f"##{letter}" for letter in LETTERS[:-2]]
    )  # without y and z, so that some words become [UNK]
)
ENTITIES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
NLI = ["contradiction", "neutral", "entailment"]

# folder -> head, labels, problem type, seed
MODELS: dict[str, tuple[str, list[str] | None, str | None, int]] = {
    "encoder": ("", None, None, 1),
    "masked-lm": ("ForMaskedLM", None, None, 2),
    "labels": ("ForSequenceClassification", ["anger", "joy", "fear", "love", "surprise"], None, 3),
    "multi-label": ("ForSequenceClassification", ["a", "b", "c", "d"], "multi_label_classification", 4),
    "regression": ("ForSequenceClassification", ["value"], "regression", 5),
    "one-label": ("ForSequenceClassification", ["yes"], None, 6),
    "nli": ("ForSequenceClassification", NLI, None, 7),
    "nli-first": ("ForSequenceClassification", NLI[::-1], None, 8),
    "entities": ("ForTokenClassification", ENTITIES, None, 9),
    "answers": ("ForQuestionAnswering", None, None, 10),
    "choices": ("ForMultipleChoice", None, None, 11),
}
POSITIONS = 64


def make(folder: Path, name: str) -> Path:
    """Write the model ``name`` into ``folder / name`` and return that path."""
    head_name, labels, problem_type, seed = MODELS[name]
    head = HEADS[head_name]
    config = DistilBertConfig(
        vocab_size=len(VOCABULARY),
        max_position_embeddings=POSITIONS,
        dim=24,
        n_heads=3,
        n_layers=2,
        hidden_dim=40,
        architectures=[head.architecture],
        problem_type=problem_type,
        id2label=None if labels is None else dict(enumerate(labels)),
    )
    generator = np.random.default_rng(seed)
    tensors = {}
    for tensor, shape in tensor_shapes(config, head).items():
        noise = generator.standard_normal(shape).astype(np.float32)
        is_scale = "norm" in tensor.lower() and tensor.endswith("weight")
        tensors[tensor] = np.float32(1 if is_scale else 0) + np.float32(0.2 if is_scale else 0.4) * noise
    for alias in tied(config, head):
        del tensors[alias]
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(target)
    (target / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    options = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": POSITIONS}
    (target / "tokenizer_config.json").write_text(json.dumps(options), encoding="utf-8")
    return target


def make_all(folder: Path) -> Path:
    """Write every model below ``folder`` and return ``folder``."""
    for name in MODELS:
        make(folder, name)
    return folder


if __name__ == "__main__":
    make_all(Path(sys.argv[1]))
