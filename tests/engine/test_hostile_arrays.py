"""What must never reach a kernel: arrays of another type, shape or layout, indices outside a table, hostile files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from distilbert import EngineRunner, InputError
from distilbert.core.errors import WeightsError
from distilbert.core.runner_protocol import Batch
from distilbert.engine.kernel_library import load_operations
from distilbert.engine.operations import (
    BF16,
    FP32,
    UINT8,
    Contributions,
    EmbeddingWeights,
    LayerNormWeights,
    PlainOperations,
    Product,
    Quantizer,
    SequenceOffsets,
)
from distilbert.engine.products import ActivationRange, float_map
from distilbert.engine.quantization import Quantization, calibrate
from distilbert.models.pytorch.runner import PytorchRunner
from distilbert.weights.folder import QUANTIZATION
from tests.any_cpu import allow_int8
from tests.tiny import HEAD_NAMES, tiny_model

KERNELS, PLAIN = load_operations(2), PlainOperations()
needs_kernels = pytest.mark.skipif(KERNELS.name == "numpy", reason="no compiled kernels")
DIM = 24


def normal(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def ones(size: int) -> np.ndarray:
    return np.ones(size, np.float32)


NORM = LayerNormWeights(ones(DIM), 0 * ones(DIM))
EMBEDDINGS = EmbeddingWeights(normal((97, DIM)), normal((23, DIM)), NORM)
CONTRIBUTIONS = Contributions(normal((5, 36)), normal((23, 36)), 0 * ones(36))
ONE, TWO = np.array([3]), np.array([3, 4])
X = normal((4, DIM))
ENDS = SequenceOffsets(np.array([0, 4]), np.array([0, 4]))
WRONG_X = {
    "fp64": X.astype(np.float64),
    "fp16": X.astype(np.float16),
    "bf16": X.astype(BF16),
    "int32": X.astype(np.int32),
    "another byte order": X.astype(">f4"),
    "fewer rows": X[:3],
    "fewer columns": X[:, :8].copy(),
    "strided": normal((4, 48))[:, ::2],
    "reversed": X[::-1],
    "repeated": np.broadcast_to(X[:1], X.shape),
    "transposed": normal((DIM, 4)).T,
    "one dimension": X.ravel(),
}


@needs_kernels
@pytest.mark.parametrize("wrong", WRONG_X.values(), ids=list(WRONG_X))
def test_activations(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match="must be"):
        KERNELS.add_norm(X, wrong, NORM, None)
    for inputs in ([wrong, X, X], [X, wrong, X], [X, X, wrong]):
        if wrong is WRONG_X["fewer rows"] and inputs[0] is wrong:
            continue  # fewer queries than keys is allowed, but not with these offsets
        with pytest.raises((InputError, ValueError)):
            KERNELS.attend(*inputs, ENDS, 3, 1.0, None)


INDICES = {
    "int32": np.array([3, 4], np.int32),
    "uint8": np.array([3, 4], np.uint8),
    "float": np.array([3.0, 4.0]),
    "strided": np.array([3, 0, 4, 0])[::2],
    "negative": np.array([3, -1]),
    "too large": np.array([3, 97]),
    "huge": np.array([3, 2**62]),
    "square": np.array([[3, 4]]),
}


@needs_kernels
@pytest.mark.parametrize("wrong", INDICES.values(), ids=list(INDICES))
def test_indices(wrong: np.ndarray) -> None:
    for ids, positions in ((wrong, TWO), (TWO, wrong), (ONE, TWO)):
        with pytest.raises(InputError):
            KERNELS.embed_norm(ids, positions, EMBEDDINGS, None)
    for ids, positions, slots in ((wrong, TWO, TWO), (TWO, wrong, TWO), (TWO, TWO, wrong), (TWO, TWO, TWO + 1)):
        with pytest.raises(InputError):
            KERNELS.embed_project(ids, positions, EMBEDDINGS, slots, CONTRIBUTIONS)


@needs_kernels
@pytest.mark.parametrize(
    ("queries", "keys", "heads"),
    [([0, 4], [0, 5], 3), ([0, 5], [0, 4], 3), ([0, 3], [0, 4], 3), ([0, 4], [0, 4], 5), ([0, 4], [0, 4], 0)],
)
def test_offsets_of_attention(queries: list[int], keys: list[int], heads: int) -> None:
    with pytest.raises(InputError, match="does not go with"):
        KERNELS.attend(X, X, X, SequenceOffsets(np.array(queries), np.array(keys)), heads, 1.0, None)


@pytest.mark.parametrize("wrong", [[1, 4], [0, 5, 4], [], [0, -3, 4], [[0, 4]]])
def test_offsets(wrong: list[int]) -> None:
    for dtype in (np.int64, np.int32):
        offsets = np.array(wrong, dtype)
        with pytest.raises(InputError):
            SequenceOffsets(offsets, offsets)


WEIGHT = KERNELS.lay_out(normal((1, 4, 8)))
PRODUCT = Product(WEIGHT, 1, 4, 8, FP32, None, 0 * ones(4), "", FP32)


def test_prepared_weights() -> None:
    for make in (
        lambda: LayerNormWeights(ones(8), ones(7)),
        lambda: LayerNormWeights(ones(8).astype(float), ones(8)),
        lambda: replace(EMBEDDINGS, positions=normal((23, 23))),
        lambda: replace(EMBEDDINGS, positions=normal((23, DIM)).astype(BF16)),
        lambda: replace(EMBEDDINGS, words=normal((DIM, 97)).T),
        lambda: replace(CONTRIBUTIONS, words=normal((5, 35))),
        lambda: Quantizer(np.array([np.inf], np.float32), 3),
        lambda: Quantizer(ones(4), 256),
        lambda: Quantizer(ones(4).astype(float), 5),
        lambda: replace(PRODUCT, bias=ones(3)),
        lambda: replace(PRODUCT, bias=ones(4).astype(float)),
        lambda: replace(PRODUCT, factor=ones(5)),
        lambda: replace(PRODUCT, groups=2),
        lambda: replace(PRODUCT, dtype=np.dtype(np.float64)),
        lambda: replace(PRODUCT, result_dtype=np.dtype(np.float16)),
        lambda: replace(PRODUCT, activation="softmax"),
        *(
            lambda scale=scale, zero=zero: replace(
                PRODUCT, result_dtype=UINT8, result_scale=scale, result_zero_point=zero
            )
            for scale, zero in ((0.0, 0), (-1.0, 0), (float("nan"), 0), (float("inf"), 0), (1.0, 256), (1.0, -1))
        ),
    ):
        with pytest.raises(InputError):
            make()


@needs_kernels
def test_products() -> None:
    multiply = KERNELS.multiplier(PRODUCT)
    for wrong in (
        normal((3, 7)), normal(8), normal((3, 8)).astype(float), normal((8, 3)).T, normal((3, 8)).astype(BF16),
        normal((3, 16)),
    ):  # fmt: skip
        with pytest.raises(InputError):
            multiply(wrong)
    for changes in ({"weight": WEIGHT.view(np.float32)}, {"outputs": 200, "bias": ones(200)}, {"depth": 9}):
        with pytest.raises(InputError):
            KERNELS.multiplier(replace(PRODUCT, **changes))


# Scores and numbers far from 0 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e5, 1e9, 1e15, 1e30])
def test_attention_to_huge_scores(scale: float) -> None:
    q, k, v = (normal((9, DIM), seed) for seed in range(3))
    q = q * np.float32(scale)
    offsets = SequenceOffsets(np.array([0, 9]), np.array([0, 9]))
    actual, expected = (each.attend(q, k, v, offsets, 3, 0.35, None) for each in (KERNELS, PLAIN))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    below = (-np.abs(q), np.abs(k), v, offsets, 3, 0.35, None)  # every score far below 0
    np.testing.assert_allclose(KERNELS.attend(*below), PLAIN.attend(*below), rtol=1e-4, atol=1e-4)


def test_a_nan_is_not_hidden() -> None:
    q, k, v = (normal((20, DIM), seed) for seed in range(3))
    offsets = SequenceOffsets(np.array([0, 20]), np.array([0, 20]))
    for place in range(20):
        spoiled = k.copy()
        spoiled[place, 3] = np.nan
        assert np.isnan(KERNELS.attend(q, spoiled, v, offsets, 3, 0.35, None)[:, :8]).all()


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("activation", ["", "gelu", "gelu_new", "relu", "silu", "tanh"])
def test_a_nan_is_not_hidden_by_an_activation(activation: str, dtype: np.dtype[Any]) -> None:
    x = np.ones((2, 32), dtype)
    x[0, 5] = np.nan
    for operations in (KERNELS, PLAIN):
        y = float_map(np.eye(32, dtype=np.float32), 0 * ones(32), dtype, operations, activation)(x)
        assert np.isnan(y[0].astype(np.float32)).any()
        assert np.isfinite(y[1].astype(np.float32)).all()


# Batches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner_class", [EngineRunner, PytorchRunner])
def test_ids_of_any_type_and_layout(runner_class: Any) -> None:
    runner = runner_class(tiny_model("ForTokenClassification"))
    ids, offsets, rows = np.array([5, 6, 7, 8, 9]), np.array([0, 3, 5]), np.array([0, 4])
    expected = runner(Batch(ids, offsets, rows))["logits"]
    for convert in (
        lambda x: x.astype(np.int32), lambda x: x.astype(np.uint8), lambda x: x.astype(">i8"), lambda x: x.tolist(),
        lambda x: np.repeat(x, 2)[::2], lambda x: torch.from_numpy(x), lambda x: x[::-1].copy()[::-1],
    ):  # fmt: skip
        batch = Batch(convert(ids), convert(offsets), convert(rows))
        np.testing.assert_array_equal(runner(batch)["logits"], expected)
    for wrong in (ids.astype(float), ids.astype(bool), ids[None], "text", np.array(["a"] * 5), ids.astype(object)):
        with pytest.raises(InputError, match="input_ids must be integers"):
            Batch(wrong, offsets)
    for wrong in ([0, 3], [1, 5], [0, 3, 6], [0, 4, 3, 5], [], [0, -1, 5]):
        with pytest.raises(InputError, match="offsets must rise from 0"):
            Batch(ids, wrong)  # type: ignore[arg-type]
    for wrong in ([5], [-1], [3, 2]):
        with pytest.raises(InputError, match="rows must be sorted indices"):
            Batch(ids, offsets, wrong)  # type: ignore[arg-type]
    for wrong in ([[101, 5]], "text", None, ["a", "b"]):
        with pytest.raises(InputError, match="A runner takes a Batch"):
            runner(wrong)
    for wrong in (["text"], [[1.5]], [1, 2], [[2**70]], [[None]]):
        with pytest.raises(InputError, match="made of sequences of token ids"):
            Batch.of(wrong)  # type: ignore[arg-type]
    for rows, message in (
        ([[2]], "positions of 1 sequences, and there are 2"),
        ([[2], [0], []], "positions of 3 sequences"),
        ([[3], [1]], r"rows\[0\] must be positions from 0 to 2"),
        ([[0], [-1]], r"rows\[1\] must be positions from 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            Batch.of([[5, 6, 7], [8, 9]], rows)
    assert Batch.of([[5, 6, 7], [8, 9]], [[2, 0], []]).rows.tolist() == [0, 2]


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_models_that_are_given_texts_or_lists(head: str) -> None:
    model = tiny_model(head)
    for wrong in ("text", ["a", "b"], [[1, 2]], [1], np.array([[1, 2]])):
        with pytest.raises(InputError, match="input_ids must be a tensor, got .*return_tensors='pt'"):
            model(wrong)


@pytest.mark.parametrize("runner_class", [EngineRunner, PytorchRunner])
@pytest.mark.parametrize("head", ["", "ForMaskedLM", "ForSequenceClassification", "ForQuestionAnswering"])
def test_no_sequences(runner_class: Any, head: str) -> None:
    runner = runner_class(tiny_model(head))
    for array in runner(Batch.of([])).values():
        assert len(array) == 0
    if head != "ForSequenceClassification":
        for array in runner(Batch.of([[], []])).values():
            assert len(array) == 0


# quantization.safetensors ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quantized() -> Any:
    model = tiny_model("ForSequenceClassification")
    return model, calibrate(model, [Batch.of([[5, 6, 7, 8]] * 8)], "fp32")


def save(quantization: Quantization, folder: Path, **changes: Any) -> None:
    tensors = {f"{name}.smooth": each.smoothing for name, each in quantization.ranges.items()}
    tensors |= {
        f"{name}.range": np.array([each.low, each.high], np.float32) for name, each in quantization.ranges.items()
    }
    metadata = {"format": "distilbert", "beside": "fp32", "measured": "{}"}
    metadata |= {name: changes.pop(name) for name in list(changes) if name in metadata}
    save_file(
        tensors | {name: array for name, array in changes.items() if array is not None}, folder / QUANTIZATION, metadata
    )


SMOOTH, RANGE = "0.lin1.smooth", "0.lin1.range"
ONES = np.ones(DIM, np.float32)
DAMAGED: dict[str, dict[str, Any]] = {
    "fp64": {SMOOTH: ONES.astype(np.float64)},
    "fp16": {SMOOTH: ONES.astype(np.float16)},
    "integers": {SMOOTH: ONES.astype(np.int32)},
    "matrix": {SMOOTH: np.ones((2, 12), np.float32)},
    "scalar": {SMOOTH: np.array(1, np.float32)},
    "zero": {SMOOTH: 0 * ONES},
    "negative": {SMOOTH: -ONES},
    "nan": {SMOOTH: np.nan * ONES},
    "infinite": {SMOOTH: np.full(DIM, np.inf, np.float32)},
    "tiny": {SMOOTH: ONES * np.float32(1e-42)},
    "empty range": {RANGE: np.zeros(2, np.float32)},
    "reversed range": {RANGE: np.array([1, -1], np.float32)},
    "range above 0": {RANGE: np.array([1, 2], np.float32)},
    "range below 0": {RANGE: np.array([-2, -1], np.float32)},
    "nan in range": {RANGE: np.array([np.nan, 1], np.float32)},
    "infinite range": {RANGE: np.array([-np.inf, np.inf], np.float32)},
    "tiny range": {RANGE: np.array([0, 1e-45], np.float32)},
    "long range": {RANGE: np.array([-1, 0, 1], np.float32)},
    "short range": {RANGE: np.array([1], np.float32)},
    "no pair": {"1.out.smoothness": ONES},
    "precision": {"beside": "fp8"},
    "measured": {"measured": "[1]"},
    "deep": {"measured": "[" * 100_000},
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("changes", DAMAGED.values(), ids=list(DAMAGED))
def test_damaged_files(quantized: Any, tmp_path: Path, changes: dict[str, Any]) -> None:
    save(quantized[1], tmp_path)
    assert Quantization.load(tmp_path) is not None
    save(quantized[1], tmp_path, **changes)
    with pytest.raises(WeightsError, match="is damaged"):
        Quantization.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({SMOOTH: ONES[:1]}, "0.lin1 is for 1 features, and the model has 24"),
        ({SMOOTH: np.ones(9999, np.float32)}, "is for 9999 features"),
        ({"7.lin1.smooth": ONES, "7.lin1.range": np.array([-1, 1], np.float32)}, "names 7.lin1, which this model of 2"),
        ({"x.smooth": ONES, "x.range": np.array([-1, 1], np.float32)}, "names x, which"),
    ],
)
def test_files_of_another_model(
    quantized: Any, tmp_path: Path, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_int8(monkeypatch)
    save(quantized[1], tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        EngineRunner(quantized[0], "int8", quantization=Quantization.load(tmp_path))


@given(scale=st.floats(1e-6, 1e30), low=st.floats(-1e30, 0), high=st.floats(0, 1e30), zero=st.integers(0, 255))
@settings(max_examples=50)
def test_any_range_gives_numbers_or_an_error(scale: float, low: float, high: float, zero: int) -> None:
    try:
        quantizer = ActivationRange(np.full(DIM, scale, np.float32), low, high).quantizer()
    except InputError:
        return
    assert 0 <= quantizer.zero_point <= 255
    assert np.isfinite(quantizer.factor).all()
    actual = KERNELS.add_norm(X, X, NORM, quantizer)[1]
    expected = PLAIN.add_norm(X, X, NORM, quantizer)[1]
    assert actual is not None
    assert expected is not None
    assert np.abs(actual.astype(int) - expected.astype(int)).max() <= 1


# A fuzz of shapes, for the build with sanitizers ---------------------------------------------------------------------


@needs_kernels
@given(data=st.data(), dtype=st.sampled_from([FP32, BF16]))
@settings(max_examples=60)
def test_any_shapes(data: Any, dtype: np.dtype[Any]) -> None:
    lengths = data.draw(st.lists(st.integers(0, 70), min_size=0, max_size=5))
    heads, head_dim = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))
    width, tokens = heads * head_dim, sum(lengths)
    q, k, v = np.split(normal((tokens, 3 * width)).astype(dtype), 3, axis=1)
    ends = np.cumsum([0, *lengths])
    quantizer = data.draw(st.sampled_from([None, Quantizer(ones(width) * 20, 100)]))
    tolerance = 4 if quantizer is not None else 1e-4 if dtype == FP32 else 0.05
    inputs = (q, k, v, SequenceOffsets(ends, ends), heads, head_dim**-0.5)
    context, expected = (each.attend(*inputs, quantizer).astype(np.float32) for each in (KERNELS, PLAIN))
    np.testing.assert_allclose(context, expected, rtol=0 if quantizer else tolerance, atol=tolerance)
    words, positions = (normal((size, width), size).astype(dtype) for size in (97, 350))
    ids, position_ids = np.random.default_rng(tokens).integers(0, 97, tokens), np.arange(tokens)
    embeddings = EmbeddingWeights(words, positions, LayerNormWeights(ones(width), 0 * ones(width)))
    x, _ = KERNELS.embed_norm(ids, position_ids, embeddings, None)
    other = max(1, data.draw(st.integers(1, 99)))
    parts = Contributions(normal((11, other)).astype(dtype), normal((350, other)).astype(dtype), 0 * ones(other))
    y, projected = KERNELS.embed_project(ids, position_ids, embeddings, ids % 11, parts)
    assert (x.shape, y.shape, projected.shape) == ((tokens, width), (tokens, width), (tokens, other))
    if width > 1:
        plain, _ = PLAIN.embed_norm(ids, position_ids, embeddings, None)
        np.testing.assert_allclose(x.astype(np.float32), plain.astype(np.float32), rtol=0.05, atol=0.05)
    outputs, activation = data.draw(st.integers(1, 100)), data.draw(st.sampled_from(["", "gelu", "silu", "tanh"]))
    weight = normal((heads, outputs, head_dim))
    actual, expected = (
        float_map(weight, ones(heads * outputs), dtype, each, activation)(x).astype(np.float32)
        for each in (KERNELS, PLAIN)
    )
    np.testing.assert_allclose(actual, expected, rtol=0.05, atol=0.2)
    if KERNELS.multiplies(UINT8, head_dim):
        x8 = np.random.default_rng(tokens).integers(0, 256, (tokens, width), np.uint8)
        weight = np.random.default_rng(outputs).integers(-127, 128, (heads, outputs, head_dim), np.int8)
        scales = ones(heads * outputs) / 1000
        arguments = (heads, outputs, head_dim, weight.dtype, scales, scales, activation, FP32)
        results = [each.multiplier(Product(each.lay_out(weight), *arguments))(x8) for each in (KERNELS, PLAIN)]
        np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-3)
