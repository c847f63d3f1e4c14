from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import DataError
from distilbert.training.reports.charts import MOST_POINTS, thin
from distilbert.training.reports.models_summary import measured_sentence
from distilbert.training.reports.number_format import change, count, duration, number, percent, ratio, size
from distilbert.training.reports.training_curves import interval_means
from distilbert.training.reports.training_report import write_report
from tests.training.runs import CONFIG, SUMMARY, evaluation_record, make_run, pretraining, records, train_record

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart; it fails where an element is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.cells: list[list[str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open
        self.text = self.text.replace("\u00a0", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data

    def _seen(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "svg":
            self.labels.append(dict(attrs)["aria-label"] or "")


def report(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_shows_the_numbers_of_the_summary_as_people_read_them(tmp_path: Path) -> None:
    page = report(make_run(tmp_path))
    assert (
        "The student has 0.77× the parameters of its teacher, runs 1.9× as fast on this machine, and reaches a "
        "held-out perplexity of 12.3 against 11.0 (+12 %), agreeing with the teacher's first choice on 78.3 % of the "
        "masked tokens." in page.text
    )
    for row in (
        ["Measured", "Teacher", "Student", "Compared"],
        ["Parameters", "22.7 M", "17.4 M", "0.77×"],
        ["Size of the weights", "90.9 MB", "69.6 MB", "0.77×"],
        ["Layers", "6", "3", "0.50×"],
        ["Held-out perplexity", "11.0", "12.3", "+12 %"],
        ["KL from the teacher (nats)", "–", "0.234", "–"],
        ["Speed (tokens/s)", "6,012", "11,400", "1.9×"],
        ["Sources", "text/a.txt, text/b.txt"],
        ["Time", "3 h 12 min"],
        ["Best step", "2,000 (held-out perplexity 12.4)"],
        ["CPU", "Some CPU at 2.0 GHz"],
        ["torch", "2.13.0"],
    ):
        assert row in page.cells
    assert "2026-11-24 14:03 UTC" in page.text
    assert SUMMARY["command"] in page.text
    assert CONFIG in page.text


def test_every_chart_says_what_it_shows_and_no_two_share_an_id(tmp_path: Path) -> None:
    page = report(make_run(tmp_path))
    assert len(page.labels) == 8
    assert all("by step: " in label for label in page.labels)
    perplexity = page.labels[0]
    assert "perplexity" in perplexity
    assert "to 12.4 at step 2,000" in perplexity
    assert "the teacher's is 11.0" in perplexity
    by_term = next(label for label in page.labels if "by term" in label)
    assert all(f"{term} goes from" in by_term for term in ("ce", "mlm", "cos"))
    assert page.ids
    assert len(page.ids) == len(set(page.ids))


def test_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = report(make_run(tmp_path))
    assert "script" not in page.tags
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            assert (value or "").startswith(("#", "data:"))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) == {"#"}


def test_the_same_files_give_the_same_page(tmp_path: Path) -> None:
    first = write_report(make_run(tmp_path / "a")).read_bytes()
    assert write_report(make_run(tmp_path / "b")).read_bytes() == first


def test_leaves_the_settings_of_matplotlib_alone(tmp_path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 3.25, "svg.fonttype": "path"}):
        settings = dict(matplotlib.rcParams)
        html = write_report(make_run(tmp_path / "a")).read_bytes()
        assert dict(matplotlib.rcParams) == settings
    assert write_report(make_run(tmp_path / "b")).read_bytes() == html


def test_escapes_every_text(tmp_path: Path) -> None:
    bad = '<script>alert("1")</script> & $x^2$ \udcff'
    metrics = [train_record(1) | {"terms": {bad: 1.0, "b": 2.0}}, evaluation_record(1)]
    summary: dict[str, Any] = {
        "title": bad,
        "created": bad,
        "command": bad,
        "machine": {"cpu": bad, bad: bad, "versions": {bad: bad}},
        "data": {"sources": [bad]},
        "models": {bad: {"parameters": 1, "perplexity": 2.0}},
    }
    page = report(make_run(tmp_path, summary=summary, metrics=metrics, config=bad.replace("\udcff", "?")))
    assert "script" not in page.tags
    assert page.text.count('<script>alert("1")</script> & $x^2$ ?') >= 9


def test_one_evaluation_is_enough(tmp_path: Path) -> None:
    page = report(make_run(tmp_path, metrics=[evaluation_record(7)]))
    assert [label.split(",")[1].split(" by ")[0].strip() for label in page.labels] == [
        "held-out perplexity",
        "kl from the teacher",
        "agreement with the teacher",
    ]
    assert "at step 7" in page.labels[0]


def test_a_run_without_metrics_has_a_report(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "metrics.jsonl").unlink()
    (folder / "config.toml").unlink()
    page = report(folder)
    assert not page.labels
    assert "No metrics were recorded." in page.text
    assert "details" not in page.tags


def test_pretraining_has_no_teacher(tmp_path: Path) -> None:
    page = report(make_run(tmp_path, summary=pretraining(), metrics=records(taught=False)))
    assert "The model has 17.4 M parameters and reaches a held-out perplexity of 12.3." in page.text
    assert "eacher" not in page.text + " ".join(page.labels)
    assert ["Held-out perplexity", "12.3"] in page.cells
    assert not [row for row in page.cells if row[0].startswith("KL")]


def test_a_torn_last_line_is_ignored_and_another_is_not(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    whole = write_report(folder).read_bytes()
    metrics = folder / "metrics.jsonl"
    before = metrics.read_bytes()
    for torn in (b'{"kind": "train", "st', b'{"kind": "\xc3', b"\0\0\0"):
        metrics.write_bytes(before + torn)
        assert write_report(folder).read_bytes() == whole
    metrics.write_bytes(b'{"kind": "tr\n' + before)
    with pytest.raises(DataError, match="line 1,"):
        write_report(folder)
    metrics.write_bytes(b'{"kind": "train"}\n' + before)
    with pytest.raises(DataError, match="'step'"):
        write_report(folder)


def test_values_that_are_none_or_not_finite_are_not_drawn(tmp_path: Path) -> None:
    metrics = records()
    trained = [record for record in metrics if record["kind"] == "train"]
    trained[3]["loss"] = float("nan")
    trained[4]["terms"]["ce"] = float("inf")
    for record in trained:
        record["gradient_norm"] = None
    page = report(make_run(tmp_path, metrics=metrics))
    assert page.text.count("1 value not finite or too large, not drawn") == 2
    assert not [label for label in page.labels if "gradient" in label]
    assert "nan" not in (tmp_path / "report.html").read_text(encoding="utf-8").lower()


def test_a_perplexity_of_a_run_that_diverged_is_not_drawn(tmp_path: Path) -> None:
    """Matplotlib would warn about 1e304."""
    metrics = records()
    next(record for record in metrics if record["kind"] == "evaluation")["perplexity"] = 1e304
    page = report(make_run(tmp_path, metrics=metrics))
    assert page.text.count("1 value not finite or too large, not drawn") == 1


def test_an_unmeasured_summary_says_so(tmp_path: Path) -> None:
    page = report(make_run(tmp_path, summary={"models": {"teacher": {}, "student": {"kl": float("nan")}}}, metrics=[]))
    assert "The run recorded no figures of its model." in page.text


def test_the_rest_of_the_last_interval_draws_no_spike() -> None:
    points = [(10, 2.0), (20, 1.0), (30, 1.5), (32, 9.0)]
    assert interval_means(points) == [(10, 2.0), (20, 1.0), (32, (10 * 1.5 + 2 * 9.0) / 12)]
    for same in (points[:3], points[:1], [], [*points[:3], (40, 9.0)], [*points[:3], (32, float("nan"))]):
        assert interval_means(same) == same
    assert interval_means([(10, 2.0), (20, None), (23, 1.0)]) == [(10, 2.0), (20, None), (23, 1.0)]


def test_the_spike_of_a_last_step_is_not_in_the_chart(tmp_path: Path) -> None:
    metrics = [train_record(step) for step in range(10, 101, 10)]
    metrics.append(train_record(101) | {"loss": 1000.0})
    page = report(make_run(tmp_path, metrics=metrics))
    loss = next(label for label in page.labels if label.startswith("Line chart, training loss by step"))
    last = (10 * metrics[-2]["loss"] + 1000.0) / 11
    assert f"to {number(last)} at step 101" in loss
    assert "1,000" not in loss


def test_thousands_of_records_stay_a_small_page(tmp_path: Path) -> None:
    page = report(make_run(tmp_path, metrics=records(every=1)))
    assert (tmp_path / "report.html").stat().st_size < 300_000
    assert "Each point is the mean of 7 records" in page.text


def test_a_folder_without_a_summary_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no summary\.json"):
        write_report(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps([1]), encoding="utf-8")
    with pytest.raises(DataError, match="JSON object, got a list"):
        write_report(tmp_path)


def test_an_old_report_stays_where_a_new_one_fails(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    old = write_report(folder).read_bytes()
    (folder / "summary.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == old


@given(st.lists(st.floats(-1e6, 1e6), max_size=2000), st.integers(1, 400))
def test_thinning_keeps_the_sum_and_the_extremes(values: list[float], most: int) -> None:
    points = thin(range(len(values)), values, most)
    assert len(points.steps) <= most
    if values:
        assert points.low.min() == min(values)
        assert points.high.max() == max(values)
        lengths = np.full(len(points.steps), points.records)
        lengths[-1] = len(values) - points.records * (len(points.steps) - 1)
        np.testing.assert_allclose((points.mean * lengths).sum(), sum(values), rtol=1e-9, atol=1e-3)
        assert (points.low <= points.mean + 1e-6).all()
        assert (np.diff(points.steps) > 0).all()


def test_few_points_are_left_as_they_are() -> None:
    points = thin(range(MOST_POINTS), [float(step) for step in range(MOST_POINTS)])
    assert points.records == 1
    assert points.mean.tolist() == list(range(MOST_POINTS))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(12.341), "12.3"), (number(11.0), "11.0"), (number(999.96), "1,000"), (number(123456.7), "123,457"),
        (number(0.01234), "0.0123"), (number(5e-4), "5e-4"), (number(1.25e-5), "1.25e-5"), (number(0), "0"),
        (number(None), "–"), (number(float("nan")), "–"), (number(True), "–"), (number("7"), "–"),
        (count(9_999), "9,999"), (count(66_362_880), "66.4 M"), (count(999_999), "1.00 M"), (count(10_432), "10.4 k"),
        (count(3e9), "3.00 B"), (size(21_300_000), "21.3 MB"), (size(512), "512 bytes"), (size(999_999), "1.00 MB"),
        (duration(45.21), "45.2 s"), (duration(59.97), "1 min 0 s"), (duration(725), "12 min 5 s"),
        (duration(3599.7), "1 h 0 min"), (duration(11_520), "3 h 12 min"), (duration(86_399), "1 d 0 h"),
        (duration(183_600), "2 d 3 h"), (percent(0.7831), "78.3 %"), (ratio(1, 2), "0.50×"), (ratio(30, 2), "15×"),
        (ratio(1.98, 1), "2.0×"), (ratio(1, 0), "–"), (ratio(None, 1), "–"), (change(12.34, 11.02), "+12 %"),
        (change(10.86, 11.02), "−1.5 %"), (change(1, None), "–"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_expected(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ({}, ""),
        ({"teacher": {}, "student": {"perplexity": 9.5}}, "The student reaches a held-out perplexity of 9.50."),
        (
            {"teacher": {}, "student": {"agreement": 0.5}},
            "The student agrees with the teacher's first choice on 50.0 % of the masked tokens.",
        ),
        (
            {"first": {"perplexity": 9.5}, "second": {"parameters": 5, "tokens_per_second": 1234.5}},
            "The first model reaches a held-out perplexity of 9.50. "
            "The second model has 5 parameters and runs at 1,234 tokens/s on this machine.",
        ),
    ],
)
def test_the_sentence_says_only_what_was_measured(models: dict[str, Any], expected: str) -> None:
    assert measured_sentence(models) == expected
