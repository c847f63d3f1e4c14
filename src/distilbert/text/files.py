"""Tokenizer folders: reading any that holds a BERT tokenizer, writing one that every other reader understands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.errors import TokenizerError
from ..core.files import write_json, write_text
from .added_tokens import AddedToken
from .spec import DEFAULT_MAX_LENGTH, DEFAULT_SPECIAL, SPECIAL_NAMES, TokenizerSpec
from .tokenizer_json import read_tokenizer_json

VOCAB, TOKENIZER, CONFIG = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
SPECIAL_MAP, ADDED = "special_tokens_map.json", "added_tokens.json"
WORDPIECE_CLASSES = ("Bert", "DistilBert", "MobileBert", "Electra", "ConvBert", "LayoutLM", "SqueezeBert", "RetriBert")
OPTIONS = (
    "do_lower_case",
    "do_basic_tokenize",
    "tokenize_chinese_chars",
    "strip_accents",
    "never_split",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
)
# Entries that describe the machine or library that wrote the file.
_FORGOTTEN = (
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

    ``vocab.txt`` or ``tokenizer.json`` suffices; if both are there, ``tokenizer.json`` gives the vocabulary. Options
    in ``tokenizer_config.json`` win over those in ``special_tokens_map.json``, ``added_tokens.json`` and
    ``tokenizer.json``.

    Raises:
        TokenizerError: neither file is there, one cannot be read, or it is not a BERT-style WordPiece tokenizer.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    options: dict[str, Any] = {"model_max_length": DEFAULT_MAX_LENGTH}
    if (folder / TOKENIZER).is_file():
        options |= read_tokenizer_json(read_json(folder / TOKENIZER), str(folder / TOKENIZER))
    elif (folder / VOCAB).is_file():
        _check_class(config, folder)
        options["vocab"] = read_vocab(folder / VOCAB)
    else:
        raise TokenizerError(f"There is neither a {VOCAB} nor a {TOKENIZER} in {str(folder)!r}.")
    special_map = read_json(folder / SPECIAL_MAP) if (folder / SPECIAL_MAP).is_file() else {}
    listed = read_json(folder / ADDED) if (folder / ADDED).is_file() else {}
    added: dict[int, AddedToken] = options.pop("added", {})
    for content, index in listed.items():
        added.setdefault(int(index), AddedToken(content))
    for index, token in config.get("added_tokens_decoder", {}).items():
        added[int(index)] = AddedToken.of(token)
    ids = {token.content: index for index, token in added.items()}

    special = dict(options.pop("special", {}))
    further: list[str] = []
    for source in (special_map, config):
        for name in SPECIAL_NAMES:
            if source.get(name) is not None:
                special[name] = _special(source[name], ids, added)
        extra = source.get("additional_special_tokens") or source.get("extra_special_tokens") or []
        for value in extra.values() if isinstance(extra, dict) else extra:
            content = _special(value, ids, added)
            further += [content] if content not in further else []
    for name in OPTIONS:
        if name in config and (config[name] is not None or name == "strip_accents"):
            options[name] = config[name]
    options["never_split"] = tuple(options.get("never_split") or ())
    options["model_max_length"] = int(options["model_max_length"])
    known = {*OPTIONS, *SPECIAL_NAMES, *_FORGOTTEN}
    return TokenizerSpec(
        **options,
        special={**DEFAULT_SPECIAL, **special},
        additional_special_tokens=further,
        added=added,
        extra={name: value for name, value in config.items() if name not in known},
    )


def _special(value: Any, ids: dict[str, int], added: dict[int, AddedToken]) -> str:
    """Text of a special token; its options, where the file gives them, go to ``added``."""
    token = AddedToken.of(value, special=True)
    if not isinstance(value, str) and token.content in ids:
        added[ids[token.content]] = token
    return token.content


def _check_class(config: dict[str, Any], folder: Path) -> None:
    name = config.get("tokenizer_class") or "BertTokenizer"
    if name.removesuffix("Fast").removesuffix("Tokenizer") not in (*WORDPIECE_CLASSES, "PreTrained"):
        raise TokenizerError(
            f"{str(folder / CONFIG)!r} says tokenizer_class {name!r}, which is not BERT's WordPiece, and there is no "
            f"{TOKENIZER} that could show otherwise. Expected one of "
            f"{', '.join(f'{family}Tokenizer' for family in WORDPIECE_CLASSES)}."
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        TokenizerError: the file is no JSON, or no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TokenizerError(f"{str(path)!r} is not valid JSON: {error}. Is the file complete?") from None
    if not isinstance(content, dict):
        raise TokenizerError(f"{str(path)!r} must hold a JSON object, but holds a {type(content).__name__}.")
    return content


def read_vocab(path: Path) -> dict[str, int]:
    """Read a vocab.txt: one entry a line, the first line has id 0.

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


def write_spec(spec: TokenizerSpec, folder: Path) -> tuple[str, ...]:
    """Write vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    specials = {**spec.special}
    config: dict[str, Any] = {
        **spec.extra,
        "added_tokens_decoder": {str(index): token.to_dict() for index, token in sorted(spec.added.items())},
        **{name: getattr(spec, name) for name in OPTIONS},
        "never_split": list(spec.never_split) or None,
        **specials,
        "tokenizer_class": "DistilBertTokenizer",
    }
    special_map: dict[str, Any] = {**specials}
    if spec.additional_special_tokens:
        config["additional_special_tokens"] = special_map["additional_special_tokens"] = spec.additional_special_tokens
    paths = [write_vocab(spec.vocab, folder / VOCAB)]
    for name, content in ((TOKENIZER, spec.to_tokenizer_json()), (CONFIG, config), (SPECIAL_MAP, special_map)):
        write_json(folder / name, content)
        paths.append(str(folder / name))
    return tuple(paths)


def write_vocab(vocab: dict[str, int], path: Path) -> str:
    """Write a vocab.txt, entries in the order of their ids; returns its path."""
    write_text(path, "".join(f"{entry}\n" for entry in sorted(vocab, key=vocab.__getitem__)))
    return str(path)
