"""Official clients of other servers, unchanged, against ours: OpenAI's, huggingface_hub's, Cohere's and Triton's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from distilbert import pipeline
from tests.behaviour.make_models import make
from tests.server_process import serving

MODELS = ("encoder", "labels", "entities", "answers", "masked-lm", "nli", "one-label")
KEY = "a-key"
TEXTS = ["the river in paris", "a bad film", "john lives in new york"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name in MODELS:
        make(root, name)
    return root


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder, *MODELS, "--precision", "fp32", "--api-key", KEY) as found:
        yield found


def answers_of(folder: Path, task: str, model: str, inputs: Any, **parameters: Any) -> Any:
    return pipeline(task, folder / model, precision="fp32", threads=1)(inputs, **parameters)


def close(value: Any, expected: Any) -> None:
    np.testing.assert_allclose(value, expected, atol=1e-5)


class TestOpenAI:
    @pytest.fixture
    def client(self, address: str) -> Iterator[Any]:
        openai = pytest.importorskip("openai")
        with openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as opened:
            yield opened

    @pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}])
    def test_embeddings(self, client: Any, folder: Path, options: dict[str, Any]) -> None:
        answer = client.embeddings.create(model="encoder", input=TEXTS, **options)
        expected = answers_of(folder, "feature-extraction", "encoder", TEXTS, pooling="mean", normalize=True)
        close([entry.embedding for entry in answer.data], expected)
        assert [entry.index for entry in answer.data] == [0, 1, 2]
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 10

    def test_one_text_and_fewer_dimensions(self, client: Any) -> None:
        (entry,) = client.embeddings.create(model="encoder", input="a film", dimensions=8).data
        assert len(entry.embedding) == 8
        close(np.linalg.norm(entry.embedding), 1)

    def test_models(self, client: Any) -> None:
        assert [model.id for model in client.models.list()] == list(MODELS)
        assert client.models.retrieve("encoder").owned_by == "distilbert"

    def test_errors_are_those_that_it_knows(self, client: Any, address: str) -> None:
        openai = pytest.importorskip("openai")
        with pytest.raises(openai.NotFoundError, match="There is no model 'other'"):
            client.embeddings.create(model="other", input="a film")
        with pytest.raises(openai.UnprocessableEntityError, match="must be a text"):
            client.embeddings.create(model="encoder", input="")
        with (
            openai.OpenAI(base_url=f"{address}/v1", api_key="wrong") as other,
            pytest.raises(openai.AuthenticationError, match="needs a key"),
        ):
            other.embeddings.create(model="encoder", input="a")


class TestHub:
    @pytest.fixture
    def client(self, address: str) -> Any:
        from huggingface_hub import InferenceClient

        clients = {name: InferenceClient(model=f"{address}/models/{name}", token=KEY) for name in MODELS}
        return clients.__getitem__

    def test_feature_extraction(self, client: Any, folder: Path) -> None:
        vectors = client("encoder").feature_extraction(TEXTS, normalize=True)
        expected = answers_of(folder, "feature-extraction", "encoder", TEXTS, pooling="mean", normalize=True)
        close(vectors, expected)
        assert np.asarray(client("encoder").feature_extraction(TEXTS[0])).size == len(expected[0])

    def test_text_classification(self, client: Any, folder: Path) -> None:
        for options in ({}, {"top_k": 2}):
            found = client("labels").text_classification(TEXTS[0], **options)
            expected = answers_of(folder, "text-classification", "labels", TEXTS[0], **{"top_k": None, **options})
            assert [each.label for each in found] == [each["label"] for each in expected]
            close([each.score for each in found], [each["score"] for each in expected])

    def test_token_classification(self, client: Any, folder: Path) -> None:
        found = client("entities").token_classification(TEXTS[2], aggregation_strategy="simple")
        expected = answers_of(folder, "token-classification", "entities", TEXTS[2], aggregation_strategy="simple")
        assert expected
        for each, other in zip(found, expected, strict=True):
            assert (each.entity_group, each.start, each.end) == (other["entity_group"], other["start"], other["end"])
            close(each.score, other["score"])

    def test_question_answering(self, client: Any, folder: Path) -> None:
        question, context = "where does john live ?", TEXTS[2]
        found = client("answers").question_answering(question, context)
        expected = answers_of(folder, "question-answering", "answers", {"question": question, "context": context})
        assert (found.answer, found.start, found.end) == (expected["answer"], expected["start"], expected["end"])
        several = client("answers").question_answering(question, context, top_k=2)
        assert len(several) == 2

    def test_fill_mask(self, client: Any, folder: Path) -> None:
        found = client("masked-lm").fill_mask("the [MASK] in paris", top_k=3)
        expected = answers_of(folder, "fill-mask", "masked-lm", "the [MASK] in paris", top_k=3)
        assert [(each.token, each.token_str, each.sequence) for each in found] == [
            (each["token"], each["token_str"], each["sequence"]) for each in expected
        ]

    def test_zero_shot_classification(self, client: Any, folder: Path) -> None:
        labels = ["politics", "science", "sport"]
        found = client("nli").zero_shot_classification(TEXTS[0], labels)
        expected = answers_of(folder, "zero-shot-classification", "nli", TEXTS[0], candidate_labels=labels)
        assert [each.label for each in found] == expected["labels"]
        close([each.score for each in found], expected["scores"])

    def test_sentence_similarity(self, client: Any, folder: Path) -> None:
        found = client("encoder").sentence_similarity(TEXTS[0], TEXTS[1:])
        item = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
        close(found, answers_of(folder, "sentence-similarity", "encoder", item))

    def test_errors_say_what_is_wrong(self, client: Any) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        with pytest.raises(HfHubHTTPError) as caught:
            client("masked-lm").fill_mask("no mask")
        assert caught.value.response.status_code == 422


class TestCohere:
    @pytest.fixture
    def client(self, address: str) -> Iterator[Any]:
        cohere = pytest.importorskip("cohere")
        with httpx.Client() as connections:
            yield lambda version: getattr(cohere, version)(api_key=KEY, base_url=address, httpx_client=connections)

    @pytest.mark.parametrize("version", ["Client", "ClientV2"])
    def test_rerank(self, client: Any, folder: Path, version: str) -> None:
        query, documents = TEXTS[0], ["paris is a city", *TEXTS[1:]]
        item = {"source_sentence": query, "sentences": documents}
        scores = answers_of(folder, "sentence-similarity", "encoder", item)
        order = sorted(range(3), key=lambda index: -scores[index])
        answer = client(version).rerank(model="encoder", query=query, documents=documents, top_n=2)
        assert [result.index for result in answer.results] == order[:2]
        found = [result.relevance_score for result in answer.results]
        assert found == sorted(found, reverse=True)

    def test_errors_are_those_that_it_knows(self, client: Any) -> None:
        cohere = pytest.importorskip("cohere")
        with pytest.raises(cohere.NotFoundError, match="no model"):
            client("ClientV2").rerank(model="other", query="a", documents=["b"])

    def test_a_head_with_one_output_reranks(self, client: Any, folder: Path) -> None:
        answer = client("ClientV2").rerank(model="one-label", query=TEXTS[0], documents=TEXTS[1:])
        pairs = [{"text": TEXTS[0], "text_pair": text} for text in TEXTS[1:]]
        expected = [each["score"] for each in answers_of(folder, "text-classification", "one-label", pairs)]
        close([result.relevance_score for result in answer.results], sorted(expected, reverse=True))


class TestTriton:
    @pytest.fixture
    def http(self) -> Any:
        return pytest.importorskip("tritonclient.http")

    @pytest.fixture
    def client(self, http: Any, address: str) -> Iterator[Any]:
        opened = http.InferenceServerClient(address.removeprefix("http://"))
        yield opened
        opened.close()

    def infer(self, http: Any, client: Any, model: str, outputs: list[str], binary: bool, **columns: list[str]) -> Any:
        inputs = []
        for name, texts in columns.items():
            tensor = http.InferInput(name, [len(texts)], "BYTES")
            tensor.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
            inputs.append(tensor)
        wanted = [http.InferRequestedOutput(name, binary_data=binary) for name in outputs]
        return client.infer(model, inputs, outputs=wanted, headers={"Authorization": f"Bearer {KEY}"})

    def test_health_and_metadata(self, client: Any) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("labels", headers=headers)
        metadata = client.get_model_metadata("labels", headers=headers)
        assert [tensor["name"] for tensor in metadata["inputs"]] == ["text"]
        assert [tensor["name"] for tensor in metadata["outputs"]] == ["answer", "label", "score"]

    @pytest.mark.parametrize("binary", [False, True])
    def test_classification(self, http: Any, client: Any, folder: Path, binary: bool) -> None:
        result = self.infer(http, client, "labels", ["label", "score"], binary, text=TEXTS)
        expected = answers_of(folder, "text-classification", "labels", TEXTS)
        labels = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label")]
        assert labels == [each["label"] for each in expected]
        close(result.as_numpy("score"), [each["score"] for each in expected])

    @pytest.mark.parametrize("binary", [False, True])
    def test_vectors(self, http: Any, client: Any, folder: Path, binary: bool) -> None:
        result = self.infer(http, client, "encoder", ["embedding"], binary, text=TEXTS)
        close(result.as_numpy("embedding"), answers_of(folder, "feature-extraction", "encoder", TEXTS, pooling="auto"))

    def test_its_own_defaults(self, http: Any, client: Any, folder: Path) -> None:
        tensor = http.InferInput("text", [3], "BYTES")
        tensor.set_data_from_numpy(np.array(TEXTS, dtype=object))
        result = client.infer("labels", [tensor], headers={"Authorization": f"Bearer {KEY}"})
        expected = answers_of(folder, "text-classification", "labels", TEXTS)
        assert [json.loads(answer)["label"] for answer in result.as_numpy("answer")] == [
            each["label"] for each in expected
        ]

    def test_answers(self, http: Any, client: Any, folder: Path) -> None:
        question, context = "where does john live ?", TEXTS[2]
        result = self.infer(
            http, client, "answers", ["answer"], False, question=[question], context=[context]
        )  # fmt: skip
        (found,) = result.as_numpy("answer")
        expected = answers_of(folder, "question-answering", "answers", {"question": question, "context": context})
        assert json.loads(found)["answer"] == expected["answer"]

    def test_errors(self, http: Any, client: Any) -> None:
        utils = pytest.importorskip("tritonclient.utils")
        with pytest.raises(utils.InferenceServerException, match="There is no model"):
            self.infer(http, client, "other", ["answer"], False, text=["a"])
