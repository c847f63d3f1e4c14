"""What a folder of sentence-transformers says, where it says something that cannot be done."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from distilbert import pipeline
from distilbert.core.errors import DistilBertError, WeightsError
from tests.behaviour.make_models import make

INPUT = {"source_sentence": "a good film", "sentences": ["the worst book", "a film in berlin"]}
KINDS = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
HOSTILE: tuple[Any, ...] = (None, "x", [], {}, [[]], {"a": 1}, 0, -1, 1e400, float("nan"), True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make(tmp_path, "encoder")
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in KINDS]
    (made / "modules.json").write_text(json.dumps(modules))
    dim = json.loads((made / "config.json").read_text())["dim"]
    for path, values in (
        ("config_sentence_transformers.json", {"prompts": {"q": "ask: "}, "default_prompt_name": "q"}),
        ("sentence_bert_config.json", {"max_seq_length": 12}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode": "mean"}),
        ("2_Dense/config.json", {"in_features": dim, "out_features": 3, "activation_function": "torch.nn.Identity"}),
    ):
        (made / path).parent.mkdir(exist_ok=True)
        (made / path).write_text(json.dumps(values))
    write_weights(made, np.random.default_rng(0).standard_normal((3, dim)))
    return made


def write_weights(folder: Path, weight: np.ndarray) -> None:
    save_file({"linear.weight": weight.astype(np.float32)}, folder / "2_Dense" / "model.safetensors")


def answer(folder: Path) -> Any:
    return pipeline("sentence-similarity", folder, precision="fp32")(INPUT)


def test_the_whole_folder_answers(folder: Path) -> None:
    assert len(answer(folder)) == 2


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("config_sentence_transformers.json", ("prompts", "default_prompt_name", "similarity_fn_name")),
        ("sentence_bert_config.json", ("max_seq_length", "do_lower_case")),
        ("1_Pooling/config.json", ("pooling_mode", "pooling_mode_mean_tokens", "include_prompt")),
        ("2_Dense/config.json", ("in_features", "out_features", "activation_function", "module_input_name", "bias")),
    ],
)
def test_values_of_other_types_are_answers_or_errors_of_ours(folder: Path, file: str, names: tuple[str, ...]) -> None:
    values = json.loads((folder / file).read_text())
    for name in names:
        for value in HOSTILE:
            (folder / file).write_text(json.dumps(values | {name: value}))
            with contextlib.suppress(DistilBertError):
                assert np.isfinite(answer(folder)).all()


@pytest.mark.parametrize("value", HOSTILE)
def test_modules_of_other_types_are_answers_or_errors_of_ours(folder: Path, value: Any) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    for changed in (value, [value], [*modules, value], [*modules[:2], modules[2] | {"type": value, "path": value}]):
        (folder / "modules.json").write_text(json.dumps(changed))
        with pytest.raises(DistilBertError):
            answer(folder)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 3e38])
def test_a_dense_module_whose_vectors_are_not_finite(folder: Path, number: float) -> None:
    dim = json.loads((folder / "config.json").read_text())["dim"]
    weight = np.full((3, dim), number)
    weight[:, ::2] *= -1
    write_weights(folder, weight)
    with pytest.raises(WeightsError, match="not finite after the modules .* a Dense module are damaged or too large"):
        answer(folder)
