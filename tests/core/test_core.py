"""The tensor table, outputs, batches, errors and atomic files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert import DistilBertError, MissingExtraError
from distilbert.core import errors
from distilbert.core.extras import require
from distilbert.core.files import output_folder, replacing, replacing_folder, write_text
from distilbert.core.model_checks import seen_keys
from distilbert.core.outputs import MaskedLMOutput
from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS, head_of, tensor_shapes, tied
from tests.tiny import HEAD_NAMES, tiny_config, tiny_model


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_the_table_names_exactly_the_tensors_of_the_model(head: str) -> None:
    model = tiny_model(head, pruned_heads={1: [0]})
    assert {n: tuple(t.shape) for n, t in model.state_dict().items()} == tensor_shapes(model.config, HEADS[head])


def test_ties_follow_the_configuration() -> None:
    head = HEADS["ForMaskedLM"]
    assert list(tied(tiny_config(), head)) == ["vocab_projector.weight"]
    assert not tied(tiny_config(tie_word_embeddings=False), head)


def test_architectures_of_all_frameworks_name_a_head() -> None:
    assert head_of(["TFDistilBertForMaskedLM"]) is head_of(["DistilBertForMaskedLM"]) is HEADS["ForMaskedLM"]
    assert head_of(None) is None
    with pytest.raises(errors.UnsupportedArchitectureError, match="Did you mean 'DistilBertForMaskedLM'"):
        head_of(["DistilBertForMaskLM"])


def test_outputs_are_read_in_three_ways() -> None:
    output = MaskedLMOutput(logits=[1], attentions=([2],))
    assert output.logits is output["logits"] is output[0]
    assert output[:2] == output.to_tuple() == ([1], ([2],))
    assert list(output) == list(output.keys()) == ["logits", "attentions"]
    assert len(output) == 2
    assert dict(**output) == dict(output.items()) == dict(output)
    assert "loss" not in output
    assert output.get("loss", 7) == 7
    output["loss"] = 0.5
    assert output.to_tuple()[0] == 0.5
    with pytest.raises(KeyError, match="hidden_states"):
        output["hidden_states"]
    with pytest.raises(KeyError, match="no field"):
        MaskedLMOutput()["logit"] = 1


@given(st.lists(st.lists(st.integers(1, 99), max_size=9), max_size=9))
def test_batches_pack_and_pad_without_loss(sequences: list[list[int]]) -> None:
    batch = Batch.of(sequences)
    assert batch.lengths.tolist() == [len(s) for s in sequences]
    ids, mask = batch.padded(0)
    assert [row[m.astype(bool)].tolist() for row, m in zip(ids, mask, strict=True)] == sequences
    assert (ids[mask == 0] == 0).all()


def test_rows_count_from_the_start_of_the_batch() -> None:
    batch = Batch.of([[5, 6, 7], [8, 9]], rows=[[2, 0], [1]])
    assert batch.rows is not None
    assert batch.input_ids[batch.rows].tolist() == [5, 7, 9]
    assert batch.rows.dtype == np.int64


@pytest.mark.parametrize("hidden", [-np.inf, np.finfo(np.float32).min, -10_000.0])
def test_floating_masks_of_four_dimensions(hidden: float) -> None:
    keep = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])[None, None]
    np.testing.assert_array_equal(seen_keys(keep, np.any), keep == 1)
    np.testing.assert_array_equal(seen_keys(np.where(keep == 1, 0.0, hidden), np.any), keep == 1)
    assert seen_keys(np.zeros((1, 1, 2, 2)), np.any).all(), "it adds nothing"
    np.testing.assert_array_equal(seen_keys(np.array([0.5, 0.0, hidden]), np.any), [True, True, False])
    assert seen_keys(np.zeros((0, 1, 2, 2)), np.any).shape == (0, 1, 2, 2)


def test_every_error_is_a_distilbert_error_and_a_builtin_one() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, DistilBertError)]
    for each in classes:
        assert each is DistilBertError or len(each.__mro__) > len(DistilBertError.__mro__) + 1, each


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = dict(re.findall(r"[|`]-- (\w+) +\((\w+)\)", errors.__doc__ or ""))
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, DistilBertError)]
    assert drawn == {c.__name__: c.__bases__[1].__name__ for c in classes if c is not DistilBertError}


def test_a_missing_extra_is_one_sentence_with_the_install_line() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'distilbert\[torch\]'") as caught:
        require("no_such_module_here", "torch")
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]  # noqa: PTH208  (also sees hidden files)
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    with replacing_folder(folder) as new:
        (new / "a").touch()
    with replacing_folder(folder) as new:
        (new / "b").touch()
    assert [path.name for path in folder.iterdir()] == ["b"]

    def interrupted() -> None:
        with replacing_folder(folder) as new:
            (new / "c").touch()
            raise KeyboardInterrupt

    def completed() -> None:
        with replacing_folder(folder) as new:
            (new / "c").touch()

    renamed = []
    rename = Path.rename

    def fail_for_the_new_folder(self: Path, target: Path) -> Path:
        renamed.append(self.name)
        if self.name == "new":
            raise OSError("the disk is gone")
        return rename(self, target)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    monkeypatch.setattr(Path, "rename", fail_for_the_new_folder)
    with pytest.raises(OSError, match="the disk is gone"):
        completed()
    assert renamed == ["folder", "new", "old"]
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.InputError, match="is a file"):
        output_folder(tmp_path / "file")
