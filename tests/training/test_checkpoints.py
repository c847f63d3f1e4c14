"""Checkpoints: complete or absent, few, and readable whatever happened to a later one."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor

from distilbert import CheckpointError
from distilbert.core.errors import WeightsError
from distilbert.training import checkpoints
from distilbert.training.checkpoints import clear, load_all, newest, save, tidy

TENSORS = {"optimizer.a": torch.arange(6.0).reshape(2, 3), "rest.b": torch.tensor(3)}


def save_model(path: Path) -> None:
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"weights")


def fail_with(error: BaseException) -> Callable[[Path], None]:
    def fail(path: Path) -> None:
        save_model(path)
        raise error

    return fail


def write(folder: Path, *steps: int) -> None:
    for step in steps:
        save(folder, step, {"tokens": 10 * step}, TENSORS, save_model)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    written = save(tmp_path / "c", 5, {"tokens": 7}, {"t": TENSORS["optimizer.a"].t()}, save_model)
    (checkpoint,) = load_all(tmp_path / "c")
    assert (checkpoint.folder, checkpoint.step, checkpoint.state) == (written.folder, 5, {"step": 5, "tokens": 7})
    assert (checkpoint.folder / "model" / "model.safetensors").read_bytes() == b"weights"
    assert torch.equal(checkpoint.tensors()["t"], TENSORS["optimizer.a"].t())
    assert names(tmp_path / "c") == ["step-5"]


def test_the_newest_is_that_of_the_highest_step(tmp_path: Path) -> None:
    assert newest(tmp_path / "none") is None
    write(tmp_path, 9, 10, 100, 20)
    assert [checkpoint.step for checkpoint in load_all(tmp_path)] == [9, 10, 20, 100]
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 100


def test_a_step_that_is_saved_again_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, 3)
    save(tmp_path, 3, {"tokens": 1}, TENSORS, save_model)
    assert names(tmp_path) == ["step-3"]
    assert load_all(tmp_path)[0].state["tokens"] == 1


FULL = [
    OSError(errno.ENOSPC, "No space left on device", "x"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
]


@pytest.mark.parametrize("error", FULL)
@pytest.mark.parametrize("place", ["model", "tensors", "state"])
def test_a_full_disk_leaves_the_last_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    write(tmp_path, 1, 2)
    fail = fail_with(error)
    if place != "model":
        name = {"tensors": "save_file", "state": "write_json"}[place]
        monkeypatch.setattr(checkpoints, name, lambda first, second: fail(tmp_path / ".step-3.tmp" / "more"))
    with pytest.raises(CheckpointError, match=r"step 3 .* the disk is full\. .* goes on from step 2\."):
        save(tmp_path, 3, {}, TENSORS, fail if place == "model" else save_model)
    assert names(tmp_path) == ["step-1", "step-2"]
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert torch.equal(checkpoint.tensors()["optimizer.a"], TENSORS["optimizer.a"])


def test_the_first_one_that_fails(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"step 3 .* the disk is full\. None is before it"):
        save(tmp_path / "c", 3, {}, TENSORS, fail_with(FULL[0]))
    with pytest.raises(CheckpointError, match=r"Permission denied"):
        save(tmp_path / "c", 3, {}, TENSORS, fail_with(PermissionError(errno.EACCES, "Permission denied", "x")))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a mistake of ours")])
def test_whatever_ends_the_writing_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    write(tmp_path, 1)
    with pytest.raises(type(error)):
        save(tmp_path, 2, {}, TENSORS, fail_with(error))
    assert names(tmp_path) == ["step-1"]


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of this kind there")
def test_a_file_that_the_system_refuses_to_grow(tmp_path: Path) -> None:
    """The system itself stops a write halfway."""
    code = """
import resource, sys, torch
from pathlib import Path
from distilbert import CheckpointError
from distilbert.training.checkpoints import save
folder = Path(sys.argv[1])
model = lambda path: path.mkdir()
save(folder, 1, {}, {"a": torch.zeros(100)}, model)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    save(folder, 2, {}, {"a": torch.zeros(100_000)}, model)
except CheckpointError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "step 2 could not be written" in done.stdout
    assert "goes on from step 1" in done.stdout
    assert names(tmp_path) == ["step-1"]
    assert load_all(tmp_path)[0].tensors()["a"].shape == (100,)


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        checkpoints, "sync_to_disk", lambda path: synced.append((path.name, (tmp_path / "step-4").exists()))
    )
    write(tmp_path, 4)
    files = ["model", "model.safetensors", "training.safetensors", "state.json", ".step-4.tmp"]
    assert sorted(synced[:-1]) == sorted((name, False) for name in files)
    assert synced[-1] == (tmp_path.name, True)


def test_tidy_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    write(tmp_path, *range(1, 7))
    tidy(tmp_path, 2, best=3)
    assert [checkpoint.step for checkpoint in load_all(tmp_path)] == [3, 5, 6]
    tidy(tmp_path, 1, best=6)
    assert names(tmp_path) == ["step-6"]
    tidy(tmp_path, 3, best=None)
    assert names(tmp_path) == ["step-6"]


def test_what_a_crash_left_is_passed_over_and_cleared(tmp_path: Path) -> None:
    write(tmp_path, 2)
    for name in ("step-3", ".step-4.tmp", "step-x", "other"):  # without state.json, under another name
        (tmp_path / name / "model").mkdir(parents=True)
    (tmp_path / ".step-4.tmp" / "state.json").write_text("{}")
    assert [checkpoint.step for checkpoint in load_all(tmp_path)] == [2]
    write(tmp_path, 3, 4)
    assert [checkpoint.step for checkpoint in load_all(tmp_path)] == [2, 3, 4]
    (tmp_path / ".step-5.tmp").mkdir()
    clear(tmp_path)
    assert names(tmp_path) == ["other", "step-x"]


def test_a_removal_that_is_cut_short_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1, 2)

    def cut_short(folder: Path, **_: bool) -> None:
        if folder.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", cut_short)
    with pytest.raises(KeyboardInterrupt):
        tidy(tmp_path, 1, best=None)
    assert [checkpoint.step for checkpoint in load_all(tmp_path)] == [2]


def test_files_that_are_damaged_are_named_with_a_way_out(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    tensors = checkpoint.folder / "training.safetensors"
    whole = tensors.read_bytes()
    advice = r"training\.safetensors cannot be read: .*\. Remove .*step-2 to go on before it\."
    for content in (b"", whole[:-1], whole[:20], b"x" * len(whole)):
        tensors.write_bytes(content)
        with pytest.raises(WeightsError, match=advice):
            checkpoint.tensors()
    tensors.unlink()
    with pytest.raises(WeightsError, match=advice):
        checkpoint.tensors()
    for text in ("{", "\x00" * 9, "[" * 100_000):
        (checkpoint.folder / "state.json").write_text(text)
        with pytest.raises(WeightsError, match=r"state\.json cannot be read: .*Remove .*step-2 to go on before it"):
            newest(tmp_path)


def test_every_changed_byte_is_seen(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    checkpoint.check_files()
    for name in ("model/model.safetensors", "training.safetensors"):
        path = checkpoint.folder / name
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            with pytest.raises(WeightsError, match=r"not as it was written.*Remove .*step-2 to go on before it\."):
                checkpoint.check_files()
        path.unlink()
        with pytest.raises(WeightsError, match=r"is missing\. Remove .*step-2"):
            checkpoint.check_files()
        path.write_bytes(whole)
    checkpoint.check_files()


@pytest.mark.parametrize("change", ['"tokens": 21', '"tokens": null', '"step": 1', '"best": 3, "tokens": 20'])
def test_a_changed_state_is_seen(tmp_path: Path, change: str) -> None:
    write(tmp_path, 2)
    path = tmp_path / "step-2" / "state.json"
    key = change.split(":")[0]
    text = re.sub(rf"{key}: \w+" if "best" not in change else '"tokens": 20', change, path.read_text())
    assert text != path.read_text()
    path.write_text(text)
    with pytest.raises(WeightsError, match=r"state\.json is not as it was written.*Remove .*step-2 to go on before it"):
        newest(tmp_path)


@pytest.mark.parametrize("content", ["{}", "[]", "3", '{"step": 3}'])
def test_a_state_without_its_step_is_refused(tmp_path: Path, content: str) -> None:
    write(tmp_path, 2)
    (tmp_path / "step-2" / "state.json").write_text(content)
    with pytest.raises(WeightsError, match=r"not as it was written.*Remove .*step-2 to go on before it"):
        newest(tmp_path)


def test_leftovers_of_a_kill_go_with_the_next_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    (tmp_path / "step-1").rename(tmp_path / ".step-1.old")
    (tmp_path / ".step-7.tmp").mkdir()
    tidy(tmp_path, 1, best=None)
    assert names(tmp_path) == ["step-2"]


def test_tensors_of_any_kind(tmp_path: Path) -> None:
    scalar: Tensor = torch.tensor(1.5, dtype=torch.bfloat16)
    written = save(tmp_path, 1, {"best": None}, {"one": scalar, "none": torch.zeros(0, 2)}, save_model)
    assert written.tensors()["one"].dtype == torch.bfloat16
    assert written.tensors()["none"].shape == (0, 2)
    (read,) = load_all(tmp_path)
    assert read.state == written.state == {"step": 1, "best": None}
