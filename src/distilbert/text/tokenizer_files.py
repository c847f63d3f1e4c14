"""The files of a tokenizer: reading any folder that holds a BERT tokenizer, writing one that every library reads."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import TokenizerError
from ..core.files import refuse_pointer, write_json, write_text
from .added_tokens import AddedToken, as_tokens
from .chat_templates import DEFAULT_TEMPLATE, ChatTemplates, as_chat_templates
from .spec import (
    CONFIG_OPTIONS,
    DEFAULT_MAX_LENGTH,
    DEFAULT_SPECIAL_TOKENS,
    MODEL_INPUT_NAMES,
    NORMALIZER_OPTIONS,
    SPECIAL_TOKEN_NAMES,
    TokenizerSpec,
    check_model_max_length,
)
from .tokenizer_json import spec_options_from_json, spec_to_tokenizer_json

logger = logging.getLogger(__name__)

VOCAB_FILE = "vocab.txt"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
CHAT_TEMPLATE_FOLDER = "additional_chat_templates"  # with NAME.jinja for each further template
_SWITCHES = (*NORMALIZER_OPTIONS, "clean_up_tokenization_spaces", "split_special_tokens")
LARGEST_FILE = 40_000_000  # bytes; the largest published vocabularies take a quarter of it
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


def load_spec(
    folder: Path, tokenizer_file: Path | None = None, tokenizer_json: dict[str, Any] | None = None
) -> TokenizerSpec:
    """Read the tokenizer in ``folder``.

    ``vocab.txt`` or ``tokenizer.json`` is enough; if both exist, ``tokenizer.json`` gives the vocabulary. Options in
    ``tokenizer_config.json`` win over those in ``special_tokens_map.json``, ``added_tokens.json`` and
    ``tokenizer.json``. ``chat_template.jinja`` wins over a template in ``tokenizer_config.json``.

    Args:
        folder: holds the files.
        tokenizer_file: read in place of the folder's ``tokenizer.json``.
        tokenizer_json: the content of a ``tokenizer.json`` in place of the folder's.

    Raises:
        TokenizerError: neither file exists, one cannot be read, or it is not a BERT-style WordPiece tokenizer.
    """
    folder = Path(folder)
    config = _read_json_if_present(folder / CONFIG_FILE)
    options: dict[str, Any] = {"model_max_length": DEFAULT_MAX_LENGTH}
    if tokenizer_json is not None:
        options |= spec_options_from_json(tokenizer_json, "the tokenizer_object")
    elif tokenizer_file is not None or (folder / TOKENIZER_FILE).is_file():
        options |= read_tokenizer_json(tokenizer_file or folder / TOKENIZER_FILE)
    elif (folder / VOCAB_FILE).is_file():
        _check_class(config, folder)
        options["vocab"] = read_vocab(folder / VOCAB_FILE)
    else:
        raise TokenizerError(f"There is neither a {VOCAB_FILE} nor a {TOKENIZER_FILE} in {str(folder)!r}.")
    special_tokens_map = _read_json_if_present(folder / SPECIAL_TOKENS_FILE)
    added_tokens = _read_json_if_present(folder / ADDED_TOKENS_FILE)
    options["chat_template"] = _read_chat_templates(folder) or as_chat_templates(config.get("chat_template"))
    try:
        return _combine(options, added_tokens, special_tokens_map, config)
    except (TypeError, AttributeError, KeyError, IndexError, OverflowError, ValueError) as error:
        if isinstance(error, TokenizerError):
            named = str(error).partition(" ")[0].partition("=")[0]
            raise TokenizerError(f"{folder / CONFIG_FILE if named in config else folder}: {error}") from None
        raise TokenizerError(
            f"The files in {str(folder)!r} are not a tokenizer that can be read: "
            f"{type(error).__name__}: {error!s:.200}."
        ) from None


def _combine(
    options: dict[str, Any], added: dict[str, Any], special_tokens_map: dict[str, Any], config: dict[str, Any]
) -> TokenizerSpec:
    """Return the spec of the vocabulary and options in ``options`` and the content of the other three files."""
    added_tokens: dict[int, AddedToken] = options.pop("added_tokens", {})
    for content, token_id in added.items():
        added_tokens.setdefault(int(token_id), AddedToken(content))
    for token_id, token in (config.get("added_tokens_decoder") or {}).items():
        added_tokens[int(token_id)] = AddedToken.of(token)
    ids = {token.content: token_id for token_id, token in added_tokens.items()}

    def special_content(value: Any) -> str:
        """Return the text of a special token; the options that come with it go to ``added_tokens``."""
        token = AddedToken.of(value, special=True)
        if not isinstance(value, str) and token.content in ids:
            added_tokens[ids[token.content]] = token
        return token.content

    special_tokens: dict[str, str] = {**DEFAULT_SPECIAL_TOKENS, **options.pop("special_tokens", {})}
    additional: list[str] = []
    for source in (special_tokens_map, config):
        for name in SPECIAL_TOKEN_NAMES:
            if source.get(name) is not None:
                special_tokens[name] = special_content(source[name])
        name = "additional_special_tokens" if source.get("additional_special_tokens") else "extra_special_tokens"
        additional += map(special_content, as_tokens(source.get(name) or (), name))
    for name in DEFAULT_SPECIAL_TOKENS:
        # A null in tokenizer_config.json says that there is no such token.
        if name != "unk_token" and name in config and config[name] is None and special_tokens_map.get(name) is None:
            del special_tokens[name]
    # Other components of tokenizer.json decide how texts become words, as in transformers.
    decided = NORMALIZER_OPTIONS if options.get("components", {}).keys() & {"normalizer", "pre_tokenizer"} else ()
    for name in CONFIG_OPTIONS:
        if name in config and name not in decided and (config[name] is not None or name == "strip_accents"):
            options[name] = config[name]
    if "max_len" in config and "model_max_length" not in config:
        options["model_max_length"] = config["max_len"]
    options["never_split"] = tuple(as_tokens(options.get("never_split") or (), "never_split"))
    options["model_max_length"] = check_model_max_length(options["model_max_length"])
    if config.get("model_input_names"):
        options["model_input_names"] = as_tokens(config["model_input_names"], "model_input_names")
    _check_types(options)
    options |= {name: bool(options[name]) for name in _SWITCHES if options.get(name) is not None}
    known = {*CONFIG_OPTIONS, *SPECIAL_TOKEN_NAMES, *_DROPPED_CONFIG, "model_input_names", "max_len", "chat_template"}
    spec = TokenizerSpec(
        **options,
        special_tokens=special_tokens,
        additional_special_tokens=list(dict.fromkeys(additional)),
        added_tokens=added_tokens,
        other_config={name: value for name, value in config.items() if name not in known},
    )
    moved = [(token, token_id) for token_id, token in added_tokens.items() if spec.id_of(token.content) != token_id]
    if moved:
        token, token_id = moved[0]
        logger.warning(
            "%d added tokens get other ids than the files say (as in the Rust library); the first: %r has %d, not %d.",
            len(moved), token.content, spec.id_of(token.content), token_id,
        )  # fmt: skip
    return spec


def _check_types(options: Mapping[str, Any]) -> None:
    """Check the types of those options that the rest of the package relies on and that come from a JSON file."""
    for name, value in options.items():
        if name in ("never_split", "model_input_names"):
            is_right = all(isinstance(item, str) for item in value)
        elif name in _SWITCHES:
            is_right = value in (True, False) or (name == "strip_accents" and value is None)
        else:
            continue
        if not is_right:
            raise TokenizerError(f"{name}={value!r:.40} in the files of a tokenizer has another type than expected.")


def write_spec(
    spec: TokenizerSpec,
    folder: Path,
    *,
    prefix: str = "",
    legacy_format: bool | None = None,
    save_jinja_files: bool = True,
) -> tuple[str, ...]:
    """Write vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json; returns their paths.

    A chat template gets a file of its own, and each further one too. Of a tokenizer that was saved there before, with
    the same prefix, no file stays that would be read beside these.

    Args:
        spec: the tokenizer.
        folder: created if it is missing.
        prefix: set before each name, with a dash.
        legacy_format: True leaves out tokenizer.json, False leaves out vocab.txt.
        save_jinja_files: False writes chat templates into tokenizer_config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    special_tokens_map: dict[str, Any] = dict(spec.special_tokens)
    if spec.additional_special_tokens:
        special_tokens_map["additional_special_tokens"] = spec.additional_special_tokens
    config: dict[str, Any] = {
        **spec.other_config,
        "added_tokens_decoder": {str(token_id): t.to_dict() for token_id, t in sorted(spec.added_tokens.items())},
        **{name: getattr(spec, name) for name in CONFIG_OPTIONS},
        "never_split": list(spec.never_split) or None,
        **dict.fromkeys(DEFAULT_SPECIAL_TOKENS),
        **spec.special_tokens,
        "tokenizer_class": "DistilBertTokenizer",
    }
    if spec.additional_special_tokens:
        config["additional_special_tokens"] = spec.additional_special_tokens
    if tuple(spec.model_input_names) != MODEL_INPUT_NAMES:
        config["model_input_names"] = spec.model_input_names
    if isinstance(spec.chat_template, dict) and not save_jinja_files:
        config["chat_template"] = [{"name": name, "template": text} for name, text in spec.chat_template.items()]
    elif spec.chat_template is not None and not save_jinja_files:
        config["chat_template"] = spec.chat_template
    contents = {CONFIG_FILE: config, SPECIAL_TOKENS_FILE: special_tokens_map}
    if not legacy_format:
        contents = {TOKENIZER_FILE: spec_to_tokenizer_json(spec), **contents}
    prefix = f"{prefix}-" if prefix else ""
    paths = [] if legacy_format is False else [write_vocab(spec.vocab, folder / f"{prefix}{VOCAB_FILE}")]
    for name, content in contents.items():
        write_json(folder / f"{prefix}{name}", content)
        paths.append(str(folder / f"{prefix}{name}"))
    paths += _write_chat_templates(spec.chat_template if save_jinja_files else None, folder, prefix)
    names = (VOCAB_FILE, TOKENIZER_FILE, ADDED_TOKENS_FILE, CHAT_TEMPLATE_FILE)
    templates = (folder / f"{prefix}{CHAT_TEMPLATE_FOLDER}").glob("*.jinja")
    # Earlier files are removed last, so that the folder is never without a vocabulary.
    for path in (*(folder / f"{prefix}{name}" for name in names), *templates):
        if str(path) not in paths:
            path.unlink(missing_ok=True)
    return tuple(paths)


def _write_chat_templates(templates: ChatTemplates | None, folder: Path, prefix: str) -> list[str]:
    others = folder / f"{prefix}{CHAT_TEMPLATE_FOLDER}"
    by_name = {DEFAULT_TEMPLATE: templates} if isinstance(templates, str) else templates or {}
    paths = []
    for name, text in by_name.items():
        is_default = name == DEFAULT_TEMPLATE
        path = folder / f"{prefix}{CHAT_TEMPLATE_FILE}" if is_default else others / f"{name}.jinja"
        write_text(path, text)
        paths.append(str(path))
    return paths


def _read_chat_templates(folder: Path) -> ChatTemplates | None:
    further = sorted((folder / CHAT_TEMPLATE_FOLDER).glob("*.jinja"))
    templates = {path.stem: _read_template(path) for path in further if path.is_file()}
    if (folder / CHAT_TEMPLATE_FILE).is_file():
        default = _read_template(folder / CHAT_TEMPLATE_FILE)
        return as_chat_templates({DEFAULT_TEMPLATE: default, **templates} if templates else default)
    return as_chat_templates(templates or None)


def _read_template(path: Path) -> str:
    check_size(path)
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise TokenizerError(f"{str(path)!r} is not UTF-8: {error}.") from None


def read_tokenizer_json(path: Path) -> dict[str, Any]:
    """Read a tokenizer.json; returns arguments of ``TokenizerSpec``.

    Raises:
        TokenizerError: the file describes another kind of tokenizer; the message says what differs.
    """
    return spec_options_from_json(read_json(path), repr(str(path)))


def read_vocab(path: Path) -> dict[str, int]:
    """Read a vocab.txt: one entry a line; the first line has id 0.

    Of an entry that stands in several lines the last counts, and a blank line is the empty entry, as in transformers;
    both are said in the log. Blank lines at the end are not counted.

    Raises:
        TokenizerError: the file is missing, empty, too large or not UTF-8.
    """
    if not path.is_file():
        raise TokenizerError(f"There is no vocabulary file {str(path)!r}.")
    check_size(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{str(path)!r} is not UTF-8: {error.reason} at byte {error.start}.") from None
    lines = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")] if text.strip() else []
    if not lines:
        raise TokenizerError(f"The vocabulary {str(path)!r} is empty. Expected one entry a line.")
    vocab: dict[str, int] = {}
    faults: list[str] = []
    for index, entry in enumerate(lines):
        if not entry:
            faults.append(f"line {index + 1} is blank, so id {index} is the empty entry")
        elif entry in vocab:
            faults.append(
                f"line {index + 1} repeats {entry!r:.80} of line {vocab[entry] + 1}, so its id is {index} and no text "
                f"gets id {vocab[entry]}"
            )
        vocab[entry] = index
    if faults:
        logger.warning("%r has %d unusual lines; the first: %s.", str(path), len(faults), faults[0])
    return vocab


def write_vocab(vocab: dict[str, int], path: Path) -> str:
    """Write a vocab.txt, with the entries in the order of their ids and blank lines for ids without one."""
    entries = {token_id: entry for entry, token_id in vocab.items()}
    write_text(path, "".join(f"{entries.get(token_id, '')}\n" for token_id in range(max(entries) + 1)))
    return str(path)


def check_size(path: Path) -> None:
    """Raise an error if a file is larger than any tokenizer's."""
    refuse_pointer(path, TokenizerError)
    if path.stat().st_size > LARGEST_FILE:
        raise TokenizerError(f"{str(path)!r} has more than {LARGEST_FILE // 10**6} MB: it is no file of a tokenizer.")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        TokenizerError: the file is not valid JSON, or not an object.
    """
    check_size(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode()  # half of a character cannot be written again
    except RecursionError:
        raise TokenizerError(f"{str(path)!r} is nested too deeply to be a file of a tokenizer.") from None
    except ValueError as error:
        raise TokenizerError(f"{str(path)!r} is not valid JSON: {error}. Is the file complete?") from None
    if not isinstance(content, dict):
        raise TokenizerError(f"{str(path)!r} must hold a JSON object, but holds a {type(content).__name__}.")
    return content


def _read_json_if_present(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _check_class(config: dict[str, Any], folder: Path) -> None:
    name = str(config.get("tokenizer_class") or "BertTokenizer")
    if name.removesuffix("Fast").removesuffix("Tokenizer") not in (*WORDPIECE_FAMILIES, "PreTrained"):
        raise TokenizerError(
            f"{str(folder / CONFIG_FILE)!r} says tokenizer_class {name!r:.80}, which is not BERT's WordPiece, and "
            f"there is no {TOKENIZER_FILE} that could show otherwise. Expected one of "
            f"{', '.join(f'{family}Tokenizer' for family in WORDPIECE_FAMILIES)}."
        )
