"""The line that moves: what gives way where a terminal is too narrow for it."""

from __future__ import annotations

import pytest

from distilbert.core.progress_bar import ProgressBar


def last_line(capsys: pytest.CaptureFixture[str], text: str, with_time_left: bool = False) -> str:
    with ProgressBar("starting", shown=True, total=4, with_time_left=with_time_left, stays=True) as bar:
        bar.update(text, 4)
    return capsys.readouterr().err.rstrip("\n")


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
@pytest.mark.parametrize("with_time_left", [False, True])
def test_the_bar_gives_way_then_the_text_never_the_percentage_nor_the_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, with_time_left: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = "step 4/4, loss 18.76, " * 9
    whole = "100% 0:00:00 " if with_time_left else "100% "
    for length in range(1, columns + 10):  # every length: a line that is one character too long is the hard one
        line = last_line(capsys, text[:length].rstrip(), with_time_left)
        assert len(line) <= columns
        bar, found, shown = line.partition(whole)
        assert found, line
        room = columns - len(whole)
        if len(text[:length].rstrip()) <= room:
            assert shown.rstrip() == text[:length].rstrip(), "the text is cut beside an empty place"
        else:
            assert (bar, shown[-1]) == ("", "…"), line


def test_a_line_of_unknown_length_has_a_spinner_and_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    with ProgressBar("x" * 50, shown=True, countable=False, stays=True):
        pass
    line = capsys.readouterr().err.rstrip("\n")
    assert line[1:] == " " + "x" * 27 + "…"
