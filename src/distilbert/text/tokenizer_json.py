"""tokenizer.json, the file of the Rust library ``tokenizers``: what it says as options, and options as its content."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..core.errors import TokenizerError
from .added_tokens import AddedToken
from .spec import LARGEST_MAX_CHARS_PER_WORD, TokenizerSpec, first_fault
from .wordpiece import CONTINUATION

logger = logging.getLogger(__name__)

# The components that a tokenizer.json may have instead of BERT's own. Only the Rust library runs them.
NORMALIZERS = (
    "BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Nmt", "Replace",
)  # fmt: skip
PRE_TOKENIZERS = (
    "BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits", "CharDelimiterSplit", "Split",
    "UnicodeScripts",
)  # fmt: skip
DECODER = {"type": "WordPiece", "prefix": CONTINUATION, "cleanup": True}
_NORMALIZER_OPTIONS = {
    "lowercase": "do_lower_case",
    "handle_chinese_chars": "tokenize_chinese_chars",
    "strip_accents": "strip_accents",
}


def spec_options_from_json(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Read the content of a tokenizer.json, in any of the forms in which it was written over the years.

    The truncation and padding that the file may store are ignored, because every call decides on them.

    Args:
        content: of the file.
        where: how messages call the file.

    Returns:
        Arguments of ``TokenizerSpec``. Its ``special_tokens`` are only those that the file names.

    Raises:
        TokenizerError: the file describes another kind of tokenizer; the message says what differs.
    """
    try:
        return _read(content, where)
    except TokenizerError:
        raise
    except (TypeError, AttributeError, LookupError, OverflowError, ValueError, StopIteration) as error:
        raise TokenizerError(
            f"{where} is not a tokenizer that can be read: {type(error).__name__}: {error!s:.200}."
        ) from None


def _read(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    model = content.get("model") or {}
    # Files from before 2020 have no type for the model.
    model_type = model.get("type", "WordPiece" if "max_input_chars_per_word" in model else None)
    _expect(where, model_type, ("WordPiece",), "model")
    _expect(where, model.get("continuing_subword_prefix"), (CONTINUATION,), "model's continuing_subword_prefix")
    max_chars = model.get("max_input_chars_per_word")
    if not isinstance(max_chars, int) or not 0 < max_chars <= LARGEST_MAX_CHARS_PER_WORD:
        raise TokenizerError(
            f"{where} has max_input_chars_per_word={max_chars!r:.40}; it must be 1 to {LARGEST_MAX_CHARS_PER_WORD}."
        )
    vocab = check_vocab(model["vocab"], where)
    options: dict[str, Any] = {"vocab": vocab, "max_chars_per_word": max_chars, **_read_components(content, where)}
    options["added_tokens"] = {int(token["id"]): AddedToken.of(token) for token in content.get("added_tokens") or []}
    special_tokens = {"unk_token": model.get("unk_token", "[UNK]")}
    special_tokens |= _read_template(content.get("post_processor") or {}, {**vocab, **_added_ids(options)}, where)
    padding = content.get("padding") or {}
    if "pad_token" in padding:
        special_tokens["pad_token"] = padding["pad_token"]
    for name, token in special_tokens.items():
        if not isinstance(token, str):
            raise TokenizerError(f"{where} has {token!r:.40} as {name}, which must be a text.")
    options["special_tokens"] = special_tokens
    return options


def _added_ids(options: Mapping[str, Any]) -> dict[str, int]:
    return {token.content: token_id for token_id, token in options["added_tokens"].items()}


def _expect(where: str, value: Any, allowed: tuple[Any, ...], what: str) -> None:
    if value not in allowed:
        names = " or ".join(repr(item) for item in allowed)
        raise TokenizerError(
            f"{where} is not a BERT-style WordPiece tokenizer: its {what} is {value!r:.80}, expected {names}."
        )


def _read_components(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return BERT's own normalizer and pre-tokenizer as options, and others as ``components``."""
    normalizer = _single(content.get("normalizer"), "normalizers")
    pre_tokenizer = _single(content.get("pre_tokenizer"), "pretokenizers")
    for component, names, key, what in (
        (normalizer, NORMALIZERS, "normalizers", "normalizer"),
        (pre_tokenizer, PRE_TOKENIZERS, "pretokenizers", "pre_tokenizer"),
    ):
        _check_component(component, (*names, "Sequence", None), key, what, where)
    decoder = content.get("decoder") or None
    _expect(where, (decoder or {}).get("type"), ("WordPiece", None), "decoder")
    _expect(where, (decoder or {}).get("cleanup", True), (True, False), "decoder's cleanup")
    components: dict[str, Any] = {}
    if decoder != DECODER:
        components["decoder"] = decoder
    kinds = normalizer.get("type"), pre_tokenizer.get("type")
    if kinds == (None, "WhitespaceSplit"):
        return {"do_basic_tokenize": False, "components": components}
    options: dict[str, Any] = {}
    if kinds[0] == "BertNormalizer" and normalizer.get("clean_text", True) is True:
        for key, option in _NORMALIZER_OPTIONS.items():
            options[option] = normalizer.get(key, None if key == "strip_accents" else True)
    else:
        components["normalizer"] = normalizer or None
        types = _types(normalizer, "normalizers")
        options["do_lower_case"] = "Lowercase" in types or normalizer.get("lowercase") is True
        options["strip_accents"] = "StripAccents" in types or normalizer.get("strip_accents")
    if kinds[1] != "BertPreTokenizer":
        components["pre_tokenizer"] = pre_tokenizer or None
    return {**options, "components": components}


def _single(component: Any, key: str) -> dict[str, Any]:
    """Return a component; a sequence of one component is that component."""
    component = component or {}
    while component.get("type") == "Sequence" and len(component[key]) == 1:
        component = component[key][0]
    return dict(component)


def _types(component: Mapping[str, Any], key: str) -> set[Any]:
    return {component.get("type")}.union(*(_types(inner, key) for inner in component.get(key) or ()))


def _check_component(component: Mapping[str, Any], names: tuple[Any, ...], key: str, what: str, where: str) -> None:
    _expect(where, component.get("type"), names, what)
    for inner in component.get(key) or ():
        _check_component(inner, names, key, what, where)


def _read_template(post_processor: Mapping[str, Any], vocab: Mapping[str, int], where: str) -> dict[str, str]:
    """Return ``cls_token`` and ``sep_token`` of a post-processor that makes ``[CLS] A [SEP]``, else none."""
    _expect(where, post_processor.get("type"), ("TemplateProcessing", "BertProcessing", None), "post_processor")
    if not post_processor:
        logger.warning("%s has no post_processor: texts become [CLS] A [SEP] as in any DistilBERT.", where)
        return {}
    if post_processor["type"] == "BertProcessing":
        (cls, cls_id), (sep, sep_id) = post_processor["cls"], post_processor["sep"]
        ids = {cls: [cls_id], sep: [sep_id]}
    else:
        template = [next(iter(item)) for item in post_processor["single"]]
        _expect(where, template, (["SpecialToken", "Sequence", "SpecialToken"],), "post_processor's template")
        first, _, last = post_processor["single"]
        cls, sep = first["SpecialToken"]["id"], last["SpecialToken"]["id"]
        ids = {token: item["ids"] for token, item in post_processor["special_tokens"].items()}
        pair = [item.get("SpecialToken", item.get("Sequence"))["id"] for item in post_processor.get("pair") or ()]
        if pair != [cls, "A", sep, "B", sep]:
            logger.warning("%s has another template for pairs: they become [CLS] A [SEP] B [SEP].", where)
    for token in (cls, sep):
        if ids[token] != [vocab.get(token)]:
            raise TokenizerError(
                f"The post_processor of {where} says {ids[token]!r:.40} for {token!r:.40}, "
                f"the vocabulary says {vocab.get(token)}."
            )
    return {"cls_token": cls, "sep_token": sep}


def check_vocab(vocab: Any, where: str) -> dict[str, int]:
    """Return the vocabulary as a dict, after a look at its types; ids that are not consecutive are said in the log.

    Raises:
        TokenizerError: it is not a dict from text to id.
    """
    if not isinstance(vocab, Mapping) or not all(type(token_id) is int for token_id in vocab.values()):
        raise TokenizerError(f"The vocabulary of {where} must be a dict of entries and their ids.")
    try:
        "".join(vocab).encode()
    except (TypeError, UnicodeEncodeError):
        raise TokenizerError(f"The vocabulary of {where} has an entry that is not a text.") from None
    fault = first_fault(vocab)
    if fault:
        logger.warning("The ids of %s are not 0 to %d, each once: %s", where, len(vocab) - 1, fault)
    return dict(vocab)


def spec_to_tokenizer_json(spec: TokenizerSpec) -> dict[str, Any]:
    """Return the content of tokenizer.json, from which the Rust library builds the same tokenizer."""
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": spec.tokenize_chinese_chars,
        "strip_accents": spec.strip_accents,
        "lowercase": spec.do_lower_case,
    }

    def special(name: str, type_id: int) -> list[dict[str, Any]]:
        token = spec.special_tokens.get(name)
        return [] if token is None else [{"SpecialToken": {"id": token, "type_id": type_id}}]

    def sequence(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [*special("cls_token", 0), sequence("A", 0), *special("sep_token", 0)]
    around = [spec.special_tokens[name] for name in ("cls_token", "sep_token") if name in spec.special_tokens]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token_id, **token.to_dict()} for token_id, token in sorted(spec.added_tokens.items())],
        "normalizer": spec.components.get("normalizer", normalizer if spec.do_basic_tokenize else None),
        "pre_tokenizer": spec.components.get(
            "pre_tokenizer", {"type": "BertPreTokenizer" if spec.do_basic_tokenize else "WhitespaceSplit"}
        ),
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, sequence("B", 1), *special("sep_token", 1)],
            "special_tokens": {token: {"id": token, "ids": [spec.id_of(token)], "tokens": [token]} for token in around},
        },
        "decoder": spec.components.get("decoder", DECODER),
        "model": {
            "type": "WordPiece",
            "unk_token": spec.unknown_word,
            "continuing_subword_prefix": CONTINUATION,
            "max_input_chars_per_word": spec.max_chars_per_word,
            "vocab": spec.vocab,
        },
    }
