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
    Contributions,
    EmbeddingWeights,
    LayerNormWeights,
    PackedProduct,
    PlainOperations,
    Quantizer,
    SequenceOffsets,
    pack_weight,
)
from distilbert.engine.products import ActivationRange
from distilbert.engine.quantization import Quantization, calibrate
from distilbert.models.pytorch.runner import PytorchRunner
from distilbert.weights.folder import QUANTIZATION
from tests.any_cpu import allow_int8
from tests.tiny import HEAD_NAMES, tiny_model

KERNELS, PLAIN = load_operations(), PlainOperations()
needs_kernels = pytest.mark.skipif(KERNELS.name == "pytorch", reason="no compiled kernels")
DIM = 24
NORM = LayerNormWeights(torch.ones(DIM), torch.zeros(DIM))
EMBEDDINGS = EmbeddingWeights(torch.randn(97, DIM), torch.randn(23, DIM), NORM)
CONTRIBUTIONS = Contributions(torch.randn(5, 36), torch.randn(23, 36), torch.zeros(36))
ONE, TWO = torch.tensor([3]), torch.tensor([3, 4])
X = torch.randn(4, DIM)
ENDS = SequenceOffsets(torch.tensor([0, 4]), torch.tensor([0, 4]))
WRONG_X = {
    "fp64": X.double(),
    "fp16": X.half(),
    "bf16": X.bfloat16(),
    "int32": X.int(),
    "fewer rows": X[:3],
    "fewer columns": X[:, :8].contiguous(),
    "strided": torch.randn(4, 48)[:, ::2],
    "transposed": torch.randn(DIM, 4).T,
    "one dimension": X.flatten(),
}


@needs_kernels
@pytest.mark.parametrize("wrong", WRONG_X.values(), ids=list(WRONG_X))
def test_activations(wrong: torch.Tensor) -> None:
    with pytest.raises(InputError, match="must be"):
        KERNELS.add_norm(X, wrong, NORM, None)
    for inputs in ([wrong, X, X], [X, wrong, X], [X, X, wrong]):
        if wrong is WRONG_X["fewer rows"] and inputs[0] is wrong:
            continue  # fewer queries than keys is allowed, but not with these offsets
        with pytest.raises((InputError, ValueError)):
            KERNELS.attend(*inputs, ENDS, 3, 1.0, None)


INDICES = {
    "int32": torch.tensor([3, 4], dtype=torch.int32),
    "uint8": torch.tensor([3, 4], dtype=torch.uint8),
    "float": torch.tensor([3.0, 4.0]),
    "strided": torch.tensor([3, 0, 4, 0])[::2],
    "negative": torch.tensor([3, -1]),
    "too large": torch.tensor([3, 97]),
    "huge": torch.tensor([3, 2**62]),
    "square": torch.tensor([[3, 4]]),
}


@needs_kernels
@pytest.mark.parametrize("wrong", INDICES.values(), ids=list(INDICES))
def test_indices(wrong: torch.Tensor) -> None:
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
        KERNELS.attend(X, X, X, SequenceOffsets(torch.tensor(queries), torch.tensor(keys)), heads, 1.0, None)


@pytest.mark.parametrize("wrong", [[1, 4], [0, 5, 4], [], [0, -3, 4], [[0, 4]]])
def test_offsets(wrong: list[int]) -> None:
    for dtype in (torch.int64, torch.int32):
        offsets = torch.tensor(wrong, dtype=dtype)
        with pytest.raises(InputError):
            SequenceOffsets(offsets, offsets)


PANELS = pack_weight(torch.randn(4, 8))


def test_prepared_weights() -> None:
    for make in (
        lambda: LayerNormWeights(torch.ones(8), torch.zeros(7)),
        lambda: LayerNormWeights(torch.ones(8).double(), torch.zeros(8)),
        lambda: replace(EMBEDDINGS, positions=torch.randn(23, 23)),
        lambda: replace(EMBEDDINGS, positions=torch.randn(23, DIM).bfloat16()),
        lambda: replace(EMBEDDINGS, words=torch.randn(DIM, 97).T),
        lambda: replace(CONTRIBUTIONS, words=torch.randn(5, 35)),
        lambda: Quantizer(torch.tensor([float("inf")]), 3),
        lambda: Quantizer(torch.ones(4), 256),
        lambda: Quantizer(torch.ones(4).double(), 5),
        lambda: PackedProduct(PANELS, 200, torch.float32, None, torch.zeros(200), False, torch.float32),
        lambda: PackedProduct(PANELS, 4, torch.float32, None, torch.zeros(3), False, torch.float32),
        lambda: PackedProduct(PANELS, 4, torch.float64, None, torch.zeros(4), False, torch.float32),
        lambda: PackedProduct(PANELS.float(), 4, torch.float32, None, torch.zeros(4), False, torch.float32),
        *(
            lambda scale=scale, zero=zero: PackedProduct(
                pack_weight(torch.randn(4, 8)), 4, torch.float32, None, torch.zeros(4), True, torch.uint8, scale, zero
            )
            for scale, zero in ((0.0, 0), (-1.0, 0), (float("nan"), 0), (float("inf"), 0), (1.0, 256), (1.0, -1))
        ),
    ):  # fmt: skip
        with pytest.raises(InputError):
            make()


@needs_kernels
def test_products() -> None:
    product = PackedProduct(
        pack_weight(torch.randn(4, 8)), 4, torch.float32, None, torch.zeros(4), False, torch.float32
    )
    for wrong in (
        torch.randn(3, 7),
        torch.randn(8),
        torch.randn(3, 8).double(),
        torch.randn(8, 3).T,
        torch.randn(3, 8).bfloat16(),
    ):
        with pytest.raises(InputError):
            KERNELS.multiply(wrong, product)


# Scores and numbers far from 0 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e5, 1e9, 1e15, 1e30])
def test_attention_to_huge_scores(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(9, DIM, generator=generator) for _ in range(3))
    q = q * scale
    offsets = SequenceOffsets(torch.tensor([0, 9]), torch.tensor([0, 9]))
    actual, expected = (each.attend(q, k, v, offsets, 3, 0.35, None) for each in (KERNELS, PLAIN))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    below = (-q.abs() * 1.0, k.abs(), v, offsets, 3, 0.35, None)  # every score far below 0
    torch.testing.assert_close(KERNELS.attend(*below), PLAIN.attend(*below), rtol=1e-4, atol=1e-4)


def test_a_nan_is_not_hidden() -> None:
    q, k, v = (torch.randn(20, DIM) for _ in range(3))
    offsets = SequenceOffsets(torch.tensor([0, 20]), torch.tensor([0, 20]))
    for place in range(20):
        spoiled = k.clone()
        spoiled[place, 3] = float("nan")
        assert KERNELS.attend(q, spoiled, v, offsets, 3, 0.35, None)[:, :8].isnan().all()


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
    tensors = {f"{name}.smooth": each.smoothing.numpy() for name, each in quantization.ranges.items()}
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
        quantizer = ActivationRange(torch.full((DIM,), scale), low, high).quantizer()
    except InputError:
        return
    assert 0 <= quantizer.zero_point <= 255
    assert torch.isfinite(quantizer.factor).all()
    actual = KERNELS.add_norm(X, X, NORM, quantizer)[1]
    expected = PLAIN.add_norm(X, X, NORM, quantizer)[1]
    assert actual is not None
    assert expected is not None
    assert (actual.int() - expected.int()).abs().max() <= 1


# A fuzz of shapes, for the build with sanitizers ---------------------------------------------------------------------


@needs_kernels
@given(data=st.data(), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
@settings(max_examples=60)
def test_any_shapes(data: Any, dtype: torch.dtype) -> None:
    lengths = data.draw(st.lists(st.integers(0, 70), min_size=0, max_size=5))
    heads, head_dim = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))
    width, tokens = heads * head_dim, sum(lengths)
    generator = torch.Generator().manual_seed(tokens * width)
    q, k, v = torch.randn(tokens, 3 * width, generator=generator).to(dtype).chunk(3, dim=1)
    ends = torch.tensor([0, *lengths]).cumsum(0)
    quantizer = data.draw(st.sampled_from([None, Quantizer(torch.ones(width) * 20, 100)]))
    tolerance: Any = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    arguments = (q, k, v, SequenceOffsets(ends, ends), heads, head_dim**-0.5)
    context, expected = KERNELS.attend(*arguments, quantizer), PLAIN.attend(*arguments, quantizer)
    if quantizer is not None:
        tolerance = {"rtol": 0, "atol": 4}
        context, expected = context.int(), expected.int()
    torch.testing.assert_close(context, expected, **tolerance)
    norm = LayerNormWeights(torch.ones(width), torch.zeros(width))
    words, positions = (torch.randn(size, width, generator=generator).to(dtype) for size in (97, 350))
    ids, position_ids = torch.randint(0, 97, (tokens,), generator=generator), torch.arange(tokens)
    embeddings = EmbeddingWeights(words, positions, norm)
    x, _ = KERNELS.embed_norm(ids, position_ids, embeddings, None)
    other = max(1, data.draw(st.integers(1, 99)))
    parts = Contributions(torch.randn(11, other).to(dtype), torch.randn(350, other).to(dtype), torch.zeros(other))
    y, projected = KERNELS.embed_project(ids, position_ids, embeddings, ids % 11, parts)
    assert (x.shape, y.shape, projected.shape) == ((tokens, width), (tokens, width), (tokens, other))
    if width > 1:
        torch.testing.assert_close(
            x.float(), PLAIN.embed_norm(ids, position_ids, embeddings, None)[0].float(), rtol=0.05, atol=0.05
        )
    outputs = data.draw(st.integers(1, 100))
    weight = torch.randn(outputs, width, generator=generator).to(dtype)
    if KERNELS.multiplies(dtype, width):
        product = PackedProduct(pack_weight(weight), outputs, dtype, None, torch.zeros(outputs), True, dtype)
        torch.testing.assert_close(
            KERNELS.multiply(x, product).float(), PLAIN.multiply(x, product).float(), rtol=0.05, atol=0.2
        )
