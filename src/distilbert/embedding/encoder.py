"""``Encoder``: from texts to vectors. Legend: n texts, B sequences of a batch, T packed tokens, D size of a vector."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError, suggest
from ..core.progress_bar import ProgressBar
from ..core.runner_protocol import AsynchronousRunner, Batch, Runner
from ..tasks.batching import IN_FLIGHT, cut_batches
from ..tasks.checks import check_choice, check_count, check_text
from ..tasks.columns import Column, to_inputs
from ..tasks.feature_extraction import FeatureExtractionPipeline
from ..tasks.finite_outputs import check_finite
from ..tasks.loading import pipeline
from ..tasks.pipeline_steps import to_tensor
from ..tasks.pooling import AUTO, POOLINGS, pool, pool_packed
from ..tasks.pooling import normalize as to_unit_length
from ..tasks.sentence_modules import SentenceModules
from ..tasks.windows import split_into_windows, stride_or_default, truncate
from .stored_precision import PRECISIONS, quantize_embeddings
from .vector_similarity import SIMILARITIES, compare_pairs, to_array

CHUNK = 16384  # texts that are tokenized, sorted by length and encoded together
LEAST_FOR_PROGRESS = 256  # texts; fewer take no time worth a bar
# What a text is encoded as, and the names that models give its prompt.
ROLES = {"query": ("query",), "document": ("document", "passage", "corpus")}


class Encoder:
    """Turns texts into vectors whose similarity is that of their meanings.

    On a CPU it needs no framework. A folder of sentence-transformers is read as that library reads it: with its
    pooling, its further modules, its longest text and its prompts. Any other model gives the mean of its tokens, and
    long texts are read whole, in windows.

    Args:
        model: a folder, the name of an installed model or of one on the hub, a loaded model (then with
            ``tokenizer=``), or a pipeline for feature extraction.
        pooling: makes one vector of a text: ``"mean"`` of its tokens, ``"cls"``, ``"max"``, ``"mean_sqrt_len"``,
            ``"weightedmean"`` or ``"lasttoken"``; ``"auto"``: what the folder says, else the mean.
        truncation: True cuts long texts, False reads them in windows; None: what the folder says, else windows.
        max_length: tokens of a text that ``truncation`` leaves; None: what the folder or the tokenizer says.
        truncate_dim: numbers of each vector to keep, for models that were trained for it; None: all.
        prompts: texts that stand before others, by name; they replace those of the folder.
        default_prompt_name: the one that stands before every text; None: that of the folder.
        similarity: how vectors are compared: ``"cosine"``, ``"dot"``, ``"euclidean"`` or ``"manhattan"``; None: what
            the folder says, else the cosine.
        precision: that the *model* computes in, as for :func:`~distilbert.pipeline`; :meth:`encode` has another
            argument of this name for the vectors.
        threads: as for :func:`~distilbert.pipeline`, and so are ``**options``, such as ``device`` and ``revision``.

    Attributes:
        task: the pipeline behind it; its ``.runner`` and ``.tokenizer`` do the work.
        pooling: as given.
        prompts: texts by name.
        recipe: arguments with which another encoder makes the same vectors, of queries and of documents.
        similarity_name: how vectors are compared.

    Raises:
        InputError: an argument cannot be used; the message names it.
        ModelNotFoundError: there is no such model.
    """

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any = None,
        pooling: str = AUTO,
        truncation: bool | None = None,
        max_length: int | None = None,
        truncate_dim: int | None = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> None:
        check_choice(pooling, (AUTO, *POOLINGS), "pooling")
        check_choice(truncation, (None, True, False), "truncation")
        check_count(max_length, "max_length", least=3, optional=True)
        check_count(truncate_dim, "truncate_dim", optional=True)
        if isinstance(model, FeatureExtractionPipeline):
            if options or tokenizer is not None or (precision, threads) != (None, None):
                raise InputError("The model is loaded already: leave the options of loading out.")
            self.task = model
        else:
            loaded = pipeline(
                "feature-extraction", model, tokenizer=tokenizer, precision=precision, threads=threads, **options
            )
            assert isinstance(loaded, FeatureExtractionPipeline)
            self.task = loaded
        self.pooling, self.truncation, self.max_length, self.truncate_dim = pooling, truncation, max_length, None
        modules = self.task.sentence_modules if pooling == AUTO else None
        self.prompts = dict(prompts if prompts is not None else modules.prompts if modules is not None else {})
        self._pools_prompt = modules is None or modules.pools_prompt
        self._default_prompt = modules.prompt if modules is not None and default_prompt_name is None else ""
        if default_prompt_name is not None:
            self._default_prompt = self._prompt(default_prompt_name, None)
        self.similarity_name = similarity or (modules.similarity if modules is not None else "cosine")
        check_choice(self.similarity_name, SIMILARITIES, "similarity")
        if truncate_dim is not None and truncate_dim > self.dimension:
            raise InputError(f"truncate_dim={truncate_dim} is more than the {self.dimension} numbers of a vector.")
        self.truncate_dim = truncate_dim

    def __repr__(self) -> str:
        runner = self.task.runner
        precision = getattr(runner, "precision", None)
        return (
            f"Encoder({self.name!r}, dimension={self.dimension}, pooling={self.pooling!r}, max_tokens="
            f"{self.max_tokens}{f', precision={precision!r}' if precision else ''})"
        )

    @property
    def name(self) -> str:
        """The folder that the model was read from, or the class of a loaded one."""
        folder = self.folder
        return str(folder) if folder is not None else type(self.task.model).__name__

    @property
    def folder(self) -> Path | None:
        """Where the model was read from."""
        return self.task.model_folder

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.task.tokenizer

    @property
    def runner(self) -> Runner:
        """What computes the hidden states."""
        return self.task.runner

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self.task.config

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        size = self._size(self.pooling)
        return min(size, self.truncate_dim or size)

    @property
    def max_tokens(self) -> int:
        """Longest sequence that is read at once, in tokens; a longer text is cut, or read in windows."""
        return min(self._longest(self.pooling) or self.task.max_tokens, self.task.max_tokens)

    @property
    def recipe(self) -> dict[str, Any]:
        """Arguments with which ``Encoder`` makes the same vectors from the same model, of queries and of documents.

        What was left to the folder is stated. ``prompts`` are those of :meth:`encode_query` and
        :meth:`encode_document`.
        """
        return {
            "pooling": self.pooling,
            "truncation": self._truncates(self.pooling),
            "max_length": self._longest(self.pooling),
            "truncate_dim": self.truncate_dim,
            "prompts": {name: self._prompt_of(name) for name in ROLES},
        }

    def encode(
        self,
        texts: Any,
        *,
        column: Column | None = None,
        normalize: bool = True,
        pooling: str | None = None,
        truncate_dim: int | None = None,
        precision: str = "fp32",
        ranges: np.ndarray | None = None,
        as_tensor: bool | str | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool | None = None,
        convert_to_tensor: bool = False,
        convert_to_numpy: bool = True,
    ) -> Any:
        """Return the vectors of texts.

        Args:
            texts: a text, or a list, a Series, an array or an iterable of texts. None of them may be empty.
            column: ``texts`` is a table, and this is the name of the column to read.
            normalize: scale vectors to length 1, so that the dot product of two is their cosine.
            pooling: in place of the encoder's own, for this call.
            truncate_dim: numbers of each vector to keep, before it is scaled; None: the encoder's own.
            precision: of the numbers: ``"fp32"``, ``"fp16"``, ``"int8"``, ``"uint8"``, ``"binary"`` or ``"ubinary"``,
                see :func:`~.stored_precision.quantize_embeddings`.
            ranges: (2, D) for int8: smallest and largest value of each dimension; None: those of these very texts.
            as_tensor: ``"pt"``, ``"tf"`` or ``"jax"``: a tensor of that kind in place of an array; True: PyTorch's.
            prompt_name: of one of ``prompts``, which stands before every text; None: the default one, if there is one.
            prompt: a text of your own to stand before every text.
            batch_size: most sequences in a batch; None: only ``batch_tokens`` counts.
            batch_tokens: most tokens in a batch; None: what suits the device.
            show_progress_bar: None: on a terminal and in a notebook, where it takes a while.
            normalize_embeddings: what sentence-transformers calls ``normalize``, and so are the next two known from it.
            convert_to_tensor: what ``as_tensor="pt"`` does.
            convert_to_numpy: False without ``convert_to_tensor`` gives a list of PyTorch's tensors.

        Returns:
            (n, D) float32, in the order of the texts; (D,) of a single text; other types as ``precision`` and
            ``as_tensor`` say.

        Raises:
            InputError: a text or an argument cannot be used; the message names it.
        """
        check_choice(precision, PRECISIONS, "precision")
        for name, value in (("batch_size", batch_size), ("batch_tokens", batch_tokens), ("truncate_dim", truncate_dim)):
            check_count(value, name, optional=True)
        pooling = self.pooling if pooling is None else pooling
        check_choice(pooling, (AUTO, *POOLINGS), "pooling")
        texts = to_inputs(texts, column)
        is_single = isinstance(texts, str) or not isinstance(texts, Iterable)
        items = [texts] if is_single else texts if isinstance(texts, (list, tuple)) else list(texts)
        items = [
            check_text(item, "The text" if is_single else f"texts[{i}]", can_be_null=False)
            for i, item in enumerate(items)
        ]
        before = self._prompt(prompt_name, prompt)
        budget = (batch_tokens or self.task.batch_tokens, batch_size or self.task.batch_size)
        scaled = normalize if normalize_embeddings is None else normalize_embeddings
        kept = truncate_dim or self.truncate_dim
        numbers: dict[str, int] = {}  # of different texts
        places = [numbers.setdefault(item, len(numbers)) for item in items]
        different = list(numbers)
        vectors = np.empty((len(different), self._size(pooling)), np.float32)
        shown = False if len(different) < LEAST_FOR_PROGRESS and show_progress_bar is None else show_progress_bar
        with ProgressBar("encoding", shown=shown, total=len(different), with_time_left=True) as bar:
            for start in range(0, len(different), CHUNK):
                chunk = different[start : start + CHUNK]
                done = start
                for indices, rows in self._encode_chunk(chunk, before, pooling, budget):
                    vectors[[start + index for index in indices]] = rows
                    done += len(indices)
                    bar.update(f"{done:,} of {len(different):,} texts", done)
        if len(different) < len(items):
            vectors = vectors[places]
        if kept is not None and kept > vectors.shape[1]:
            raise InputError(f"truncate_dim={kept} is more than the {vectors.shape[1]} numbers of a vector.")
        vectors = vectors[:, :kept]
        if scaled:
            vectors = to_unit_length(vectors)
        result = quantize_embeddings(np.ascontiguousarray(vectors), precision, ranges=ranges)
        result = result[0] if is_single else result
        if convert_to_tensor or as_tensor:
            return to_tensor(result, "pt" if as_tensor in (None, False, True) else str(as_tensor))
        if not convert_to_numpy:
            return to_tensor(result, "pt") if is_single else list(to_tensor(result, "pt"))
        return result

    def encode_query(self, texts: Any, **options: Any) -> Any:
        """Encode what is searched for: with the prompt ``"query"``, where the model has one; see :meth:`encode`."""
        return self._encode_as("query", texts, options)

    def encode_document(self, texts: Any, **options: Any) -> Any:
        """Encode what is searched in: with the prompt ``"document"``, where the model has one; see :meth:`encode`."""
        return self._encode_as("document", texts, options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Encode what is searched in; the name that LangChain knows, and so is the next one."""
        vectors: list[list[float]] = self.encode_document(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Encode what is searched for."""
        vector: list[float] = self.encode_query(text).tolist()
        return vector

    def similarity(self, a: Any, b: Any) -> np.ndarray:
        """Compare each vector with each.

        Args:
            a: (n, D), or (D,).
            b: (m, D), or (D,).

        Returns:
            (n, m) float32; higher is more similar. Distances are negated.
        """
        first, second = _rows(a, "a"), _rows(b, "b")
        _check_sizes(first, second)
        return SIMILARITIES[self.similarity_name](first, second)

    def similarity_pairwise(self, a: Any, b: Any) -> np.ndarray:
        """Compare the vectors of two arrays (n, D) row by row; see :meth:`similarity`.

        Returns:
            (n,) float32.
        """
        first, second = _rows(a, "a"), _rows(b, "b")
        _check_sizes(first, second)
        if len(first) != len(second):
            raise InputError(f"a has {len(first)} vectors and b {len(second)}; they are compared in pairs.")
        return compare_pairs(self.similarity_name, first, second)

    def get_sentence_embedding_dimension(self) -> int:
        """Return :attr:`dimension`, as sentence-transformers names it."""
        return self.dimension

    def _modules(self, pooling: str) -> SentenceModules | None:
        return self.task.sentence_modules if pooling == AUTO else None

    def _size(self, pooling: str) -> int:
        """Numbers of a vector before any are left out."""
        modules = self._modules(pooling)
        if modules is None:
            return int(self.config.dim)
        zeros = np.zeros((1, self.config.dim * len(modules.poolings)), np.float32)
        return int(modules.after_pooling(zeros).shape[1])

    def _prompt(self, name: str | None, prompt: str | None) -> str:
        """Return the text that stands before every other."""
        if prompt is not None and not isinstance(prompt, str):
            raise InputError(f"prompt must be a str, got {prompt!r:.60}.")
        if prompt is None and name is None:
            return self._default_prompt
        if prompt is None:
            assert name is not None
            if name not in self.prompts:
                known = ", ".join(map(repr, self.prompts)) or "none"
                raise InputError(f"There is no prompt {name!r}.{suggest(name, self.prompts)} This encoder has {known}.")
            prompt = self.prompts[name]
        if prompt and not self._pools_prompt:
            raise InputError(
                f"{self.name} leaves the tokens of a prompt out of the pooling, which is not done here; got {prompt!r}."
                " Encoder(..., prompts={}) does without prompts."
            )
        return prompt

    def _encode_as(self, role: str, texts: Any, options: dict[str, Any]) -> Any:
        if options.get("prompt") is None and options.get("prompt_name") is None:
            options = options | {"prompt": self._prompt_of(role)}
        return self.encode(texts, **options)

    def _prompt_of(self, role: str) -> str:
        """Return the prompt of a role, one of ``ROLES``; empty where there is none."""
        return next((self.prompts[name] for name in ROLES[role] if name in self.prompts), "")

    def _truncates(self, pooling: str) -> bool:
        return self.truncation if self.truncation is not None else self._modules(pooling) is not None

    def _longest(self, pooling: str) -> int | None:
        """Return the longest text in tokens, as it was given or as the folder says it; None where neither does."""
        modules = self._modules(pooling)
        return self.max_length or (None if modules is None else modules.max_length)

    def _sequences(self, texts: list[str], prompt: str, pooling: str) -> list[list[list[int]]]:
        """Return the windows of each text."""
        modules = self._modules(pooling)
        if prompt:
            texts = [prompt + text for text in texts]
        if modules is not None and modules.lowercase:
            texts = [text.lower() for text in texts]
        truncation = self._truncates(pooling)
        options = {"truncation": True, "max_length": self._longest(pooling)}
        tokenizer, longest = self.task.tokenizer, self.task.max_tokens
        if not truncation:
            longest = self.max_tokens
        stride = stride_or_default(None, longest)
        return [
            [truncate(tokenizer, ids, None, options, longest)]
            if truncation
            else split_into_windows(tokenizer, ids, None, max_tokens=longest, stride=stride)
            for ids in tokenizer.encode_ids(texts, None, False)
        ]

    def _encode_chunk(
        self, texts: list[str], prompt: str, pooling: str, budget: tuple[int, int | None]
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield indices of texts and their vectors (B, D), until all have theirs."""
        windows = self._sequences(texts, prompt, pooling)
        modules = self._modules(pooling)
        poolings = modules.poolings if modules is not None else ("mean" if pooling == AUTO else pooling,)
        stride = stride_or_default(None, self.max_tokens)
        places = [(index, number) for index, each in enumerate(windows) for number in range(len(each))]
        sequences = [windows[index][number] for index, number in places]
        waiting: dict[int, dict[int, np.ndarray]] = {}  # windows of long texts that others are missing of
        for numbers, hidden, offsets in _run(sequences, self.task.runner, budget):
            pooled = np.concatenate([pool_packed(hidden, offsets, each) for each in poolings], axis=1)
            indices = [places[number][0] for number in numbers]
            if any(len(windows[index]) > 1 for index in indices):
                whole = [row for row, index in enumerate(indices) if len(windows[index]) == 1]
                rows = [pooled[whole]]
                finished = [indices[row] for row in whole]
                for row, number in enumerate(numbers):
                    index, window = places[number]
                    if len(windows[index]) == 1:
                        continue
                    states = waiting.setdefault(index, {})
                    states[window] = hidden[offsets[row] : offsets[row + 1]].copy()
                    if len(states) == len(windows[index]):
                        ordered = [state for _, state in sorted(waiting.pop(index).items())]
                        rows.append(np.concatenate([pool(ordered, each, stride) for each in poolings])[None])
                        finished.append(index)
                indices, pooled = finished, np.concatenate(rows)
            if indices:
                yield indices, pooled if modules is None else modules.after_pooling(pooled)


def _run(
    sequences: Sequence[list[int]], runner: Runner, budget: tuple[int, int | None]
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Yield batches: the numbers of their sequences, the hidden states (T, D) and where each sequence begins (B + 1,).

    An asynchronous runner holds several batches at a time.
    """

    def submit(numbers: list[int]) -> tuple[list[int], Batch, Callable[[], dict[str, np.ndarray]]]:
        batch = Batch.of([sequences[number] for number in numbers])
        wait = runner.submit(batch) if isinstance(runner, AsynchronousRunner) else partial(runner, batch)
        return numbers, batch, wait

    batches = map(submit, cut_batches([len(sequence) for sequence in sequences], *budget))
    in_flight = deque(islice(batches, IN_FLIGHT if isinstance(runner, AsynchronousRunner) else 1))
    while in_flight:
        numbers, batch, wait = in_flight.popleft()
        hidden = check_finite(wait(), batch, runner)["last_hidden_state"]
        in_flight.extend(islice(batches, 1))
        yield numbers, hidden, batch.offsets


def _rows(vectors: Any, name: str) -> np.ndarray:
    """Return vectors as (n, D) float32."""
    array = to_array(vectors)
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise InputError(
            f"{name} must be vectors (n, D), as encode() returns them, got {array.dtype} of shape {array.shape}."
        )
    return np.atleast_2d(array).astype(np.float32, copy=False)


def _check_sizes(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise InputError(f"The vectors of a have {a.shape[1]} numbers and those of b {b.shape[1]}.")
