from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from distilbert.core.errors import DataError, InputError
from distilbert.training.reports.model_card import write_card
from tests.training.golden_pages import FINETUNED
from tests.training.runs import SUMMARY, make_run, pretraining

DISTILLED = """
seed = 56
learning_rate = 5e-4
tokens_per_step = 128000
temperature = 2.0

[terms]
ce = 5.0
mlm = 2.0
cos = 1.0
"""


def written(folder: Path, *, base: str = "owner/teacher", license: str | None = "MIT") -> tuple[dict[str, Any], str]:
    """The front matter and the rest of a card."""
    text = write_card(folder, base=base, license=license).read_text(encoding="utf-8")
    _, front, rest = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    assert text.startswith("---\n")
    return yaml.safe_load(front), rest


def test_the_front_matter_is_what_the_hub_reads(tmp_path: Path) -> None:
    front, _ = written(make_run(tmp_path))
    assert front == {
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "license": "mit",
        "base_model": "owner/teacher",
        "tags": ["distilbert", "masked-lm", "knowledge-distillation"],
        "metrics": ["perplexity"],
        "model-index": [
            {
                "name": "MiniLM of 6 layers to 3",
                "results": [
                    {
                        "task": {"type": "fill-mask"},
                        "dataset": {"name": "held-out text", "type": "held-out-text"},
                        "metrics": [{"type": "perplexity", "value": 12.34, "name": "Held-out perplexity"}],
                    }
                ],
            }
        ],
    }


def test_names_languages_and_data_sets_of_the_hub_but_no_files(tmp_path: Path) -> None:
    local = tmp_path / "corpus"
    local.mkdir()
    data = {"sources": ["stanfordnlp/sst2", "wikitext:wikitext-103-raw-v1", "text/a.txt", str(local)]}
    folder = make_run(tmp_path / "run", summary=SUMMARY | {"data": data})
    text = write_card(folder, base="", language=["en", "de"]).read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert front["datasets"] == ["stanfordnlp/sst2", "wikitext"]
    assert front["language"] == ["en", "de"]


def test_the_results_of_a_task_are_those_of_the_student_on_the_evaluation_data(tmp_path: Path) -> None:
    front, _ = written(make_run(tmp_path, summary=FINETUNED))
    (result,) = front["model-index"][0]["results"]
    assert result["task"] == {"type": "text-classification"}
    assert result["dataset"] == {"name": "dev.tsv", "type": "dev.tsv"}
    assert {"type": "accuracy", "value": 0.9012, "name": "Accuracy"} in result["metrics"]
    assert front["metrics"] == ["accuracy", "f1"]


def test_labels_are_code_as_they_are(tmp_path: Path) -> None:
    _, text = written(make_run(tmp_path, summary=FINETUNED))
    assert "It knows 4 labels: `card_arrival`, `card|swallowed`, `` `odd` ``, `a<b`." in text


def test_the_command_makes_the_model_from_nothing(tmp_path: Path) -> None:
    for command, expected in (
        (
            "distilbert distill --data 'my --overwrite text' --overwrite",
            "distilbert distill --data 'my --overwrite text'",
        ),
        ("distilbert distill --output student --resume", "distilbert distill --config config.toml"),
        ("distilbert distill --data 'my --resume text'", "distilbert distill --data 'my --resume text'"),
    ):
        _, text = written(make_run(tmp_path, summary=SUMMARY | {"command": command}))
        assert f"```sh\n{expected}\n```" in text


def test_a_run_that_was_not_evaluated_tells_how_it_was_trained(tmp_path: Path) -> None:
    summary = FINETUNED | {"models": {"model": {}}}
    front, text = written(make_run(tmp_path, summary=summary))
    assert "The model was trained for 480 steps on 15,432 labelled examples in 5 min 22 s and not evaluated." in text
    assert "model-index" not in front
    assert "Held-out figures" not in text
    _, text = written(make_run(tmp_path, summary=FINETUNED | {"models": {"model": {"layers": 3, "dim": 384}}}))
    assert "The model has 3 layers of width 384." in text


def test_the_hub_library_accepts_it(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(write_card(make_run(tmp_path), base="owner/teacher", license="apache-2.0"))
    assert card.data.license == "apache-2.0"
    assert card.data.base_model == "owner/teacher"


def test_shows_the_figures_with_the_teachers_beside(tmp_path: Path) -> None:
    _, text = written(make_run(tmp_path, config=DISTILLED))
    assert "distilled from owner/teacher. The student has 0.77× the parameters" in text
    assert "on the machine that trained it" in text
    assert "| Held-out perplexity | 11.0 | 12.3 | +12 % |" in text
    assert "2,000 steps, 8.19 M tokens, and 3 h 12 min" in text
    assert "text/a.txt, text/b.txt (12.3 M tokens, 96,450 sequences, 128 tokens a sequence)" in text
    assert "`ce` with weight 5.00, `mlm` with weight 2.00, and `cos` with weight 1.00, at temperature 2.00" in text
    assert "Peak learning rate 5e-4, 128,000 tokens a step, seed 56." in text
    assert f"```sh\n{SUMMARY['command']}\n```" in text
    assert "512 held-out sequences" in text
    assert DISTILLED.strip() in text


def test_shows_how_to_use_it_in_code_that_compiles(tmp_path: Path) -> None:
    _, text = written(make_run(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert [block.split(" import")[0] for block in blocks] == ["from distilbert", "from transformers"]
    for block in blocks:
        compile(block, "card", "exec")


def test_claims_nothing_that_is_not_there(tmp_path: Path) -> None:
    front, text = written(make_run(tmp_path, summary={"models": {}}, config=""), base="", license=None)
    assert set(front) == {"library_name", "pipeline_tag", "tags"}
    assert "The run recorded no figures of its model." in text
    assert "The model was not evaluated" in text
    for word in ("Training took", "Text:", "Objective", "Command", "eacher", "None", "–", "seed", "Held-out"):
        assert word not in text


def test_pretraining_has_no_teacher(tmp_path: Path) -> None:
    front, text = written(make_run(tmp_path, summary=pretraining()))
    assert "knowledge-distillation" not in front["tags"]
    assert "trained from owner/teacher. The model has 17.4 M parameters" in text


def test_a_folder_is_no_base_model_and_only_its_last_part_is_told(tmp_path: Path) -> None:
    base = tmp_path / "home" / "teacher_7"
    base.mkdir(parents=True)
    front, text = written(make_run(tmp_path / "run"), base=str(base))
    assert "base_model" not in front
    assert "distilled from teacher\\_7." in text
    assert str(tmp_path) not in text


def test_texts_cannot_become_markup(tmp_path: Path) -> None:
    bad = "<script>&`*x*|\n# y"
    summary = SUMMARY | {"title": bad, "command": f"a ``` {bad}", "data": {"sources": [bad]}, "machine": {"cpu": bad}}
    _, text = written(make_run(tmp_path, summary=summary, config='a = "```` <b>"\n'))
    assert "# &lt;script&gt;&amp;\\`\\*x\\*\\| \\# y\n" in text
    assert "````sh\na ``` <script>" in text
    assert '`````toml\na = "```` <b>"\n`````' in text
    outside = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<" not in outside


def test_never_overwrites_what_somebody_else_wrote(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    card = folder / "README.md"
    card.write_text("Mine.\n", encoding="utf-8")
    assert write_card(folder, base="a/b", license=None) == card
    assert card.read_text(encoding="utf-8") == "Mine.\n"


def test_replaces_its_own_until_the_mark_is_taken_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    card = write_card(folder, base="a/b", license=None)
    write_card(folder, base="a/c", license=None)
    text = card.read_text(encoding="utf-8")
    assert "base_model: a/c" in text
    taken = re.sub(r"# Written by distilbert.*\n", "", text)
    card.write_text(taken, encoding="utf-8")
    write_card(folder, base="a/d", license=None)
    assert card.read_text(encoding="utf-8") == taken


@pytest.mark.parametrize("license", ["MIT License", "mit\nfoo: bar", ""])
def test_a_license_is_an_identifier(tmp_path: Path, license: str) -> None:
    folder = make_run(tmp_path)
    with pytest.raises(InputError, match="identifier such as 'mit'"):
        write_card(folder, base="a/b", license=license)
    assert not (folder / "README.md").exists()


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.toml"):
        write_card(make_run(tmp_path / "a", config="a ="), base="a/b", license=None)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"summary\.json"):
        write_card(tmp_path / "b", base="a/b", license=None)
