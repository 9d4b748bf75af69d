"""Files as Keras 1 and 2 wrote them, made by hand, against the network that they were made from."""

import copy
import json
import warnings

import h5py
import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import load_model

pytestmark = [
    pytest.mark.framework,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def network(keras):
    """What all these files hold."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 10, 3)),
            layers.Conv2D(4, (3, 2), activation="relu", padding="same"),
            layers.DepthwiseConv2D(3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    network.set_weights([np.random.default_rng(i).random(w.shape) for i, w in enumerate(network.weights)])
    return network


def layer(kind, **config):
    return {"class_name": kind, "config": config}


def keras2():
    """The layers, as tf.keras 2.x describes them, with every detail that Keras 3 stumbles over."""
    uniform = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None, "dtype": "float32"}
    policy = {"class_name": "Policy", "config": {"name": "float32"}}
    return [
        layer(
            "Conv2D",
            name="first",
            batch_input_shape=[None, 8, 10, 3],
            filters=4,
            kernel_size=[3, 2],
            padding="same",
            activation="relu",
            dtype=policy,
            groups=1,
            kernel_initializer={"class_name": "VarianceScaling", "config": uniform},
            kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0.0, "l2": 1e-4}},
        ),
        layer("DepthwiseConv2D", name="second", kernel_size=[3, 3], groups=1, dtype="float32"),
        layer(
            "BatchNormalization", name="third", axis=[3], renorm=False, virtual_batch_size=None, fused=True
        ),
        layer("Flatten", name="fourth", data_format="channels_last"),
        layer("Dense", name="fifth", units=3, activation="softmax"),
    ]


def written(path, network, config, version=b"2.2.4-tf", change=None):
    """Write a network's weights, and beside them a description of our own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = version
        training = {"optimizer_config": {"class_name": "SGD", "config": {"lr": 0.01, "decay": 0.0}}}
        file.attrs["training_config"] = json.dumps(training).encode()
        if change:
            change(file)
    return path


def assert_equal(path, network, shape=(8, 10, 3)):
    x = np.random.default_rng(1).random((2, *shape), np.float32)
    before = path.read_bytes()
    result = load_model(path).predict(x)
    np.testing.assert_allclose([p.probabilities for p in result], network(x), atol=1e-5)
    assert path.read_bytes() == before


def test_a_list_of_layers_without_a_name(network, tmp_path):
    path = written(tmp_path / "net.h5", network, {"class_name": "Sequential", "config": keras2()})
    assert_equal(path, network)


def test_layers_that_bring_their_inputs_shape(network, tmp_path):
    config = {"class_name": "Sequential", "config": {"name": "net", "layers": keras2()}}
    assert_equal(written(tmp_path / "net.h5", network, config), network)


def chain(first, *layers, node=lambda name: [[[name, 0, 0, {}]]]):
    """Put layers one after the other, as a functional model is described."""
    described, before = [{**first, "name": first["config"]["name"], "inbound_nodes": []}], first
    for each in layers:
        name = each["config"]["name"]
        own = each.pop("node", None) or node(before["config"]["name"])
        described.append({**each, "name": name, "inbound_nodes": own})
        before = each
    ends = {"input_layers": [[first["config"]["name"], 0, 0]]}
    ends["output_layers"] = [[before["config"]["name"], 0, 0]]
    return {"class_name": "Model", "config": {"name": "net", "layers": described, **ends}}


def test_a_functional_model(network, tmp_path):
    shape = layer("InputLayer", name="in", batch_input_shape=[None, 8, 10, 3], dtype="float32", sparse=False)
    assert_equal(written(tmp_path / "net.h5", network, chain(shape, *keras2())), network)


def test_a_model_in_a_model(keras, network, tmp_path):
    inner = {"name": "inner", "layers": keras2()[:3]}
    config = [layer("Sequential", **inner), *keras2()[3:]]
    body = keras.Sequential([keras.Input((8, 10, 3)), *network.layers[:3]])
    nested = keras.Sequential([body, *network.layers[3:]])
    assert_equal(
        written(tmp_path / "net.h5", nested, {"class_name": "Sequential", "config": config}), network
    )


def keras1(ordering):
    return [
        layer(
            "Convolution2D",
            name="first",
            batch_input_shape=[None, 8, 10, 3] if ordering == "tf" else [None, 3, 8, 10],
            input_dtype="float32",
            nb_filter=4,
            nb_row=3,
            nb_col=2,
            border_mode="valid",
            subsample=[2, 1],
            init="glorot_uniform",
            activation="relu",
            bias=True,
            W_regularizer=None,
            dim_ordering=ordering,
        ),
        layer("MaxPooling2D", name="pool", pool_size=[2, 2], border_mode="valid", dim_ordering=ordering),
        layer("Dropout", name="drop", p=0.5),
        layer("Flatten", name="flat"),
        layer("Dense", name="dense", output_dim=3, init="uniform", activation="softmax", bias=True, input_dim=36),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def older(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 10, 3)),
            layers.Conv2D(4, (3, 2), (2, 1), activation="relu", name="first"),
            layers.MaxPooling2D(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", name="dense"),
        ]
    )


def test_keras_1(older, tmp_path):
    path = written(tmp_path / "net.h5", older, {"class_name": "Sequential", "config": keras1("tf")}, b"1.2.2")
    assert_equal(path, older)


def test_keras_1_functional_with_nodes_without_keywords(older, tmp_path):
    layers = keras1("tf")
    del layers[0]["config"]["batch_input_shape"]
    first = layer(
        "InputLayer", name="in", batch_input_shape=[None, 8, 10, 3], input_dtype="float32", sparse=False
    )
    config = chain(first, *layers, node=lambda name: [[[name, 0, 0]]])
    assert_equal(written(tmp_path / "net.h5", older, config, b"1.2.2"), older)


def kernel_of(file):
    result = []
    file["model_weights/first"].visititems(
        lambda path, item: result.append(path) if getattr(item, "ndim", 0) == 4 else None
    )
    return file["model_weights/first"], result[0]


def rewritten(change):
    def rewrite(file):
        group, name = kernel_of(file)
        kernel = change(group[name][()])
        del group[name]
        group[name] = kernel

    return rewrite


def test_kernels_of_theano_run_backwards(older, tmp_path):
    def change(file):
        rewritten(lambda kernel: kernel[::-1, ::-1])(file)
        file.attrs["backend"] = b"theano"

    config = {"class_name": "Sequential", "config": keras1("tf")}
    assert_equal(written(tmp_path / "net.h5", older, config, b"2.0.8", change), older)


def test_channels_first_of_keras_1(keras, tmp_path):
    """Kernels are (out, in, rows, columns) there."""
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((3, 8, 10)),
            layers.Conv2D(4, (3, 2), (2, 1), activation="relu", data_format="channels_first", name="first"),
            layers.MaxPooling2D(data_format="channels_first"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", name="dense"),
        ]
    )
    change = rewritten(lambda kernel: kernel.transpose(3, 2, 0, 1))
    config = {"class_name": "Sequential", "config": keras1("th")}
    path = written(tmp_path / "net.h5", network, config, b"1.2.2", change)
    x = np.random.default_rng(1).random((2, 8, 10, 3), np.float32)
    result = [p.probabilities for p in load_model(path).predict(x)]
    twin = keras.Sequential(  # not every processor runs the first
        [
            keras.Input((8, 10, 3)),
            layers.Conv2D(4, (3, 2), (2, 1), activation="relu"),
            layers.MaxPooling2D(),
            layers.Permute((3, 1, 2)),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    twin.set_weights(network.get_weights())
    np.testing.assert_allclose(result, twin(x), atol=1e-5)


DIVIDED = {"name": "scaled", "function": "math.truediv"}
ADDED = {"name": "shifted", "function": "math.subtract"}


def test_functions_of_tensorflow_between_layers(keras, tmp_path):
    """As ``mobilenet_v2.preprocess_input`` inside a model leaves them."""
    x = inputs = keras.Input((4, 5, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    y = keras.layers.Conv2D(3, 1, padding="same", name="conv")(x)
    y = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    y = keras.layers.Dense(2, activation="softmax", name="dense")(keras.layers.Flatten()(y))
    network = keras.Model(inputs, y)
    config = chain(
        layer("InputLayer", name="in", batch_input_shape=[None, 4, 5, 3], dtype="float32"),
        layer("TFOpLambda", **DIVIDED) | {"node": [["in", 0, 0, {"y": 127.5, "name": None}]]},
        layer("TFOpLambda", **ADDED) | {"node": [["scaled", 0, 0, {"y": 1.0, "name": None}]]},
        layer("Conv2D", name="conv", filters=3, kernel_size=[1, 1], padding="same"),
        layer("TFOpLambda", name="sum", function="__operators__.add")
        | {"node": [["shifted", 0, 0, {"y": ["conv", 0, 0], "name": None}]]},
        layer("TFOpLambda", name="relu", function="nn.relu") | {"node": [["sum", 0, 0, {"name": None}]]},
        layer("Flatten", name="flat"),
        layer("Dense", name="dense", units=2, activation="softmax"),
    )
    assert_equal(written(tmp_path / "net.h5", network, config), network, (4, 5, 3))


@pytest.mark.parametrize(
    ("function", "keywords"),
    [("math.truediv", {"y": [[1.0]]}), ("strings.join", {}), ("nn.softmax", {"beta": 2.0}), (None, {})],
)
def test_a_function_without_a_counterpart_is_named(network, tmp_path, function, keywords):
    first = layer("InputLayer", name="in", batch_input_shape=[None, 8, 10, 3], dtype="float32")
    call = layer("TFOpLambda", name="call", function=function) | {"node": [["in", 0, 0, keywords]]}
    path = written(tmp_path / "net.h5", network, chain(first, call, *keras2()))
    with pytest.raises(ModelError, match="between its layers, which has no counterpart in Keras 3") as raised:
        load_model(path)
    assert repr(function) in str(raised.value)


@pytest.mark.parametrize("mode", ["sum", "mul", "ave", "max", "concat", "dot"])
def test_merges_of_keras_1(keras, tmp_path, mode):
    kinds = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
    inputs = keras.Input((4, 5, 3))
    branches = [keras.layers.Conv2D(3, 1, name=name)(inputs) for name in "ab"]
    merged = getattr(keras.layers, kinds.get(mode, "Add"))()(branches)
    y = keras.layers.Dense(2, activation="softmax", name="dense")(keras.layers.Flatten()(merged))
    network = keras.Model(inputs, y)
    convolution = {"nb_filter": 3, "nb_row": 1, "nb_col": 1, "border_mode": "same", "dim_ordering": "tf"}
    config = chain(
        layer(
            "InputLayer", name="in", batch_input_shape=[None, 4, 5, 3], input_dtype="float32", sparse=False
        ),
        layer("Convolution2D", name="a", **convolution) | {"node": [[["in", 0, 0]]]},
        layer("Convolution2D", name="b", **convolution) | {"node": [[["in", 0, 0]]]},
        layer("Merge", name="merge", mode=mode, concat_axis=-1, dot_axes=-1, arguments={})
        | {"node": [[["a", 0, 0], ["b", 0, 0]]]},
        layer("Flatten", name="flat"),
        layer("Dense", name="dense", output_dim=2, activation="softmax"),
        node=lambda name: [[[name, 0, 0]]],
    )
    path = written(tmp_path / "net.h5", network, config, b"1.2.2")
    if mode == "dot":
        with pytest.raises(ModelError, match="Merge layer 'merge' has no counterpart in Keras 3"):
            load_model(path)
    else:
        assert_equal(path, network, (4, 5, 3))


def test_a_lambda_layer_stays_refused(network, tmp_path):
    code = layer("Lambda", name="call", function=["4wEAAAA=", None, None], function_type="lambda")
    layers = copy.deepcopy(keras2())
    layers.insert(1, code)
    path = written(tmp_path / "net.h5", network, {"class_name": "Sequential", "config": layers})
    with pytest.raises(ModelError, match="a Lambda layer is a program that would run on your machine"):
        load_model(path)
