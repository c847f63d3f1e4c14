"""The settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from ..config_fields import REQUIRED, Settings, setting


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Settings):
    """The model, the examples, and what is measured and shown."""

    model: str = setting(REQUIRED, "Model to evaluate: a folder, or a name on the hub.")
    data: list[str] = setting(REQUIRED, "Labelled examples: files, or names of `datasets`.", in_memory=True)
    task: str = setting("", "Task. Default: what the model was made for; of an encoder sentence-similarity.")
    compare: str = setting("", "Another model to compare it with, on the same examples.")
    columns: dict[str, str] = setting(
        None, "Columns of the files, if they have other names: text=sentence,label=class.", factory=dict
    )
    delimiter: str = setting("", "Separator of columns. Default: the one that the file's format or its header shows.")
    encoding: str = setting("", "Encoding of files of text, such as windows-1252 or utf-16. Default: utf-8.")
    split: str = setting("test", "Split to use of a data set that has several.")
    output: str = setting("", "Folder for evaluation.json, report.html and predictions.jsonl.", free=True)
    limit: int = setting(0, "Largest number of examples, drawn at random with the seed; 0 for all.")
    batch_tokens: int = setting(2048, "Tokens in a batch; bounds the memory.", free=True)
    device: str = setting("auto", "cpu, cuda, cuda:1, ..., or auto for a GPU if there is one.", free=True)
    runner: str = setting("", "What computes. Default: the engine on a CPU.", choices=("", "engine", "pytorch"))
    precision: str = setting(
        "auto",
        "Precision to compute in; auto is the fastest that is as good.",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    seed: int = setting(0, "Seed of the resamples, and of the examples drawn with LIMIT.")
    samples: int = setting(1000, "Bootstrap resamples of the intervals; 0 for no intervals.")
    worst: int = setting(20, "Number of errors to list.", free=True)
    speed: bool = setting(True, "Measure latency and throughput on this machine.", free=True)
    overwrite: bool = setting(False, "Replace an evaluation in OUTPUT.", free=True)

    def validate(self) -> None:
        """Check the values; the error names the field."""
        self._demand(bool(self.model), "model", "a folder or a name")
        self._demand(bool(self.data), "data", "at least one file")
        self._demand(bool(self.device), "device", "the name of a device, or auto")
        self._demand(self.batch_tokens >= 1, "batch_tokens", "at least 1")
        for name in ("limit", "seed", "samples", "worst"):
            self._demand(getattr(self, name) >= 0, name, "0 or more")
