"""`distilbert push` on a hub that stands in, and what a shell completes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.utils import filter_repo_objects

from distilbert.cli.environment import engine
from distilbert.cli.name_completion import complete_model, complete_task
from distilbert.engine import kernel_library

from .helpers import Command


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What was uploaded."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class Api:
        def __init__(self, token: Any) -> None:
            pass

        def create_repo(self, repo_id: str, **options: Any) -> Any:
            if repo_id == "other/model":
                raise OSError("403 Forbidden: you may not write there\nRequest ID: 1")
            calls.append(("create_repo", options))
            return type("Url", (), {"repo_id": repo_id})

        def create_branch(self, repo_id: str, **options: Any) -> None:
            calls.append(("create_branch", options))

        def upload_folder(self, **options: Any) -> Any:
            calls.append(("upload_folder", options))
            return type("Commit", (), {"commit_url": "address-of-the-commit"})

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    return calls


def test_a_folder_is_pushed(cli: Command, tmp_path: Path, uploads: list[tuple[str, dict[str, Any]]]) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    done = cli("push", str(folder), "user/reviews", "--private", "--revision", "v2")
    assert (done.code, done.out) == (0, "address-of-the-commit\n")
    assert "has no card, README.md" in done.err
    assert uploads[:2] == [
        ("create_repo", {"private": True, "exist_ok": True}),
        ("create_branch", {"branch": "v2", "exist_ok": True}),
    ]
    options = uploads[2][1]
    assert (options["repo_id"], options["revision"], options["folder_path"]) == ("user/reviews", "v2", folder)
    model = ["README.md", "config.json", "model.safetensors", "1_Pooling/config.json", "onnx/model.onnx", "runs.json"]
    local = [
        "checkpoints/step-10/optimizer.safetensors", "tensorboard/events", "cache/tokens", "packed/encoder.packed",
        "runs/lr-0.001/model.safetensors", "start/packed/encoder.packed", "run/checkpoints/step-10/model.safetensors",
    ]  # fmt: skip
    assert list(filter_repo_objects([*model, *local], ignore_patterns=options["ignore_patterns"])) == model


def test_what_cannot_be_pushed(cli: Command, tmp_path: Path, uploads: list[tuple[str, dict[str, Any]]]) -> None:
    (tmp_path / "config.json").write_text("{}")
    for arguments, code, message in (
        ((str(tmp_path / "none"), "user/model"), 2, "there is no config.json in it"),
        ((str(tmp_path), "model"), 2, "USER/NAME is expected, such as user/"),
        ((str(tmp_path), "other/model"), 1, "cannot be uploaded to other/model: 403 Forbidden: you may not write"),
    ):
        done = cli("push", *arguments)
        assert (done.code, done.out) == (code, "")
        assert message in done.err
    assert not uploads


def test_names_are_completed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("distilbert.core.installed.installed_models", lambda: {"model-a": tmp_path, "other": tmp_path})
    (tmp_path / "models" / "reviews").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert complete_task("sent") == ["sentence-similarity", "sentiment-analysis"]
    assert complete_model("mod") == ["model-a", "models"]
    assert complete_model("models/r") == ["models/reviews"]
    assert complete_model("absent/r") == []


def test_info_says_that_kernels_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISTILBERT_KERNELS", raising=False)
    monkeypatch.setattr(kernel_library, "available_kernels", lambda: ())
    assert "no compiled kernels; install a wheel" in engine()["kernels"]
