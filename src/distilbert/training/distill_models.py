"""Where teacher and student come from: a folder, the teacher's layers, or random numbers."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch

from ..core.config import DistilBertConfig
from ..core.errors import ConfigError
from ..core.schema import HEADS
from ..models.auto import AutoTokenizer
from ..models.checkpoint import open_checkpoint
from ..models.pytorch import DistilBertForMaskedLM, DistilBertPreTrainedModel
from .distill_config import DistillConfig, PretrainConfig
from .distill_objective import Plan

HEAD = HEADS["ForMaskedLM"]
M = TypeVar("M", bound=DistilBertPreTrainedModel)


def load_teacher(name: str) -> DistilBertForMaskedLM:
    """Load a masked LM, frozen.

    Raises:
        ConfigError: it has no masked-LM head; the message says how to get one.
    """
    checkpoint = open_checkpoint(name)
    missing = {tensor.split(".")[0] for tensor in HEAD.modules if f"{tensor}.bias" not in checkpoint.tensors()}
    if missing:
        raise ConfigError(
            f"The teacher {name} has no masked-LM head ({', '.join(sorted(missing))}), so it has no scores to learn "
            f"from. Train one first: distilbert pretrain --model {name} --data FILES --output FOLDER"
        )
    teacher = DistilBertForMaskedLM.from_pretrained(name)
    return teacher.requires_grad_(False).eval()


def build_student(config: DistillConfig, teacher: DistilBertForMaskedLM) -> DistilBertForMaskedLM:
    """Make the student that ``config`` describes; ``seed`` decides what is random.

    Raises:
        ConfigError: layers or sizes that the teacher does not allow, or another vocabulary.
    """
    torch.manual_seed(config.seed)
    if config.student:
        return _same_vocabulary(DistilBertForMaskedLM.from_pretrained(config.student), config).train()
    picks = pick_layers(config.layers, teacher.config.n_layers)
    sizes = copy.deepcopy(teacher.config)
    sizes.n_layers = len(picks)
    sizes.pruned_heads = {}
    if config.init == "random":
        sizes.dim = config.dim or sizes.dim
        sizes.n_heads = config.n_heads or sizes.n_heads
        sizes.hidden_dim = config.hidden_dim or (4 * sizes.dim if config.dim else sizes.hidden_dim)
        sizes.validate()
        return DistilBertForMaskedLM(sizes)
    return with_layers(teacher, picks)


def with_layers(model: M, picks: list[int]) -> M:
    """Return a model of the same class made of some blocks of ``model``, its embeddings and its head."""
    sizes = copy.deepcopy(model.config)
    sizes.n_layers = len(picks)
    sizes.pruned_heads = {
        new: model.config.pruned_heads[old] for new, old in enumerate(picks) if old in model.config.pruned_heads
    }
    smaller = type(model)(sizes)
    copy_layers(model, smaller, picks)
    return smaller


def copy_layers(teacher: DistilBertPreTrainedModel, student: DistilBertPreTrainedModel, picks: list[int]) -> None:
    """Copy embeddings, the picked blocks in their order, and the head."""
    state = {}
    for name, tensor in teacher.state_dict().items():
        parts = name.split(".")
        if parts[1:3] == ["transformer", "layer"]:
            for new in (new for new, old in enumerate(picks) if old == int(parts[3])):
                state[".".join([*parts[:3], str(new), *parts[4:]])] = tensor
        else:
            state[name] = tensor
    student.load_state_dict(state)


def pick_layers(layers: str, n_layers: int) -> list[int]:
    """Return the teacher's layers that a student is made of.

    Args:
        layers: numbers from 0 (``"0,2,4,7,9,11"``; one alone is ``"3,"``), a count to spread evenly from first to
            last (``"6"``), or ``"half"``.
        n_layers: layers of the teacher.

    Raises:
        ConfigError: none of these, or more than there are.
    """
    text = layers.strip()
    if text == "half":
        text = str(max(1, n_layers // 2))
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"layers must be numbers such as 0,2,4, a count such as 3, or half; got {layers!r}.")
    numbers = [int(part) for part in parts]
    if len(numbers) == 1 and "," not in text:
        count = numbers[0]
        if not 1 <= count <= n_layers:
            raise ConfigError(f"layers: a student of {count} layers cannot be picked from a teacher of {n_layers}.")
        return spread(count, n_layers)
    if max(numbers) >= n_layers:
        raise ConfigError(f"layers: the teacher has layers 0 to {n_layers - 1}; got {layers}.")
    return numbers


def spread(count: int, n_layers: int) -> list[int]:
    """Spread ``count`` picks evenly over ``n_layers``, first and last included: 6 of 12 are 0, 2, 4, 7, 9, 11."""
    if count == 1:
        return [0]
    return [int(index * (n_layers - 1) / (count - 1) + 0.5) for index in range(count)]


def make_plan(config: DistillConfig, student: DistilBertConfig, teacher: DistilBertConfig) -> Plan:
    """Turn settings into a plan with every default filled in."""
    ratio = teacher.n_layers / student.n_layers
    pairs = [(index, int(index * ratio + 0.5)) for index in range(1, student.n_layers + 1)]
    if config.hidden_pairs:
        parts = [pair.split(":") for pair in config.hidden_pairs]
        if not all(len(part) == 2 and all(number.isdecimal() for number in part) for part in parts):
            raise ConfigError(f"hidden_pairs must be pairs such as 1:2, student first; got {config.hidden_pairs!r}.")
        pairs = [(int(mine), int(theirs)) for mine, theirs in parts]
    layer, most = config.relation_layer, teacher.n_layers
    if "relation" in config.terms and not -most <= layer < most:
        raise ConfigError(f"relation_layer must be from {-most} to {most - 1}, as the teacher has {most}; got {layer}.")
    return Plan(
        terms=config.terms,
        temperature=config.temperature,
        ce_tokens=config.ce_tokens,
        hidden_pairs=tuple(pairs),
        relation_layer=layer + most if layer < 0 else layer,
        relation_heads=config.relation_heads or teacher.n_heads,
        chunk=config.chunk,
    )


def build_pretrained(config: PretrainConfig) -> DistilBertForMaskedLM:
    """Make the model that ``config`` describes, with the parameters that do not train frozen."""
    torch.manual_seed(config.seed)
    if config.init == "random":
        model = DistilBertForMaskedLM(open_checkpoint(config.model, kind="config").config)
    else:
        model = DistilBertForMaskedLM.from_pretrained(config.model)
    frozen = {"none": (), "layers": ("transformer",), "encoder": ("transformer", "embeddings")}[config.freeze]
    for part in frozen:
        getattr(model.distilbert, part).requires_grad_(False)
    return model


def _same_vocabulary(student: DistilBertForMaskedLM, config: DistillConfig) -> DistilBertForMaskedLM:
    mine, theirs = (AutoTokenizer.from_pretrained(name).get_vocab() for name in (config.student, config.teacher))
    if mine != theirs:
        differing = next(token for token in sorted(set(mine) | set(theirs)) if mine.get(token) != theirs.get(token))
        raise ConfigError(
            f"The vocabularies of student {config.student} and teacher {config.teacher} differ, for example in "
            f"{differing!r}; distillation compares their scores id by id."
        )
    return student
