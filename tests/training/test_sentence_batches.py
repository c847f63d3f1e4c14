"""Texts of mixed length from a corpus: where they begin and end, and how a step is divided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert import ConfigError, DataError, DistilBertTokenizer, DistillConfig
from distilbert.training.corpus.sentence_batches import (
    NEAREST,
    SentenceText,
    alone,
    inner_lengths,
    open_sentences,
    pair_up,
    passage_spans,
    split_by_length,
)
from distilbert.training.corpus.text_batches import open_token_cache
from distilbert.training.corpus.token_cache import TokenCache
from tests.data.corpora import write_text

SEP, STOP = 3, 9
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "home"]


def words_tokenizer() -> DistilBertTokenizer:
    return DistilBertTokenizer(vocab=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", "!", "?"])


def corpus(tmp_path: Path, documents: int = 40) -> list[str]:
    draw = np.random.default_rng(0)
    sentences = [
        " ".join(draw.choice(WORDS, size=draw.integers(1, 15))) + draw.choice([" .", " !", " ?"])
        for _ in range(documents * 5)
    ]
    paragraphs = [
        [" ".join(sentences[5 * i : 5 * i + 3]), " ".join(sentences[5 * i + 3 : 5 * i + 5])] for i in range(documents)
    ]
    return [str(write_text(tmp_path / "text.txt", paragraphs))]


def config(tmp_path: Path, **changes: Any) -> DistillConfig:
    return DistillConfig(
        **{
            "teacher": "t", "output": str(tmp_path / "run"), "data": corpus(tmp_path), "sequence_length": 16,
            "tokens_per_step": 120, "micro_tokens": 40, "held_out": 0.2, "terms": {"pooled": 1.0},
            "sequences": "sentences", **changes,
        }
    )  # fmt: skip


def open_text(tmp_path: Path, **changes: Any) -> SentenceText:
    return open_sentences(config(tmp_path, **changes), words_tokenizer())


def texts_of(step: Any) -> list[tuple[int, ...]]:
    return rows_of(step.micro_batches)


def texts_of_held_out(text: SentenceText) -> list[tuple[int, ...]]:
    return rows_of(text.held_out(0, 1))


def rows_of(micro_batches: Any) -> list[tuple[int, ...]]:
    rows = []
    for micro_batch in micro_batches:
        arrays = micro_batch.arrays
        rows += [tuple(ids[mask == 1]) for ids, mask in zip(arrays["input_ids"], arrays["attention_mask"], strict=True)]
    return rows


@given(
    st.lists(st.lists(st.sampled_from([5, 6, 7, STOP]), min_size=1, max_size=60), min_size=1, max_size=5),
    st.integers(4, 20),
)
def test_texts_are_disjoint_pieces_of_documents_within_the_length(documents: list[list[int]], longest: int) -> None:
    tokens = np.array([token for ids in documents for token in [*ids, SEP]])
    ends = np.cumsum([len(ids) + 1 for ids in documents])
    cache = TokenCache(tokens, ends, np.bincount(tokens, minlength=10), "")
    spans = passage_spans(cache, ends, [STOP], longest)
    place = 0
    for start, end in spans:
        assert place <= start
        assert 4 <= end - start <= longest
        assert SEP not in tokens[start:end]
        begins = start == 0 or tokens[start - 1] in (SEP, STOP)
        assert begins or place == start  # inside a sentence only where the text before it was full
        place = end
    left_out = len(tokens) - len(documents) - int((spans[:, 1] - spans[:, 0]).sum())
    assert left_out <= 3 * (len(documents) + len(spans))  # what is shorter than a text, at the ends


@given(st.lists(st.integers(4, 40), min_size=2, max_size=60), st.integers(1, 6))
def test_groups_have_all_texts_sorted_and_two_each(lengths: list[int], count: int) -> None:
    count = min(count, len(lengths) // 2)
    ends = np.cumsum(lengths)
    spans = np.stack([ends - lengths, ends], axis=1)
    texts = pair_up(spans) if count % 2 else alone(spans)
    groups = split_by_length(texts, count)
    assert len(groups) == count
    assert min(map(len, groups)) >= 2
    joined = np.concatenate(groups)
    assert sorted(map(tuple, joined)) == sorted(map(tuple, texts))
    assert (np.diff(inner_lengths(joined)) >= 0).all()


@given(st.lists(st.integers(4, 30), min_size=1, max_size=200))
def test_a_pair_is_of_neighbours_or_of_a_text_and_a_part_of_it(lengths: list[int]) -> None:
    ends = np.cumsum(lengths)
    spans = np.stack([ends - lengths, ends], axis=1)
    texts = pair_up(spans)
    assert (texts == pair_up(spans)).all()
    for number, (span, text) in enumerate(zip(spans.tolist(), texts.tolist(), strict=True)):
        passages = [text[:2], text[2:]]
        assert span in passages
        passages.remove(span)
        (start, end) = passages[0]
        near = [spans[(number + step) % len(spans)].tolist() for step in range(1, NEAREST + 1)]
        is_part = span[0] <= start < end <= span[1] and end - start == (span[1] - span[0]) // 2
        assert [start, end] in near or is_part or ([start, end] == [0, 0] and text[2:] == [0, 0])


def test_half_of_the_texts_are_pairs_of_both_kinds_in_both_orders() -> None:
    spans = np.arange(0, 40_000, 10)[:, None] + [0, 10]
    texts = pair_up(spans)
    has_second = texts[:, 3] > 0
    assert abs(has_second.mean() - 0.5) < 0.05
    pairs, own = texts[has_second], spans[has_second]
    is_part = ((pairs[:, 1] - pairs[:, 0]) == 5) | ((pairs[:, 3] - pairs[:, 2]) == 5)
    assert abs(is_part.mean() - 0.5) < 0.05
    assert abs((pairs[:, 0] == own[:, 0]).mean() - 0.5) < 0.1


def test_a_step_is_the_same_on_any_number_of_processes(tmp_path: Path) -> None:
    text = open_text(tmp_path)
    assert text.micro_batches_per_step == 3
    whole = text.step(4, 0, 1)
    shares = [open_text(tmp_path).step(4, process, 3) for process in range(3)]
    assert sorted(texts_of(whole)) == sorted(row for share in shares for row in texts_of(share))
    for name, total in whole.counts.items():
        assert total == sum(share.counts[name] for share in shares)
    assert whole.counts["tokens"] == whole.tokens == sum(map(len, texts_of(whole)))
    assert whole.counts["texts"] == text.texts_per_step


def test_held_out_texts_share_no_token_with_training_and_an_epoch_has_every_text_once(tmp_path: Path) -> None:
    text = open_text(tmp_path)
    training, held_out = text._training, text._held_out
    for start, end, *_ in held_out.tolist():
        assert not ((training[:, 0] < end) & (training[:, 1] > start)).any()
    count, per_step = len(training), text.texts_per_step
    order = text._order.numbers(0, 2 * count)
    assert sorted(order[:count]) == sorted(order[count:]) == list(range(count))
    assert list(order[:count]) != list(order[count:])
    assert len(texts_of(text.step(1, 0, 1))) == per_step
    assert sum(len(batch.arrays["input_ids"]) for batch in text.held_out(0, 1)) == len(held_out) >= 2


def test_texts_begin_and_end_as_sequences_do(tmp_path: Path) -> None:
    tokenizer = words_tokenizer()
    for row in texts_of(open_text(tmp_path).step(0, 0, 1)):
        assert row[0] == tokenizer.cls_token_id
        assert row[-1] == tokenizer.sep_token_id
        assert 6 <= len(row) <= 16
        assert not {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id} & set(row[1:-1])


def test_pairs_are_two_passages_in_one_sequence(tmp_path: Path) -> None:
    tokenizer, text = words_tokenizer(), open_text(tmp_path, sequences="pairs", sequence_length=24)
    rows = [row for number in range(8) for row in texts_of(text.step(number, 0, 1))]
    for row in rows:
        assert row[0] == tokenizer.cls_token_id
        assert row[-1] == tokenizer.sep_token_id
        assert 6 <= len(row) <= 24
        assert tokenizer.pad_token_id not in row
    passages = [row.count(tokenizer.sep_token_id) for row in rows]
    assert set(passages) == {1, 2}
    step = text.step(0, 0, 1)
    assert step.tokens == step.counts["tokens"] == sum(map(len, texts_of(step)))
    assert {row.count(tokenizer.sep_token_id) for row in texts_of_held_out(text)} == {1, 2}


def test_too_little_text_and_too_many_processes_are_errors(tmp_path: Path) -> None:
    tiny = str(write_text(tmp_path / "tiny.txt", [["the cat sat ."]]))
    with pytest.raises(DataError, match="The corpus is too small"):
        open_text(tmp_path, data=[tiny])
    with pytest.raises(ConfigError, match="3 micro-batches for 4 processes"):
        open_text(tmp_path).check(4)


def test_a_copy_of_the_text_is_the_same_input(tmp_path: Path) -> None:
    text = open_text(tmp_path)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "other.txt").write_bytes((tmp_path / "text.txt").read_bytes())
    assert text.inputs["data"]
    assert open_text(tmp_path, data=[str(tmp_path / "copy" / "other.txt")]).inputs == text.inputs


def test_the_cache_is_that_of_packed_text(tmp_path: Path) -> None:
    settings = config(tmp_path)
    cache = open_token_cache(settings, words_tokenizer(), None)
    assert SentenceText(settings, cache, words_tokenizer()).facts["fingerprint"] == cache.fingerprint


@pytest.mark.parametrize("changes", [{"terms": {"ce": 1.0}}, {"streaming": True, "max_steps": 3}])
@pytest.mark.parametrize("sequences", ["sentences", "pairs"])
def test_settings_that_need_packed_text(tmp_path: Path, changes: dict[str, Any], sequences: str) -> None:
    with pytest.raises(ConfigError, match="sequences"):
        config(tmp_path, sequences=sequences, **changes)


def test_pairs_need_room_for_two(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sequence_length must be at least 11 for pairs"):
        config(tmp_path, sequences="pairs", sequence_length=10)
