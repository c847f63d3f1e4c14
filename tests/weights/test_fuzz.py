"""Damaged model folders: thousands of seeded mutations give an answer or an error of this package, and nothing else."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from distilbert import AutoModel, DistilBertError
from distilbert.models.conversion import convert
from tests.tiny import tiny_inputs, tiny_model

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 10**9, 10**30, 0.5, 1e308, float("nan"), float("inf"), "", "x", "0", "gelu",
    [], {}, [[]], [0, 1], ["a"], {"0": "a"}, {"a": 0}, {"0": [0]}, {"1": [99]}, "x" * 10_000, [None], {"a": {"b": [1]}},
)  # fmt: skip
FIELDS = (
    "vocab_size", "max_position_embeddings", "sinusoidal_pos_embds", "n_layers", "n_heads", "dim", "hidden_dim",
    "dropout", "attention_dropout", "activation", "initializer_range", "qa_dropout", "seq_classif_dropout",
    "pad_token_id", "tie_word_embeddings", "problem_type", "output_hidden_states", "output_attentions", "return_dict",
    "dtype", "torch_dtype", "architectures", "pruned_heads", "id2label", "label2id", "num_labels", "model_type",
    "hidden_size",
    "is_decoder", "attn_implementation", "_attn_implementation", "extra", "torchscript", "_name_or_path", "to_dict",
)  # fmt: skip
FILES = ("model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack")


def outcome(folder: Path) -> str:
    """Load and call the model; anything but an answer or an error of this package is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = AutoModel.from_pretrained(folder)
            with torch.no_grad():
                model(**tiny_inputs(""))
        except DistilBertError as error:
            if len(str(error)) < 20_000:
                return type(error).__name__
            raise AssertionError("a message that nobody can read") from error
    return "an answer"


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat or insert some bytes, most of them near the start, where the structure is."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        place = chance.randrange(min(len(changed), chance.choice([16, 256, 4096, 10**9])) or 1)
        match chance.randrange(5):
            case 0:
                changed[place] = chance.randrange(256)
            case 1:
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                del changed[place : place + chance.choice([1, 8, 1000])]
            case 3:
                changed[place:place] = bytes(chance.randrange(256) for _ in range(chance.choice([1, 4, 16])))
            case 4:
                del changed[place:]
        if not changed:
            break
    return bytes(changed)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same model in each format."""
    root = tmp_path_factory.mktemp("formats")
    tiny_model("").save_pretrained(root / "source")
    return {
        file: convert(
            root / "source", root / file.replace(".", "_"), to=file.replace("model.safetensors", "safetensors")
        ).folder
        for file in FILES
    }


def run_configs(folders: dict[str, Path], folder: Path, number: int, seed: int) -> Counter[str]:
    shutil.copytree(folders["model.safetensors"], folder, dirs_exist_ok=True)
    path = folder / "config.json"
    values = json.loads(path.read_text())
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for _ in range(number):
        changes = {chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.choice([1, 1, 2]))}
        text = json.dumps(values | changes)
        if chance.random() < 0.2:
            text = mutate(text.encode(), chance).decode("latin-1")
        path.write_text(text)
        try:
            outcomes[outcome(folder)] += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} from config.json {text[:500]!r}") from error
    return outcomes


def run_files(folders: dict[str, Path], folder: Path, file: str, number: int, seed: int) -> Counter[str]:
    shutil.copytree(folders[file], folder, dirs_exist_ok=True)
    original = (folder / file).read_bytes()
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for turn in range(number):
        (folder / file).write_bytes(mutate(original, chance))
        try:
            outcomes[outcome(folder)] += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} from mutation {turn} of {file}, seed {seed}") from error
    return outcomes


@pytest.mark.parametrize("number", [pytest.param(3000, marks=pytest.mark.slow), 60])
def test_damaged_configurations(number: int, folders: dict[str, Path], tmp_path: Path) -> None:
    outcomes = run_configs(folders, tmp_path / "model", number, seed=number)
    assert outcomes["ConfigError"] > 0
    assert sum(outcomes.values()) == number


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("number", [pytest.param(1500, marks=pytest.mark.slow), 25])
def test_damaged_weights(number: int, file: str, folders: dict[str, Path], tmp_path: Path) -> None:
    outcomes = run_files(folders, tmp_path / "model", file, number, seed=number)
    assert outcomes["WeightsError"] > 0
    assert sum(outcomes.values()) == number
