"""HDF5 files of Keras 1 and 2, rewritten so that Keras 3 reads them.

Keras 3 opens most of them, and fails on details of the rest: lists of layers without a name, layers that bring
their input's shape, arguments that have other names now. A copy with a translated configuration opens; the
file itself is only read.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_saliency.core.errors import ModelError, quote

Config = dict[str, Any]

# Keras 1's names of classes and arguments; by argument: what the value becomes.
CLASSES = {
    "Convolution2D": "Conv2D",
    "AtrousConvolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "Deconvolution2D": "Conv2DTranspose",
}
RENAMED = {
    "nb_filter": "filters",
    "border_mode": "padding",
    "subsample": "strides",
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "output_dim": "units",
    "p": "rate",
    "sigma": "stddev",
    "input_dtype": "dtype",
}
ORDERINGS = {"th": "channels_first", "tf": "channels_last"}
MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}

# What matters in training only, or has but one value that Keras 3 knows.
DROPPED = (
    *("init", "beta_init", "gamma_init", "W_regularizer", "b_regularizer", "gamma_regularizer"),
    *(
        "beta_regularizer",
        "activity_regularizer",
        "W_constraint",
        "b_constraint",
        "input_dim",
        "input_length",
    ),
    *("input_shape", "mode", "fused", "renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size"),
    *("adjustment", "concat_axis", "dot_axes", "output_shape", "output_mask", "arguments"),
)
ENDS_DROPPED = ("_initializer", "_regularizer", "_constraint")

# TensorFlow's functions between layers (TFOpLambda), as layers of Keras.
ACTIVATIONS = {
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.softmax": "softmax",
    "nn.sigmoid": "sigmoid",
    "math.sigmoid": "sigmoid",
    "math.tanh": "tanh",
    "nn.swish": "swish",
    "nn.silu": "swish",
}
SCALINGS: dict[
    str, Callable[[float], tuple[float, float]]
] = {  # by a constant y: Rescaling's scale and offset
    "math.truediv": lambda y: (1 / y, 0.0),
    "math.divide": lambda y: (1 / y, 0.0),
    "math.multiply": lambda y: (y, 0.0),
    "math.add": lambda y: (1.0, y),
    "__operators__.add": lambda y: (1.0, y),
    "math.subtract": lambda y: (1.0, -y),
}
SUMS = {
    "math.add": "Add",
    "__operators__.add": "Add",
    "math.multiply": "Multiply",
    "math.subtract": "Subtract",
}


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Give a file that Keras 3 reads: this one, or for Keras 1 and 2 a copy that is gone afterwards.

    Raises
    ------
    ModelError
        If it uses what has no counterpart in Keras 3.
    """
    with h5py.File(path, "r") as file:
        version, backend = _text(file.attrs.get("keras_version", "1")), _text(file.attrs.get("backend", ""))
    config = read_config(path)
    if config is None or version[:1] not in "12":
        yield path
        return
    translated = translate(config)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(path, Path(folder) / "model.h5"))
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(translated)
            _turn_kernels(file, translated, old=version[:1] == "1", flipped=backend == "theano")
        yield copy


def read_config(path: Path) -> Config | None:
    """Read the configuration of a model; None of a file that holds weights alone."""
    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
    return None if config is None else json.loads(_text(config))


def read_training(path: Path) -> Config | None:
    """Read how a model was compiled; None of a file that does not say."""
    with h5py.File(path, "r") as file:
        training = file.attrs.get("training_config")
    return None if training is None else json.loads(_text(training))


def translate(config: Config) -> Config:
    """Write a model's or layer's configuration as Keras 3 understands it; that of Keras 3 is left as it is."""
    kind, inner = config["class_name"], config["config"]
    if isinstance(inner, list):  # Sequential before Keras 2.2.3
        inner = {"name": config.get("name", "sequential"), "layers": inner}
    rest = {key: value for key, value in config.items() if key not in ("class_name", "config")}
    if "inbound_nodes" in rest:
        rest["inbound_nodes"] = [_node(node) for node in rest["inbound_nodes"]]
    if "layers" in inner and kind != "Merge":
        layers = [layer for entry in inner["layers"] for layer in _with_input(entry, kind)]
        return {**rest, "class_name": kind, "config": {**inner, "layers": layers}}
    if kind == "TFOpLambda":
        return _function(inner, rest)
    if kind == "Merge":
        return _merge(inner, rest)
    return {**rest, "class_name": CLASSES.get(kind, kind), "config": _arguments(kind, inner)}


def _with_input(entry: Config, parent: str) -> Iterator[Config]:
    """Translate a layer; what a Sequential's first layer says of its input becomes a layer in front."""
    inner = entry["config"]
    shape = inner.get("batch_input_shape") if isinstance(inner, dict) else None
    if parent == "Sequential" and shape and entry["class_name"] != "InputLayer":
        dtype = _dtype(inner.get("input_dtype") or "float32")
        yield {"class_name": "InputLayer", "config": {"batch_shape": shape, "dtype": dtype}}
    yield translate(entry)


def _arguments(kind: str, old: Config) -> Config:
    """Translate a layer's arguments."""
    new = {RENAMED.get(key, key): value for key, value in old.items() if key not in DROPPED}
    new = {key: value for key, value in new.items() if not key.endswith(ENDS_DROPPED)}
    shape = new.pop("batch_input_shape", None)
    if kind == "InputLayer":
        new = {
            "batch_shape": shape or new.get("batch_shape"),
            "name": new.get("name"),
            "dtype": new.get("dtype"),
        }
    if "nb_row" in new:
        new["kernel_size"] = [new.pop("nb_row"), new.pop("nb_col")]
    if "dim_ordering" in new:
        new["data_format"] = ORDERINGS.get(new.pop("dim_ordering"), "channels_last")
    if new.get("groups") == 1:
        del new["groups"]
    if "dtype" in new:
        new["dtype"] = _dtype(new["dtype"])
    return new


def _dtype(policy: Any) -> str:  # noqa: ANN401 - a name, or Keras 2's dictionaries
    if isinstance(policy, dict):
        policy = policy.get("config", {}).get("name")
    return str(policy or "float32")


def _node(node: Any) -> Any:  # noqa: ANN401 - lists of lists
    """Give each input of a layer the keywords that Keras 1 left out."""
    if node and isinstance(node[0], list):
        return [[*entry, {}] if len(entry) == 3 else entry for entry in node]
    return node


def _merge(old: Config, rest: Config) -> Config:
    mode = old.get("mode")
    if mode not in MERGES or "inbound_nodes" not in rest:
        raise ModelError(
            f"its Merge layer {quote(old.get('name', ''))} has no counterpart in Keras 3 (mode {quote(mode)})"
        )
    config = {"name": old.get("name")} | ({"axis": old.get("concat_axis", -1)} if mode == "concat" else {})
    return {**rest, "class_name": MERGES[mode], "config": config}


def _function(old: Config, rest: Config) -> Config:
    """Write a call of a function of TensorFlow's as a layer, if it is one of the usual ones."""
    function, (node, *others) = old.get("function"), rest["inbound_nodes"]
    first = node[0] if node and isinstance(node[0], list) else node
    (name, at, number, keywords), y = first, first[3].get("y")
    if others or (len(node) > 1 and first is node[0]):
        function = None  # called twice, or with tensors in a list
    raw = {**rest, "inbound_nodes": [[[name, at, number, {}]]]}
    config: Config = {"name": old["name"]}
    if function in ACTIVATIONS and not {*keywords} - {"name", "axis"}:
        return {
            **raw,
            "class_name": "Activation",
            "config": {**config, "activation": ACTIVATIONS[function]},
        }
    if function in SCALINGS and isinstance(y, int | float):
        scale, offset = SCALINGS[function](y)
        return {**raw, "class_name": "Rescaling", "config": {**config, "scale": scale, "offset": offset}}
    if function in SUMS and isinstance(y, list) and isinstance(y[0], str):
        both = [[[name, at, number, {}], [*y[:3], {}]]]
        return {**raw, "inbound_nodes": both, "class_name": SUMS[function], "config": config}
    raise ModelError(
        f"it calls TensorFlow's {quote(old.get('function'))} between its layers, which has no counterpart in Keras 3: "
        "save it as a SavedModel with the TensorFlow that it was made with"
    )


def _turn_kernels(file: h5py.File, config: Config, *, old: bool, flipped: bool) -> None:
    """Bring kernels to (rows, columns, in, out); Theano's convolution runs over them backwards."""
    weights = file.get("model_weights", file)
    for layer in config["config"]["layers"]:
        name, first = layer["config"].get("name"), layer["config"].get("data_format") == "channels_first"
        if "Conv2D" not in layer["class_name"] or name not in weights:
            continue
        for path in _kernels(weights[name]):
            kernel = weights[name][path][()]
            if old and first:  # Keras 1: (out, in, rows, columns)
                kernel = kernel.transpose(2, 3, 1, 0)
            if flipped:
                kernel = kernel[::-1, ::-1]
            del weights[name][path]
            weights[name][path] = np.ascontiguousarray(kernel)


def _kernels(group: h5py.Group) -> list[str]:
    """Return the paths of the arrays with four axes within a layer's group."""
    result: list[str] = []
    group.visititems(lambda path, item: result.append(path) if getattr(item, "ndim", 0) == 4 else None)
    return result


def _text(value: Any) -> str:  # noqa: ANN401 - bytes or str, as files have it
    return value.decode() if hasattr(value, "decode") else str(value)
