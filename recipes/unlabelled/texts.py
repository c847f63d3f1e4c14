"""Make texts without labels for a task: texts of other sets, and the task's own, put together anew."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

Row = dict[str, object]
Pair = tuple[str, str]
PAIRS = {  # the columns of both texts
    "mrpc": ("sentence1", "sentence2"),
    "stsb": ("sentence1", "sentence2"),
    "rte": ("sentence1", "sentence2"),
    "mnli": ("premise", "hypothesis"),
}
SPLITS = Path("models/tasks/splits")  # of recipes/tasks/splits.py
SPLIT = ("wikigold", "imdb")  # the tasks whose parts lie there
NEAREST = 2  # texts that a text of the task is paired with, besides its own
NAME = re.compile(r"(?<=\s)(?:[A-Z]\w+(?: [A-Z]\w+)*|\d[\d,.]*\d)")  # of a cloze question: names and numbers
WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")  # and punctuation by itself, as in data with tags
PRONOUNS = ("He", "She", "It", "They", "I")  # that begin a sentence whose rest is an ending


def file_of(data: Path, task: str, part: str) -> Path:
    """Return the file of a part of a set."""
    if task in SPLIT:
        (path,) = SPLITS.glob(f"{task}-{part}.*")
    else:
        (path,) = (data / {"mnli": "mnli-10k"}.get(task, task)).glob(f"{part}.*")
    return path


def read_rows(data: Path, task: str, part: str = "train") -> list[dict[str, str]]:
    """Read the rows of a set as a dict of its columns."""
    path = file_of(data, task, part)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".tsv":
        return list(csv.DictReader(text.rstrip("\n").split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE))
    return [json.loads(line) for line in text.rstrip("\n").split("\n")]


def read_pairs(data: Path, task: str, part: str = "train") -> list[Pair]:
    """Read the pairs of texts of a set."""
    first, second = PAIRS[task]
    return [(row[first], row[second]) for row in read_rows(data, task, part)]


def paragraphs(data: Path, every: int = 25, folder: str = "*") -> Iterator[list[str]]:
    """Yield every 25th paragraph of Wikipedia and of the books, or of one folder of both, as its sentences."""
    number = 0
    for path in sorted((data / "text").glob(f"{folder}/*.txt")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            number += bool(line)
            if line and number % every == 0:
                yield re.split(r"(?<=[.!?])\s+(?=[A-Z\"'“])", line.strip())


def sentences(data: Path, shortest: int, longest: int, folder: str = "*") -> Iterator[str]:
    """Yield the sentences of these paragraphs that have so many words."""
    for paragraph in paragraphs(data, folder=folder):
        yield from (sentence for sentence in paragraph if shortest <= len(sentence.split()) <= longest)


def alter(sentence: str, words: list[str], draw: random.Random) -> str:
    """Return a sentence with one word moved, left out, said twice or replaced, which mostly makes it ungrammatical."""
    parts = sentence.split()
    place = draw.randrange(len(parts))
    change = draw.choice(("move", "drop", "repeat", "replace"))
    if change == "move":
        parts.insert(draw.randrange(len(parts)), parts.pop(place))
    elif change == "drop" and len(parts) > 2:
        del parts[place]
    elif change == "repeat":
        parts.insert(place, parts[place])
    else:
        parts[place] = draw.choice(words)
    return " ".join(parts)


def acceptability(data: Path, draw: random.Random) -> Iterator[Row]:
    """CoLA: its sentences with a word changed, three times each, and as many short sentences of paragraphs."""
    own = [row["sentence"] for row in read_rows(data, "cola")]
    words = [word for sentence in own for word in sentence.split()]
    altered = [alter(sentence, words, draw) for sentence in own for _ in range(3)]
    yield from ({"sentence": sentence} for sentence in altered)
    yield from ({"sentence": sentence} for sentence in islice(sentences(data, 4, 12), len(altered)))


def reviews(data: Path, draw: random.Random) -> Iterator[Row]:
    """SST-2: sentences of the reviews of IMDb, in lower case like its own."""
    for line in (SPLITS / "imdb-sentences.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n"):
        yield {"sentence": json.loads(line)["text"]}


def rests(data: Path, draw: random.Random) -> Iterator[Row]:
    """IMDb: the rests of long reviews, from the 150th word on; most of it is cut off in training."""
    for row in read_rows(data, "imdb"):
        words = row["text"].split()
        if len(words) >= 200:
            yield {"text": " ".join(words[150:])}


def requests(data: Path, draw: random.Random) -> Iterator[Row]:
    """CLINC-150: its requests with a word changed."""
    own = [row["text"] for row in read_rows(data, "clinc150")]
    words = [word for text in own for word in text.split()]
    yield from ({"text": alter(text, words, draw)} for text in own)


def untagged(folder: str, count: int) -> Callable[[Path, random.Random], Iterator[Row]]:
    """Return a maker of sentences of paragraphs that have a capital after their first word, as names do."""

    def make(data: Path, draw: random.Random) -> Iterator[Row]:
        found = (WORD.findall(sentence) for sentence in sentences(data, 6, 40, folder))
        named = (words for words in found if any(word[0].isupper() for word in words[1:]))
        yield from ({"words": words} for words in islice(named, count))

    return make


def nearest(texts: list[str], count: int) -> list[list[str]]:
    """Return for each text the texts that share the most of its words, by the cosine of TF-IDF."""
    vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    found = NearestNeighbors(metric="cosine").fit(vectors).kneighbors(vectors, count + 1, return_distance=False)
    return [[texts[place] for place in places if place != row][:count] for row, places in enumerate(found)]


def paired(task: str) -> Callable[[Path, random.Random], Iterator[Row]]:
    """Return the maker of pairs of a task: own texts with others like them, pairs of other sets, and neighbours."""

    def make(data: Path, draw: random.Random) -> Iterator[Row]:
        own = list(dict.fromkeys(read_pairs(data, task)))
        texts = list(dict.fromkeys(text for pair in own for text in pair))
        pairs = [(text, other) for text, others in zip(texts, nearest(texts, NEAREST), strict=True) for other in others]
        pairs = draw.sample(pairs, min(len(pairs), len(own)))
        pairs += [(second, first) for first, second in draw.sample(own, len(own) // 2)]
        others = [pair for other in PAIRS if other != task for pair in read_pairs(data, other)]
        pairs += draw.sample([pair for pair in others if sum(map(len, pair)) < 400], len(own))
        neighbours = (pair for paragraph in paragraphs(data) for pair in pairwise(paragraph))
        pairs += islice((pair for pair in neighbours if 40 < sum(map(len, pair)) < 300), len(own) // 2)
        first, second = PAIRS[task]
        yield from ({first: one, second: two} for one, two in pairs)

    return make


def endings(data: Path, draw: random.Random) -> Iterator[Row]:
    """CODAH: its contexts with endings of contexts with the same last word; sentences of paragraphs, cut in two."""
    own = read_rows(data, "codah")
    by_subject: dict[str, list[str]] = {}
    for row in own:
        by_subject.setdefault(row["context"].split()[-1], []).extend(row["choices"])
    every = [ending for row in own for ending in row["choices"]]
    for row in own * 2:
        kept = draw.sample(list(row["choices"]), draw.choice((1, 2)))
        fitting = by_subject[row["context"].split()[-1]]
        yield _choice(row["context"], kept, fitting if len(fitting) > 12 else every, draw)
    cut = []
    for before, sentence in (pair for paragraph in paragraphs(data) for pair in pairwise(paragraph)):
        words = sentence.split()
        if 6 <= len(words) <= 20 and len(before.split()) <= 20 and words[0] in PRONOUNS:
            cut.append((f"{before} {words[0]}", " ".join(words[1:])))
    cut = draw.sample(cut, min(len(cut), len(own) * 2))
    others = [ending for _, ending in cut]
    for context, ending in cut:
        yield _choice(context, [ending], others, draw)


def _choice(context: str, kept: list[str], others: list[str], draw: random.Random) -> Row:
    """Return a context with four endings, in any order: those to keep, and others."""
    choices = [*kept, *draw.sample([other for other in others if other not in kept], 4 - len(kept))]
    return {"context": context, "question": "", "choices": draw.sample(choices, 4)}


def questions(data: Path, draw: random.Random) -> Iterator[Row]:
    """SQuAD: its questions on the paragraph of the same article that is most like their own, and cloze questions.

    A cloze question is a sentence of a paragraph of Wikipedia with a name or a number replaced by "what". People would
    not ask so; the teacher's answers still show how it looks for a part of a sentence.
    """
    for article in json.loads((data / "squad/train.json").read_text(encoding="utf-8"))["data"]:
        contexts = [paragraph["context"] for paragraph in article["paragraphs"]]
        if len(contexts) > 2:
            others = nearest(contexts, 1)
            for paragraph, (other,) in zip(article["paragraphs"], others, strict=True):
                asked = draw.sample(paragraph["qas"], (len(paragraph["qas"]) + 1) // 2)
                yield from ({"question": question["question"], "context": other} for question in asked)
    made = 0
    for paragraph in paragraphs(data, 11):
        if 60 <= sum(len(sentence.split()) for sentence in paragraph) <= 150 and made < 3500:
            sentence = draw.choice(paragraph)
            found = list(NAME.finditer(sentence))
            if found and len(sentence.split()) >= 8:
                span = draw.choice(found)
                made += 1
                yield {
                    "question": f"{sentence[: span.start()]}what{sentence[span.end() :]}".rstrip(".") + "?",
                    "context": " ".join(paragraph),
                }


MAKERS: dict[str, Callable[[Path, random.Random], Iterator[Row]]] = {
    "sst2": reviews,
    "cola": acceptability,
    "mrpc": paired("mrpc"),
    "stsb": paired("stsb"),
    "rte": paired("rte"),
    "mnli": paired("mnli"),
    "clinc150": requests,
    "wnut17": untagged("*", 6000),
    "squad": questions,
    "codah": endings,
    "wikigold": untagged("wikipedia", 4000),
    "imdb": rests,
}


def held_out_texts(data: Path, task: str) -> set[str]:
    """Return the texts that the task is evaluated on, of which none may be trained on."""
    if task == "squad":
        articles = json.loads((data / "squad/dev.json").read_text(encoding="utf-8"))["data"]
        return {paragraph["context"] for article in articles for paragraph in article["paragraphs"]}
    if task in ("wnut17", "wikigold"):
        blocks = re.split(r"\n\s*\n", file_of(data, task, "dev").read_text(encoding="utf-8").strip())
        return {" ".join(line.split()[0] for line in block.split("\n")) for block in blocks}
    columns = PAIRS.get(task, ("sentence", "context", "text"))
    return {row[column] for row in read_rows(data, task, "dev") for column in columns if column in row}


def texts_of(row: Row) -> list[str]:
    """Return the texts of a row; one that is given as words is one text."""
    return [" ".join(value) if isinstance(value, list) else str(value) for value in row.values()]


def write_texts(task: str, data: Path, path: Path, seed: int = 42) -> None:
    """Write the texts of a task to a file of JSON lines, each once and none that the task is evaluated on."""
    held_out = held_out_texts(data, task)
    rows: Iterable[Row] = MAKERS[task](data, random.Random(seed))
    lines = dict.fromkeys(json.dumps(row) + "\n" for row in rows if not held_out.intersection(texts_of(row)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
