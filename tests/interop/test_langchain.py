"""An Encoder where LangChain expects embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from distilbert import Encoder
from tests.training.fitting.tiny_encoder import write_encoder

vectorstores = pytest.importorskip("langchain_core.vectorstores")


def test_a_vector_store_takes_an_encoder(tmp_path_factory: pytest.TempPathFactory) -> None:
    encoder = Encoder(str(write_encoder(tmp_path_factory.mktemp("encoder"), "a cat sleeps the bank raised rates")))
    store = vectorstores.InMemoryVectorStore(encoder)
    store.add_texts(["a cat sleeps", "the bank raised rates"])
    (found,) = store.similarity_search("a cat sleeps", k=1)
    assert found.page_content == "a cat sleeps"
    np.testing.assert_allclose(encoder.embed_query("a cat"), encoder.embed_documents(["a cat"])[0], atol=1e-6)
