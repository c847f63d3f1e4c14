"""The files of a tokenizer: reading any folder that holds a BERT tokenizer, writing one that every library reads.

``load_spec`` and ``write_spec`` read and write a folder. ``spec_options_from_tokenizer_json`` and
``spec_to_tokenizer_json`` convert the content of its main file, tokenizer.json, in the two directions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.errors import TokenizerError
from ..core.files import write_json, write_text
from .added_tokens import AddedToken
from .spec import CONFIG_OPTIONS, DEFAULT_MAX_LENGTH, DEFAULT_SPECIAL_TOKENS, SPECIAL_TOKEN_NAMES, TokenizerSpec
from .wordpiece import CONTINUATION, MAX_CHARS_PER_WORD

VOCAB_FILE = "vocab.txt"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
WORDPIECE_FAMILIES = ("Bert", "DistilBert", "MobileBert", "Electra", "ConvBert", "LayoutLM", "SqueezeBert", "RetriBert")
# Entries of tokenizer_config.json that are not kept: they are written anew, or describe the machine or library that
# wrote the file.
_DROPPED_CONFIG = (
    "added_tokens_decoder",
    "additional_special_tokens",
    "extra_special_tokens",
    "tokenizer_class",
    "tokenizer_file",
    "vocab_file",
    "special_tokens_map_file",
    "name_or_path",
    "backend",
    "is_local",
    "local_files_only",
    "auto_map",
)


def load_spec(folder: Path) -> TokenizerSpec:
    """Read the tokenizer in ``folder``.

    ``vocab.txt`` or ``tokenizer.json`` is enough; if both exist, ``tokenizer.json`` gives the vocabulary. Options in
    ``tokenizer_config.json`` win over those in ``special_tokens_map.json``, ``added_tokens.json`` and
    ``tokenizer.json``.

    Raises:
        TokenizerError: neither file exists, one cannot be read, or it is not a BERT-style WordPiece tokenizer.
    """
    folder = Path(folder)
    config = _read_json_if_present(folder / CONFIG_FILE)
    options: dict[str, Any] = {"model_max_length": DEFAULT_MAX_LENGTH}
    if (folder / TOKENIZER_FILE).is_file():
        options |= spec_options_from_tokenizer_json(folder / TOKENIZER_FILE)
    elif (folder / VOCAB_FILE).is_file():
        _check_class(config, folder)
        options["vocab"] = read_vocab(folder / VOCAB_FILE)
    else:
        raise TokenizerError(f"There is neither a {VOCAB_FILE} nor a {TOKENIZER_FILE} in {str(folder)!r}.")
    special_tokens_map = _read_json_if_present(folder / SPECIAL_TOKENS_FILE)
    added_tokens: dict[int, AddedToken] = options.pop("added_tokens", {})
    for content, token_id in _read_json_if_present(folder / ADDED_TOKENS_FILE).items():
        added_tokens.setdefault(int(token_id), AddedToken(content))
    for token_id, token in config.get("added_tokens_decoder", {}).items():
        added_tokens[int(token_id)] = AddedToken.of(token)
    ids = {token.content: token_id for token_id, token in added_tokens.items()}

    def special_content(value: Any) -> str:
        """Return the text of a special token; the options that come with it go to ``added_tokens``."""
        token = AddedToken.of(value, special=True)
        if not isinstance(value, str) and token.content in ids:
            added_tokens[ids[token.content]] = token
        return token.content

    special_tokens = {**DEFAULT_SPECIAL_TOKENS, **options.pop("special_tokens", {})}
    additional: list[str] = []
    for source in (special_tokens_map, config):
        for name in SPECIAL_TOKEN_NAMES:
            if source.get(name) is not None:
                special_tokens[name] = special_content(source[name])
        values = source.get("additional_special_tokens") or source.get("extra_special_tokens") or []
        additional += map(special_content, values.values() if isinstance(values, dict) else values)
    for name in CONFIG_OPTIONS:
        if name in config and (config[name] is not None or name == "strip_accents"):
            options[name] = config[name]
    options["never_split"] = tuple(options.get("never_split") or ())
    options["model_max_length"] = int(options["model_max_length"])
    known = {*CONFIG_OPTIONS, *SPECIAL_TOKEN_NAMES, *_DROPPED_CONFIG}
    return TokenizerSpec(
        **options,
        special_tokens=special_tokens,
        additional_special_tokens=list(dict.fromkeys(additional)),
        added_tokens=added_tokens,
        other_config={name: value for name, value in config.items() if name not in known},
    )


def write_spec(spec: TokenizerSpec, folder: Path) -> tuple[str, ...]:
    """Write vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    special_tokens_map: dict[str, Any] = dict(spec.special_tokens)
    if spec.additional_special_tokens:
        special_tokens_map["additional_special_tokens"] = spec.additional_special_tokens
    config: dict[str, Any] = {
        **spec.other_config,
        "added_tokens_decoder": {str(token_id): t.to_dict() for token_id, t in sorted(spec.added_tokens.items())},
        **{name: getattr(spec, name) for name in CONFIG_OPTIONS},
        "never_split": list(spec.never_split) or None,
        **spec.special_tokens,
        "tokenizer_class": "DistilBertTokenizer",
    }
    if spec.additional_special_tokens:
        config["additional_special_tokens"] = spec.additional_special_tokens
    contents = {
        TOKENIZER_FILE: spec_to_tokenizer_json(spec),
        CONFIG_FILE: config,
        SPECIAL_TOKENS_FILE: special_tokens_map,
    }
    paths = [write_vocab(spec.vocab, folder / VOCAB_FILE)]
    for name, content in contents.items():
        write_json(folder / name, content)
        paths.append(str(folder / name))
    return tuple(paths)


def spec_options_from_tokenizer_json(path: Path) -> dict[str, Any]:
    """Read a tokenizer.json, in any of the forms in which it was written over the years.

    The truncation and padding that the file may store are ignored, because every call decides on them.

    Returns:
        Arguments of ``TokenizerSpec``. Its ``special_tokens`` are only those that the file names.

    Raises:
        TokenizerError: the file describes another kind of tokenizer; the message says what differs.
    """
    content = read_json(path)

    def expect(value: Any, allowed: tuple[Any, ...], what: str) -> None:
        if value not in allowed:
            names = " or ".join(repr(item) for item in allowed)
            raise TokenizerError(
                f"{str(path)!r} is not a BERT-style WordPiece tokenizer: its {what} is {value!r}, expected {names}."
            )

    model = content.get("model") or {}
    # Files from before 2020 have no type for the model.
    model_type = model.get("type", "WordPiece" if "max_input_chars_per_word" in model else None)
    expect(model_type, ("WordPiece",), "model")
    expect(model.get("continuing_subword_prefix"), (CONTINUATION,), "model's continuing_subword_prefix")
    expect(model.get("max_input_chars_per_word"), (MAX_CHARS_PER_WORD,), "model's max_input_chars_per_word")
    normalizer = content.get("normalizer") or {}
    pre_tokenizer = (content.get("pre_tokenizer") or {}).get("type")
    expect(normalizer.get("type"), ("BertNormalizer", None), "normalizer")
    do_basic_tokenize = bool(normalizer)
    expect(pre_tokenizer, ("BertPreTokenizer" if do_basic_tokenize else "WhitespaceSplit",), "pre_tokenizer")
    expect((content.get("decoder") or {}).get("type"), ("WordPiece", None), "decoder")
    options: dict[str, Any] = {"vocab": model["vocab"], "do_basic_tokenize": do_basic_tokenize}
    if do_basic_tokenize:
        expect(normalizer.get("clean_text", True), (True,), "normalizer's clean_text")
        options["do_lower_case"] = normalizer.get("lowercase", True)
        options["tokenize_chinese_chars"] = normalizer.get("handle_chinese_chars", True)
        options["strip_accents"] = normalizer.get("strip_accents")
    options["added_tokens"] = {int(token["id"]): AddedToken.of(token) for token in content.get("added_tokens") or []}
    special_tokens = {"unk_token": model.get("unk_token", "[UNK]")}
    post_processor = content.get("post_processor") or {}
    expect(post_processor.get("type"), ("TemplateProcessing", "BertProcessing", None), "post_processor")
    if post_processor.get("type") == "BertProcessing":
        special_tokens |= {"cls_token": post_processor["cls"][0], "sep_token": post_processor["sep"][0]}
    elif post_processor:
        template = [next(iter(item)) for item in post_processor["single"]]
        expect(template, (["SpecialToken", "Sequence", "SpecialToken"],), "post_processor's template")
        first, _, last = post_processor["single"]
        special_tokens |= {"cls_token": first["SpecialToken"]["id"], "sep_token": last["SpecialToken"]["id"]}
    padding = content.get("padding") or {}
    if "pad_token" in padding:
        special_tokens["pad_token"] = padding["pad_token"]
    options["special_tokens"] = special_tokens
    return options


def spec_to_tokenizer_json(spec: TokenizerSpec) -> dict[str, Any]:
    """Return the content of tokenizer.json, from which the Rust library builds the same tokenizer."""
    cls, sep = spec.special_tokens["cls_token"], spec.special_tokens["sep_token"]
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": spec.tokenize_chinese_chars,
        "strip_accents": spec.strip_accents,
        "lowercase": spec.do_lower_case,
    }

    def special(token: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": type_id}}

    def sequence(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [special(cls, 0), sequence("A", 0), special(sep, 0)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token_id, **token.to_dict()} for token_id, token in sorted(spec.added_tokens.items())],
        "normalizer": normalizer if spec.do_basic_tokenize else None,
        "pre_tokenizer": {"type": "BertPreTokenizer" if spec.do_basic_tokenize else "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, sequence("B", 1), special(sep, 1)],
            "special_tokens": {
                token: {"id": token, "ids": [spec.id_of(token)], "tokens": [token]} for token in (cls, sep)
            },
        },
        "decoder": {"type": "WordPiece", "prefix": CONTINUATION, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": spec.special_tokens["unk_token"],
            "continuing_subword_prefix": CONTINUATION,
            "max_input_chars_per_word": MAX_CHARS_PER_WORD,
            "vocab": spec.vocab,
        },
    }


def read_vocab(path: Path) -> dict[str, int]:
    """Read a vocab.txt: one entry a line; the first line has id 0.

    Raises:
        TokenizerError: the file is missing, empty, not UTF-8, or has a blank or repeated line.
    """
    if not path.is_file():
        raise TokenizerError(f"There is no vocabulary file {str(path)!r}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{str(path)!r} is not UTF-8: {error.reason} at byte {error.start}.") from None
    lines = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")] if text.strip() else []
    if not lines:
        raise TokenizerError(f"The vocabulary {str(path)!r} is empty. Expected one entry a line.")
    vocab: dict[str, int] = {}
    for index, entry in enumerate(lines):
        if not entry:
            raise TokenizerError(f"Line {index + 1} of {str(path)!r} is blank, so id {index} would have no entry.")
        if entry in vocab:
            raise TokenizerError(
                f"Line {index + 1} of {str(path)!r} repeats {entry!r} of line {vocab[entry] + 1}, so id "
                f"{vocab[entry]} or id {index} could never be produced."
            )
        vocab[entry] = index
    return vocab


def write_vocab(vocab: dict[str, int], path: Path) -> str:
    """Write a vocab.txt, with the entries in the order of their ids; returns its path."""
    write_text(path, "".join(f"{entry}\n" for entry in sorted(vocab, key=vocab.__getitem__)))
    return str(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        TokenizerError: the file is not valid JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TokenizerError(f"{str(path)!r} is not valid JSON: {error}. Is the file complete?") from None
    if not isinstance(content, dict):
        raise TokenizerError(f"{str(path)!r} must hold a JSON object, but holds a {type(content).__name__}.")
    return content


def _read_json_if_present(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _check_class(config: dict[str, Any], folder: Path) -> None:
    name = config.get("tokenizer_class") or "BertTokenizer"
    if name.removesuffix("Fast").removesuffix("Tokenizer") not in (*WORDPIECE_FAMILIES, "PreTrained"):
        raise TokenizerError(
            f"{str(folder / CONFIG_FILE)!r} says tokenizer_class {name!r}, which is not BERT's WordPiece, and there is "
            f"no {TOKENIZER_FILE} that could show otherwise. Expected one of "
            f"{', '.join(f'{family}Tokenizer' for family in WORDPIECE_FAMILIES)}."
        )
