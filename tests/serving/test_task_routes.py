"""``POST /v1/{task}``: answers are those of ``pipeline``, whatever is asked at the same time."""

from __future__ import annotations

import json
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from distilbert.core.runner_protocol import Batch
from distilbert.engine.quantization import calibrate
from distilbert.serving.task_routes import STREAMED_AHEAD
from distilbert.tasks import pipeline
from tests.any_cpu import allow_bf16, allow_int8
from tests.tasks.inputs import TASKS, close, inputs_for

from .conftest import RunningServer, running


@pytest.fixture(scope="session")
def tasks(model_folder: Callable[[str], Path]) -> dict[str, Any]:
    return {
        name: pipeline(name, model_folder(model), precision="fp32", threads=1, **params)
        for name, (model, params) in TASKS.items()
    }


TOLERANCES = {"bf16": 0.05, "int8": 0.1}  # of probabilities: these tiny models have large weights


def ask(served: RunningServer, task: str, inputs: Any) -> Any:
    model, params = TASKS[task]
    return served.answer(f"/v1/{task}", {"inputs": inputs, "parameters": params, "model": model})


@pytest.mark.parametrize("task", list(TASKS))
def test_answers_are_those_of_the_pipeline(served: RunningServer, tasks: dict[str, Any], task: str) -> None:
    inputs = inputs_for(task, 40, seed=3)
    expected = tasks[task](inputs)
    assert close(ask(served, task, inputs), expected)
    for item in inputs[:5]:
        assert close(ask(served, task, item), tasks[task](item))


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_answers_are_those_of_the_pipeline_in_other_precisions(
    precision: str, model_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_bf16(monkeypatch)
    allow_int8(monkeypatch)
    folder = Path(shutil.copytree(model_folder("labels"), tmp_path / "labels"))
    inputs = inputs_for("text-classification", 40, seed=3)
    in_fp32 = pipeline("text-classification", folder, precision="fp32", top_k=None)
    if precision == "int8":
        texts = [" ".join(item.values()) if isinstance(item, dict) else item for item in inputs]
        ids = [each[:64] for each in in_fp32.tokenizer.encode_ids(texts, None, True)]
        calibrate(in_fp32.model, [Batch.of(ids)], "fp32").save(folder)
    task = pipeline("text-classification", folder, precision=precision, top_k=None)
    assert task.runner.precision == precision
    expected = task(inputs)
    with running([str(folder)], precision=precision) as client, ThreadPoolExecutor(8) as pool:
        body = [{"inputs": item, "parameters": {"top_k": None}} for item in inputs]
        answers = list(pool.map(lambda each: client.answer("/v1/text-classification", each), body))
        models = client.get("/v1/models").json()
    assert precision in json.dumps(models)
    for answer, wanted in zip(answers, expected, strict=True):
        scores = {label["label"]: label["score"] for label in answer}
        assert scores == pytest.approx({label["label"]: label["score"] for label in wanted}, abs=TOLERANCES[precision])


def test_answers_are_those_of_the_pipeline_in_any_mix(served: RunningServer, tasks: dict[str, Any]) -> None:
    generator = random.Random(5)
    requests: list[tuple[str, Any, Any]] = []
    for task in TASKS:
        inputs = inputs_for(task, 60, seed=7)
        expected = tasks[task](inputs)
        place = 0
        while place < len(inputs):
            size = generator.choice([1, 1, 2, 5, 20])
            requests.append((task, inputs[place : place + size], expected[place : place + size]))
            place += size
    generator.shuffle(requests)
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda request: ask(served, *request[:2]), requests))
    for (task, inputs, expected), answer in zip(requests, answers, strict=True):
        assert close(answer, expected), (task, inputs)


@pytest.mark.parametrize("task", list(TASKS))
def test_a_task_needs_no_model_where_one_can_do_it(served: RunningServer, task: str) -> None:
    inputs = inputs_for(task, 1)[0]
    parameters = {"candidate_labels": ["a", "b"]} if task == "zero-shot-classification" else {}
    served.answer(f"/v1/{task}", {"inputs": inputs, "parameters": parameters})


def test_one_plain_text_gives_what_the_pipeline_gives(served: RunningServer, tasks: dict[str, Any]) -> None:
    task = tasks["text-classification"]
    assert close(ask(served, "text-classification", "a good film"), task("a good film"))
    body = {"inputs": "a good film", "parameters": {"top_k": 1}, "model": "labels"}
    assert close(served.answer("/v1/text-classification", body), task("a good film", top_k=1))
    assert close(served.answer("/v1/sentiment-analysis", body), task("a good film", top_k=1))


def test_long_texts_are_read_in_windows_and_their_number_is_said(served: RunningServer) -> None:
    body = {"inputs": ["a short text", "a long text " * 100], "model": "labels"}
    response = served.post("/v1/text-classification", json=body)
    assert int(response.headers["x-windows"]) > 1
    details = served.answer("/v1/text-classification", body | {"details": True})
    assert details["windows"][0] == 1
    assert details["windows"][1] == int(response.headers["x-windows"])
    assert details["answers"] == response.json()
    assert sum(details["tokens"]) == int(response.headers["x-compute-tokens"])


def test_offsets_count_the_characters_of_the_caller(served: RunningServer) -> None:
    text = "😀😀 Anna lives in Berlin"
    words = [text[entity["start"] : entity["end"]] for entity in ask(served, "token-classification", text)]
    assert " ".join(words) == text


def test_equal_texts_at_one_time_are_computed_once(serve: Callable[..., Any]) -> None:
    with serve("labels") as client, ThreadPoolExecutor(20) as pool:
        before = client.application.metrics.value("distilbert_tokens", "labels")
        body = {"inputs": "a good film"}
        with client.together(20):
            answers = [pool.submit(client.answer, "/v1/text-classification", body) for _ in range(20)]
        assert len({json.dumps(answer.result()) for answer in answers}) == 1
        assert client.application.metrics.value("distilbert_tokens", "labels") > before
        text = client.get("/metrics").text
    computed = [line for line in text.splitlines() if line.startswith("distilbert_batch_sequences_sum")]
    assert computed == ["distilbert_batch_sequences_sum 1.0"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "lacks the field 'inputs'"),
        ({"inputs": ""}, 422, "The input is an empty text"),
        ({"inputs": ["a", ""]}, 422, "inputs[1] is an empty text"),
        ({"inputs": []}, 422, "empty list"),
        ({"inputs": 5}, 422, "The input must be a str"),
        ({"inputs": None}, 422, "The input must be a str"),
        ({"inputs": "a", "parameters": {"topk": "x"}}, 422, "top_k must be an integer"),
        ({"inputs": "a", "parameters": {"top_kk": 1}}, 422, "Did you mean 'top_k'"),
        ({"inputs": "a", "parameters": []}, 422, "parameters must be an object"),
        ({"inputs": "a", "parameter": {}}, 422, "Did you mean 'parameters'"),
        ({"inputs": "a", "model": "label"}, 404, "Did you mean 'labels'"),
        ({"inputs": "a", "model": 5}, 404, "There is no model"),
        ({"inputs": "a", "model": "entities"}, 422, "cannot do text-classification"),
        (["a"], 422, "must be a JSON object"),
    ],
)
def test_what_is_wrong_is_said(served: RunningServer, body: Any, status: int, message: str) -> None:
    assert message in served.error("/v1/text-classification", body, status)


@pytest.mark.parametrize(
    ("task", "inputs", "parameters"),
    [
        ("zero-shot-classification", "a film about water", {"candidate_labels": ["water", "berlin"]}),
        ("multiple-choice", {"context": "a film", "question": "what?", "choices": ["water", "berlin"]}, {}),
    ],
)
def test_an_encoder_answers_by_the_similarity_of_vectors(
    serve: Callable[..., Any], model_folder: Callable[[str], Path], task: str, inputs: Any, parameters: dict[str, Any]
) -> None:
    expected = pipeline(task, model_folder("encoder"), precision="fp32", **parameters)(inputs)
    with serve("labels", "encoder") as client:
        body = {"inputs": inputs, "parameters": parameters}
        assert close(client.answer(f"/v1/{task}", body), expected)
        encoder = client.get("/v1/models/encoder").json()
        assert encoder["task"] == "feature-extraction"
        assert task in encoder["tasks"]
        assert client.application.models.by_name["encoder"].loaded.speeds.keys() == {""}, "it is in memory once"


def test_zero_shot_needs_labels(served: RunningServer) -> None:
    assert "candidate_labels" in served.error("/v1/zero-shot-classification", {"inputs": "a"})


def test_return_tensors_is_refused(served: RunningServer) -> None:
    body = {"inputs": "a", "parameters": {"return_tensors": "np"}}
    assert "return_tensors" in served.error("/v1/feature-extraction", body)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"inputs": "\xff"}', b'{"inputs": "\\ud800"}', b'{"inputs": ' + b"[" * 40 + b"]" * 40 + b"}",
     b"[" * 100_000, b'{"inputs": 1e400}'],
)  # fmt: skip
def test_what_is_no_json_is_refused(served: RunningServer, body: bytes) -> None:
    response = served.post("/v1/text-classification", content=body)
    assert response.status_code in (400, 422), response.text
    assert "Traceback" not in response.text


def test_lines_are_answered_by_lines(served: RunningServer, tasks: dict[str, Any]) -> None:
    inputs = inputs_for("text-classification", 300)
    lines = "".join(json.dumps(item) + "\n" for item in inputs).encode()
    parts = [lines[start : start + 777] for start in range(0, len(lines), 777)]
    response = served.post(
        "/v1/text-classification?model=labels",
        content=iter(parts),
        headers={"content-type": "application/x-ndjson"},
    )
    assert response.status_code == 200
    answers = [json.loads(line) for line in response.text.splitlines()]
    assert close(answers, tasks["text-classification"](inputs))


def test_a_line_that_cannot_be_answered_is_an_error_in_its_place(served: RunningServer) -> None:
    response = served.post(
        "/v1/text-classification?model=labels&parameters=%7B%22top_k%22%3A2%7D",
        content=b'"a"\n\n{"x": 1}\n{\n"b"',
        headers={"content-type": "application/x-ndjson"},
    )
    first, empty, second, third, fourth = (json.loads(line) for line in response.text.splitlines())
    assert len(first) == len(fourth) == 2
    assert "The line is empty" in empty["error"]
    assert "inputs[2] has an unknown field 'x'" in second["error"]
    assert "not JSON" in third["error"]


def test_a_list_is_streamed_where_lines_are_accepted(served: RunningServer) -> None:
    body = {"inputs": ["a", "b"] * 200, "model": "labels"}
    with served.stream("POST", "/v1/text-classification", json=body, headers={"accept": "application/x-ndjson"}) as r:
        assert [json.loads(line)["label"] for line in r.iter_lines()] == [
            each["label"] for each in served.answer("/v1/text-classification", body)
        ]


def test_a_list_of_which_nothing_can_be_answered_in_time_is_refused_line_by_line(serve: Callable[..., Any]) -> None:
    with serve("labels") as client:
        client.timeout = 10
        headers = {"accept": "application/x-ndjson", "x-request-timeout-ms": "1"}
        body = {"inputs": ["a long text " * 5000, "another long text " * 5000]}
        lines = client.post("/v1/text-classification", json=body, headers=headers).text.splitlines()
        assert [json.loads(line)["error_type"] for line in lines] == ["overloaded"] * 2
        assert all("needs about" in json.loads(line)["error"] for line in lines)


def test_a_list_that_takes_too_long_together_is_answered_one_by_one(serve: Callable[..., Any]) -> None:
    with serve("labels") as client:
        speed = client.application.models.by_name["labels"].loaded.speeds["ForSequenceClassification"]
        speed.tokens_per_second = 4.0  # about a second for each of these texts
        headers = {"accept": "application/x-ndjson", "x-request-timeout-ms": "5000"}
        body = {"inputs": ["a good film"] * 10}
        lines = client.post("/v1/text-classification", json=body, headers=headers).text.splitlines()
        assert [list(json.loads(line)) for line in lines] == [["label", "score"]] * 10


@pytest.fixture
def full(serve: Callable[..., Any]) -> Iterator[RunningServer]:
    """A server that computes nothing, and has so much to compute that it lets nothing in that is due later."""
    held = threading.Event()
    with serve("labels", max_tokens_queued=1) as client, ThreadPoolExecutor(1) as pool:
        service = client.application.service
        service._threads.run_in_engine(lambda: held.wait(60))
        headers = {"x-request-timeout-ms": "800"}
        pool.submit(client.post, "/v1/text-classification", json={"inputs": "a good film"}, headers=headers)
        while not service.admission.requests:
            time.sleep(0.005)
        yield client
        held.set()


def test_a_stream_waits_for_room_until_its_deadline(full: RunningServer) -> None:
    headers = {"accept": "application/x-ndjson", "x-request-timeout-ms": "800"}
    body = {"inputs": ["a good film", "a film"]}
    response = full.post("/v1/text-classification", json=body, headers=headers, timeout=10)
    lines = [json.loads(line)["error"] for line in response.text.splitlines()]
    assert len(lines) == 2
    assert all("too busy to answer before the request's deadline" in line for line in lines)


def leave_a_stream(client: RunningServer, count: int) -> None:
    """Ask for the answers to a list as lines, close the connection while they wait, and wait for the stream's end."""
    service = client.application.service
    make_request, waiting = service.make_request, threading.Event()

    def note(*arguments: Any) -> Any:
        waiting.set()
        return make_request(*arguments)

    service.make_request = note
    body = json.dumps({"inputs": ["a good film"] * count}).encode()
    head = b"POST /v1/text-classification HTTP/1.1\r\nhost: x\r\naccept: application/x-ndjson\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert waiting.wait(10)
    ended = ("distilbert_requests", "/v1/text-classification", "200")
    deadline = time.monotonic() + 10
    while not client.application.metrics.value(*ended) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert client.application.metrics.value(*ended) == 1


def test_a_stream_that_waits_for_room_ends_when_its_client_goes(full: RunningServer) -> None:
    leave_a_stream(full, 300)
    assert full.application.service.admission.requests == 1, "only what keeps the server busy"


def test_a_stream_whose_client_has_gone_is_not_computed_further(serve: Callable[..., Any]) -> None:
    with serve("labels") as client:
        held = threading.Event()
        client.application.service._threads.run_in_engine(lambda: held.wait(60))
        try:
            leave_a_stream(client, 1000)
            assert client.application.metrics.value("distilbert_abandoned_requests") == STREAMED_AHEAD
        finally:
            held.set()


def test_lines_that_come_while_others_are_answered_are_not_lost(serve: Callable[..., Any]) -> None:
    def lines(held: threading.Event) -> Iterator[bytes]:
        for index in range(400):
            if index == 300:
                time.sleep(0.8)  # the first groups wait for the engine meanwhile, and their client is looked after
                held.set()
            yield b'"film %d"\n' % index

    with serve("labels") as client:
        held = threading.Event()
        client.application.service._threads.run_in_engine(lambda: held.wait(20))
        headers = {"content-type": "application/x-ndjson"}
        response = client.post("/v1/text-classification", content=lines(held), headers=headers)
        assert [list(json.loads(line)) for line in response.text.splitlines()] == [["label", "score"]] * 400


def test_a_stream_is_not_read_faster_than_it_is_answered(serve: Callable[..., Any]) -> None:
    sent = 0

    def lines() -> Iterator[bytes]:
        nonlocal sent
        for index in range(200_000):
            sent += 1
            yield b'"film %d is about water and the river and the sea"\n' % index * 20

    with serve("labels") as client:
        held = threading.Event()
        client.application.service._threads.run_in_engine(lambda: held.wait(30))
        client.timeout = 2
        with pytest.raises(httpx.WriteTimeout):
            client.post("/v1/text-classification", content=lines(), headers={"content-type": "application/x-ndjson"})
        held.set()
    assert sent < 20_000, "the rest was never taken"


def test_tasks_of_one_model_share_batches(serve: Callable[..., Any], tasks: dict[str, Any]) -> None:
    with serve("nli") as client, ThreadPoolExecutor(2) as pool:
        zero_shot = {"inputs": "a film", "parameters": {"candidate_labels": ["sport", "politics"]}}
        with client.together(2):
            answers = [
                pool.submit(client.answer, "/v1/text-classification", {"inputs": ["water", "river"]}),
                pool.submit(client.answer, "/v1/zero-shot-classification", zero_shot),
            ]
        assert close(answers[1].result(), tasks["zero-shot-classification"]("a film"))
        assert len(answers[0].result()) == 2
        text = client.get("/metrics").text
    assert "distilbert_batch_sequences_count 1.0" in text
    assert "distilbert_batch_sequences_sum 4.0" in text


def test_masks_that_are_filled_together(served: RunningServer, model_folder: Callable[[str], Path]) -> None:
    fill = pipeline("fill-mask", model_folder("masked-lm"), precision="fp32", joint=True, top_k=3)
    texts = ["a [MASK] [MASK] film", "the [MASK] of berlin"]
    body = {"inputs": texts, "parameters": {"joint": True, "top_k": 3}}
    assert close(served.answer("/v1/fill-mask", body), fill(texts))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("question-answering", {"inputs": {"question": ["who"] * 5000, "context": "a film " * 100_000}}),
        ("multiple-choice", {"inputs": {"context": "a film " * 100_000, "choices": ["a"] * 9000}}),
        ("text-classification", {"inputs": "a film " * 100_000, "parameters": {"stride": 61}, "model": "labels"}),
        ("zero-shot-classification",
         {"inputs": ["a film " * 100] * 5000, "parameters": {"candidate_labels": [f"label {n}" for n in range(500)]}}),
    ],
)  # fmt: skip
def test_a_small_request_that_asks_for_endless_work_is_refused(served: RunningServer, path: str, body: Any) -> None:
    start = time.perf_counter()
    message = served.error(f"/v1/{path}", body, 429, headers={"x-request-timeout-ms": "5000"})
    assert "needs about" in message or "is busy" in message
    assert time.perf_counter() - start < 5
