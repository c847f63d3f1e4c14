"""What a stage of the GPU run is told: the device, the sizes, and where its data and its own folders are.

Nothing heavy is imported before it is needed, so that a stage that needs no framework starts at once.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from distilbert import DistilBertConfig

TINY = {"dim": 64, "n_heads": 2, "hidden_dim": 128, "n_layers": 2, "initializer_range": 0.2}  # head dim 32
TINY_TEXT = 20_000  # characters
LOW = {"fp16": "float16", "bf16": "bfloat16"}
SEED = 0


class StageFailed(Exception):
    """A stage found something wrong; what it measured is kept.

    Attributes:
        figures: for the result file.
    """

    def __init__(self, figures: dict[str, Any]) -> None:
        super().__init__("the stage failed; see its figures")
        self.figures = figures


@dataclass(frozen=True)
class Setting:
    """How and where a stage runs.

    Attributes:
        device: ``"cuda"`` or ``"cpu"``.
        tiny: a rehearsal: small models, few texts, one round.
        files: the folder that ``make gpu-files`` filled.
        scratch: of all stages of a run; lost afterwards.
        output: of this stage; every file in it comes back.
    """

    device: str
    tiny: bool
    files: Path
    scratch: Path
    output: Path

    @cached_property
    def torch_device(self) -> torch.device:
        """The device as PyTorch names it."""
        import torch

        return torch.device(self.device, 0) if self.device == "cuda" else torch.device("cpu")

    @property
    def rounds(self) -> int:
        """Rounds of a measurement in turn."""
        return 1 if self.tiny else 5

    @property
    def vocabulary(self) -> Path:
        """The vocabulary file, uncased."""
        return self.files / "vocab.txt"

    def sentences(self) -> list[str]:
        """Return the sentences of SST-2 dev."""
        return self._texts("sentences.jsonl")[: 8 if self.tiny else None]

    def reviews(self) -> list[str]:
        """Return 256 film reviews of 20 to 2,000 words."""
        return self._texts("reviews.jsonl")[: 2 if self.tiny else None]

    def labelled(self) -> list[tuple[str, int]]:
        """Return sentences with a label, 0 or 1, to fine-tune on."""
        lines = (self.files / "labelled.jsonl").read_text(encoding="utf-8").splitlines()
        return [(row["text"], row["label"]) for row in map(json.loads, lines)]

    def paragraphs(self) -> list[str]:
        """Return the files of plain text to distil on, one paragraph a line."""
        path = self.files / "paragraphs.txt"
        if self.tiny:
            text = path.read_text(encoding="utf-8")[:TINY_TEXT]
            path = self.output.parent / "paragraphs.txt"
            path.write_text(text, encoding="utf-8")
        return [str(path)]

    def config(self, **changes: Any) -> DistilBertConfig:
        """Return the configuration of DistilBERT-base, or of something tiny with the same vocabulary."""
        from distilbert import DistilBertConfig

        vocab_size = len(self.vocabulary.read_text(encoding="utf-8").splitlines())
        return DistilBertConfig(**{"vocab_size": vocab_size} | (TINY if self.tiny else {}) | changes)

    def classifier(self) -> Path:
        """Return the folder of a classifier with random weights, drawn from a seed; written on the first call."""
        import torch

        import distilbert

        folder = self.scratch / "classifier"
        if not folder.exists():
            torch.manual_seed(SEED)
            written = Path(tempfile.mkdtemp(dir=self.scratch))
            distilbert.DistilBertForSequenceClassification(self.config()).save_pretrained(written)
            distilbert.DistilBertTokenizer(self.vocabulary).save_pretrained(written)
            with contextlib.suppress(OSError):  # another stage was faster
                written.rename(folder)
        return folder

    def synchronize(self) -> None:
        """Wait for the GPU, before a clock is read."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()

    def _texts(self, name: str) -> list[str]:
        lines = (self.files / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
