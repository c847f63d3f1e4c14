"""What stands beside the weights of a model: all writers of folders take it along, and none leaves that of another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from safetensors.numpy import save_file

from distilbert import AutoModel, Encoder, InputError, convert, package, pipeline
from distilbert.core.companions import companions_of, sentence_files
from distilbert.exporting import exporter
from distilbert.training.evaluation.quantizer import quantize
from tests.any_cpu import allow_int8
from tests.behaviour.make_models import VOCABULARY, make

TEXTS = ["a good film", "THE worst book i know of in berlin and in paris", "b"]
KINDS = (("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize"))


def write_sentence_model(folder: Path, encoder: str = "") -> Path:
    """Write a model of sentence-transformers; ``encoder`` names the folder of its encoder, as until 2021."""
    shutil.move(make(folder.parent / "made", "encoder"), folder / encoder)
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in KINDS]
    for path, values in (
        ("modules.json", [{"path": encoder, "type": "sentence_transformers.models.Transformer"}, *modules]),
        ("config_sentence_transformers.json", {"prompts": {"query": "ask: "}, "similarity_fn_name": "dot"}),
        (f"{encoder}/sentence_bert_config.json".lstrip("/"), {"max_seq_length": 8, "do_lower_case": True}),
        (f"{encoder}/additional_chat_templates/other.jinja".lstrip("/"), "{{ messages }}"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}),
        ("2_Dense/config.json", {"in_features": 24, "out_features": 7, "activation_function": "torch.nn.Tanh"}),
        ("LICENSE", "Do what you like."),
        ("README.md", "# A model"),
    ):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(values if isinstance(values, str) else json.dumps(values))
    weight = np.random.default_rng(0).standard_normal((7, 24)).astype(np.float32)
    save_file({"linear.weight": weight, "linear.bias": np.ones(7, np.float32)}, folder / "2_Dense/model.safetensors")
    return folder


def assert_same_vectors(folder: Path, expected: Path) -> None:
    encoder, other = Encoder(folder, precision="fp32"), Encoder(expected, precision="fp32")
    np.testing.assert_allclose(encoder.encode(TEXTS), other.encode(TEXTS), atol=2e-5)
    for name in ("dimension", "max_tokens", "prompts", "similarity_name"):
        assert getattr(encoder, name) == getattr(other, name)


def write_pairs(folder: Path) -> Path:
    """Write pairs of texts and how similar they are, to calibrate and to measure with."""
    texts = [" ".join(VOCABULARY[start : start + 3]) for start in range(60, 160)]
    rows = [f"{text}\t{text}\t5" for text in texts[::2]] + [f"{text}\t{TEXTS[0]}\t0" for text in texts[1::2]]
    path = folder / "pairs.tsv"
    path.write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    return path


def exported(source: Path, target: Path, **options: Any) -> None:
    """Export without a runtime: the model stands in for the file that would be written."""

    def write_file(target: Any, model: Any, path: Path, *_: Any) -> None:
        path.parent.mkdir()
        path.write_text("")
        models.append(model)

    models: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "write_file", write_file)
        patch.setattr(exporter, "open_file", lambda *_: exporter.model_function(models[-1]))
        exporter.export(source, target, **options)


def packaged(source: Path, target: Path) -> None:
    wheel = package(source, name="a-model", output=target.parent / "dist", dtype="keep")
    with ZipFile(wheel) as archive:
        archive.extractall(target.parent / "site")
    shutil.move(target.parent / "site" / "a_model" / "model", target)


def quantized(source: Path, target: Path) -> None:
    pairs = write_pairs(target.parent)
    quantize(source, calibration=pairs, metric_data=pairs, output=target, task="sentence-similarity", max_drop=90)


def saved(source: Path, target: Path) -> None:
    pipeline("feature-extraction", source).save_pretrained(target)


WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "convert": convert,
    "export": exported,
    "package": packaged,
    "quantize": quantized,
    "save_pretrained": saved,
}


@pytest.mark.parametrize("encoder", ["", "0_DistilBERT"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_written_model_gives_the_vectors_of_its_source(
    writer: str, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_int8(monkeypatch)
    source = write_sentence_model(tmp_path / "source", encoder)
    WRITERS[writer](source, tmp_path / "out")
    if writer == "export":
        shutil.copyfile(source / encoder / "model.safetensors", tmp_path / "out" / "model.safetensors")
    assert_same_vectors(tmp_path / "out", source)
    names = companions_of(tmp_path / "out").keys()
    assert json.loads((tmp_path / "out" / "modules.json").read_text())[0]["path"] == ""
    assert "additional_chat_templates/other.jinja" in names
    assert ("LICENSE" in names) == (writer != "save_pretrained")  # which writes into a folder of the user's


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write_earlier_model(folder: Path, encoder: str = "") -> Path:
    """Write a model of sentence-transformers with all that may be beside it, and a file of its user."""
    write_sentence_model(folder, encoder)
    tokens = f"{encoder}/added_tokens.json".lstrip("/")
    for name in ("quantization.safetensors", "packed/encoder-int8.packed", tokens, "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("has_tokenizer", [True, False])
@pytest.mark.parametrize("encoder", ["", "0_DistilBERT"])
def test_convert_leaves_nothing_of_the_model_that_it_overwrites(
    encoder: str, has_tokenizer: bool, tmp_path: Path
) -> None:
    source = make(tmp_path, "encoder")
    if not has_tokenizer:
        for name in ("vocab.txt", "tokenizer_config.json"):
            (source / name).unlink()
    folder = write_earlier_model(tmp_path / "earlier", encoder)
    with pytest.raises(InputError, match="already holds a model"):
        convert(source, folder)
    made = convert(source, folder, overwrite=True)
    assert set(made.files) == set(convert(source, tmp_path / "new").files)
    kept = {"README.md", "LICENSE", "notes.txt"}  # which somebody may have written
    assert {name for name in files(folder) if not name.startswith("0_")} == {*made.files, *kept}
    assert (folder / "1_Pooling").exists() is False
    if has_tokenizer:
        assert_same_vectors(folder, source)


def test_a_task_leaves_no_modules_of_the_model_that_it_overwrites(tmp_path: Path) -> None:
    source, folder = make(tmp_path, "encoder"), write_earlier_model(tmp_path / "earlier")
    task = pipeline("feature-extraction", source)
    task.save_pretrained(tmp_path / "new")
    task.save_pretrained(folder)
    assert files(folder) == {*files(tmp_path / "new"), "README.md", "LICENSE", "notes.txt"}
    assert_same_vectors(folder, source)


def test_a_model_alone_takes_away_what_was_computed_from_the_earlier_weights(tmp_path: Path) -> None:
    """The rest stays: tokenizer and modules may have been written a moment before."""
    folder = write_earlier_model(tmp_path / "earlier")
    before = files(folder)
    AutoModel.from_pretrained(make(tmp_path, "encoder")).save_pretrained(folder)
    assert files(folder) == before - {"quantization.safetensors", "packed/encoder-int8.packed"}
    assert not (folder / "packed").exists()


def test_an_export_of_other_weights_replaces_all_that_came_with_the_earlier_one(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    exported(write_sentence_model(tmp_path / "source"), folder)
    (folder / "notes.txt").write_text("")
    other = make(tmp_path, "masked-lm")
    for name in ("vocab.txt", "tokenizer_config.json"):
        (other / name).unlink()
    exported(other, folder, overwrite=True)
    assert files(folder) == {"config.json", "export.json", "onnx/model.onnx", "notes.txt"}


def test_an_export_of_other_weights_into_a_model_with_exports_is_refused(tmp_path: Path) -> None:
    model = write_sentence_model(tmp_path / "model")
    exported(model, model)
    before = {name: (model / name).read_bytes() for name in files(model)}
    with pytest.raises(InputError, match="holds a model already"):
        exported(make(tmp_path, "masked-lm"), model, overwrite=True)
    assert {name: (model / name).read_bytes() for name in files(model)} == before


@pytest.mark.parametrize("encoder", ["", "0_DistilBERT"])
def test_a_model_that_is_written_into_its_own_folder_keeps_its_vectors(encoder: str, tmp_path: Path) -> None:
    source = write_sentence_model(tmp_path / "source", encoder)
    own = shutil.copytree(source, tmp_path / "own")
    before = files(own)
    exported(own, own)
    convert(own, own, to="pytorch_model.bin", overwrite=True)
    assert {Path(name).name for name in files(own) - before} >= {"export.json", "model.onnx", "pytorch_model.bin"}
    assert_same_vectors(own, source)
    pipeline("feature-extraction", own).save_pretrained(own)
    assert before <= files(own)
    assert_same_vectors(own, source)


def test_modules_that_cannot_be_read_stop_no_writer(tmp_path: Path) -> None:
    """They are copied as they are; what makes vectors of them says what is wrong."""
    folder = make(tmp_path, "encoder")
    for content in ("{", "[1]", '{"path": ""}', '[{"path": 1}, {"path": ".."}, {}]'):
        (folder / "modules.json").write_text(content)
        convert(folder, tmp_path / "out", overwrite=True)
        assert sentence_files(tmp_path / "out") == {"modules.json": tmp_path / "out" / "modules.json"}


@pytest.mark.parametrize("name", ["1_Pooling/config.json", "additional_chat_templates/other.jinja"])
def test_a_link_out_of_a_folder_in_the_model_is_not_packaged(name: str, tmp_path: Path) -> None:
    folder = write_sentence_model(tmp_path / "model")
    secret = (folder / name).rename(tmp_path / "secret")
    (folder / name).symlink_to(secret)
    with pytest.raises(InputError, match=rf"{name} is a link to .*secret, outside the model's folder"):
        package(folder, output=tmp_path / "dist")
