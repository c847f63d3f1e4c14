"""Reading tokenizer.json: only files that describe BERT's WordPiece, in any of the ways they were written over time."""

from __future__ import annotations

from typing import Any

from ..core.errors import TokenizerError
from .added_tokens import AddedToken
from .wordpiece import CONTINUATION, MAX_CHARS_PER_WORD


def read_tokenizer_json(content: dict[str, Any], path: str) -> dict[str, Any]:
    """Turn the content of a tokenizer.json into arguments of ``TokenizerSpec``.

    Stored truncation and padding are not taken over: a call decides on them.

    Args:
        content: the parsed file.
        path: where it came from, for error messages.

    Raises:
        TokenizerError: the file describes another kind of tokenizer; the message says what was found.
    """

    def expect(found: Any, wanted: tuple[Any, ...], what: str) -> None:
        if found not in wanted:
            names = " or ".join(repr(value) for value in wanted)
            raise TokenizerError(
                f"{path!r} is not a BERT-style WordPiece tokenizer: its {what} is {found!r}, expected {names}."
            )

    model = content.get("model") or {}
    # Files from before 2020 leave the model's type out.
    kind = model.get("type", "WordPiece" if "max_input_chars_per_word" in model else None)
    expect(kind, ("WordPiece",), "model")
    expect(model.get("continuing_subword_prefix"), (CONTINUATION,), "model's continuing_subword_prefix")
    expect(model.get("max_input_chars_per_word"), (MAX_CHARS_PER_WORD,), "model's max_input_chars_per_word")
    normalizer = content.get("normalizer") or {}
    pre_tokenizer = (content.get("pre_tokenizer") or {}).get("type")
    expect(normalizer.get("type"), ("BertNormalizer", None), "normalizer")
    basic = bool(normalizer)
    expect(pre_tokenizer, ("BertPreTokenizer" if basic else "WhitespaceSplit",), "pre_tokenizer")
    expect((content.get("decoder") or {}).get("type"), ("WordPiece", None), "decoder")
    options: dict[str, Any] = {"vocab": model["vocab"], "do_basic_tokenize": basic}
    if basic:
        expect(normalizer.get("clean_text", True), (True,), "normalizer's clean_text")
        options["do_lower_case"] = normalizer.get("lowercase", True)
        options["tokenize_chinese_chars"] = normalizer.get("handle_chinese_chars", True)
        options["strip_accents"] = normalizer.get("strip_accents")
    options["added"] = {int(token["id"]): AddedToken.of(token) for token in content.get("added_tokens") or []}
    special = {"unk_token": model.get("unk_token", "[UNK]")}
    post = content.get("post_processor") or {}
    expect(post.get("type"), ("TemplateProcessing", "BertProcessing", None), "post_processor")
    if post.get("type") == "BertProcessing":
        special |= {"cls_token": post["cls"][0], "sep_token": post["sep"][0]}
    elif post:
        shape = [next(iter(piece)) for piece in post["single"]]
        expect(shape, (["SpecialToken", "Sequence", "SpecialToken"],), "post_processor's template")
        first, _, last = post["single"]
        special |= {"cls_token": first["SpecialToken"]["id"], "sep_token": last["SpecialToken"]["id"]}
    padding = content.get("padding") or {}
    if "pad_token" in padding:
        special["pad_token"] = padding["pad_token"]
    options["special"] = special
    return options
