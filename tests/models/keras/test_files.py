"""Loading, saving, types, resizing; ``.keras`` files, SavedModel and TensorFlow Lite."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from distilbert import (
    DeviceError,
    DistilBertConfig,
    DistilBertError,
    InputError,
    ModelNotFoundError,
    UnknownArgumentError,
    UnsupportedArchitectureError,
    WeightsError,
    WeightsMismatchError,
    convert,
)
from distilbert.models.keras import (
    TFDistilBertForSequenceClassification,
    TFDistilBertModel,
    TFDistilBertPreTrainedModel,
    to_tflite,
)
from distilbert.models.keras.tflite import run_tflite
from tests.models.assertions import assert_close, assert_same
from tests.models.keras.twins import (
    eager,
    fresh_keras,
    inputs,
    keras_class,
    tiny_keras,
    twin_of,
)  # fmt: skip
from tests.tiny import HEAD_NAMES, SIZES, all_but_one_slow, model_class, tiny_config, tiny_inputs, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("ForSequenceClassification").save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_folders_load_on_either_side(head: str, tmp_path: Path) -> None:
    model = eager(head)
    model.save_pretrained(tmp_path / "pytorch")
    ours = keras_class(head).from_pretrained(tmp_path / "pytorch")
    assert_same(ours(inputs(head)), model(**tiny_inputs(head)))
    ours.save_pretrained(tmp_path / "keras", max_shard_size=2000)
    assert len(list((tmp_path / "keras").glob("*.safetensors"))) > 1
    back = model_class(head).from_pretrained(tmp_path / "keras", attn_implementation="eager")
    for name, tensor in model.state_dict().items():
        assert_close(back.state_dict()[name], tensor, name, 0)
    assert back.config.id2label == model.config.id2label
    assert back.config.architectures == [model_class(head).__name__]
    assert_same(keras_class(head).from_pretrained(tmp_path / "keras")(inputs(head)), ours(inputs(head)), 0)


def test_a_fresh_head_and_faults(folder: Path) -> None:
    fresh = keras_class("ForTokenClassification")
    labels = {"num_labels": 7}
    with pytest.raises(WeightsMismatchError, match="wrong shape .*\n.*classifier.*\n(.*\n)*.*ignore_mismatched_sizes"):
        fresh.from_pretrained(folder, **labels)
    model = fresh.from_pretrained(folder, ignore_mismatched_sizes=True, **labels)
    assert model(inputs()).logits.shape == (4, 11, 7)
    with pytest.raises(WeightsMismatchError, match="missing"):
        TFDistilBertModel.from_pretrained(folder, n_layers=3)
    with pytest.raises(UnknownArgumentError, match="Did you mean 'num_labels'"):
        TFDistilBertModel.from_pretrained(folder, num_label=3)
    with pytest.raises(DeviceError, match="belongs to the PyTorch classes"):
        TFDistilBertModel.from_pretrained(folder, attn_implementation="flash_attention_2")
    with pytest.raises(ModelNotFoundError):
        TFDistilBertModel.from_pretrained(folder / "nothing")
    with pytest.raises(WeightsMismatchError, match="set_arrays do not fit"):
        model.set_arrays({})
    with pytest.raises(InputError, match="private only make sense together with push_to_hub=True"):
        model.save_pretrained(folder / "x", private=True)


def test_h5_files_of_something_else(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "h5", to="tf_model.h5")
    config, weights = tmp_path / "h5" / "config.json", tmp_path / "h5" / "tf_model.h5"
    load = TFDistilBertForSequenceClassification.from_pretrained
    assert_same(load(tmp_path / "h5")(inputs()), load(folder)(inputs()), 0)
    ours = config.read_text()
    config.write_text(json.dumps(json.loads(ours) | {"model_type": "roberta"}))
    with pytest.raises(UnsupportedArchitectureError, match="holds a 'roberta' model; this package runs 'distilbert'"):
        load(tmp_path / "h5")
    config.write_text(ours)
    with h5py.File(weights, "w") as file:
        group = file.create_group("roberta")
        file.attrs["layer_names"] = [b"roberta"]
        group.attrs["weight_names"] = [b"tf_roberta/roberta/pooler/dense/kernel:0"]
        group["tf_roberta/roberta/pooler/dense/kernel:0"] = np.zeros((24, 24), np.float32)
    with pytest.raises(UnsupportedArchitectureError, match="tf_model.h5 holds roberta, which is neither a DistilBERT"):
        load(tmp_path / "h5")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(WeightsError, match="tf_model.h5 is truncated, corrupt or no HDF5 file"):
        load(tmp_path / "h5")


def test_a_model_that_is_built_and_called_takes_other_weights() -> None:
    model, other = tiny_keras("ForMaskedLM"), tiny_model("ForMaskedLM", seed=5)
    model(inputs())
    traced = tf.function(model)
    traced(inputs())
    other.set_attn_implementation("eager")
    model.set_arrays({name: tensor.numpy() for name, tensor in other.state_dict().items()})
    assert_same(traced(inputs()), other(**tiny_inputs()))


def test_types(folder: Path) -> None:
    load = TFDistilBertForSequenceClassification.from_pretrained
    assert load(folder).dtype == "float32"
    for dtype in ("bfloat16", "tf.bfloat16", tf.bfloat16):
        assert load(folder, dtype=dtype).dtype == load(folder, torch_dtype=dtype).dtype == "bfloat16"
    load(folder, dtype="float16").save_pretrained(folder / "half")
    assert json.loads((folder / "half" / "config.json").read_text())["dtype"] == "float16"
    assert load(folder / "half", dtype="auto").dtype == "float16"
    assert load(folder / "half").dtype == "float32"
    load(folder, dtype="bfloat16").save_pretrained(folder / "bf16")
    assert load(folder / "bf16", dtype="auto").get_arrays()["classifier.bias"].dtype.name == "bfloat16"
    mixed = load(folder, dtype="mixed_bfloat16")
    assert (mixed.dtype, mixed(inputs()).logits.dtype) == ("float32", tf.bfloat16)
    for wrong in ("int8", "floaty", np.int64):
        with pytest.raises(InputError, match="dtype must be a floating type"):
            load(folder, dtype=wrong)


def test_from_config_and_fresh_weights() -> None:
    config = DistilBertConfig(vocab_size=997, n_layers=1, initializer_range=0.05)
    model = keras_class("ForMaskedLM").from_config(config, dtype="float32", attn_implementation="sdpa")
    assert model.attn_implementation == "sdpa"
    for name, array in model.get_arrays().items():
        if "norm.weight" in name.lower():
            assert (array == 1).all()
        elif name.endswith("bias"):
            assert not array.any()
        else:
            assert abs(array.std() - 0.05) < 0.003, name
    assert not model.get_input_embeddings().embeddings[0].numpy().any()
    with pytest.raises(UnknownArgumentError, match="TFDistilBertModel.from_config got an unknown argument 'device'"):
        TFDistilBertModel.from_config(config, device="cpu")


@pytest.mark.parametrize("tied", [True, False])
def test_resizing(tied: bool, tmp_path: Path) -> None:
    model = tiny_keras("ForMaskedLM", tie_word_embeddings=tied)
    before = model.get_arrays()
    ids = np.arange(1, 11)[None]
    logits = model(ids).logits
    model.resize_token_embeddings(None, pad_to_multiple_of=64)
    model.resize_position_embeddings(40)
    assert (model.config.vocab_size, model.config.max_position_embeddings) == (128, 40)
    assert_close(model(ids).logits[..., :97], logits)
    mean = np.asarray(logits).mean(-1, keepdims=True)
    assert_close(model(ids).logits[..., 97:], np.broadcast_to(mean, (1, 10, 31)))
    assert model(np.full((1, 40), 127)).logits.shape == (1, 40, 128)
    for name, array in before.items():
        rows = model.get_arrays()[name]
        assert_close(rows[tuple(slice(size) for size in array.shape)], array, name, 0)
    model.save_pretrained(tmp_path)
    assert_same(type(model).from_pretrained(tmp_path)(ids), model(ids), 0)
    model.compile("sgd")
    model.fit({"input_ids": ids, "labels": ids}, verbose=0)
    assert model.num_parameters() == sum(array.size for array in model.get_arrays().values())
    for wrong in (model.resize_token_embeddings, model.resize_position_embeddings):
        with pytest.raises(InputError, match="at least one"):
            wrong(0)


def test_pieces() -> None:
    model = tiny_keras("ForMaskedLM")
    assert model.base_model is model.distilbert
    assert model.get_output_embeddings() is model.vocab_projector
    assert tiny_keras().get_output_embeddings() is None
    total = model.num_parameters()
    assert total == tiny_model("ForMaskedLM").num_parameters()
    assert total - model.num_parameters(exclude_embeddings=True) == 97 * 24 + 23 * 24
    model.distilbert.trainable = False
    assert model.num_parameters(only_trainable=True) == 24 * 24 + 3 * 24 + 97
    paths = {variable.path for variable in model.weights}
    assert "distilbert/transformer/layer_1/attention/q_lin/kernel" in paths


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, with NumPy 2.4
@pytest.mark.parametrize("head", all_but_one_slow(HEAD_NAMES))
def test_keras_files(head: str, tmp_path: Path) -> None:
    model = tiny_keras(head, id2label={0: "no", 1: "yes"})
    model.save(tmp_path / "x.keras")
    back = keras.models.load_model(tmp_path / "x.keras")
    assert type(back) is type(model)
    assert back.config == model.config
    assert_same(back(inputs(head)), model(inputs(head)), 0)
    model.save_weights(tmp_path / "x.weights.h5")
    other = fresh_keras(head, id2label={0: "no", 1: "yes"})
    other.load_weights(tmp_path / "x.weights.h5")
    assert_same(other(inputs(head)), model(inputs(head)), 0)


@pytest.mark.parametrize("head", all_but_one_slow(HEAD_NAMES))
def test_saved_models_take_batches_of_any_size(head: str, tmp_path: Path) -> None:
    model = tiny_keras(head)
    model.export(tmp_path / "served")
    served = tf.saved_model.load(tmp_path / "served")
    given = {name: tf.constant(array, tf.int32) for name, array in inputs(head).items()}
    for cut in (given, {name: tensor[:2, ..., :5] for name, tensor in given.items()}):
        wanted = dict(model(cut).items())
        for output in (served.serve(cut), served.signatures["serving_default"](**cut)):
            assert set(output) == set(wanted)
            for name, tensor in output.items():
                assert_close(tensor, wanted[name], name)


@pytest.mark.parametrize("head", all_but_one_slow(HEAD_NAMES))
def test_tflite(head: str, tmp_path: Path) -> None:
    model = tiny_keras(head)
    assert to_tflite(model, tmp_path / "x.tflite") < 1e-5
    given = {name: array.astype(np.int32)[:, ..., :9] for name, array in inputs(head).items()}
    answers = run_tflite(tmp_path / "x.tflite", given)
    for name, tensor in model(given).items():
        assert_close(answers[name], tensor, name)


def test_tflite_checks_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = twin_of(tiny_model("ForSequenceClassification"))
    assert to_tflite(model, tmp_path / "half.tflite", quantize="float16") < 1e-2
    assert to_tflite(model, tmp_path / "int8.tflite", quantize="int8") < 0.2
    with pytest.raises(DistilBertError, match="differs from its source by .*nothing was written"):
        to_tflite(model, tmp_path / "x.tflite", quantize="int8", tolerance=1e-9)
    assert not (tmp_path / "x.tflite").exists()
    with pytest.raises(InputError, match="quantize must be None or one of float16, int8, got 'int3'"):
        to_tflite(model, tmp_path / "x.tflite", quantize="int3")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="needs KERAS_BACKEND=tensorflow"):
        to_tflite(model, tmp_path / "x.tflite")


def test_configs_of_layers_hold_everything(tmp_path: Path) -> None:
    values: dict[str, Any] = fresh_keras("ForSequenceClassification", problem_type="regression").get_config()
    back = TFDistilBertForSequenceClassification.from_config(json.loads(json.dumps(values)))
    assert back.config == tiny_config("ForSequenceClassification", problem_type="regression")


@pytest.mark.parametrize("tied", [True, False])
def test_resized_weights_are_trained_if_they_were(tied: bool) -> None:
    model = fresh_keras("ForMaskedLM", tie_word_embeddings=tied)
    trained = len(model.trainable_weights)
    for resize in (model.resize_token_embeddings, model.resize_position_embeddings):
        resize(30)
        assert len(model.trainable_weights) == trained
        for variable in model.weights:
            variable.trainable = False
        resize(40)
        assert not model.trainable_weights
        for variable in model.weights:
            variable.trainable = True


def test_sinusoidal_positions_are_never_trained() -> None:
    model = fresh_keras(sinusoidal_pos_embds=True)
    table = model.get_position_embeddings().embeddings
    trained = len(model.weights) - 1
    for trainable in (True, False, True):
        model.embeddings.trainable = trainable
        assert not any(variable is table for variable in model.trainable_weights)
    assert len(model.trainable_weights) == trained
    model.resize_position_embeddings(30)
    model.trainable = True
    assert len(model.trainable_weights) == trained


class WithOwnHead(TFDistilBertPreTrainedModel):
    """A class as a user writes it, with weights that no checkpoint of DistilBERT has."""

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.distilbert = TFDistilBertModel(config, name="distilbert")
        self.score = keras.layers.Dense(1, name="score")
        self.score.build((None, 24))


def test_weights_of_ones_own_are_never_left_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"WithOwnHead has .*/kernel.* lacks embeddings\..*model\.save\("):
        WithOwnHead(tiny_config()).save_pretrained(tmp_path / "own")
    assert not (tmp_path / "own").exists()


class OwnConfig(DistilBertConfig):
    model_type = "own"
    depth: int = 3


@keras.saving.register_keras_serializable("tests")
class WithOwnConfig(TFDistilBertForSequenceClassification):
    config_class = OwnConfig


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, with NumPy 2.4
def test_copies_and_keras_files_have_the_whole_configuration(tmp_path: Path) -> None:
    model = WithOwnConfig(OwnConfig(depth=5, attn_implementation="eager", **SIZES))
    model.save(tmp_path / "own.keras")
    for other in (copy.deepcopy(model), keras.models.load_model(tmp_path / "own.keras")):
        assert (type(other.config), other.config.depth, other.attn_implementation) == (OwnConfig, 5, "eager")
        assert_same(other(inputs()), model(inputs()), 0)
