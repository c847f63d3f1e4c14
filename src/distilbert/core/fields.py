"""The fields of a DistilBERT's configuration with their defaults, their other names, and the values allowed."""

from __future__ import annotations

from typing import Any

ALIASES = {
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "torch_dtype": "dtype",
    "_attn_implementation": "attn_implementation",
}
ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")
ATTENTIONS = ("eager", "sdpa", "flash_attention_2")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
FIELDS: dict[str, Any] = {
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "sinusoidal_pos_embds": False,
    "n_layers": 6,
    "n_heads": 12,
    "dim": 768,
    "hidden_dim": 3072,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation": "gelu",
    "initializer_range": 0.02,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
}
OPTIONS: dict[str, Any] = {  # written to a file only where they differ from these defaults
    "problem_type": None,
    "output_hidden_states": False,
    "output_attentions": False,
    "return_dict": True,
    "dtype": None,
    "architectures": None,
    "pruned_heads": {},
}
# Keys that other libraries put beside these: accepted by name, kept through a round trip, never interpreted.
EXTRAS = (
    "_name_or_path", "transformers_version", "finetuning_task", "tie_weights_", "output_past", "torchscript",
    "use_bfloat16", "use_cache", "chunk_size_feed_forward", "is_encoder_decoder", "is_decoder", "add_cross_attention",
    "bos_token_id", "eos_token_id", "sep_token_id", "decoder_start_token_id", "prefix", "task_specific_params",
    "tokenizer_class",
)  # fmt: skip
# Everything that the constructor takes by name.
ARGUMENTS = (*FIELDS, *OPTIONS, *ALIASES, *EXTRAS, "num_labels", "id2label", "label2id", "attn_implementation")
