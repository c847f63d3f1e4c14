"""Classes that users derive: heads of their own, other classifiers, fields of the configuration, initial weights."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilbert import (
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
    DistilBertPreTrainedModel,
    InputError,
    WeightsMismatchError,
)
from distilbert.core.outputs import SequenceClassifierOutput
from tests.tiny import LABELS, SIZES, tiny_config, tiny_inputs, tiny_labels, tiny_model


class MeanPooling(DistilBertPreTrainedModel):
    """A head of its own, with a buffer, a bare parameter and modules that tensors without memory cannot build."""

    def __init__(self, config: DistilBertConfig, width: int = 6) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.reader = nn.LSTM(config.dim, width, batch_first=True)
        self.scale = nn.Parameter(torch.full((width,), 2.0))
        self.register_buffer("steps", torch.arange(width).float())
        self.decide = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, config.num_labels))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            module.bias.data.fill_(0.5)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None
    ) -> SequenceClassifierOutput:
        states = self.distilbert(input_ids, attention_mask=attention_mask)[0]
        read, _ = self.reader(states)
        logits = self.decide(read[:, -1] * self.scale + self.steps)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class DeepClassifier(DistilBertForSequenceClassification):
    """A head of ours with another classifier."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Sequential(nn.Linear(config.dim, 7), nn.ReLU(), nn.Linear(7, config.num_labels))
        self.init_weights()


class OldStyle(DistilBertPreTrainedModel):
    """As written for transformers 2 and 3: init_weights instead of post_init, a tuple instead of an output."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.qa = nn.Linear(config.dim, config.num_labels)
        self.init_weights()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        outputs = self.distilbert(input_ids=input_ids, attention_mask=attention_mask, return_dict=False)
        return (self.qa(outputs[0]), *outputs[1:])


CLASSES = [MeanPooling, DeepClassifier, OldStyle]


def assert_equal_weights(model: nn.Module, other: nn.Module, prefix: str = "") -> None:
    mine, theirs = model.state_dict(), other.state_dict()
    names = [name for name in mine if name.startswith(prefix)]
    assert names == [name for name in theirs if name.startswith(prefix)]
    for name in names:
        torch.testing.assert_close(mine[name], theirs[name], rtol=0, atol=0)


def shaken(model: Any) -> Any:
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return model.eval()


@pytest.mark.parametrize("cls", CLASSES)
def test_saved_and_loaded_again(cls: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = shaken(cls(tiny_config("ForSequenceClassification")))
    model.save_pretrained(tmp_path)
    assert DistilBertConfig.from_pretrained(tmp_path).architectures == [cls.__name__]
    loaded = cls.from_pretrained(tmp_path)
    assert not caplog.records, "every weight is in the file"
    assert type(loaded) is cls
    assert not loaded.training
    assert_equal_weights(loaded, model)
    for answer, expected in zip(loaded(**tiny_inputs())[:], model(**tiny_inputs())[:], strict=True):
        torch.testing.assert_close(answer, expected)
    half = cls.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("source", ["", "ForMaskedLM"])
def test_started_from_a_pretrained_encoder(
    cls: Any, source: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pretrained = tiny_model(source)
    pretrained.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        model = cls.from_pretrained(tmp_path, num_labels=LABELS)
    assert_equal_weights(model.distilbert, pretrained.base_model)
    assert f"of {cls.__name__}: they start from random numbers" in caplog.text
    assert ("decide.0" in caplog.text) is (cls is MeanPooling)
    assert "distilbert" not in caplog.text.partition("no weights for")[2]
    weights = [weight for name, weight in model.named_parameters() if not name.startswith("distilbert.")]
    assert all(weight.isfinite().all() and not weight.is_meta for weight in weights)


def test_init_weights_decides_about_fresh_modules(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    for model in (MeanPooling.from_pretrained(tmp_path), MeanPooling(tiny_config())):
        assert model.decide[0].bias.eq(0.5).all()
        assert model.scale.eq(2.0).all(), "a bare parameter keeps what the constructor gave it"
        assert model.steps.tolist() == list(range(6))


def test_an_encoder_that_was_loaded_keeps_its_weights(tmp_path: Path) -> None:
    pretrained = tiny_model()
    pretrained.save_pretrained(tmp_path)

    class Loading(DistilBertPreTrainedModel):
        def __init__(self, config: DistilBertConfig) -> None:
            super().__init__(config)
            self.distilbert = DistilBertModel.from_pretrained(tmp_path)
            self.extra = nn.Linear(config.dim, 2)
            self.post_init()

    model = Loading(tiny_config(initializer_range=0.0))
    assert_equal_weights(model.distilbert, pretrained)
    assert not model.extra.weight.any(), "drawn with initializer_range 0"
    assert_equal_weights(copy.deepcopy(model), model)


def test_arguments_of_the_constructor(tmp_path: Path) -> None:
    shaken(MeanPooling(tiny_config(), width=9)).save_pretrained(tmp_path)
    assert MeanPooling.from_pretrained(tmp_path, width=9).scale.shape == (9,)
    with pytest.raises(WeightsMismatchError, match=r"scale: the file has \(9,\), needed is \(6,\)"):
        MeanPooling.from_pretrained(tmp_path)
    assert MeanPooling.from_pretrained(tmp_path, 9).scale.shape == (9,)
    with pytest.raises(TypeError, match="width"):
        MeanPooling.from_pretrained(tmp_path, 9, width=9)
    with pytest.raises(TypeError, match=r"DistilBertModel\.from_pretrained takes one positional argument.*config="):
        DistilBertModel.from_pretrained(tmp_path, tiny_config())
    afresh = MeanPooling.from_pretrained(tmp_path, ignore_mismatched_sizes=True)
    assert afresh.scale.eq(2.0).all()


def test_an_incomplete_encoder_is_an_error(tmp_path: Path) -> None:
    tiny_model(n_layers=1).save_pretrained(tmp_path)
    with pytest.raises(
        WeightsMismatchError, match=r"do not fit OldStyle(.|\n)*layer\.1\.attention\.q_lin\.weight.*missing"
    ):
        OldStyle.from_pretrained(tmp_path, n_layers=2)


class Renamed(DistilBertPreTrainedModel):
    """An encoder under another name."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.reader = DistilBertModel(config)
        self.score = nn.Linear(config.dim, 1)
        self.post_init()


class TwoEncoders(DistilBertPreTrainedModel):
    """Two encoders of one configuration, and a smaller one beside them."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.query = DistilBertModel(config)
        self.passage = DistilBertModel(config)
        self.small = DistilBertModel(tiny_config(n_layers=1, dim=12))
        self.post_init()


@pytest.mark.parametrize("cls", [Renamed, TwoEncoders])
@pytest.mark.parametrize("safe", [True, False])
def test_encoders_under_other_names(cls: Any, safe: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = shaken(cls(tiny_config()))
    model.save_pretrained(tmp_path, safe_serialization=safe)
    loaded, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert_equal_weights(loaded, model)
    assert not any(info.values())
    assert not caplog.records


@pytest.mark.parametrize("cls", [Renamed, TwoEncoders])
@pytest.mark.parametrize("head", ["", "ForMaskedLM"])
def test_encoders_under_other_names_start_from_a_pretrained_one(
    cls: Any, head: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pretrained = tiny_model(head)
    pretrained.save_pretrained(tmp_path)
    model, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    for name in ("reader",) if cls is Renamed else ("query", "passage"):
        assert_equal_weights(getattr(model, name), pretrained.base_model)
    fresh = {name for name in model.state_dict() if name.startswith(("score.", "small."))}
    assert info["missing_keys"] == fresh
    assert info["unexpected_keys"] == {name for name in pretrained.state_dict() if name.startswith("vocab_t")} | {
        name for name in pretrained.state_dict() if name.startswith(("vocab_layer", "vocab_projector.bias"))
    }
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("cls", "encoder"), [(Renamed, "reader"), (TwoEncoders, "passage")])
def test_an_incomplete_encoder_under_another_name_is_an_error(cls: Any, encoder: str, tmp_path: Path) -> None:
    state = cls(tiny_config()).state_dict()
    missing = f"{encoder}.transformer.layer.1.ffn.lin1.weight"
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): x for name, x in state.items() if name != missing}
    with pytest.raises(WeightsMismatchError) as caught:
        cls.from_pretrained(None, config=tiny_config(), state_dict=old)
    assert str(caught.value).splitlines() == [
        f"The weights of state_dict do not fit {cls.__name__}.",
        f"  {missing} (40, 24) is missing",
    ]


def test_methods_with_encoders_under_other_names(tmp_path: Path) -> None:
    model = Renamed(tiny_config())
    assert model.base_model is model.reader
    model.resize_token_embeddings(99)
    model.resize_position_embeddings(30)
    model.prune_heads({0: [1]})
    assert model.reader.config.vocab_size == model.get_input_embeddings().num_embeddings == 99
    model.save_pretrained(tmp_path)
    assert_equal_weights(Renamed.from_pretrained(tmp_path), model)
    for each in (model, TwoEncoders(tiny_config())):
        each.gradient_checkpointing_enable(every_n_layers=2)
        stacks = [module.transformer for module in each.modules() if isinstance(module, DistilBertModel)]
        assert all(stack.gradient_checkpointing and stack.checkpointing.every_n_layers == 2 for stack in stacks)
        each.gradient_checkpointing_disable()
        assert not each.is_gradient_checkpointing
    assert each.base_model is each
    for call in (
        each.get_input_embeddings,
        lambda: each.prune_heads({0: [1]}),
        lambda: each.resize_token_embeddings(9),
    ):
        with pytest.raises(InputError, match="TwoEncoders has several encoders, or none"):
            call()
    assert (each.config.pruned_heads, each.config.vocab_size) == ({}, 97)


@pytest.mark.parametrize("options", [{"bias": False}, {"elementwise_affine": False}])
def test_layer_norms_without_weights(options: dict[str, Any]) -> None:
    class Normed(Renamed):
        def __init__(self, config: DistilBertConfig) -> None:
            super().__init__(config)
            self.norm = nn.LayerNorm(config.dim, **options)
            self.post_init()

    for tensor in Normed(tiny_config()).norm.parameters():
        assert tensor.eq(1).all()


def test_a_loss_with_weights_is_part_of_its_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Weighted(Renamed):
        def __init__(self, config: DistilBertConfig) -> None:
            super().__init__(config)
            self.loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))

    model = shaken(Weighted(tiny_config()))
    model.save_pretrained(tmp_path)
    assert_equal_weights(Weighted.from_pretrained(tmp_path), model)
    assert not caplog.records, "it was not left over from training"


def test_loading_info_of_an_own_head(tmp_path: Path) -> None:
    tiny_model("ForTokenClassification").save_pretrained(tmp_path)
    model, info = OldStyle.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(model, OldStyle)
    assert info["missing_keys"] == {"qa.weight", "qa.bias"}
    assert info["missing_keys"] == ["qa.bias", "qa.weight"]
    assert info["missing_keys"] != ["qa.bias"]
    assert info["missing_keys"] != ["qa.bias", "qa.bias"]
    assert not info["missing_keys"] != ["qa.bias", "qa.weight"]  # noqa: SIM202
    assert info["mismatched_keys"] == [] == info["error_msgs"]
    assert info["unexpected_keys"] == {"classifier.weight", "classifier.bias"}


def test_a_subclass_with_the_same_weights(tmp_path: Path) -> None:
    class Weighted(DistilBertForSequenceClassification):
        def forward(self, *arguments: Any, labels: Tensor | None = None, **others: Any) -> Any:
            output = super().forward(*arguments, **others)
            if labels is not None:
                output["loss"] = nn.functional.cross_entropy(output.logits, labels, label_smoothing=0.1)
            return output

    tiny_model("ForSequenceClassification").save_pretrained(tmp_path)
    model, plain = Weighted.from_pretrained(tmp_path), DistilBertForSequenceClassification.from_pretrained(tmp_path)
    assert_equal_weights(model, plain)
    inputs = tiny_inputs() | tiny_labels("ForSequenceClassification")
    assert model(**inputs).loss != plain(**inputs).loss
    assert list(model(**inputs)) == ["loss", "logits"]


def test_own_classes_have_the_methods_of_ours(tmp_path: Path) -> None:
    model = OldStyle(tiny_config())
    assert model.num_parameters() == sum(p.numel() for p in model.parameters())
    assert model.base_model is model.distilbert
    model.resize_token_embeddings(SIZES["vocab_size"] + 3)
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == SIZES["vocab_size"] + 3
    model.prune_heads({0: [1]})
    model.gradient_checkpointing_enable()
    assert model.train()(tiny_inputs()["input_ids"])[0].requires_grad
    model.save_pretrained(tmp_path)
    assert_equal_weights(OldStyle.from_pretrained(tmp_path), model)


def test_a_tied_model_that_a_user_derived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Derived(DistilBertForMaskedLM):
        pass

    model = shaken(Derived(tiny_config()))
    model.save_pretrained(tmp_path)
    loaded, info = Derived.from_pretrained(tmp_path, output_loading_info=True)
    assert_equal_weights(loaded, model)
    assert not any(info.values())
    assert not caplog.records


def test_a_language_model_of_its_own_is_tied(tmp_path: Path) -> None:
    class Decoder(DistilBertPreTrainedModel):
        def __init__(self, config: DistilBertConfig) -> None:
            super().__init__(config)
            self.distilbert = DistilBertModel(config)
            self.decoder = nn.Linear(config.dim, config.vocab_size, bias=False)
            self.post_init()

        def get_output_embeddings(self) -> Any:
            return self.decoder

    model = Decoder(tiny_config())
    assert model.decoder.weight is model.get_input_embeddings().weight
    model.save_pretrained(tmp_path)
    loaded = Decoder.from_pretrained(tmp_path)
    assert loaded.decoder.weight is loaded.get_input_embeddings().weight
    assert_equal_weights(loaded, model)
    tiny_model().save_pretrained(tmp_path)
    _, info = Decoder.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), "the decoder is the word embeddings"
    state = shaken(model).state_dict()
    state["decoder.weight"] = state["decoder.weight"] + 1
    with pytest.raises(WeightsMismatchError, match="different weights for decoder.weight and distilbert.emb"):
        Decoder.from_pretrained(tmp_path, state_dict=state)
    free = Decoder(tiny_config(tie_word_embeddings=False))
    assert free.decoder.weight is not free.get_input_embeddings().weight


@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForTokenClassification"])
def test_a_classifier_replaced_after_loading(head: str, tmp_path: Path) -> None:
    tiny_model(head).save_pretrained(tmp_path)
    cls: Any = {"ForSequenceClassification": DistilBertForSequenceClassification}.get(
        head, DistilBertForTokenClassification
    )
    model = cls.from_pretrained(tmp_path)
    model.classifier = nn.Linear(model.config.dim, 9)
    assert model(**tiny_inputs()).logits.shape[-1] == 9


def test_state_dicts_of_a_tied_model_load_with_and_without_the_copy() -> None:
    model = tiny_model("ForMaskedLM")
    state = model.state_dict()
    for removed in ((), ("vocab_projector.weight",)):
        twin = DistilBertForMaskedLM(tiny_config())
        result = twin.load_state_dict({name: x for name, x in state.items() if name not in removed})
        assert not result.missing_keys
        assert not result.unexpected_keys
        assert_equal_weights(twin, model)
        assert twin.vocab_projector.weight is twin.get_input_embeddings().weight
    untied = DistilBertForMaskedLM(tiny_config(tie_word_embeddings=False))
    with pytest.raises(RuntimeError, match="vocab_projector"):
        untied.load_state_dict({name: x for name, x in state.items() if name != "vocab_projector.weight"})


def test_resized_embeddings_keep_their_weights() -> None:
    model = DistilBertForMaskedLM(tiny_config(tie_word_embeddings=False))
    model.resize_token_embeddings(SIZES["vocab_size"] + 4)
    words, projection = model.get_input_embeddings().weight.clone(), model.vocab_projector.weight.clone()
    model.post_init()
    torch.testing.assert_close(model.get_input_embeddings().weight, words)
    torch.testing.assert_close(model.vocab_projector.weight, projection)


class OwnConfig(DistilBertConfig):
    """A configuration with a field of its own."""

    def __init__(self, *arguments: Any, width: int = 5, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.width = width


class OwnConfigured(DistilBertPreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)
        self.narrow = nn.Linear(config.dim, config.width)
        self.post_init()


@pytest.mark.parametrize("width", [5, 7])
def test_a_configuration_of_its_own(width: int, tmp_path: Path) -> None:
    model = OwnConfigured(OwnConfig(width=width, **SIZES))
    model.save_pretrained(tmp_path)
    loaded = OwnConfigured.from_pretrained(tmp_path)
    assert isinstance(loaded.config, OwnConfig)
    assert loaded.config.width == width
    assert_equal_weights(loaded, model)
    assert OwnConfigured.from_pretrained(tmp_path, config=OwnConfig.from_pretrained(tmp_path)).config.width == width
    tiny_model().save_pretrained(tmp_path / "plain")
    assert OwnConfigured.from_pretrained(tmp_path / "plain").narrow.out_features == 5, "the default of the class"
    assert OwnConfigured.from_pretrained(tmp_path / "plain", width=6).narrow.out_features == 6


def test_own_fields_of_our_configuration(tmp_path: Path) -> None:
    config = tiny_config()
    config.projection = {"width": 9}
    model = DistilBertModel(config)
    model.save_pretrained(tmp_path)
    assert DistilBertModel.from_pretrained(tmp_path).config.projection == {"width": 9}
