"""Distil a sentence encoder of three layers, by several losses and students, on equal text.

    python recipes/sentences/run.py [--data ../shared/data] [--only NAME ...]

Run `make minilm` first, which writes the teacher, all-MiniLM-L6-v2. An interrupted run is resumed and a finished one is
not repeated; with ``--only`` and no name, nothing is trained and the newest checkpoints are judged. Each student is
judged as it comes out of distillation, by STS-B: Spearman's correlation of cosines with the scores of people; and by
CLINC-150: the accuracy of a linear model of its vectors. So is the average of one of them with its start, in
models/sentences/halfway. The one that [package] names is written to models/sentences/distilbert-mini-embed, with the
most frequent entries of its vocabulary alone. Writes results.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distilbert import AutoTokenizer, DistilBertModel, DistillConfig, EvaluateConfig, distill, evaluate, fit
from distilbert.models.pytorch.surgery import keep_tokens
from distilbert.text.tokenizer_files import write_spec
from distilbert.text.vocabulary_trimming import trim_vocabulary
from distilbert.training.distill_models import with_layers

HERE = Path(__file__).parent
FOLDER = Path("models/sentences")
RESULTS = HERE / "results.json"


def train(name: str, settings: dict[str, Any], data: Path) -> dict[str, Any]:
    """Start or resume a run, unless it is finished, and return its summary."""
    summary = FOLDER / name / "summary.json"
    if not summary.is_file():
        config = DistillConfig(output=str(FOLDER / name), data=[str(data / "text")], **settings)
        distill(config, resume=True)
    return dict(json.loads(summary.read_text(encoding="utf-8")))


def judge(model: Path, data: Path) -> dict[str, float]:
    """Return what a model reaches on two development sets without being tuned, times 100.

    ``stsb`` is Spearman's correlation of cosines with people's scores, ``clinc150`` the accuracy of a linear model.
    """
    config = EvaluateConfig(
        model=str(model),
        task="sentence-similarity",
        data=[str(data / "stsb/dev.tsv")],
        precision="fp32",
        samples=0,
        speed=False,
    )
    correlation = evaluate(config, verbose=False).metrics["spearman"]
    questions = {name: [str(data / f"clinc150/{part}.tsv")] for name, part in (("data", "train"), ("eval_data", "dev"))}
    output = str(FOLDER / "clinc150")
    accuracy = fit(**questions, model=str(model), output=output, overwrite=True, baselines=False).metrics["accuracy"]
    return {"stsb": round(100 * correlation, 2), "clinc150": round(100 * accuracy, 2)}


def newest(name: str) -> tuple[int, Path] | None:
    """Return the steps and the model of the newest checkpoint of a run, if it has one."""
    steps = [int(path.name.removeprefix("step-")) for path in (FOLDER / name / "checkpoints").glob("step-*")]
    return (max(steps), FOLDER / name / "checkpoints" / f"step-{max(steps)}" / "model") if steps else None


def average(model: Path, teacher: str, layers: str, share: float, target: Path) -> None:
    """Write the mean of a student's weights and of those it started from (arXiv 2109.01903).

    Args:
        model: the student.
        teacher: whose layers it started from.
        layers: their numbers, such as ``"0,1,2"``.
        share: of the student in the mean.
        target: folder to write.
    """
    mean = with_layers(DistilBertModel.from_pretrained(teacher), [int(number) for number in layers.split(",")])
    start, end = mean.state_dict(), DistilBertModel.from_pretrained(model).state_dict()
    mean.load_state_dict({name: (1 - share) * start[name] + share * end[name] for name in start})
    mean.save_pretrained(target)
    AutoTokenizer.from_pretrained(model).save_pretrained(target)


def trim(model: Path, size: int, data: Path, target: Path) -> None:
    """Write a model with the entries of its vocabulary that are most frequent in the texts it was trained on."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    counts = np.zeros(len(tokenizer), np.int64)
    for path in sorted((data / "text").rglob("*.txt")):
        for ids in tokenizer(path.read_text(encoding="utf-8").splitlines(), verbose=False)["input_ids"]:
            counts += np.bincount(ids, minlength=len(counts))
    spec, rows = trim_vocabulary(tokenizer.spec, counts, size)
    encoder = DistilBertModel.from_pretrained(model)
    keep_tokens(encoder, torch.from_numpy(rows))
    encoder.save_pretrained(target)
    write_spec(spec, target)
    shutil.copyfile(HERE / "distilbert-mini-embed.md", target / "README.md")


def main() -> None:
    """Do the runs that are not finished and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", help="attempts to do; default: all; none: judge what is there")
    arguments = parser.parse_args()
    plan = tomllib.loads((HERE / "sentences.toml").read_text(encoding="utf-8"))
    for name, values in plan["attempts"].items():
        if arguments.only is None or name in arguments.only:
            train(name, plan["common"] | values, arguments.data)
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    results["teacher"] = judge(Path(plan["common"]["teacher"]), arguments.data)
    for name, values in plan["attempts"].items():
        found = newest(name)
        if found is not None:
            results[name] = {"steps": found[0]} | judge(found[1], arguments.data)
            if "teacher" in values:
                results[name]["teacher"] = judge(Path(values["teacher"]), arguments.data)
    mix = plan["average"]
    if (found := newest(mix["attempt"])) is not None:
        target = FOLDER / mix["name"]
        layers = plan["attempts"][mix["attempt"]]["layers"]
        average(found[1], plan["common"]["teacher"], layers, mix["share"], target)
        results[mix["name"]] = {"share": mix["share"]} | judge(target, arguments.data)
    package = plan["package"]
    if (found := newest(package["attempt"])) is not None:
        target = FOLDER / "distilbert-mini-embed"
        trim(found[1], package["vocabulary"], arguments.data, target)
        results["distilbert-mini-embed"] = {"vocabulary": package["vocabulary"]} | judge(target, arguments.data)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
