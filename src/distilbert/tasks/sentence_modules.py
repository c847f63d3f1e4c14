"""Folders of sentence-transformers: what such a model does before and after the encoder.

``modules.json`` lists the parts of a model: the encoder, how one vector is made of its hidden states, and what is done
to that vector. All that these files ask for is done; what is not known here is refused by its name. Legend: D dim, E
size of the final vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputError, WeightsError
from ..core.hub import SENTENCE_MODULES, modules_folder
from ..core.json_files import read_json
from ..weights.folder import open_tensors
from .pooling import POOLINGS, normalize, pool

# Older files have one switch for each mode. Several modes are concatenated, in this order.
OLD_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
LARGEST_FILE = 2**20  # bytes of each of the files
Step = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer and an activation.

    Attributes:
        weight: (E, D).
        bias: (E,), or 0.
        activation: one of ``ACTIVATIONS``.
    """

    weight: np.ndarray
    bias: np.ndarray | int
    activation: str

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Turn vectors (..., D) into (..., E)."""
        return ACTIVATIONS[self.activation](vectors @ self.weight.T + self.bias)


@dataclass(frozen=True)
class SentenceModules:
    """What a folder of sentence-transformers says about its vectors.

    Attributes:
        poolings: how the hidden states of a text become one vector; several are concatenated.
        steps: what is done to that vector, in order: :class:`DenseLayer`, or :func:`~.pooling.normalize`.
        max_length: tokens that are read of a text; None: what the tokenizer says.
        lowercase: whether texts are written in lower case first.
        prompt: stands before every text.
        similarity: how two vectors are compared, such as ``"cosine"``.
        prompts: all that the folder has, by name, such as ``"query"``.
        pools_prompt: whether the tokens of a prompt count in the pooling.
    """

    poolings: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    max_length: int | None = None
    lowercase: bool = False
    prompt: str = ""
    similarity: str = "cosine"
    prompts: Mapping[str, str] = field(default_factory=dict)
    pools_prompt: bool = True

    def text(self, text: str) -> str:
        """Return a text as the encoder reads it."""
        text = self.prompt + text
        return text.lower() if self.lowercase else text

    def truncation(self) -> dict[str, Any]:
        """Return how texts are cut, as :func:`~.windows.truncate` takes it."""
        return {"truncation": True} | ({"max_length": self.max_length} if self.max_length else {})

    def vector(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """Return the vector (E,) of a text from its hidden states (S, D).

        Raises:
            WeightsError: it is not finite.
        """
        return self.after_pooling(np.concatenate([pool(windows, pooling, 0) for pooling in self.poolings]))

    def after_pooling(self, vectors: np.ndarray) -> np.ndarray:
        """Do what follows the pooling: from vectors (..., D) to (..., E).

        Raises:
            WeightsError: a result is not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # what follows from it is looked for below
            for step in self.steps:
                vectors = step(vectors)
        if not np.isfinite(vectors).all():
            raise WeightsError(
                "The vector of a text is not finite after the modules of sentence-transformers. The outputs of the "
                "encoder are, so the weights of a Dense module are damaged or too large: load others."
            )
        return vectors

    def check_cosine(self) -> None:
        """Check that vectors are compared by their cosine.

        Raises:
            InputError: they are compared otherwise.
        """
        if self.similarity != "cosine" and not (self.similarity == "dot" and self.steps[-1:] == (normalize,)):
            raise InputError(
                f"This model of sentence-transformers compares vectors by {self.similarity!r}, and sentence-similarity "
                "gives cosines. Compare the vectors of feature-extraction, or pass pooling= to ask for cosines."
            )


def read_sentence_modules(folder: Path) -> SentenceModules | None:
    """Read what a folder says about vectors, or return None if it is not of sentence-transformers.

    Args:
        folder: of the encoder; ``modules.json`` is in it or in the folder above.

    Raises:
        InputError: a part is not known here, or a file is not as sentence-transformers writes it.
    """
    root = modules_folder(folder)
    if root is None:
        return None
    parts = read_json(root / SENTENCE_MODULES, InputError, LARGEST_FILE)
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        raise InputError(f"{root / SENTENCE_MODULES} must hold a list of modules.")
    kinds = [str(part.get("type", "")).rpartition(".")[2] for part in parts]
    if kinds[:2] != ["Transformer", "Pooling"] and kinds[:2] != ["DistilBERT", "Pooling"]:
        raise InputError(
            f"{root} is a model of sentence-transformers made of {', '.join(kinds) or 'nothing'}; "
            "here it must begin with Transformer and Pooling. Pass pooling= to choose one yourself."
        )
    steps: list[Step] = []
    for part, kind in zip(parts[2:], kinds[2:], strict=True):
        place = root / Path(str(part.get("path", ""))).name
        if kind == "Normalize":
            steps.append(normalize)
        elif kind == "Dense":
            steps.append(_dense(place))
        elif kind != "Dropout":  # which does nothing after training
            raise InputError(
                f"{root} is a model of sentence-transformers with the module {kind!r}, which is not known here. "
                "Pass pooling= to do without what the folder says."
            )
    own = _settings(folder / "sentence_bert_config.json")
    whole = _settings(root / "config_sentence_transformers.json")
    pooling = _settings(root / Path(str(parts[1].get("path", ""))).name / "config.json", needed=True)
    prompt = _prompt(whole, root)
    pools_prompt = pooling.get("include_prompt") is not False
    if prompt and not pools_prompt:
        raise InputError(
            f"{root} leaves the tokens of the prompt {prompt!r} out of the pooling, which is not done here."
        )
    length = own.get("max_seq_length")
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 3):
        raise InputError(f"max_seq_length of {root} must be a number of tokens, got {length!r:.60}.")
    prompts = whole.get("prompts")
    prompts = prompts if isinstance(prompts, Mapping) else {}
    return SentenceModules(
        poolings=_poolings(pooling, root),
        steps=tuple(steps),
        max_length=length,
        lowercase=bool(own.get("do_lower_case")),
        prompt=prompt,
        similarity=str(whole.get("similarity_fn_name") or "cosine"),
        prompts={name: text for name, text in prompts.items() if isinstance(text, str)},
        pools_prompt=pools_prompt,
    )


def _settings(path: Path, needed: bool = False) -> Mapping[str, Any]:
    if not needed and not path.is_file():
        return {}
    values = read_json(path, InputError, LARGEST_FILE)
    if not isinstance(values, Mapping):
        raise InputError(f"{path} must hold a JSON object.")
    return values


def _prompt(settings: Mapping[str, Any], root: Path) -> str:
    """Return the text that stands before every text, or nothing."""
    name, prompts = settings.get("default_prompt_name"), settings.get("prompts") or {}
    if name is None:
        return ""
    prompt = prompts.get(name) if isinstance(prompts, Mapping) and isinstance(name, str) else None
    if not isinstance(prompt, str):
        raise InputError(f"{root} names the default prompt {name!r:.60}, and has no text for it.")
    return prompt


def _poolings(settings: Mapping[str, Any], root: Path) -> tuple[str, ...]:
    modes = settings.get("pooling_mode")
    if modes is None:
        asked = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value]
        modes = [mode for switch, mode in OLD_SWITCHES.items() if switch in asked]
        modes += [name for name in asked if name not in OLD_SWITCHES]
    names = [modes] if isinstance(modes, str) else modes
    if isinstance(names, list):
        names = [OLD_SWITCHES.get(f"pooling_mode_{name}", name) for name in names]  # newer files keep one of the names
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) and name in POOLINGS for name in names)
    ):
        raise InputError(
            f"{root} is a model of sentence-transformers with the pooling {names!r:.80}; known here are "
            f"{', '.join(POOLINGS)}. Pass pooling= to choose one yourself."
        )
    return tuple(names)


def _dense(folder: Path) -> DenseLayer:
    settings = _settings(folder / "config.json", needed=True)
    activation = str(settings.get("activation_function") or "Tanh").rpartition(".")[2].removesuffix("()")
    for name in ("module_input_name", "module_output_name"):
        if settings.get(name, "sentence_embedding") not in (None, "sentence_embedding"):
            raise InputError(f"{folder} is a Dense module with {name} {settings[name]!r:.60}, which is not known here.")
    if activation not in ACTIVATIONS:
        raise InputError(f"{folder} is a Dense module with the activation {activation!r:.60}, which is not known here.")
    tensors = open_tensors(folder)
    weight, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    sizes = (settings.get("out_features"), settings.get("in_features"))
    if weight is None or weight.shape != sizes or (bias is not None and bias.shape != sizes[:1]):
        raise WeightsError(f"{folder} holds no linear layer of shape {sizes!r:.60}.")
    arrays = [0 if tensor is None else tensor.read().astype(np.float32) for tensor in (weight, bias)]
    return DenseLayer(np.asarray(arrays[0]), arrays[1], activation)
