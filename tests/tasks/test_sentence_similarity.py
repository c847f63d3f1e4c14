"""Sentence similarity: cosines of features, in both forms of input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distilbert.core.errors import InputError


def test_cosines_are_those_of_the_features(make_task: Any) -> None:
    task, features = make_task("sentence-similarity", "encoder"), make_task("feature-extraction", "encoder")
    texts = ["I love music", "she likes films", "the river"]
    for pooling in ("mean", "cls"):
        source, *others = (np.array(features(text, pooling=pooling, normalize=True)) for text in texts)
        cosines = task({"source_sentence": texts[0], "sentences": texts[1:]}, pooling=pooling)
        assert cosines == pytest.approx([float(source @ vector) for vector in others], abs=1e-5)
    pair = task((texts[0], texts[1]))
    assert pair == task({"text": texts[0], "text_pair": texts[1]})
    assert task([(texts[0], texts[1]), (texts[0], texts[0])]) == pytest.approx([pair, 1.0], abs=1e-5)
    with pytest.raises(InputError, match="pair of texts, got 3 entries"):
        task(("a", "b", "c"))
    with pytest.raises(InputError, match=r"\['sentences'\] must be a list"):
        task({"source_sentence": "a", "sentences": "b"})
