"""The models of distillation and pretraining: loading a teacher, and building a student from layers or at random."""

from __future__ import annotations

import copy
from typing import TypeVar

from ..core.errors import ConfigError
from ..core.schema import HEADS
from ..models.auto import AutoTokenizer
from ..models.pytorch import DistilBertForMaskedLM, DistilBertModel, DistilBertPreTrainedModel
from ..weights.checkpoint import open_checkpoint
from .distill_config import DistillConfig, PretrainConfig
from .seeded_random import seeded

MASKED_LM = HEADS["ForMaskedLM"]
Model = TypeVar("Model", bound=DistilBertPreTrainedModel)


def load_teacher(name: str, *, with_head: bool = True) -> DistilBertForMaskedLM | DistilBertModel:
    """Load a teacher and freeze it.

    Args:
        name: a folder, or a name on the hub.
        with_head: it must have a masked-LM head; otherwise the head is left out where there is one.

    Raises:
        ConfigError: it has no masked-LM head; the message says how to train one.
    """
    if not with_head:
        return DistilBertModel.from_pretrained(name).requires_grad_(False).eval()
    if missing := missing_head(name):
        raise ConfigError(
            f"The teacher {name} has no masked-LM head ({', '.join(sorted(missing))}), so it has no scores to learn "
            f"from. Train one first: distilbert pretrain --model {name} --data FILES --output FOLDER; or choose terms "
            "that need none: pooled, similarity, hidden, relation, cos."
        )
    return DistilBertForMaskedLM.from_pretrained(name).requires_grad_(False).eval()


def missing_head(name: str) -> set[str]:
    """Return the modules of a masked-LM head that a model's folder lacks."""
    tensors = open_checkpoint(name).tensors()
    return {tensor.split(".")[0] for tensor in MASKED_LM.modules if f"{tensor}.bias" not in tensors}


def build_student(
    config: DistillConfig, teacher: DistilBertForMaskedLM | DistilBertModel
) -> DistilBertForMaskedLM | DistilBertModel:
    """Build the student that ``config`` describes, of the teacher's class; ``seed`` decides its random weights.

    Raises:
        ConfigError: the layers or sizes do not fit the teacher, or the vocabularies differ.
    """
    with seeded(config.seed):
        if config.student:
            _check_same_vocabulary(config)
            return type(teacher).from_pretrained(config.student).train()
        layers = pick_layers(config.layers, teacher.config.n_layers)
        if config.init == "teacher":
            return with_layers(teacher, layers)
        sizes = copy.deepcopy(teacher.config)
        sizes.n_layers = len(layers)
        sizes.pruned_heads = {}
        sizes.dim = config.dim or sizes.dim
        sizes.n_heads = config.n_heads or sizes.n_heads
        sizes.hidden_dim = config.hidden_dim or (4 * sizes.dim if config.dim else sizes.hidden_dim)
        sizes.validate()
        return type(teacher)(sizes)


def with_layers(model: Model, layers: list[int]) -> Model:
    """Return a model of the same class with some blocks of ``model``, in this order, its embeddings and its head."""
    sizes = copy.deepcopy(model.config)
    sizes.n_layers = len(layers)
    sizes.pruned_heads = {
        new: model.config.pruned_heads[old] for new, old in enumerate(layers) if old in model.config.pruned_heads
    }
    smaller = type(model)(sizes)
    state = {}
    for name, tensor in model.state_dict().items():
        before, _, after = name.partition("transformer.layer.")
        if after:
            number, _, rest = after.partition(".")
            for new in (new for new, old in enumerate(layers) if old == int(number)):
                state[f"{before}transformer.layer.{new}.{rest}"] = tensor
        else:
            state[name] = tensor
    smaller.load_state_dict(state)
    return smaller


def pick_layers(layers: str, n_layers: int, *, lowest: bool = False) -> list[int]:
    """Return the numbers of the teacher's layers that ``layers`` names.

    Args:
        layers: numbers from 0 (``"0,2,4,7,9,11"``; a single one is ``"3,"``), a count of layers (``"6"``), or
            ``"half"``.
        n_layers: how many layers the teacher has.
        lowest: a count means so many of the lowest layers, which do most for the task of a fine-tuned model (arXiv
            2004.03844); otherwise they are spread evenly from the first to the last, as in the DistilBERT paper.

    Raises:
        ConfigError: ``layers`` is none of these, or names layers that the teacher does not have.
    """
    text = layers.strip()
    if text == "half":
        text = str(max(1, n_layers // 2))
    words = [word.strip() for word in text.removesuffix(",").split(",")]
    if not all(word.isdecimal() for word in words):
        raise ConfigError(f"layers must be numbers such as 0,2,4, a count such as 3, or half; got {layers!r}.")
    numbers = [int(word) for word in words]
    if len(numbers) == 1 and "," not in text:
        count = numbers[0]
        if not 1 <= count <= n_layers:
            raise ConfigError(f"layers: a student of {count} layers cannot be picked from a teacher of {n_layers}.")
        return list(range(count)) if lowest else spread_evenly(count, n_layers)
    if max(numbers) >= n_layers:
        raise ConfigError(f"layers: the teacher has layers 0 to {n_layers - 1}; got {layers}.")
    return numbers


def spread_evenly(count: int, n_layers: int) -> list[int]:
    """Return ``count`` layers spread evenly from the first to the last: 6 of 12 are 0, 2, 4, 7, 9, 11."""
    if count == 1:
        return [0]
    return [int(index * (n_layers - 1) / (count - 1) + 0.5) for index in range(count)]


def build_pretrained(config: PretrainConfig) -> DistilBertForMaskedLM:
    """Build the model that ``config`` describes and freeze the parameters that are not trained."""
    with seeded(config.seed):
        if config.init == "random":
            model = DistilBertForMaskedLM(open_checkpoint(config.model, kind="config").config)
        else:
            model = DistilBertForMaskedLM.from_pretrained(config.model)
    frozen = {"none": (), "layers": ("transformer",), "encoder": ("transformer", "embeddings")}[config.freeze]
    for module in frozen:
        getattr(model.distilbert, module).requires_grad_(False)
    return model


def _check_same_vocabulary(config: DistillConfig) -> None:
    student, teacher = (AutoTokenizer.from_pretrained(name).get_vocab() for name in (config.student, config.teacher))
    if student != teacher:
        tokens = sorted(set(student) | set(teacher))
        different = next(token for token in tokens if student.get(token) != teacher.get(token))
        raise ConfigError(
            f"The vocabularies of student {config.student} and teacher {config.teacher} differ, for example in "
            f"{different!r}; distillation compares their scores id by id."
        )
