"""What an export is checked on, and what counts as different: on arrays made here, without any runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert import AutoTokenizer, DistilBertConfig
from distilbert.core.errors import ExportError
from distilbert.exporting.cases import SENTENCES, Case, random_cases, sentence_cases
from distilbert.exporting.comparison import COARSE, Comparison, compare, judge
from tests.tiny import tiny_config

IDS = np.array([[5, 6, 7, 0, 0], [8, 9, 5, 6, 7]])
CASE = Case("random ids of 2 x 5", IDS, (IDS > 0).astype(np.int64))


def run(want: Any, have: Any, head: str, config: DistilBertConfig | None = None, name: str = "logits") -> Comparison:
    """Compare arrays, or dictionaries of arrays, as if a model and its export had computed them."""
    outputs = [value if isinstance(value, dict) else {name: np.float32(value)} for value in (want, have)]
    return compare(lambda *_: outputs[0], lambda *_: outputs[1], [CASE], config or tiny_config(head), head)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("positions", [23, 512, 3])
def test_random_ids_have_every_length_and_padding_on_both_sides(rank: int, positions: int) -> None:
    config = tiny_config(max_position_embeddings=positions)
    cases = random_cases(config, rank)
    lengths = np.concatenate([case.attention_mask.sum(-1).ravel() for case in cases])
    assert (lengths.min(), lengths.max()) == (1, positions)
    assert {case.input_ids.shape[-1] for case in cases} >= {1, 2, positions}
    assert len({case.input_ids.shape[0] for case in cases}) > 2
    assert all(case.input_ids.ndim == rank and case.input_ids.shape == case.attention_mask.shape for case in cases)
    assert any((case.attention_mask[..., 0] == 0).any() for case in cases)
    assert any((case.attention_mask[..., -1] == 0).any() for case in cases)
    ids = np.concatenate([case.input_ids.ravel() for case in cases])
    assert 0 <= ids.min() <= ids.max() < config.vocab_size
    assert [case.name for case in random_cases(config, rank)] == [case.name for case in cases]


@pytest.mark.parametrize(("rank", "pairs"), [(2, False), (2, True), (3, False)])
def test_sentences_are_tokenized_and_cut(models: Path, rank: int, pairs: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(models / "labels")
    cases = sentence_cases(tokenizer, tiny_config(max_position_embeddings=23), rank, pairs)
    assert sum(len(case.input_ids) for case in cases) == len(SENTENCES)
    assert all(case.text and case.input_ids.ndim == rank and case.input_ids.shape[-1] == 23 for case in cases)
    separators = (cases[0].input_ids == tokenizer.sep_token_id).sum(-1)
    assert separators.max() == (2 if pairs or rank == 3 else 1)


def test_padding_does_not_count() -> None:
    want = np.zeros((2, 5, 4))
    have = want.copy()
    have[0, 3:] = 9
    assert run(want, have, "ForTokenClassification") == Comparison(
        1, 8, place=run(want, want, "ForTokenClassification").place
    )
    have[1, 4, 2] = 0.5
    found = run(want, have, "ForTokenClassification")
    assert (found.difference, found.labels, found.answers) == (0.5, 1, 8)
    assert found.place == "logits[1, 4, 2] for random ids of 2 x 5"


def test_each_head_has_its_own_change() -> None:
    # As many labels as positions: the mask must not be taken for one of labels.
    want, have = np.zeros((2, 5)), np.zeros((2, 5))
    have[0, 4] = np.log(3)
    found = run(want, have, "ForSequenceClassification")
    assert (round(found.change, 4), round(found.mean_change, 4)) == (
        round(3 / 7 - 1 / 5, 4),
        round((3 / 7 - 1 / 5) / 2, 4),
    )
    assert (found.labels, found.answers) == (1, 2)
    several = tiny_config("ForSequenceClassification", problem_type="multi_label_classification")
    assert run(want, have, "ForSequenceClassification", several).change == pytest.approx(3 / 4 - 1 / 2)
    value = tiny_config("ForSequenceClassification", num_labels=1, problem_type="regression")
    assert run([[4.0], [0.5]], [[5.0], [0.5]], "ForSequenceClassification", value).change == pytest.approx(0.25)
    vectors = np.ones((2, 5, 3))
    assert run(vectors, 2 * vectors, "", name="last_hidden_state").change == pytest.approx(0, abs=1e-6)
    assert run(vectors, -vectors, "", name="last_hidden_state").change == pytest.approx(2)


def test_start_and_end_are_told_apart_and_labels_are_positions() -> None:
    start, end = np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32)
    start[1, 2], end[1, 4] = 7, 7
    swapped = run(
        {"start_logits": start, "end_logits": end}, {"start_logits": end, "end_logits": start}, "ForQuestionAnswering"
    )
    assert (swapped.difference, swapped.labels, swapped.answers) == (7, 2, 4)
    padded = start.copy()
    padded[0, 4] = 99  # a score of padding is no answer
    same = run(
        {"start_logits": start, "end_logits": end}, {"start_logits": padded, "end_logits": end}, "ForQuestionAnswering"
    )
    assert (same.difference, same.change, same.labels) == (0, 0, 0)


def test_an_export_that_does_not_run_or_has_other_outputs_is_an_error() -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("no kernel")

    with pytest.raises(ExportError, match="does not run on random ids of 2 x 5: no kernel"):
        compare(lambda *_: {}, fail, [CASE], tiny_config(), "")
    with pytest.raises(ExportError, match=r"gives \{'logits': \(2, 4\)\}, the model \{'logits': \(2, 5\)\}"):
        run(np.zeros((2, 5)), np.zeros((2, 4)), "ForSequenceClassification")
    with pytest.raises(ExportError, match="'scores'"):
        run(np.zeros((2, 5)), {"scores": np.zeros((2, 5))}, "ForSequenceClassification")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_numbers_that_are_none_never_pass(precision: str, bad: float) -> None:
    have = np.zeros((2, 5))
    have[1, 3] = bad
    found = run(np.zeros((2, 5)), have, "ForSequenceClassification")
    with pytest.raises(ExportError, match=r"not finite, at logits\[1, 3\] for random ids of 2 x 5"):
        judge(precision, found, Comparison(1, 2))


@pytest.mark.parametrize(
    ("precision", "gap", "passes"),
    [("fp32", 9e-5, True), ("fp32", 1.2e-4, False), ("fp16", 0.05, True), ("fp16", 0.12, False), ("int8", 0.4, False)],
)
def test_limits(precision: str, gap: float, passes: bool) -> None:
    have = np.zeros((2, 5))
    have[:, 0] = gap
    found = run(np.zeros((2, 5)), have, "ForSequenceClassification")
    if passes:
        judge(precision, found, None)
        return
    with pytest.raises(ExportError, match=r"logits\[0, 0\] for random ids of 2 x 5"):
        judge(precision, found, None)


def test_int8_is_judged_by_sentences_where_there_are_any() -> None:
    bad = Comparison(1, 2, 1.0, 0.5, 2 * COARSE, 1)
    judge("int8", bad, Comparison(1, 2, 0.1, 0.01, 0.01))
    with pytest.raises(ExportError, match="on average"):
        judge("int8", Comparison(1, 2), bad)


def test_sums_weigh_averages_by_answers() -> None:
    total = Comparison(1, 1, 0.1, 0.4, 0.4, 1, place="a") + Comparison(1, 3, 0.3, 0.2, 0.2, 0, place="b")
    assert (total.batches, total.answers, total.labels, total.place) == (2, 4, 1, "b")
    assert (total.difference, total.change, total.mean_change) == (0.3, 0.4, pytest.approx(0.25))
