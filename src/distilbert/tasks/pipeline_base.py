"""``Pipeline``: a model and its tokenizer that answer inputs in steps; the base of tasks, and of a user's own classes.

Legend: B inputs of a batch, S longest of them.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.hub import push_saved
from ..core.model_checks import IGNORED
from ..models.frameworks import FRAMEWORKS, framework_of
from .checks import check_count
from .columns import to_inputs
from .pipeline_steps import StepColumns, to_array, to_tensor

T = TypeVar("T")

# What fills the end of a shorter row; other columns are filled with 0, and ids with that of [PAD].
FILL_VALUES = {"labels": IGNORED, "special_tokens_mask": 1}


class Pipeline(ABC):
    """A model and its tokenizer that answer: the base of all tasks, and of classes of your own.

    A class of your own needs four methods, which are those of transformers::

        class Margin(Pipeline):
            def _sanitize_parameters(self, scale=None, **others):
                return {}, {}, {} if scale is None else {"scale": scale}  # for each of the three methods below

            def preprocess(self, text):
                return self.tokenizer(text, return_tensors=self.framework)

            def _forward(self, model_inputs):
                return self.model(**model_inputs)

            def postprocess(self, outputs, scale=1.0):
                return scale * float(outputs["logits"].max() - outputs["logits"].min())


        margin = Margin(model=model, tokenizer=tokenizer, scale=0.5)
        margin("a text"), margin(["one", "two"], batch_size=2, scale=2.0)

    Args:
        model: a loaded model, which runs as it is, in evaluation mode.
        tokenizer: for ``preprocess``.
        feature_extractor: no effect, and neither have ``image_processor``, ``processor``, ``modelcard``, ``framework``
            and ``binary_output``; they are known from transformers.
        image_processor: no effect.
        processor: no effect.
        modelcard: no effect.
        framework: no effect: the model decides it.
        task: name of the task, for its readers.
        device: where to run a PyTorch model; None: where it is.
        binary_output: no effect.
        batch_size: inputs that ``_forward`` gets at a time, in tensors of B rows, padded to (B, S).
        num_workers: no effect.
        **params: defaults of the arguments that ``_sanitize_parameters`` sorts.

    Raises:
        InputError: the model is not a loaded one, or cannot move to the device.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        feature_extractor: Any = None,
        image_processor: Any = None,
        processor: Any = None,
        modelcard: Any = None,
        framework: str | None = None,
        task: str = "",
        device: Any = None,
        binary_output: bool = False,
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,
        **params: Any,
    ) -> None:
        if isinstance(model, (str, os.PathLike)):
            raise InputError(
                f"A pipeline class takes a loaded model: AutoModel...from_pretrained({os.fspath(model)!r}) loads it."
            )
        check_count(batch_size, "batch_size", optional=True)
        self._model, self.tokenizer, self.batch_size, self._task = model, tokenizer, batch_size, task
        self.feature_extractor, self.image_processor = feature_extractor, image_processor
        self.processor, self.modelcard, self.binary_output = processor, modelcard, binary_output
        if device is not None:
            if self.framework != "pt":
                raise InputError(f"device= moves models of PyTorch, this is a {type(model).__name__}: leave it out.")
            model.to(FRAMEWORKS["pt"].module("device").pick_device(device))
        if hasattr(model, "eval"):
            model.eval()
        self._step_params = tuple(map(dict, self._sanitize_parameters(**params)))

    @abstractmethod
    def _sanitize_parameters(self, **params: Any) -> Sequence[Mapping[str, Any]]:
        """Return the arguments of ``preprocess``, ``_forward`` and ``postprocess`` among those of a call."""

    @abstractmethod
    def preprocess(self, inputs: Any, **params: Any) -> Any:
        """Turn one input into a dictionary of tensors with one row each, and of anything else."""

    @abstractmethod
    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        """Run the model."""

    @abstractmethod
    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """Turn what ``_forward`` gave for one input into its answer."""

    def __call__(
        self, inputs: Any, *, batch_size: int | None = None, num_workers: int | None = None, **params: Any
    ) -> Any:
        """Answer.

        Args:
            inputs: one input gives one answer, a list or a column a list, an iterator a lazy iterator.
            batch_size: replaces that of the constructor.
            num_workers: no effect.
            **params: replace the defaults of the constructor.
        """
        check_count(batch_size, "batch_size", optional=True)
        sorted_params = zip(self._step_params, self._sanitize_parameters(**params), strict=True)
        steps = tuple({**defaults, **given} for defaults, given in sorted_params)
        inputs = to_inputs(inputs)
        if is_single(inputs):
            return next(self._answer_batches([inputs], 1, steps))
        answers = self._answer_batches(iterate(inputs), batch_size or self.batch_size or 1, steps)
        return list(answers) if isinstance(inputs, list) else sized(answers, inputs)

    def _answer_batches(self, inputs: Iterable[Any], size: int, steps: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
        for_preprocess, for_forward, for_postprocess = steps
        preprocessed = (self.preprocess(each, **for_preprocess) for each in inputs)
        error: Exception | None = None
        while error is None:
            batch, error = read_chunk(preprocessed, size)
            if not batch:
                break
            if len(batch) == 1:
                outputs = [self.forward(batch[0], **for_forward)]
            else:
                outputs = split_rows(self.forward(self._join(batch), **for_forward), len(batch))
            for each in outputs:
                yield self.postprocess(each, **for_postprocess)
        if error is not None:
            raise error

    def forward(self, model_inputs: Any, **params: Any) -> Any:
        """Run :meth:`_forward` where the model is, without gradients; what it gives comes to the CPU."""
        if self.framework != "pt":
            return self._forward(model_inputs, **params)
        run = FRAMEWORKS["pt"].module("module_runner").run_on_device
        return run(self._forward, model_inputs, self.device, params)

    def _join(self, model_inputs: Sequence[Any]) -> StepColumns:
        """Join the columns of several inputs: tensors to (B, S, ...), padded; anything else to a list."""
        names = {frozenset(each) if isinstance(each, Mapping) else None for each in model_inputs}
        if len(names) != 1 or None in names:
            raise InputError("With batch_size=, preprocess() must return a dictionary of the same columns each time.")
        columns = StepColumns()
        for name in model_inputs[0]:
            values = [each[name] for each in model_inputs]
            if not all(len(getattr(value, "shape", ())) for value in values):
                columns[name] = values
                continue
            fill = FILL_VALUES.get(name, 0)
            if name == "input_ids":
                fill = getattr(self.tokenizer, "pad_token_id", None) or 0
            left = getattr(self.tokenizer, "padding_side", "right") == "left"
            columns[name] = to_tensor(join_rows([to_array(value) for value in values], fill, left), self.framework)
        return columns

    def predict(self, X: Any) -> Any:
        """Answer ``X``, as estimators of scikit-learn name it."""
        return self(X)

    def transform(self, X: Any) -> Any:
        """Answer ``X``, as estimators of scikit-learn name it."""
        return self(X)

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], safe_serialization: bool = True, **options: Any
    ) -> None:
        """Write model and tokenizer into a folder.

        Args:
            save_directory: the folder; it is created if needed.
            safe_serialization: False writes ``pytorch_model.bin`` instead of safetensors, of a PyTorch model.
            **options: further arguments of the model's ``save_pretrained``.
        """
        if not safe_serialization:
            options["safe_serialization"] = False
        self.model.save_pretrained(save_directory, **options)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(save_directory)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload model and tokenizer; arguments and result are those of :func:`distilbert.core.hub.push`."""
        return push_saved(self.save_pretrained, repo_id, **options)

    @property
    def model(self) -> Any:
        """The model."""
        return self._model

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._task

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        config: DistilBertConfig = self.model.config
        return config

    @property
    def framework(self) -> str:
        """``"pt"``, ``"tf"`` or ``"flax"``; ``"np"`` of a model without a framework."""
        if hasattr(self.model, "named_parameters") and hasattr(self.model, "forward"):
            return "pt"
        try:
            framework = framework_of(self.model)
        except InputError:
            return "np"
        return next(name for name, each in FRAMEWORKS.items() if each is framework)

    @property
    def device(self) -> Any:
        """Where a PyTorch model is; None of another."""
        return next(self.model.parameters()).device if self.framework == "pt" else None

    @property
    def dtype(self) -> Any:
        """Floating type of the model's weights; None if it does not say."""
        return getattr(self.model, "dtype", None)

    torch_dtype = dtype  # its older name


def is_single(inputs: Any) -> bool:
    """Whether ``inputs`` is one input, not a list or another iterable of inputs."""
    if inputs is None or isinstance(inputs, (str, bytes, tuple, Mapping)):
        return True
    return not (isinstance(inputs, Iterable) or (hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")))


def iterate(inputs: Any) -> Iterable[Any]:
    """Iterate over anything iterable, or over a dataset that only has ``len`` and indices."""
    return inputs if isinstance(inputs, Iterable) else (inputs[index] for index in range(len(inputs)))


def read_chunk(source: Iterator[T], size: int) -> tuple[list[T], Exception | None]:
    """Return the next ``size`` items, fewer at the end; and the error that ended the source after them, or None."""
    chunk: list[T] = []
    try:
        for item in islice(source, size):
            chunk.append(item)
    except Exception as error:
        return chunk, error
    return chunk, None


class SizedAnswers(Iterator[Any]):
    """The answers to inputs whose number is known, for progress bars; lazy, and to be read once."""

    def __init__(self, answers: Iterator[Any], size: int) -> None:
        self._answers, self._size = answers, size

    def __next__(self) -> Any:
        return next(self._answers)

    def __len__(self) -> int:
        return self._size


def sized(answers: Iterator[Any], inputs: Any) -> Iterator[Any]:
    """Return answers with the number of their inputs, if it is known."""
    try:
        return SizedAnswers(answers, len(inputs))
    except TypeError:
        return answers


def join_rows(arrays: Sequence[np.ndarray], fill: float, left: bool) -> np.ndarray:
    """Join arrays of one row each, (1, S, ...), to (B, S, ...), filled up at one side.

    Raises:
        InputError: one has more rows.
    """
    if any(len(array) != 1 for array in arrays):
        raise InputError(
            "With batch_size=, the tensors of preprocess() must have one row, as the tokenizer returns them with "
            f"return_tensors=; one has the shape {next(each.shape for each in arrays if len(each) != 1)}."
        )
    if arrays[0].ndim == 1:
        return np.concatenate(arrays)
    longest = max(array.shape[1] for array in arrays)
    joined = np.full((len(arrays), longest, *arrays[0].shape[2:]), fill, dtype=arrays[0].dtype)
    for row, array in zip(joined, arrays, strict=True):
        length = array.shape[1]
        row[longest - length if left else 0 : None if left else length] = array[0]
    return joined


def split_rows(outputs: Any, count: int) -> list[Any]:
    """Split the outputs of a batch into those of each input: rows of tensors (1, ...), and the entries of lists."""

    def row(value: Any, index: int) -> Any:
        if len(getattr(value, "shape", ())):
            return value[index : index + 1]
        if isinstance(value, tuple):
            return tuple(row(each, index) for each in value)
        return value[index] if isinstance(value, list) and len(value) == count else value

    if isinstance(outputs, Mapping):
        return [StepColumns({name: row(value, index) for name, value in outputs.items()}) for index in range(count)]
    return [row(outputs, index) for index in range(count)]
