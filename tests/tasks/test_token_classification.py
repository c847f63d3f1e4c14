"""From tokens to entities: aggregation and merging by hand, accents, and messages for what cannot work."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert import pipeline
from distilbert.core.errors import InputError
from distilbert.tasks.token_classification import Entity, ScoredToken, find_entities, merge_windows
from distilbert.training.evaluation.tagging_metrics import find_entities as entities_of_evaluation

LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "LOC"}


def tokens(*items: tuple[str, int, float]) -> list[ScoredToken]:
    scored, start = [], 0
    for index, (word, label, score) in enumerate(items):
        scores = np.full(4, (1 - score) / 3, np.float32)
        scores[label] = score
        continues = word.startswith("##")
        start += 0 if continues or not scored else 1
        end = start + len(word.removeprefix("##"))
        scored.append(ScoredToken(word, scores, index + 1, start, end, continues))
        start = end
    return scored


def text(pieces: list[str]) -> str:
    return " ".join(pieces).replace(" ##", "")


SENTENCE = tokens(("anna", 1, 0.9), ("mar", 2, 0.6), ("##ia", 0, 0.8), ("b", 1, 0.7), ("rome", 3, 0.5), ("it", 3, 0.9))


def groups(strategy: str) -> list[tuple[str, str]]:
    return [(e.label, e.answer["word"]) for e in find_entities(SENTENCE, strategy, LABELS, text)]


def test_strategies() -> None:
    assert [e.label for e in find_entities(SENTENCE, "none", LABELS, text)] == [
        "B-PER", "I-PER", "O", "B-PER", "LOC", "LOC",
    ]  # fmt: skip
    assert groups("simple") == [("PER", "anna mar"), ("O", "##ia"), ("PER", "b"), ("LOC", "rome it")]
    assert groups("first") == [("PER", "anna maria"), ("PER", "b"), ("LOC", "rome it")]
    assert groups("max") == [("PER", "anna"), ("O", "maria"), ("PER", "b"), ("LOC", "rome it")]
    assert groups("average") == [("PER", "anna"), ("O", "maria"), ("PER", "b"), ("LOC", "rome it")]


def test_scores_and_places() -> None:
    first = find_entities(SENTENCE, "first", LABELS, text)[0]
    assert first.answer["score"] == pytest.approx((0.9 + 0.6) / 2)
    assert (first.answer["start"], first.answer["end"]) == (0, 10)
    assert (first.first, first.stop) == (1, 4)
    assert type(first.answer["score"]) is float
    assert find_entities([], "average", LABELS, text) == []


def tagged(*tags: str, pieces: tuple[int, ...] = ()) -> list[tuple[str, str]]:
    """The entities that the tags of words make, as (kind, words); tokens at ``pieces`` continue a word."""
    labels = dict(enumerate(sorted(set(tags))))
    ids = {label: index for index, label in labels.items()}
    scored = [
        ScoredToken(f"w{i}", np.eye(len(labels), dtype=np.float32)[ids[tag]], i, 3 * i, 3 * i + 2, i in pieces)
        for i, tag in enumerate(tags)
    ]
    entities = find_entities(scored, "simple", labels, " ".join)
    return [(e.label, e.answer["word"]) for e in entities if e.label != "O"]


@pytest.mark.parametrize(("end", "single"), [("E", "S"), ("L", "U")])
def test_bioes_and_bilou(end: str, single: str) -> None:
    assert tagged(f"{single}-LOC", f"{single}-LOC") == [("LOC", "w0"), ("LOC", "w1")]
    assert tagged("B-PER", f"{end}-PER") == [("PER", "w0 w1")]
    assert tagged("B-PER", "I-PER", "I-PER", f"{end}-PER", "O") == [("PER", "w0 w1 w2 w3")]
    assert tagged(f"{end}-PER", "I-PER") == [("PER", "w0"), ("PER", "w1")]
    assert tagged("B-PER", f"{end}-PER", "B-PER", f"{end}-PER") == [("PER", "w0 w1"), ("PER", "w2 w3")]
    assert tagged("I-PER", f"{single}-PER", f"{end}-PER") == [("PER", "w0"), ("PER", "w1"), ("PER", "w2")]
    assert tagged("B-PER", f"{end}-LOC") == [("PER", "w0"), ("LOC", "w1")]


def test_pieces_of_a_word_share_the_tag_of_the_word() -> None:
    assert tagged("S-LOC", "S-LOC", "S-LOC", pieces=(1,)) == [("LOC", "w0 w1"), ("LOC", "w2")]
    assert tagged("B-PER", "E-PER", "E-PER", "E-PER", pieces=(2,)) == [("PER", "w0 w1 w2"), ("PER", "w3")]
    assert tagged("B-PER", "B-PER", pieces=(1,)) == [("PER", "w0"), ("PER", "w1")], "as in transformers"


@given(st.lists(st.sampled_from([*(f"{p}-{k}" for p in "BIESLU" for k in ("PER", "LOC")), "O", "LOC"]), max_size=9))
def test_entities_are_those_that_evaluation_counts(tags: list[str]) -> None:
    pytest.importorskip("seqeval")
    words = {(kind, f"w{first}", f"w{last}") for kind, first, last in entities_of_evaluation(tags)}
    assert {(kind, word.split()[0], word.split()[-1]) for kind, word in tagged(*tags)} == words


def entity(start: int, end: int, score: float) -> Entity:
    return Entity("PER", {"start": start, "end": end, "score": score}, start, end)


def test_windows_keep_the_longest_then_the_surest() -> None:
    a, b, c, d = entity(0, 4, 0.5), entity(2, 8, 0.1), entity(8, 9, 0.2), entity(8, 9, 0.3)
    assert merge_windows([a, c, b, d]) == [b, d]
    assert merge_windows([]) == []


@pytest.fixture(scope="module")
def hangul(model_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A task whose uncased tokenizer makes two or three tokens of a character."""
    folder: Path = tmp_path_factory.mktemp("hangul")
    shutil.copytree(model_folder("entities"), folder, dirs_exist_ok=True)
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    jamo = ["\u1112", "##\u1161", "##\u11ab", "##\u1100", "##\u116e", "##\u11a8", "##\u110b", "##\u1165"]
    place = vocabulary.index("##a")
    vocabulary[place : place + len(jamo)] = jamo
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    task = pipeline("ner", folder, precision="fp32", ignore_labels=[])
    task.tokenizer.model_max_length = 16
    return task


def test_tokens_of_one_character_are_all_answered(hangul: Any) -> None:
    long = "한국어 " * 6
    tokens = hangul.tokenizer.encode_batch([long])[0].tokens[1:-1]
    assert len(tokens) == 48
    answers = hangul(long)
    assert [answer["word"] for answer in answers] == tokens
    assert [answer["index"] for answer in answers] == list(range(1, 49))
    assert [answer["start"] for answer in answers[:9]] == [0, 0, 0, 1, 1, 1, 2, 2, 4]


def test_groups_that_end_inside_a_character_stay_beside_each_other(hangul: Any, monkeypatch: Any) -> None:
    class EveryTokenBegins:
        head, config = hangul.runner.head, hangul.runner.config

        def __call__(self, batch: Any) -> Any:
            logits = np.zeros((len(batch.input_ids), 6), np.float32)
            logits[:, self.config.label2id["B-LOC"]] = 9
            return {"logits": logits}

    monkeypatch.setattr(hangul, "runner", EveryTokenBegins())
    groups = hangul("한국어 " * 6, aggregation_strategy="simple")
    assert [(group["start"], group["end"]) for group in groups[:9]] == [(0, 1)] * 3 + [(1, 2)] * 3 + [(2, 3)] * 2 + [
        (4, 5)
    ]
    assert len(groups) == 48


def test_accents_do_not_glue_words(make_task: Any) -> None:
    """transformers compares lengths of token and text, so a decomposed accent joins a word to the one before."""
    task = make_task("token-classification", "entities", aggregation_strategy="first", ignore_labels=[])
    plain = task("john wolf paris")
    accented = task("john wo\u0301lf paris")
    assert [e["word"] for e in accented] == [e["word"] for e in plain]
    assert accented[-1]["end"] == plain[-1]["end"] + 1


def test_words_instead_of_a_text(make_task: Any) -> None:
    task = make_task("ner", "entities", aggregation_strategy="first", ignore_labels=[])
    words = ["John", "Wolf", "in", "Paris"]
    expected = task(words, is_split_into_words=True)[0]
    assert task({"words": words}) == task({"tokens": tuple(words)}) == task({"words": np.array(words)}) == expected
    text = " ".join(words)
    mixed = [text, {"words": words}, {"text": text}, words * 30]
    assert task(mixed[:3]) == [task(text), expected, task(text)]
    assert list(task(iter(mixed[:3]))) == task(mixed[:3])
    assert task([{"words": words * 30}]) == task([words * 30], is_split_into_words=True), "longer than the model"
    assert task({"words": words}, delimiter="")[-1]["end"] == len("".join(words))


def test_messages(make_task: Any) -> None:
    task = make_task("ner", "entities")
    with pytest.raises(InputError, match="Did you mean 'average'"):
        task("x", aggregation_strategy="averag")
    with pytest.raises(InputError, match="ignore_labels must be a list"):
        task("x", ignore_labels="O")
    with pytest.raises(InputError, match=r"inputs\[0\] must be a list of one or more texts"):
        task(["x", ["y"]], is_split_into_words=True)
    with pytest.raises(InputError, match=r"\['words'\] must be a list of one or more texts"):
        task({"words": "x"})
    with pytest.raises(InputError, match="unknown field 'tags'; expected are words"):
        task({"words": ["x"], "tags": ["O"]})
    with pytest.raises(InputError, match="lacks the field 'words'"):
        task({})
