"""A whole evaluation of tiny models: what it measures, what it writes, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from distilbert.core.errors import ConfigError, DataError, InputError
from distilbert.data.examples import MULTI, SINGLE
from distilbert.data.tag_conversion import convert_tags
from distilbert.tasks import loading
from distilbert.training.evaluation.evaluate_config import EvaluateConfig
from distilbert.training.evaluation.evaluator import evaluate
from distilbert.training.evaluation.result import FILES, Evaluation
from distilbert.training.evaluation.task_metrics import load_task, with_runner
from distilbert.training.reports.evaluation_report import evaluation_page
from tests.training.test_report import Page

from .task_cases import HEADS, TAGS, write_data, write_model

BAD = '<script>alert("1")</script> & $x^2$ <b>'


def run(folder: Path, task: str, /, **changes: Any) -> Evaluation:
    names = {"id2label": dict(enumerate(TAGS))} if task == "token-classification" else {}
    settings = {
        "model": write_model(folder / "first", task, **names),
        "data": [write_data(folder, task)],
        "samples": 50,
        "device": "cpu",
        **changes,
    }
    return evaluate(EvaluateConfig(**settings))


def test_an_encoder_is_loaded_once_and_pools_as_its_folder_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    load = loading._load
    monkeypatch.setattr(loading, "_load", lambda *args: loaded.append(args) or load(*args))
    by_mean = run(tmp_path / "mean", "sentence-similarity")
    assert by_mean.task == "sentence-similarity"
    assert len(loaded) == 1
    model = write_model(tmp_path / "cls", "sentence-similarity")
    transformer = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    pooling = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    Path(model, "modules.json").write_text(json.dumps([transformer, pooling]), encoding="utf-8")
    Path(model, "1_Pooling").mkdir()
    Path(model, "1_Pooling", "config.json").write_text('{"pooling_mode_cls_token": true}', encoding="utf-8")
    by_first_token = run(tmp_path / "other", "sentence-similarity", model=model)
    assert by_first_token.metrics != by_mean.metrics
    task = load_task(None, model, device="cpu")
    assert with_runner(task, task.runner).sentence_modules == task.sentence_modules is not None


@pytest.mark.parametrize("task", HEADS)
def test_every_task_from_file_to_files(tmp_path: Path, task: str) -> None:
    result = run(tmp_path, task, output=str(tmp_path / "out"))
    assert result.task == task
    assert result.data["examples"] == 12
    assert result.main_metric in result.metrics
    for name, value in result.metrics.items():
        interval = result.models[0].intervals[name]
        assert interval.low <= interval.high, name
        assert value == pytest.approx(result.to_dict()["models"][0]["metrics"][name])
    facts = result.models[0].facts
    assert (facts["layers"], facts["dim"], facts["bytes"]) == (2, 24, 4 * facts["parameters"])
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(result.to_dict()))
    lines = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["place"] for line in lines] == [row["place"] for row in result.predictions]
    assert len(lines) == 12
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.labels
    assert all(re.fullmatch(r"[\w.:, ]+", row["place"].split("/")[-1]) for row in result.worst)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)


@pytest.mark.parametrize("scheme", ["BIOES", "BILOU"])
def test_tags_in_another_scheme_than_the_model_s(tmp_path: Path, scheme: str) -> None:
    tags = ("O", "B-A", "I-A", "B-B", "I-B")
    model = write_model(tmp_path / "model", "token-classification", id2label=dict(enumerate(tags)))
    blocks = Path(write_data(tmp_path, "token-classification", tags=tags)).read_text().strip().split("\n\n")
    sentences = [[line.split("\t") for line in block.splitlines()] for block in blocks]
    results = {}
    for name in ("BIO", scheme):
        path = tmp_path / f"{name}.conll"
        blocks = []
        for sentence in sentences:
            converted = convert_tags([tag for _, tag in sentence], name)
            blocks.append("".join(f"{word}\t{tag}\n" for (word, _), tag in zip(sentence, converted, strict=True)))
        path.write_text("\n".join(blocks))
        results[name] = evaluate(EvaluateConfig(model=model, data=[str(path)], samples=10, device="cpu"))
    assert results[scheme].metrics == results["BIO"].metrics
    assert results[scheme].metrics["token_accuracy"] > 0
    path.write_text(path.read_text().replace("-A", "-C"))
    with pytest.raises(DataError, match=r"has the tag '.-C', which is not among the labels of the model"):
        evaluate(EvaluateConfig(model=model, data=[str(path)], samples=10, device="cpu"))


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "question-answering", "fill-mask"])
def test_two_models_side_by_side(tmp_path: Path, task: str) -> None:
    names = {"id2label": dict(enumerate(TAGS))} if task == "token-classification" else {}
    other = write_model(tmp_path / "second", task, seed=7, n_layers=1, **names)
    result = run(tmp_path, task, compare=other, output=str(tmp_path / "out"))
    assert [model.name for model in result.models] == ["first", "second"]
    comparison = result.comparison
    assert comparison is not None
    assert comparison.ratios["parameters"] > 1
    assert {"speed", "latency"} <= comparison.ratios.keys()
    for name, one in comparison.differences.items():
        assert one.value == pytest.approx(result.models[0].metrics[name] - result.models[1].metrics[name], abs=1e-6)
        assert one.low <= one.high
    if task == "fill-mask":
        assert (comparison.agreement, comparison.p_value, comparison.right) == (None, None, {})
    else:
        assert 0 <= (comparison.agreement or 0) <= 1
        assert sum(comparison.right.values()) == 12
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert ["Measured", "first", "second", "Difference"] in page.cells
    assert ["Layers", "2", "1", ""] in page.cells


@pytest.mark.parametrize("names", [("bad", "good"), ("0", "1")])
@pytest.mark.parametrize("problem", [SINGLE, MULTI])
def test_the_order_of_the_labels_of_two_models_does_not_matter(
    tmp_path: Path, problem: str, names: tuple[str, str]
) -> None:
    """The second may also call them by the numbers of the first."""
    task = "text-classification"
    first = write_model(tmp_path / "one", task, id2label={0: "bad", 1: "good"}, problem_type=problem)
    turned = dict(enumerate(reversed(names)))
    second = write_model(tmp_path / "other", task, id2label=turned, problem_type=problem)
    state = load_file(Path(second, "model.safetensors"))
    for name in ("classifier.weight", "classifier.bias"):
        state[name] = state[name].flip(0).contiguous()
    save_file(state, Path(second, "model.safetensors"), metadata={"format": "pt"})
    lines = Path(write_data(tmp_path, task)).read_text().splitlines()
    rows = [{"text": json.loads(line)["text"], "label": str(int(n % 3 == 0))} for n, line in enumerate(lines)]
    result = run(tmp_path, task, model=first, compare=second, data=rows, speed=False)
    one, other = result.models
    assert other.metrics == pytest.approx(one.metrics, abs=1e-6)
    assert other.details["classes"] == one.details["classes"]
    assert other.details.get("confusion") == one.details.get("confusion")
    assert result.comparison is not None
    assert result.comparison.agreement == 1
    assert all(difference.value == pytest.approx(0, abs=1e-6) for difference in result.comparison.differences.values())


def test_the_same_seed_gives_the_same_evaluation(tmp_path: Path) -> None:
    first, second = (run(tmp_path, "text-classification", speed=False, limit=7).to_dict() for _ in range(2))
    assert first["data"] | {"read": 12, "examples": 7} == first["data"]
    for values in (first, second):
        values.pop("about")
    assert first == second
    third = run(tmp_path, "text-classification", speed=False, limit=7, seed=1)
    assert third.predictions != second
    assert third.models[0].speed is None


def test_text_and_names_are_escaped_in_the_report(tmp_path: Path) -> None:
    labels = {number: f"{BAD}{number}" for number in range(5)}
    model = write_model(tmp_path / "first", "text-classification", id2label=labels)
    rows = [{"text": f"a b {BAD} {n}", "text_pair": BAD, "label": labels[n % 5]} for n in range(10)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = evaluate(EvaluateConfig(model=model, data=[str(data)], device="cpu", samples=10, speed=False))
    html = evaluation_page(result.to_dict())
    page = Page(html)
    assert "script" not in page.tags
    assert page.tags.count("b") == 2 * len(result.worst) > 0
    assert "<script" not in html
    assert page.text.count(BAD) >= 2 * len(result.worst)
    assert len(page.ids) == len(set(page.ids))
    assert evaluation_page(result.to_dict()) == html
    table = result._repr_html_()
    assert f"<th>accuracy</th><td>{result.metrics['accuracy']:.4g} (" in table
    assert table.count("<tr>") == 1 + len(result.metrics)
    assert "BAD" not in dataclasses.replace(result, task="<BAD>")._repr_html_().replace("&lt;BAD&gt;", "")


def test_many_labels_are_a_table_of_confusions_and_not_a_matrix(tmp_path: Path) -> None:
    labels = {number: f"name{number}" for number in range(14)}
    model = write_model(tmp_path / "first", "text-classification", id2label=labels)
    data = tmp_path / "data.csv"
    lines = [f"{'abcdefghijklmn'[n % 14]} {'zyxwv'[n % 5]},name{n % 14}\n" for n in range(42)]
    data.write_text("text,label\n" + "".join(lines))
    result = evaluate(EvaluateConfig(model=model, data=[str(data)], device="cpu", samples=10, speed=False))
    page = Page(evaluation_page(result.to_dict()))
    assert not [label for label in page.labels if label.startswith("Confusion")]
    assert ["Right", "Predicted", "Times"] in page.cells
    matrix = result.models[0].details["confusion"]
    worst = max(n for r, row in enumerate(matrix) for c, n in enumerate(row) if r != c)
    assert any(len(row) == 3 and row[2] == str(worst) for row in page.cells)


def test_an_evaluation_is_not_replaced_unasked(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    run(tmp_path, "multiple-choice", output=out, speed=False)
    before = (tmp_path / "out" / "report.html").read_bytes()
    with pytest.raises(InputError, match=r"holds an evaluation already \(evaluation.json"):
        run(tmp_path, "multiple-choice", output=out, speed=False)
    assert (tmp_path / "out" / "report.html").read_bytes() == before
    run(tmp_path, "multiple-choice", output=out, speed=False, overwrite=True, worst=0)
    assert (tmp_path / "out" / "report.html").read_bytes() != before


def test_data_and_models_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a DistilBertForSequenceClassification; the task 'question-answering'"):
        run(tmp_path, "text-classification", task="question-answering")
    model = write_model(tmp_path / "nli", "text-classification", id2label={0: "entailment", 1: "contradiction"})
    with pytest.raises(InputError, match="no metric for the task 'zero-shot-classification'"):
        run(tmp_path, "text-classification", model=model, task="zero-shot-classification")
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("text,label\na b,LABEL_1\nc d,LABEL_9\n")
    with pytest.raises(DataError, match=r"unknown.csv:3: the evaluation data has the label 'LABEL_9'"):
        run(tmp_path, "text-classification", data=[str(unknown)])
    bare = tmp_path / "bare.csv"
    bare.write_text("text\na b\n")
    with pytest.raises(DataError, match="label"):
        run(tmp_path, "text-classification", data=[str(bare)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": []}, "data must be at least one file"),
        ({"model": ""}, "model must be a folder or a name"),
        ({"limit": -1}, "limit must be 0 or more"),
        ({"batch_tokens": 0}, "batch_tokens must be at least 1"),
        ({"samples": 1.5}, "samples must be of type int"),
        ({"columns": {"text": 1}}, "columns must be of type"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluateConfig(**{"model": "m", "data": ["d"], **changes})


def test_progress_tells_what_is_done(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    model, data = write_model(tmp_path / "m", "multiple-choice"), write_data(tmp_path, "multiple-choice")
    evaluate(EvaluateConfig(model=model, data=[data], samples=5), on_progress=lambda *said: seen.append(said))
    assert seen == [("evaluating m", 12, 12), ("measuring speed", 0, 1)]


@pytest.mark.parametrize("task", HEADS)
def test_metrics_of_your_own(tmp_path: Path, task: str) -> None:
    seen: list[Any] = []

    def matches(expected: list[Any], given: list[Any]) -> float:
        seen[:] = [expected, given]
        return float(len(expected))

    model = write_model(tmp_path / "first", task, **({"id2label": dict(enumerate(TAGS))} if task[0:2] == "to" else {}))
    config = EvaluateConfig(model=model, data=[write_data(tmp_path, task)], samples=5, speed=False, compare=model,
                            output=str(tmp_path / "out"))  # fmt: skip
    result = evaluate(config, metrics={"matches": matches}, verbose=False)
    assert [each.metrics["matches"] for each in result.models] == [12.0, 12.0]
    assert "matches" not in result.models[0].intervals
    assert seen == [[row[side] for row in result.predictions] for side in ("expected", "got")]
    assert "matches" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "matches" in result._repr_html_()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("accuracy", 1.0, "has a metric of the name 'accuracy' already"),
        ("mine", "much", "must return a number, got 'much'"),
        ("mine", None, "must return a number, got None"),
        ("mine", float("nan"), "returned nan, which is no finite number"),
    ],
)
def test_metrics_that_cannot_be_used(tmp_path: Path, name: str, value: Any, message: str) -> None:
    config = EvaluateConfig(
        model=write_model(tmp_path / "first", "text-classification"),
        data=[write_data(tmp_path, "text-classification")], samples=5, speed=False,
    )  # fmt: skip
    with pytest.raises(InputError, match=message):
        evaluate(config, metrics={name: lambda expected, given: value})
