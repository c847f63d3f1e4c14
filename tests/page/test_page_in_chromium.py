"""The page in Chromium: each task shows what the server answers, by mouse, keyboard and file, for everybody."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server_process import serving

TASKS = (
    "text-classification", "token-classification", "question-answering", "fill-mask", "zero-shot-classification",
    "multiple-choice", "feature-extraction", "sentence-similarity",
)  # fmt: skip
ANSWERED = "#latency:has-text('ms')"
OpenPage = Callable[..., Any]


def wait_until(page: Any, expression: str) -> None:
    """Wait for a condition on the page. Its policy does not let playwright evaluate one there by itself."""
    end = time.monotonic() + 15
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def sent_and_answered(page: Any, act: Callable[[], Any]) -> tuple[dict[str, Any], Any]:
    """Body and answer of the request that an action causes."""
    with page.expect_response(lambda response: response.request.method == "POST") as caught:
        act()
    response = caught.value
    answer = response.json()
    wait_until(page, "!document.querySelector('#answer .empty')")
    return json.loads(response.request.post_data), answer


def percent_of(page: Any) -> list[float]:
    return [float(text.split()[0]) / 100 for text in page.locator("#answer .bars .value").all_inner_texts()]


@pytest.mark.parametrize("task", TASKS)
def test_the_example_of_each_task_is_answered(task: str, address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/#{task}")
    page.wait_for_selector(ANSWERED)
    body, answer = sent_and_answered(page, lambda: page.click("#send"))
    assert httpx.post(f"{address}/v1/{task}", json=body).json() == answer
    text = page.inner_text("#answer")
    if task in ("text-classification", "fill-mask", "question-answering"):
        assert percent_of(page) == pytest.approx([each["score"] for each in answer], abs=6e-4)
    if task == "text-classification":
        assert page.locator("#answer .bars .name").all_inner_texts() == [each["label"] for each in answer]
    elif task == "token-classification":
        kept = [mark.split("\n")[0] for mark in page.locator("mark").all_inner_texts()]
        assert answer, "the tiny model finds something"
        assert len(kept) == len(answer)
        for mark, entity in zip(kept, answer, strict=True):
            expected = body["inputs"][entity["start"] : entity["end"]]
            assert mark == f"{expected}{entity['entity_group']}"
    elif task == "question-answering":
        best = answer[0]
        context = body["inputs"]["context"]
        assert page.inner_text("mark.best") == context[best["start"] : best["end"]] == best["answer"]
        assert page.inner_text(".context") == context
    elif task == "fill-mask":
        assert page.inner_text("mark.best") == answer[0]["token_str"].strip()
    elif task == "zero-shot-classification":
        assert page.locator("#answer .bars .name").all_inner_texts() == answer["labels"]
        assert percent_of(page) == pytest.approx(answer["scores"], abs=6e-4)
    elif task == "multiple-choice":
        assert page.inner_text("#answer .best .name") == answer["answer"]
    elif task == "feature-extraction":
        assert f"Numbers {len(answer)}" in text
        assert json.loads(page.inner_text("#answer pre")) == pytest.approx(answer, abs=1e-6)
    else:
        cells = [float(cell) for cell in page.locator(".matrix td").all_inner_texts() if cell.strip()]
        assert cells == pytest.approx([score for row in answer for score in row], abs=6e-3)
    assert page.inner_text("#announcement").startswith("Answer: ")
    assert "compute" in page.inner_text("#times")
    assert "token" in page.inner_text("#latency")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_nothing_and_nothing_is_cut_off(scheme: str, width: int, address: str, open_page: OpenPage) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(address, width, color_scheme=scheme, bypass_csp=True)  # axe is a script of its own
    for task in TASKS:
        page.evaluate(f"location.hash = '{task}'")
        wait_until(page, f"document.querySelector('#question').innerText.startsWith('{task}')")
        page.wait_for_selector(ANSWERED)
        page.evaluate("document.querySelector('.parameters').open = true")
        if page.locator("#key-panel").is_hidden():
            page.click("#key-button")
        found = axe.run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, task


def test_themes_follow_the_system_and_the_switch(address: str, open_page: OpenPage) -> None:
    page = open_page(address, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: light"
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert page.evaluate(ground) == light
    page.emulate_media(color_scheme="light")
    page.click("#theme")
    assert page.evaluate(ground) == dark
    page.click("#theme")
    assert page.evaluate(ground) == light


def test_by_keyboard_alone(address: str, open_page: OpenPage) -> None:
    page = open_page(address)
    page.wait_for_selector(ANSWERED)
    page.locator("#tasks input:checked").focus()
    page.keyboard.press("ArrowRight")
    wait_until(page, "document.querySelector('#question').innerText.startsWith('token-classification')")
    page.keyboard.press("ArrowLeft")
    for _ in range(20):
        if page.evaluate("document.activeElement.id") == "field-text":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Control+a")
    page.uncheck("#typing")
    page.locator("#field-text").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("the worst movie")
    body, _ = sent_and_answered(page, lambda: page.keyboard.press("Control+Enter"))
    assert body["inputs"] == "the worst movie"
    page.locator("#tab-curl").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-python"
    assert page.inner_text("#code").startswith("import requests")


def test_answers_come_while_one_types(address: str, open_page: OpenPage) -> None:
    page = open_page(address)
    page.wait_for_selector(ANSWERED)
    body, _ = sent_and_answered(page, lambda: page.fill("#field-text", "a good film"))
    assert body["inputs"] == "a good film"
    page.fill("#field-text", "")
    page.wait_for_selector("text=still empty")


def test_parameters_come_from_the_description_of_the_server(address: str, open_page: OpenPage) -> None:
    page = open_page(address)
    page.wait_for_selector(ANSWERED)
    document = httpx.get(f"{address}/openapi.json").json()
    schemas = document["components"]["schemas"]["TextClassificationParameters"]["properties"]
    page.click(".parameters summary")
    assert page.locator("#parameters label").all_inner_texts() == list(schemas)
    menu = page.locator("#parameter-aggregation option")
    assert menu.all_inner_texts() == ["mean (as usual)", "mean", "max", "first"]
    body, answer = sent_and_answered(page, lambda: page.fill("#parameter-top_k", "2"))
    assert body["parameters"] == {"top_k": 2}
    assert len(answer) == 2
    page.select_option("#parameter-return_all_scores", "true")
    body, _ = sent_and_answered(page, lambda: page.fill("#parameter-top_k", ""))
    assert body["parameters"] == {"return_all_scores": True}
    assert page.locator("#answer .bars li").count() == 5


def test_a_wrong_parameter_is_a_sentence(address: str, open_page: OpenPage) -> None:
    page = open_page(address)
    page.wait_for_selector(ANSWERED)
    page.click(".parameters summary")
    page.fill("#parameter-top_k", "-1")
    page.wait_for_selector("#answer .error")
    assert "top_k must be" in page.inner_text("#answer .error")
    assert [text for text in page.complaints if "422" not in text] == []
    page.complaints.clear()


def test_what_is_typed_is_never_markup(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/#token-classification")
    page.wait_for_selector(ANSWERED)
    attack = "<img src=x onerror=\"document.title='broken'\"> John lives in Paris 😀 <b>today</b>"
    _, answer = sent_and_answered(page, lambda: page.fill("#field-text", attack))
    wait_until(page, "document.querySelector('#answer .reading').innerText.includes('onerror')")
    assert page.locator("#answer img, #answer b").count() == 0
    assert page.title() == "distilbert"
    marks = page.locator("#answer mark").all_inner_texts()
    expected = [attack[entity["start"] : entity["end"]] + entity["entity_group"] for entity in answer]
    assert [mark.replace("\n", "") for mark in marks] == expected  # also behind a character outside of the first plane


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("task", ["text-classification", "zero-shot-classification", "sentence-similarity"])
def test_the_call_as_curl_and_as_python_gives_the_answer(
    task: str, address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(f"{address}/#{task}")
    page.wait_for_selector(ANSWERED)
    field = "sentences" if task == "sentence-similarity" else "text"
    text = "it's a \"good\" film, isn't it? \\ é 😀"
    text += "\nyes" if field == "sentences" else ""
    _, answer = sent_and_answered(page, lambda: page.fill(f"#field-{field}", text))
    shown = subprocess.run(["sh", "-c", page.inner_text("#code")], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == answer
    page.click("#tab-python")
    script = tmp_path / "call.py"
    script.write_text(page.inner_text("#code").replace("print(", "import json; print(json.dumps(").rstrip() + ")")
    shown = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == answer


def test_a_file_gets_an_answer_for_each_row(address: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(address, accept_downloads=True)
    page.wait_for_selector(ANSWERED)
    texts = [f'a "good" film,\nnumber {number}' for number in range(1203)]
    texts[5] = ""
    with (tmp_path / "films.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["number", "review", "label"])
        writer.writerows([number, text, "mine"] for number, text in enumerate(texts))
    page.set_input_files("#file", tmp_path / "films.csv")
    page.wait_for_selector("#send:text-is('Answer 1,203 rows')")  # once the file is read
    assert page.locator("#column-text option:checked").inner_text() == "review"
    page.click("#send")
    page.wait_for_selector("text=Download as CSV")
    with page.expect_download() as caught:
        page.click("text=Download as CSV")
    caught.value.save_as(tmp_path / "answers.csv")
    assert caught.value.suggested_filename == "films-answers.csv"
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["review"] for row in rows] == texts
    assert {row["label"] for row in rows} == {"mine"}
    answers = httpx.post(f"{address}/v1/text-classification", json={"inputs": [text for text in texts if text]}).json()
    answers.insert(5, {"label": "", "score": None})
    assert [row["answer_label"] for row in rows] == [answer["label"] for answer in answers]
    scores = [float(row["score"]) for row in rows if row["score"]]
    assert scores == pytest.approx([answer["score"] for answer in answers if answer["score"]], abs=1e-5)
    assert page.locator(".rows tbody tr").count() == 199  # the first 200 rows, of which one is empty
    page.click("text=Back to typing")
    page.wait_for_selector("#field-text")


def test_a_file_is_dropped_and_stopped(address: str, open_page: OpenPage) -> None:
    page = open_page(address)
    page.wait_for_selector(ANSWERED)
    page.evaluate("""() => {
        const rows = ["text", ...Array.from({ length: 200000 }, (_, number) => `a good film ${number}`)];
        const transfer = new DataTransfer();
        transfer.items.add(new File([rows.join("\\n")], "many.csv", { type: "text/csv" }));
        dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }""")
    page.wait_for_selector("text=200,000 rows to answer")
    page.click("#send")
    page.wait_for_selector(".rows tbody tr")
    page.click("#stop")
    page.wait_for_selector("text=Download as CSV")
    assert "of 200,000 rows" in page.inner_text("#answer")


def test_lines_that_cannot_be_answered_say_why(address: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(f"{address}/#fill-mask")
    page.wait_for_selector(ANSWERED)
    (tmp_path / "masks.txt").write_text("the [MASK] film\nno mask is here\n")
    page.set_input_files("#file", tmp_path / "masks.txt")
    page.click("#send")
    page.wait_for_selector("text=Download as CSV")
    assert "[MASK]" in page.inner_text(".rows td.failed")
    assert page.locator(".rows td.result:not(.failed)").count() == 1


def test_rows_without_an_answer_are_named(address: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(address)
    page.wait_for_selector(ANSWERED)
    (tmp_path / "gaps.csv").write_text('text,note\ngood film,a\n"",b\nbad film,c\n')
    page.set_input_files("#file", tmp_path / "gaps.csv")
    page.click("#send")
    page.wait_for_selector("text=Download as CSV")
    assert "2 of 3 rows" in page.inner_text("#answer")
    assert "1 row has no answer: 2." in page.inner_text("#answer")


def test_files_in_other_encodings_are_read_and_what_is_no_text_is_refused(
    address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(address)
    page.wait_for_selector(ANSWERED)
    path = tmp_path / "films.csv"
    for encoding, has_remark in (("utf-8", False), ("utf-8-sig", False), ("utf-16", False), ("cp1252", True)):
        path.write_bytes("text\nun café très bon\n".encode(encoding))
        page.set_input_files("#file", path)
        page.wait_for_selector("text=1 row to answer")
        assert ("windows-1252" in page.inner_text("#file-panel")) == has_remark
        page.click("#send")
        page.wait_for_selector("text=Download as CSV")
        assert "un café très bon" in page.inner_text(".rows")
        page.click("text=Back to typing")
    for content in (b"PK\x03\x04\x00\x00text\nabc\n", b"\x89PNG\x1a\x02\xff\n"):
        path.write_bytes(content)
        page.set_input_files("#file", path)
        page.wait_for_selector("text=films.csv is no text")


@pytest.mark.parametrize("width", [360, 1280])
def test_no_word_is_broken_in_tables_and_buttons(width: int, address: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(f"{address}/#token-classification", width)
    page.wait_for_selector(ANSWERED)
    tall = """names => [...document.querySelectorAll(names)].filter((each) => {
        const range = document.createRange();
        range.selectNodeContents(each);
        return range.getClientRects().length > 1;
    }).map((each) => each.innerText)"""
    assert page.evaluate(tall, "thead th, .tools button") == []
    (tmp_path / "films.csv").write_text("text\na good film\n")
    page.evaluate("location.hash = 'text-classification'")
    page.wait_for_selector("#question:has-text('text-classification')")
    page.set_input_files("#file", tmp_path / "films.csv")
    page.click("#send")
    page.wait_for_selector("text=Download as CSV")
    assert page.evaluate(tall, "thead th, td.number, td.result") == []


def test_a_similarity_of_nearly_nothing_has_no_sign(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/#sentence-similarity")
    page.wait_for_selector(ANSWERED)
    assert page.locator("#model").input_value() == "encoder", "as the server chooses"
    scores = [[1.0, -0.001], [-0.001, 1.0]]
    page.route("**/v1/sentence-similarity", lambda route: route.fulfill(json=scores))
    page.fill("#field-sentences", "a\nb")
    page.click("#send")
    wait_until(page, "document.querySelectorAll('.matrix tbody tr').length === 2")
    assert page.locator(".matrix tbody td").all_inner_texts() == ["1.00", "0.00", "0.00", "1.00"]


def test_a_key_is_asked_for_and_sent(models: Path, open_page: OpenPage) -> None:
    with serving(models, "labels", "--api-key", "open-sesame") as address:
        page = open_page(address)
        page.wait_for_selector("text=needs an API key")
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=needs an API key")
        page.fill("#key", "open-sesame")
        page.keyboard.press("Enter")
        page.wait_for_selector(ANSWERED)
        assert "ready, labels" in page.inner_text("#state")
        code = page.inner_text("#code")
        assert "DISTILBERT_API_KEY" in code
        assert "open-sesame" not in code
        assert all("401" in text for text in page.complaints)
        page.complaints.clear()
        context = page.context
        page.close()
        assert context.storage_state()["origins"] == [] or "open-sesame" not in json.dumps(context.storage_state())


def test_tasks_without_a_model_cannot_be_chosen(models: Path, open_page: OpenPage) -> None:
    with serving(models, "labels") as address:
        page = open_page(f"{address}/#question-answering")
        page.wait_for_selector(ANSWERED)
        assert page.locator("#tasks input:checked").input_value() == "text-classification"
        unavailable = page.locator("#tasks input:disabled").evaluate_all("boxes => boxes.map((box) => box.value)")
        assert "question-answering" in unavailable
        assert "feature-extraction" not in unavailable


def test_live_figures_follow_the_server(models: Path, open_page: OpenPage) -> None:
    with serving(models, "labels") as address:
        page = open_page(address)
        page.wait_for_selector(ANSWERED)
        tokens = page.locator("#live > div:nth-child(2) dd:first-of-type")
        wait_until(page, "document.querySelector('#live dd').innerText !== '-'")
        for _ in range(50):
            httpx.post(f"{address}/v1/text-classification", json={"inputs": ["a good film"] * 20}).raise_for_status()
            if tokens.inner_text() not in ("0", "-"):
                break
            page.wait_for_timeout(100)
        assert tokens.inner_text() not in ("0", "-")
    page.wait_for_selector("text=does not answer")
    page.complaints.clear()


def test_without_scripts_it_says_what_to_do(address: str, open_page: OpenPage) -> None:
    page = open_page(address, java_script_enabled=False)
    assert "needs JavaScript" in page.inner_text("noscript")
