"""FastAPI around ONNX Runtime, with dynamic batches: whatever waits when the session is free is the next batch.

It is written as somebody would who knows the field: the fast tokenizer, one padded batch of similar lengths, a thread
for the session. Run by uvicorn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
from fastapi import FastAPI, Response
from pydantic import BaseModel
from tokenizers import Tokenizer

BATCH = 32
LONGEST = 512
folder = Path(os.environ["MODEL"])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("THREADS", "2"))
session = onnxruntime.InferenceSession(os.environ["ONNX"], options, providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(os.environ["TOKENIZER"])
tokenizer.enable_truncation(LONGEST)
tokenizer.enable_padding(pad_id=0)
labels = {int(key): name for key, name in orjson.loads((folder / "config.json").read_bytes())["id2label"].items()}
Waiting = tuple[str, "asyncio.Future[dict[str, Any]]"]


def compute(texts: list[str]) -> list[dict[str, Any]]:
    """Classify texts in one padded batch."""
    encodings = tokenizer.encode_batch(texts)
    ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
    mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
    (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    best = scores.argmax(axis=1)
    return [{"label": labels[int(index)], "score": float(row[index])} for row, index in zip(scores, best, strict=True)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run batches as long as the server runs."""
    app.state.queue = asyncio.Queue()
    task = asyncio.create_task(run_batches(app.state.queue))
    yield
    task.cancel()


async def run_batches(queue: asyncio.Queue[Waiting]) -> None:
    """Answer whatever waits, the oldest first; of these few, those of similar length together."""
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    while True:
        waiting = [await queue.get()]
        while not queue.empty() and len(waiting) < 2 * BATCH:
            waiting.append(queue.get_nowait())
        waiting.sort(key=lambda entry: len(entry[0]))
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            answers = await loop.run_in_executor(thread, compute, [text for text, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)


app = FastAPI(lifespan=lifespan)


class Request(BaseModel):
    """The body of a request."""

    inputs: str


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Classify a text."""
    future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    await app.state.queue.put((request.inputs, future))
    return Response(orjson.dumps(await future), media_type="application/json")
