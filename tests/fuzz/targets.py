"""What is damaged and then used: model folders in every format, data files, checkpoints, unfinished work, settings."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from distilbert import AutoTokenizer, DistilBertError, FinetuneConfig, convert, distill, pipeline
from distilbert.cli import invoke
from distilbert.data.labelled import read_examples
from distilbert.training.distill_config import DistillConfig
from tests.behaviour.make_models import make
from tests.training.evaluation.task_cases import write_data, write_model
from tests.training.tiny_run import settings
from tests.training.tiny_run import write_model as write_teacher

TEXTS = ["a good film", "the worst book in new york 😀", "", "x" * 40 + " two three!"]
QUESTION = {"question": "who made the film?", "context": "mary made a good film in berlin"}
INPUTS: dict[str, tuple[str, Any]] = {
    "labels": ("text-classification", [text for text in TEXTS if text]),
    "entities": ("token-classification", [text for text in TEXTS if text]),
    "answers": ("question-answering", QUESTION),
    "masked-lm": ("fill-mask", "a [MASK] film"),
    "encoder": ("feature-extraction", [text for text in TEXTS if text]),
}
TOKENIZER = ("vocab.txt", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Target:
    """Something that reads files from outside.

    Attributes:
        build: writes the whole files into an empty folder.
        use: reads them and returns what came out; called in that folder.
        files: patterns of those that are damaged, one at a time.
        weight: how many of the cases it gets, beside the others.
        may_differ: whether another answer may come out: where the files say nothing that would tell the damage.
    """

    build: Callable[[Path], None]
    use: Callable[[], Any]
    files: tuple[str, ...]
    weight: float = 1.0
    may_differ: bool = True


def model(kind: str, to: str = "safetensors", files: tuple[str, ...] = (), weight: float = 1.0) -> Target:
    """A model folder of a kind, with its weights in a format, answering its task."""
    task, inputs = INPUTS[kind]

    def build(folder: Path) -> None:
        made = make(folder, kind)
        AutoTokenizer.from_pretrained(made).save_pretrained(made)
        if to == "sharded":
            from distilbert import AutoModelForSequenceClassification

            AutoModelForSequenceClassification.from_pretrained(made).save_pretrained(made, max_shard_size="20KB")
        elif to != "safetensors":
            convert(made, folder / "converted", to=to)
            shutil.rmtree(made)
            (folder / "converted").rename(made)

    def use() -> Any:
        return pipeline(task, kind, precision="fp32")(inputs)

    return Target(build, use, tuple(f"{kind}/{name}" for name in files), weight)


def quantized() -> Target:
    """An int8 model; its products run by plain operations where the CPU has none."""

    def build(folder: Path) -> None:
        from distilbert.training.evaluation.quantizer import quantize
        from tests.any_cpu import allow_int8

        allow_int8(pytest.MonkeyPatch())
        task = "text-classification"
        source = write_model(folder / "source", task)
        data = write_data(folder, task, count=64)
        quantize(source, calibration=data, metric_data=data, output=folder / "model", max_drop=90)

    def use() -> Any:
        return pipeline("text-classification", "model", precision="int8")(["a b c", "d e f g"])

    return Target(build, use, ("model/quantization.safetensors", "model/config.json"), 1.5)


TABLES: dict[str, tuple[str, bytes]] = {
    "rows.csv": ("text-classification", b'text,label\n"a ""good"" film, really",1\nbad,0\nfine,1\n'),
    "rows.tsv": ("text-classification", "text\tlabel\na good film\tpos\nschlecht ß\tneg\n".encode()),
    "rows.jsonl": ("text-classification", b'{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": []}\n'),
    "rows.json": ("text-classification", b'[{"text": "a", "label": 1.5}, {"text": "b", "label": 2}]'),
    "tags.conll": ("token-classification", b"-DOCSTART- O\n\na B-PER\nb I-PER\n\nc O\nd S-LOC\n"),
    "spans.jsonl": ("token-classification", b'{"text": "mary made it", "labels": [[0, 4, "PER"]]}\n'),
    "squad.json": (
        "question-answering",
        json.dumps(
            {"data": [{"paragraphs": [{"context": "a b c", "qas": [
                {"id": "1", "question": "b?", "answers": [{"text": "b", "answer_start": 2}]}
            ]}]}]}
        ).encode(),
    ),
    "choices.jsonl": ("multiple-choice", b'{"question": "q", "choices": ["a", "b"], "label": 1}\n'),
    "lines.txt": ("fill-mask", "a line\nanother one 😀\n\nlast\n".encode()),
}  # fmt: skip


def table(name: str, compressed: bool = False) -> Target:
    """A file of labelled data."""
    task, content = TABLES[name]
    file = f"{name}.gz" if compressed else name

    def build(folder: Path) -> None:
        (folder / file).write_bytes(gzip.compress(content, mtime=0) if compressed else content)

    def use() -> Any:
        return [repr(example) for example in read_examples(task, [file], labelled=False).examples]

    return Target(build, use, (file,), 0.6)


def parquet() -> Target:
    """A table with names of classes, as the library ``datasets`` writes it."""

    def build(folder: Path) -> None:
        import pyarrow.parquet

        rows = [{"text": f"text {number}", "label": number % 2} for number in range(50)]
        features = {"text": {"dtype": "string"}, "label": {"names": ["bad", "good"], "_type": "ClassLabel"}}
        table = pyarrow.Table.from_pylist(rows)
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pyarrow.parquet.write_table(table, folder / "rows.parquet")

    def use() -> Any:
        return [repr(example) for example in read_examples("text-classification", ["rows.parquet"]).examples]

    return Target(build, use, ("rows.parquet",), 0.6)


def sentence_modules() -> Target:
    """A folder of sentence-transformers: pooling, a dense layer, a greatest length."""

    def build(folder: Path) -> None:
        made = make(folder, "encoder")
        (made / "modules.json").write_text(
            json.dumps(
                [
                    {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
                    for number, (path, kind) in enumerate(
                        (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_N", "Normalize"))
                    )
                ]
            )
        )
        dim = json.loads((made / "config.json").read_text())["dim"]
        (made / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12, "do_lower_case": False}))
        prompts = {"prompts": {"query": "a query: "}, "default_prompt_name": "query", "similarity_fn_name": "cosine"}
        (made / "config_sentence_transformers.json").write_text(json.dumps(prompts))
        (made / "1_Pooling").mkdir()
        pooling = {"word_embedding_dimension": dim, "pooling_mode_mean_tokens": True, "include_prompt": True}
        (made / "1_Pooling/config.json").write_text(json.dumps(pooling))
        (made / "2_Dense").mkdir()
        activation = "torch.nn.modules.activation.Tanh"
        dense = {"in_features": dim, "out_features": 8, "bias": True, "activation_function": activation}
        (made / "2_Dense/config.json").write_text(json.dumps(dense))
        draw = np.random.default_rng(0)
        tensors = {"linear.weight": draw.standard_normal((8, dim)), "linear.bias": draw.standard_normal(8)}
        save_file({name: x.astype(np.float32) for name, x in tensors.items()}, made / "2_Dense/model.safetensors")
        (made / "3_N").mkdir()

    def use() -> Any:
        inputs = {"source_sentence": "a good film", "sentences": ["the worst book", "a film in berlin"]}
        return pipeline("sentence-similarity", "encoder", precision="fp32")(inputs)

    names = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json")
    names += ("2_Dense/config.json", "2_Dense/model.safetensors")
    return Target(build, use, tuple(f"encoder/{name}" for name in names), 2)


def exported(to: str, runner: str, files: tuple[str, ...]) -> Target:
    """A model folder in another format, with its runner."""

    def build(folder: Path) -> None:
        from distilbert.exporting.exporter import export

        made = make(folder, "labels")
        export(made, folder / "exported", to=to, precision="fp32")
        shutil.rmtree(made)

    def use() -> Any:
        return pipeline("text-classification", "exported", runner=runner)(INPUTS["labels"][1])

    return Target(build, use, tuple(f"exported/{name}" for name in files), 1)


def unfinished() -> Target:
    """An interrupted ``distilbert run``, gone on with."""

    def build(folder: Path) -> None:
        make(folder, "labels")
        rows = "".join(json.dumps({"text": f"a film {number}"}) + "\n" for number in range(900))
        (folder / "in.jsonl").write_text(rows)
        before = Path.cwd()
        os.chdir(folder)
        try:
            from distilbert.cli.run.result_writers import PartialOutputWriter

            write, windows = PartialOutputWriter.write, []

            def interrupted(self: Any, *rows: Any) -> None:
                write(self, *rows)
                windows.append(rows)
                raise KeyboardInterrupt

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(PartialOutputWriter, "write", interrupted)
                assert invoke(COMMAND) == 130
            assert len(windows) == 1
            assert Path("out.jsonl.part").is_file()
        finally:
            os.chdir(before)

    def use() -> Any:
        return _command([*COMMAND, "--resume"], Path("out.jsonl"))

    return Target(build, use, ("out.jsonl.part.json", "out.jsonl.part"), 0.6, may_differ=False)


COMMAND = ["run", "--task", "text-classification", "--model", "labels", "--input", "in.jsonl", "--column", "text"]
COMMAND += ["--output", "out.jsonl", "--precision", "fp32", "--batch-tokens", "24"]


def _command(arguments: list[str], output: Path) -> Any:
    """Run a command in this process; its output is the answer.

    Raises:
        DistilBertError: the command said that something is wrong.
    """
    code = invoke(arguments)
    if code != 0:
        assert not output.exists(), "it failed, and left an output"
        raise DistilBertError(f"exit code {code}")
    return output.read_bytes()


def checkpoint() -> Target:
    """A training run that is resumed from a checkpoint."""

    def config() -> DistillConfig:
        here = Path.cwd()
        return DistillConfig(**settings(here, teacher="teacher", data=["text.txt"], output="run", max_steps=2))

    def build(folder: Path) -> None:
        from tests.training.tiny_run import write_corpus

        before = Path.cwd()
        os.chdir(folder)
        try:
            write_teacher(Path("teacher"))
            write_corpus(Path("text.txt"))
            values = settings(folder, teacher="teacher", data=["text.txt"], output="run", max_steps=2)
            distill(DistillConfig(**values | {"checkpoint_every": 1, "keep": 2}), verbose=False)
            shutil.rmtree(Path("run/checkpoints/step-2"))
        finally:
            os.chdir(before)

    def use() -> Any:
        distill(config(), resume=True, verbose=False)
        return Path("run/model.safetensors").read_bytes().hex()

    names = ("state.json", "training.safetensors", "model/model.safetensors", "model/config.json", "model/vocab.txt")
    files = tuple(f"run/checkpoints/step-1/{name}" for name in names)
    cache = tuple(f"run/cache/*/{name}" for name in ("meta.json", "tokens.bin", "ends.bin", "counts.bin"))
    return Target(build, use, (*files, *cache, "run/config.toml", "run/metrics.jsonl"), 0.2, may_differ=False)


def toml() -> Target:
    def build(folder: Path) -> None:
        FinetuneConfig(task="text-classification", model="m", train_data=["a.csv"], output="o").save(folder / "c.toml")

    def use() -> Any:
        return FinetuneConfig.load("c.toml").to_dict()

    return Target(build, use, ("c.toml",), 0.5)


CONFIG = ("config.json",)
TARGETS: dict[str, Target] = {
    "config": model("labels", files=CONFIG, weight=4),
    "config of tags": model("entities", files=CONFIG),
    "config of answers": model("answers", files=CONFIG),
    "config of a masked LM": model("masked-lm", files=CONFIG),
    "tokenizer": model("labels", files=TOKENIZER, weight=4),
    "tokenizer of tags": model("entities", files=TOKENIZER),
    "tokenizer of answers": model("answers", files=TOKENIZER),
    "safetensors": model("labels", files=("model.safetensors",), weight=3),
    "shards": model("labels", "sharded", ("model.safetensors.index.json", "model-00001-of-*.safetensors"), 1),
    "bin": model("labels", "pytorch_model.bin", ("pytorch_model.bin",), 2),
    "h5": model("labels", "tf_model.h5", ("tf_model.h5",), 1),
    "msgpack": model("labels", "flax_model.msgpack", ("flax_model.msgpack",), 2),
    "quantization": quantized(),
    **{name: table(name) for name in TABLES},
    "rows.csv.gz": table("rows.csv", compressed=True),
    "rows.jsonl.gz": table("rows.jsonl", compressed=True),
    "parquet": parquet(),
    "sentence modules": sentence_modules(),
    "onnx": exported("onnx", "onnxruntime", ("onnx/model.onnx", "config.json", "export.json")),
    "openvino": exported(
        "openvino", "openvino", ("openvino_model.xml", "openvino_model.bin", "config.json", "export.json")
    ),
    "unfinished run": unfinished(),
    "checkpoint": checkpoint(),
    "toml": toml(),
}


def has_nan(answer: Any) -> bool:
    """Say whether an answer contains a number that is not finite."""
    if isinstance(answer, dict):
        return any(map(has_nan, answer.values()))
    if isinstance(answer, (list, tuple)):
        return any(map(has_nan, answer))
    if isinstance(answer, np.ndarray):
        return not np.isfinite(answer).all()
    return isinstance(answer, float) and not np.isfinite(answer)
