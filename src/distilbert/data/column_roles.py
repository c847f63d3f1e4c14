"""Which column of a table plays which role: as stated, or guessed from well-known names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ..core.errors import DataError, suggest
from .messages import listed

JOINT = "+"  # between columns that play one role together: choices=ending0+ending1, answers=answer_text+answer_start
Roles = dict[str, tuple[str, ...]]  # columns of each role; one each but for choices and answers

ROLES: dict[str, tuple[str, ...]] = {
    "text-classification": ("text", "text_pair", "label"),
    "token-classification": ("words", "tags"),
    "question-answering": ("question", "context", "answers", "key"),
    "multiple-choice": ("context", "question", "choices", "label"),
    "fill-mask": ("text",),
}
TARGETS = {
    "text-classification": "label",
    "token-classification": "tags",
    "question-answering": "answers",
    "multiple-choice": "label",
    "fill-mask": "",
}  # the role that a labelled row must have
_REQUIRED = {
    "text-classification": ("text",),
    "token-classification": ("words",),
    "question-answering": ("question", "context"),
    "multiple-choice": ("choices",),
    "fill-mask": ("text",),
}

# Names are compared in lower case. Of several groups the first that a table has counts.
_TEXTS = ("text", "sentence", "review", "content", "comment", "tweet", "utterance", "message", "document", "body",
          "headline", "article", "query", "question", "phrase")  # fmt: skip
_PAIRS = (
    ("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question", "passage"),
    ("question", "sentence"), ("question1", "question2"), ("text1", "text2"), ("text_a", "text_b"),
    ("sentence_a", "sentence_b"), ("query", "passage"), ("query", "document"), ("claim", "evidence"),
)  # fmt: skip
_NAMES: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "text-classification": {
        "label": (
            ("label", "labels", "gold_label"),
            ("score", "intent", "class", "category", "sentiment", "target", "rating", "stars", "emotion", "answer"),
        ),
    },
    "token-classification": {
        "words": (("words", "tokens"), ("word", "token")),
        "tags": (("tags", "ner_tags"), ("labels", "label", "ner", "tag", "pos_tags")),
    },
    "question-answering": {
        "question": (("question", "query"),),
        "context": (("context", "passage", "paragraph"), ("document", "text")),
        "answers": (("answers",),),
        "key": (("id", "key", "qid", "question_id"),),
    },
    "multiple-choice": {
        "context": (("context", "passage", "sent1", "ctx", "premise"), ("article",)),
        "question": (("question", "sent2"), ("query", "goal")),
        "choices": (("choices", "options", "endings", "candidates"),),
        "label": (("label", "labels", "gold_label"), ("answer", "answerkey", "correct", "target")),
    },
    "fill-mask": {},
}
_NUMBERED = re.compile(r"(ending|choice|option|answer|sol)[ _]?(\d+|[a-h])", re.IGNORECASE)
_ANSWER_PARTS = (("answer_text", "answer"), ("answer_start", "start"))


def assign(
    task: str, found: Sequence[str], name: str, columns: Mapping[str, str] | None = None, *, labelled: bool = True
) -> Roles:
    """Return the columns of each role; roles that no column plays are left out.

    Args:
        task: decides which roles there are, see ``ROLES``.
        found: the columns that the table has.
        name: the table, for messages.
        columns: the column of some roles; the others are guessed. Where ``text`` is stated, a second text counts only
            if it is stated, too.
        labelled: the role of the label, tags or answers must be played; otherwise its column may be missing, even
            where it is stated.

    Raises:
        DataError: a role or a column that does not exist, or a role that is needed and whose column cannot be told;
            the message lists the columns and says how to name them.
    """
    known, target = ROLES[task], TARGETS[task]
    there = f"Columns found: {listed(found)}."
    roles: Roles = {}
    for role, column in (columns or {}).items():
        if role not in known:
            raise DataError(
                f"{task} has no role {role!r} for a column; it has {', '.join(known)}.{suggest(role, known)}"
            )
        parts = _parts(role, column, found)
        lacking = [part for part in parts if part not in found]
        if lacking and (labelled or role != target):
            near = suggest(lacking[0], found)
            raise DataError(f"{name} has no column {lacking[0]!r} for the {role}.{near} {there}")
        roles[role] = () if lacking else parts
    free = [column for column in found if not any(column in taken for taken in roles.values())]
    guessed = _guess_texts(task, free, roles) if "text" in known else {}
    for role, groups in _NAMES[task].items():
        if role not in roles and (names := _first_group(free, groups)):
            guessed[role] = [(option,) for option in names]
    for role, guess in (("choices", _numbered(free)), ("answers", _answer_parts(free))):
        if role in known and role not in roles and role not in guessed and guess:
            guessed[role] = [guess]
    for role, options in guessed.items():
        if len(options) > 1:
            joined = " or ".join(_option(role, option) for option in options)
            raise DataError(f"{name}: which column is the {role}? State it: --columns {joined}. {there}")
        if role == "text" and len(options[0]) == 2:
            roles["text"], roles["text_pair"] = options[0][:1], options[0][1:]
        else:
            roles[role] = options[0]
    missing = [role for role in (*_REQUIRED[task], *([target] if labelled and target else [])) if role not in roles]
    if task == "multiple-choice" and "context" not in roles and "question" not in roles:
        missing.append("question")
    if missing:
        example = ",".join(f"{role}=COLUMN" for role in missing)
        raise DataError(
            f"{name}: no column is known as the {' or as the '.join(missing)}. State it: --columns {example}. {there}"
        )
    return {role: roles[role] for role in known if roles.get(role)}


def _option(role: str, columns: tuple[str, ...]) -> str:
    """Return how to state a guess."""
    if role == "text" and len(columns) == 2:
        return f"text={columns[0]},text_pair={columns[1]}"
    return f"{role}={JOINT.join(columns)}"


def _parts(role: str, column: str, found: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a role was given: one, or several with ``JOINT`` between them."""
    return (column,) if column in found or role not in ("choices", "answers") else tuple(column.split(JOINT))


def _guess_texts(task: str, free: Sequence[str], roles: Roles) -> dict[str, list[tuple[str, ...]]]:
    """Return the columns, or pairs of columns, that could be the text; none where it is stated."""
    if "text" in roles:
        return {}
    pairs: list[tuple[str, ...]] = []
    if task == "text-classification" and "text_pair" not in roles:
        pairs = [(a, b) for first, second in _PAIRS for a in _called(free, first) for b in _called(free, second)]
    paired = {column for pair in pairs for column in pair}
    singles = [(column,) for column in free if column.lower() in _TEXTS and column not in paired]
    if not pairs and not singles and len(free) == 1:
        singles = [(free[0],)]
    return {"text": [*pairs, *singles]} if pairs or singles else {}


def _first_group(free: Sequence[str], groups: Iterable[Iterable[str]]) -> list[str]:
    for group in groups:
        if options := [column for column in free if column.lower() in group]:
            return options
    return []


def _called(free: Sequence[str], name: str) -> list[str]:
    return [column for column in free if column.lower() == name]


def _numbered(free: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of choices that are numbered, such as ``ending0`` to ``ending3``, in order."""
    stems: dict[str, list[tuple[str, str]]] = {}
    for column in free:
        if match := _NUMBERED.fullmatch(column):
            stems.setdefault(match[1].lower(), []).append((match[2].lower().rjust(4), column))
    found = [sorted(columns) for columns in stems.values() if len(columns) > 1]
    return tuple(column for _, column in found[0]) if len(found) == 1 else ()


def _answer_parts(free: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of an answer's text and of its first character."""
    texts, starts = (next((column for name in names for column in _called(free, name)), "") for names in _ANSWER_PARTS)
    return (texts, starts) if texts and starts else ()
