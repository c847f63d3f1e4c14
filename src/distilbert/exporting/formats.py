"""The formats of an export: what runs them, their precisions, files, inputs and outputs.

Legend: B batch, C choices, S sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError, suggest
from ..core.extras import require
from .libraries import EXTRA, import_nncf, import_openvino

PRECISIONS = ("fp32", "fp16", "int8")  # the most exact one first
INPUTS = ("input_ids", "attention_mask")  # of every export
OUTPUTS = {"": ("last_hidden_state",), "ForQuestionAnswering": ("start_logits", "end_logits")}  # others: logits
UNSAFE = (
    "A model.pt2 is not run from a folder: reading one can run code that is hidden in it. Export the model --to onnx "
    "or --to openvino and run that, or read a file of your own with torch.export.load."
)


@dataclass(frozen=True)
class Format:
    """A format, one of the values of ``--to``.

    Attributes:
        name: that value.
        runner: name of the runner that reads it; None if there is none.
        libraries: what is needed to write it.
        files: precision -> paths in the folder; the first one is opened.
    """

    name: str
    runner: str | None
    libraries: tuple[str, ...]
    files: dict[str, tuple[str, ...]]

    def check(self, precision: str) -> None:
        """Check that this format has a precision and that its libraries are installed.

        Raises:
            InputError: the format has no such precision.
            MissingExtraError: a library is not installed.
        """
        if precision not in self.files:
            hint = suggest(precision, self.files)
            raise InputError(f"An export to {self.name} comes in {', '.join(self.files)}, not in {precision!r}.{hint}")
        for library in self.libraries:
            require(library, "torch" if library == "torch" else EXTRA)
        if self.name == "openvino":
            import_openvino()
            if precision == "int8":
                import_nncf()


FORMATS = {
    each.name: each
    for each in (
        Format(
            "onnx",
            "onnxruntime",
            ("torch", "onnx", "onnxscript", "onnxruntime"),
            {
                "fp32": ("onnx/model.onnx",),
                "fp16": ("onnx/model_fp16.onnx",),
                "int8": ("onnx/model_quantized.onnx",),
            },
        ),
        Format(
            "openvino",
            "openvino",
            ("torch",),
            dict.fromkeys(PRECISIONS, ("openvino_model.xml", "openvino_model.bin")),
        ),
        Format("torch", None, ("torch",), dict.fromkeys(PRECISIONS[:2], ("model.pt2",))),
    )
}
RUNNERS = {each.runner: each for each in FORMATS.values() if each.runner is not None}


def find_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        InputError: there is no such format.
    """
    if name not in FORMATS:
        raise InputError(f"There is no export to {name!r}.{suggest(name, FORMATS)} Formats are: {', '.join(FORMATS)}.")
    return FORMATS[name]


def format_of_runner(name: str) -> Format:
    """Return the format that a runner reads.

    Raises:
        InputError: there is no such runner, or no safe one.
    """
    if name == "torch":
        raise InputError(UNSAFE)
    if name not in RUNNERS:
        hint = f" {name} runs in {FORMATS[name].runner}." if name in FORMATS else suggest(name, RUNNERS)
        raise InputError(f"There is no runner {name!r}.{hint} Exports run in: {', '.join(RUNNERS)}.")
    return RUNNERS[name]


def exported_files(folder: Path) -> list[str]:
    """Return the paths of all exports in a folder, as :data:`FORMATS` names them."""
    names = dict.fromkeys(paths[0] for each in FORMATS.values() for paths in each.files.values())
    return [name for name in names if (folder / name).is_file()]


def output_names(head: str) -> tuple[str, ...]:
    """Return the names of what a model with this head computes, in order."""
    return OUTPUTS.get(head, ("logits",))


def input_rank(head: str) -> int:
    """Return the number of dimensions of the ids: 2 for (B, S), and 3 for (B, C, S) of multiple choice."""
    return 3 if head == "ForMultipleChoice" else 2
