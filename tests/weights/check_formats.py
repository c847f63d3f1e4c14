"""Check by hand that transformers 4.57.6 loads ``tf_model.h5`` and ``flax_model.msgpack`` as this package writes them.

``record_formats.py`` says how to make the two environments. From the repository's root, the first line in the
project's own environment:

    python -m tests.weights.check_formats write FOLDER
    tf/bin/python tests/weights/check_formats.py tf FOLDER
    flax/bin/python tests/weights/check_formats.py flax FOLDER

The last two load every head, each in a process of its own, as a user would, and end in an error unless the outputs
equal those of this package's PyTorch models and nothing was reported missing, left over or misshapen.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-5
FORMATS = {"tf": "tf_model.h5", "flax": "flax_model.msgpack"}


def write(folder: Path) -> None:
    """Save a tiny model of every head in both formats, with inputs and outputs."""
    import torch

    from distilbert import convert
    from tests.tiny import HEAD_NAMES, tiny_inputs, tiny_model

    for head in HEAD_NAMES:
        for tied in (True, False) if head == "ForMaskedLM" else (True,):
            model = tiny_model(head, tie_word_embeddings=tied)
            inputs = tiny_inputs(head)
            inputs["attention_mask"][3, ..., 0] = 1  # a row of nothing but padding has no defined outputs
            with torch.no_grad():
                outputs = model(**inputs)
            name = f"{type(model).__name__}{'' if tied else '-untied'}"
            model.save_pretrained(folder / "torch" / name)
            for framework, file in FORMATS.items():
                if framework == "tf" and not tied:
                    continue  # the TensorFlow class knows no untied projection
                target = folder / framework / name
                convert(folder / "torch" / name, target, to=file)
                arrays = {f"in/{key}": value.numpy().astype(np.int32) for key, value in inputs.items()}
                np.savez(target / "expected.npz", **arrays, **{f"out/{k}": v.numpy() for k, v in outputs.items()})


def load(framework: str, folder: Path) -> tuple[Any, list[str]]:
    """Return the model, and what the reference complained of while loading it."""
    import transformers

    complaints: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    name = folder.name.partition("-")[0]
    cls = getattr(transformers, f"{'TF' if framework == 'tf' else 'Flax'}{name}")
    logging.getLogger("transformers").addHandler(handler)
    if framework == "flax":
        model = cls.from_pretrained(folder)
    else:
        model, info = cls.from_pretrained(folder, output_loading_info=True)
        complaints += [f"{key}: {value}" for key, value in info.items() if value]
    return model, [text for text in complaints if "deprecated" not in text and not text.startswith("All ")]


def check(framework: str, folder: Path) -> None:
    """Load one folder and compare."""
    model, complaints = load(framework, folder)
    with np.load(folder / "expected.npz") as arrays:
        expected = dict(arrays)
    outputs = model(**{key.removeprefix("in/"): value for key, value in expected.items() if key.startswith("in/")})
    keep = expected["in/attention_mask"].astype(bool)
    worst = 0.0
    for key, wanted in expected.items():
        if key.startswith("out/"):
            difference = np.abs(np.asarray(outputs[key.removeprefix("out/")]) - wanted)
            per_token = difference.shape[: keep.ndim] == keep.shape
            worst = max(worst, float((difference[keep] if per_token else difference).max()))
    print(f"{framework} {folder.name}: largest difference {worst:.1e}{''.join(f'; {text}' for text in complaints)}")
    if worst > TOLERANCE or complaints:
        raise SystemExit(1)


def main(what: str, folder: Path) -> None:
    """Run one of the three steps."""
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    os.environ["JAX_PLATFORMS"] = "cpu"
    if what == "write":
        write(folder)
    elif (folder / "expected.npz").exists():
        check(what, folder)
    else:
        runs = [subprocess.run([sys.executable, __file__, what, path]) for path in sorted((folder / what).iterdir())]
        raise SystemExit(any(run.returncode for run in runs))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
