"""Tags of one scheme written in another: by hand, and with the same entities whatever the tags."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.data.examples import Example, Labels, TaggedExample, TextExample
from distilbert.data.tag_conversion import SCHEMES, convert_tags, in_scheme_of, scheme_of
from distilbert.tasks.tagging_schemes import Tag

BIO = ("B-PER", "I-PER", "I-PER", "B-PER", "O", "B-LOC", "I-LOC", "O")
BIOES = ("B-PER", "I-PER", "E-PER", "S-PER", "O", "B-LOC", "E-LOC", "O")
BILOU = ("B-PER", "I-PER", "L-PER", "U-PER", "O", "B-LOC", "L-LOC", "O")
BY_NAME = {"BIO": BIO, "BIOES": BIOES, "BILOU": BILOU}
LABELS = {name: Labels(tuple(dict.fromkeys(tags))) for name, tags in BY_NAME.items()}


def entities(tags: tuple[str, ...]) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    previous = Tag("", "O")
    for index, text in enumerate(tags):
        tag = Tag.parse(text)
        if tag.kind != "O":
            if tag.begins_after(previous):
                found.append((tag.kind, index, index))
            else:
                found[-1] = (tag.kind, found[-1][1], index)
        previous = tag
    return found


@pytest.mark.parametrize("source", BY_NAME)
@pytest.mark.parametrize("target", BY_NAME)
def test_by_hand(source: str, target: str) -> None:
    assert convert_tags(BY_NAME[source], target) == BY_NAME[target]
    assert convert_tags((), target) == ()


def test_other_spellings_by_hand() -> None:
    assert convert_tags(("I-X", "I-X", "PER", "O", "I-X", "I-Y", "E-Y", "I-Y"), "BIOES") == (
        "B-X", "E-X", "S-PER", "O", "S-X", "B-Y", "E-Y", "S-Y"
    )  # fmt: skip
    assert convert_tags(("B-a-b", "L-a-b"), "BIO") == ("B-a-b", "I-a-b")


@given(
    tags=st.lists(st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIESLU" for kind in "XY")])).map(tuple),
    scheme=st.sampled_from(list(SCHEMES)),
)
def test_the_entities_stay(tags: tuple[str, ...], scheme: str) -> None:
    converted = convert_tags(tags, scheme)
    assert entities(converted) == entities(tags)
    assert convert_tags(converted, scheme) == converted
    assert {tag[0] for tag in converted} <= {"O", *SCHEMES[scheme]}


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [(BIO, "BIO"), (BIOES, "BIOES"), (BILOU, "BILOU"), (("I-X", "O"), ""), (("PER", "O"), ""), ((), ""),
     (("O",), ""), (("S-X", "U-X"), ""), (("S-X",), "BIOES"), (("U-X", "O"), "BILOU"), (("A-X", "-"), "")],
)  # fmt: skip
def test_schemes(tags: tuple[str, ...], scheme: str) -> None:
    assert scheme_of(tags) == scheme


@pytest.mark.parametrize("source", BY_NAME)
@pytest.mark.parametrize("target", BY_NAME)
def test_examples_are_brought_into_the_scheme_of_the_model(
    source: str, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("w",) * len(BIO)
    examples: list[Example] = [TaggedExample("a:1", words, BY_NAME[source]), TaggedExample("a:9", ("w",))]
    with caplog.at_level(logging.INFO, "distilbert"):
        converted = in_scheme_of(LABELS[target], examples, "the data")
    assert converted == [TaggedExample("a:1", words, BY_NAME[target]), TaggedExample("a:9", ("w",))]
    assert (f"the data are in {source} and those of the model in {target}" in caplog.text) == (source != target)


def test_what_cannot_be_converted_stays() -> None:
    unknown: list[Example] = [TaggedExample("a:1", ("w",) * 2, ("B-ORG", "E-ORG"))]
    assert in_scheme_of(LABELS["BIO"], unknown, "the data") == unknown
    io: list[Example] = [TaggedExample("a:1", ("w",), ("I-PER",))]
    assert in_scheme_of(LABELS["BIOES"], io, "the data") == io
    assert in_scheme_of(Labels(("O", "PER", "LOC")), unknown, "the data") == unknown
    texts: list[Example] = [TextExample("a:1", "S-PER", label="S-PER")]
    assert in_scheme_of(LABELS["BIO"], texts, "the data") == texts


def test_names_of_the_user_s_own() -> None:
    labels = Labels(("nothing", "start", "inside"), values=("O", "B-X", "I-X"))
    (example,) = in_scheme_of(labels, [TaggedExample("a:1", ("w",) * 3, ("B-X", "E-X", "S-X"))], "the data")
    assert isinstance(example, TaggedExample)
    assert example.tags == ("B-X", "I-X", "B-X")
