"""The siblings have the same files, classes, functions, attributes, parameters and defaults, in the same order.

What one or two frameworks need for themselves stands in the tables below, each with its reason; a row that no longer
applies fails a test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import distilbert

MODELS = Path(distilbert.__file__).parent / "models"
PREFIXES = {"pytorch": ("Pytorch",), "keras": ("TF", "Keras"), "flax": ("Flax",)}  # of the names of classes
CALLS = ("forward", "call", "__call__")  # the same method, as each framework names it

Outline = dict[str, dict[str, str]]  # class, method or function -> parameter -> its default, or "required"

# Frameworks, files, and why the others have no such file.
FILES = [
    ("pytorch", "packing attention_dropout", "only PyTorch runs without padding, and with dropout of its own on a CPU"),
    ("pytorch", "module_runner", "models of other libraries, adapters and quantized layers are modules of PyTorch"),
    ("pytorch", "engine_weights", "layers of PyTorch can be replaced, and the engine must know what each computes"),
    ("keras flax", "snapshot", "PyTorch's watches modules of other libraries too, and stands in core"),
    ("keras", "trainable_model tflite", "compile, fit, predict, export and TensorFlow Lite belong to Keras"),
    ("pytorch keras", "gradient_checkpointing", "Flax brings the function"),
    ("flax", "layer_factory", "Flax's layers take types, initializers and random numbers one by one"),
    ("flax", "functional", "a call with other weights, as JAX's own training loops make it"),
]
# Frameworks, classes or functions, and why the others have none; a class stands for its methods as well.
NAMES = [
    ("pytorch", "arrays.known_shape arrays.is_tracing", "torch.jit.trace records sizes as tensors"),
    ("pytorch", "arrays.to_torch", "the others write an array into a variable by its name"),
    ("keras flax", "arrays.find_variable arrays.read_variable arrays.write_variable", "kernels are stored transposed"),
    ("keras flax", "arrays.concrete", "PyTorch knows by itself whether it is compiling"),
    ("flax", "arrays.get_tree arrays.set_tree", "weights as a tree are JAX's idiom"),
    ("flax", "arrays.tree_leaves arrays.unflatten", "a tree and its arrays by path"),
    ("flax", "arrays.has_values arrays.drop_values arrays.fill_missing", "a model of Flax can be without weights"),
    ("flax", "arrays.all_weights", "a model of Keras or PyTorch lists its own"),
    (
        "pytorch",
        "attention.attend_flash attention.flash_takes attention.attend_varlen attention.require_flash",
        "only PyTorch runs FlashAttention",
    ),
    ("flax", "device.pick_param_dtype", "Flax computes in half types with weights in fp32"),
    ("flax", "attention.fused attention.written_out", "XLA needs one on a CPU and the other elsewhere"),
    ("pytorch", "device.describe_devices", "the command line describes PyTorch's devices"),
    ("pytorch", "device.use_threads", "threads= of pipeline() goes with PyTorch"),
    ("keras", "device.list_devices device.device_of device.copy_to", "each backend of Keras has its own devices"),
    ("keras", "heads.VocabProjector", "a layer of Keras cannot share the weight of another"),
    ("flax", "heads.TiedProjector", "a weight of Flax stands in one place"),
    ("pytorch keras", "heads._ModelWithHead.__init__", "Flax builds the encoder in _prepare"),
    ("pytorch flax", "heads.DistilBertForMaskedLM.set_output_embeddings", "Keras locks a layer that is built"),
    ("keras", "heads.*.head_loss heads.*.hf_compute_loss", "fit computes the loss from outputs"),
    ("keras", "losses.fit_weights", "fit takes weights of samples and classes"),
    ("keras", "heads.*.output_shape modeling.*.output_shape pretrained.*.output_shape", "summary shows it"),
    ("keras", "pretrained.*.build_in_name_scope pretrained.*.get_lm_head pretrained.*.get_bias", "of the TF classes"),
    ("keras", "modeling.linear modeling.layer_norm", "Keras's layers take types and initializers one by one"),
    ("keras", "modeling.*.build", "Keras's layers create their weights in build"),
    ("pytorch", "modeling.DistilBertModel.forward_packed", "only PyTorch runs without padding"),
    ("pytorch", "pretrained.*.__init__", "Keras's is that of CheckedModel, Flax's is _prepare"),
    ("pytorch keras", "pretrained.*.post_init", "Flax draws weights while it builds layers"),
    ("pytorch", "pretrained.*.device pretrained.*.dtype", "elsewhere each array has a device; dtype is an attribute"),
    ("pytorch flax", "pretrained.*.set_input_embeddings", "Keras locks a layer that is built"),
    ("pytorch", "pretrained.*.init_weights", "the older name of post_init"),
    (
        "pytorch",
        "pretrained.*.is_activation_checkpointing pretrained.*.gradient_checkpointing_enable "
        "pretrained.*.activation_checkpointing_enable pretrained.*.activation_checkpointing_disable "
        "pretrained.*.enable_input_require_grads pretrained.*.disable_input_require_grads "
        "pretrained.*.estimate_tokens pretrained.*.floating_point_ops "
        "pretrained.*.is_custom_code pretrained.*.vocab_size "
        "pretrained.*.get_memory_footprint pretrained.*.dummy_inputs",
        "Trainer, accelerate and peft, which are made for PyTorch, ask for them",
    ),
    (
        "pytorch",
        "pretrained.*.get_extended_attention_mask pretrained.*.get_head_mask",
        "tools of attribution call them, and these are made for PyTorch",
    ),
    (
        "pytorch",
        "pretrained.*.base_model surgery.copy_tensors surgery.mark_loaded",
        "only classes of PyTorch are derived by users",
    ),
    ("pytorch", "surgery.keep_tokens surgery.replace_linear", "shrink trains what it cut, and training is PyTorch's"),
    ("pytorch", "pretrained.*.load_state_dict pretrained.*.tie_weights", "only parameters of PyTorch can be shared"),
    ("keras", "pretrained.*.build pretrained.*.get_config", "how Keras builds and saves a model"),
    ("keras", "pretrained.*.get_arrays pretrained.*.set_arrays", "in the place of PyTorch's state_dict"),
    ("flax", "pretrained.*.params", "in the place of PyTorch's state_dict"),
    ("flax", "pretrained.StaticConfig pretrained.ConfiguredModule", "jit compares the attributes of a module"),
    ("flax", "pretrained.*.has_params pretrained.*.params_shape_tree pretrained.*.required_params", "of _do_init"),
    ("flax", "pretrained.*.key pretrained.*.module pretrained.*.init_weights", "a model as pure functions"),
    ("flax", "pretrained.*.to_bf16 pretrained.*.to_fp16 pretrained.*.to_fp32", "types of a tree"),
    ("flax", "pretrained.*.enable_gradient_checkpointing", "the name in transformers' Flax classes alone"),
    ("pytorch", "runner.CudaRunner runner.make_runner", "only PyTorch overlaps the work of a GPU and the host"),
    ("pytorch", "runner.prepack runner.PrepackedLinear", "the layout of weights is oneDNN's"),
    ("keras", "runner._SelectedTokens", "Keras compiles a model, JAX a function"),
    ("flax", "runner.round_up", "JAX compiles every shape"),
    ("pytorch", "surgery.without_weights surgery.fresh_weight", "Keras builds a model with its weights"),
    ("flax", "surgery.model_without_weights surgery.fresh_weight", "Keras builds a model with its weights"),
    ("pytorch", "surgery._NoInit", "drawing weights without memory would import PyTorch's compiler"),
    ("pytorch", "surgery.init_module surgery.set_parameter", "elsewhere layers take initializers and keep variables"),
    (
        "keras",
        "surgery.resize_embedding surgery.rebuild surgery.unlock surgery.copy_rows",
        "Keras rebuilds a layer in place",
    ),
]
# Frameworks, parameters, and why the same function has none elsewhere.
PARAMETERS = [
    ("pytorch", "packing rows", "only PyTorch runs without padding"),
    ("pytorch", "return_maps", "hooks of attribution expect a tuple of one tensor"),
    ("pytorch", "model_args model_arguments", "only classes of PyTorch are derived by users"),
    ("pytorch", "dropout", "the attention of Keras and JAX has no dropout"),
    ("pytorch", "empty", "an empty tensor has the shape, type and device"),
    ("flax", "shape", "and a fresh one needs them"),
    ("pytorch flax", "return_dict unknown", "Keras takes them in __call__, before call"),
    ("keras", "options custom_objects", "Keras's own arguments"),
    ("keras", "training", "Keras's switch of dropout"),
    ("keras", "weights reduce", "fit takes weights of samples, and hf_compute_loss returns the loss of each row"),
    ("flax", "deterministic", "Flax's switch of dropout"),
    ("flax", "layers", "the factory of layers"),
    ("flax", "rng rngs seed", "JAX takes random numbers as arguments"),
    ("flax", "dtype param_dtype", "Flax computes in a type of its own, and constructors take it"),
    ("flax", "params", "Flax's form of the weights"),
    ("flax", "input_shape _do_init", "a model of Flax can be without weights"),
]
# Frameworks, attributes that a constructor sets, and why the others have none.
ATTRIBUTES = [
    ("pytorch", "checkpointing", "PyTorch's function has options"),
    ("pytorch keras flax", "config gradient_checkpointing", "of a base class, or None before training"),
    ("keras", "dim width hidden_dim tied", "needed in build"),
    ("flax", "padding_idx", "the embedding of PyTorch has it"),
]


def listed(table: list[tuple[str, str, str]], room: str) -> list[str]:
    return [name for rooms, names, _ in table if room in rooms.split() for name in names.split()]


def files(room: str) -> set[str]:
    return {path.stem for path in (MODELS / room).glob("*.py")} - {"__init__"}


def shared_files() -> list[str]:
    return sorted(set.intersection(*map(files, PREFIXES)))


def plain(room: str, name: str) -> str:
    """Return the name of a class without the prefix of its framework."""
    return next((name.removeprefix(prefix) for prefix in PREFIXES[room] if name.startswith(prefix)), name)


def parameters(function: ast.FunctionDef) -> dict[str, str]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(named) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(named, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    pairs += [(rest, None) for rest in (arguments.vararg, arguments.kwarg) if rest is not None]
    return {argument.arg: "required" if default is None else ast.unparse(default) for argument, default in pairs}


@cache
def outline(room: str, file: str) -> Outline:
    tree = ast.parse((MODELS / room / f"{file}.py").read_text(encoding="utf-8"))
    found: Outline = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found[node.name] = parameters(node)
        if isinstance(node, ast.ClassDef):
            found[plain(room, node.name)] = {}
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    name = CALLS[0] if method.name in CALLS else method.name
                    if name == "__init__" or not name.startswith("_"):
                        found[f"{plain(room, node.name)}.{name}"] = parameters(method)
    return found


def matches(row: str, file: str, name: str) -> bool:
    """Whether a row of NAMES means a name, by itself, by its class, or by any class with that method."""
    row_file, _, row_name = row.partition(".")
    if row_file != file:
        return False
    if row_name.startswith("*."):
        return name.partition(".")[2] == row_name[2:]
    return name == row_name or name.startswith(f"{row_name}.")


def common_names(room: str, file: str) -> list[str]:
    rows = listed(NAMES, room)
    return [name for name in outline(room, file) if not any(matches(row, file, name) for row in rows)]


def functions() -> Iterator[tuple[str, str, dict[str, dict[str, str]]]]:
    """File, name and, by framework, the parameters of each function that at least two frameworks have."""
    for file in shared_files():
        for name in dict.fromkeys(name for room in PREFIXES for name in outline(room, file)):
            signatures = {room: outline(room, file)[name] for room in PREFIXES if name in outline(room, file)}
            if len(signatures) > 1:
                yield file, name, signatures


def attributes(room: str, file: str) -> dict[str, list[str]]:
    """The attributes that each constructor sets, in order."""
    tree = ast.parse((MODELS / room / f"{file}.py").read_text(encoding="utf-8"))
    sets: dict[str, list[str]] = {}
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                targets = [
                    target
                    for statement in ast.walk(method)
                    if isinstance(statement, (ast.Assign, ast.AnnAssign))
                    for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
                ]
                names = [target.attr for target in targets if isinstance(target, ast.Attribute)]
                sets[plain(room, node.name)] = list(dict.fromkeys(names))
    return sets


@pytest.mark.parametrize("room", PREFIXES)
def test_same_files(room: str) -> None:
    assert files(room) - set(shared_files()) == set(listed(FILES, room))


@pytest.mark.parametrize("file", shared_files())
@pytest.mark.parametrize("room", ["keras", "flax"])
def test_same_classes_and_functions_in_the_same_order(room: str, file: str) -> None:
    assert common_names(room, file) == common_names("pytorch", file)


def test_same_parameters_and_defaults_in_the_same_order() -> None:
    for file, name, signatures in functions():
        common = set.intersection(*map(set, signatures.values()))
        for room, signature in signatures.items():
            extra = set(signature) - common - set(listed(PARAMETERS, room))
            assert not extra, f"{room}/{file}.py, {name}: {extra}"
        first, *others = ([item for item in each.items() if item[0] in common] for each in signatures.values())
        assert all(other == first for other in others), f"{file}.py, {name}: {signatures}"


@pytest.mark.parametrize("file", ["modeling", "heads"])
@pytest.mark.parametrize("room", ["keras", "flax"])
def test_same_attributes_in_the_same_order(room: str, file: str) -> None:
    own, reference = attributes(room, file), attributes("pytorch", file)
    compared = [name for name in reference if name in own]
    assert len(compared) >= 6 - (file == "heads")
    for name in compared:
        kept = [attribute for attribute in own[name] if attribute not in listed(ATTRIBUTES, room)]
        assert kept == [attribute for attribute in reference[name] if attribute not in listed(ATTRIBUTES, "pytorch")]


def test_every_row_of_the_tables_applies() -> None:
    for room in PREFIXES:
        for row in listed(NAMES, room):
            file = row.partition(".")[0]
            named = [name for name in outline(room, file) if matches(row, file, name)]
            assert named, f"{room} has no {row}"
            elsewhere = [set(outline(other, file)) for other in PREFIXES if other != room]
            assert not set(named) & set.intersection(*elsewhere), f"every framework has {row}"
        used = {
            parameter
            for _, _, signatures in functions()
            for parameter in set(signatures.get(room, ())) - set.intersection(*map(set, signatures.values()))
        }
        assert set(listed(PARAMETERS, room)) <= used, f"{room}: {set(listed(PARAMETERS, room)) - used}"
