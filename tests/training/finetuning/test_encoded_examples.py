"""Encoded examples: the same sequences as when tasks answer, with targets at the right tokens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert import DistilBertConfig
from distilbert.core.errors import DataError, InputError
from distilbert.core.model_checks import IGNORED
from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS
from distilbert.data.examples import (
    MULTI,
    REGRESSION,
    SINGLE,
    Answer,
    ChoiceExample,
    Example,
    Labels,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from distilbert.tasks import TASKS, task_class
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer
from distilbert.training.finetuning import encoded_examples as module
from distilbert.training.finetuning.encoded_examples import encode_examples
from distilbert.training.finetuning.finetune_tasks import EncodedExample
from tests.behaviour.cases import CONTEXTS, LONG, TEXTS
from tests.behaviour.make_models import VOCABULARY
from tests.data.labelled_files import CHOICE, MASK, QA, TAGS, TEXT
from tests.text.strategies import texts, words

FAST = DistilBertTokenizerFast(vocab=VOCABULARY, model_max_length=64)
TWO = Labels(("no", "yes"), SINGLE, ("0", "1"))
LENGTH, STRIDE = 24, 6


def text(text: str, pair: str | None = None, label: Any = None) -> TextExample:
    return TextExample("a:1", text, pair, label)


def question(question: str, context: str, *answers: str, labelled: bool = True) -> QuestionExample:
    given_answers = tuple(Answer(answer, context.index(answer)) for answer in answers)
    return QuestionExample("a:1", "1", question, context, given_answers, labelled)


def encode(
    task: str, examples: Sequence[Example], labels: Labels | None = None, **options: Any
) -> list[EncodedExample]:
    arguments = {"max_length": LENGTH, "stride": STRIDE} | options
    return encode_examples(task, examples, labels or Labels(), FAST, **arguments)


def pieces(ids: np.ndarray) -> str:
    return " ".join(FAST.convert_ids_to_tokens(int(token)) for token in ids)


def shown(example: EncodedExample) -> list[str]:
    return [pieces(sequence) for sequence in example.sequences]


# The sequences.


class Recorder:
    """A runner that records its input sequences."""

    def __init__(self, head: str) -> None:
        self.head = HEADS[head]
        self.config = DistilBertConfig(max_position_embeddings=LENGTH)
        self.seen: set[tuple[int, ...]] = set()

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        starts = batch.offsets.tolist()
        self.seen |= {tuple(batch.input_ids[start:stop].tolist()) for start, stop in pairwise(starts)}
        count = len(batch.input_ids) if self.head.per_token else len(starts) - 1
        names = {"ForQuestionAnswering": {"start_logits": (), "end_logits": ()}, "ForMultipleChoice": {"logits": (1,)}}
        shapes = names.get(self.head.name, {"logits": (2,)})
        return {name: np.zeros((count, *shape), np.float32) for name, shape in shapes.items()}


WORDS = [LONG.split(), ["Anna-Maria", "x" * 90, "!?"], ["\u200b", "city"], ["a"] * 60]
PAIRS = [("a city", LONG), (LONG, "a city"), (LONG, LONG), ("bad", "good")]
ENDINGS = [(LONG, "who", ("a", "city .", LONG)), (LONG, "", ("a", "b")), ("", "what was", ("a", "b", "c", "d"))]


@pytest.mark.parametrize(
    ("task", "examples", "inputs", "params"),
    [
        (TEXT, [text(t) for t in [*TEXTS, LONG]], [*TEXTS, LONG], {"stride": STRIDE}),
        (TEXT, [text(*p) for p in PAIRS], [{"text": a, "text_pair": b} for a, b in PAIRS], {"stride": STRIDE}),
        (TEXT, [text(*p) for p in PAIRS], [{"text": a, "text_pair": b} for a, b in PAIRS], {"truncation": True}),
        (TAGS, [TaggedExample("a:1", tuple(w)) for w in WORDS], WORDS, {"stride": STRIDE, "is_split_into_words": True}),
        (
            QA,
            [question(q, c) for q, c in CONTEXTS],
            [{"question": q, "context": c} for q, c in CONTEXTS],
            {"doc_stride": STRIDE},
        ),
        (
            CHOICE,
            [ChoiceExample("a:1", c, q, e) for c, q, e in ENDINGS],
            [{"context": c, "question": q, "choices": list(e)} for c, q, e in ENDINGS],
            {},
        ),
    ],
)
def test_training_sees_what_answering_sees(
    task: str, examples: list[Example], inputs: list[Any], params: dict[str, Any]
) -> None:
    runner = Recorder(TASKS[task].head)
    task_class(task)(runner, FAST, **params)(inputs)
    encoded = encode(
        task, examples, TWO if task == TEXT else None, long_texts="cut" if "truncation" in params else "window"
    )
    assert {tuple(ids.tolist()) for example in encoded for ids in example.sequences} == runner.seen
    assert len(runner.seen) >= len(examples)
    assert max(map(len, runner.seen)) == LENGTH
    assert [ids.dtype for example in encoded for ids in example.sequences] == [np.int64] * sum(
        len(u.sequences) for u in encoded
    )
    assert [example.example for example in encoded] == sorted(example.example for example in encoded)
    assert {example.example for example in encoded} == set(range(len(examples)))


def test_sequences_by_hand() -> None:
    assert shown(encode(TEXT, [text("A city", "bad")], TWO)[0]) == ["[CLS] a city [SEP] bad [SEP]"]
    assert shown(encode(MASK, [text("a [MASK] city")])[0]) == ["[CLS] a [MASK] city [SEP]"]
    assert shown(encode(QA, [question("who", "a city")])[0]) == ["[CLS] who [SEP] a city [SEP]"]
    assert shown(encode(CHOICE, [ChoiceExample("a:1", "a city", "is", ("big", "small"))])[0]) == [
        "[CLS] a city [SEP] is big [SEP]",
        "[CLS] a city [SEP] is small [SEP]",
    ]
    assert shown(encode(CHOICE, [ChoiceExample("a:1", "", "is", ("big", "small"))])[0])[0] == "[CLS] is [SEP] big [SEP]"
    windows = encode(TEXT, [text("one two three first last")], TWO, max_length=5, stride=1)
    assert [shown(example)[0] for example in windows] == ["[CLS] one two three [SEP]", "[CLS] three first last [SEP]"]


def test_cut_keeps_the_first_window() -> None:
    for task, example in [
        (TEXT, text(LONG)),
        (MASK, text(LONG)),
        (TAGS, TaggedExample("a:1", tuple(LONG.split()))),
        (QA, question("Who?", LONG)),
    ]:
        windows, cut = (encode(task, [example] * 2, TWO, long_texts=how) for how in ("window", "cut"))
        assert len(windows) > 4
        assert [example.example for example in cut] == [0, 1]
        assert shown(cut[0]) == shown(windows[0])


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [text(t, None, str(number % 2)) for number, t in enumerate([*TEXTS, LONG, "a"])]
    whole = encode(TEXT, examples, TWO)
    monkeypatch.setattr(module, "CHUNK", 4)
    parts = encode(TEXT, examples, TWO)
    assert [(u.example, shown(u), int(u.target)) for u in parts] == [  # type: ignore[arg-type]
        (u.example, shown(u), int(u.target))
        for u in whole  # type: ignore[arg-type]
    ]


# Targets of texts and choices.


def test_targets_of_texts() -> None:
    encoded = encode(TEXT, [text("a", None, "yes"), text(LONG, None, "0"), text("b")], TWO)
    assert [None if example.target is None else int(example.target) for example in encoded] == [
        1,
        *[0] * (len(encoded) - 2),
        None,
    ]
    (example,) = encode(TEXT, [text("a", None, ("c", "a"))], Labels(("a", "b", "c"), MULTI))
    assert example.target is not None
    assert example.target.tolist() == [1, 0, 1]
    (example,) = encode(TEXT, [text("a", "b", "2.5")], Labels(("score",), REGRESSION))
    assert example.target is not None
    assert (example.target.tolist(), example.target.shape) == (2.5, ())
    (example,) = encode(MASK, [text("a")])
    assert (example.target, example.allowed) == (None, None)


def test_targets_of_choices() -> None:
    examples = [ChoiceExample("a:1", "a", "", ("x", "y", "z"), label) for label in (2, 0, None)]
    assert [None if example.target is None else int(example.target) for example in encode(CHOICE, examples)] == [
        2,
        0,
        None,
    ]


def test_what_cannot_be_encoded() -> None:
    with pytest.raises(DataError, match="a:1: the data has the label 'maybe'"):
        encode(TEXT, [text("a", None, "maybe")], TWO)
    with pytest.raises(DataError, match="'text' and 'window'"):
        encode("text", [text("a")])
    with pytest.raises(DataError, match="'fill-mask' and 'split'"):
        encode(MASK, [text("a")], long_texts="split")
    with pytest.raises(InputError, match="stride=22 is as long as a window"):
        encode(TEXT, [text("a")], TWO, stride=22)


# Targets of tags.


def test_tags_stand_at_the_first_piece() -> None:
    example = TaggedExample("a:1", ("Kingston", "is", "\u200b", "X-ray"), ("B-LOC", "O", "O", "I-LOC"))
    (example,) = encode(TAGS, [example], Labels(("O", "B-LOC", "I-LOC")))
    assert shown(example)[0].split()[-4:] == ["x", "-", "[UNK]", "[SEP]"]
    assert example.target is not None
    first = example.target.tolist()
    assert (first[0], first[1], first[-4:]) == (IGNORED, 1, [2, IGNORED, IGNORED, IGNORED])
    assert sorted(tag for tag in first if tag != IGNORED) == [0, 1, 2]  # the invisible word has no token
    assert example.target.dtype == np.int64
    (example,) = encode(TAGS, [TaggedExample("a:1", ("\x00", "\u200b"), ("O", "O"))], Labels(("O", "X")))
    assert (shown(example), example.target.tolist()) == (["[CLS] [SEP]"], [IGNORED, IGNORED])  # type: ignore[union-attr]
    assert [example.target for example in encode(TAGS, [TaggedExample("a:1", tuple(LONG.split()))])] == [None] * 6


@pytest.mark.parametrize("side", ["right", "left"])
@given(sentence=words.map(lambda words: [word for word in words * 4 if word]).filter(bool))
def test_every_word_is_labelled_once(side: str, sentence: list[str]) -> None:
    tokenizer = DistilBertTokenizerFast(vocab=VOCABULARY, model_max_length=64, truncation_side=side)
    names = tuple(f"T{number}" for number in range(len(sentence)))  # a tag that identifies the word
    example = TaggedExample("a:1", tuple(sentence), names)
    encoded = encode_examples(TAGS, [example], Labels(names), tokenizer, max_length=9, stride=3)
    whole = tokenizer.encode_batch([sentence], is_split_into_words=True)[0]
    visible = {word for word in whole.word_ids if word is not None}
    tags = [int(tag) for window in encoded for tag in window.target if tag != IGNORED]  # type: ignore[union-attr]
    assert sorted(tags) == sorted(visible)
    firsts = {word: whole.ids[whole.word_ids.index(word)] for word in visible}
    for window in encoded:
        assert window.target is not None
        (ids,) = window.sequences
        assert window.target.shape == ids.shape
        for token, tag in zip(ids.tolist(), window.target.tolist(), strict=True):
            assert tag == IGNORED or token == firsts[tag]


# Targets of questions.


def answer_of(example: EncodedExample) -> str:
    assert example.target is not None
    assert example.target.shape == (2,)
    assert example.target.dtype == np.int64
    first, last = example.target.tolist()
    return pieces(example.sequences[0][first : last + 1]) if last else ""


def test_answers_by_hand() -> None:
    context = "My name is Wolfgang, and I live in Berlin."
    for answer, expected in [
        ("Berlin", "berlin"),
        ("My name", "my name"),
        ("Berlin.", "berlin ."),
        ("in Berlin", "in berlin"),
        (" Wolfgang, ", "wolfgang ,"),
        ("erli", "berlin"),
        (", and", ", and"),
        (context, "my name is wolfgang , and i live in berlin ."),
    ]:
        (example,) = encode(QA, [question("Where?", context, answer, "My")])
        assert answer_of(example) == pieces(np.array(FAST.encode_ids([expected], None, False)[0]))
        assert example.allowed is not None
        assert pieces(example.sequences[0][example.allowed]) == pieces(
            np.array(FAST.encode_ids([context], None, False)[0])
        )


def test_questions_without_an_answer() -> None:
    encoded = encode(QA, [question("Who?", LONG), question("Who?", LONG, LONG), question("Who?", LONG, labelled=False)])
    assert {tuple(u.target.tolist()) for u in encoded if u.example < 2} == {(0, 0)}  # type: ignore[union-attr]
    assert {u.target for u in encoded if u.example == 2} == {None}
    invisible = QuestionExample("a:1", "1", "Who?", "a \u200b city", (Answer("\u200b", 2),))
    assert [answer_of(example) for example in encode(QA, [invisible])] == [""]
    edge = QuestionExample("a:1", "1", "Who?", "\u200bcity\u200b", (Answer("\u200bcity\u200b", 0),))
    assert [answer_of(example) for example in encode(QA, [edge])] == ["city"]


@given(start=st.integers(0, 60), length=st.integers(1, 6), side=st.sampled_from(["right", "left"]), data=st.data())
def test_an_answer_is_found_in_the_windows_that_hold_it(start: int, length: int, side: str, data: Any) -> None:
    tokenizer = DistilBertTokenizerFast(vocab=VOCABULARY, model_max_length=64, truncation_side=side)
    vocabulary = ["city", "Kingston", "anna", "café", "x-ray", "!"]
    context = data.draw(st.lists(st.sampled_from(vocabulary), min_size=start + length, max_size=70))
    before, answer = " ".join([*context[:start], ""]), " ".join(context[start : start + length])
    example = QuestionExample("a:1", "1", "who", " ".join(context), (Answer(answer, len(before)),))
    encoded = encode_examples(QA, [example], Labels(), tokenizer, max_length=LENGTH, stride=STRIDE)
    spaced = QuestionExample("a:1", "1", "who", f" {example.context} ", (Answer(f" {answer} ", len(before)),))
    others = encode_examples(QA, [spaced], Labels(), tokenizer, max_length=LENGTH, stride=STRIDE)
    assert [u.target.tolist() for u in others] == [u.target.tolist() for u in encoded]  # type: ignore[union-attr]
    answer_ids = tokenizer.encode_ids([answer], None, False)[0]
    whole, place = (tokenizer.encode_ids([text], None, False)[0] for text in (" ".join(context), before))
    room = LENGTH - 4
    starts = range(0, len(whole) - STRIDE, room - STRIDE) if len(whole) > room else [0]
    spans = [(first, min(first + room, len(whole))) for first in starts]
    if side == "left":
        spans = [(len(whole) - stop, len(whole) - first) for first, stop in spans]
    assert len(encoded) == len(spans)
    for window, (first, stop) in zip(encoded, spans, strict=True):
        assert window.target is not None
        assert window.allowed is not None
        assert window.sequences[0][window.allowed].tolist() == whole[first:stop]
        if first <= len(place) and len(place) + len(answer_ids) <= stop:
            begin = 3 + len(place) - first  # after [CLS] who [SEP]
            assert window.target.tolist() == [begin, begin + len(answer_ids) - 1]
        else:
            assert window.target.tolist() == [0, 0]


@given(question=texts.filter(bool), context=texts.filter(bool), data=st.data())
def test_any_answer_gives_tokens_of_the_context(question: str, context: str, data: Any) -> None:
    start = data.draw(st.integers(0, len(context) - 1))
    stop = data.draw(st.integers(start + 1, len(context)))
    example = QuestionExample("a:1", "1", question, context, (Answer(context[start:stop], start),))
    encoded = {}
    for kind in (DistilBertTokenizerFast, DistilBertTokenizer):
        tokenizer = kind(vocab=VOCABULARY, model_max_length=64)
        encoded[kind] = encode_examples(QA, [example], Labels(), tokenizer, max_length=16, stride=3)
        for window in encoded[kind]:
            assert window.target is not None
            assert window.allowed is not None
            first, last = window.target.tolist()
            assert (first, last) == (0, 0) or (first <= last and window.allowed[first : last + 1].all())
    fast, slow = encoded.values()
    assert [u.target.tolist() for u in fast] == [u.target.tolist() for u in slow]  # type: ignore[union-attr]


def test_encoding_loads_no_framework() -> None:
    script = (
        "import distilbert.training.finetuning.encoded_examples, distilbert.data.labelled, sys\n"
        "print(*{'torch', 'tensorflow', 'keras', 'jax', 'flax', 'datasets', 'pyarrow'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
