"""Laid-out weights in files: the same answers, never from a file that belongs to something else, and shared."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert import DistilBertConfig, EngineRunner
from distilbert.core.errors import InputError, WeightsError
from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS, tensor_shapes
from distilbert.engine import cache_folder, packed_weights
from distilbert.engine.kernel_library import load_operations
from distilbert.engine.operations import FP32
from distilbert.engine.packed_encoder import PackedEncoder
from distilbert.engine.packed_file import CHECKED, PackedFile, PackedFileWriter
from distilbert.engine.quantization import calibrate
from distilbert.weights.tensors import save_safetensors
from tests.scripts import python_environment

BATCH = Batch.of([list(range(3, 20)), [7, 5, 80, 2], list(range(90, 40, -3))])
LARGE = Batch.of([list(range(1, 20))] * 60)  # uses the cache of projections


def write_model(folder: Path, head: str = "ForSequenceClassification", seed: int = 0, **sizes: Any) -> Path:
    """Write a model of random weights, without any framework."""
    values = {"vocab_size": 97, "max_position_embeddings": 23, "dim": 24, "n_heads": 3, "n_layers": 2, "hidden_dim": 40}
    labels = 2 if head == "ForQuestionAnswering" else 5
    config = DistilBertConfig(**(values | {"num_labels": labels} | sizes), architectures=[HEADS[head].architecture])
    folder.mkdir(parents=True, exist_ok=True)
    config.to_json_file(folder / "config.json")
    random = np.random.default_rng(seed)
    arrays = {
        name: random.standard_normal(shape, np.float32) * np.float32(0.3)
        for name, shape in tensor_shapes(config, HEADS[head]).items()
        if name != "vocab_projector.weight"
    }
    save_safetensors(folder / "model.safetensors", arrays)
    return folder


def answers(folder: Path, batch: Batch = BATCH, **options: Any) -> dict[str, np.ndarray]:
    return EngineRunner.from_folder(folder, **({"precision": "fp32"} | options))(batch)


def cached_files() -> list[Path]:
    folder = cache_folder.cache_folder()
    assert folder is not None
    return sorted((folder / "packed").glob("*"))


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DISTILBERT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packed_weights, "SMALLEST", 0)
    cache_folder._say_unwritable.cache_clear()
    packed_weights._say_ignored.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how many weights were laid out since it was last asked."""
    count = 0
    lay_out = type(load_operations()).lay_out

    def counting(self: Any, weight: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return lay_out(self, weight)

    monkeypatch.setattr(type(load_operations()), "lay_out", counting)

    def read() -> int:
        nonlocal count
        before, count = count, 0
        return before

    return read


@pytest.mark.parametrize("head", HEADS)
def test_the_same_answers_without_laying_out(tmp_path: Path, head: str, counted: Callable[[], int]) -> None:
    folder = write_model(tmp_path / "of a head", head)
    in_memory = [answers(folder, batch, packed=False) for batch in (BATCH, LARGE)]
    assert counted()
    first = [answers(folder, batch) for batch in (BATCH, LARGE)]
    assert len(cached_files()) == 1
    counted()
    second = [answers(folder, batch) for batch in (BATCH, LARGE)]
    assert counted() == 0
    for expected, written, mapped in zip(in_memory, first, second, strict=True):
        for name, values in expected.items():
            assert np.array_equal(written[name], values)
            assert np.array_equal(mapped[name], values)


def test_int8_belongs_to_its_quantization(tmp_path: Path, model: Path, counted: Callable[[], int]) -> None:
    weights = EngineRunner.from_folder(model, precision="fp32", packed=False).weights
    calibrate(weights, [BATCH], "fp32").save(model)
    in_memory = answers(model, LARGE, precision="int8", packed=False)
    answers(model, LARGE, precision="int8")
    counted()
    mapped = answers(model, LARGE, precision="int8")
    assert counted() == 0
    assert np.array_equal(mapped["logits"], in_memory["logits"])
    calibrate(weights, [LARGE], "fp32").without("0.lin1").save(model)
    other = answers(model, LARGE, precision="int8")
    assert counted()
    assert np.array_equal(other["logits"], answers(model, LARGE, precision="int8", packed=False)["logits"])


def test_a_folder_is_written_to_only_by_pack(model: Path, counted: Callable[[], int], cache: Path) -> None:
    before = sorted(model.iterdir())
    expected = answers(model)
    assert sorted(model.iterdir()) == before
    shutil.rmtree(cache)
    path = EngineRunner.from_folder(model, precision="fp32", packed=False).pack()
    assert path.parent == model / "packed"
    counted()
    assert np.array_equal(answers(model)["logits"], expected["logits"])
    assert counted() == 0
    assert not cache.exists()  # nothing is kept twice


def test_other_weights_are_laid_out_anew(model: Path, counted: Callable[[], int]) -> None:
    answers(model)
    status = (model / "model.safetensors").stat()
    write_model(model, seed=1)
    os.utime(model / "model.safetensors", ns=(status.st_atime_ns, status.st_mtime_ns))  # of the same size and time
    counted()
    changed = answers(model)
    assert counted()
    assert np.array_equal(changed["logits"], answers(model, packed=False)["logits"])
    assert len(cached_files()) == 1


def test_a_copy_is_read_whole_once_its_times_differ(tmp_path: Path, model: Path, counted: Callable[[], int]) -> None:
    EngineRunner.from_folder(model, precision="fp32", packed=False).pack()
    copy = shutil.copytree(model, tmp_path / "copy")
    os.utime(copy / "model.safetensors", ns=(1, 1))
    counted()
    expected = answers(model)
    assert np.array_equal(answers(copy)["logits"], expected["logits"])
    assert counted() == 0


@pytest.mark.parametrize("changed", ["version", "FORMAT", "layout", "config"])
def test_another_version_or_machine_or_configuration(
    model: Path, counted: Callable[[], int], changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(model)
    if changed == "version":
        monkeypatch.setattr(packed_weights, "__version__", "0.0.1")
    elif changed == "FORMAT":
        monkeypatch.setattr(packed_weights, "FORMAT", 0)
    elif changed == "layout":
        operations = load_operations()
        operations.layout = "of another machine"
        monkeypatch.setattr("distilbert.engine.engine_runner.load_operations", lambda threads=1: operations)
    else:
        values = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(values | {"activation": "relu"}))
    counted()
    answers(model)
    assert counted()


def _cut(data: bytearray) -> bytes:
    return bytes(data[: len(data) // 2])


def _swap_arrays(data: bytearray) -> bytes:
    a, b = data[4096:8192], data[8192:12288]
    data[4096:8192], data[8192:12288] = b, a
    return bytes(data)


def _change(position: int) -> Callable[[bytearray], bytes]:
    def change(data: bytearray) -> bytes:
        data[position] ^= 0xFF
        return bytes(data)

    return change


@pytest.mark.parametrize(
    "damage",
    [
        _cut, _swap_arrays, _change(4096), _change(0), _change(-1), _change(-60), _change(-300),
        lambda data: b"", lambda data: bytes(len(data)), lambda data: b"{}" * 5000,
    ],
)  # fmt: skip
def test_a_damaged_file_is_passed_over(
    model: Path, damage: Callable[[bytearray], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    expected = answers(model)
    (path,) = cached_files()
    path.write_bytes(damage(bytearray(path.read_bytes())))
    for _ in range(2):
        assert np.array_equal(answers(model)["logits"], expected["logits"])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "laid out anew" in caplog.text
    assert PackedFile(path).arrays  # it was written again


def rewritten(path: Path, change: Callable[[dict[str, Any], list[np.ndarray]], None]) -> None:
    """Write a packed file anew, with checksums that are right and content that is not."""
    file = PackedFile(path)
    arrays = [array.copy() for array in file.arrays]
    change(file.content, arrays)
    with PackedFileWriter(path, 1 << 22) as writer:
        for array in arrays:
            writer.add(array)
        writer.finish(file.content)


def _set(name: str, field: str, value: Any) -> Callable[[dict[str, Any], list[np.ndarray]], None]:
    def change(content: dict[str, Any], arrays: list[np.ndarray]) -> None:
        content["names"][name][field] = value

    return change


def _short_words(content: dict[str, Any], arrays: list[np.ndarray]) -> None:
    index = content["names"]["word_embeddings"]
    arrays[index] = arrays[index][:50].copy()


def _other_type(content: dict[str, Any], arrays: list[np.ndarray]) -> None:
    index = content["names"]["1.lin1"]["weight"]
    arrays[index] = arrays[index].view(np.float32).copy()


@pytest.mark.parametrize(
    "change",
    [
        _set("0.qkv", "outputs", 48), _set("0.qkv", "outputs", 10**9), _set("0.qkv", "depth", 12),
        _set("0.qkv", "groups", 2), _set("0.qkv", "groups", -1), _set("0.lin1", "activation", "exec"),
        _set("0.lin1", "dtype", "int8"), _set("0.lin1", "result_dtype", "bfloat16"), _set("1.out", "weight", 10**6),
        _set("1.out", "weight", -1), _set("1.out", "bias", None), _set("1.keys", "outputs", 8),
        _set("1.values", "groups", 1), _set("1.query", "depth", "24"), _set("0.out", "operations", "other"),
        _set("classifier", "outputs", 4), _set("pre_classifier", "result_scale", -1.0), _short_words, _other_type,
        lambda content, arrays: content["names"].pop("transformer.layer.1.sa_layer_norm.weight"),
        lambda content, arrays: content.update(names=[]),
        lambda content, arrays: content.update(sources=[1]),
        lambda content, arrays: content.update(sources=[]),
    ],
)  # fmt: skip
def test_a_file_that_lies_is_passed_over(model: Path, change: Callable[..., None]) -> None:
    expected = answers(model)
    (path,) = cached_files()
    rewritten(path, change)
    assert np.array_equal(answers(model)["logits"], expected["logits"])


def test_a_cache_that_cannot_be_written(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(model, packed=False)
    cache.write_text("a file")
    for _ in range(3):
        assert np.array_equal(answers(model)["logits"], expected["logits"])
    assert len(caplog.records) == 1  # it is said once
    assert "DISTILBERT_CACHE" in caplog.text
    caplog.clear()
    monkeypatch.setenv("DISTILBERT_CACHE", "off")
    assert np.array_equal(answers(model)["logits"], expected["logits"])
    assert not caplog.records


def test_a_full_disk(
    model: Path, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(model, packed=False)
    add, count = PackedFileWriter.add, 0

    def full(self: PackedFileWriter, array: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        if count > 10:
            raise OSError(28, "No space left on device")
        return add(self, array)

    monkeypatch.setattr(PackedFileWriter, "add", full)
    assert np.array_equal(answers(model)["logits"], expected["logits"])
    assert "No space left" in caplog.text
    assert cached_files() == []  # nothing is left


def test_small_models_are_not_kept(model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_weights, "SMALLEST", 1 << 20)
    answers(model)
    assert not cache.exists()


def test_the_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    folders = [write_model(tmp_path / str(number), seed=number) for number in range(4)]
    answers(folders[0])
    size = cached_files()[0].stat().st_size
    monkeypatch.setattr(cache_folder, "MOST_BYTES", int(2.5 * size))
    abandoned = cache / "packed" / ".killed.packed.1.tmp"
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (1, 1))
    for number, path in enumerate(cached_files()):
        os.utime(path, (number + 1, number + 1))
    first = cached_files()[-1]
    answers(folders[1])
    answers(folders[0])  # used again, so the other is the older
    os.utime(next(path for path in cached_files() if path != first), (100, 100))
    answers(folders[2])
    assert not abandoned.exists()
    assert len(cached_files()) == 2
    assert first in cached_files()
    monkeypatch.setattr(cache_folder, "MOST_BYTES", 10)
    answers(folders[3])
    assert len(cached_files()) == 2  # one that is larger than the bound is not kept


def test_arrays_cannot_be_written_and_outlive_the_file(model: Path, cache: Path) -> None:
    expected = answers(model)
    runner = EngineRunner.from_folder(model, precision="fp32")
    weight = runner._prepared.encoder._blocks[0].qkv.product.weight
    assert not weight.flags.writeable
    shutil.rmtree(cache)
    write_model(model, seed=1)
    assert np.array_equal(runner(BATCH)["logits"], expected["logits"])


def test_a_child_that_was_forked_answers_from_the_map(model: Path) -> None:
    answers(model)
    runner = EngineRunner.from_folder(model, precision="fp32")
    expected = runner(LARGE)["logits"]
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe()
    child = context.Process(target=lambda: sender.send(runner(LARGE)["logits"]), daemon=True)
    child.start()
    assert receiver.poll(100), "the child hangs"
    assert np.array_equal(receiver.recv(), expected)
    child.join()


SCRIPT = """
import sys
from distilbert import EngineRunner
from distilbert.core.runner_protocol import Batch
from distilbert.engine import packed_weights
packed_weights.SMALLEST = 0
runner = EngineRunner.from_folder(sys.argv[1], precision="fp32")
print(runner(Batch.of([[7, 5, 80, 2]]))["logits"].tolist())
"""


def test_two_processes_pack_at_once(tmp_path: Path) -> None:
    model = write_model(tmp_path / "larger", vocab_size=12000, dim=96)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(model)],
            env=python_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    results = [process.communicate(timeout=100) for process in processes]
    assert [error for _, error in results] == [b""] * 3
    assert len({output for output, _ in results}) == 1
    assert [path.suffix for path in cached_files()] == [".packed"]


def test_the_file_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with PackedFileWriter(tmp_path / "small", 1 << 10) as writer, pytest.raises(OSError, match="do not fit"):
        writer.add(np.zeros(1 << 20, np.float32))
    assert list(tmp_path.glob("*small*")) == []
    arrays = [np.arange(CHECKED, dtype=np.int32), np.zeros((3, 0), np.float32), np.array(1.5, np.float32)]
    with PackedFileWriter(tmp_path / "file", 1 << 20) as writer:
        for array in arrays:
            assert np.array_equal(writer.add(array), array)
        writer.finish({"a": 1})
    file = PackedFile(tmp_path / "file")
    assert file.content == {"a": 1}
    for array, mapped in zip(arrays, file.arrays, strict=True):
        assert np.array_equal(array, mapped)
        assert mapped.dtype == array.dtype
        assert mapped.__array_interface__["data"][0] % 64 == 0 or not mapped.size
    with pytest.raises(WeightsError, match="too short"):
        PackedFile(_written(tmp_path / "short", b"DBPACK01"))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_notes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder.read_note(["a", 1]) is None
    cache_folder.write_note(["a", 1], True)
    assert cache_folder.read_note(["a", 1]) is True
    (path,) = (cache / "notes").iterdir()
    os.utime(path, (1, 1))
    assert cache_folder.read_note(["a", 1]) is None  # too old
    path.write_text("garbage")
    assert cache_folder.read_note(["a", 1]) is None
    monkeypatch.setattr(cache_folder, "MOST_NOTES", 2)
    for number in range(5):
        cache_folder.write_note(["b", number], number)
    assert len(list((cache / "notes").iterdir())) == 2


def test_the_check_of_no_tokens_sees_other_shapes(model: Path) -> None:
    runner = EngineRunner.from_folder(model, precision="fp32", packed=False)
    encoder: PackedEncoder = runner._prepared.encoder
    assert encoder.dtype == FP32
    encoder.check()
    encoder._blocks[0] = encoder._blocks[0].__class__(**(vars(encoder._blocks[0]) | {"lin2": encoder._blocks[0].lin1}))
    with pytest.raises(InputError):
        encoder.check()
