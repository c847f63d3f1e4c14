"""The real data sets: as many rows as their README counts, columns guessed, labels found, answers at their tokens."""

from __future__ import annotations

from typing import Any

import pytest

from distilbert.core.model_checks import IGNORED
from distilbert.data.examples import MULTI, REGRESSION, SINGLE, Labels, QuestionExample, TextExample
from distilbert.data.labelled import ExampleSet, read_examples
from distilbert.data.labels import check_labels, class_counts, collect_labels
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.training.finetuning.encoded_examples import encode_examples
from tests.real.data import DATA_FOLDER

TEXT, TAGS, QA, CHOICE = "text-classification", "token-classification", "question-answering", "multiple-choice"
PAIR = {"text": "sentence1", "text_pair": "sentence2", "label": "label"}
ONE = {"text": "sentence", "label": "label"}
CHOICES = {role: role for role in ("context", "question", "choices", "label")}
ASKED = {"question": "question", "context": "context", "answers": "answers", "key": "id"}
KINDS = ("corporation", "creative-work", "group", "location", "person", "product")

# name -> task, files, rows of each, columns, labels (or how many), problem
SETS: dict[str, tuple[str, list[str], list[int], dict[str, str], tuple[str, ...] | int, str]] = {
    "sst2": (TEXT, ["train.tsv", "dev.tsv"], [67_349, 872], ONE, ("0", "1"), SINGLE),
    "cola": (TEXT, ["train.tsv", "dev.tsv"], [8_551, 1_043], ONE, ("0", "1"), SINGLE),
    "rte": (TEXT, ["train.tsv", "dev.tsv"], [2_490, 277], PAIR, ("entailment", "not_entailment"), SINGLE),
    "mrpc": (TEXT, ["train.tsv", "dev.tsv"], [3_668, 408], PAIR, ("0", "1"), SINGLE),
    "stsb": (TEXT, ["train.tsv", "dev.tsv"], [5_749, 1_500], PAIR | {"label": "score"}, ("score",), REGRESSION),
    "mnli-10k": (
        TEXT,
        ["train.jsonl", "dev.jsonl"],
        [8_999, 1_000],
        {"text": "premise", "text_pair": "hypothesis", "label": "label"},
        ("contradiction", "entailment", "neutral"),
        SINGLE,
    ),
    "squad": (QA, ["train.json", "dev.json"], [7_617, 4_727], ASKED, (), ""),
    "wnut17": (
        TAGS,
        ["train.conll", "dev.conll"],
        [3_394, 1_009],
        {"words": "words", "tags": "tags"},
        ("O", *(f"{prefix}-{kind}" for kind in KINDS for prefix in "BI")),
        "",
    ),
    "wikigold": (
        TAGS,
        ["wikigold.conll"],
        [1_696],
        {"words": "words", "tags": "tags"},
        ("O", "I-LOC", "I-MISC", "I-ORG", "I-PER"),
        "",
    ),
    "codah": (CHOICE, ["train.jsonl", "dev.jsonl"], [1_665, 556], CHOICES, (), ""),
    "commonsenseqa": (CHOICE, ["train.jsonl", "dev.jsonl"], [9_741, 1_221], CHOICES, (), ""),
    "clinc150": (
        TEXT, ["train.tsv", "dev.tsv"], [15_000, 3_000], {"text": "text", "label": "label"}, 150, SINGLE,
    ),
    "imdb": (TEXT, ["train-5000.jsonl.gz"], [5_000], {"text": "text", "label": "label"}, ("0", "1"), SINGLE),
}  # fmt: skip


def read(name: str, file: str) -> ExampleSet:
    path = DATA_FOLDER / name / file
    if not path.is_file():
        pytest.skip(f"the data set {name} is not at {path}")
    return read_examples(SETS[name][0], [str(path)])


def vocabulary() -> DistilBertTokenizerFast:
    path = DATA_FOLDER / "vocab" / "uncased.txt"
    if not path.is_file():
        pytest.skip(f"the vocabulary is not at {path}")
    return DistilBertTokenizerFast(path)


@pytest.mark.parametrize("name", SETS)
def test_rows_columns_and_labels(name: str) -> None:
    task, files, counts, columns, names, problem = SETS[name]
    labels = Labels()
    for number, (file, count) in enumerate(zip(files, counts, strict=True)):
        reading = read(name, file)
        assert len(reading.examples) == count
        assert reading.columns == columns
        if number == 0:
            labels = collect_labels(task, reading.examples)
        check_labels(reading.examples, labels, file)
        assert class_counts(reading.examples, labels).min(initial=1) > 0
    assert labels.problem == problem != MULTI
    assert labels.names == names if isinstance(names, tuple) else len(labels.names) == names


def test_quotation_marks_of_a_tsv_are_text() -> None:
    texts = [e.text for e in read("mrpc", "dev.tsv").examples if isinstance(e, TextExample)]
    assert sum(text.count('"') % 2 for text in texts) > 0


def test_every_answer_is_at_its_tokens() -> None:
    tokenizer = vocabulary()
    examples: Any = read("squad", "dev.json").examples[:1500]
    units = encode_examples(QA, examples, Labels(), tokenizer, max_length=192, stride=64)
    assert len(units) > len(examples)
    with_tokens = set()
    for unit in units:
        example = examples[unit.example]
        assert isinstance(example, QuestionExample)
        assert unit.target is not None
        first, last = unit.target.tolist()
        if last:
            with_tokens.add(unit.example)
            given = tokenizer.decode(unit.sequences[0][first : last + 1].tolist()).replace(" ", "")
            wanted = tokenizer.decode(tokenizer.encode_ids([example.answers[0].text], None, False)[0]).replace(" ", "")
            assert wanted in given  # an answer may be a part of its last word
    assert with_tokens == set(range(len(examples)))


def test_every_word_of_a_tagged_set_is_labelled() -> None:
    examples: Any = read("wikigold", "wikigold.conll").examples
    labels = collect_labels(TAGS, examples)
    units = encode_examples(TAGS, examples, labels, vocabulary(), max_length=32, stride=8)
    assert len(units) > len(examples)
    counts = [0] * len(labels.names)
    for unit in units:
        assert unit.target is not None
        for tag in unit.target[unit.target != IGNORED].tolist():
            counts[tag] += 1
    assert counts == class_counts(examples, labels).tolist()
