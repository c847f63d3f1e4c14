"""Inputs longer than the model (64 tokens): everything is read, nothing crashes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distilbert.core.errors import InputError
from distilbert.core.runner_protocol import Batch
from distilbert.tasks.scores import softmax
from distilbert.tasks.windows import add_special
from tests.behaviour.cases import LONG

from .inputs import close

VERY_LONG = " ".join([LONG] * 8)


def test_classification_mean_max_first(make_task: Any) -> None:
    task = make_task("text-classification", "labels", top_k=None, stride=10)
    ids = task.tokenizer.encode_ids([LONG], None, False)[0]
    windows = [add_special(task.tokenizer, ids[start : start + 62]) for start in range(0, len(ids) - 10, 52)]
    assert len(windows) > 1
    weights = [len(window) for window in windows]
    scores = softmax(task.runner(Batch.of(windows))["logits"])  # (windows, labels)
    for aggregation, join in (
        ("mean", lambda values: float(np.average(values, weights=weights))),
        ("max", max),
        ("first", lambda values: values[0]),
    ):
        for row in task(LONG, top_k=None, aggregation=aggregation):
            expected = join(list(scores[:, task.config.label2id[row["label"]]]))
            assert row["score"] == pytest.approx(expected, abs=1e-5), aggregation


def test_first_window_equals_truncation(make_task: Any) -> None:
    task = make_task("text-classification", "labels", top_k=None)
    assert close(task(VERY_LONG, aggregation="first"), task(VERY_LONG, truncation=True))


def test_long_pairs(make_task: Any) -> None:
    task = make_task("text-classification", "labels")
    for pair in ((VERY_LONG, "short"), ("short", VERY_LONG), (VERY_LONG, VERY_LONG)):
        assert task({"text": pair[0], "text_pair": pair[1]})["score"] > 0


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_entities_all_over_a_long_text(make_task: Any, strategy: str, side: str) -> None:
    task = make_task("token-classification", "entities", aggregation_strategy=strategy, ignore_labels=[])
    task.tokenizer.truncation_side = side
    entities = task(VERY_LONG)
    assert entities[-1]["end"] == len(VERY_LONG)
    starts = [entity["start"] for entity in entities]
    assert starts == sorted(set(starts))
    if strategy == "none":
        encoding = task.tokenizer.encode_batch([VERY_LONG])[0]
        assert [entity["index"] for entity in entities] == list(range(1, len(encoding.ids) - 1))
        assert [entity["word"] for entity in entities] == encoding.tokens[1:-1]
        assert [(entity["start"], entity["end"]) for entity in entities] == encoding.offsets[1:-1]


def test_answer_at_the_end_of_a_long_context(make_task: Any) -> None:
    task = make_task("question-answering", "answers", top_k=400, max_answer_len=2)
    answers = task(question="Who?", context=VERY_LONG + " Obama")
    assert any(answer["answer"] == "Obama" for answer in answers)
    for answer in answers:
        assert (VERY_LONG + " Obama")[answer["start"] : answer["end"]] == answer["answer"]


def test_question_longer_than_the_window(make_task: Any) -> None:
    task = make_task("question-answering", "answers")
    assert task(question=VERY_LONG, context=VERY_LONG)["answer"]
    assert task(question="Who?", context="Mary " * 200, max_seq_len=5)["answer"]
    short = task(question=LONG, context="Mary loves music", max_question_len=3)
    assert short == task(question="The president of", context="Mary loves music")


def test_questions_of_the_caller_are_left_alone(make_task: Any) -> None:
    question = [VERY_LONG]
    make_task("question-answering", "answers")(question=question, context="Mary")
    assert question == [VERY_LONG]


def test_masks_anywhere_in_a_long_text(make_task: Any) -> None:
    task = make_task("fill-mask", "masked-lm")
    for text in (f"[MASK] {VERY_LONG}", f"{VERY_LONG} [MASK]", f"{VERY_LONG} [MASK] {VERY_LONG}"):
        proposals = task(text)
        assert len(proposals) == 5
        assert len(proposals[0]["sequence"]) > 1000
    both = task(f"[MASK] {VERY_LONG} [MASK] {VERY_LONG}")
    assert [len(each) for each in both] == [5, 5]
    assert len(task(f"[MASK] {VERY_LONG} [MASK]", joint=True)[0]["token"]) == 2


def test_mask_is_filled_in_the_part_around_it(make_task: Any) -> None:
    task = make_task("fill-mask", "masked-lm")
    ids = task.tokenizer.encode_ids([f"{LONG} [MASK] {LONG}"])[0]
    mask = ids.index(task.tokenizer.mask_token_id)
    sequence, row = task.cut_around(ids, mask)
    assert len(sequence) == 64
    assert sequence[1:-1] == ids[mask - 31 : mask + 31]
    assert sequence[row] == task.tokenizer.mask_token_id
    for place in range(1, len(ids) - 1):
        sequence, row = task.cut_around(ids, place)
        assert len(sequence) == 64
        assert sequence[row] == ids[place]


def test_features_of_every_token(make_task: Any) -> None:
    task = make_task("feature-extraction", "encoder", return_tensors="np")
    count = len(task.tokenizer.encode_ids([VERY_LONG])[0])
    for stride in (None, 0, 1, 7, 40):
        assert task(VERY_LONG, stride=stride).shape == (1, count, 24)
    assert task(VERY_LONG, pooling="mean").shape == (24,)
    assert task(VERY_LONG, pooling="cls").shape == (24,)
    assert task(VERY_LONG, truncation=True).shape == (1, 64, 24)


def test_zero_shot_and_multiple_choice_cut_what_is_too_long(make_task: Any) -> None:
    zero_shot = make_task("zero-shot-classification", "nli")
    assert len(zero_shot([VERY_LONG], candidate_labels=[LONG, "x"])[0]["scores"]) == 2
    choice = make_task("multiple-choice", "choices")
    assert choice({"context": VERY_LONG, "question": LONG, "choices": [LONG, "x"]})["index"] in (0, 1)


def test_stride_too_long(make_task: Any) -> None:
    for name, model in (("text-classification", "labels"), ("token-classification", "entities")):
        with pytest.raises(InputError, match="stride=62"):
            make_task(name, model)(LONG, stride=62)
        assert make_task(name, model)(LONG, stride=61)


WHOLE = "the film " * 40 + "was very bad in paris"
PAIR = {"text": WHOLE, "text_pair": "one two three " * 20 + "in berlin"}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("name", "model", "params", "item", "texts", "options"),
    [
        ("text-classification", "labels", {"truncation": True, "max_length": 20}, WHOLE, (WHOLE,), {"max_length": 20}),
        ("text-classification", "labels", {"truncation": True}, PAIR, tuple(PAIR.values()), {}),
        (
            "text-classification",
            "labels",
            {"truncation": "only_second"},
            {"text": "a dog", "text_pair": WHOLE},
            ("a dog", WHOLE),
            {"truncation": "only_second"},
        ),
        ("feature-extraction", "encoder", {"truncation": True}, WHOLE, (WHOLE,), {}),
        ("fill-mask", "masked-lm", {"truncation": True}, f"[MASK] {WHOLE} [MASK]", (f"[MASK] {WHOLE} [MASK]",), {}),
        ("zero-shot-classification", "encoder", {"candidate_labels": "sea"}, WHOLE, (WHOLE,), {}),
        (
            "zero-shot-classification",
            "nli",
            {"candidate_labels": "sea", "hypothesis_template": "about {}"},
            WHOLE,
            (WHOLE, "about sea"),
            {"truncation": "only_first"},
        ),
        (
            "multiple-choice",
            "choices",
            {},
            {"context": WHOLE, "choices": ["the sea", "rain"]},
            (WHOLE, "the sea"),
            {"truncation": "only_first"},
        ),
    ],
)
def test_texts_are_cut_as_the_tokenizer_cuts_them(
    make_task: Any, side: str, name: str, model: str, params: Any, item: Any, texts: Any, options: Any
) -> None:
    task = make_task(name, model, **params)
    task.tokenizer.truncation_side = side
    expected = task.tokenizer(*texts, **{"truncation": True} | options)["input_ids"]
    assert len(expected) == options.get("max_length", 64)
    (encoded,) = task.encode([task.parse(item, "", task.params)], task.params)
    assert encoded.sequences[0] == expected


def test_windows_hold_a_pair_whose_shorter_text_is_cut_as_the_tokenizer_cuts_it(make_task: Any) -> None:
    task = make_task("text-classification", "labels")
    task.tokenizer.truncation_side = "left"
    (encoded,) = task.encode([(WHOLE, PAIR["text_pair"])], task.params)
    second = task.tokenizer.encode_ids([PAIR["text_pair"]], None, False)[0]
    assert len(encoded.sequences) > 1
    assert all(sequence[-31:-1] == second[-30:] for sequence in encoded.sequences)
