"""Damaged and hostile files of a tokenizer end in an answer or in a DistilBertError, within a second."""

from __future__ import annotations

import copy
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.errors import DistilBertError, TokenizerError
from distilbert.text.added_tokens import AddedToken
from distilbert.text.tokenizer import DistilBertTokenizer

from .helpers import CLASSES, SMALL_VOCAB

FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 3, 10**9, 2**64, 1e300, float("nan"), float("inf"), "", "a", "[CLS]", "\ud800", "\0",
    "##", "x" * 2000, [], {}, [[]], [None], ["a", 1], {"a": 1}, {"content": "a"}, {"type": "Sequence"},
    {"type": "WordPiece"}, {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}, [{"id": 1}], "right",
    "BertNormalizer",
]  # fmt: skip
TEXTS = ["The cafés, playing!", "[MASK] <x> a\0b 中", "", "a" * 300]


def mutate_json(content: Any, random_numbers: random.Random) -> Any:
    """Replace, remove, add or swap a value somewhere in the content of a JSON file."""
    content = copy.deepcopy(content)
    for _ in range(random_numbers.randint(1, 3)):
        parent = content
        key: Any = None
        while isinstance(parent, (dict, list)) and parent:
            key = (
                random_numbers.choice(list(parent))
                if isinstance(parent, dict)
                else random_numbers.randrange(len(parent))
            )
            if not isinstance(parent[key], (dict, list)) or not parent[key] or random_numbers.random() < 0.4:
                break
            parent = parent[key]
        if not isinstance(parent, (dict, list)) or not parent:
            return copy.deepcopy(random_numbers.choice(VALUES))
        action = random_numbers.random()
        if action < 0.7:
            parent[key] = copy.deepcopy(random_numbers.choice(VALUES))
        elif action < 0.85:
            del parent[key]
        elif isinstance(parent, dict):
            parent[random_numbers.choice(["a", "type", "id", "model_max_length", "vocab"])] = random_numbers.choice(
                VALUES
            )
        else:
            parent.append(copy.deepcopy(random_numbers.choice(VALUES)))
    return content


def mutate_bytes(content: bytes, random_numbers: random.Random) -> bytes:
    """Flip, remove, insert or cut bytes."""
    data = bytearray(content)
    for _ in range(random_numbers.randint(1, 4)):
        place = random_numbers.randrange(len(data) + 1)
        action = random_numbers.randrange(4)
        if action == 0 and place < len(data):
            data[place] ^= 1 << random_numbers.randrange(8)
        elif action == 1:
            del data[place : place + random_numbers.randint(1, 20)]
        elif action == 2:
            data[place:place] = random_numbers.choice([b"\n", b"\0", b"\xff", b'"', b"{", b"]", b"\n\n", b"\xe4\xb8"])
        else:
            del data[place:]
    return bytes(data)


def write_damaged(folder: Path, pristine: dict[str, bytes], random_numbers: random.Random) -> None:
    for name in FILES:
        (folder / name).write_bytes(pristine[name])
    for name in random_numbers.sample(FILES, random_numbers.randint(1, 2)):
        if name == "vocab.txt" and random_numbers.random() < 0.9:
            (folder / "tokenizer.json").unlink(missing_ok=True)
        if name.endswith(".json") and random_numbers.random() < 0.75:
            content = mutate_json(json.loads(pristine[name]), random_numbers)
            (folder / name).write_text(json.dumps(content))
        else:
            (folder / name).write_bytes(mutate_bytes(pristine[name], random_numbers))


def use(tokenizer: Any, folder: Path) -> None:
    batch = tokenizer(TEXTS, TEXTS, truncation=True, max_length=12, padding=True, return_offsets_mapping=True)
    for ids in tokenizer.encode_ids(TEXTS):
        tokenizer.decode(ids, skip_special_tokens=True)
    tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    repr(tokenizer)
    tokenizer.add_tokens(["<new>"])
    tokenizer("a <new>")
    tokenizer.save_pretrained(folder / "saved")


def count_outcomes(folder: Path, n_cases: int, seed: int) -> Counter[str]:
    """Try damaged folders with both classes; any other exception than a DistilBertError ends the test."""
    tokenizer = DistilBertTokenizer(
        vocab=SMALL_VOCAB, added_tokens=["<x>", AddedToken("do", lstrip=True)], additional_special_tokens=["[Q]"]
    )
    pristine = {Path(path).name: Path(path).read_bytes() for path in tokenizer.save_pretrained(folder)}
    outcomes: Counter[str] = Counter()
    for case in range(n_cases):
        random_numbers = random.Random(seed * 1_000_000 + case)
        write_damaged(folder, pristine, random_numbers)
        start = time.perf_counter()
        try:
            use(CLASSES[case % 2].from_pretrained(folder), folder)
            outcomes["answer"] += 1
        except DistilBertError as error:
            outcomes[type(error).__name__ if len(str(error)) < 1000 else "long message"] += 1
        except BaseException as error:
            error.add_note(f"case {case} of seed {seed}")
            raise
        assert time.perf_counter() - start < 5, f"case {case} took {time.perf_counter() - start:.1f} s"
    return outcomes


def test_a_few_damaged_folders(tmp_path: Path) -> None:
    outcomes = count_outcomes(tmp_path, 200, seed=1)
    assert outcomes["answer"] > 20
    assert outcomes["TokenizerError"] > 50
    assert not outcomes["long message"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_damaged_folders(tmp_path: Path) -> None:
    outcomes = count_outcomes(tmp_path, 5_000, seed=2)
    print(dict(outcomes))
    assert outcomes.keys() <= {"answer", "TokenizerError", "InputError"}


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "deep JSON": lambda folder: (folder / "tokenizer.json").write_text("[" * 100_000),
    "deep JSON in the config": lambda folder: (folder / "tokenizer_config.json").write_text('{"a":' * 100_000),
    "a number of many digits": lambda folder: (folder / "tokenizer_config.json").write_text(
        '{"model_max_length": ' + "9" * 10_000 + "}"
    ),
    **{
        f"a greatest length of {value!r:.12}": lambda folder, value=value: (
            folder / "tokenizer_config.json"
        ).write_text(json.dumps({"model_max_length": value}))
        for value in (-(2**63), -1, 0, True, 3.5, float("nan"), "512", "", [], {}, -(10**400))
    },
    "a directory": lambda folder: ((folder / "tokenizer.json").unlink(), (folder / "tokenizer.json").mkdir()),
    "a file of many gigabytes": lambda folder: _sparse(folder / "tokenizer.json", 10**11),
    "a vocabulary of many gigabytes": lambda folder: (
        (folder / "tokenizer.json").unlink(),
        _sparse(folder / "vocab.txt", 10**11),
    ),
    "a large id": lambda folder: _change_vocab(folder, {"a": 4_000_000_000}),
    "a negative id": lambda folder: _change_vocab(folder, {"a": -1}),
    "an id that is not whole": lambda folder: _change_vocab(folder, {"a": 1.5}),
    "half of a character": lambda folder: _change_vocab(folder, {"\ud83d": 5}),
    "an empty vocabulary": lambda folder: _change_vocab(folder, None),
}


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _change_vocab(folder: Path, entries: dict[str, Any] | None) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"] = {} if entries is None else {**content["model"]["vocab"], **entries}
    (folder / "tokenizer.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("cls", CLASSES)
def test_hostile_files_are_refused_at_once(cls: type[Any], name: str, tmp_path: Path) -> None:
    cls(vocab=SMALL_VOCAB).save_pretrained(tmp_path)
    HOSTILE[name](tmp_path)
    start = time.perf_counter()
    if name == "a directory":  # then vocab.txt decides
        assert cls.from_pretrained(tmp_path)("a").input_ids == [2, 5, 3]
    else:
        with pytest.raises(TokenizerError) as caught:
            cls.from_pretrained(tmp_path)("a")
        assert len(str(caught.value)) < 500
    assert time.perf_counter() - start < 2
