"""What a server refuses: wrong keys, too much at once, clients that are slow, paths and methods that do not exist."""

from __future__ import annotations

import contextlib
import gc
import hmac
import json
import shutil
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.errors import InputError, ModelNotFoundError, UnknownArgumentError
from distilbert.core.runner_protocol import Batch
from distilbert.engine.engine_runner import EngineRunner
from distilbert.serving import create_app
from distilbert.serving.served_models import ServedModel
from distilbert.serving.server_metrics import FAULTS

from .conftest import RunningServer, running

PATH = "/v1/text-classification"
ONE = {"inputs": "a good film"}


CONNECTIONS: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    while CONNECTIONS:
        CONNECTIONS.pop().close()


def raw(client: RunningServer, data: bytes = b"") -> socket.socket:
    """A connection of our own, which is closed at the end of the test."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20)
    CONNECTIONS.append(connection)
    connection.sendall(data)
    return connection


def post(body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (PATH.encode(), size, body)


def send_slowly(connection: socket.socket, data: bytes) -> None:
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def read_all(connection: socket.socket) -> bytes:
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


# Keys -----------------------------------------------------------------------------------------------------------------


def test_a_server_with_keys_asks_for_one(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(b) or compare(a, b))
    with serve("labels", api_keys=["first", "second"]) as client:
        assert client.get("/health").status_code == 200
        for headers in ({}, {"authorization": "Bearer third"}, {"authorization": "first"}, {"x-api-key": "fir"}):
            response = client.post(PATH, json=ONE, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/metrics", "/v1/models", "/info"):
            assert client.get(path).status_code == 401
        compared.clear()
        for headers in ({"authorization": "Bearer first"}, {"authorization": "bearer second"}, {"x-api-key": "first"}):
            assert client.post(PATH, json=ONE, headers=headers).status_code == 200
            assert compared == [b"first", b"second"], "every key is compared, whichever it is"
            compared.clear()


def test_keys_come_from_the_environment(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILBERT_API_KEY", "one, two")
    with serve("labels") as client:
        assert client.post(PATH, json=ONE).status_code == 401
        assert client.post(PATH, json=ONE, headers={"x-api-key": "two"}).status_code == 200


def test_reloading_over_http_needs_a_key(served: RunningServer, serve: Callable[..., Any]) -> None:
    assert "--api-key" in served.error("/v1/models/labels/reload", status=403)
    with serve("labels", api_keys="k") as client:
        assert client.post("/v1/models/labels/reload").status_code == 401
        assert client.post("/v1/models/labels/reload", headers={"x-api-key": "k"}).json()["loaded"] is True
        assert client.post("/v1/models/none/reload", headers={"x-api-key": "k"}).status_code == 404


# Sizes ----------------------------------------------------------------------------------------------------------------


def test_a_text_of_ten_million_characters_is_refused(served: RunningServer) -> None:
    start = time.perf_counter()
    message = served.error(PATH, {"inputs": "word " * 2_000_000, "model": "labels"}, 413)
    assert "10,000,000 characters; a text may have 1,000,000" in message
    assert time.perf_counter() - start < 10
    served.answer(PATH, ONE)


def test_a_body_that_is_too_long_is_refused(serve: Callable[..., Any]) -> None:
    with serve("labels", max_body=1000) as client:
        assert "longer than 1,000 bytes" in client.error(PATH, {"inputs": "a" * 2000}, 413)
        chunks = iter([b'{"inputs": "', *[b"a" * 100] * 20, b'"}'])
        response = client.post(PATH, content=chunks)  # in chunks, so its length is not said before
        assert response.status_code == 413
        client.answer(PATH, ONE)


def test_ten_thousand_inputs_are_answered_and_more_are_refused(served: RunningServer) -> None:
    texts = [f"film {index % 1000} is good" for index in range(10_000)]
    answers = served.answer(PATH, {"inputs": texts, "model": "labels"})
    assert len(answers) == 10_000
    # Some batches have fewer tokens than the engine's cache of projections needs, so equal texts differ by rounding.
    for first, second in zip(answers[:1000], answers[1000:2000], strict=True):
        assert first["label"] == second["label"]
        assert first["score"] == pytest.approx(second["score"], abs=1e-6)
    assert "may have 10,000 inputs, got 10,001" in served.error(PATH, {"inputs": [*texts, "a"]}, 413)


# Clients --------------------------------------------------------------------------------------------------------------


def test_a_request_of_a_client_that_has_gone_is_not_computed(serve: Callable[..., Any]) -> None:
    with serve("labels") as client:
        service = client.application.service
        held = threading.Event()
        service._threads.run_in_engine(lambda: held.wait(20))
        for index in range(20):
            raw(client, post(b'{"inputs": "film %d"}' % index)).close()
        deadline = time.monotonic() + 10
        while client.application.metrics.value("distilbert_abandoned_requests") < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        held.set()
        client.answer(PATH, ONE)
        text = client.get("/metrics").text
        assert "distilbert_batch_sequences_sum 1.0" in text
        assert "distilbert_abandoned_requests_total 20.0" in text
        assert service.admission.requests == 0


def test_half_of_the_headers_and_half_of_a_body_are_not_waited_for_long(serve: Callable[..., Any]) -> None:
    with serve("labels", slow_client_timeout=0.4) as client:
        connections = [raw(client, post(b'{"inputs": ')[:30]), raw(client, b""), raw(client, b"P")]
        half = raw(client, post(b'{"inputs": "a', 5000))
        start = time.monotonic()
        assert b"408" in read_all(half).split(b"\r\n")[0]
        for connection in connections:
            assert read_all(connection) == b""
        assert time.monotonic() - start < 5
        client.answer(PATH, ONE)


def test_a_body_that_does_not_begin_is_not_waited_for_long(serve: Callable[..., Any]) -> None:
    with serve("labels", slow_client_timeout=0.4) as client:
        assert b"408" in read_all(raw(client, post(b"", 10))).split(b"\r\n")[0]


def test_a_body_that_nobody_reads_does_not_hold_its_connection(serve: Callable[..., Any]) -> None:
    with serve("labels", slow_client_timeout=0.4) as client:
        connection = raw(client, post(b"", 10).replace(PATH.encode(), b"/nothing"))
        answer = connection.recv(65536)
        assert b"404" in answer.split(b"\r\n")[0]
        connection.sendall(b"a")  # a byte of the body ends uvicorn's own watch over idle connections
        assert read_all(connection) == b""


def test_a_client_that_sends_a_byte_now_and_then_does_not_hold_its_connection(serve: Callable[..., Any]) -> None:
    with serve("labels", slow_client_timeout=0.5) as client:
        connection = raw(client)
        start = time.monotonic()
        with pytest.raises(OSError):
            send_slowly(connection, post(b"{}") * 100)
        assert time.monotonic() - start < 5


def test_a_client_that_does_not_read_its_answer_is_dropped(serve: Callable[..., Any]) -> None:
    with serve("encoder", slow_client_timeout=0.5) as client:
        body = json.dumps({"inputs": ["a good film " * 15] * 1000}).encode()
        head = b"POST /v1/feature-extraction HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        connection = socket.socket()
        CONNECTIONS.append(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((client.base_url.host, client.base_url.port))
        connection.sendall(head + body)  # an answer of some megabytes
        time.sleep(3)
        assert len(read_all(connection)) < 15_000_000
        client.answer("/v1/feature-extraction", ONE)


def test_a_thousand_idle_connections_disturb_nobody(served: RunningServer) -> None:
    for _ in range(1000):
        raw(served)
    start = time.perf_counter()
    for _ in range(20):
        served.answer(PATH, ONE)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "data", [b"\x00\xff\xfe", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"]
)
def test_what_is_no_http_is_refused(served: RunningServer, data: bytes) -> None:
    connection = raw(served, data + b"\r\n\r\n")
    assert read_all(connection).startswith(b"HTTP/1.1 400")


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"


@pytest.mark.parametrize(
    "body", [b"Content-Length: 24\r\n\r\n%s", b"Transfer-Encoding: chunked\r\n\r\n18\r\n%s\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_a_request_that_asks_for_http_2_is_answered_with_its_body(
    served: RunningServer, caplog: pytest.LogCaptureFixture, body: bytes, pause: float
) -> None:
    head, _, rest = (body % b'{"inputs":"a good film"}').partition(b"\r\n\r\n")
    connection = raw(served, b"POST %s HTTP/1.1\r\nHost: a\r\n%s%s\r\n\r\n" % (PATH.encode(), H2C, head))
    time.sleep(pause)
    connection.sendall(rest + b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answers = read_all(connection)
    assert answers.startswith(b"HTTP/1.1 200")
    assert answers.count(b"HTTP/1.1 ") == 2
    assert answers.endswith(b'{"status":"live"}')
    assert "WebSocket" not in caplog.text


def test_the_body_of_a_request_that_asks_for_an_upgrade_is_no_request(served: RunningServer) -> None:
    body = b"GET /health/live HTTP/1.1\r\nHost: evil\r\n\r\n"
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % (PATH.encode(), len(body))
    connection = raw(served, head + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    time.sleep(0.1)
    connection.sendall(body + b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answers = read_all(connection)
    assert answers.startswith(b"HTTP/1.1 400")
    assert b'"live"' not in answers
    assert answers.endswith(b'{"status":"ready"}')


def test_a_page_that_asks_for_an_upgrade_is_sent(served: RunningServer) -> None:
    for kind in ("h2c", "websocket"):
        response = served.get("/health", headers={"connection": "Upgrade", "upgrade": kind})
        assert response.json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("start", "endless", "status", "fault"),
    [
        (b"GET /health HTTP/1.1\r\nx: ", b"a", b"431", "headers"),
        (b"GET /health HTTP/1.1\r\n", b"x: y\r\n", b"431", "headers"),
        (b"GET /", b"a", b"414", "url"),
        (b"HELLO\r\n\r\n", b"a", b"400", "syntax"),
    ],
)
def test_requests_that_cannot_be_read_are_refused_and_counted(
    serve: Callable[..., Any], start: bytes, endless: bytes, status: bytes, fault: str
) -> None:
    with serve("labels", api_keys=["k"], slow_client_timeout=1) as client:
        connection = raw(client, start + endless * (200_000 // len(endless)))
        assert read_all(connection).startswith(b"HTTP/1.1 " + status)
        counts = {each: client.application.metrics.value("distilbert_unreadable_requests", each) for each in FAULTS}
        assert counts == dict.fromkeys(FAULTS, 0) | {fault: 1}


def test_headers_of_a_usual_size_and_long_bodies_are_read(serve: Callable[..., Any]) -> None:
    with serve("labels") as client:
        for _ in range(3):
            body = {"inputs": ["a good film"] * 10_000}
            assert client.post(PATH, json=body, headers={"x-long": "a" * 30_000}).status_code == 200


def test_a_compressed_body_is_refused(served: RunningServer) -> None:
    for headers in ({}, {"content-type": "application/x-ndjson"}):
        response = served.post(PATH, content=b"\x1f\x8b", headers={"content-encoding": "gzip"} | headers)
        assert response.status_code == 415
        assert "'gzip'" in response.json()["error"]
    assert served.post(PATH, json=ONE, headers={"content-encoding": "identity"}).status_code == 200


# Deadlines ------------------------------------------------------------------------------------------------------------


def test_a_busy_server_refuses_and_says_when_to_come_back(serve: Callable[..., Any]) -> None:
    with serve("labels", max_tokens_queued=20) as client, ThreadPoolExecutor(30) as pool:
        held = threading.Event()
        client.application.service._threads.run_in_engine(lambda: held.wait(20))
        answers = [pool.submit(client.post, PATH, json={"inputs": f"film {index}"}) for index in range(30)]
        deadline = time.monotonic() + 10
        while sum(answer.done() for answer in answers) < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        held.set()
        statuses = [answer.result().status_code for answer in answers]
        assert set(statuses) == {200, 429}
        refused = next(answer.result() for answer in answers if answer.result().status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error_type"] == "overloaded"
        client.answer(PATH, ONE)


def test_a_request_whose_deadline_passes_in_the_queue_is_refused(serve: Callable[..., Any]) -> None:
    with serve("labels") as client, ThreadPoolExecutor(2) as pool:
        held = threading.Event()
        client.application.service._threads.run_in_engine(lambda: held.wait(20))
        late = pool.submit(client.post, PATH, json=ONE, headers={"x-request-timeout-ms": "200"})
        time.sleep(0.4)
        held.set()
        response = late.result()
        assert response.status_code == 429
        assert "x-request-timeout-ms" in response.json()["error"]


@pytest.mark.parametrize("value", ["0", "-1", "a", "1.5", "9999999999999"])
def test_a_timeout_must_be_a_number(served: RunningServer, value: str) -> None:
    assert "x-request-timeout-ms" in served.error(PATH, ONE, 400, headers={"x-request-timeout-ms": value})


def test_a_priority_must_be_a_small_number(served: RunningServer) -> None:
    assert served.post(PATH, json=ONE, headers={"x-request-priority": "-3"}).status_code == 200
    assert "x-request-priority" in served.error(PATH, ONE, 400, headers={"x-request-priority": "11"})


# Failures -------------------------------------------------------------------------------------------------------------


def test_a_batch_that_fails_takes_nobody_along_but_the_text_at_fault(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = EngineRunner.__call__
    with serve("labels") as client, ThreadPoolExecutor(8) as pool:
        bad = client.answer("/tokenize", {"inputs": "water"})[0][1]["id"]

        def fail(self: EngineRunner, batch: Batch) -> Any:
            if bad in batch.input_ids:
                raise RuntimeError("/secret/path is broken")
            return run(self, batch)

        monkeypatch.setattr(EngineRunner, "__call__", fail)
        texts = ["a good film", "water", "the river", "berlin"]
        with client.together(len(texts)):
            answers = [pool.submit(client.post, PATH, json={"inputs": text}) for text in texts]
        assert [answer.result().status_code for answer in answers] == [200, 500, 200, 200]
        assert "secret" not in answers[1].result().text
    assert "secret" in caplog.text, "the log has it"


def test_an_input_that_fails_is_named(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run = EngineRunner.__call__
    with serve("labels") as client:
        bad = client.answer("/tokenize", {"inputs": "water"})[0][1]["id"]

        def overflow(self: EngineRunner, batch: Batch) -> Any:
            if bad in batch.input_ids:
                raise InputError("The model's logits are not finite.")
            return run(self, batch)

        monkeypatch.setattr(EngineRunner, "__call__", overflow)
        message = client.error(PATH, {"inputs": ["a film", "the water", "a river"]})
        assert message == "inputs[1]: The model's logits are not finite."


def test_a_model_that_cannot_be_read_again_goes_on_and_no_path_is_told(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "secret-place" / "labels"
    shutil.copytree(model_folder("labels"), folder)
    with running([f"labels={folder}"], api_keys="k") as client:
        client.headers["x-api-key"] = "k"
        before = client.answer(PATH, ONE)
        (folder / "model.safetensors").write_bytes(b"broken")
        response = client.post("/v1/models/labels/reload")
        assert response.status_code == 503
        assert "secret-place" not in response.text
        assert client.answer(PATH, ONE) == before


@pytest.mark.parametrize("api_keys", [(), ("k",)])
def test_a_folder_that_is_gone_is_not_looked_for_elsewhere(
    model_folder: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    api_keys: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder("labels"), "labels")
    with running(["labels"], api_keys=api_keys) as client:
        client.headers["x-api-key"] = "k"
        shutil.move("labels", "elsewhere")
        if api_keys:
            assert client.post("/v1/models/labels/reload").status_code == 503
            assert client.post(PATH, json=ONE).status_code == 200, "it goes on with what it had"
        else:
            client.application.models.by_name["labels"].unload()
            assert client.post(PATH, json=ONE).status_code == 503
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [(each.message, each.exc_info) for each in errors] == [
        (f"The model labels cannot be loaded: the folder is gone: {tmp_path / 'labels'}", None)
    ]


def test_a_folder_that_is_gone_is_no_fault_of_other_models(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder("labels"), tmp_path / "labels")
    with running([str(folder), str(model_folder("entities"))], memory_limit=100_000) as client:
        shutil.rmtree(folder)
        client.answer("/v1/token-classification", ONE)


def test_requests_are_answered_while_a_model_warms_up(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, full = EngineRunner.__call__, 1000

    def run_slowly(self: EngineRunner, batch: Batch) -> Any:
        if len(batch.input_ids) > full:
            time.sleep(0.5)
        return run(self, batch)

    with serve("labels", "entities", api_keys="k") as client, ThreadPoolExecutor(1) as pool:
        client.headers["x-api-key"] = "k"
        monkeypatch.setattr(EngineRunner, "__call__", run_slowly)
        reloading = pool.submit(client.post, "/v1/models/entities/reload")
        longest, answered = 0.0, 0
        while not reloading.done():
            start = time.perf_counter()
            client.answer(PATH, ONE)
            longest, answered = max(longest, time.perf_counter() - start), answered + 1
        assert reloading.result().status_code == 200
    assert answered >= 3
    assert longest < 1.0, "it waits for a batch of the warm-up, and not for all of them"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", PATH, 405), ("PUT", PATH, 405)]
)
def test_paths_and_methods_that_do_not_exist(served: RunningServer, method: str, path: str, status: int) -> None:
    response = served.request(method, path)
    assert response.status_code == status
    assert response.json()["error_type"]
    if status == 405:
        assert response.headers["allow"] == "POST"


def test_pages_of_other_origins_may_call_only_where_that_is_asked_for(
    served: RunningServer, serve: Callable[..., Any]
) -> None:
    headers = {"origin": "https://example.org"}
    assert "access-control-allow-origin" not in served.post(PATH, json=ONE, headers=headers).headers
    with serve("labels", cors=["https://example.org"]) as client:
        response = client.post(PATH, json=ONE, headers=headers)
        assert response.headers["access-control-allow-origin"] == "https://example.org"
        other = client.post(PATH, json=ONE, headers={"origin": "https://example.com"})
        assert "access-control-allow-origin" not in other.headers
    for origin in ("*", "http://localhost:3000", "https://[::1]:8443", "app://page"):
        with serve("labels", cors=origin) as client:
            assert client.post(PATH, json=ONE, headers={"origin": origin}).status_code == 200


# Settings -------------------------------------------------------------------------------------------------------------


def test_settings_that_cannot_work_are_refused(model_folder: Callable[[str], Path]) -> None:
    folder = str(model_folder("labels"))
    with pytest.raises(UnknownArgumentError, match="Did you mean 'timeout'"):
        create_app(folder, time_out=5)
    wrong_origins: list[dict[str, Any]] = [
        {"cors": origin} for origin in ("example.com", "https://a/", "https://", "https://A.org", "https://a.org b")
    ]
    others: list[dict[str, Any]] = [
        {"timeout": 0},
        {"threads": 0},
        {"log_format": "xml"},
        {"api_keys": [""]},
        {"max_body": -1},
    ]
    for wrong in [*wrong_origins, *others]:
        with pytest.raises(InputError):
            create_app(folder, **wrong)
    with pytest.raises(ModelNotFoundError):
        create_app("./no-such-folder")
    with pytest.raises(InputError, match="Two models have the name"):
        create_app([folder, folder])


# Memory ---------------------------------------------------------------------------------------------------------------


def test_models_leave_the_memory_when_idle_and_come_back(serve: Callable[..., Any]) -> None:
    with serve("labels", "entities", idle_unload=0.3) as client:
        loaded = client.application.models.by_name["labels"]
        before = client.answer(PATH, ONE)
        deadline = time.monotonic() + 10
        while loaded.loaded is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [each["loaded"] for each in client.get("/v1/models").json()["data"]] == [False, False]
        assert client.answer(PATH, ONE) == before
        assert 'distilbert_model_loads_total{model="labels"} 2.0' in client.get("/metrics").text


@pytest.mark.parametrize("body", [{"inputs": "a good film", "parameters": {"top_k": 2}}, {"inputs": ["a film"] * 300}])
@pytest.mark.parametrize("how", ["unload", "reload"])
def test_a_model_that_leaves_the_memory_is_freed(serve: Callable[..., Any], how: str, body: Any) -> None:
    with serve("labels") as client:
        client.answer(PATH, body)
        model = client.application.models.by_name["labels"]
        freed = [weakref.ref(each) for each in (model.loaded.get("text-classification"), *model.loaded.runners)]
        getattr(model, how)()
        deadline = time.monotonic() + 10
        while any(each() is not None for each in freed) and time.monotonic() < deadline:
            time.sleep(0.02)
        gc.collect()
        assert [each() for each in freed] == [None] * len(freed)


def test_a_model_that_is_loaded_slowly_is_not_idle_at_once(serve: Callable[..., Any]) -> None:
    with serve("labels", idle_unload=100) as client:
        model = client.application.models.by_name["labels"]
        model.unload()
        model.last_used -= 1000  # as if it took so long to load since the request came
        model.load()
        client.application.models.unload_idle()
        assert model.loaded is not None


def test_models_share_a_limited_memory(serve: Callable[..., Any]) -> None:
    with serve("labels", "entities", memory_limit=100_000) as client:
        names = client.application.models.by_name
        assert (names["labels"].loaded is None, names["entities"].loaded is None) == (False, True)
        client.answer("/v1/token-classification", ONE)
        assert (names["labels"].loaded is None, names["entities"].loaded is None) == (True, False)
        client.answer(PATH, ONE)
        names["labels"].pending = 1
        assert "does not fit into the memory limit" in client.error("/v1/token-classification", ONE, 503)


def test_a_model_that_is_larger_than_the_memory_limit_is_refused_at_the_start(model_folder: Any) -> None:
    folder = model_folder("labels")
    size = (folder / "model.safetensors").stat().st_size
    with pytest.raises(InputError, match=f"takes {-(-size // 1000)} kB, and the memory limit is 1 kB, so it could"):
        create_app(str(folder), memory_limit=1000)


def test_two_models_that_are_loaded_at_once_share_a_limited_memory(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_task = ServedModel.load_task
    both = threading.Barrier(2)

    def load_together(self: ServedModel, name: str) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return load_task(self, name)

    with serve("labels", "entities", memory_limit=100_000) as client, ThreadPoolExecutor(2) as pool:
        models = list(client.application.models.by_name.values())
        for model in models:
            model.unload()
        monkeypatch.setattr(ServedModel, "load_task", load_together)
        answers = [pool.submit(client.post, path, json=ONE) for path in (PATH, "/v1/token-classification")]
        assert 200 in [answer.result().status_code for answer in answers]
        assert sum(model.loaded is not None for model in models) == 1


def test_a_model_that_is_read_again_shares_a_limited_memory(serve: Callable[..., Any]) -> None:
    with serve("labels", "entities", memory_limit=100_000, api_keys="k") as client:
        client.headers["x-api-key"] = "k"
        names = client.application.models.by_name
        assert client.post("/v1/models/entities/reload").json()["loaded"] is True
        assert (names["labels"].loaded is None, names["entities"].loaded is None) == (True, False)
        assert client.post("/v1/models/entities/reload").json()["loaded"] is True
        names["entities"].pending = 1
        assert "does not fit into the memory limit" in client.error("/v1/models/labels/reload", status=503)


# Figures and log ------------------------------------------------------------------------------------------------------


def test_every_figure_is_there_from_zero(serve: Callable[..., Any]) -> None:
    with serve("labels") as client:
        text = client.get("/metrics").text
        for line in (
            'distilbert_requests_total{route="/v1/text-classification",status="429"} 0.0',
            'distilbert_inputs_total{model="labels",task="text-classification"} 0.0',
            "distilbert_queued_requests 0.0",
            "distilbert_ready 1.0",
            "te_request_count 0.0",
            "te_request_success 0.0",
            'te_request_failure{err="overloaded"} 0.0',
            "te_queue_size 0.0",
            'te_request_duration_bucket{le="+Inf"} 0.0',
            "te_batch_next_tokens_count 0.0",
        ):
            assert line in text, line
        client.answer(PATH, ONE)
        client.error(PATH, {}, 422)
        text = client.get("/metrics").text
        assert "te_request_success 2.0" in text, "the first look at the figures counts"
        assert 'te_request_failure{err="validation"} 1.0' in text
        assert 'distilbert_request_seconds_count{model="labels"} 1.0' in text


def test_the_log_has_a_line_of_json_for_every_request_and_no_text(
    serve: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with serve("labels", log_format="json") as client:
        client.answer(PATH, {"inputs": ["a secret text"] * 2})
        client.get("/a-secret-path")
        client.error(PATH, {"secret": 1}, 422)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [(each["method"], each["route"], each["status"]) for each in lines] == [
        ("POST", PATH, 200),
        ("GET", "other", 404),
        ("POST", PATH, 422),
    ]
    assert (lines[0]["model"], lines[0]["inputs"], lines[0]["client"]) == ("labels", 2, "127.0.0.1")
    assert lines[0]["tokens"] > 0
    assert "secret" not in json.dumps(lines)


def test_every_answer_is_counted_and_logged_under_its_path(
    serve: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with serve("labels", log_format="json", cors="https://a.org") as client:
        asked = {"origin": "https://a.org", "access-control-request-method": "POST"}
        assert client.options(PATH, headers=asked).status_code == 200
        assert client.options(PATH, headers=asked | {"origin": "https://b.org"}).status_code == 400
        assert client.options("/nothing", headers=asked).status_code == 200
        assert client.get(PATH).status_code == 405
        assert client.put("/v1/models/labels").status_code == 405
        text = client.get("/metrics").text
    for route, status in ((PATH, 200), (PATH, 400), ("other", 200), (PATH, 405), ("/v1/models/{name}", 405)):
        assert f'distilbert_requests_total{{route="{route}",status="{status}"}} 1.0' in text
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [(each["method"], each["route"], each["status"]) for each in lines[:5]] == [
        ("OPTIONS", PATH, 200),
        ("OPTIONS", PATH, 400),
        ("OPTIONS", "other", 200),
        ("GET", PATH, 405),
        ("PUT", "/v1/models/{name}", 405),
    ]


def test_models_are_listed(served: RunningServer) -> None:
    models = {each["id"]: each for each in served.get("/v1/models").json()["data"]}
    assert models["labels"]["task"] == "text-classification"
    assert models["labels"]["labels"] == ["anger", "joy", "fear", "love", "surprise"]
    assert "zero-shot-classification" in models["nli"]["tasks"]
    assert "zero-shot-classification" not in models["labels"]["tasks"]
    assert served.get("/v1/models/labels").json() == models["labels"]
    assert served.get("/v1/models/none").status_code == 404


def test_the_engine_goes_on_after_an_error_of_its_own(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serve("labels") as client:
        service = client.application.service

        def fail(*_: Any) -> None:
            raise RuntimeError("counting failed")

        monkeypatch.setattr(service._threads, "_on_batch", fail)
        assert client.post(PATH, json=ONE).status_code == 200, "its answer was there already"
        monkeypatch.setattr(service._threads, "_run", fail)
        assert client.post(PATH, json=ONE).status_code == 500
        monkeypatch.undo()
        assert client.post(PATH, json=ONE).status_code == 200
        assert not len(service._threads.queue)
    assert "counting failed" in caplog.text
