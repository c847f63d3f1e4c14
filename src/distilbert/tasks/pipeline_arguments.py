"""The arguments of ``pipeline`` and of pipelines that are known from transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InputError, reject_unknown
from ..core.known_arguments import ArgumentTable, argument_rows

# Older names of parameters, and what they are called now.
OLDER_NAMES = {"topk": "top_k", "multi_class": "multi_label"}


_NO_PADDING = "batches hold no padding"
PIPELINE = ArgumentTable(
    "`pipeline`",
    *argument_rows(
        "taken",
        {
            "task model": "the task decides what the model must be, and the model what the task is",
            "config": "of the model; a tokenizer in its place, as third argument, is taken as tokenizer",
            "tokenizer": "a tokenizer of this package or of transformers, a folder, a name, or `(name, options)`",
            "framework": '`"pt"`, `"tf"` or `"flax"`; None is `"pt"`, or the framework of a loaded model',
            "revision token cache_dir local_files_only force_download subfolder": "as in `from_pretrained`, for both",
            "use_auth_token": "the older name of `token`",
            "use_fast": "False takes the tokenizer in pure Python",
            "device": "a number, a name or a `torch.device`; -1 is the CPU",
            "device_map": '`"auto"` or one device for the whole model',
            "dtype": "floating type of the weights and of the computation; None leaves the second to `precision`",
            "torch_dtype": "the older name of `dtype`",
            "attn_implementation": '`"eager"`, `"sdpa"` or, in PyTorch, `"flash_attention_2"`',
            "model_kwargs": "arguments of the model's `from_pretrained`, which may also be given directly",
            "pipeline_class": "a class derived from one of the pipeline classes",
            "batch_size": "most sequences in a batch; of an iterator, no more inputs are read at once",
        },
    ),
    *argument_rows(
        "no effect",
        {
            "feature_extractor image_processor processor": "a DistilBERT reads text",
            "modelcard": "nothing reads it",
            "trust_remote_code code_revision": "code from a checkpoint never runs",
            "_commit_hash": "transformers passes it to itself",
        },
    ),
)
CALLING = ArgumentTable(
    "calls of pipelines, and their defaults in `pipeline`",
    *argument_rows(
        "taken",
        {
            "topk": "the older name of `top_k`",
            "multi_class": "the older name of `multi_label`",
            "return_all_scores": "the older way to ask for all labels",
            "grouped_entities ignore_subwords": "older names of two aggregation strategies",
            "sequences": "the inputs of zero-shot classification",
            "text_pair": "the second texts of text classification, beside the first",
            "data X": "the inputs of question answering",
        },
    ),
    *argument_rows(
        "no effect",
        {
            "padding pad_to_multiple_of padding_side": _NO_PADDING,
            "num_workers": "tokenizing takes all threads, and no other processes",
            "args_parser": "inputs are read by the task",
            "binary_output": "answers are plain Python in any case",
            "return_token_type_ids": "a DistilBERT has no segments",
            "return_attention_mask return_offsets_mapping return_special_tokens_mask return_length verbose":
                "the task asks the tokenizer for what it needs",
        },
    ),
    *argument_rows(
        "refused",
        {
            "truncation max_length": "this task reads long texts in windows, and cuts what cannot be read so",
            "return_tensors": "only feature extraction gives tensors",
            "add_special_tokens": "models are trained with `[CLS]` and `[SEP]` around each text",
            "offset_mapping": "offsets are those of the tokenizer",
            "return_overflowing_tokens": "windows come from `stride`",
            "tokenizer_kwargs tokenize_kwargs": "pass the arguments themselves",
        },
    ),
)  # fmt: skip


def task_parameters(given: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the parameters of a task among the arguments of a call.

    Args:
        given: name -> value. Older names become the present ones. None asks for the default where a parameter cannot
            be None. Arguments that are known from transformers and have no effect are left out.
        defaults: the parameters that the task has.
        where: who was called, for messages.

    Raises:
        InputError: an argument is refused, or given twice under two names.
        UnknownArgumentError: an argument is not known.
    """
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in given.items():
        present = OLDER_NAMES.get(name, name)
        target = present if present in defaults else name
        if target in own:
            raise InputError(
                f"{where} got {' and '.join(n for n in given if OLDER_NAMES.get(n, n) == target)}: one is "
                "the older name of the other. Leave one out."
            )
        (own if target in defaults else others)[target] = value
    if others.get("add_special_tokens") is False:  # here it is True that asks for nothing
        raise InputError(f"{where} does not take add_special_tokens=False: {CALLING.rows['add_special_tokens'].why}.")
    others.pop("add_special_tokens", None)
    meaningful = CALLING.keep_meaningful(others, where)
    reject_unknown(meaningful, [*defaults, *CALLING.names("no effect")], where)
    return {
        name: value
        for name, value in own.items()
        if value is not None or not isinstance(defaults[name], (bool, int, str))
    }
