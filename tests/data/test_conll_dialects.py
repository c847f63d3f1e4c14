"""The dialects of files with a word a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .labelled_files import TAGS, fault, read, write

GERMEVAL = (
    "#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann [2009-10-17]\n"
    "1\tAufgrund\tO\tO\n2\tTroia\tB-LOC\tO\n3\tBundesland\tB-LOCpart\tO\n\n"
    "#\thttp://de.wikipedia.org/wiki/Bayern [2009-10-17]\n"
    "1\tFC\tB-ORG\tO\n2\tBayern\tI-ORG\tB-LOC\n\n"
)
GERMEVAL_SENTENCES = [
    (("Aufgrund", "Troia", "Bundesland"), ("O", "B-LOC", "B-LOCpart")),
    (("FC", "Bayern"), ("B-ORG", "I-ORG")),
]
EU = [(("EU", "rejects", "German"), ("B-ORG", "O", "B-MISC")), (("Anna",), ("B-PER",))]


def sentences(tmp_path: Path, content: str, **options: Any) -> list[tuple[Any, Any]]:
    return [(e.words, e.tags) for e in read(TAGS, write(tmp_path / "a.conll", content), **options)]


def test_germeval(tmp_path: Path) -> None:
    for content in (GERMEVAL, GERMEVAL.replace("\n", "\r\n"), "\ufeff" + GERMEVAL, GERMEVAL.rstrip("\n")):
        assert sentences(tmp_path, content) == GERMEVAL_SENTENCES
    path = write(tmp_path / "a.tsv.txt", GERMEVAL)
    assert [e.place for e in read(TAGS, path)] == [f"{path}:2", f"{path}:7"]
    assert sentences(tmp_path, GERMEVAL, columns={"tags": "4"})[1] == (("FC", "Bayern"), ("O", "B-LOC"))
    assert sentences(tmp_path, GERMEVAL, columns={"words": "1", "tags": "2"})[1] == (("1", "2"), ("FC", "Bayern"))


@pytest.mark.parametrize(
    "content",
    [
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\nGerman JJ B-NP B-MISC\n\nAnna NNP B-NP B-PER\n",
        "-DOCSTART- O\n\nEU B-ORG\nrejects O\nGerman B-MISC\n\nAnna B-PER\n",
        "EU   B-ORG\nrejects  O \nGerman\t\tB-MISC\n \nAnna B-PER\n",
        "en:EU\tB-ORG\nen:rejects\tO\nen:German\tB-MISC\n\nen:Anna\tB-PER\n",
        "zh-min-nan:EU B-ORG\nzh-min-nan:rejects O\nzh-min-nan:German B-MISC\n\nzh-min-nan:Anna B-PER\n",
        "# id = 1\n# text = EU rejects German\n"
        "1\tEU\tPROPN\tB-ORG\n2\trejects\tVERB\tO\n3\tGerman\tADJ\tB-MISC\n\n1\tAnna\tPROPN\tB-PER\n",
        "1\tEU\tPROPN\tB-ORG\n2-3\tvom\t_\t_\n2\trejects\tVERB\tO\n3\tGerman\tADJ\tB-MISC\n3.1\tx\t_\t_\n\n"
        "1\tAnna\tPROPN\tB-PER\n",
        "0 EU B-ORG\n1 rejects O\n2 German B-MISC\n\n0 Anna B-PER\n",
        "# newdoc\nEU B-ORG\nrejects O\nGerman B-MISC\n\n# a comment\nAnna B-PER\n",
        "EU\tB-ORG\t0.9\nrejects\tO\t0.8\nGerman\tB-MISC\t1\n\nAnna\tB-PER\t1\n",
        "EU B-ORG O\nrejects O O\nGerman B-MISC B-LOC\n\nAnna B-PER O\n",
    ],
)  # fmt: skip
def test_dialects(tmp_path: Path, content: str) -> None:
    assert sentences(tmp_path, content) == EU


def test_hashtags_and_numbers_are_words(tmp_path: Path) -> None:
    assert sentences(tmp_path, "#\tO\n#paris\tB-LOC\nis\tO\n\n#\tO\n") == [
        (("#", "#paris", "is"), ("O", "B-LOC", "O")), (("#",), ("O",)),
    ]  # fmt: skip
    assert sentences(tmp_path, "# #\n5 CD\n\nis VBZ\n") == [(("#", "5"), ("#", "CD")), (("is",), ("VBZ",))]
    assert sentences(tmp_path, "1 O\n2 O\n3 O\n")[0][0] == ("1", "2", "3")
    assert sentences(tmp_path, "a:b O\na:c O\nd O\n")[0][0] == ("a:b", "a:c", "d")
    assert [e.words for e in read(TAGS, write(tmp_path / "b.conll", "# text\n#x\ny\n"), labelled=False)] == [
        ("#x", "y")
    ]


def test_chunks_are_tags_where_there_are_no_others(tmp_path: Path) -> None:
    assert sentences(tmp_path, "EU NNP B-NP\nrejects VBZ B-VP\n") == [(("EU", "rejects"), ("B-NP", "B-VP"))]
    assert sentences(tmp_path, "EU NNP B-NP O\nrejects VBZ B-VP O\n") == [(("EU", "rejects"), ("O", "O"))]


@pytest.mark.parametrize("tags", [
    ("S-ORG", "O", "B-PER", "I-PER", "E-PER"), ("U-ORG", "O", "B-PER", "I-PER", "L-PER"),
    ("I-ORG", "O", "I-PER", "I-PER", "I-PER"), ("ORG", "O", "PER", "PER", "PER"),
])  # fmt: skip
def test_schemes_of_tags(tmp_path: Path, tags: tuple[str, ...]) -> None:
    words = ("EU", "is", "A", "B", "C")
    content = "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))
    assert sentences(tmp_path, content) == [(words, tags)]


def test_a_line_that_lacks_a_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", GERMEVAL.replace("2\tBayern\tI-ORG\tB-LOC", "2\tBayern\tI-ORG"))
    assert f"{path}:8 is '2\\tBayern\\tI-ORG'" in fault(TAGS, path)
    assert "in 4 columns as in the first lines" in fault(TAGS, path)
