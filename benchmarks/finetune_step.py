"""Fine-tuning on SST-2: speed and accuracy of ours and of a plain loop over transformers, measured in turn.

    python -m benchmarks.finetune_step [--rounds 5] [--steps 8] [--accuracy-rows 6400] [--seeds 3]

The plain loop is what most people write: `transformers`' DistilBERT, batches of 32 sentences padded to the longest,
fp32, AdamW, clipping at 1. Ours takes 32 sentences per step as well, without padding, in fp32 and in the precision that
``precision="auto"`` chooses on this machine. Two models are measured: all-MiniLM-L6-v2 (models/minilm, from
`make models/minilm`) and DistilBERT-base with random weights. Then both train the smaller model on the same rows, once
for each seed, and are evaluated.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from distilbert import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification
from distilbert.data.examples import TextExample
from distilbert.data.labelled import read_examples
from distilbert.data.labels import collect_labels
from distilbert.training.finetuning.encoded_examples import encode_examples
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetune_objective import FinetuneObjective
from distilbert.training.finetuning.labelled_batches import LabelledBatches
from distilbert.training.loop import optimizer_step
from distilbert.training.optimizer import learning_rate, make_optimizer
from distilbert.training.processes import bf16_is_faster, make_accelerator

from .common import best_and_median, data_folder, in_turn, write_result

MODEL = "models/minilm"
BATCH = 32


class Bench:
    """A model and some rows of SST-2.

    Args:
        model: folder of an encoder; None for DistilBERT-base with random weights.
        rows: training rows to read.
        seed: of heads, order and dropout.
    """

    def __init__(self, model: str | None, rows: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.folder = tempfile.TemporaryDirectory()
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        if model is None:
            start = DistilBertForSequenceClassification(DistilBertConfig())
        else:
            start = DistilBertForSequenceClassification.from_pretrained(model, num_labels=2)
        start.save_pretrained(self.folder.name)
        self.config = FinetuneConfig(
            task="text-classification",
            model=MODEL,
            train_data=[str(data_folder() / "sst2" / "train.tsv")],
            output="-",
            batch_size=BATCH,
            device="cpu",
            seed=seed,
        )
        examples = read_examples("text-classification", self.config.train_data).examples
        picked = np.random.default_rng(0).permutation(len(examples))[:rows]
        self.examples = [examples[index] for index in picked]
        self.labels = collect_labels("text-classification", self.examples)
        encoded = encode_examples(
            "text-classification", self.examples, self.labels, self.tokenizer, max_length=512, stride=128
        )
        self.batches = LabelledBatches(self.config, encoded)

    def ours(self, low: bool) -> tuple[Any, Callable[[int, int], None]]:
        """Return a model and a function that trains it for step N of M."""
        torch.manual_seed(self.config.seed)
        model = DistilBertForSequenceClassification.from_pretrained(self.folder.name).train()
        objective = FinetuneObjective(model, self.config, self.labels.problem)
        optimizer, accelerator = make_optimizer(objective, self.config), make_accelerator(self.config)
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=low)

        def take(number: int, steps: int) -> None:
            step = self.batches.step(number, 0, 1)
            rate = learning_rate(number, steps, self.config)
            optimizer_step(objective, optimizer, step, rate, number, self.config, accelerator, autocast)

        return model, take

    def plain(self) -> tuple[Any, Callable[[int, int], None]]:
        """Return a model of transformers and a function that trains it for step N of M."""
        torch.manual_seed(self.config.seed)
        model = transformers.DistilBertForSequenceClassification.from_pretrained(self.folder.name).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.config.learning_rate, weight_decay=0.0)
        order: dict[int, np.ndarray] = {}

        def take(number: int, steps: int) -> None:
            epoch, within = divmod(number, self.batches.steps_per_epoch)
            if epoch not in order:
                order[epoch] = np.random.default_rng((self.config.seed, epoch)).permutation(len(self.examples))
            batch = [self.examples[index] for index in order[epoch][within * BATCH : (within + 1) * BATCH]]
            inputs = self.tokenizer([example.text for example in batch], padding=True, return_tensors="pt")
            targets = torch.tensor([self.labels.index[str(example.label)] for example in batch])
            loss = model(inputs["input_ids"], inputs["attention_mask"], labels=targets).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(number, steps, self.config)
            optimizer.step()
            optimizer.zero_grad()

        return model, take


def accuracy(model: Any, tokenizer: Any, examples: list[TextExample], index: dict[str, int]) -> float:
    """Return the accuracy of a model of either library."""
    model.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(examples), BATCH):
            batch = examples[start : start + BATCH]
            inputs = tokenizer([example.text for example in batch], padding=True, return_tensors="pt")
            predicted = model(inputs["input_ids"], inputs["attention_mask"]).logits.argmax(dim=-1).tolist()
            right += sum(index[str(example.label)] == label for example, label in zip(batch, predicted, strict=True))
    return right / len(examples)


def speeds(model: str | None, rounds: int, steps: int) -> dict[str, Any]:
    """Return the sentences per second of all competitors."""
    bench = Bench(model, 64 * BATCH, seed=0)
    low = bf16_is_faster("cpu")
    takes = {"transformers, fp32, padded": bench.plain()[1], "ours, fp32": bench.ours(False)[1]}
    if low:
        takes["ours, bf16 (auto)"] = bench.ours(True)[1]

    def take_steps(take: Callable[[int, int], None]) -> Callable[[], None]:
        return lambda: [take(number, 1000) for number in range(steps)] and None

    competitors = {name: take_steps(take) for name, take in takes.items()}
    for run in competitors.values():  # first calls allocate and choose kernels
        run()
    seconds = in_turn(competitors, rounds)
    rates = {
        name: {kind: round(steps * BATCH / value, 1) for kind, value in best_and_median(times).items()}
        for name, times in seconds.items()
    }
    plain = rates["transformers, fp32, padded"]
    ratios = {
        name: {kind: round(rate[kind] / plain[kind], 2) for kind in rate}
        for name, rate in rates.items()
        if rate != plain
    }
    return {"sentences_per_second": rates, "faster_than_transformers": ratios}


def learned(rows: int, seeds: int) -> dict[str, Any]:
    """Return the accuracy of each competitor on SST-2's development set after an epoch, for each seed."""
    dev = read_examples("text-classification", [str(data_folder() / "sst2" / "dev.tsv")]).examples
    accuracies: dict[str, list[float]] = {"transformers, fp32, padded": [], "ours, auto": []}
    for seed in range(seeds):
        bench = Bench(MODEL, rows, seed)
        for name, (model, take) in zip(accuracies, (bench.plain(), bench.ours(bf16_is_faster("cpu"))), strict=True):
            steps = bench.batches.steps_per_epoch
            for number in range(steps):
                take(number, steps)
            accuracies[name].append(round(accuracy(model, bench.tokenizer, dev, bench.labels.index), 4))
    return {
        "rows": rows,
        "accuracy": accuracies,
        "mean": {name: round(statistics.mean(values), 4) for name, values in accuracies.items()},
        "standard_deviation": {
            name: round(statistics.stdev(values), 4) if len(values) > 1 else 0.0 for name, values in accuracies.items()
        },
    }


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of a round")
    parser.add_argument("--accuracy-rows", type=int, default=6400)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    write_result(
        "finetune_step",
        {
            "threads": torch.get_num_threads(),
            "bf16_is_faster": bf16_is_faster("cpu"),
            "batch_size": BATCH,
            "rounds": arguments.rounds,
            "steps_a_round": arguments.steps,
            "all-MiniLM-L6-v2": speeds(MODEL, arguments.rounds, arguments.steps),
            "DistilBERT-base": speeds(None, arguments.rounds, max(1, arguments.steps // 4)),
            "learned": learned(arguments.accuracy_rows, arguments.seeds),
        },
    )


if __name__ == "__main__":
    main()
