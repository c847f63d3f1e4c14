"""The routes of other servers: what their clients send, and what they expect."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert.serving import tei_routes
from distilbert.serving.http_exchange import to_json
from distilbert.tasks import pipeline
from tests.tasks.inputs import close

from .conftest import RunningServer, running

TEXTS = ["a good film", "the river in Berlin", "water"]
LABELS = ["anger", "joy", "fear", "love", "surprise"]  # of the model "labels"


@pytest.fixture(scope="session")
def vectors(model_folder: Callable[[str], Path]) -> np.ndarray:
    embed = pipeline("feature-extraction", model_folder("encoder"), precision="fp32", pooling="auto", normalize=True)
    return np.array(embed(TEXTS))


# text-embeddings-inference --------------------------------------------------------------------------------------------


def test_embed(served: RunningServer, vectors: np.ndarray) -> None:
    assert np.allclose(served.answer("/embed", {"inputs": TEXTS}), vectors, atol=1e-5)
    assert np.allclose(served.answer("/embed", {"inputs": TEXTS[0]}), vectors[:1], atol=1e-5)
    plain = served.answer("/embed", {"inputs": TEXTS, "normalize": False})
    assert np.allclose(plain / np.linalg.norm(plain, axis=1, keepdims=True), vectors, atol=1e-5)
    assert not np.allclose(plain, vectors, atol=1e-2)


def test_embed_gives_the_headers_of_tei(served: RunningServer) -> None:
    headers = served.post("/embed", json={"inputs": TEXTS}).headers
    assert int(headers["x-compute-tokens"]) == sum(len(each) for each in served.answer("/tokenize", {"inputs": TEXTS}))
    assert int(headers["x-compute-characters"]) == sum(map(len, TEXTS))
    for name in ("x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"):
        assert headers[name].isdigit()


def test_embed_shortens_vectors(served: RunningServer, vectors: np.ndarray) -> None:
    short = np.array(served.answer("/embed", {"inputs": TEXTS, "dimensions": 7}))
    expected = vectors[:, :7] / np.linalg.norm(vectors[:, :7], axis=1, keepdims=True)
    assert np.allclose(short, expected, atol=1e-5)
    assert "24 numbers" in served.error("/embed", {"inputs": TEXTS, "dimensions": 25})


def test_embed_takes_ids_of_tokens(served: RunningServer, vectors: np.ndarray) -> None:
    ids = [[token["id"] for token in each] for each in served.answer("/tokenize", {"inputs": TEXTS})]
    bare = [each[1:-1] for each in ids]
    assert np.allclose(served.answer("/embed", {"inputs": ids}), vectors, atol=1e-5)
    assert np.allclose(served.answer("/embed", {"inputs": bare}), vectors, atol=1e-5)
    assert "Token ids of this model" in served.error("/embed", {"inputs": [[99_999]]})


def test_embed_truncates_where_asked(served: RunningServer) -> None:
    text = "the river " * 200
    whole = served.post("/embed", json={"inputs": text})
    cut = served.post("/embed", json={"inputs": text, "truncate": True})
    assert int(cut.headers["x-compute-tokens"]) == 64 < int(whole.headers["x-compute-tokens"])
    assert "Right" in served.error("/embed", {"inputs": text, "truncation_direction": "Left"})


def test_embed_all(served: RunningServer) -> None:
    tokens = served.answer("/embed_all", {"inputs": TEXTS})
    assert [len(each) for each in tokens] == [len(each) for each in served.answer("/tokenize", {"inputs": TEXTS})]
    assert len(tokens[0][0]) == 24


def test_predict(served: RunningServer, model_folder: Callable[[str], Path]) -> None:
    classify = pipeline("text-classification", model_folder("labels"), precision="fp32", top_k=None)
    body = {"model": "labels"}
    assert close(served.answer("/predict", {"inputs": TEXTS[0], **body}), classify(TEXTS[:1])[0])
    pair = classify({"text": TEXTS[0], "text_pair": TEXTS[1]})
    assert close(served.answer("/predict", {"inputs": TEXTS[:2], **body}), pair)
    both = served.answer("/predict", {"inputs": [[TEXTS[0]], TEXTS[:2]], **body})
    assert close(both, [classify(TEXTS[:1])[0], pair])
    (raw,) = classify(TEXTS[:1], function_to_apply="none")
    assert close(served.answer("/predict", {"inputs": TEXTS[0], "raw_scores": True, **body}), raw)


def test_rerank_by_a_classifier_with_one_output(served: RunningServer, model_folder: Callable[[str], Path]) -> None:
    score = pipeline("text-classification", model_folder("one-label"), precision="fp32")
    pairs = [{"text": "water", "text_pair": text} for text in TEXTS]
    expected = [each["score"] for each in score(pairs)]
    ranked = served.answer("/rerank", {"query": "water", "texts": TEXTS, "model": "one-label", "return_text": True})
    assert [each["index"] for each in ranked] == sorted(range(3), key=lambda index: -expected[index])
    assert all(abs(each["score"] - expected[each["index"]]) < 1e-5 for each in ranked)
    assert all(each["text"] == TEXTS[each["index"]] for each in ranked)


def test_rerank_by_a_bare_encoder(served: RunningServer, vectors: np.ndarray) -> None:
    ranked = served.answer("/rerank", {"query": TEXTS[0], "texts": TEXTS, "model": "encoder"})
    assert ranked[0]["index"] == 0
    assert all(abs(each["score"] - vectors[0] @ vectors[each["index"]]) < 1e-5 for each in ranked)


def test_a_model_that_does_not_rank_says_so(served: RunningServer) -> None:
    assert "does not rank" in served.error("/rerank", {"query": "a", "texts": ["b"], "model": "labels"}, 424)


def test_similarity(served: RunningServer, vectors: np.ndarray) -> None:
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}, "model": "encoder"}
    assert np.allclose(served.answer("/similarity", body), vectors @ vectors[0], atol=1e-5)


def test_tokenize_and_decode(served: RunningServer) -> None:
    (tokens,) = served.answer("/tokenize", {"inputs": "a good film"})
    assert [token["text"] for token in tokens] == ["[CLS]", "a", "good", "film", "[SEP]"]
    assert [token["special"] for token in tokens] == [True, False, False, False, True]
    assert (tokens[2]["start"], tokens[2]["stop"], tokens[0]["start"]) == (2, 6, None)
    ids = [token["id"] for token in tokens]
    assert served.answer("/decode", {"ids": ids}) == ["a good film"]
    assert served.answer("/decode", {"ids": [ids, ids]}) == ["a good film"] * 2
    assert "Token ids" in served.error("/decode", {"ids": [10**6]})


def test_too_much_at_once_is_neither_tokenized_nor_decoded(serve: Callable[..., Any]) -> None:
    with serve("labels", max_characters=100) as client:
        assert "100 characters together" in client.error("/tokenize", {"inputs": ["a" * 60] * 2}, 413)
        assert "100 token ids together" in client.error("/decode", {"ids": [[7] * 60] * 2}, 413)
        assert len(client.answer("/decode", {"ids": [[7] * 50] * 2})) == 2


@pytest.mark.parametrize(("path", "body"), [("/tokenize", {"inputs": "a good film"}), ("/decode", {"ids": [7, 8]})])
def test_others_are_answered_while_a_request_is_tokenized_or_decoded(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, path: str, body: Any
) -> None:
    begun, held = threading.Event(), threading.Event()

    def write_slowly(value: Any) -> bytes:
        begun.set()
        held.wait(30)
        return to_json(value)

    monkeypatch.setattr(tei_routes, "to_json", write_slowly)
    with serve("labels") as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.answer, path, body)
        try:
            assert begun.wait(30)
            assert client.get("/health/live", timeout=10).status_code == 200
        finally:
            held.set()
        assert answer.result()


def test_info(served: RunningServer) -> None:
    info = served.get("/info").json()
    assert info["model_id"] == "encoder"
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert info["max_input_length"] == 64


def test_info_has_the_pooling_of_the_folder(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder("encoder"), tmp_path / "encoder"))
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    with running([str(folder)]) as client:
        assert client.get("/info").json()["model_type"] == {"embedding": {"pooling": "cls"}}
        client.application.models.by_name["encoder"].unload()
        assert client.get("/info").json()["model_type"] == {"embedding": {"pooling": "cls"}}


def test_what_is_known_of_a_model_that_is_not_in_memory(serve: Callable[..., Any]) -> None:
    with serve("labels", "one-label", memory_limit=100_000) as client:
        models = client.application.models.by_name
        models["labels"].unload()
        info = client.get("/info").json()
        assert info["model_type"] == {"classifier": {"id2label": {str(n): name for n, name in enumerate(LABELS)}}}
        assert info["max_input_length"] == 64
        model = client.get("/v1/models/labels").json()
        assert (model["loaded"], model["labels"], model["max_tokens"]) == (False, LABELS, 64)
        body = {"query": "a", "texts": ["b"]}
        assert "does not rank" in client.error("/rerank", body | {"model": "labels"}, 424)
        client.answer("/v1/text-classification", {"inputs": "a", "model": "labels"})
        models["labels"].pending = 1
        assert "The model one-label takes" in client.error("/rerank", body, 503)


# OpenAI and vLLM ------------------------------------------------------------------------------------------------------


def test_embeddings_of_openai(served: RunningServer, vectors: np.ndarray) -> None:
    answer = served.answer("/v1/embeddings", {"input": TEXTS, "model": "encoder"})
    assert answer["object"] == "list"
    assert [each["index"] for each in answer["data"]] == [0, 1, 2]
    assert np.allclose([each["embedding"] for each in answer["data"]], vectors, atol=1e-5)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0
    body = {"input": TEXTS, "model": "encoder", "encoding_format": "base64"}
    packed = [base64.b64decode(each["embedding"]) for each in served.answer("/v1/embeddings", body)["data"]]
    assert np.allclose([np.frombuffer(each, "<f4") for each in packed], vectors, atol=1e-5)


def test_errors_of_openai_have_its_form(served: RunningServer) -> None:
    response = served.post("/v1/embeddings", json={"input": "a", "model": "text-embedding-3-small"})
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "There is no model 'text-embedding-3-small'" in error["message"]


def test_classify_of_vllm(served: RunningServer) -> None:
    answer = served.answer("/classify", {"input": TEXTS, "model": "labels"})
    first = answer["data"][0]
    assert first["num_classes"] == len(first["probs"]) == 5
    assert abs(sum(first["probs"]) - 1) < 1e-5
    assert first["label"] == served.answer("/predict", {"inputs": TEXTS[0], "model": "labels"})[0]["label"]


# Cohere and Jina ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_rerank_of_cohere_and_jina(served: RunningServer, path: str) -> None:
    body = {"model": "encoder", "query": TEXTS[1], "documents": TEXTS, "top_n": 2, "return_documents": True}
    answer = served.answer(path, body)
    assert len(answer["results"]) == 2
    best = answer["results"][0]
    assert best["index"] == 1
    assert best["document"] == {"text": TEXTS[1]}
    assert best["relevance_score"] > answer["results"][1]["relevance_score"]
    assert answer["usage"]["total_tokens"] > 0
    of_objects = served.answer(path, body | {"documents": [{"text": text} for text in TEXTS]})
    assert of_objects["results"] == answer["results"]


def test_errors_of_cohere_have_its_form(served: RunningServer) -> None:
    response = served.post("/v2/rerank", json={"query": "a", "documents": []})
    assert response.status_code == 422
    assert response.json().keys() == {"message"}


# The Open Inference Protocol ------------------------------------------------------------------------------------------


def tensor(name: str, *data: str) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": list(data)}


def test_health_and_metadata_of_the_inference_protocol(served: RunningServer) -> None:
    assert served.get("/v2/health/live").status_code == served.get("/v2/health/ready").status_code == 200
    assert served.get("/v2").json()["name"] == "distilbert"
    assert served.get("/v2/models/answers/ready").json()["ready"] is True
    metadata = served.get("/v2/models/answers").json()
    assert [each["name"] for each in metadata["inputs"]] == ["question", "context"]
    assert served.get("/v2/models/none/ready").status_code == 404


def test_inference_of_texts(served: RunningServer) -> None:
    answer = served.answer("/v2/models/labels/infer", {"id": "7", "inputs": [tensor("text", *TEXTS)]})
    assert (answer["id"], answer["model_name"]) == ("7", "labels")
    outputs = {each["name"]: each for each in answer["outputs"]}
    expected = served.answer("/v1/text-classification", {"inputs": TEXTS, "model": "labels"})
    assert outputs["label"]["data"] == [each["label"] for each in expected]
    assert [json.loads(each) for each in outputs["answer"]["data"]] == expected
    assert outputs["score"]["shape"] == [3]


def test_inference_of_several_columns(served: RunningServer) -> None:
    body = {"inputs": [tensor("question", "who"), tensor("context", "anna is in berlin")]}
    (output,) = served.answer("/v2/models/answers/infer", body)["outputs"]
    item = {"question": "who", "context": "anna is in berlin"}
    assert json.loads(output["data"][0]) == served.answer("/v1/question-answering", {"inputs": item})


def test_inference_of_vectors_is_a_tensor(served: RunningServer, vectors: np.ndarray) -> None:
    body = {"inputs": [tensor("text", *TEXTS)], "parameters": {"normalize": True}}
    (output,) = served.answer("/v2/models/encoder/infer", body)["outputs"]
    assert output["shape"] == [3, 24]
    assert np.allclose(np.reshape(output["data"], (3, 24)), vectors, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "list of tensors"),
        ([5], "must be an object"),
        ([{"name": "text", "shape": [1], "datatype": "FP32", "data": [1.0]}], "BYTES"),
        ([{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a"]}], "do not make the shape"),
        ([tensor("text", "a") | {"shape": [10**18] * 20}], "do not make the shape"),
        ([tensor("text", "a") | {"shape": [1] * 33}], "up to 32 numbers"),
        ([tensor("text", "a"), tensor("context", "a", "b")], "same number of rows"),
        ([tensor("text", "a"), tensor("other", "b")], "The tensors of text-classification are text, text_pair"),
    ],
)
def test_tensors_that_cannot_be_used(served: RunningServer, inputs: Any, message: str) -> None:
    assert message in served.error("/v2/models/labels/infer", {"inputs": inputs})


# huggingface_hub ------------------------------------------------------------------------------------------------------


def test_the_client_of_the_hub(served: RunningServer, vectors: np.ndarray) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def client(path: str) -> Any:
        return hub.InferenceClient(model=f"{served.base_url}{path}".replace("//models", "/models"))

    labels = client("/models/labels").text_classification("a good film")
    assert [each.label for each in labels] == [
        each["label"] for each in served.answer("/predict", {"inputs": "a good film", "model": "labels"})
    ]
    entities = client("/models/entities").token_classification("Anna lives in Berlin", aggregation_strategy="simple")
    body = {"inputs": "Anna lives in Berlin", "parameters": {"aggregation_strategy": "simple"}}
    assert [each.word for each in entities] == [each["word"] for each in served.answer("/v1/ner", body)]
    answer = client("/models/answers").question_answering(question="who", context="anna is in berlin")
    item = {"question": "who", "context": "anna is in berlin"}
    assert answer.answer == served.answer("/v1/question-answering", {"inputs": item})["answer"]
    features = client("/models/encoder").feature_extraction(TEXTS[0], normalize=True)
    assert np.allclose(features, vectors[:1], atol=1e-5)
    similar = client("/models/encoder").sentence_similarity(TEXTS[0], other_sentences=TEXTS)
    assert np.allclose(similar, vectors @ vectors[0], atol=1e-5)
    zero_shot = client("/models/nli").zero_shot_classification("a film", candidate_labels=["film", "water"])
    assert {each.label for each in zero_shot} == {"film", "water"}
    filled = client("/models/masked-lm").fill_mask("a [MASK] film", top_k=2)
    assert len(filled) == 2


def test_the_first_model_answers_at_the_root(served: RunningServer, vectors: np.ndarray) -> None:
    assert np.allclose(served.answer("/", {"inputs": TEXTS}), vectors, atol=1e-5)
