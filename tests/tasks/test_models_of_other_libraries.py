"""Models that are changed, wrapped or of another library: they run as they are and answer as their own call does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from distilbert import DistilBertForSequenceClassification, DistilBertPreTrainedModel
from distilbert.core.errors import InputError
from distilbert.engine.engine_runner import EngineRunner
from distilbert.models.auto import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from distilbert.models.pytorch.module_runner import ModuleRunner, is_plain, unwrap
from distilbert.tasks import pipeline
from distilbert.text.fast import DistilBertTokenizerFast

from .inputs import TASKS, close, inputs_for

Folder = Callable[[str], Path]
TEXTS = ["I love this movie", "a", "the end of the film " * 20]


@pytest.fixture(scope="module")
def model(model_folder: Folder) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(model_folder("labels"))


@pytest.fixture(scope="module")
def tokenizer(model_folder: Folder) -> Any:
    return AutoTokenizer.from_pretrained(model_folder("labels"))


def classify(model: Any, tokenizer: Any, **options: Any) -> Any:
    return pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, **options)


def logits_of(task: Any, text: str) -> torch.Tensor:
    """What the model itself says of a short text, in evaluation mode."""
    with torch.no_grad():
        output: torch.Tensor = task.model.eval()(**task.preprocess(text)).logits
    return output


def answers_as_itself(task: Any) -> None:
    for text in TEXTS[:2]:
        scores = logits_of(task, text)[0].softmax(-1)
        names = task.config.id2label
        expected = {names[i]: float(score) for i, score in enumerate(scores)}
        assert {answer["label"]: answer["score"] for answer in task([text])[0]} == pytest.approx(expected, abs=1e-5)
    assert close(task(TEXTS), [task([text])[0] for text in TEXTS]), "padding changes nothing"


def add_adapters(model: Any) -> Any:
    peft = pytest.importorskip("peft")
    return peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_lin"], init_lora_weights=False))


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "data parallel": nn.DataParallel,
    "both": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
    "lora": lambda model: add_adapters(copy.deepcopy(model)),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapped_models(model: Any, tokenizer: Any, wrapper: str) -> None:
    wrapped = WRAPPERS[wrapper](model)
    assert not is_plain(wrapped)
    task = classify(wrapped, tokenizer)
    assert isinstance(task.runner, ModuleRunner)
    assert task.model is wrapped
    assert task.framework == "pt"
    answers_as_itself(task)
    plain = classify(model, tokenizer, precision="fp32")
    assert isinstance(plain.runner, EngineRunner)
    assert close(task(TEXTS), plain(TEXTS)) == (wrapper != "lora")
    features = pipeline("feature-extraction", model=wrapped, tokenizer=tokenizer, pooling="mean")(TEXTS[0])
    expected = pipeline("feature-extraction", model=unwrap(wrapped).base_model, tokenizer=tokenizer, pooling="mean")
    assert close(features, expected(TEXTS[0]))


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_dynamically_quantized_models(model: Any, tokenizer: Any) -> None:
    quantized = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)
    task = classify(quantized, tokenizer)
    assert isinstance(task.runner, ModuleRunner)
    scores = logits_of(task, TEXTS[0])[0].softmax(-1)
    assert task(TEXTS[:1])[0][0]["score"] == pytest.approx(float(scores.max()), abs=1e-5)


def test_adapters_trained_later_count(model: Any, tokenizer: Any) -> None:
    wrapped = WRAPPERS["lora"](model)
    task = classify(wrapped, tokenizer)
    before = task(TEXTS)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora" in name:
                parameter.mul_(3)
    assert not close(task(TEXTS), before)
    answers_as_itself(task)


def test_modules_keep_the_mode_that_they_had(model: Any, tokenizer: Any) -> None:
    wrapped = WRAPPERS["lora"](model).train()
    wrapped.base_model.model.distilbert.eval()
    modes = [module.training for module in wrapped.modules()]
    assert len(set(modes)) == 2
    task = classify(wrapped, tokenizer)
    assert task(TEXTS) == task(TEXTS), "without dropout"
    assert [module.training for module in wrapped.modules()] == modes


class OwnHead(DistilBertForSequenceClassification):
    def forward(self, *args: Any, **options: Any) -> Any:
        output = super().forward(*args, **options)
        output.logits = output.logits.flip(-1)
        return output


class OwnClass(DistilBertPreTrainedModel):
    """A class of a user's own, that returns a tuple and does not say which head it has."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.distilbert = AutoModel.from_config(config)
        self.sorter = nn.Linear(config.dim, config.num_labels)

    def forward(self, input_ids: Any = None, attention_mask: Any = None) -> Any:
        return (self.sorter(self.distilbert(input_ids, attention_mask=attention_mask)[0][:, 0]),)


def test_classes_of_a_users_own(model: Any, tokenizer: Any) -> None:
    own = OwnHead(model.config)
    own.load_state_dict(model.state_dict())
    answers_as_itself(classify(own, tokenizer))
    other = OwnClass(model.config).eval()
    task = classify(other, tokenizer)
    with torch.no_grad():
        scores = other(**task.preprocess(TEXTS[0]))[0][0].softmax(-1)
    assert task(TEXTS[:1])[0][0]["score"] == pytest.approx(float(scores.max()), abs=1e-5)


class Scaled(torch.Tensor):
    """A weight of a kind of its own, as quantizers make them."""


def test_weights_of_another_kind_are_not_read(model: Any) -> None:
    changed = copy.deepcopy(model)
    linear = changed.distilbert.transformer.layer[0].ffn.lin1
    assert is_plain(changed)
    linear.weight = nn.Parameter(linear.weight.detach().as_subclass(Scaled))
    assert not is_plain(changed)


def test_hooks_run(model: Any, tokenizer: Any) -> None:
    hooked = copy.deepcopy(model)
    seen: list[Any] = []
    hooked.distilbert.transformer.layer[0].register_forward_hook(lambda *_: seen.append(1))
    classify(hooked, tokenizer)(TEXTS[0])
    assert seen


@pytest.mark.parametrize("name", list(TASKS))
def test_models_and_tokenizers_of_transformers(model_folder: Folder, name: str) -> None:
    kind, params = TASKS[name]
    folder = model_folder(kind)
    ours = pipeline(name, folder, precision="fp32", **params)
    cls = getattr(transformers, ours.model.config.architectures[0])
    task = pipeline(
        name, cls.from_pretrained(folder), tokenizer=transformers.AutoTokenizer.from_pretrained(folder), **params
    )
    assert isinstance(task.runner, ModuleRunner)
    inputs = inputs_for(name, 12, seed=11)
    assert close(task(inputs), ours(inputs), 1e-4)


def test_texts_are_cut_on_the_side_that_a_tokenizer_of_transformers_says(model_folder: Folder) -> None:
    folder = model_folder("labels")
    theirs = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    theirs.tokenizer.truncation_side = "left"
    ours = pipeline("text-classification", folder, tokenizer=theirs.tokenizer, precision="fp32")
    assert ours.tokenizer.truncation_side == "left"
    long = "the film " * 40 + "was very bad in paris"
    for item in (long, {"text": long, "text_pair": "rain"}, {"text": "rain", "text_pair": long}):
        options = {"truncation": True, "max_length": 30, "top_k": None}
        assert close(ours(item, **options), theirs(item, **options), 1e-4)


def test_the_name_of_a_class_says_the_task(model_folder: Folder, tokenizer: Any) -> None:
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(model_folder("labels"))
    assert pipeline(model=theirs, tokenizer=tokenizer).task == "text-classification"


BERTS = {
    "feature-extraction": "BertModel", "fill-mask": "BertForMaskedLM",
    "token-classification": "BertForTokenClassification",
}  # fmt: skip


@pytest.mark.parametrize("name", BERTS)
def test_berts_of_transformers(name: str, tmp_path: Path) -> None:
    tokenizer = DistilBertTokenizerFast(vocab=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijk"])
    sizes = {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 40}
    config = transformers.BertConfig(vocab_size=16, num_labels=5, initializer_range=0.3, **sizes)
    bert = getattr(transformers, BERTS[name])(config)
    bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    task = pipeline(name, model=bert, tokenizer=tokenizer)
    assert isinstance(task.runner, ModuleRunner)
    texts = ["a [MASK] b", "c d e f [MASK] g h"]
    assert close(task(texts), pipeline(name, model=tmp_path, precision="fp32")(texts), 1e-4)
    assert pipeline(model=bert, tokenizer=tokenizer).task == name
    before = task(texts)
    with torch.no_grad():
        for parameter in bert.parameters():
            parameter.mul_(1.5)
    assert not close(task(texts), before, 1e-4)


def test_messages(model: Any, tokenizer: Any) -> None:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    bert = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=99, **sizes))
    with pytest.raises(
        InputError, match=r"BertForSequenceClassification is a BERT .* which text of a pair .* only BertMod"
    ):
        classify(bert, tokenizer)
    with pytest.raises(InputError, match="OwnClass does not say which head .* pass task="):
        pipeline(model=OwnClass(model.config), tokenizer=tokenizer)
    with pytest.raises(InputError, match="precision='bf16' is for models of this package as they are"):
        classify(OwnHead(model.config), tokenizer, precision="bf16")
    with pytest.raises(InputError, match="tokenizer must be a tokenizer, or the folder or name of one, got 3"):
        classify(model, 3)
    with pytest.raises(InputError, match="needs a DistilBertForTokenClassification"):
        pipeline("ner", model=WRAPPERS["compiled"](model), tokenizer=tokenizer)

    class Nothing(OwnHead):
        def forward(self, *args: Any, **options: Any) -> Any:
            return {}

    with pytest.raises(InputError, match="returned a dict without logits"):
        classify(Nothing(model.config), tokenizer)(TEXTS[0])
