"""Complete runs: the content of their folders, and resuming."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distilbert.core.errors import ConfigError, DataError, InputError
from distilbert.models.pytorch import DistilBertForMaskedLM
from distilbert.training.corpus.streamed_sequences import StreamedSequences
from distilbert.training.distill_config import DistillConfig, PretrainConfig
from distilbert.training.distillation import distill, pretrain

from .tiny_run import Record, config_of, read_metrics, settings, weights, write_corpus, write_model


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("teacher"))


def same(first: Path | str, second: Path | str) -> bool:
    left, right = weights(first), weights(second)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def steps_of(records: list[Record], kind: str) -> list[int]:
    return [record["step"] for record in records if record["kind"] == kind]


def test_the_best_step_is_one_whose_checkpoint_is_kept(tmp_path: Path, teacher: str) -> None:
    """The best evaluation of all is that before a training with a learning rate that is too high."""
    intervals: Record = {"evaluate_every": 1, "checkpoint_every": 2, "keep": 1, "max_steps": 6, "warmup": 0.0}
    folder = distill(config_of(tmp_path, teacher, learning_rate=5.0, **intervals), verbose=False)
    best = json.loads((folder / "summary.json").read_text())["best_step"]
    perplexities = {
        record["step"]: record["perplexity"] for record in read_metrics(folder) if record["kind"] == "evaluation"
    }
    assert list(perplexities) == list(range(7))
    assert min(perplexities, key=perplexities.__getitem__) == 0
    assert best == min((2, 4, 6), key=perplexities.__getitem__)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {f"step-{best}", "step-6"}


def test_a_distilled_folder(tmp_path: Path, teacher: str) -> None:
    shown: list[Record] = []
    folder = distill(config_of(tmp_path, teacher), on_record=shown.append)
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json", "README.md", "report.html", "summary.json", "metrics.jsonl", "config.toml",
        "cache", "checkpoints",
    }  # fmt: skip
    assert [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] == shown
    assert (steps_of(shown, "train"), steps_of(shown, "evaluation")) == ([1, 2, 3, 4], [0, 2, 4])
    assert DistillConfig.load(folder / "config.toml") == config_of(tmp_path, teacher)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-2", "step-4"]
    assert same(folder, folder / "checkpoints" / "step-4" / "model")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["steps"], summary["tokens"], summary["models"]["student"]["layers"]) == (4, 384, 1)
    last = shown[-1]
    assert summary["models"]["student"]["perplexity"] == last["perplexity"]
    assert last["perplexity"] < shown[0]["perplexity"]
    for record in shown:
        if record["kind"] == "train":
            terms = record["terms"]
            assert record["loss"] == pytest.approx(5 * terms["ce"] + 2 * terms["mlm"] + terms["cos"], rel=1e-6)
            assert (record["steps"], record["tokens"]) == (4, 96 * record["step"])
            assert record["gradient_norm"] > 0
    assert [r["learning_rate"] for r in shown if r["kind"] == "train"] == pytest.approx([0.01, 0.0075, 0.005, 0.0025])


def test_what_distillation_left_loads_in_transformers(tmp_path: Path, teacher: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = distill(config_of(tmp_path, teacher, layers="2", max_steps=1))
    reference, info = transformers.DistilBertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ids = torch.randint(5, 31, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = DistilBertForMaskedLM.from_pretrained(folder).eval()(ids).logits
        torch.testing.assert_close(reference.eval()(ids).logits, logits, rtol=0, atol=1e-5)


def test_pretraining_alone(tmp_path: Path) -> None:
    """A model without a head can be a teacher after pretraining, and not before."""
    base = write_model(tmp_path / "base", head="")
    with pytest.raises(ConfigError, match=rf"no masked-LM head \(vocab_.*distilbert pretrain --model {base} --data"):
        distill(config_of(tmp_path, base))
    folder = pretrain(PretrainConfig(**settings(tmp_path, model=base)))
    records = read_metrics(folder)
    assert set(records[0]) == {"kind", "step", "tokens", "loss", "perplexity"}
    assert list(records[1]["terms"]) == ["mlm"]
    assert records[1]["loss"] == pytest.approx(records[1]["terms"]["mlm"])
    assert list(json.loads((folder / "summary.json").read_text())["models"]) == ["model"]
    distill(config_of(tmp_path, str(folder), output=str(tmp_path / "student"), max_steps=1))


@pytest.mark.parametrize(
    ("freeze", "trained"),
    [
        ("none", ("embeddings", "transformer", "vocab_transform", "vocab_layer_norm", "vocab_projector")),
        ("layers", ("embeddings", "vocab_transform", "vocab_layer_norm", "vocab_projector")),
        # Of vocab_projector only the bias: it shares its weight with the embeddings.
        ("encoder", ("vocab_transform", "vocab_layer_norm", "vocab_projector")),
    ],
)
def test_freezing_trains_what_it_says(tmp_path: Path, teacher: str, freeze: str, trained: tuple[str, ...]) -> None:
    folder = pretrain(PretrainConfig(**settings(tmp_path, model=teacher, freeze=freeze, weight_decay=0.1)))
    before, after = weights(teacher), weights(folder)
    for name, tensor in before.items():
        moved = not torch.equal(tensor, after[name])
        assert moved == any(part in name for part in trained), name
    assert "vocab_projector.bias" in after
    assert not any("transformer" in name for name in frozen_state(folder)) or freeze == "none"


def frozen_state(folder: Path) -> list[str]:
    return list(load_file(folder / "checkpoints" / "step-4" / "training.safetensors"))


def test_from_scratch(tmp_path: Path, teacher: str) -> None:
    folders = []
    for number, seed in enumerate((1, 1, 2)):
        values = settings(tmp_path, output=str(tmp_path / f"r{number}"), model=teacher, init="random", seed=seed)
        folders.append(pretrain(PretrainConfig(**values | {"max_steps": 1, "learning_rate": 1e-9})))
    assert same(folders[0], folders[1])
    assert not same(folders[0], folders[2])
    assert not same(folders[0], teacher)


def test_recomputing_and_unused_chunks_change_nothing(tmp_path: Path, teacher: str) -> None:
    plain = distill(config_of(tmp_path, teacher))
    again = distill(config_of(tmp_path, teacher, output=str(tmp_path / "again")))
    recomputed = distill(config_of(tmp_path, teacher, output=str(tmp_path / "r"), gradient_checkpointing=True))
    assert same(plain, again)
    assert same(plain, recomputed)
    assert read_metrics(plain) == read_metrics(again) == read_metrics(recomputed)


@pytest.mark.parametrize(
    "changes", [{"terms": {"mlm": 1, "hidden": 2}}, {"streaming": True, "terms": {"hidden": 1}}]
)  # the second case trains no head
def test_a_run_goes_on_from_any_checkpoint(
    tmp_path: Path, teacher: str, changes: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(StreamedSequences.__init__.__kwdefaults__, "block", 5)
    blocks, restore = [], StreamedSequences.restore

    def spy(self: StreamedSequences, state: Record) -> None:
        blocks.append(state["block"])
        restore(self, state)

    monkeypatch.setattr(StreamedSequences, "restore", spy)
    options = {"keep": 9, "checkpoint_every": 1, "init": "random", "dim": 30, "weight_decay": 0.01, **changes}
    plain = distill(config_of(tmp_path, teacher, **options))
    for step in (1, 3, 4):  # at step 4 the run is finished
        cut = tmp_path / f"cut{step}"
        shutil.copytree(plain, cut)
        for later in range(step + 1, 5):
            shutil.rmtree(cut / "checkpoints" / f"step-{later}")
        distill(config_of(tmp_path, teacher, **options, output=str(cut)), resume=True)
        assert same(plain, cut)
        assert read_metrics(plain) == read_metrics(cut)
        ends = [load_file(run / "checkpoints" / "step-4" / "training.safetensors") for run in (plain, cut)]
        assert "rest.projections.0.weight" in ends[0]
        assert ends[0].keys() == ends[1].keys()
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert blocks == ([1, 4, 6] if "streaming" in changes else [])  # earlier text is not tokenized again


def test_a_record_has_the_means_since_the_last_one(tmp_path: Path, teacher: str) -> None:
    """This holds for the last record, which covers fewer steps, and after a resume between two records."""
    changes = {"max_steps": 7, "checkpoint_every": 2, "keep": 9}
    single_steps = read_metrics(distill(config_of(tmp_path, teacher, output=str(tmp_path / "single"), **changes)))
    losses = {record["step"]: record for record in single_steps if record["kind"] == "train"}
    plain = distill(config_of(tmp_path, teacher, log_every=3, **changes))
    records = [record for record in read_metrics(plain) if record["kind"] == "train"]
    assert [record["step"] for record in records] == [3, 6, 7]
    for record, steps in zip(records, ((1, 2, 3), (4, 5, 6), (7,)), strict=True):
        for name in ("loss", "gradient_norm"):
            assert record[name] == pytest.approx(sum(losses[step][name] for step in steps) / len(steps), rel=1e-12)
        for name, value in record["terms"].items():
            mean = sum(losses[step]["terms"][name] for step in steps) / len(steps)
            assert value == pytest.approx(mean, rel=1e-12)
        assert record["learning_rate"] == losses[steps[-1]]["learning_rate"]
    for step in (2, 4, 6):
        resumed = tmp_path / f"resumed-{step}"
        shutil.copytree(plain, resumed)
        for later in range(step + 1, 8):
            shutil.rmtree(resumed / "checkpoints" / f"step-{later}", ignore_errors=True)
        distill(config_of(tmp_path, teacher, log_every=3, output=str(resumed), **changes), resume=True)
        assert read_metrics(resumed) == read_metrics(plain)
        assert same(resumed, plain)


def test_a_checkpoint_of_an_earlier_version_can_be_resumed(tmp_path: Path, teacher: str) -> None:
    """Its ``state.json`` has no means, so that the next record covers the steps since the resume, and no hashes."""
    plain = distill(config_of(tmp_path, teacher))
    lines = read_metrics(plain)
    shutil.rmtree(plain / "checkpoints" / "step-4")
    state = plain / "checkpoints" / "step-2" / "state.json"
    values = json.loads(state.read_text())
    for name in ("unrecorded", "checksum", "files", "inputs"):
        del values[name]
    values["data"]["content"] = "0"  # a hash of the text that is not used any more
    state.write_text(json.dumps(values))
    distill(config_of(tmp_path, teacher), resume=True)
    assert read_metrics(plain) == lines


def test_resuming_without_a_checkpoint_starts_anew(tmp_path: Path, teacher: str) -> None:
    plain = distill(config_of(tmp_path, teacher), resume=True)
    lines = read_metrics(plain)
    shutil.rmtree(plain / "checkpoints")
    distill(config_of(tmp_path, teacher), resume=True)
    assert read_metrics(plain) == lines


def test_resuming_with_other_settings_lists_them(tmp_path: Path, teacher: str) -> None:
    distill(config_of(tmp_path, teacher))
    changed = config_of(tmp_path, teacher, seed=1, terms={"mlm": 1}, log_every=3, keep=1)
    with pytest.raises(ConfigError) as caught:
        distill(changed, resume=True)
    lines = str(caught.value).splitlines()
    assert lines[1:-1] == ["  seed: 56 -> 1", "  terms: {'ce': 5.0, 'mlm': 2.0, 'cos': 1.0} -> {'mlm': 1.0}"]
    with pytest.raises(ConfigError, match=r"no run that can be resumed so; is it another command's.*'teacher'"):
        pretrain(PretrainConfig(**settings(tmp_path, model=teacher)), resume=True)


def test_a_folder_that_is_taken(tmp_path: Path, teacher: str) -> None:
    with pytest.raises(InputError, match="output must be another folder than that of the model"):
        distill(config_of(tmp_path, teacher, output=f"{teacher}/../{Path(teacher).name}"), overwrite=True)
    model = write_model(tmp_path / "model", seed=3)
    with pytest.raises(InputError, match="holds a model; name another folder"):
        distill(config_of(tmp_path, teacher, output=model))
    with pytest.raises(InputError, match="choose one"):
        distill(config_of(tmp_path, teacher), resume=True, overwrite=True)
    first = distill(config_of(tmp_path, teacher, tensorboard=True))
    with pytest.raises(InputError, match=r"holds a run; go on with it \(resume\)"):
        distill(config_of(tmp_path, teacher))
    second = distill(config_of(tmp_path, teacher, output=str(tmp_path / "second"), seed=5, tensorboard=True))
    distill(config_of(tmp_path, teacher, seed=5, tensorboard=True), overwrite=True)
    assert same(first, second)
    assert read_metrics(first) == read_metrics(second)
    assert len(list((first / "tensorboard").iterdir())) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        distill(config_of(tmp_path, teacher, output=str(tmp_path / "file")))


def test_a_card_of_ones_own_stays(tmp_path: Path, teacher: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "README.md").write_text("mine")
    folder = distill(config_of(tmp_path, teacher, max_steps=1))
    assert (folder / "README.md").read_text() == "mine"


def test_events_for_tensorboard(tmp_path: Path, teacher: str) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(distill(config_of(tmp_path, teacher, tensorboard=True)) / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.step for event in events.Scalars("evaluation/kl")] == [0, 2, 4]


def test_text_that_cannot_be_used(tmp_path: Path, teacher: str) -> None:
    def fails(content: bytes, match: str, **changes: Any) -> None:
        (tmp_path / "bad.txt").write_bytes(content)
        with pytest.raises(DataError, match=match):
            distill(config_of(tmp_path, teacher, data=[str(tmp_path / "bad.txt")], **changes), overwrite=True)

    for streaming in (False, True):
        fails(b"", "bad.txt", streaming=streaming)
        fails(b"a b c\n", "token|text", streaming=streaming)
        fails(b"a b\n" * 90 + b"c \xff d\n", r"bad\.txt:91: byte 0xff at byte 362 of the file", streaming=streaming)
    with pytest.raises(DataError, match=r"There is no file or folder .*gone\.txt"):
        distill(config_of(tmp_path, teacher, data=[str(tmp_path / "gone.txt")]))
    good = write_corpus(tmp_path / "good.txt")
    assert distill(config_of(tmp_path, teacher, data=[good])).is_dir()  # the failed runs left nothing behind
