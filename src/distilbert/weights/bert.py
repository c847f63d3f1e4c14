"""A BERT is a DistilBERT: rename its tensors and add the embedding of segment 0 to every position.

BERT (arXiv 1810.04805) adds a token-type embedding to each token. Where all tokens belong to segment 0, that is one
constant vector. It can be added to the position embeddings, and the model computes the same function. DistilBERT has
no pooler and no next-sentence head, so these are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.errors import UnsupportedArchitectureError, WeightsMismatchError
from ..core.schema import LAYER_NORM_EPS, PREFIX, Head
from .tensors import LazyTensor, Tensors

# BERT's name -> DistilBERT's: of modules, and of two tensors that BERT keeps in one module more. Read both ways.
NAMES = {
    "embeddings.word_embeddings": "embeddings.word_embeddings",
    "embeddings.position_embeddings": "embeddings.position_embeddings",
    "embeddings.LayerNorm": "embeddings.LayerNorm",
    "cls.predictions.transform.dense": "vocab_transform",
    "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
    "cls.predictions.decoder.weight": "vocab_projector.weight",
    "cls.predictions.bias": "vocab_projector.bias",
    "classifier": "classifier",
    "qa_outputs": "qa_outputs",
}
LAYER_NAMES = {  # below "encoder.layer.N" in BERT and "transformer.layer.N" in DistilBERT
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
BERT_PREFIX = "bert."
SECOND_BIAS = "cls.predictions.decoder.bias"  # the same tensor as cls.predictions.bias; newer files hold both
LEFT_OUT = re.compile(r"pooler\.|cls\.seq_relationship\.|.*position_ids$")
SEGMENTS = "embeddings.token_type_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"

CONFIG_FIELDS = {  # BERT's field -> DistilBERT's, where the names differ
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "hidden_act": "activation",
    "classifier_dropout": "seq_classif_dropout",
}
# Fields of a BERT that mean nothing in a DistilBERT: of segments, of the pooler, and of what DistilBERT has fixed.
ONLY_OF_BERT = re.compile(r"type_vocab_size|pooler_\w+|directionality|layer_norm_eps|position_embedding_type")
# These heads compute the same function in both models, so they can be converted. The others cannot, for the reason
# that stands beside them.
EXACT_HEADS = {
    "BertModel": "",
    "BertForMaskedLM": "ForMaskedLM",
    "BertForPreTraining": "ForMaskedLM",
    "BertForTokenClassification": "ForTokenClassification",
}
INEXACT_HEADS = {
    "BertForSequenceClassification": "it classifies through a tanh pooler, DistilBERT through a ReLU layer",
    "BertForMultipleChoice": "it classifies through a tanh pooler, DistilBERT through a ReLU layer",
    "BertForQuestionAnswering": "it marks the context as segment 1, and DistilBERT has no segments",
    "BertForNextSentencePrediction": "DistilBERT has no next-sentence head",
}


def is_bert(values: Mapping[str, Any]) -> bool:
    """Return whether the content of a ``config.json`` is that of a BERT. Old files have no ``model_type``."""
    if "model_type" in values:
        return bool(values["model_type"] == "bert")
    names = values.get("architectures")
    named = isinstance(names, list) and bool(names) and str(names[0]).startswith("Bert")
    return named or "type_vocab_size" in values or ("hidden_size" in values and "dim" not in values)


def config_from_bert(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the content of a BERT's ``config.json`` into that of its DistilBERT twin.

    Raises:
        UnsupportedArchitectureError: the BERT differs from DistilBERT in more than names.
    """
    demands = {
        "layer_norm_eps": (LAYER_NORM_EPS, values.get("layer_norm_eps", LAYER_NORM_EPS)),
        "position_embedding_type": ("absolute", values.get("position_embedding_type", "absolute")),
        "is_decoder": (False, values.get("is_decoder", False)),
        "add_cross_attention": (False, values.get("add_cross_attention", False)),
    }
    for field, (required, value) in demands.items():
        if value != required:
            raise UnsupportedArchitectureError(
                f"This BERT has no DistilBERT twin: {field} is {value!r}, and DistilBERT has {required!r}."
            )
    names = values.get("architectures") or ["BertModel"]
    source = names[0] if isinstance(names, list) and isinstance(names[0], str) else "BertModel"
    twin = {
        CONFIG_FIELDS.get(name, name): value
        for name, value in values.items()
        if not ONLY_OF_BERT.fullmatch(name) and not (value is None and name in CONFIG_FIELDS)
    }
    return twin | {"model_type": "distilbert", "architectures": [f"DistilBert{EXACT_HEADS.get(source) or 'Model'}"]}


def distilbert_name(name: str) -> str | None:
    """Return DistilBERT's name for a tensor of a BERT; None where DistilBERT has no such tensor.

    Args:
        name: BERT's name. The prefix ``bert.`` becomes ``distilbert.``; a name without it stays without.
    """
    if name.startswith(BERT_PREFIX):
        inner = distilbert_name(name.removeprefix(BERT_PREFIX))
        return inner and PREFIX + inner
    if name == SECOND_BIAS:
        name = "cls.predictions.bias"
    return _translate(name, r"encoder\.layer\.(\d+)\.(.+)", "transformer", LAYER_NAMES, NAMES)


def bert_name(name: str) -> str | None:
    """Return BERT's name for a tensor of a DistilBERT; the inverse of :func:`distilbert_name`."""
    if name.startswith(PREFIX):
        inner = bert_name(name.removeprefix(PREFIX))
        return inner and BERT_PREFIX + inner
    layer_names, names = ({new: old for old, new in table.items()} for table in (LAYER_NAMES, NAMES))
    return _translate(name, r"transformer\.layer\.(\d+)\.(.+)", "encoder", layer_names, names)


def _translate(
    name: str, layer_pattern: str, stack: str, layer_names: Mapping[str, str], names: Mapping[str, str]
) -> str | None:
    module, _, leaf = name.rpartition(".")
    if layer := re.fullmatch(layer_pattern, module):
        translated = layer_names.get(layer[2])
        return f"{stack}.layer.{layer[1]}.{translated}.{leaf}" if translated else None
    if name in names:
        return names[name]
    return f"{names[module]}.{leaf}" if module in names else None


def tensors_from_bert(tensors: Tensors, architecture: str | None, head: Head | None) -> Tensors:
    """Rename a BERT's tensors to DistilBERT's, without the ``distilbert.`` prefix, and fold segment 0 into positions.

    Args:
        tensors: by BERT's names, without the ``bert.`` prefix.
        architecture: the BERT class that was saved, from its ``config.json``.
        head: the head to load into; None for the one that the checkpoint has.

    Raises:
        UnsupportedArchitectureError: the checkpoint has the requested head, but DistilBERT's computes something else.
        WeightsMismatchError: DistilBERT has no such tensor, or the embedding of the segments is missing.
    """
    heads = ("classifier.", "qa_outputs.")
    if head is not None and architecture == "BertModel" and any(name.startswith(heads) for name in tensors):
        architecture = f"Bert{head.name}"  # the config.json is old and names no class
    if architecture in INEXACT_HEADS:
        if head is not None and architecture.removeprefix("Bert") == head.name:
            raise UnsupportedArchitectureError(
                f"The head of {architecture} cannot be converted: {INEXACT_HEADS[architecture]}. "
                "Convert the encoder alone (distilbert convert --head none) and fine-tune a new head on it."
            )
        tensors = {n: t for n, t in tensors.items() if not n.startswith(heads)}
    renamed: Tensors = {}
    segments: LazyTensor | None = None
    unknown = []
    for name, tensor in tensors.items():
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        if LEFT_OUT.match(name):
            continue
        if name == SEGMENTS:
            segments = tensor
            continue
        new = distilbert_name(name)
        if new is None:
            unknown.append(tensor.origin or name)
        else:
            renamed[new] = tensor
    if unknown:
        listed = "\n".join(f"  {name}" for name in unknown[:20])
        raise WeightsMismatchError(f"Tensors of a BERT that DistilBERT has no place for ({len(unknown)}):\n{listed}")
    if POSITIONS in renamed:
        if segments is None:
            raise WeightsMismatchError(f"{SEGMENTS} is missing. A BERT adds its first row to every token.")
        renamed[POSITIONS] = _sum_with_first_row(renamed[POSITIONS], segments)
    return renamed


def _sum_with_first_row(positions: LazyTensor, segments: LazyTensor) -> LazyTensor:
    def read() -> np.ndarray:
        array = positions.read()
        exact: np.ndarray = array.astype(np.float32) + segments.read()[0].astype(np.float32)  # (P, D)
        return exact.astype(array.dtype, copy=False)

    return LazyTensor(positions.shape, positions.dtype, read, positions.origin)
