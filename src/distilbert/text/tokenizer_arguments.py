"""The arguments of tokenizers that are known from transformers: what each does here."""

from __future__ import annotations

from ..core.known_arguments import ArgumentTable, argument_rows

_WORDPIECE = "WordPiece makes the same words with and without a space before them"

MAKING = ArgumentTable(
    "The classes and `from_pretrained` of tokenizers",
    *argument_rows(
        "taken",
        {
            "max_len": "the older name of `model_max_length`",
            "extra_special_tokens": "the newer name of `additional_special_tokens`; of a dict, the values",
            "use_auth_token": "the older name of `token`",
            "verbose": "False leaves out the warning about texts that are too long",
            "tokenizer_file": "a tokenizer.json instead of the folder's",
            "tokenizer_object": "a `tokenizers.Tokenizer` instead of a file",
            "split_special_tokens": "treat special tokens in a text as ordinary text",
            "model_input_names": "the columns that a call returns by default",
            "chat_template": "a jinja2 template of chats, or several by name",
            "padding_side truncation_side": '`"right"` or `"left"`',
            "clean_up_tokenization_spaces": "default of the argument of `decode`",
        },
    ),
    *argument_rows(
        "no effect",
        {
            "use_fast from_slow": "the class decides: `DistilBertTokenizer` is pure Python, `...Fast` is Rust",
            "add_prefix_space add_bos_token add_eos_token": _WORDPIECE,
            "legacy fix_mistral_regex": "it belongs to tokenizers of other kinds",
            "trust_remote_code code_revision": "code from a checkpoint never runs",
            "resume_download mirror": "the hub library decides",
            "proxies": "the hub library takes proxies from `HTTPS_PROXY`",
            "config tokenizer_type": "the files of the tokenizer say all",
            "_from_auto _from_pipeline _commit_hash": "transformers passes it to itself",
            "special_tokens_map_file backend": "loading finds the files",
        },
    ),
    *argument_rows(
        "refused",
        {
            "padding truncation max_length return_tensors": "give it to the call of the tokenizer",
            "gguf_file": "GGUF files are not read",
        },
    ),
)
CALLING = ArgumentTable(
    "Calls of tokenizers",
    *argument_rows(
        "taken",
        {
            "text_target text_pair_target": "texts whose ids become the column `labels`",
            "split_special_tokens": "treat special tokens in a text as ordinary text",
            "pad_to_max_length": 'the older name of `padding="max_length"`',
            "truncation_strategy": "the older name of `truncation`",
            "is_pretokenized": "the older name of `is_split_into_words`",
        },
    ),
    *argument_rows("no effect", {"add_prefix_space": _WORDPIECE, "return_input_ids": "the ids are always returned"}),
)
DECODING = ArgumentTable(
    "`decode` and `batch_decode`",
    *argument_rows("taken", {"spaces_between_special_tokens": "False sets no space around added tokens"}),
    *argument_rows("no effect", {"use_source_tokenizer": "there is one tokenizer for both sides"}),
)
SAVING = ArgumentTable(
    "`save_pretrained` and `push_to_hub` of tokenizers",
    *argument_rows(
        "taken",
        {
            "legacy_format": "True leaves out tokenizer.json, False leaves out vocab.txt; by default both are written",
            "filename_prefix": "set before each name, with a dash",
            "save_jinja_files": "False writes chat templates into tokenizer_config.json",
            "push_to_hub": "upload the folder afterwards",
            "use_auth_token": "the older name of `token`",
            "repo_id token private revision commit_message commit_description create_pr": "of the upload",
        },
    ),
    *argument_rows(
        "no effect",
        {
            "save_format is_main_process": "all files are written, whole or not at all",
            "use_temp_dir": "an upload always goes through a temporary folder",
            "max_shard_size safe_serialization variant tags": "it belongs to models",
        },
    ),
)
TRAINING = ArgumentTable(
    "`train_new_from_iterator`",
    *argument_rows(
        "taken",
        {
            "new_special_tokens": "further special tokens of the new tokenizer",
            "special_tokens_map": "new texts for special tokens, by their old ones",
            "min_frequency limit_alphabet show_progress": "of the trainer of the Rust library",
        },
    ),
    *argument_rows("no effect", {"length": "the trainer counts the texts itself"}),
    *argument_rows("refused", {"initial_alphabet continuing_subword_prefix end_of_word_suffix": "BERT's own are used"}),
)
