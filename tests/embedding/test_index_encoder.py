"""The encoder of an index: used with its prompts, made again as it was, and refused where it is another one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert import Encoder, Index, InputError
from tests.behaviour.make_models import make

from .test_index import encode

TEXTS = ["a good film", "the worst book i know", "berlin is a big city in germany", "paris was not very big"]
QUERY = "is a city very big in germany"
PROMPTS = {"query": "the worst ", "document": "a good "}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path, "encoder")


def add_prompts(folder: Path, prompts: dict[str, str]) -> None:
    """Make a folder one of sentence-transformers, with prompts."""
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"))
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (folder / "1_Pooling").mkdir()
    for path, values in (
        ("modules.json", modules),
        ("1_Pooling/config.json", {"pooling_mode": "mean"}),
        ("config_sentence_transformers.json", {"prompts": prompts}),
    ):
        (folder / path).write_text(json.dumps(values))


class Recorder:
    """An object with ``encode``, as other libraries have it, that notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def encode(self, texts: list[str]) -> np.ndarray:
        self.asked.append(("text", texts))
        return encode(texts)

    def encode_query(self, texts: list[str]) -> np.ndarray:
        self.asked.append(("query", texts))
        return encode(texts)

    def encode_document(self, texts: list[str]) -> np.ndarray:
        self.asked.append(("document", texts))
        return encode(texts)


RECIPES: list[tuple[dict[str, Any], str]] = [
    (
        {"prompts": PROMPTS},
        "was made with prompts={'query': 'the worst ', 'document': 'a good '}, and this encoder has",
    ),
    ({"prompts": PROMPTS, "default_prompt_name": "query"}, "was made with prompts="),
    ({"truncation": True, "max_length": 4}, "was made with truncation=True, and this encoder has truncation=False"),
    ({"max_length": 4}, "was made with max_length=4, and this encoder has max_length=None, so it gives other vectors"),
    ({"truncate_dim": 16}, "pooling auto, 16 numbers a vector"),
    ({"pooling": "cls"}, "which gives other vectors"),
]


@pytest.mark.parametrize(("options", "message"), RECIPES, ids=[str(options) for options, _ in RECIPES])
def test_an_encoder_is_made_again_as_it_was(
    options: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    index = Index.build(TEXTS, Encoder(folder, **options))
    index.save(tmp_path / "index")
    expected = index.search(QUERY)
    assert expected != Index.build(TEXTS, folder).search(QUERY)
    assert Index.load(tmp_path / "index").search(QUERY) == expected
    assert Index.load(tmp_path / "index", folder).search(QUERY) == expected, "a name stands for the model alone"
    assert Index.load(tmp_path / "index", Encoder(folder, **options)).search(QUERY) == expected
    with pytest.raises(InputError, match=message):
        Index.load(tmp_path / "index", Encoder(folder)).search(QUERY)
    again = Index.load(tmp_path / "index")
    again.add([QUERY])
    index.add([QUERY])
    np.testing.assert_array_equal(*(np.concatenate(list(each.vectors())) for each in (again, index)))


def test_a_pooling_of_another_name_may_be_the_same(folder: Path, tmp_path: Path) -> None:
    index = Index.build(TEXTS, Encoder(folder))
    index.save(tmp_path / "index")
    assert Index.load(tmp_path / "index", Encoder(folder, pooling="mean")).search(QUERY) == index.search(QUERY)


def test_a_model_that_was_changed_in_memory_is_refused(folder: Path, tmp_path: Path) -> None:
    class Changed(Encoder):
        def encode(self, texts: Any, **options: Any) -> Any:
            return super().encode(texts, **options)[..., ::-1]

    Index.build(TEXTS, Encoder(folder)).save(tmp_path / "index")
    with pytest.raises(InputError, match="which gives other vectors"):
        Index.load(tmp_path / "index", Changed(folder)).search(QUERY)


def test_queries_and_entries_have_their_prompts(folder: Path, tmp_path: Path) -> None:
    add_prompts(folder, {"query": "the worst ", "passage": "a good "})
    index = Index.build(TEXTS, folder)
    encoder = Encoder(folder)
    np.testing.assert_allclose(next(index.vectors()), encoder.encode(TEXTS, prompt="a good "), atol=1e-6)
    query = encoder.encode(QUERY, prompt="the worst ")
    assert index.search(QUERY) == index.search([QUERY])[0] == index.search(query)
    other = Recorder()
    searched = Index.build(TEXTS, other)
    searched.search("rain")
    searched.save(tmp_path / "index")
    Index.load(tmp_path / "index", other).search("rain")
    assert {kind for kind, texts in other.asked if texts == ["rain"]} == {"query"}
    assert {kind for kind, texts in other.asked if texts != ["rain"]} == {"document"}


def test_an_index_of_an_earlier_version_goes_on_without_prompts(folder: Path, tmp_path: Path) -> None:
    add_prompts(folder, PROMPTS)
    before = Index.build(TEXTS, Encoder(folder).encode)
    expected = before.search(QUERY)
    Index.build(TEXTS, folder).save(tmp_path / "new")
    identity = json.loads((tmp_path / "new" / "index.json").read_text())["encoder"]
    before.save(tmp_path / "index")
    state = json.loads((tmp_path / "index" / "index.json").read_text())
    probe = state["encoder"]["probe"]
    state["encoder"] = {"name": identity["name"], "pooling": "auto", "hash": identity["hash"], "probe": probe}
    (tmp_path / "index" / "index.json").write_text(json.dumps(state))
    index = Index.load(tmp_path / "index")
    index.add([QUERY])
    before.add([QUERY])
    np.testing.assert_array_equal(*(np.concatenate(list(each.vectors())) for each in (index, before)))
    index.save(tmp_path / "copy")
    for encoder in (None, folder, Encoder(folder)):
        assert Index.load(tmp_path / "index", encoder).search(QUERY) == expected
        assert Index.load(tmp_path / "copy", encoder).search(QUERY) == before.search(QUERY)


def test_an_index_with_a_model_can_be_pickled(folder: Path) -> None:
    for encoder in (folder, Encoder(folder)):
        index = Index.build(TEXTS, encoder)
        assert pickle.loads(pickle.dumps(index)).search(QUERY) == index.search(QUERY)


def test_a_query_does_not_hash_the_files_of_the_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Index.build(TEXTS, Encoder(folder)).save(tmp_path / "index")

    def hash_files(files: object) -> str:
        raise AssertionError("a hash of large weights takes longer than the query")

    monkeypatch.setattr("distilbert.embedding.index_encoder.hash_files", hash_files)
    assert Index.load(tmp_path / "index").search(QUERY)[0]
