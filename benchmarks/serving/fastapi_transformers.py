"""What most people write: FastAPI around transformers' pipeline, one call for each request. Run by uvicorn."""

from __future__ import annotations

import os
from typing import Any

import torch
import transformers
from fastapi import FastAPI
from pydantic import BaseModel

torch.set_num_threads(int(os.environ.get("THREADS", "2")))
classify = transformers.pipeline("text-classification", model=os.environ["MODEL"], device="cpu")
app = FastAPI()


class Request(BaseModel):
    """The body of a request."""

    inputs: str


@app.post("/predict")
def predict(request: Request) -> Any:
    """Classify a text."""
    return classify(request.inputs, truncation=True)
