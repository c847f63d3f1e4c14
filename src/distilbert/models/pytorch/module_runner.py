"""Any PyTorch module behind the runner protocol: it is called as it is, with padded ids and a mask.

So runs what the other runners, which read the weights of each layer, do not know: a model of transformers, a model with
adapters of PEFT, a compiled or dynamically quantized one, a class of a user's own.

Legend: T packed tokens, R requested tokens, B sequences, S longest of them, L labels (or vocabulary, or dim).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.config import DistilBertConfig
from ...core.errors import InputError
from ...core.model_checks import check_length
from ...core.module_snapshot import evaluation_mode
from ...core.runner_protocol import Batch, check_batch, name_outputs
from ...core.schema import HEADS, Head
from ...weights.checkpoint import config_from_dict
from .device import Device, pick_device

# Classes of transformers that read single texts, so that they need no token types.
BERT_CLASSES = ("BertModel", "BertForMaskedLM", "BertForTokenClassification")


class ModuleRunner:
    """Runs a module by calling it.

    Args:
        module: takes ``input_ids`` and ``attention_mask``, both (B, S), or (B, 1, S) for multiple choice. It returns an
            output object, a dict, a tuple or a tensor. It, or the module inside its wrappers, has a ``config``.
        device: where to move it; None leaves it on its device.
        head: name of the head, such as ``"ForMaskedLM"``, of a class whose name does not say it.

    Raises:
        InputError: the module has no configuration, or its head is not known.
        UnsupportedArchitectureError: its configuration is that of another architecture.
    """

    def __init__(self, module: nn.Module, device: Device = None, head: str | None = None) -> None:
        inner = unwrap(module)
        self.config = _config_of(inner)
        self.head = _head_of(inner, head)
        if device is not None:
            module.to(pick_device(device))
        self.model = module

    @property
    def device(self) -> torch.device:
        """The device of its first weight."""
        first = next(self.model.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the module; see :class:`distilbert.core.runner_protocol.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify; or the
                module returns something else than its head says.
        """
        check_batch(batch, self.config, self.head)
        check_length(self.config, int(batch.lengths.max(initial=0)))
        ids, mask = (torch.from_numpy(array).to(self.device) for array in batch.padded(self.config.pad_token_id or 0))
        choices = self.head.name == "ForMultipleChoice"
        with torch.no_grad(), evaluation_mode(self.model):
            output = self.model(
                input_ids=ids[:, None] if choices else ids, attention_mask=mask[:, None] if choices else mask
            )
        answers = self._answers(output)  # (B, L) or (B, S, L)
        if self.head.per_token:
            answers = answers[mask.bool()]  # (T, L)
            if batch.rows is not None:
                answers = answers[torch.from_numpy(batch.rows).to(answers.device)]  # (R, L)
        return name_outputs(self.head, answers.float().cpu().numpy())

    def _answers(self, output: Any) -> Tensor:
        """Return what the head computed; start and end of an answer stand beside each other."""
        if self.head.name == "ForQuestionAnswering":
            logits = [_field(output, name, place) for place, name in enumerate(("start_logits", "end_logits"))]
            return torch.stack(logits, dim=-1)  # (B, S, 2)
        return _field(output, "logits" if self.head.name else "last_hidden_state", 0)


def unwrap(module: Any) -> Any:
    """Return the model inside wrappers: of ``torch.compile``, of data parallelism, of PEFT."""
    for _ in range(8):
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif hasattr(module, "get_base_model"):
            module = module.get_base_model()
        elif isinstance(module, nn.Module) and "module" in module._modules and not hasattr(module, "config"):
            module = module.module
        else:
            break
    return module


def run_on_device(step: Callable[..., Any], inputs: Any, device: torch.device, params: Mapping[str, Any]) -> Any:
    """Run a function of tensors on a device, without gradients; what it returns comes to the CPU.

    Args:
        step: takes the inputs, and ``params`` by name.
        inputs: tensors, or dictionaries and lists of them and of anything else.
        device: of the model.
        params: of the function.
    """
    with torch.no_grad():
        return _moved(step(_moved(inputs, device), **params), torch.device("cpu"))


def _moved(value: Any, device: torch.device) -> Any:
    """Return tensors, or a copy of what holds them, on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, MutableMapping):
        copied = copy.copy(value)
        for name, each in value.items():
            copied[name] = _moved(each, device)
        return copied
    return type(value)(_moved(each, device) for each in value) if type(value) in (list, tuple) else value


def is_plain(module: Any) -> bool:
    """Whether a module is one of this package's models, with its own layers and weights, and without hooks.

    Only then do runners that compute each layer from its weights give the module's own answers.
    """
    ours = f"{__package__}."
    return (
        type(module).__module__.startswith(ours)
        and "forward" not in vars(module)
        and all(type(parameter) is nn.Parameter for parameter in module.parameters())
        and all(
            type(each).__module__.startswith((ours, "torch.nn.modules."))
            and not each._forward_pre_hooks
            and not each._forward_hooks
            for each in module.modules()
        )
    )


def _config_of(module: Any) -> DistilBertConfig:
    config = getattr(module, "config", None)
    if isinstance(config, DistilBertConfig):
        return config
    if config is None or not hasattr(config, "to_dict"):
        raise InputError(
            f"The model is a {type(module).__name__} without .config: give one of this package's models, or a module "
            "whose .config says its labels and sizes."
        )
    values = config.to_dict()
    if values.get("model_type") == "bert" and not any(each.__name__ in BERT_CLASSES for each in type(module).__mro__):
        raise InputError(
            f"{type(module).__name__} is a BERT whose inputs say which text of a pair a token belongs to, and inputs "
            f"here do not. Of other libraries' BERTs only {', '.join(BERT_CLASSES)} run here, which read single texts."
        )
    known = {name: value for name, value in values.items() if value is not None}
    return config_from_dict(known, {}, f"The given {type(module).__name__}")


def _head_of(module: Any, name: str | None) -> Head:
    for each in type(module).__mro__:
        match = re.search(r"Bert(For\w+|Model)$", each.__name__)
        if match and match[1].removeprefix("Model") in HEADS:
            return HEADS[match[1].removeprefix("Model")]
    if name is None:
        raise InputError(
            f"The name {type(module).__name__} does not say which head the model has: pass task= to pipeline()."
        )
    return HEADS[name]


def _field(output: Any, name: str, place: int) -> Tensor:
    """Return an output by its name, or by its place in a tuple."""
    value = output
    if isinstance(output, (tuple, list)):
        value = output[place] if place < len(output) else None
    elif isinstance(output, Mapping):
        value = output.get(name)
    elif not isinstance(output, Tensor):
        value = getattr(output, name, None)
    if not isinstance(value, Tensor):
        raise InputError(f"The model returned a {type(output).__name__} without {name}; got {output!r:.200}.")
    return value
