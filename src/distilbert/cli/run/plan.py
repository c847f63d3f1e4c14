"""What a ``distilbert run`` was asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import InputError, UsageError
from ...data.addresses import has_wildcards, is_address
from ...data.text_lines import check_encoding
from ...tasks.registry import task_spec
from ...tasks.sentence_similarity import SPEC as RANKING


@dataclass
class RunPlan:
    """The command line of one run, checked as far as it can be without reading or loading anything.

    Attributes:
        task: name of the task; None: what the model was made for.
        input: file to read; None: standard input.
        output: file to write; None: print the results.
        column: the value of ``--column``.
        format: the value of ``--format``.
        source: the sentence that the sentences of the input are compared with, in place of answering row by row.
        overwrite: replace the output.
        resume: go on with the partial output of an earlier run.
        keep_input: write each result joined to its row.
        delimiter: the value of ``--delimiter``.
        encoding: the value of ``--encoding``.
        on_error: what a row that cannot be used does: ``"null"`` gives null in its place, ``"skip"`` leaves it out,
            ``"stop"`` ends the work. Empty: null for a file, stop for standard input. A ranking has no places, so there
            null is skip.
        progress: draw a progress bar; None: where people see it.
        top_k: with ``source``, how many sentences to write; None: all.
        loading: what ``pipeline`` takes besides the task.
        task_options: options that set parameters of the task, such as ``--stride``, with their values.
        parameters: parameters of the task, by name.
        contents: hashes of the input and the model; see ``content_hashes``.
        workers: the value of ``--workers``.
        ray: the value of ``--ray``.
        shard_rows: the value of ``--shard-rows``.
        shard_format: the value of ``--shard-format``.
        vector_name: the key under which the answer, a vector, stands in a result; empty: it stands alone.
        output_format: of the output; empty: what its name or ``--format`` tells.

    Raises:
        UsageError: the task does not exist, or options contradict each other.
    """

    task: str | None = None
    input: str | None = None
    output: str | None = None
    column: str | None = None
    format: str = "infer"
    source: str | None = None
    overwrite: bool = False
    resume: bool = False
    keep_input: bool = False
    delimiter: str = ""
    encoding: str = ""
    on_error: str = ""
    progress: bool | None = None
    top_k: int | None = None
    loading: dict[str, Any] = field(default_factory=dict)
    task_options: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    workers: int | None = None
    ray: str | None = None
    shard_rows: int | None = None
    shard_format: str | None = None
    vector_name: str = ""
    output_format: str = ""

    def __post_init__(self) -> None:
        if self.task is not None:
            try:
                self.task = task_spec(self.task).name
            except InputError as error:
                raise UsageError(str(error)) from None
        self.on_error = self.on_error or ("stop" if self.input is None else "null")
        if self.source is not None and self.on_error == "null":
            self.on_error = "skip"
        self.encoding = check_encoding(self.encoding)
        if self.resume and (self.input is None or self.output is None or self.source is not None):
            raise UsageError("--resume goes with --input and --output, and not with --source.")
        if self.source is not None:
            self._check_ranking()

    def _check_ranking(self) -> None:
        if self.task not in (None, RANKING.name):
            raise UsageError(f"--source ranks sentences: it goes with --task {RANKING.name}, not {self.task}.")
        self.task = RANKING.name
        if not (self.source or "").strip():
            raise UsageError("--source is empty: give the sentence that the others are compared to.")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"--top-k must be at least 1, got {self.top_k}.")

    @property
    def is_sharded(self) -> bool:
        """Whether the answers go into a folder of shards and not into one file."""
        if any(value is not None for value in (self.workers, self.ray, self.shard_rows, self.shard_format)):
            return True
        several = self.input is not None and (
            is_address(self.input) or has_wildcards(self.input) or Path(self.input).is_dir()
        )
        output = self.output
        return several or (output is not None and (output.endswith("/") or is_address(output) or Path(output).is_dir()))

    @property
    def can_resume(self) -> bool:
        """Whether a run that is interrupted can go on later: its input can be read again, and rows are answered one
        after the other."""
        return self.input is not None and self.source is None

    def parameters_of(self, task: str) -> dict[str, Any]:
        """Return all parameters for a task. An option that it does not have keeps its name, and so is refused.

        Raises:
            UsageError: an option and ``--param`` set the same one.
        """
        names = {option: name for name, option in task_spec(task).options.items()}
        values = {
            names.get(option, option.removeprefix("--").replace("-", "_")): value
            for option, value in self.task_options.items()
        }
        if both := sorted(values.keys() & self.parameters.keys()):
            raise UsageError(f"--param {both[0]} and the option for it are both given; leave one out.")
        return values | self.parameters

    @property
    def identity(self) -> dict[str, Any]:
        """What the results depend on."""
        names = ("task", "column", "format", "delimiter", "encoding", "keep_input", "source", "loading")
        values = {name: getattr(self, name) for name in (*names, "task_options", "parameters")}
        values["on_error"] = "null" if self.on_error == "null" else "stop or skip"  # whether such rows are written
        values |= self.contents
        if self.input is None:
            return {"input": None} | values
        path = Path(self.input).resolve()
        return {"input": str(path), "size": path.stat().st_size} | values
