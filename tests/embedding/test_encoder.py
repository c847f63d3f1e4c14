"""Texts to vectors: the same as the task gives, in every form that users ask for."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from distilbert import Encoder, InputError, ModelNotFoundError, UnknownArgumentError, pipeline
from distilbert.embedding.stored_precision import quantize_embeddings
from distilbert.tasks.pooling import POOLINGS
from tests.behaviour.make_models import make

LONG = "the good city of paris was not very big " * 30
TEXTS = [
    "a good film",
    "the worst book i know",
    LONG,
    "b",
    "berlin is a big city in germany",
    LONG[:200],
    "a good film",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("model"), "encoder")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return Encoder(folder, precision="fp32")


@pytest.fixture
def sentence_folder(tmp_path: Path) -> Path:
    """A folder of sentence-transformers with a Dense module, prompts and a longest text."""
    made = make(tmp_path, "encoder")
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (made / "modules.json").write_text(json.dumps(modules))
    for path, values in (
        (
            "config_sentence_transformers.json",
            {"prompts": {"query": "ask: ", "passage": "say: "}, "similarity_fn_name": "dot"},
        ),
        ("sentence_bert_config.json", {"max_seq_length": 12}),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "max"]}),
        ("2_Dense/config.json", {"in_features": 48, "out_features": 7, "activation_function": "torch.nn.Tanh"}),
    ):
        (made / path).parent.mkdir(exist_ok=True)
        (made / path).write_text(json.dumps(values))
    weight = np.random.default_rng(0).standard_normal((7, 48)).astype(np.float32)
    save_file({"linear.weight": weight, "linear.bias": np.ones(7, np.float32)}, made / "2_Dense" / "model.safetensors")
    return made


def expected(folder: Path, texts: list[str], **parameters: Any) -> np.ndarray:
    """What the task answers, text by text."""
    task = pipeline("feature-extraction", folder, precision="fp32", **({"pooling": "auto"} | parameters))
    return np.array([task(text) for text in texts], np.float32)


@pytest.mark.parametrize("pooling", ["auto", *POOLINGS])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_those_of_the_task(pooling: str, normalize: bool, folder: Path, encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS, pooling=pooling, normalize=normalize)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(vectors, expected(folder, TEXTS, pooling=pooling, normalize=normalize), atol=1e-5)
    assert Encoder(folder, pooling=pooling, precision="fp32").encode(TEXTS[0], normalize=normalize) == pytest.approx(
        vectors[0], abs=1e-6
    )


def test_batches_do_not_change_a_vector(encoder: Encoder) -> None:
    whole = encoder.encode(TEXTS)
    for budget in ({"batch_size": 1}, {"batch_size": 2}, {"batch_tokens": 30}, {"batch_tokens": 100000}):
        np.testing.assert_allclose(encoder.encode(TEXTS, **budget), whole, atol=1e-6)
    np.testing.assert_allclose(whole[0], whole[-1], atol=1e-6)


def test_chunks_do_not_change_order(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoder.encode(TEXTS)
    monkeypatch.setattr("distilbert.embedding.encoder.CHUNK", 2)
    np.testing.assert_allclose(encoder.encode(TEXTS), whole, atol=1e-6)


def test_repeated_texts_are_encoded_once(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["one text", "another", "one text"]
    expected = np.stack([encoder.encode(text) for text in texts])
    encoded: list[str] = []
    whole = Encoder._sequences
    monkeypatch.setattr(
        Encoder, "_sequences", lambda self, some, *rest: encoded.extend(some) or whole(self, some, *rest)
    )
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-6)
    assert encoded == ["one text", "another"]


def test_forms_of_texts(encoder: Encoder) -> None:
    pandas, polars, arrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    texts = TEXTS[:2]
    whole = encoder.encode(texts)
    assert encoder.encode(texts[0]).shape == (24,)
    forms = [tuple(texts), np.array(texts), iter(texts), pandas.Series(texts), polars.Series(texts), arrow.array(texts)]
    for form in forms:
        np.testing.assert_array_equal(encoder.encode(form), whole)
    for table in (pandas.DataFrame({"t": texts}), polars.DataFrame({"t": texts}), arrow.table({"t": texts})):
        np.testing.assert_array_equal(encoder.encode(table, column="t"), whole)
    assert encoder.encode([]).shape == (0, 24)


def test_a_folder_of_sentence_transformers(sentence_folder: Path) -> None:
    encoder = Encoder(sentence_folder, precision="fp32")
    assert (encoder.dimension, encoder.max_tokens, encoder.similarity_name) == (7, 12, "dot")
    vectors = encoder.encode(TEXTS, normalize=False)
    np.testing.assert_allclose(vectors, expected(sentence_folder, TEXTS), atol=1e-5)
    assert np.abs(vectors[2] - encoder.encode(LONG[:100], normalize=False)).max() < 1e-6  # both are cut
    whole = Encoder(sentence_folder, precision="fp32", truncation=False).encode(LONG, normalize=False)
    assert np.abs(vectors[2] - whole).max() > 1e-3
    query = encoder.encode_query("a film")
    np.testing.assert_array_equal(query, encoder.encode("a film", prompt="ask: "))
    np.testing.assert_array_equal(query, encoder.encode("a film", prompt_name="query"))
    np.testing.assert_array_equal(query, encoder.encode("ask: a film"))
    np.testing.assert_array_equal(encoder.encode_document("a film"), encoder.encode("say: a film"))
    default = Encoder(sentence_folder, precision="fp32", default_prompt_name="query")
    np.testing.assert_array_equal(default.encode("a film"), query)
    own = Encoder(sentence_folder, precision="fp32", prompts={"task": "a "}, default_prompt_name="task")
    np.testing.assert_array_equal(own.encode("film"), encoder.encode("a film"))


def test_windows_of_a_shorter_length(folder: Path) -> None:
    cut = Encoder(folder, precision="fp32", truncation=True, max_length=10)
    np.testing.assert_allclose(cut.encode(LONG), cut.encode("the good city of paris was not very"), atol=1e-6)
    windows = Encoder(folder, precision="fp32", max_length=10)
    assert windows.max_tokens == 10
    assert np.abs(windows.encode(LONG) - cut.encode(LONG)).max() > 1e-3


def test_fewer_dimensions(folder: Path, encoder: Encoder) -> None:
    raw = encoder.encode(TEXTS, normalize=False)
    short = encoder.encode(TEXTS, truncate_dim=5)
    np.testing.assert_allclose(short, raw[:, :5] / np.linalg.norm(raw[:, :5], axis=1, keepdims=True), atol=1e-6)
    of_encoder = Encoder(folder, precision="fp32", truncate_dim=5)
    assert of_encoder.dimension == 5
    np.testing.assert_array_equal(of_encoder.encode(TEXTS), short)


def test_precisions(encoder: Encoder) -> None:
    floats = encoder.encode(TEXTS)
    assert encoder.encode(TEXTS, precision="fp16").dtype == np.float16
    bits = quantize_embeddings(floats, "ubinary")
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1), floats > 0)
    signed = quantize_embeddings(floats, "binary")
    assert signed.dtype == np.int8
    np.testing.assert_array_equal(signed.astype(int) + 128, bits)
    ranges = np.stack([floats.min(axis=0), floats.max(axis=0)])
    steps = (ranges[1] - ranges[0]) / 255
    scaled = (floats - ranges[0]) / steps
    of_sentence_transformers = {"int8": (scaled - 128).astype(np.int8), "uint8": scaled.astype(np.uint8)}
    for precision, quantized in of_sentence_transformers.items():
        whole = encoder.encode(TEXTS, precision=precision)
        assert whole.dtype == quantized.dtype
        np.testing.assert_array_equal(whole, quantized)
        single = encoder.encode(TEXTS[1], precision=precision, ranges=ranges)
        assert np.abs(single.astype(int) - whole[1]).max() <= 1
        outside = quantize_embeddings(np.stack([ranges[0] - 1, ranges[1] + 1]), precision, ranges=ranges)
        limits = np.iinfo(precision)
        assert outside.tolist() == [[limits.min] * 24, [limits.max] * 24], "what is outside does not wrap around"
    assert encoder.encode(TEXTS, precision="binary").shape == (len(TEXTS), 3)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities(name: str, folder: Path) -> None:
    encoder = Encoder(folder, precision="fp32", similarity=name)
    vectors = encoder.encode(TEXTS, normalize=False)
    a, b = vectors[:3].astype(np.float64), vectors[3:6].astype(np.float64)
    differences = a[:, None] - b[None]
    expected = {
        "dot": a @ b.T,
        "cosine": a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1),
        "euclidean": -np.sqrt((differences**2).sum(-1)),
        "manhattan": -np.abs(differences).sum(-1),
    }[name]
    np.testing.assert_allclose(encoder.similarity(vectors[:3], vectors[3:6]), expected, rtol=1e-4)
    np.testing.assert_allclose(encoder.similarity_pairwise(vectors[:3], vectors[3:6]), np.diagonal(expected), rtol=1e-4)
    assert encoder.similarity(vectors[0], vectors).shape == (1, len(TEXTS))


def test_vectors_of_frameworks_are_compared(encoder: Encoder) -> None:
    torch = pytest.importorskip("torch")
    vectors = encoder.encode(TEXTS[:2])
    halves = torch.from_numpy(vectors).bfloat16()
    expected = encoder.similarity(halves.float().numpy(), vectors)
    np.testing.assert_array_equal(encoder.similarity(halves, vectors), expected)
    np.testing.assert_array_equal(encoder.similarity(list(halves), vectors), expected)


def test_a_recipe_makes_the_same_vectors(sentence_folder: Path) -> None:
    for options in ({}, {"prompts": {"query": "the "}, "truncate_dim": 3}, {"truncation": False, "max_length": 9}):
        encoder = Encoder(sentence_folder, precision="fp32", **options)
        again = Encoder(sentence_folder, precision="fp32", **encoder.recipe)
        assert again.recipe == encoder.recipe
        for method in ("encode_query", "encode_document"):
            np.testing.assert_array_equal(getattr(again, method)(TEXTS), getattr(encoder, method)(TEXTS))
    assert encoder.recipe == {
        "pooling": "auto",
        "truncation": False,
        "max_length": 9,
        "truncate_dim": None,
        "prompts": {"query": "ask: ", "document": "say: "},
    }
    assert Encoder(sentence_folder).recipe["max_length"] == 12


def test_an_encoder_can_be_pickled(encoder: Encoder) -> None:
    copy = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(copy.encode(TEXTS), encoder.encode(TEXTS))
    assert repr(copy) == repr(encoder)


def test_a_pipeline_becomes_an_encoder(folder: Path, encoder: Encoder) -> None:
    task = pipeline("feature-extraction", folder, precision="fp32")
    np.testing.assert_array_equal(Encoder(task).encode(TEXTS), encoder.encode(TEXTS))


def test_progress(encoder: Encoder, capsys: pytest.CaptureFixture[str]) -> None:
    encoder.encode(TEXTS, show_progress_bar=True)
    assert f"{len(set(TEXTS))} of {len(set(TEXTS))} texts" in capsys.readouterr().err
    encoder.encode(TEXTS * 100)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": ["a", ""]}, r"texts\[1\] is an empty text"),
        ({"texts": ["a", None]}, r"texts\[1\] must be a str, got None"),
        ({"texts": None}, "must be a str, got None"),
        ({"texts": 5}, "must be a str, got 5"),
        ({"texts": "a", "precision": "int4"}, "precision must be one of"),
        ({"texts": "a", "precision": "int8"}, "needs the range of each dimension"),
        ({"texts": "a", "precision": "int8", "ranges": np.zeros((2, 3))}, r"of shape \(2, 24\)"),
        ({"texts": "a", "truncate_dim": 25}, "more than the 24 numbers"),
        ({"texts": "a", "prompt_name": "query"}, "There is no prompt 'query'"),
        ({"texts": "a", "pooling": "meen"}, "Did you mean 'mean'"),
        ({"texts": "a", "batch_size": 0}, "batch_size"),
    ],
)
def test_what_cannot_be_encoded(arguments: dict[str, Any], message: str, encoder: Encoder) -> None:
    with pytest.raises(InputError, match=message):
        encoder.encode(arguments.pop("texts"), **arguments)


def test_encoders_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        Encoder(tmp_path / "absent")
    with pytest.raises(InputError, match="truncate_dim=99"):
        Encoder(folder, truncate_dim=99)
    with pytest.raises(UnknownArgumentError, match="poolin"):
        Encoder(folder, poolin="mean")
    with pytest.raises(InputError, match="similarity"):
        Encoder(folder, similarity="cosin")


def test_no_framework_is_loaded(folder: Path) -> None:
    code = (
        "import sys; from distilbert import Encoder; e = Encoder(sys.argv[1]);"
        "e.similarity(*[e.encode(['a', 'b'])] * 2);"
        "assert not {'torch', 'tensorflow', 'jax', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
