"""What is asked of transformers 4.57.6 and of this package. Plain data, read by both environments."""

from __future__ import annotations

from typing import Any

LONG = (
    "The president of the company was born in a small city in Germany and lived in Paris for ten years. "
    "He worked at the bank of France, and in New York he made a film about the sea. "
    "Mary and John love the mountains, Anna hates the river, but Wolfgang said that London is the best. "
    "What a great year! Who does not like music, books and good water?"
)
TEXTS = [
    "I love this movie.",
    "The worst film of the year, it was very bad!",
    "Wolfgang lives in Berlin, Germany.",
    "Anna-Maria O'Brien isn't from New York; she's from Kingston.",
    "Mary said: \"who is John?\" (not I)",
    "中国 and 東京 are 2 places",
    "CAFÉ straße naïve 😀 ok",
    "  spaces   and\ttabs\nnew line  ",
    "xyz zzz yyy",
    "!?",
    "google",
    "[MASK] is a city and [SEP] is not",
    "The president of Google worked at Apple in London and lived in Paris, France.",
]  # fmt: skip
CONTEXTS = [
    ("Where does Wolfgang live?", "My name is Wolfgang and I live in Berlin"),
    ("Who made the film?", "In New York, Mary-Ann O'Connor made a great film about the sea."),
    ("What is the capital of France?", "Paris is the capital of France. paris is big. PARIS is old!"),
    ("How old?", "中国 and 東京 and CAFÉ straße"),
    ("Why?", "xyz"),
    ("Who hates the river?", LONG),
    ("Where did the president of the company live for ten years in the old days?", LONG + " " + LONG),
]  # fmt: skip
PAIRS = [{"text": "I love this movie.", "text_pair": "It was bad."}, {"text": TEXTS[2], "text_pair": TEXTS[5]}]


def case(model: str, inputs: Any, defaults: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """Return one call: ``pipeline(task, model, **defaults)(inputs, **params)``."""
    return {"model": model, "defaults": defaults or {}, "inputs": inputs, "params": params}


def _text_classification() -> list[dict[str, Any]]:
    cases = [case(model, TEXTS) for model in ("labels", "multi-label", "regression", "one-label")]
    cases += [case("labels", TEXTS, top_k=k) for k in (1, 2, 5, 9, None)]
    cases += [case("labels", TEXTS[0], **params) for params in ({}, {"top_k": 1}, {"top_k": None})]
    cases += [case("multi-label", TEXTS[:5], top_k=None, function_to_apply=f) for f in ("none", "softmax", "sigmoid")]
    cases += [case(model, TEXTS[:3], function_to_apply="softmax") for model in ("regression", "one-label")]
    cases += [case("labels", TEXTS[:3], return_all_scores=flag) for flag in (True, False)]
    cases += [case("labels", TEXTS[0], return_all_scores=True), case("labels", TEXTS[0], {"return_all_scores": True})]
    cases += [case("labels", TEXTS[0], {"top_k": None}), case("labels", TEXTS[:2], {"top_k": 2})]
    cases += [case("labels", PAIRS), case("labels", PAIRS[0]), case("labels", PAIRS, top_k=2)]
    cases += [case("labels", PAIRS[0], top_k=1), case("labels", [[["I love it", "who"]]])]
    cases += [case("labels", [LONG, *TEXTS[:2]], truncation=True, padding=True)]
    cases += [case("labels", [LONG, *TEXTS[:4]], truncation=True, max_length=12, top_k=None)]
    long_pairs = [{"text": LONG, "text_pair": TEXTS[0]}, {"text": TEXTS[0], "text_pair": LONG}]
    long_pairs += [{"text": LONG, "text_pair": LONG}, {"text": TEXTS[3], "text_pair": TEXTS[4]}]
    for length in (13, 20, 31, 64):
        cases.append(case("labels", long_pairs, truncation=True, max_length=length))
    cases.append(case("labels", long_pairs[:1], truncation="only_first"))
    cases.append(case("labels", long_pairs[1:2], truncation="only_second"))
    return cases


def _token_classification() -> list[dict[str, Any]]:
    strategies = ("none", "simple", "first", "average", "max")
    cases = [case("entities", TEXTS, aggregation_strategy=strategy) for strategy in strategies]
    cases += [case("entities", TEXTS[2]), case("entities", TEXTS[2], {"aggregation_strategy": "simple"})]
    cases += [case("entities", TEXTS[2:5], aggregation_strategy=s, ignore_labels=[]) for s in strategies]
    cases += [
        case("entities", TEXTS[:5], aggregation_strategy=s, ignore_labels=["PER", "O", "B-PER"]) for s in strategies[:2]
    ]
    for stride in (0, 7, 20):
        cases += [case("entities", [LONG, TEXTS[3]], aggregation_strategy=s, stride=stride) for s in strategies[1:]]
    cases.append(case("entities", LONG + " " + LONG, aggregation_strategy="simple", stride=16, ignore_labels=[]))
    words = [text.split() for text in TEXTS[:8]]
    cases += [case("entities", words, aggregation_strategy=s, is_split_into_words=True) for s in strategies]
    cases += [case("entities", words[3], is_split_into_words=True)]
    cases += [case("entities", words[:4], aggregation_strategy="simple", is_split_into_words=True, delimiter="--")]
    cases += [case("entities", TEXTS[:3], grouped_entities=True), case("entities", TEXTS[:3], grouped_entities=False)]
    cases += [case("entities", TEXTS[:3], grouped_entities=True, ignore_subwords=True)]
    return cases


def _question_answering() -> list[dict[str, Any]]:
    items = [{"question": question, "context": context} for question, context in CONTEXTS]
    cases = [case("answers", items)]
    for params in (
        {"top_k": 3},
        {"top_k": 3, "align_to_words": False},
        {"align_to_words": False},
        {"handle_impossible_answer": True},
        {"handle_impossible_answer": True, "top_k": 3},
        {"max_answer_len": 1},
        {"max_answer_len": 3, "top_k": 2},
        {"max_answer_len": 100},
    ):
        cases += [case("answers", items, **params)]
    for length, stride in ((30, 4), (40, 10), (48, 0), (64, 24)):
        cases += [
            case("answers", items, max_seq_len=length, doc_stride=stride, **extra) for extra in ({}, {"top_k": 4})
        ]
        cases += [case("answers", items, max_seq_len=length, doc_stride=stride, handle_impossible_answer=True)]
    single = case("answers", items[0])
    lists = case("answers", {"question": [q for q, _ in CONTEXTS[:2]], "context": CONTEXTS[1][1]})
    cases += [single, {**single, "as_keywords": True}, {**lists, "as_keywords": True}]
    both = {"question": [q for q, _ in CONTEXTS], "context": [c for _, c in CONTEXTS]}
    return [*cases, {**case("answers", both), "as_keywords": True}]


def _fill_mask() -> list[dict[str, Any]]:
    single_masks = [
        "Paris is the [MASK] of France.",
        "[MASK]",
        "I [MASK] this film!",
        "Who isn't from [MASK]?",
        "中国 [MASK] xyz CAFÉ",
    ]
    several_masks = ["The [MASK] is [MASK].", "[MASK][MASK] lives in New [MASK]"]
    cases = [
        case("masked-lm", single_masks),
        case("masked-lm", single_masks[0]),
        case("masked-lm", [*single_masks, *several_masks]),
        case("masked-lm", several_masks[0]),
    ]
    cases += [case("masked-lm", single_masks, top_k=k) for k in (1, 2, 7)]
    cases += [
        case("masked-lm", single_masks, targets=targets)
        for targets in (["paris", "london"], "city", ["Paris", "cities"])
    ]
    cases += [case("masked-lm", several_masks, targets=["paris", "london", "sea"], top_k=2)]
    cases += [
        case("masked-lm", single_masks[:2], {"top_k": 3}),
        case("masked-lm", single_masks[0], {"targets": ["sea", "city"]}),
    ]
    cut = f"{single_masks[0]} {LONG}"
    cases += [case("masked-lm", [cut, single_masks[1]], tokenizer_kwargs={"truncation": True})]
    cases += [case("masked-lm", cut, tokenizer_kwargs={"truncation": True, "max_length": 9}, top_k=2)]
    return cases


def _feature_extraction() -> list[dict[str, Any]]:
    cases = [case("encoder", TEXTS[:3]), case("encoder", TEXTS[9]), case("labels", [TEXTS[6], TEXTS[8]])]
    cases += [case("encoder", LONG[:120], truncation=True, tokenize_kwargs={"max_length": 5})]
    return cases


def _zero_shot() -> list[dict[str, Any]]:
    labels = ["politics", "sport", "a very good book"]
    cases = []
    for model in ("nli", "nli-first"):
        cases += [case(model, TEXTS, candidate_labels=labels, multi_label=flag) for flag in (False, True)]
        cases += [case(model, TEXTS[:3], candidate_labels="music, red,blue , 10")]
        cases += [case(model, TEXTS[:2], candidate_labels=["sea"]), case(model, TEXTS[0], candidate_labels=labels)]
        cases += [
            case(model, TEXTS[:2], candidate_labels=labels, hypothesis_template="It is {}, {}!".replace(", {}", ""))
        ]
        cases += [case(model, TEXTS[:2], {"candidate_labels": labels, "multi_label": True})]
        cases += [case(model, [LONG, TEXTS[0]], candidate_labels=labels)]
    return cases


CASES = {
    "text-classification": _text_classification(),
    "token-classification": _token_classification(),
    "question-answering": _question_answering(),
    "fill-mask": _fill_mask(),
    "feature-extraction": _feature_extraction(),
    "zero-shot-classification": _zero_shot(),
}
