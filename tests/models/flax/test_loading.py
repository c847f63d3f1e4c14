"""Loading, saving, types, and changing the size of a Flax model."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from distilbert import (
    ConfigError,
    DistilBertConfig,
    InputError,
    ModelNotFoundError,
    UnknownArgumentError,
    WeightsMismatchError,
)
from distilbert.core.errors import DeviceError, UnsupportedArchitectureError
from distilbert.models.flax import (
    FlaxDistilBertForMaskedLM,
    FlaxDistilBertForSequenceClassification,
    FlaxDistilBertForTokenClassification,
    FlaxDistilBertModel,
)
from distilbert.models.flax.device import pick_device
from distilbert.models.flax.heads import TiedProjector
from tests.models.flax.tiny import close, flax_class, flax_model, inputs
from tests.tiny import HEAD_NAMES, tiny_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    flax_model("ForSequenceClassification").save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("options", [{}, {"safe_serialization": False}, {"max_shard_size": 2000}])
def test_round_trip(head: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = flax_model(head)
    model.save_pretrained(tmp_path, **options)
    back = flax_class(head).from_pretrained(tmp_path)
    for a, b in zip(back(**inputs(head)).to_tuple(), model(**inputs(head)).to_tuple(), strict=True):
        close(a, b, 0)
    assert back.config == model.config
    back.train()
    assert not jnp.array_equal(back(**inputs(head))[0], model(**inputs(head))[0]), "dropout works after loading"


def test_types(folder: Path) -> None:
    load = FlaxDistilBertForSequenceClassification.from_pretrained
    assert load(folder).dtype == load(folder).param_dtype == jnp.float32
    import torch

    for dtype in (jnp.bfloat16, "bfloat16", "torch.bfloat16", torch.bfloat16):
        model = load(folder, dtype=dtype)
        assert model.dtype == load(folder, torch_dtype=dtype).dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {jnp.dtype(jnp.float32)}
        assert model.param_dtype == type(model)(model.config, dtype=dtype).param_dtype == jnp.float32
        assert model(**inputs()).logits.dtype == jnp.bfloat16
    half = load(folder, dtype="bfloat16", param_dtype="float16")
    assert {leaf.dtype for leaf in jax.tree.leaves(half.params)} == {jnp.dtype(jnp.float16)}
    assert half(**inputs()).logits.dtype == jnp.bfloat16
    load(folder, param_dtype=jnp.float16).save_pretrained(folder / "half")
    assert json.loads((folder / "half" / "config.json").read_text())["dtype"] == "float16"
    of_the_file = load(folder / "half", dtype="auto")
    assert of_the_file.dtype == of_the_file.param_dtype == jnp.float16
    assert load(folder / "half").dtype == jnp.float32
    load(folder, param_dtype="bfloat16").save_pretrained(folder / "bf16")
    reread = load(folder / "bf16", dtype="auto").classifier.kernel.get_value()
    assert jnp.array_equal(reread, load(folder).classifier.kernel.get_value().astype(jnp.bfloat16))
    for wrong in ("int8", "floaty", jnp.int32):
        with pytest.raises(InputError, match="dtype must be a floating type"):
            load(folder, dtype=wrong)


def test_fields_can_be_overridden_and_typos_are_named(folder: Path) -> None:
    load = FlaxDistilBertForSequenceClassification.from_pretrained
    model = load(folder, output_attentions=True, attn_implementation="eager", id2label={i: f"n{i}" for i in range(5)})
    assert model.config.output_attentions
    assert model.config.attn_implementation == "eager"
    assert model.config.label2id["n4"] == 4
    with pytest.raises(UnknownArgumentError, match="Did you mean 'num_labels'"):
        load(folder, num_label=3)
    with pytest.raises(ConfigError, match="attn_implementation must be one of"):
        load(folder, attn_implementation="quick")
    with pytest.raises(DeviceError, match="use 'sdpa'"):
        load(folder, attn_implementation="flash_attention_2")
    with pytest.raises(UnknownArgumentError, match="from_config got an unknown argument 'device'"):
        FlaxDistilBertModel.from_config(DistilBertConfig(), device="cpu")
    fresh = FlaxDistilBertModel.from_config(model.config, dtype="bfloat16", seed=3, attn_implementation="sdpa")
    assert (fresh.dtype, fresh.attn_implementation) == (jnp.bfloat16, "sdpa")


def test_loading_is_strict(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelNotFoundError):
        FlaxDistilBertModel.from_pretrained(tmp_path / "nothing")
    with pytest.raises(
        WeightsMismatchError, match="classifier.weight: the file has \\(5, 24\\), needed is \\(3, 24\\)"
    ):
        FlaxDistilBertForSequenceClassification.from_pretrained(folder, num_labels=3)
    caplog.set_level(logging.WARNING, logger="distilbert")
    model = FlaxDistilBertForSequenceClassification.from_pretrained(folder, num_labels=3, ignore_mismatched_sizes=True)
    assert model.classifier.kernel.get_value().shape == (24, 3)
    assert "classifier" in caplog.text
    other = FlaxDistilBertForTokenClassification.from_pretrained(folder)
    assert other(**inputs()).logits.shape == (4, 11, 5)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layers": 3}))
    with pytest.raises(WeightsMismatchError, match=r"missing \(16\)"):
        FlaxDistilBertForSequenceClassification.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(UnsupportedArchitectureError, match="gpt2"):
        FlaxDistilBertForSequenceClassification.from_pretrained(folder)


def test_a_bert_loads_as_its_twin(tmp_path: Path) -> None:
    import torch
    import transformers

    sizes = {"vocab_size": 97, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
    config = transformers.BertConfig(**sizes, intermediate_size=40, max_position_embeddings=23)
    torch.manual_seed(0)
    bert = transformers.BertForMaskedLM(config).eval()
    bert.save_pretrained(tmp_path)
    model = FlaxDistilBertForMaskedLM.from_pretrained(tmp_path)
    given = {name: array[:3] for name, array in inputs().items()}
    with torch.no_grad():
        wanted = bert(**{name: torch.from_numpy(array) for name, array in given.items()}).logits
    close(model(**given).logits, wanted.numpy())


def test_fresh_weights_follow_the_configuration() -> None:
    model = FlaxDistilBertForMaskedLM(DistilBertConfig(vocab_size=997, n_layers=1, initializer_range=0.05))
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.params):
        name = jax.tree_util.keystr(path)
        if "scale" in name:
            assert (leaf == 1).all()
        elif "bias" in name:
            assert not leaf.any()
        else:
            assert abs(leaf.std() - 0.05) < 0.003, name
    assert not model.get_input_embeddings().embedding.get_value()[0].any()
    same = [FlaxDistilBertModel(DistilBertConfig(n_layers=1, vocab_size=9), seed=seed).params for seed in (1, 1, 2)]
    leaves = [tree["transformer"]["layer"]["0"]["ffn"]["lin1"]["kernel"] for tree in same]
    assert jnp.array_equal(leaves[0], leaves[1])
    assert not jnp.array_equal(leaves[0], leaves[2])


def test_pieces() -> None:
    model = flax_model("ForMaskedLM")
    assert model.base_model is model.distilbert
    assert isinstance(model.get_output_embeddings(), TiedProjector)
    assert model.get_position_embeddings().num_embeddings == 23
    leaves = jax.tree.leaves(model.params)
    assert model.num_parameters() == sum(leaf.size for leaf in leaves)
    assert model.num_parameters(exclude_embeddings=True) == model.num_parameters() - 97 * 24 - 23 * 24
    assert flax_model().get_output_embeddings() is None
    model.set_output_embeddings(nnx.Linear(24, 97, rngs=nnx.Rngs(0)))
    assert model(**inputs()).logits.shape == (4, 11, 97)
    untied = flax_model("ForMaskedLM", tie_word_embeddings=False)
    assert untied.num_parameters() == sum(leaf.size for leaf in leaves) + 97 * 24


def test_a_projection_of_its_own_is_never_left_out(tmp_path: Path) -> None:
    model = flax_model("ForMaskedLM")
    model.set_output_embeddings(nnx.Linear(24, 97, rngs=nnx.Rngs(0)))
    with pytest.raises(
        WeightsMismatchError, match="different weights for vocab_projector.weight and .*word_embeddings"
    ):
        model.save_pretrained(tmp_path)
    model.config.tie_word_embeddings = False
    model.save_pretrained(tmp_path)
    close(flax_class("ForMaskedLM").from_pretrained(tmp_path)(**inputs()).logits, model(**inputs()).logits, 0)


def test_params_are_a_plain_tree_and_are_checked(tmp_path: Path) -> None:
    model, other = flax_model("ForSequenceClassification"), flax_model("ForSequenceClassification", seed=7)
    tree = model.params
    assert type(tree["distilbert"]["transformer"]["layer"]["0"]["attention"]["q_lin"]["kernel"]) is type(jnp.ones(1))
    other.params = jax.tree.map(np.asarray, tree)
    close(other(**inputs()).logits, model(**inputs()).logits, 0)
    doubled = jax.tree.map(lambda x: x * 2, tree)
    model.save_pretrained(tmp_path, params=doubled)
    other.params = doubled
    loaded = FlaxDistilBertForSequenceClassification.from_pretrained(tmp_path)
    close(loaded(**inputs()).logits, other(**inputs()).logits, 0)
    close(model.params["classifier"]["bias"], tree["classifier"]["bias"], 0)
    host = jax.tree.map(np.array, tree)
    other.params = host
    host["classifier"]["bias"] += 1
    close(other.params["classifier"]["bias"], tree["classifier"]["bias"], 0)
    wrong = tree | {"classifier": {"kernel": np.zeros((5, 24)), "stray": np.zeros(1)}}
    with pytest.raises(WeightsMismatchError) as caught:
        model.params = wrong
    for part in ("missing: classifier/bias", "left over: classifier/stray", "given (5, 24), needed (24, 5)"):
        assert part in str(caught.value)
    with pytest.raises(WeightsMismatchError, match="missing: distilbert/embeddings"):
        model.params = {}


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize(
    ("size", "multiple", "result"), [(101, None, 101), (50, None, 50), (None, 64, 128), (100, 8, 104)]
)
def test_resizing_the_vocabulary(
    size: int | None, multiple: int | None, result: int, tie: bool, tmp_path: Path
) -> None:
    model = flax_model("ForMaskedLM", tie_word_embeddings=tie)
    rows = min(result, 97)
    ids = np.array([[rows - 1, 1, 2]])
    before = model(ids).logits
    words = np.asarray(model.get_input_embeddings().embedding.get_value())
    model.resize_token_embeddings(size, pad_to_multiple_of=multiple)
    new = np.asarray(model.get_input_embeddings().embedding.get_value())[97:]
    close(new, np.broadcast_to(words.mean(0), new.shape))
    assert model.config.vocab_size == result
    close(model(ids).logits[..., :rows], before[..., :rows])
    if result > 97:
        close(model(ids).logits[..., 97:], np.broadcast_to(before.mean(-1, keepdims=True), (1, 3, result - 97)))
    logits = model(np.array([[result - 1, 1, 2]])).logits
    assert logits.shape == (1, 3, result)
    model.save_pretrained(tmp_path)
    close(FlaxDistilBertForMaskedLM.from_pretrained(tmp_path)(np.array([[result - 1, 1, 2]])).logits, logits)
    with pytest.raises(InputError, match="at least one entry"):
        model.resize_token_embeddings(0)


@pytest.mark.parametrize("sinusoidal", [False, True])
@pytest.mark.parametrize("positions", [40, 12])
def test_resizing_positions(sinusoidal: bool, positions: int, tmp_path: Path) -> None:
    model = FlaxDistilBertModel(flax_model(sinusoidal_pos_embds=sinusoidal).config)
    model.eval()
    ids = np.arange(1, 11)[None]
    before = model(ids)[0]
    model.resize_position_embeddings(positions)
    close(model(ids)[0], before)
    assert isinstance(model.get_position_embeddings().embedding, nnx.Param) is not sinusoidal
    if positions == 40:
        assert model(np.ones((1, 40), int))[0].shape == (1, 40, 24)
    model.save_pretrained(tmp_path)
    close(FlaxDistilBertModel.from_pretrained(tmp_path)(ids)[0], before)
    with pytest.raises(InputError, match="at least one position"):
        model.resize_position_embeddings(0)


def test_a_copy_has_a_configuration_of_its_own() -> None:
    model = flax_model("ForSequenceClassification")
    copied = copy.deepcopy(model)
    copied.prune_heads({0: [1]})
    assert copied.config is copied.distilbert.config
    assert (copied.config.pruned_heads, model.config.pruned_heads) == ({0: [1]}, {})


def test_pruned_heads_survive_saving(tmp_path: Path) -> None:
    model = flax_model("ForSequenceClassification")
    model.prune_heads({0: [0, 2]})
    model.prune_heads({0: [2], 1: [1]})
    assert model.config.pruned_heads == {0: [0, 2], 1: [1]}
    model.save_pretrained(tmp_path)
    back = FlaxDistilBertForSequenceClassification.from_pretrained(tmp_path)
    close(back(**inputs()).logits, model(**inputs()).logits)
    for wrong in ({0: [1]}, {5: [0]}, {1: [7]}):
        with pytest.raises(ConfigError, match="pruned_heads"):
            model.prune_heads(wrong)


def test_saving_says_no_to_stray_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="private only make sense together with push_to_hub=True"):
        flax_model().save_pretrained(tmp_path, private=True)


def test_devices() -> None:
    cpu = jax.local_devices(backend="cpu")[0]
    assert pick_device("cpu") == pick_device("cpu:0") == pick_device(-1) == pick_device(cpu) == cpu
    assert pick_device(None) == pick_device("auto") == jax.local_devices()[0]
    for wrong in ("cpu:99", "abacus", 4096):
        with pytest.raises(DeviceError, match="is not there: JAX .*Use device='cpu'"):
            pick_device(wrong)
    assert pick_device({"": "cpu"}) == cpu
    with pytest.raises(DeviceError, match="whole model on one device"):
        pick_device({"a": "cpu", "b": 0})


def test_weights_are_loaded_onto_a_device(folder: Path) -> None:
    model = FlaxDistilBertForSequenceClassification.from_pretrained(folder, device_map="cpu")
    assert {array.device for array in jax.tree.leaves(model.params)} == {jax.local_devices(backend="cpu")[0]}
    with pytest.raises(DeviceError, match="is not there"):
        FlaxDistilBertForSequenceClassification.from_pretrained(folder, device_map="abacus:3")


def test_the_room_loads_no_other_framework() -> None:
    code = (
        "import sys, distilbert.models.flax, distilbert.models.flax.runner\n"
        "print(sorted({'torch', 'tensorflow', 'keras', 'transformers'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_loading_needs_little_more_memory_than_the_weights(tmp_path: Path) -> None:
    """Peak resident memory in a process of its own, over what the imports alone take: at most 1.3 times the weights."""
    config = DistilBertConfig(vocab_size=60_000, n_layers=2)
    model = FlaxDistilBertForMaskedLM(config)
    weights = 4 * model.num_parameters()
    model.save_pretrained(tmp_path)
    del model
    script = (
        "import resource, sys\n"
        "from distilbert import DistilBertConfig\n"
        "from distilbert.models.flax import FlaxDistilBertForMaskedLM\n"
        "FlaxDistilBertForMaskedLM(DistilBertConfig(vocab_size=9, n_layers=1)).num_parameters()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "model = FlaxDistilBertForMaskedLM.from_pretrained(sys.argv[1])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    unit = 1 if sys.platform == "darwin" else 1024
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(result.stdout) * unit <= 1.3 * weights, int(result.stdout) * unit / weights


class WithOwnLayer(FlaxDistilBertForSequenceClassification):
    """A class as a user writes it, with a layer that no checkpoint of DistilBERT has."""

    def __init__(self, config: DistilBertConfig, *, rngs: Any = None, **options: Any) -> None:
        super().__init__(config, rngs=rngs, **options)
        self.extra = nnx.Linear(24, 24, rngs=nnx.Rngs(5))

    def head(self, hidden: Any, deterministic: bool | None = None) -> Any:
        return super().head(self.extra(hidden), deterministic)


def test_layers_of_ones_own_start_afresh_and_are_never_left_out(folder: Path, tmp_path: Path) -> None:
    model = WithOwnLayer.from_pretrained(folder)
    built = WithOwnLayer(tiny_config("ForSequenceClassification"))
    close(model.extra.kernel.get_value(), built.extra.kernel.get_value(), 0)
    built.params = model.params
    close(model(**inputs()).logits, built(**inputs()).logits, 0)
    with pytest.raises(InputError, match="WithOwnLayer has extra/bias, extra/kernel. A checkpoint holds exactly"):
        model.save_pretrained(tmp_path / "own")
    assert not (tmp_path / "own").exists()
