"""Complete runs over sentences, with a teacher that is a sentence encoder and has no masked-LM head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert import ConfigError, DistillConfig, pipeline
from distilbert.core.schema import HEADS
from distilbert.training.distillation import distill
from distilbert.weights.checkpoint import open_checkpoint

from .test_sentence_batches import corpus, words_tokenizer
from .tiny_run import assert_equal, read_metrics, read_tensors, write_model

TERMS = {"pooled": 1.0, "similarity": 1.0}


def write_teacher(folder: Path, head: str = "") -> str:
    write_model(folder, head, vocab_size=18)
    words_tokenizer().save_pretrained(folder)
    return str(folder)


def settings(folder: Path, **changes: Any) -> DistillConfig:
    return DistillConfig(
        **{
            "teacher": write_teacher(folder / "teacher"), "output": str(folder / "run"), "data": corpus(folder),
            "sequences": "sentences", "sequence_length": 16, "tokens_per_step": 120, "micro_tokens": 40,
            "max_steps": 4, "held_out": 0.2, "learning_rate": 0.01, "evaluate_every": 2, "checkpoint_every": 2,
            "log_every": 1, "precision": "fp32", "device": "cpu", "terms": TERMS, "layers": "2", **changes,
        }
    )  # fmt: skip


def test_a_student_of_a_sentence_encoder_is_a_sentence_encoder(tmp_path: Path) -> None:
    folder = distill(settings(tmp_path, max_steps=20), verbose=False)
    checkpoint = open_checkpoint(folder)
    assert not checkpoint.find_tensors(HEADS[""]).fresh
    evaluations = [record for record in read_metrics(folder) if record["kind"] == "evaluation"]
    assert evaluations[-1]["vector_cosine"] > 0.8 > evaluations[0]["vector_cosine"]
    first, *_, last = [record["terms"] for record in read_metrics(folder) if record["kind"] == "train"]
    assert last["pooled"] < first["pooled"] / 2
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["models"]["student"]["similarity_error"] == evaluations[-1]["similarity_error"]
    assert summary["data"]["mean_sequence_length"] < 16
    compare = pipeline("sentence-similarity", str(folder))
    assert compare(("the cat sat .", "the cat sat .")) > 0.999
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: sentence-similarity" in card
    assert 'pipeline("sentence-similarity"' in card
    assert "transformers:" not in card
    assert "an error of similarities of" in card


def test_a_resumed_run_is_the_same_run(tmp_path: Path) -> None:
    whole = distill(settings(tmp_path, output=str(tmp_path / "whole")), verbose=False)
    config = settings(tmp_path)

    class Killed(Exception):
        pass

    def die(record: dict[str, Any]) -> None:
        if record["kind"] == "train" and record["step"] == 3:
            raise Killed

    with pytest.raises(Killed):
        distill(config, verbose=False, on_record=die)
    resumed = distill(config, verbose=False, resume=True)
    assert_equal(read_tensors(resumed, 4), read_tensors(whole, 4))
    assert read_metrics(resumed) == read_metrics(whole)


@pytest.mark.parametrize(
    ("head", "sequences"), [("ForMaskedLM", "packed"), ("", "packed"), ("ForMaskedLM", "sentences"), ("", "pairs")]
)
def test_terms_without_a_vocabulary_work_on_any_text_and_teacher(tmp_path: Path, head: str, sequences: str) -> None:
    teacher = write_teacher(tmp_path / "other", head)
    config = settings(
        tmp_path, teacher=teacher, sequences=sequences, terms={"hidden": 1.0, "relation": 1.0}, max_steps=2
    )
    folder = distill(config, verbose=False)
    metric = "perplexity" if head and sequences == "packed" else "similarity_error"
    last = read_metrics(folder)[-1]
    assert metric in last
    assert np.isfinite(last[metric])


def test_vectors_are_compared_in_pairs(tmp_path: Path) -> None:
    values: dict[str, Any] = {"sequences": "packed", "terms": {"pooled": 1.0}, "max_steps": 1}
    with pytest.raises(ConfigError, match="micro_tokens must be at least 32, two sequences, .*in pairs; got 31"):
        distill(settings(tmp_path, micro_tokens=31, **values), verbose=False)
    with pytest.raises(ConfigError, match="Only one sequence is held out, .*raise held_out or max_held_out"):
        distill(settings(tmp_path, max_held_out=1, **values), verbose=False)
    assert not (tmp_path / "run" / "config.toml").exists()
    for name in ("micro_tokens", "tokens_per_step"):
        with pytest.raises(ConfigError, match=f"{name} must be at least 32, two sequences, for the term similarity"):
            settings(tmp_path, sequences="packed", **{name: 31})
    folder = distill(settings(tmp_path, sequences="packed", micro_tokens=32, tokens_per_step=32), verbose=False)
    assert all(record["terms"]["similarity"] > 0 for record in read_metrics(folder) if record["kind"] == "train")


def test_a_narrower_student_keeps_its_projection_in_checkpoints(tmp_path: Path) -> None:
    config = settings(tmp_path, init="random", layers="2", dim=12, n_heads=3, max_steps=2)
    folder = distill(config, verbose=False)
    assert any("text_projection" in name for name in read_tensors(folder, 2))
    assert not any("projection" in name for name in open_checkpoint(folder).tensors())


def test_a_teacher_without_a_head_is_named_with_the_terms_that_need_none(tmp_path: Path) -> None:
    config = settings(tmp_path, sequences="packed", terms={"ce": 1.0})
    with pytest.raises(ConfigError, match="has no masked-LM head .* terms that need none: pooled"):
        distill(config, verbose=False)
