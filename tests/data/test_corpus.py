"""Reading documents: every format, and the message for each fault."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distilbert.core.errors import DataError
from distilbert.data import corpus, data_sources
from distilbert.data.corpus import describe, documents
from distilbert.data.text_lines import LONGEST_LINE

DOCUMENTS = [["a b", "c"], ["d"], ["e f"]]


def rows_of(texts: list[list[str]]) -> list[dict[str, Any]]:
    return [{"id": number, "text": "\n".join(paragraphs)} for number, paragraphs in enumerate(texts)]


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[Any]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist(rows), path)
    return path


def fault(sources: Any, column: str = "text") -> str:
    with pytest.raises(DataError) as caught:
        list(documents(sources, column))
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.txt", "A.TXT", "a", "a.text"])
def test_a_text_file_is_paragraphs_and_blank_lines(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf\n  \na b \r\nc\n\n \t \n\nd\n\ne f")
    assert list(documents([path])) == DOCUMENTS


@pytest.mark.parametrize("name", ["a.txt.gz", "a.gz"])
def test_a_compressed_text_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"a b\nc\n\nd\n\ne f\n"))
    assert list(documents([tmp_path / name])) == DOCUMENTS


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252", "utf-16", "utf-16-le", "utf-8"])
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl"])
def test_text_in_another_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    expected = [["à la carte", "über"], ["ça va"]]
    if name == "a.jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows_of(expected))
    else:
        text = "à la carte\r\nüber\n\nça va\n"
    content = text.encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(documents([tmp_path], encoding=encoding)) == expected
    if encoding != "utf-8":
        with pytest.raises(DataError, match="--encoding"):
            list(documents([tmp_path]))


def test_an_encoding_that_does_not_exist_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match="text encoding, .*; got 'utf-99'"):
        documents([tmp_path], encoding="utf-99")


def test_a_corpus_may_be_one_long_line(tmp_path: Path) -> None:
    """As text8 is, of 100 MB; a line of a table is refused long before."""
    (tmp_path / "one.txt").write_bytes(b"word " * (LONGEST_LINE // 5 + 1))
    ((paragraph,),) = documents([str(tmp_path / "one.txt")])
    assert len(paragraph) >= LONGEST_LINE


def test_only_line_feeds_end_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\x0cb\u2028c\x85d\n", encoding="utf-8")
    write_jsonl(tmp_path / "b.jsonl", [{"text": "a\x0cb\u2028c\x85d\n"}])
    assert list(documents([tmp_path])) == [["a\x0cb\u2028c\x85d"]] * 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz"])
def test_a_line_of_json_is_a_document(tmp_path: Path, name: str) -> None:
    write_jsonl(tmp_path / "plain", [*rows_of(DOCUMENTS), {"text": " \n "}])
    content = (tmp_path / "plain").read_bytes() + b"\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(documents([tmp_path / name])) == DOCUMENTS


def test_a_parquet_row_is_a_document(tmp_path: Path) -> None:
    many = DOCUMENTS * 200  # more than a batch of rows
    path = write_parquet(tmp_path / "a.parquet", rows_of(many))
    assert list(documents([path])) == many


def test_another_column(tmp_path: Path) -> None:
    rows = [{"text": "no", "body": "a\nb"}]
    sources = [write_jsonl(tmp_path / "a.jsonl", rows), write_parquet(tmp_path / "b.parquet", rows)]
    assert list(documents(sources, "body")) == [["a", "b"]] * 2


def test_a_folder_is_its_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "b" / "1.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    write_jsonl(tmp_path / "c.jsonl", [{"text": "third"}])
    for name in ("INDEX.tsv", "LICENSE", ".secret.txt", ".hidden/x.txt"):
        (tmp_path / name).write_text("none of it")
    assert list(documents([tmp_path])) == [["first"], ["second"], ["third"]]
    names = [Path(name).relative_to(tmp_path.resolve()).as_posix() for name, _, _ in describe([tmp_path])]
    assert names == ["a.txt", "b/1.txt", "c.jsonl"]


def test_one_path_is_a_list_of_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert list(documents(tmp_path / "a.txt")) == list(documents(str(tmp_path / "a.txt"))) == [["a"]]  # type: ignore[arg-type]


def test_documents_come_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\n\nb\n\n" + b"c\n\n" * 100_000 + b"\xff\n")
    read = documents([tmp_path / "a.txt"])
    assert [next(read), next(read)] == [["a"], ["b"]]


def test_a_document_without_end_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "LONGEST_DOCUMENT", 5)
    (tmp_path / "a.txt").write_text("aaa\nbbb\nccc\n\nddd\n")
    assert list(documents([tmp_path / "a.txt"])) == [["aaa", "bbb"], ["ccc"], ["ddd"]]


def test_describe_follows_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("abc")
    os.utime(path, ns=(5, 7))
    assert describe([path]) == [(path.resolve().as_posix(), 3, 7)]
    assert describe(["some/name:config"]) == [("some/name:config", 0, 0)]


# Faults.


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.txt").write_text("a")
    message = fault(["train.txt", "trian.txt"])
    assert "no file or folder 'trian.txt'" in message
    assert str(tmp_path) in message
    assert "has train.txt" in message
    (tmp_path / "data").mkdir()
    assert "no file or folder 'data/corpus'" in fault(["data/corpus"])
    assert "There is no folder 'nowhere' either" in fault(["nowhere/a.txt"])
    assert "no file or folder '/nowhere/at/all'" in fault(["/nowhere/at/all"])


def test_a_parquet_file_has_one_column_of_text(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table([["a"], ["b"], ["c"]], names=["text", "text", "id"])
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
    assert "a.parquet has the column 'text' more than once. Rename all but one." in fault([tmp_path / "a.parquet"])
    assert list(documents([tmp_path / "a.parquet"], "id")) == [["c"]]


def test_every_source_is_looked_up_before_any_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match=r"b\.txt"):
        documents([tmp_path / "a.txt", tmp_path / "b.txt"])


@pytest.mark.parametrize("packed", [False, True])
def test_undecodable_bytes_are_named_by_line_and_byte(tmp_path: Path, packed: bool) -> None:
    content = "aé\nb\n\n".encode() + b"caf\xe9 x\n"
    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    message = fault([path])
    assert f"{path}:4: byte 0xe9 at byte {content.index(0xE9)} of the" in message
    assert ("uncompressed text" in message) == packed
    assert "iconv" in message


def test_utf16_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("ab".encode("utf-16"))
    assert "looks like UTF-16" in fault([tmp_path / "a.txt"])


def test_a_broken_gz_file(tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(1 << 10).hex().encode())
    (tmp_path / "cut.txt.gz").write_bytes(whole[:-200])
    (tmp_path / "not.txt.gz").write_bytes(b"plain text\n")
    (tmp_path / "bits.txt.gz").write_bytes(whole[:20] + bytes(byte ^ 255 for byte in whole[20:60]) + whole[60:])
    for name in ("cut", "not", "bits"):
        assert f"{name}.txt.gz is broken as a .gz file" in fault([tmp_path / f"{name}.txt.gz"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a"', ": not JSON"),
        ("[1, 2]", ": a JSON object is expected, got [1, 2] of type list"),
        ('{"body": "a", "title": "b"}', " has no column 'text', but 'body', 'title'"),
        ('{"text": null}', " must hold a text under 'text', got None of type NoneType"),
        ('{"text": ["a"]}', " must hold a text under 'text', got ['a'] of type list"),
    ],
)
def test_a_line_of_json_that_is_no_document(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n\n' + line + "\n")
    message = fault([path])
    assert message.startswith(f"{path}:3{said}")


def test_parquet_faults(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [{"body": "a", "title": "b"}])
    assert "a.parquet has no column 'text', but 'body', 'title'" in fault([path])
    path = write_parquet(tmp_path / "b.parquet", [{"text": "a"}, {"text": None}])
    assert "b.parquet, row 2 must hold a text under 'text', got None" in fault([path])
    (tmp_path / "c.parquet").write_text("text")
    assert "c.parquet is not a parquet file" in fault([tmp_path / "c.parquet"])
    (tmp_path / "d.parquet.gz").write_text("text")
    assert "compressed inside already" in fault([tmp_path / "d.parquet.gz"])


def test_names_that_tell_no_format(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a")
    assert "a.csv' does not tell its format: text ends in .txt" in fault([tmp_path / "a.csv"])
    assert "has no text in it: no file below it ends in .txt" in fault([tmp_path])


def test_no_source_at_all() -> None:
    assert "at least one source" in fault([])


# The library ``datasets``, in whose place stands what these functions ask of it.


def stand_in(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(**functions))


def test_a_name_is_streamed_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*names: Any, **options: Any) -> Any:
        asked.append((names, options))
        return iter(rows_of(DOCUMENTS))

    stand_in(monkeypatch, load_dataset=load_dataset)
    assert list(documents(["wikitext:wikitext-103-raw-v1"])) == DOCUMENTS
    assert list(documents(["owner/name"])) == DOCUMENTS
    options = {"split": "train", "streaming": True}
    assert asked == [(("wikitext", "wikitext-103-raw-v1"), options), (("owner/name", None), options)]
    assert "name has no column 'body', but 'id', 'text'" in fault(["name"], "body")


def test_a_name_that_is_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    def load_dataset(*names: Any, **options: Any) -> Any:
        raise FileNotFoundError("no such data set")

    stand_in(monkeypatch, load_dataset=load_dataset)
    message = fault(["corpus"])
    assert f"There is no file or folder 'corpus' (looked in {tmp_path})" in message
    assert "cannot load a data set of that name: no such data set" in message
    monkeypatch.setitem(sys.modules, "datasets", None)
    message = fault(["corpus"])
    assert "There is no file or folder 'corpus'" in message
    assert "pip install 'distilbert[train]'" in message


@pytest.mark.parametrize("mark", data_sources.SAVED_FILES)
def test_a_saved_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).write_text("{}")
    splits = {"train": rows_of(DOCUMENTS), "test": [{"text": "no"}]}
    stand_in(monkeypatch, load_from_disk=lambda folder: splits if "dict" in mark else splits["train"])
    assert list(documents([tmp_path])) == DOCUMENTS
    assert [name for name, _, _ in describe([tmp_path])] == [(tmp_path / mark).resolve().as_posix()]
    stand_in(monkeypatch, load_from_disk=lambda folder: {"test": []})
    assert "has the splits 'test', but no 'train'" in fault([tmp_path])


def test_a_data_set_that_the_library_itself_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(rows_of(DOCUMENTS)).save_to_disk(str(tmp_path / "saved"))
    assert list(documents([tmp_path / "saved"])) == DOCUMENTS


def test_carriage_returns_alone_end_the_lines_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a b\rc\r\rd\r")
    assert list(documents([tmp_path / "a.txt"])) == [["a b", "c"], ["d"]]
