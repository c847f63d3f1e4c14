"""``prepare``: the token cache of a corpus, made by several processes or on a Ray cluster, shard by shard.

This process reads the documents and writes the tokens; workers tokenize. Every worker has a thread here, which takes
the next shard, waits for its tokens and writes them. What is written is used again after a kill, and the cache in the
end has the bytes that one process would have written.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError, DistilBertError, LostProcessError, UsageError
from ..data.corpus import Sources, documents
from ..engine.precision import count_cores
from ..models.auto import AutoTokenizer
from ..text.tokenizer_base import TokenizerBase
from ..training.corpus.document_encoding import TokenShard
from ..training.corpus.token_cache import OnTokenized, fingerprint, open_cache, write_cache
from ..training.corpus.token_shards import SHARD_CHARACTERS, Documents, ShardFolder, cut_shards, encode_or_explain
from .ray_workers import check_layout, connected, workers_that_fit
from .worker_threads import run_workers

COMMAND = (sys.executable, "-m", "distilbert.cluster.token_process")
MOST_LOSSES = 3  # of workers at one shard


@dataclass(frozen=True)
class PreparedCorpus:
    """A token cache.

    Attributes:
        folder: of the cache. ``cache=`` of a run is its parent.
        documents: with at least one token.
        tokens: of all documents, each followed by one ``[SEP]``.
        reused: shards that an earlier, unfinished call had tokenized; -1: the whole cache was there.
        seconds: that it took.
    """

    folder: Path
    documents: int
    tokens: int
    reused: int
    seconds: float


class TokenWorker(ABC):
    """What tokenizes shards, one at a time."""

    def encode(self, shard: Documents) -> TokenShard:
        """Tokenize documents, however often what tokenizes them dies, up to a limit.

        Raises:
            DistilBertError: the tokenizer cannot.
            LostProcessError: it died too often, or was stopped.
        """
        for _ in range(MOST_LOSSES):
            answer = self.ask(shard)
            if isinstance(answer, TokenShard):
                return answer
            if answer is not None:
                raise DistilBertError(f"A shard cannot be tokenized: {answer}")
        raise LostProcessError(
            f"The process that tokenizes died {MOST_LOSSES} times at one shard, which begins with "
            f"{shard[0][0][:60]!r}. Is there too little memory?"
        )

    @abstractmethod
    def ask(self, shard: Documents) -> TokenShard | str | None:
        """Return the tokens of documents, or in words why they cannot be had; None if what tokenizes died meanwhile."""

    @abstractmethod
    def stop(self) -> None:
        """End at once; :meth:`encode` in another thread fails."""

    def close(self) -> None:
        """End, when there is nothing left to do."""
        self.stop()


def prepare(
    sources: Sources,
    tokenizer: str | os.PathLike[str] | TokenizerBase,
    cache: str | os.PathLike[str],
    *,
    workers: int | None = None,
    ray: str = "",
    column: str = "text",
    encoding: str = "",
    shard_characters: int = SHARD_CHARACTERS,
    on_tokenized: OnTokenized | None = None,
) -> PreparedCorpus:
    """Tokenize a corpus in parallel, for runs of ``distill`` and ``pretrain`` with the same ``cache``.

    A call that was interrupted or killed goes on where it stopped. The result equals that of one process to the byte.

    Args:
        sources: files, folders or addresses of text, see :class:`~distilbert.DistillConfig`.
        tokenizer: or the folder or name of a model, whose tokenizer is used: the teacher of the run to come.
        cache: folder of all caches.
        workers: processes; None: one for each core, or for each CPU of the cluster.
        ray: address of a Ray cluster whose actors tokenize, ``"local"`` for one on this machine; empty: processes.
        column: the column of the text, where there are columns.
        encoding: of files of text; empty for UTF-8.
        shard_characters: of text in a shard.
        on_tokenized: called with the documents and tokens so far.

    Raises:
        DataError: a source cannot be read, or the sources contain no token.
        LostProcessError: workers died too often at one shard.
        MissingExtraError: Ray, or what opens an address, is not installed.
        UsageError: a number is less than 1, the workers do not fit into the cluster, or another process prepares the
            same corpus in this folder.
    """
    start = time.perf_counter()
    for name, value in (("workers", workers), ("shard_characters", shard_characters)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, got {value}.")
    loaded = tokenizer if isinstance(tokenizer, TokenizerBase) else AutoTokenizer.from_pretrained(tokenizer)
    parent, identity = Path(cache), fingerprint(sources, loaded, column, encoding)
    there = open_cache(parent / identity)
    if there is not None:
        return PreparedCorpus(parent / identity, len(there.ends), len(there.tokens), -1, time.perf_counter() - start)
    folder = ShardFolder(parent / f".{identity}.shards.tmp", identity, shard_characters)
    try:
        work = _Preparation(folder, cut_shards(documents(sources, column, encoding), folder.characters), on_tokenized)
        with ExitStack() as resources:
            work.run(_ray_workers(ray, workers, loaded, resources) if ray else _processes(workers, loaded))
        with write_cache(parent, identity, sources, loaded) as writer:
            for number in range(work.count):
                shard = folder.read(number)
                if shard is None:
                    raise DataError(f"{folder.folder} was changed while the corpus was prepared: start again.")
                writer.add(shard)
        folder.remove()
    finally:
        folder.close()
    return PreparedCorpus(parent / identity, writer.documents, writer.tokens, work.reused, time.perf_counter() - start)


class _Preparation:
    """The shards of one call: which come next, which are done.

    Args:
        folder: where they are written.
        shards: of documents, in order.
        on_tokenized: called with the documents and tokens so far.

    Attributes:
        count: of shards so far.
        reused: of them were there.
    """

    def __init__(self, folder: ShardFolder, shards: Iterator[Documents], on_tokenized: OnTokenized | None) -> None:
        self._folder, self._shards, self._on_tokenized = folder, enumerate(shards), on_tokenized
        self._lock = threading.Lock()
        self.count = self.reused = 0
        self._documents = self._tokens = 0

    def run(self, workers: Sequence[TokenWorker]) -> None:
        """Tokenize all shards that are missing, a thread for each worker."""
        run_workers(workers, self._tokenize_next, "The preparation was stopped.")

    def _tokenize_next(self, worker: TokenWorker) -> bool:
        taken = self._next()
        if taken is None:
            return False
        number, shard = taken
        tokens = worker.encode(shard)
        self._folder.write(number, tokens)
        with self._lock:
            self._add(tokens)
        return True

    def _next(self) -> tuple[int, Documents] | None:
        """Return the next shard that is missing, and its number."""
        with self._lock:
            for number, shard in self._shards:
                self.count = number + 1
                there = self._folder.read(number)
                if there is None:
                    return number, shard
                self.reused += 1
                self._add(there)
            return None

    def _add(self, tokens: TokenShard) -> None:
        self._documents += len(tokens.lengths)
        self._tokens += len(tokens.ids)
        if self._on_tokenized is not None:
            self._on_tokenized(self._documents, self._tokens)


class TokenProcess(TokenWorker):
    """A process of this machine that tokenizes; it is started again when it dies.

    Args:
        tokenizer: what tokenizes.
        command: that starts the process.
    """

    def __init__(self, tokenizer: TokenizerBase, command: tuple[str, ...] = COMMAND) -> None:
        self._tokenizer, self._command = tokenizer, command
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    def ask(self, shard: Documents) -> TokenShard | str | None:
        """See :class:`TokenWorker`."""
        try:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            pickle.dump(shard, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            answer: TokenShard | str = pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            self._end()
            return None
        return answer

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._is_stopped = True
        self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_stopped:
                raise LostProcessError("The worker was stopped.")
            if self._process is None:
                environment = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
                )
                assert self._process.stdin is not None
                pickle.dump(self._tokenizer, self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            return self._process

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            process.wait()


def _processes(workers: int | None, tokenizer: TokenizerBase) -> list[TokenProcess]:
    return [TokenProcess(tokenizer) for _ in range(workers or count_cores())]


class _TokenActor:
    """What runs in an actor."""

    def __init__(self, tokenizer: TokenizerBase) -> None:
        self._tokenizer = tokenizer

    def encode(self, shard: Documents) -> TokenShard | str:
        """See :func:`.token_shards.encode_or_explain`."""
        return encode_or_explain(shard, self._tokenizer)


class RayTokenWorker(TokenWorker):
    """An actor of a Ray cluster that tokenizes; another takes its place when its machine is lost.

    Args:
        ray: the library, connected.
        tokenizer: what tokenizes, in the object store.
    """

    def __init__(self, ray: Any, tokenizer: Any) -> None:
        self._ray, self._tokenizer = ray, tokenizer
        self._start: Callable[[], Any] = lambda: ray.remote(num_cpus=1)(_TokenActor).remote(tokenizer)
        self._actor = self._start()

    def ask(self, shard: Documents) -> TokenShard | str | None:
        """See :class:`TokenWorker`."""
        try:
            answer: TokenShard | str = self._ray.get(self._actor.encode.remote(shard))
        except self._ray.exceptions.RayActorError:
            self._actor = self._start()
            return None
        return answer

    def stop(self) -> None:
        """End the actor."""
        self._ray.kill(self._actor)


def _ray_workers(
    address: str, workers: int | None, tokenizer: TokenizerBase, resources: ExitStack
) -> list[RayTokenWorker]:
    ray = resources.enter_context(connected(address))
    room = workers_that_fit(ray.nodes(), threads=1)
    check_layout(workers or room, 1, room)
    shared = ray.put(tokenizer)
    return [RayTokenWorker(ray, shared) for _ in range(workers or room)]
