"""The arguments of ``from_pretrained``, ``from_config``, ``save_pretrained`` and calls known from transformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .known_arguments import ArgumentTable, argument_rows

# Where a model is: the arguments of :func:`distilbert.core.hub.resolve`.
HUB_ARGUMENTS = ("cache_dir", "revision", "token", "local_files_only", "force_download", "subfolder")
# Which weights of a folder are read: the arguments of :class:`distilbert.weights.source.WeightSource`.
WEIGHT_ARGUMENTS = ("use_safetensors", "from_pt", "from_tf", "from_flax", "variant", "state_dict", "key_mapping")

# How a folder is uploaded: the arguments of :func:`distilbert.core.hub.push`.
UPLOAD_ARGUMENTS = (
    "repo_id", "token", "private", "revision", "commit_message", "commit_description", "create_pr",
)  # fmt: skip


def hub_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``HUB_ARGUMENTS`` that are given; ``use_auth_token`` is the older name of ``token``."""
    return _given(arguments, HUB_ARGUMENTS)


def upload_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``UPLOAD_ARGUMENTS`` that are given; ``use_auth_token`` as above."""
    return _given(arguments, UPLOAD_ARGUMENTS)


def _given(arguments: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    chosen = {name: arguments[name] for name in names if arguments.get(name) is not None}
    if arguments.get("use_auth_token") is not None:
        chosen.setdefault("token", arguments["use_auth_token"])
    return chosen


_HUB = argument_rows(
    "taken",
    {
        "cache_dir": "where downloads are kept",
        "revision": "branch, tag or commit on the hub",
        "token": "access token for the hub",
        "use_auth_token": "the older name of `token`",
        "local_files_only": "never open a connection",
        "force_download": "fetch again what is in the cache",
        "subfolder": "folder inside the model's folder",
    },
)
_HUB_WITHOUT_EFFECT = argument_rows(
    "no effect",
    {
        "trust_remote_code code_revision": "code from a checkpoint never runs",
        "resume_download mirror": "the hub library decides",
        "proxies": "the hub library takes proxies from `HTTPS_PROXY`",
        "tqdm_class": "loading shows no progress bar",
        "_from_auto _from_pipeline _commit_hash": "transformers passes it to itself",
    },
)
_PLACED_WHOLE = "a model is placed on one device as a whole"
_QUANTIZED = "int8 comes from `distilbert quantize`, and the CPU engine runs it"
_PARALLEL = "a model runs on one device; in training, accelerate spreads the batches"

LOADING = ArgumentTable(
    "`from_pretrained` of models",
    *_HUB,
    *argument_rows(
        "taken",
        {
            "config": "a configuration to use instead of the folder's; fields given beside it are set in a copy",
            "dtype": 'floating type of the weights; `"auto"` is that of the file',
            "torch_dtype": "the older name of `dtype`",
            "device_map": '`"auto"` or one device for the whole model',
            "attn_implementation": '`"eager"`, `"sdpa"` or, in PyTorch, `"flash_attention_2"`',
            "ignore_mismatched_sizes": "heads and embeddings of another shape start afresh; blocks never do",
            "output_loading_info": "return a pair: the model, and what was missing, unexpected or of another shape",
            "state_dict": "tensors by name to load instead of a file's; then the path may be None if `config` is given",
            "use_safetensors": "True reads only safetensors, False only the other formats",
            "from_pt": "read the files of PyTorch first",
            "from_tf": "read `tf_model.h5` first",
            "from_flax": "read `flax_model.msgpack` first",
            "variant": 'read files such as `model.fp16.safetensors` for `"fp16"`',
            "key_mapping": "regular expressions and their replacements, applied to the names in the file",
        },
    ),
    *_HUB_WITHOUT_EFFECT,
    *argument_rows(
        "no effect",
        {
            "low_cpu_mem_usage _fast_init disable_mmap": "weights are always read one tensor at a time",
            "weights_only": "a pickle is only ever read for its tensors",
            "max_memory offload_folder offload_buffers offload_state_dict": _PLACED_WHOLE,
            "adapter_name": "it belongs to `adapter_kwargs`",
            "generation_config": "a DistilBERT does not generate",
            "experts_implementation": "a DistilBERT has no experts",
            "load_weight_prefix tf_to_pt_weight_rename": "names in `tf_model.h5` are translated in any case",
        },
    ),
    *argument_rows(
        "refused",
        {
            "quantization_config load_in_8bit load_in_4bit": _QUANTIZED,
            "gguf_file": "GGUF files are not read",
            "adapter_kwargs": "load the model, then its adapter with `peft.PeftModel.from_pretrained`",
            "tp_plan tp_size device_mesh distributed_config": _PARALLEL,
            "use_kernels kernel_config allow_all_kernels": "kernels from the hub are code, which never runs",
            "fusion_config": "there are no fusions to choose",
        },
    ),
)
BUILDING = ArgumentTable(
    "`from_config` of models",
    *argument_rows(
        "taken",
        {
            "dtype": "floating type of the weights",
            "torch_dtype": "the older name of `dtype`",
            "attn_implementation": '`"eager"`, `"sdpa"` or, in PyTorch, `"flash_attention_2"`',
        },
    ),
    *argument_rows(
        "no effect",
        {
            "trust_remote_code code_revision": "code from a checkpoint never runs",
            "experts_implementation": "a DistilBERT has no experts",
        },
    ),
    *argument_rows("refused", {"use_kernels allow_all_kernels": "kernels from the hub are code, which never runs"}),
)
CONFIG_LOADING = ArgumentTable(
    "`from_pretrained` of configurations",
    *_HUB,
    *argument_rows(
        "taken", {"return_unused_kwargs": "return a pair: the configuration, and the arguments that it does not use"}
    ),
    *_HUB_WITHOUT_EFFECT,
    *argument_rows("refused", {"gguf_file": "GGUF files are not read"}),
)
_UPLOAD = {
    "repo_id": "name on the hub; that of the folder if absent",
    "token": "access token for the hub",
    "use_auth_token": "the older name of `token`",
    "commit_message commit_description private revision create_pr": "of the upload",
}
SAVING = ArgumentTable(
    "`save_pretrained` and `push_to_hub` of models",
    *argument_rows(
        "taken",
        {
            "is_main_process": "False writes nothing",
            "save_config": "the older name of `is_main_process`",
            "state_dict": "tensors by name to write instead of the model's own",
            "max_shard_size": "larger weights are split into shards",
            "safe_serialization": "False writes `pytorch_model.bin`",
            "variant": 'write files such as `model.fp16.safetensors` for `"fp16"`',
            "push_to_hub": "upload the folder afterwards",
            **_UPLOAD,
        },
    ),
    *argument_rows(
        "no effect",
        {
            "save_function": "files are written by this package, whole or not at all",
            "save_peft_format save_original_format": "there is one format of names",
            "ignore_metadata_errors tags": "a model card is written by the training commands",
            "version signatures": "they belong to `saved_model`",
            "use_temp_dir": "an upload always goes through a temporary folder",
        },
    ),
    *argument_rows(
        "refused",
        {
            "saved_model": "`model.export(folder)` of Keras writes a SavedModel",
            "distributed_checkpoint": "weights are written by one process",
            "organization repo_url": "write it into `repo_id`",
        },
    ),
)
CONFIG_SAVING = ArgumentTable(
    "`save_pretrained` and `push_to_hub` of configurations",
    *argument_rows("taken", {"push_to_hub": "upload the folder afterwards", **_UPLOAD}),
    *argument_rows("no effect", {"use_temp_dir": "an upload always goes through a temporary folder"}),
    *argument_rows("refused", {"organization repo_url": "write it into `repo_id`"}),
)
_ENCODER = "DistilBERT is an encoder: it has no decoder, no cross-attention and no cache"
CALLING = ArgumentTable(
    "Calls of PyTorch models",
    *argument_rows(
        "no effect",
        {
            "use_cache": "an encoder keeps no keys and values",
            "num_items_in_batch": "a loss is the mean over its batch, which `accepts_loss_kwargs` tells Trainer",
        },
    ),
    *argument_rows(
        "refused",
        {
            "past_key_values encoder_hidden_states encoder_attention_mask": _ENCODER,
            "decoder_input_ids decoder_attention_mask decoder_inputs_embeds cross_attn_head_mask": _ENCODER,
            "next_sentence_label": "DistilBERT is not trained to predict the next sentence",
            "masked_lm_labels lm_labels": "they are called `labels`",
        },
    ),
)
