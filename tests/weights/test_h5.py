"""``tf_model.h5``: as transformers 4.57.6 wrote it, round trips, names checked by hand, and broken files."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest

from distilbert import InputError, MissingExtraError, UnsupportedArchitectureError, WeightsError
from distilbert.core.schema import HEADS
from distilbert.weights import h5
from distilbert.weights.folder import open_tensors, save_as
from distilbert.weights.h5 import open_h5, save_h5
from tests.tiny import HEAD_NAMES
from tests.weights.formats import (
    BERTS,
    DISTILBERTS,
    arrays_of,
    assert_outputs_equal,
    assert_same,
    expected,
    read,
    unpack,
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("tf", tmp_path_factory.mktemp("tf"))


@pytest.mark.parametrize("case", [*DISTILBERTS, "DistilBertForMaskedLM-shards"])
def test_the_reference_s_files_give_its_weights_and_outputs(recorded: Path, case: str) -> None:
    tensors = open_tensors(recorded / case)
    for name, array in expected(recorded / case, "weight").items():
        np.testing.assert_array_equal(tensors[f"distilbert.{name}"].read(), array)
    assert_outputs_equal(recorded / case)


@pytest.mark.parametrize("case", BERTS)
def test_a_bert_of_the_reference_is_read_as_its_twin(recorded: Path, case: str) -> None:
    assert_outputs_equal(recorded / case, logits="prediction_logits" if "PreTraining" in case else "logits")


@pytest.mark.parametrize("case", DISTILBERTS)
def test_a_file_of_the_reference_is_written_as_it_was(recorded: Path, tmp_path: Path, case: str) -> None:
    """Same groups, data and lists in the same order; only the numbers of the dropout layers depend on its process."""

    def content(path: Path) -> list[object]:
        found: list[object] = []
        with h5py.File(path) as file:
            items = [("", file)]
            file.visititems(lambda name, item: items.append((name, item)))
            for name, item in sorted(items, key=lambda entry: entry[0]):
                if name.startswith("dropout_"):
                    name = "dropout"
                attributes = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
                layers = [
                    entry.partition("_")[0] if "dropout" in entry else entry
                    for entry in attributes.get("layer_names", [])
                ]
                attributes |= {"layer_names": sorted(layers)} if layers else {}
                found.append((name, attributes, item[()].tolist() if isinstance(item, h5py.Dataset) else None))
        return found

    head = HEADS[case.removeprefix("DistilBert").removesuffix("Model")]
    tensors = read(recorded / case)
    arrays = {name if head.name else name.removeprefix("distilbert."): array for name, array in tensors.items()}
    order = [name for name in arrays_of(head.name) if name in arrays]
    save_h5(tmp_path / "tf_model.h5", {name: arrays[name] for name in order}, head)
    assert len(order) == len(arrays)
    linked = case == "DistilBertForMaskedLM"  # a second name of the same data is visited once
    theirs = [entry for entry in content(recorded / case / "tf_model.h5") if not (linked and _second_name(entry))]
    assert content(tmp_path / "tf_model.h5") == theirs


def _second_name(entry: object) -> bool:
    return str(entry[0]).startswith("vocab_projector/tf_distil_bert_for_masked_lm/distilbert/") and entry[2] is not None  # type: ignore[index]


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_round_trip(tmp_path: Path, head: str) -> None:
    arrays = arrays_of(head)
    assert save_as(tmp_path, arrays, "tf_model.h5", HEADS[head]) == [tmp_path / "tf_model.h5"]
    prefix = "" if head else "distilbert."  # a file of the encoder alone carries it
    assert_same(read(tmp_path), {prefix + name: array for name, array in arrays.items()})
    assert [path.name for path in tmp_path.iterdir()] == ["tf_model.h5"], "no temporary file is left"


def test_names_by_hand(tmp_path: Path) -> None:
    arrays = arrays_of("ForMaskedLM")
    save_h5(tmp_path / "x.h5", arrays, HEADS["ForMaskedLM"])
    with h5py.File(tmp_path / "x.h5") as file:
        assert list(file.attrs["layer_names"]) == [
            "distilbert", "vocab_transform", "vocab_layer_norm", "vocab_projector",
        ]  # fmt: skip
        assert (file.attrs["backend"], file.attrs["keras_version"]) == ("tensorflow", "2.19.0")
        model = file["distilbert/tf_distil_bert_for_masked_lm/distilbert"]
        lin1 = model["transformer/layer_._1/ffn/lin1/kernel:0"]
        assert lin1.shape == (24, 40)
        np.testing.assert_array_equal(lin1[()].T, arrays["distilbert.transformer.layer.1.ffn.lin1.weight"])
        words = model["embeddings/word_embeddings/weight:0"]
        np.testing.assert_array_equal(words[()], arrays["distilbert.embeddings.word_embeddings.weight"])
        assert model["embeddings/position_embeddings/embeddings:0"].shape == (23, 24)
        gamma = file["vocab_layer_norm/tf_distil_bert_for_masked_lm/vocab_layer_norm/gamma:0"]
        np.testing.assert_array_equal(gamma[()], arrays["vocab_layer_norm.weight"])
        second = "vocab_projector/tf_distil_bert_for_masked_lm/distilbert/embeddings/word_embeddings/weight:0"
        assert file[second] == words, "the tied weights stand in the file once, under two names"
        assert file["vocab_projector"].attrs["weight_names"][0] == "tf_distil_bert_for_masked_lm/vocab_projector/bias:0"


def test_dropout_is_numbered_as_in_a_fresh_process(tmp_path: Path) -> None:
    save_h5(tmp_path / "x.h5", arrays_of("ForTokenClassification", n_layers=6), HEADS["ForTokenClassification"])
    with h5py.File(tmp_path / "x.h5") as file:
        assert list(file.attrs["layer_names"]) == ["distilbert", "classifier", "dropout_19"]


def test_a_long_list_of_names_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h5, "ATTRIBUTE_LIMIT", 1000)
    arrays = arrays_of("ForMaskedLM")
    save_as(tmp_path, arrays, "tf_model.h5", HEADS["ForMaskedLM"])
    with h5py.File(tmp_path / "tf_model.h5") as file:
        parts = [value for name, value in file["distilbert"].attrs.items() if name.startswith("weight_names")]
        assert len(parts) > 1
        assert all(part.nbytes <= 1000 for part in parts)
        assert sum(map(len, parts)) == 4 + 16 * 2
    assert_same(read(tmp_path), arrays)


def test_half_precision_stays_and_bfloat16_is_widened(tmp_path: Path) -> None:
    half = arrays_of("ForMaskedLM", dtype=np.float16)
    save_as(tmp_path, half, "tf_model.h5", HEADS["ForMaskedLM"])
    assert_same(read(tmp_path), half)
    brain = arrays_of("ForMaskedLM", dtype=ml_dtypes.bfloat16)
    save_as(tmp_path, brain, "tf_model.h5", HEADS["ForMaskedLM"])
    assert_same(read(tmp_path), {name: array.astype(np.float32) for name, array in brain.items()})


def test_an_untied_projection_has_no_place(tmp_path: Path) -> None:
    arrays = arrays_of("ForMaskedLM", tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"cannot hold a vocab_projector\.weight.*tie_word_embeddings=True"):
        save_as(tmp_path, arrays, "tf_model.h5", HEADS["ForMaskedLM"])
    assert not list(tmp_path.iterdir())


def test_only_the_header_is_read_at_first(tmp_path: Path) -> None:
    save_as(tmp_path, arrays_of(""), "tf_model.h5", HEADS[""])
    tensors = open_tensors(tmp_path)
    (tmp_path / "tf_model.h5").unlink()
    with pytest.raises(WeightsError, match=r"tf_model\.h5 is truncated, corrupt or no HDF5 file"):
        tensors["distilbert.embeddings.LayerNorm.weight"].read()


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "tf_model.h5"
    save_h5(path, arrays_of(""), HEADS[""])
    whole = path.read_bytes()
    for length in [*range(0, 100, 7), *range(100, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"tf_model\.h5 is truncated, corrupt or no HDF5 file"):
            open_tensors(tmp_path)


def test_other_hdf5_files(tmp_path: Path) -> None:
    path = tmp_path / "tf_model.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones(3)
    with pytest.raises(WeightsError, match="not weights as transformers wrote them.*holds layers"):
        open_h5([path])
    with h5py.File(path, "a") as file:
        file.attrs["layer_names"] = [b"roberta"]
        file["roberta/tf_roberta_model/roberta/encoder/x:0"] = np.ones(3)
        file.attrs["keras_version"] = b"2.19.0"
        del file["layers"]
    with pytest.raises(
        UnsupportedArchitectureError, match=r"tf_model\.h5 holds roberta, which is neither a DistilBERT"
    ):
        open_h5([path])
    with h5py.File(path, "a") as file:
        file["distilbert/m/distilbert/x:0"] = "text"
    with pytest.raises(WeightsError, match="no file of plain weights: distilbert/m/distilbert/x:0 is object"):
        open_h5([path])


def test_weights_that_lie_in_another_file_are_not_read(tmp_path: Path) -> None:
    path, other = tmp_path / "tf_model.h5", tmp_path / "other"
    other.write_bytes(bytes(40))
    for kind in ("external", "virtual", "link"):
        save_h5(path, arrays_of(""), HEADS[""])
        with h5py.File(path, "a") as file:
            group = file["distilbert/tf_distil_bert_model/distilbert/embeddings/LayerNorm"]
            del group["beta:0"]
            if kind == "external":
                group.create_dataset("beta:0", (10,), "f4", external=[(str(other), 0, 40)])
            elif kind == "virtual":
                layout = h5py.VirtualLayout((10,), "f4")
                layout[:] = h5py.VirtualSource(str(other), "x", (10,))
                group.create_virtual_dataset("beta:0", layout)
            else:
                group["beta:0"] = h5py.ExternalLink(str(other), "x")
        if kind == "link":
            assert "distilbert.embeddings.LayerNorm.bias" not in open_h5([path])
        else:
            with pytest.raises(WeightsError, match="lies in another file"):
                open_h5([path])


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_as(tmp_path, arrays_of(""), "tf_model.h5", HEADS[""])
    monkeypatch.setitem(sys.modules, "h5py", None)
    for call in (lambda: open_tensors(tmp_path), lambda: save_as(tmp_path, arrays_of(""), "tf_model.h5", HEADS[""])):
        with pytest.raises(MissingExtraError, match=r"'h5py'.*pip install 'distilbert\[keras\]'"):
            call()


def test_order_of_arrays_does_not_matter_for_reading(tmp_path: Path) -> None:
    arrays = list(arrays_of("ForQuestionAnswering").items())
    random.Random(0).shuffle(arrays)
    save_as(tmp_path, dict(arrays), "tf_model.h5", HEADS["ForQuestionAnswering"])
    assert_same(read(tmp_path), dict(arrays))
