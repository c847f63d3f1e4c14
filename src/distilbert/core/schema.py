"""Which tensors a DistilBERT has, by the names of its checkpoints: the one table that every framework follows.

Legend: V vocabulary, P positions, D dim, F hidden_dim, L labels, A attention width (heads kept x head dim; D unless
heads were pruned).
"""

from __future__ import annotations

from dataclasses import dataclass

from .config import DistilBertConfig
from .errors import UnsupportedArchitectureError, suggest

LAYER_NORM_EPS = 1e-12
PREFIX = "distilbert."

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Head:
    """What sits on the encoder.

    Attributes:
        name: as in class names: ``"ForMaskedLM"``; empty for the bare encoder, whose tensors carry no prefix.
        modules: top-level modules of the head, by their names in a checkpoint.
        per_token: it answers for every token (else once a sequence, from the first token).
    """

    name: str
    modules: tuple[str, ...]
    per_token: bool

    @property
    def architecture(self) -> str:
        """Name of the PyTorch class, as ``architectures`` in ``config.json`` has it."""
        return f"DistilBert{self.name or 'Model'}"


HEADS = {
    head.name: head
    for head in (
        Head("", (), per_token=True),
        Head("ForMaskedLM", ("vocab_transform", "vocab_layer_norm", "vocab_projector"), per_token=True),
        Head("ForSequenceClassification", ("pre_classifier", "classifier"), per_token=False),
        Head("ForMultipleChoice", ("pre_classifier", "classifier"), per_token=False),
        Head("ForTokenClassification", ("classifier",), per_token=True),
        Head("ForQuestionAnswering", ("qa_outputs",), per_token=True),
    )
}
HEAD_MODULES = frozenset(module for head in HEADS.values() for module in head.modules)


def head_of(architectures: list[str] | None) -> Head | None:
    """Return the head that ``architectures`` of a ``config.json`` names, or None if it names none.

    Raises:
        UnsupportedArchitectureError: it names a class that is not one of the six.
    """
    if not architectures:
        return None
    name = architectures[0]
    known = {head.architecture: head for head in HEADS.values()}
    known |= {prefix + name: head for name, head in list(known.items()) for prefix in ("TF", "Flax")}
    if name not in known:
        raise UnsupportedArchitectureError(
            f"architectures names {name!r}, which is not a DistilBERT class.{suggest(name, known)}"
        )
    return known[name]


def attention_width(config: DistilBertConfig, layer: int) -> int:
    """Return the width of the q, k and v projections of ``layer`` after pruning."""
    kept = config.n_heads - len(config.pruned_heads.get(layer, ()))
    return kept * (config.dim // config.n_heads)


def encoder_shapes(config: DistilBertConfig) -> Shapes:
    """Return name -> shape of the encoder's tensors, without ``distilbert.``, in the order of a checkpoint."""
    D, F = config.dim, config.hidden_dim
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (config.vocab_size, D),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, D),
    } | _norm("embeddings.LayerNorm", D)
    for layer in range(config.n_layers):
        block, A = f"transformer.layer.{layer}.", attention_width(config, layer)
        for name in ("q_lin", "k_lin", "v_lin"):
            shapes |= _linear(f"{block}attention.{name}", A, D)
        shapes |= _linear(f"{block}attention.out_lin", D, A) | _norm(f"{block}sa_layer_norm", D)
        shapes |= _linear(f"{block}ffn.lin1", F, D) | _linear(f"{block}ffn.lin2", D, F)
        shapes |= _norm(f"{block}output_layer_norm", D)
    return shapes


def head_shapes(config: DistilBertConfig, head: Head) -> Shapes:
    """Return name -> shape of the tensors of ``head`` alone."""
    D, V = config.dim, config.vocab_size
    if head.name == "ForMaskedLM":
        projector = _linear("vocab_projector", V, D)
        return _linear("vocab_transform", D, D) | _norm("vocab_layer_norm", D) | projector
    if head.name in ("ForSequenceClassification", "ForMultipleChoice"):
        labels = 1 if head.name == "ForMultipleChoice" else config.num_labels
        return _linear("pre_classifier", D, D) | _linear("classifier", labels, D)
    if head.name == "ForTokenClassification":
        return _linear("classifier", config.num_labels, D)
    return _linear("qa_outputs", config.num_labels, D) if head.name == "ForQuestionAnswering" else {}


def tensor_shapes(config: DistilBertConfig, head: Head) -> Shapes:
    """Return name -> shape of every tensor of a model with ``head``, in checkpoint names.

    Those of the bare encoder (``HEADS[""]``) carry no prefix, those under a head carry ``distilbert.``. The
    masked-LM projection is listed even where it is tied (see :func:`tied`).
    """
    prefix = PREFIX if head.name else ""
    return {prefix + name: shape for name, shape in encoder_shapes(config).items()} | head_shapes(config, head)


def tied(config: DistilBertConfig, head: Head) -> dict[str, str]:
    """Return the tensors that are not saved because they share another: name -> name of the one that is."""
    if head.name == "ForMaskedLM" and config.tie_word_embeddings:
        return {"vocab_projector.weight": f"{PREFIX}embeddings.word_embeddings.weight"}
    return {}


def _linear(name: str, out_features: int, in_features: int) -> Shapes:
    return {f"{name}.weight": (out_features, in_features), f"{name}.bias": (out_features,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
