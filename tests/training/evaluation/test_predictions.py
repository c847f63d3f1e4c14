"""Predictions are what the task itself answers, computed here once more from the bare model."""

from __future__ import annotations

import pickle
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert import pipeline
from distilbert.core.errors import DataError, InputError
from distilbert.data.examples import Answer, ChoiceExample, QuestionExample, TaggedExample, TextExample
from distilbert.training.corpus.masking import mask_tokens
from distilbert.training.evaluation.speed import measure_speeds
from distilbert.training.evaluation.task_metrics import predict
from tests.data.corpora import CLS, MASK, SEP

from .task_cases import letters, pieces, write_model

CLASSES = {0: "v", 1: "w", 2: "x", 3: "y", 4: "z"}


def load(folder: Path, task: str, **changes: Any) -> Any:
    return pipeline(task, write_model(folder / "model", task, **changes), precision="fp32")


def logits(task: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = task.model(input_ids=torch.tensor([ids])).logits[0]
    return result


def texts(count: int, words: int = 6) -> list[TextExample]:
    generator = random.Random(3)
    return [TextExample(f"t:{n}", letters(generator, words)) for n in range(count)]


def test_text_classification_gives_probabilities_in_the_order_of_labels(tmp_path: Path) -> None:
    task = load(tmp_path, "text-classification", id2label=CLASSES)
    examples = [*texts(4), TextExample("t:9", "a b c", "d e f"), TextExample("t:10", letters(random.Random(1), 40))]
    predictions = predict(task, examples)
    assert all(prediction.shape == (5,) and prediction.dtype == np.float32 for prediction in predictions)
    ids = task.tokenizer.encode_ids(["a b c"], ["d e f"])[0]
    np.testing.assert_allclose(predictions[4], logits(task, ids).softmax(0), atol=1e-5)
    alone = task({"text": examples[-1].text}, top_k=None)  # longer than the model: windows
    assert max(alone, key=lambda prediction: prediction["score"])["label"] == CLASSES[int(predictions[-1].argmax())]
    assert pickle.loads(pickle.dumps(predictions))[0].tolist() == predictions[0].tolist()


@pytest.mark.parametrize("problem", [None, "regression"])
def test_a_regression_gives_the_number_itself(tmp_path: Path, problem: str | None) -> None:
    task = load(tmp_path, "text-classification", num_labels=1, problem_type=problem)
    predictions = predict(task, texts(3))
    for example, prediction in zip(texts(3), predictions, strict=True):
        ids = task.tokenizer.encode_ids([example.text])[0]
        np.testing.assert_allclose(prediction, logits(task, ids), atol=1e-5)
    assert any(not 0 <= float(prediction[0]) <= 1 for prediction in predictions)


def test_several_labels_are_probabilities_of_their_own(tmp_path: Path) -> None:
    task = load(tmp_path, "text-classification", problem_type="multi_label_classification")
    ids = task.tokenizer.encode_ids([texts(1)[0].text])[0]
    np.testing.assert_allclose(predict(task, texts(1))[0], logits(task, ids).sigmoid(), atol=1e-5)


def test_a_word_has_the_tag_of_its_first_token(tmp_path: Path) -> None:
    task = load(tmp_path, "token-classification", seed=2, id2label=CLASSES)
    generator = random.Random(0)
    sentences = [tuple(letters(generator, 6).split()) for _ in range(5)]
    sentences.append(("abc", "\u200b", "d"))  # the second word has no token
    predictions = predict(task, [TaggedExample(f"s:{n}", words) for n, words in enumerate(sentences)])
    unlike = 0  # words whose tokens have several tags
    for words, tags in zip(sentences, predictions, strict=True):
        ids, first = [CLS], []
        for word in words:
            own = task.tokenizer.encode_ids([word], None, False)[0]
            first.append(len(ids) if own else None)
            ids += own
        best = logits(task, [*ids, SEP]).argmax(-1)
        assert tags == tuple("O" if place is None else CLASSES[int(best[place])] for place in first)
        ends = [place for place in [*first, len(ids)] if place is not None]
        unlike += sum(len(set(best[start:end].tolist())) > 1 for start, end in pairwise(ends))
    assert unlike
    assert predictions[-1][1] == "O"


def test_a_long_sentence_has_a_tag_for_every_word(tmp_path: Path) -> None:
    task = load(tmp_path, "token-classification", seed=2, id2label=CLASSES)
    words = tuple(letters(random.Random(2), 60).split())
    (tags,) = predict(task, [TaggedExample("s:1", words)])
    assert len(tags) == 60
    assert set(tags) <= set(CLASSES.values())
    assert len(set(tags)) > 1


def test_no_answer_takes_part_only_if_an_example_has_none(tmp_path: Path) -> None:
    task = load(tmp_path, "question-answering")
    asked = [QuestionExample(f"q:{n}", str(n), "a b", f"c d e {'f ' * n}", (Answer("c", 0),)) for n in range(3)]
    predictions = predict(task, asked)
    for example, prediction in zip(asked, predictions, strict=True):
        alone = task(question=example.question, context=example.context)
        assert prediction == {"text": alone["answer"], "score": pytest.approx(alone["score"], abs=1e-6)}
    seen: list[Any] = []
    task.__class__ = type("Spy", (type(task),), {"check": lambda self, params: seen.append(params)})
    predict(task, asked)
    predict(task, [*asked, QuestionExample("q:9", "9", "a", "b c", ())])
    predict(task, [*asked, QuestionExample("q:9", "9", "a", "b c", (), labelled=False)])
    assert [params.handle_impossible_answer for params in seen] == [False, True, False]


def test_choices(tmp_path: Path) -> None:
    task = load(tmp_path, "multiple-choice")
    (prediction,) = predict(task, [ChoiceExample("c:1", "a b", "c", ("d", "e f", "g"))])
    scores = task({"context": "a b", "question": "c", "choices": ["d", "e f", "g"]})["scores"]
    np.testing.assert_allclose(prediction, scores, atol=1e-6)
    assert prediction.dtype == np.float32


def test_masks_depend_on_the_index_alone_and_cover_long_texts(tmp_path: Path) -> None:
    task = load(tmp_path, "fill-mask")
    examples = [*texts(3), TextExample("t:7", letters(random.Random(5), 40)), TextExample("t:8", "")]
    predictions = predict(task, examples)
    assert predictions == predict(task, examples)
    assert predictions[-1] == (0.0, 0, 0)
    weights = np.ones(97)
    weights[[1, 2, 3, 4]] = 0
    for index, example in enumerate(examples[:4]):
        ids = task.tokenizer.encode_ids([example.text], None, False)[0]
        masked = mask_tokens(
            np.array([ids]), weights, seed=0, first=index, mask_token_id=MASK, vocab_size=97, split=(1, 0, 0)
        )
        total, right, count = 0.0, 0, 0
        for start in range(0, len(ids), 21):
            inputs = [CLS, *masked.input_ids[0, start : start + 21].tolist(), SEP]
            likelihood = logits(task, inputs).log_softmax(-1)
            for place, true in enumerate(masked.labels[0, start : start + 21].tolist(), 1):
                if true != -100:
                    assert inputs[place] == MASK
                    total += float(likelihood[place, true])
                    right += int(likelihood[place].argmax()) == true
                    count += 1
        assert predictions[index] == (pytest.approx(total, abs=1e-3), right, count)
        assert count == -(-15 * len(ids) // 100)
    assert predictions[3][2] > 4


def test_progress_and_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load(tmp_path, "fill-mask")
    whole = predict(task, texts(5))
    monkeypatch.setattr(type(task), "chunk_size", 2)
    seen: list[tuple[int, int]] = []
    predictions = predict(task, texts(5), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert [prediction[1:] for prediction in predictions] == [prediction[1:] for prediction in whole]
    assert [prediction[0] for prediction in predictions] == pytest.approx(
        [prediction[0] for prediction in whole], abs=1e-3
    )
    assert predict(task, []) == []


def test_what_cannot_be_predicted(tmp_path: Path) -> None:
    task = load(tmp_path, "fill-mask")
    with pytest.raises(DataError, match="s:1 is a TaggedExample; this task needs a TextExample"):
        predict(task, [TaggedExample("s:1", ("a",))])
    vectors = pipeline("feature-extraction", task.model, tokenizer=pieces())
    with pytest.raises(InputError, match="'feature-extraction' cannot be evaluated"):
        predict(vectors, texts(1))


def test_speeds_count_tokens_and_leave_the_task_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilbert.training.evaluation.speed.ROUND_SECONDS", 1e9)  # all examples, however slow
    task = load(tmp_path, "text-classification")
    runner, examples = task.runner, texts(20)
    speeds = measure_speeds({"a": task, "b": task}, examples, rounds=2)
    assert task.runner is runner
    assert list(speeds) == ["a", "b"]
    speed = speeds["a"]
    assert (speed.requests, speed.examples) == (20, 20)
    assert 0 < speed.p50_ms <= speed.p90_ms <= speed.p99_ms
    tokens = sum(len(ids) for ids in task.tokenizer.encode_ids([example.text for example in examples]))
    assert speed.tokens_per_second / speed.examples_per_second == pytest.approx(tokens / 20, rel=0.02)
