"""The engine against the PyTorch runner, in every precision, for every head and any mix of lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distilbert import DistilBertConfig, InputError
from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS
from distilbert.engine import engine_runner
from distilbert.engine import precision as cpu
from distilbert.engine.engine_runner import EngineRunner
from distilbert.engine.kernel_library import load_operations
from distilbert.engine.packed_encoder import SMALL_BATCH
from distilbert.engine.precision import available_precisions, pick_precision, pick_threads
from distilbert.engine.projection_cache import MIN_TOKENS
from distilbert.engine.quantization import Quantization, calibrate
from distilbert.models.pytorch import DistilBertForSequenceClassification
from distilbert.models.pytorch.runner import PytorchRunner
from tests.any_cpu import allow_bf16, allow_int8
from tests.tiny import HEAD_NAMES, tiny_model

LENGTHS = st.lists(st.integers(1, 23), min_size=1, max_size=8)
PER_TOKEN = [name for name in HEAD_NAMES if HEADS[name].per_token]
# The models have large random weights, so errors are far larger than on trained models (tests/real).
TOLERANCES = {"fp32": 1e-5, "bf16": 0.05, "int8": 0.2}


def ids_of(lengths: list[int], seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng([sum(lengths), seed])
    return [rng.integers(1, 97, length).tolist() for length in lengths]


def allow(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a precision run on any CPU."""
    if precision == "int8":
        allow_int8(monkeypatch)
    elif precision == "bf16":
        allow_bf16(monkeypatch)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {head: tiny_model(head) for head in HEAD_NAMES}


@pytest.fixture(scope="module")
def engines(models: dict[str, Any]) -> Any:
    cache: dict[tuple[str, str], EngineRunner] = {}

    def engine(head: str, precision: str) -> EngineRunner:
        if (head, precision) not in cache:
            with pytest.MonkeyPatch.context() as monkeypatch:
                allow(precision, monkeypatch)
                batches = [Batch.of(ids_of([23, 20, 11, 7, 5, 3, 2, 1] * 4, seed)) for seed in range(4)]
                quantization = calibrate(models[head], batches, "fp32") if precision == "int8" else None
                cache[head, precision] = EngineRunner(models[head], precision, quantization=quantization)
        return cache[head, precision]

    return engine


def relative_error(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest error of an output in the Frobenius norm, relative to its norm or to that of numbers around 1."""
    assert set(actual) == set(expected)
    worst = 0.0
    for name, array in actual.items():
        assert array.dtype == np.float32
        assert array.shape == expected[name].shape
        if array.size:
            size = max(np.linalg.norm(expected[name]), array.size**0.5)
            worst = max(worst, float(np.linalg.norm(array - expected[name]) / size))
    return worst


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("precision", TOLERANCES)
def test_equals_the_pytorch_runner(models: dict[str, Any], engines: Any, head: str, precision: str) -> None:
    plain, engine = PytorchRunner(models[head]), engines(head, precision)
    assert engine.precision == precision
    for lengths in ([1], [23], [23, 22, 9, 9, 3, 1], [4] * 9, [23, 1] * 60):
        batch = Batch.of(ids_of(lengths))
        assert relative_error(engine(batch), plain(batch)) < TOLERANCES[precision]


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("precision", TOLERANCES)
@given(lengths=LENGTHS)
@example(lengths=[23, 1] * 60)  # with cached projections
@settings(deadline=None, max_examples=15)
def test_a_batch_equals_its_sequences_alone(engines: Any, head: str, precision: str, lengths: list[int]) -> None:
    engine, sequences = engines(head, precision), ids_of(lengths)
    together = engine(Batch.of(sequences))
    alone = [engine(Batch.of([sequence])) for sequence in sequences]
    joined = {name: np.concatenate([outputs[name] for outputs in alone]) for name in together}
    assert relative_error(together, joined) < TOLERANCES[precision]


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_sequence_has_equal_bits_in_batches_of_one_class(models: dict[str, Any], precision: str, head: str) -> None:
    """The classes are up to 64 tokens, up to 1,023, and more, on any number of threads; see docs/engine.md."""
    if not available_precisions()[precision] or load_operations().name == "numpy":
        pytest.skip(f"no kernels for {precision} on this CPU")
    sequences = ids_of(np.random.default_rng(1).integers(1, 23, 300).tolist())
    quantization = calibrate(models[head], [Batch.of(sequences[:40])], "fp32") if precision == "int8" else None
    one_thread, all_threads = (EngineRunner(models[head], precision, threads, quantization) for threads in (1, None))
    for wide, narrow in (((0, 300), (37, 250)), ((0, 80), (13, 60)), ((60, 64), (61, 62))):
        tokens = [sum(len(sequence) for sequence in sequences[slice(*part)]) for part in (wide, narrow)]
        assert len({np.searchsorted([SMALL_BATCH, MIN_TOKENS - 1], count) for count in tokens}) == 1
        whole, part = (
            engine(Batch.of(sequences[slice(*bounds)]))
            for engine, bounds in ((one_thread, wide), (all_threads, narrow))
        )
        for name, outputs in part.items():
            before = sequences[wide[0] : narrow[0]]
            first = sum(len(sequence) for sequence in before) if HEADS[head].per_token else len(before)
            np.testing.assert_array_equal(outputs, whole[name][first : first + len(outputs)])


@pytest.mark.parametrize("head", PER_TOKEN)
@pytest.mark.parametrize("rows", [[[3], [0, 8], []], [[0], [0], [0]], [[], [], []], [[0, 1, 2, 3, 4], [], [1]]])
def test_only_the_requested_rows(models: dict[str, Any], engines: Any, head: str, rows: list[list[int]]) -> None:
    sequences = ids_of([5, 9, 2])
    whole = engines(head, "fp32")(Batch.of(sequences))
    packed_rows = [offset + row for offset, positions in zip((0, 5, 14), rows, strict=True) for row in positions]
    some = engines(head, "fp32")(Batch.of(sequences, rows))
    assert relative_error(some, {name: array[packed_rows] for name, array in whole.items()}) < 1e-5
    assert relative_error(some, PytorchRunner(models[head])(Batch.of(sequences, rows))) < 1e-5


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu", "tanh"])
@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForMaskedLM"])
def test_activations(head: str, activation: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(precision, monkeypatch)
    model = tiny_model(head, activation=activation)
    batch = Batch.of(ids_of([23, 9, 4] * 8))
    quantization = calibrate(model, [batch], "fp32")
    engine = EngineRunner(model, precision, quantization=quantization)
    assert relative_error(engine(batch), PytorchRunner(model)(batch)) < TOLERANCES[precision]


@pytest.mark.parametrize("precision", TOLERANCES)
def test_the_size_of_distilbert(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head dim 64, the width of the released models, and a classifier that skips keys and values."""
    allow(precision, monkeypatch)
    torch.manual_seed(0)
    model = DistilBertForSequenceClassification(DistilBertConfig(vocab_size=97, n_layers=2, num_labels=3)).eval()
    batch = Batch.of(ids_of([512, 130, 33, 17, 4, 1]))
    engine = EngineRunner(model, precision, quantization=calibrate(model, [batch]))
    assert relative_error(engine(batch), PytorchRunner(model)(batch)) < TOLERANCES[precision] / 2


def test_pruned_heads() -> None:
    model = tiny_model("ForTokenClassification")
    model.prune_heads({0: [1], 1: [0, 2]})
    batch = Batch.of(ids_of([9, 4]))
    assert relative_error(EngineRunner(model, "fp32")(batch), PytorchRunner(model)(batch)) < 1e-5


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_without_compiled_kernels(models: dict[str, Any], head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILBERT_KERNELS", "numpy")
    batch = Batch.of(ids_of([9, 4, 1]))
    assert relative_error(EngineRunner(models[head], "fp32")(batch), PytorchRunner(models[head])(batch)) < 1e-5


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_folder_is_read_without_its_framework(
    models: dict[str, Any], engines: Any, head: str, precision: str, tmp_path: Path
) -> None:
    model, engine = models[head], engines(head, precision)
    model.save_pretrained(tmp_path)
    if engine.quantization is not None:
        engine.quantization.save(tmp_path)
    with pytest.MonkeyPatch.context() as monkeypatch:
        allow(precision, monkeypatch)
        runner = EngineRunner.from_folder(tmp_path, precision=precision)
    assert (runner.precision, runner.head, runner.is_loaded) == (precision, model.head_spec, False)
    batch = Batch.of(ids_of([23, 9, 4]))
    assert relative_error(runner(batch), engine(batch)) < 1e-5  # int8 ranges are rounded to fp32 in the file
    if head:
        encoder = EngineRunner.from_folder(tmp_path, head="", precision="fp32")
        assert relative_error(encoder(batch), PytorchRunner(model.base_model)(batch)) < 1e-5
    with pytest.raises(InputError, match="This runner read its folder itself"):
        runner.model


def test_a_folder_without_the_weights_of_a_head(models: dict[str, Any], tmp_path: Path) -> None:
    models[""].save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"has no weights for classifier\.bias, .*fine-tune the model first"):
        EngineRunner.from_folder(tmp_path, head="ForTokenClassification")


def test_a_head_that_a_user_wrote() -> None:
    class Own(DistilBertForSequenceClassification):
        def head(self, hidden: torch.Tensor) -> torch.Tensor:
            return super().head(hidden) * 2 + 1

    model = tiny_model("ForSequenceClassification")
    own = Own(model.config)
    own.load_state_dict(model.state_dict())
    replaced = tiny_model("ForSequenceClassification")
    replaced.classifier = torch.nn.Sequential(replaced.classifier, torch.nn.Tanh())
    batch = Batch.of(ids_of([9, 4]))
    for changed in (own, replaced):
        assert relative_error(EngineRunner(changed, "fp32")(batch), PytorchRunner(changed.eval())(batch)) < 1e-5


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_an_empty_batch(engines: Any, head: str) -> None:
    for array in engines(head, "fp32")(Batch.of([])).values():
        assert len(array) == 0


def test_a_sequence_of_no_tokens_among_others(models: dict[str, Any], engines: Any) -> None:
    batch = Batch.of([[5, 6], [], [7]])
    head = "ForTokenClassification"
    assert relative_error(engines(head, "fp32")(batch), PytorchRunner(models[head])(batch)) < 1e-5


def test_bad_input(engines: Any) -> None:
    engine = engines("ForSequenceClassification", "fp32")
    with pytest.raises(InputError, match="Token ids run from 5 to 97; this model takes 0 to 96"):
        engine(Batch.of([[5, 97]]))
    with pytest.raises(InputError, match="24 tokens and the model knows 23"):
        engine(Batch.of([[5] * 24]))
    with pytest.raises(InputError, match="without tokens"):
        engine(Batch.of([[5], []]))


def test_auto_takes_fp32_where_bf16_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    allow("bf16", monkeypatch)
    monkeypatch.setattr(cpu, "is_faster", lambda precision: True)
    model = tiny_model("ForSequenceClassification")
    assert EngineRunner(model).precision == "bf16"
    monkeypatch.setattr(engine_runner, "BF16_TOLERANCE", 1e-7)
    assert EngineRunner(model).precision == "fp32"
    assert EngineRunner(model, "bf16").precision == "bf16"  # a precision that is named is not compared


def test_what_is_faster_is_noted_for_other_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DISTILBERT_CACHE", str(tmp_path))
    monkeypatch.setattr(cpu, "has_int8", lambda: True)
    measured = []

    def measure(precision: str, operations: object) -> bool:
        measured.append(precision)
        return True

    monkeypatch.setattr(cpu, "_measure_whether_faster", measure)
    for _ in range(2):  # as two processes would: the second one reads the note
        cpu.is_faster.cache_clear()
        assert cpu.is_faster("int8")
    assert measured == ["int8"]
    (note,) = (tmp_path / "notes").iterdir()
    note.write_text("damaged")
    cpu.is_faster.cache_clear()
    assert cpu.is_faster("int8")
    assert measured == ["int8", "int8"]
    cpu.is_faster.cache_clear()


def test_what_auto_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    for faster, quantized, expected in (
        (["bf16", "int8"], False, "bf16"),
        (["int8"], False, "fp32"),
        (["bf16", "int8"], True, "int8"),
        (["bf16"], True, "bf16"),
        ([], True, "fp32"),
    ):
        monkeypatch.setattr(cpu, "is_faster", lambda precision, faster=faster: precision in faster)
        assert pick_precision("auto", quantized) == expected


def test_a_cpu_without_the_instructions_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_bf16", lambda: False)
    monkeypatch.setattr(cpu, "has_int8", lambda: False)
    monkeypatch.setattr(cpu, "is_faster", lambda precision: False)
    model = tiny_model("ForSequenceClassification")
    with pytest.warns(UserWarning, match="no instructions for bf16; the model runs in fp32"):
        assert EngineRunner(model, "bf16").precision == "fp32"
    quantization = calibrate(model, [Batch.of(ids_of([9]))])
    with pytest.warns(UserWarning, match="no instructions for int8; the model runs in fp32"):
        assert EngineRunner(model, "int8", quantization=quantization).precision == "fp32"


def test_unknown_precisions() -> None:
    model = tiny_model("ForSequenceClassification")
    with pytest.raises(InputError, match="precision must be one of auto, fp32, bf16, int8, got 'fp64'"):
        EngineRunner(model, "fp64")
    with pytest.raises(InputError, match="distilbert quantize"):
        EngineRunner(model, "int8")


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(cpu, "QUOTA_FILES", ())
    assert (pick_threads(1), pick_threads(2), pick_threads(None)) == (1, 2, 2)
    with pytest.warns(UserWarning, match="99 threads on 2 cores"):
        assert pick_threads(99) == 2
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="threads must be"):
            pick_threads(wrong)  # type: ignore[arg-type]
    assert EngineRunner(tiny_model("ForSequenceClassification"), "fp32", threads=1).threads == 1
    for limit, expected in (("1", 1), ("9", 2), ("", 2), ("many", 2), ("0", 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        assert pick_threads(None) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("nonsense", 8), (None, 8)],
)
def test_the_quota_of_a_container(
    content: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: set(range(8)))
    if content is not None:
        (tmp_path / "cpu.max").write_text(content + "\n")
    monkeypatch.setattr(cpu, "QUOTA_FILES", ((str(tmp_path / "cpu.max"),),))
    assert cpu.count_cores() == expected


def test_the_quota_of_an_older_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: set(range(8)))
    files = [tmp_path / "cpu.cfs_quota_us", tmp_path / "cpu.cfs_period_us"]
    monkeypatch.setattr(cpu, "QUOTA_FILES", (tuple(map(str, files)),))
    for quota, expected in (("-1", 8), ("300000", 3)):
        files[0].write_text(quota + "\n")
        files[1].write_text("100000\n")
        assert cpu.count_cores() == expected


def test_the_model_itself_is_left_as_it_was(models: dict[str, Any]) -> None:
    model = tiny_model("ForMaskedLM")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    EngineRunner(model, "bf16" if available_precisions()["bf16"] else "fp32")(Batch.of(ids_of([3])))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert model.base_model is not None


def test_quantization_is_kept_in_a_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    allow("int8", monkeypatch)
    model, batch = tiny_model("ForSequenceClassification"), Batch.of(ids_of([9, 20, 3] * 10))
    quantization = calibrate(model, [batch], "fp32")
    assert set(quantization.ranges) == {
        f"{block}.{product}" for block in (0, 1) for product in ("qkv", "out", "lin1", "lin2")
    }
    assert Quantization.load(tmp_path) is None
    saved = quantization.without("0.lin2", "1.qkv")
    saved.save(tmp_path)
    loaded = Quantization.load(tmp_path)
    assert loaded is not None
    assert set(loaded.ranges) == set(quantization.ranges) - {"0.lin2", "1.qkv"}
    before, after = (EngineRunner(model, "int8", quantization=each)(batch)["logits"] for each in (saved, loaded))
    np.testing.assert_array_equal(before, after)
    assert relative_error({"logits": before}, PytorchRunner(model)(batch)) < TOLERANCES["int8"]
