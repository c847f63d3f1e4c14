"""Which column plays which role: what is guessed, what is stated, and what the errors say."""

from __future__ import annotations

from typing import Any

import pytest

from distilbert.core.errors import DataError
from distilbert.data.column_roles import assign_roles

TEXT, QA, CHOICE = "text-classification", "question-answering", "multiple-choice"


def roles(task: str, columns: str, **stated: str) -> dict[str, str]:
    taken = assign_roles(task, columns.split(), "a.tsv", stated, labelled=False)
    return {role: "+".join(columns) for role, columns in taken.items()}


def fault(task: str, columns: str, labelled: bool = True, **stated: Any) -> str:
    with pytest.raises(DataError) as caught:
        assign_roles(task, columns.split(), "a.tsv", stated, labelled=labelled)
    return str(caught.value)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("sentence label", "sentence - label"),
        ("label TEXT", "TEXT - label"),
        ("sentence1 sentence2 score", "sentence1 sentence2 score"),
        ("premise hypothesis label", "premise hypothesis label"),
        ("Premise Hypothesis gold_label", "Premise Hypothesis gold_label"),
        ("question passage title answer", "question passage answer"),
        ("question sentence label idx", "question sentence label"),
        ("question1 question2 label", "question1 question2 label"),
        ("text intent", "text - intent"),
        ("id review sentiment", "review - sentiment"),
        ("text label score", "text - label"),
        ("text class", "text - class"),
        ("text category title", "text - category"),
        ("question label", "question - label"),
        ("anything", "anything - -"),
    ],
)
def test_guesses_for_texts(columns: str, expected: str) -> None:
    named = zip(("text", "text_pair", "label"), expected.split(), strict=True)
    assert roles(TEXT, columns) == {role: column for role, column in named if column != "-"}


def test_guesses_for_other_tasks() -> None:
    assert roles("token-classification", "id tokens pos_tags ner_tags") == {"words": "tokens", "tags": "ner_tags"}
    assert roles("token-classification", "word tag") == {"words": "word", "tags": "tag"}
    assert roles(QA, "id title context question answers") == {
        "question": "question", "context": "context", "answers": "answers", "key": "id"
    }  # fmt: skip
    assert roles(CHOICE, "premise question choice1 choice2 label idx") == {
        "context": "premise", "question": "question", "choices": "choice1+choice2", "label": "label"
    }  # fmt: skip
    assert roles(CHOICE, "goal sol1 sol2 label")["choices"] == "sol1+sol2"
    many = " ".join(f"option_{number}" for number in range(11, 0, -1))
    assert roles(CHOICE, f"question {many}")["choices"] == "+".join(reversed(many.split()))
    assert roles("fill-mask", "sentence1 text label") == {"text": "text"}


def test_what_is_stated_counts() -> None:
    assert roles(TEXT, "sentence1 sentence2 label", text="sentence2") == {"text": "sentence2", "label": "label"}
    assert roles(TEXT, "a b c", text="b", text_pair="a", label="c") == {"text": "b", "text_pair": "a", "label": "c"}
    assert roles(TEXT, "text label score", label="score") == {"text": "text", "label": "score"}
    assert roles(TEXT, "text review label", text="review")["text"] == "review"
    assert roles(TEXT, "premise hypothesis text other", text_pair="other") == {"text": "text", "text_pair": "other"}
    assert roles(CHOICE, "q w1 w2 label", question="q", choices="w1+w2")["choices"] == "w1+w2"
    assert roles(CHOICE, "q a+b label", question="q", choices="a+b")["choices"] == "a+b"


def test_a_stated_label_may_be_missing_where_none_is_needed() -> None:
    assert roles(TEXT, "text label", label="mood") == {"text": "text"}
    assert roles(QA, "question context answers", answers="a+b") == {"question": "question", "context": "context"}
    assert "no column 'body' for the text" in fault(TEXT, "text label", labelled=False, text="body")


def test_what_could_be_several_things() -> None:
    assert fault(TEXT, "text review label") == (
        "a.tsv: which column is the text? State it: --columns text=text or text=review. "
        "Columns found: 'text', 'review', 'label'."
    )
    assert "text=sentence1,text_pair=sentence2 or text=text" in fault(TEXT, "sentence1 sentence2 text label")
    assert "label=label or label=labels" in fault(TEXT, "text label labels")
    assert "text=Text or text=text" in fault(TEXT, "Text text label")
    assert "tags=tags or tags=ner_tags" in fault("token-classification", "words tags ner_tags")


def test_what_cannot_be_told() -> None:
    message = fault(TEXT, "phrase_a phrase_b y")
    assert "no column is known as the text or as the label" in message
    assert "--columns text=COLUMN,label=COLUMN" in message
    assert "Columns found: 'phrase_a', 'phrase_b', 'y'" in message
    assert "as the question or as the context" in fault(QA, "a answers")
    assert "as the answers" in fault(QA, "question context")
    assert "as the question" in fault(CHOICE, "choices label")
    assert "as the choices" in fault(CHOICE, "question option1 option2 choice1 choice2 label")
    assert "as the tags" in fault("token-classification", "words")
    assert "as the text" in fault("fill-mask", "a b", labelled=False)


def test_what_is_stated_wrongly() -> None:
    assert "a.tsv has no column 'lable' for the label. Did you mean 'label'?" in fault(
        TEXT, "text label", label="lable"
    )
    assert "has no role 'txt' for a column; it has text, text_pair, label. Did you mean" in fault(TEXT, "a b", txt="a")
    assert "no column 'w3' for the choices" in fault(CHOICE, "q w1 w2 label", question="q", choices="w1+w3")
