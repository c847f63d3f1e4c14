"""The batches that an export is verified on, and what counts as a difference, on arrays without any runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert import AutoTokenizer, DistilBertConfig
from distilbert.core.errors import ExportError
from distilbert.exporting.verification import (
    INT8_MEAN_CHANGE,
    SENTENCES,
    ExportDifference,
    VerificationBatch,
    check_difference,
    measure_difference,
    random_batches,
    sentence_batches,
)
from tests.tiny import tiny_config

IDS = np.array([[5, 6, 7, 0, 0], [8, 9, 5, 6, 7]])
BATCH = VerificationBatch("random ids of 2 x 5", IDS, (IDS > 0).astype(np.int64))


def run(
    expected: Any, actual: Any, head: str, config: DistilBertConfig | None = None, name: str = "logits"
) -> ExportDifference:
    """Compare arrays, or dictionaries of arrays, as if a model and its export had computed them."""
    outputs = [value if isinstance(value, dict) else {name: np.float32(value)} for value in (expected, actual)]
    return measure_difference(lambda *_: outputs[0], lambda *_: outputs[1], [BATCH], config or tiny_config(head), head)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("positions", [23, 512, 3])
def test_random_ids_have_every_length_and_padding_on_both_sides(rank: int, positions: int) -> None:
    config = tiny_config(max_position_embeddings=positions)
    batches = random_batches(config, rank)
    lengths = np.concatenate([batch.attention_mask.sum(-1).ravel() for batch in batches])
    assert (lengths.min(), lengths.max()) == (1, positions)
    assert {batch.input_ids.shape[-1] for batch in batches} >= {1, 2, positions}
    assert len({batch.input_ids.shape[0] for batch in batches}) > 2
    assert all(
        batch.input_ids.ndim == rank and batch.input_ids.shape == batch.attention_mask.shape for batch in batches
    )
    assert any((batch.attention_mask[..., 0] == 0).any() for batch in batches)
    assert any((batch.attention_mask[..., -1] == 0).any() for batch in batches)
    ids = np.concatenate([batch.input_ids.ravel() for batch in batches])
    assert 0 <= ids.min() <= ids.max() < config.vocab_size
    assert [batch.name for batch in random_batches(config, rank)] == [batch.name for batch in batches]


@pytest.mark.parametrize(("rank", "pairs"), [(2, False), (2, True), (3, False)])
def test_sentences_are_tokenized_and_cut(models: Path, rank: int, pairs: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(models / "labels")
    batches = sentence_batches(tokenizer, tiny_config(max_position_embeddings=23), rank, pairs)
    assert sum(len(batch.input_ids) for batch in batches) == len(SENTENCES)
    assert all(
        batch.name.startswith("sentences") and batch.input_ids.ndim == rank and batch.input_ids.shape[-1] == 23
        for batch in batches
    )
    separators = (batches[0].input_ids == tokenizer.sep_token_id).sum(-1)
    assert separators.max() == (2 if pairs or rank == 3 else 1)


def test_padding_does_not_count() -> None:
    expected = np.zeros((2, 5, 4))
    actual = expected.copy()
    actual[0, 3:] = 9
    assert run(expected, actual, "ForTokenClassification") == ExportDifference(
        1, 8, location=run(expected, expected, "ForTokenClassification").location
    )
    actual[1, 4, 2] = 0.5
    difference = run(expected, actual, "ForTokenClassification")
    assert (difference.largest_difference, difference.changed_labels, difference.answers) == (0.5, 1, 8)
    assert difference.location == "logits[1, 4, 2] for random ids of 2 x 5"


def test_each_head_has_its_own_change() -> None:
    # As many labels as positions: the mask must not be taken for one of labels.
    expected, actual = np.zeros((2, 5)), np.zeros((2, 5))
    actual[0, 4] = np.log(3)
    difference = run(expected, actual, "ForSequenceClassification")
    assert (round(difference.largest_change, 4), round(difference.mean_change, 4)) == (
        round(3 / 7 - 1 / 5, 4),
        round((3 / 7 - 1 / 5) / 2, 4),
    )
    assert (difference.changed_labels, difference.answers) == (1, 2)
    multi_label = tiny_config("ForSequenceClassification", problem_type="multi_label_classification")
    assert run(expected, actual, "ForSequenceClassification", multi_label).largest_change == pytest.approx(
        3 / 4 - 1 / 2
    )
    regression = tiny_config("ForSequenceClassification", num_labels=1, problem_type="regression")
    assert run([[4.0], [0.5]], [[5.0], [0.5]], "ForSequenceClassification", regression).largest_change == pytest.approx(
        0.25
    )
    vectors = np.ones((2, 5, 3))
    assert run(vectors, 2 * vectors, "", name="last_hidden_state").largest_change == pytest.approx(0, abs=1e-6)
    assert run(vectors, -vectors, "", name="last_hidden_state").largest_change == pytest.approx(2)


def test_start_and_end_are_told_apart_and_labels_are_positions() -> None:
    start, end = np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32)
    start[1, 2], end[1, 4] = 7, 7
    swapped = run(
        {"start_logits": start, "end_logits": end}, {"start_logits": end, "end_logits": start}, "ForQuestionAnswering"
    )
    assert (swapped.largest_difference, swapped.changed_labels, swapped.answers) == (7, 2, 4)
    padded = start.copy()
    padded[0, 4] = 99  # a score of padding is no answer
    same = run(
        {"start_logits": start, "end_logits": end}, {"start_logits": padded, "end_logits": end}, "ForQuestionAnswering"
    )
    assert (same.largest_difference, same.largest_change, same.changed_labels) == (0, 0, 0)


def test_an_export_that_does_not_run_or_has_other_outputs_is_an_error() -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("no kernel")

    with pytest.raises(ExportError, match="does not run on random ids of 2 x 5: no kernel"):
        measure_difference(lambda *_: {}, fail, [BATCH], tiny_config(), "")
    with pytest.raises(ExportError, match=r"gives \{'logits': \(2, 4\)\}, the model \{'logits': \(2, 5\)\}"):
        run(np.zeros((2, 5)), np.zeros((2, 4)), "ForSequenceClassification")
    with pytest.raises(ExportError, match="'scores'"):
        run(np.zeros((2, 5)), {"scores": np.zeros((2, 5))}, "ForSequenceClassification")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_infinite_numbers_and_nan_never_pass(precision: str, bad: float) -> None:
    actual = np.zeros((2, 5))
    actual[1, 3] = bad
    difference = run(np.zeros((2, 5)), actual, "ForSequenceClassification")
    with pytest.raises(ExportError, match=r"not finite, at logits\[1, 3\] for random ids of 2 x 5"):
        check_difference(precision, difference, ExportDifference(1, 2))


@pytest.mark.parametrize(
    ("precision", "gap", "passes"),
    [("fp32", 9e-5, True), ("fp32", 1.2e-4, False), ("fp16", 0.05, True), ("fp16", 0.12, False), ("int8", 0.4, False)],
)
def test_limits(precision: str, gap: float, passes: bool) -> None:
    actual = np.zeros((2, 5))
    actual[:, 0] = gap
    difference = run(np.zeros((2, 5)), actual, "ForSequenceClassification")
    if passes:
        check_difference(precision, difference, None)
        return
    with pytest.raises(ExportError, match=r"logits\[0, 0\] for random ids of 2 x 5"):
        check_difference(precision, difference, None)


def test_int8_is_judged_by_sentences_where_there_are_any() -> None:
    bad = ExportDifference(1, 2, 1.0, 0.5, 2 * INT8_MEAN_CHANGE, 1)
    check_difference("int8", bad, ExportDifference(1, 2, 0.1, 0.01, 0.01))
    with pytest.raises(ExportError, match="on average"):
        check_difference("int8", ExportDifference(1, 2), bad)


def test_sums_weigh_averages_by_answers() -> None:
    total = ExportDifference(1, 1, 0.1, 0.4, 0.4, 1, location="a") + ExportDifference(
        1, 3, 0.3, 0.2, 0.2, 0, location="b"
    )
    assert (total.batches, total.answers, total.changed_labels, total.location) == (2, 4, 1, "b")
    assert (total.largest_difference, total.largest_change, total.mean_change) == (0.3, 0.4, pytest.approx(0.25))
