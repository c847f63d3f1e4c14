"""Names to folders, with a hub library whose network calls are replaced."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from distilbert import AutoModel, DistilBertModel, ModelNotFoundError
from distilbert.core.hub import resolve
from tests.tiny import tiny_model


class FakeHub:
    """Stands in for snapshot_download: remembers what was asked for and serves a folder."""

    def __init__(self, folder: Path, error: Exception | None = None) -> None:
        self.folder, self.error, self.calls = folder, error, []

    def __call__(self, name: str, **options: Any) -> str:
        self.calls.append({"name": name} | options)
        if self.error:
            raise self.error
        return str(self.folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    tiny_model().save_pretrained(tmp_path / "served")
    fake = FakeHub(tmp_path / "served")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    connect_with(monkeypatch, None)
    return fake


def connect_with(monkeypatch: pytest.MonkeyPatch, error: OSError | None) -> list[Any]:
    """Let every connection succeed, or fail with an error; return where one was tried."""
    tried: list[Any] = []

    def connect(address: Any, timeout: float) -> Any:
        tried.append(address)
        if error is not None:
            raise error
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr("socket.create_connection", connect)
    return tried


def test_a_name_is_fetched_with_the_options_given(hub: FakeHub) -> None:
    model = AutoModel.from_pretrained("user/model", revision="v2", token="secret", cache_dir="cache")
    assert model.config.dim == 24
    (call,) = hub.calls
    assert (call["name"], call["revision"], call["token"], call["cache_dir"]) == ("user/model", "v2", "secret", "cache")
    assert call["local_files_only"] is False
    assert "model*.safetensors" in call["allow_patterns"]


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_by_environment(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    resolve("user/model")
    assert hub.calls[0]["local_files_only"] is True


def test_older_formats_are_fetched_only_where_there_is_no_safetensors(hub: FakeHub) -> None:
    resolve("user/model")
    assert len(hub.calls) == 1
    (hub.folder / "model.safetensors").rename(hub.folder / "tf_model.h5")
    resolve("user/model")
    asked = [call["allow_patterns"][1] for call in hub.calls[1:]]
    assert asked == ["model*.safetensors", "pytorch_model*.bin", "tf_model*.h5"]


def test_folders_never_ask_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    assert resolve(tmp_path) == tmp_path
    assert resolve(tmp_path, subfolder="served") == tmp_path / "served"
    with pytest.raises(ModelNotFoundError, match="no folder 'other'"):
        resolve(tmp_path, subfolder="other")
    assert not hub.calls


def test_messages_say_what_was_tried(hub: FakeHub, tmp_path: Path) -> None:
    hub.error = RuntimeError("404 not found\nlong details")
    with pytest.raises(
        ModelNotFoundError, match="no folder of that name in .*the hub and its cache gave: 404 not found$"
    ):
        resolve("user/model")
    with pytest.raises(ModelNotFoundError, match="the hub's cache in here \\(offline\\)"):
        resolve("user/model", local_files_only=True, cache_dir="here")
    calls = len(hub.calls)
    with pytest.raises(ModelNotFoundError, match=r"There is no folder .*servd; .* holds served"):
        resolve(tmp_path / "servd")
    with pytest.raises(ModelNotFoundError, match="is a file"):
        resolve(tmp_path / "served" / "config.json")
    assert len(hub.calls) == calls


def test_a_hub_that_cannot_be_reached_is_not_asked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = connect_with(monkeypatch, OSError(-2, "Name or service not known"))
    assert resolve("user/model") == hub.folder
    assert hub.calls[-1]["local_files_only"] is True
    hub.error = RuntimeError("not in the cache")
    with pytest.raises(ModelNotFoundError, match=r"the hub cannot be reached: .*: Name or service not known\.$"):
        resolve("user/model")
    assert len(tried) == 2


@pytest.mark.parametrize("reason", ["slow", "proxy"])
def test_only_the_hub_library_knows_about_slow_networks_and_proxies(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    tried = connect_with(monkeypatch, TimeoutError("timed out"))
    if reason == "proxy":
        monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy:3128"})
    resolve("user/model")
    assert hub.calls[-1]["local_files_only"] is False
    assert len(tried) == (reason == "slow")


def test_push(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Any] = {}

    class Api:
        def __init__(self, token: Any) -> None:
            calls["token"] = token

        def create_repo(self, repo_id: str, **options: Any) -> Any:
            calls["create"] = options
            return type("Url", (), {"repo_id": repo_id})

        def upload_folder(self, **options: Any) -> Any:
            calls["upload"] = options | {"files": sorted(p.name for p in Path(options["folder_path"]).iterdir())}
            return type("Commit", (), {"commit_url": "the-commit"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    model = DistilBertModel.from_pretrained("user/model")
    assert model.push_to_hub("me/mine", private=True, token="secret") == "the-commit"
    assert calls["token"] == "secret"
    assert calls["create"] == {"private": True, "exist_ok": True}
    assert calls["upload"]["files"] == ["config.json", "model.safetensors"]
    assert calls["upload"]["repo_id"] == "me/mine"
