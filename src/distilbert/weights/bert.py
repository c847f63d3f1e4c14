"""A BERT is a DistilBERT: rename its tensors and add the embedding of segment 0 to every position.

BERT (arXiv 1810.04805) adds a token-type embedding to each token; where all tokens belong to segment 0 that is one
constant vector, which fits into the position embeddings without any change of the function computed. Its pooler and
next-sentence head have no counterpart and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.errors import UnsupportedArchitectureError, WeightsMismatchError
from ..core.schema import LAYER_NORM_EPS, Head
from .tensors import LazyTensor, Tensors

# BERT's module -> DistilBERT's, in one reversible table; a layer's modules follow its number.
LAYER_MODULES = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
MODULES = {
    "embeddings.word_embeddings": "embeddings.word_embeddings",
    "embeddings.position_embeddings": "embeddings.position_embeddings",
    "embeddings.LayerNorm": "embeddings.LayerNorm",
    "cls.predictions.transform.dense": "vocab_transform",
    "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
    "cls.predictions.decoder": "vocab_projector",
    "cls.predictions": "vocab_projector",  # its bias stands beside the decoder
    "classifier": "classifier",
    "qa_outputs": "qa_outputs",
}
LEFT_OUT = re.compile(r"pooler\.|cls\.seq_relationship\.|.*position_ids$")
SEGMENTS = "embeddings.token_type_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"

FIELDS = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "max_position_embeddings",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "hidden_act": "activation",
    "initializer_range": "initializer_range",
    "pad_token_id": "pad_token_id",
    "tie_word_embeddings": "tie_word_embeddings",
    "id2label": "id2label",
    "label2id": "label2id",
    "problem_type": "problem_type",
    "torch_dtype": "dtype",
    "dtype": "dtype",
    "_name_or_path": "_name_or_path",
}
# A head that can be taken over gives the same function; the others say why they cannot.
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
    for field, (needed, given) in demands.items():
        if given != needed:
            raise UnsupportedArchitectureError(
                f"This BERT has no DistilBERT twin: {field} is {given!r}, and DistilBERT has {needed!r}."
            )
    source = (values.get("architectures") or ["BertModel"])[0]
    twin = {new: values[old] for old, new in FIELDS.items() if values.get(old) is not None}
    if values.get("pad_token_id", 0) is None:
        twin["pad_token_id"] = None
    return twin | {"model_type": "distilbert", "architectures": [f"DistilBert{EXACT_HEADS.get(source) or 'Model'}"]}


def tensors_from_bert(tensors: Tensors, architecture: str | None, head: Head | None) -> Tensors:
    """Rename a BERT's tensors to DistilBERT's, without the ``distilbert.`` prefix, and fold segment 0 into positions.

    Args:
        tensors: by BERT's names, with or without the ``bert.`` prefix.
        architecture: the BERT class that was saved, from its ``config.json``.
        head: the head to load into; None for whichever the checkpoint has.

    Raises:
        UnsupportedArchitectureError: the checkpoint has the head asked for, but DistilBERT's computes something else.
        WeightsMismatchError: a tensor has no counterpart.
    """
    if architecture in INEXACT_HEADS:
        if head is not None and architecture.removeprefix("Bert") == head.name:
            raise UnsupportedArchitectureError(
                f"The head of {architecture} cannot be taken over: {INEXACT_HEADS[architecture]}. "
                "Convert the encoder alone (distilbert convert --head none) and fine-tune a new head on it."
            )
        tensors = {n: t for n, t in tensors.items() if not n.startswith(("classifier.", "qa_outputs."))}
    renamed: Tensors = {}
    segments: LazyTensor | None = None
    unknown = []
    for name, tensor in tensors.items():
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name.removeprefix("bert.")))
        if LEFT_OUT.match(name):
            continue
        if name == SEGMENTS:
            segments = tensor
            continue
        module, _, leaf = name.rpartition(".")
        number = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", module)
        new = LAYER_MODULES.get(number[2]) if number else MODULES.get(module)
        if new is None:
            unknown.append(name)
        else:
            renamed[f"transformer.layer.{number[1]}.{new}.{leaf}" if number else f"{new}.{leaf}"] = tensor
    if unknown:
        listed = "\n".join(f"  {name}" for name in unknown)
        raise WeightsMismatchError(f"Tensors of a BERT that DistilBERT has no place for ({len(unknown)}):\n{listed}")
    if segments is not None and POSITIONS in renamed:
        renamed[POSITIONS] = _sum_with_first_row(renamed[POSITIONS], segments)
    return renamed


def _sum_with_first_row(positions: LazyTensor, segments: LazyTensor) -> LazyTensor:
    def read() -> np.ndarray:
        array = positions.read()
        exact: np.ndarray = array.astype(np.float32) + segments.read()[0].astype(np.float32)  # (P, D)
        return exact.astype(array.dtype, copy=False)

    return LazyTensor(positions.shape, positions.dtype, read)
