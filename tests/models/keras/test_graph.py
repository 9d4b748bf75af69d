"""What is read off a network's graph: its layers, and what need not be computed again."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS

pytestmark = pytest.mark.framework

SHAPE = (8, 12, 3)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)


def targets_of(*classes, score="logit", count=3):
    return Targets(np.eye(count, dtype=np.float32)[list(classes)], score)


def answer(name, model, x, targets, **options):
    *_, last = METHODS[name].function(model, x, targets, **options)
    return last.values


def grad_cam(model, x, targets, layer=""):
    return answer("grad_cam", model, x, targets, layer=layer)


def names(model):
    return [layer.name for layer in model.info.layers]


def convolution(keras, name, filters=4, **kwargs):
    kwargs = {"padding": "same", "activation": "relu", **kwargs}
    return keras.layers.Conv2D(filters, 3, name=name, **kwargs)


def classified(keras, inputs, x, count=3):
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(count, activation="softmax", name="top")(x))


# Layers ------------------------------------------------------------------------------------------


def test_layers_are_those_with_space_in_the_order_of_computation(keras, opened):
    network = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Rescaling(2.0, name="scale"),
            convolution(keras, "first"),
            keras.layers.MaxPooling2D(name="half"),
            convolution(keras, "second", 5),
            keras.layers.GlobalAveragePooling2D(keepdims=True, name="pixel"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model = opened(network)
    assert [tuple(layer) for layer in model.info.layers] == [
        ("scale", (8, 12), 3),
        ("first", (8, 12), 4),
        ("half", (4, 6), 4),
        ("second", (4, 6), 5),
    ]


def test_layers_of_a_nested_network_carry_its_name(keras, opened):
    inputs = keras.Input(SHAPE)
    inner = keras.Model(inputs, convolution(keras, "two")(convolution(keras, "one")(inputs)), name="inner")
    inputs = keras.Input(SHAPE)
    base = keras.Model(inputs, inner(inputs), name="base")
    inputs = keras.Input(SHAPE)
    model = opened(classified(keras, inputs, convolution(keras, "after")(base(inputs))))
    assert names(model) == ["base/inner/one", "base/inner/two", "after"]


def test_layers_of_a_subclassed_network_are_found(keras, opened):
    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.convolution = convolution(keras, "convolution")

        def call(self, x):
            return x + self.convolution(x)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.stem = convolution(keras, "stem")
            self.blocks = [Block(name="one"), Block(name="two")]
            self.top = keras.layers.Dense(3)

        def call(self, x):
            x = self.stem(x)
            for block in self.blocks:
                x = block(x)
            return keras.ops.softmax(self.top(keras.ops.mean(x, (1, 2))))

    network = Net()
    network(np.zeros((1, *SHAPE)))
    model = opened(network)
    assert names(model) == ["stem", "one/convolution", "one", "two/convolution", "two"]
    assert model.info.cam_layer == "two"


def test_a_layer_that_is_called_twice_is_there_twice(keras, opened, x):
    shared = convolution(keras, "shared", 3)
    inputs = keras.Input(SHAPE)
    once = shared(inputs)
    model = opened(classified(keras, inputs, shared(once)))
    assert names(model) == ["shared", "shared:2"]
    first, second = (model.tap(x, targets_of(0, 1), name).activations for name in names(model))
    np.testing.assert_allclose(first, shared(x), atol=1e-5)
    np.testing.assert_allclose(second, shared(shared(x)), atol=1e-5)


def test_a_network_that_is_called_twice_has_its_layers_twice(keras, opened):
    inputs = keras.Input(SHAPE)
    inner = keras.Model(inputs, convolution(keras, "one", 3)(inputs), name="inner")
    inputs = keras.Input(SHAPE)
    model = opened(classified(keras, inputs, inner(inner(inputs))))
    assert names(model) == ["inner/one", "inner/one:2"]


def test_layers_beside_the_way_to_the_classes_are_left_out(keras, opened):
    inputs = keras.Input(SHAPE)
    x = convolution(keras, "on_the_way")(inputs)
    both = keras.Model(inputs, [classified(keras, inputs, x).output, convolution(keras, "beside")(x)])
    inputs = keras.Input(SHAPE)
    model = opened(keras.Model(inputs, keras.layers.Identity()(both(inputs)[0])))
    assert [name.rpartition("/")[2] for name in names(model)] == ["on_the_way"]


def test_a_layer_that_does_nothing_is_left_out(keras, opened):
    """Dropout that is off, and a network in a network, return what another layer has returned."""
    inputs = keras.Input(SHAPE)
    base = keras.Model(
        inputs, keras.layers.Dropout(0.5, name="off")(convolution(keras, "one")(inputs)), name="base"
    )
    inputs = keras.Input(SHAPE)
    assert names(opened(classified(keras, inputs, base(inputs)))) == ["base/one"]


def test_the_picture_itself_is_no_layer(keras, opened):
    """As augmentation returns it, which does nothing outside of training."""
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    x = layers.CenterCrop(4, 4)(layers.Resizing(6, 6)(layers.RandomFlip()(inputs)))
    model = opened(keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x))))
    assert [layer.shape[0] for layer in model.info.layers] == [6, 4]
    assert model.info.cam_layer == ""


def test_opening_leaves_the_networks_calls_as_they_were(keras, opened, x):
    network = keras.Sequential([keras.Input(SHAPE), convolution(keras, "c"), keras.layers.Flatten()])
    network.add(keras.layers.Dense(3))
    before = [dict(layer.__dict__) for layer in network.layers]
    opened(network)
    assert [layer.__dict__.get("call") for layer in network.layers] == [each.get("call") for each in before]


def test_a_call_that_somebody_replaced_is_put_back(keras, opened, x):
    network = keras.Sequential([keras.Input(SHAPE), convolution(keras, "c"), keras.layers.Flatten()])
    network.add(keras.layers.Dense(3))
    call = network.layers[0].call
    replaced = network.layers[0].__dict__["call"] = lambda x: 2 * call(x)
    model = opened(network)
    assert network.layers[0].call is replaced
    np.testing.assert_allclose(model.scores(x), network(x), atol=1e-5)


# The layer that class activation maps are made of ------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ([], "convolution"),
        (["MaxPooling2D"], "convolution"),
        (["AveragePooling2D", "Dropout"], "convolution"),
        (["SpatialDropout2D", "ZeroPadding2D", "Cropping2D"], "convolution"),
        (["ReLU"], "end0"),
        (["BatchNormalization", "Activation"], "end1"),
        (["BatchNormalization"], "end0"),
        (["LayerNormalization", "MaxPooling2D"], "end0"),
    ],
)
def test_the_cam_layer_is_the_last_with_space_that_only_thins_out_no_other(keras, opened, ends, wanted):
    options = {
        "Dropout": (0.5,),
        "SpatialDropout2D": (0.5,),
        "Activation": ("relu",),
        "AveragePooling2D": (2,),
    }
    inputs = keras.Input(SHAPE)
    x = convolution(keras, "convolution")(inputs)
    for n, end in enumerate(ends):
        x = getattr(keras.layers, end)(*options.get(end, ()), name=f"end{n}")(x)
    assert opened(classified(keras, inputs, x)).info.cam_layer == wanted


def test_the_cam_layer_of_a_base_that_ends_in_pooling_is_its_last_convolution(keras, opened):
    inputs = keras.Input(SHAPE)
    base = keras.Model(inputs, keras.layers.MaxPooling2D()(convolution(keras, "last")(inputs)), name="base")
    inputs = keras.Input(SHAPE)
    assert opened(classified(keras, inputs, base(inputs))).info.cam_layer == "base/last"


@pytest.mark.parametrize("join", ["add", "concatenate"])
def test_a_block_that_ends_in_a_plain_operation_ends_with_it(keras, opened, x, join):
    """As ConvNeXt's do: the branch alone is not all that the network goes on with."""
    inputs = keras.Input(SHAPE)
    stem = convolution(keras, "stem")(inputs / 2 - 1)
    branch = convolution(keras, "branch")(stem)
    joined = stem + branch if join == "add" else keras.ops.concatenate([stem, branch], axis=-1)
    network = classified(keras, inputs, keras.layers.Dropout(0.5)(joined))
    model = opened(network)
    assert model.info.cam_layer == joined._keras_history.operation.name
    assert names(model) == ["stem", "branch", model.info.cam_layer]  # a picture that is scaled is no layer
    wanted = keras.Model(inputs, joined)(x).numpy()
    result = model.tap(x, targets_of(0, 1), model.info.cam_layer).activations
    np.testing.assert_allclose(result, wanted, atol=1e-5)


def test_another_layer_can_be_chosen(keras, opened, x):
    inputs = keras.Input(SHAPE)
    network = classified(keras, inputs, convolution(keras, "two")(convolution(keras, "one")(inputs)))
    model = opened(network, layer="one")
    assert model.info.cam_layer == "one"
    targets = targets_of(0, 1)
    np.testing.assert_array_equal(grad_cam(model, x, targets), grad_cam(model, x, targets, layer="one"))
    assert not np.allclose(grad_cam(model, x, targets), grad_cam(model, x, targets, layer="two"))


def test_a_layer_that_does_not_exist_is_told_with_those_that_do(keras, opened, x):
    inputs = keras.Input(SHAPE)
    network = classified(keras, inputs, convolution(keras, "one")(inputs))
    with pytest.raises(ModelError, match="no layer 'two' with space; it has one"):
        opened(network, layer="two")
    with pytest.raises(ModelError, match="'two' is not a layer of net"):
        opened(network).tap(x, targets_of(0, 1), "two")


def test_a_network_without_space_has_no_cam_layer(keras, opened, x):
    network = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)])
    model = opened(network)
    assert model.info.cam_layer == ""
    with pytest.raises(ModelError, match="net has no layer whose output has space"):
        grad_cam(model, x, targets_of(0, 1))


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "layer"),
    [
        ("imagenet/squeezenet1_1.keras", "conv10"),
        ("imagenet/mobilenet_v2.keras", "out_relu"),
        ("mnist/mnist_cnn.h5", "conv2d_3"),
        ("cifar10/resnet20.keras", "layer3_2_out"),
    ],
)
def test_the_cam_layer_of_real_networks(request, data_folder, keras, file, layer):
    from napari_saliency.models import load_model

    loaded = {"squeezenet1_1": "squeezenet", "mobilenet_v2": "mobilenet"}.get(
        file.split("/")[1].split(".")[0]
    )
    model = request.getfixturevalue(loaded) if loaded else load_model(data_folder / file)
    assert model.info.cam_layer == layer


# What follows a layer ----------------------------------------------------------------------------


@pytest.fixture
def residual(keras, opened):
    """A network that goes around the layer "branch", and the network itself."""
    inputs = keras.Input(SHAPE)
    stem = convolution(keras, "stem")(inputs)
    branch = convolution(keras, "branch", activation=None)(stem)
    x = keras.layers.ReLU(name="rectified")(keras.layers.Add(name="sum")([stem, branch]))
    network = classified(keras, inputs, x)
    return opened(network), network


@pytest.mark.parametrize("score", SCORES)
def test_grad_cam_of_a_layer_that_the_network_goes_around(keras, residual, x, score):
    model, network = residual
    outputs = [network.get_layer(name).output for name in ("branch", "sum")]
    branch, total = (tensor.numpy() for tensor in keras.Model(network.input, outputs)(x))
    head, bias = (weight.numpy() for weight in network.get_layer("top").weights)
    logits = np.maximum(total, 0).mean((1, 2)) @ head + bias
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    cotangents = {
        "logit": np.eye(3)[[0, 2]],
        "probability": p * (np.eye(3)[[0, 2]] - p[[0, 1], [0, 2]][:, None]),
        "log_probability": np.eye(3)[[0, 2]] - p,
    }[score]
    gradients = (cotangents @ head.T)[:, None, None] / 96 * (total > 0)
    result = model.tap(x, targets_of(0, 2, score=score), "branch")
    np.testing.assert_allclose(result.activations, branch, atol=1e-5)
    np.testing.assert_allclose(result.gradients, gradients, atol=1e-6)
    wanted = np.maximum((gradients.mean((1, 2), keepdims=True) * branch).sum(-1), 0)
    np.testing.assert_allclose(
        grad_cam(model, x, targets_of(0, 2, score=score), layer="branch"), wanted, atol=1e-6
    )


KEEPING = [m.id for m in METHODS.values() if m.needs == "tap" and m.layout == "places"]


def test_another_class_of_the_same_picture_runs_no_convolution(residual, x):
    """After one class activation map no other class needs them, by whichever method; Score-CAM once ran itself."""
    model, network = residual
    # The gradient of a probability, other than a logit's, depends on what the convolutions returned.
    targets = [targets_of(*classes, score="probability") for classes in ((0, 1), (2, 0))]

    def maps():
        return {(name, n): answer(name, model, x, each) for name in KEEPING for n, each in enumerate(targets)}

    wanted, scores = maps(), model.scores(x)
    for name in ("grad_cam", "score_cam"):
        answer(name, model, x, targets_of(1, 1))
    for name in ("stem", "branch"):  # from now on it shows whether a convolution is run
        network.get_layer(name).set_weights([array + 7 for array in network.get_layer(name).get_weights()])
    for key, values in maps().items():
        np.testing.assert_array_equal(values, wanted[key])
    assert not np.allclose(model.scores(x), scores)


def test_another_picture_is_not_taken_for_the_one_before(residual, x):
    model, _ = residual
    before = grad_cam(model, x, targets_of(0, 1))
    other = x.copy()
    other[0, 0, 0, 0] += 5
    assert not np.array_equal(grad_cam(model, other, targets_of(0, 1)), before)
    swapped = grad_cam(model, x[::-1], targets_of(1, 0))
    np.testing.assert_allclose(swapped, before[::-1], atol=1e-6)
    np.testing.assert_array_equal(grad_cam(model, x, targets_of(0, 1)), before)


def test_a_picture_changed_in_place_is_another_picture(residual, x):
    model, _ = residual
    picture = x.copy()
    before = grad_cam(model, picture, targets_of(0, 1))
    picture[:] = picture[::-1].copy()
    np.testing.assert_allclose(grad_cam(model, picture, targets_of(1, 0)), before[::-1], atol=1e-6)


def test_another_layer_is_not_taken_for_the_one_before(residual, x):
    model, _ = residual
    stem, total = (model.tap(x, targets_of(0, 1), layer).activations for layer in ("stem", "sum"))
    assert not np.allclose(stem, total)


# Errors ------------------------------------------------------------------------------------------


def test_a_network_that_cannot_be_derived_is_told(keras, opened):
    network = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])
    network.add(keras.layers.Dense(3))
    inputs = keras.Input(SHAPE)
    rounded = keras.ops.cast(keras.ops.cast(inputs, "int32"), "float32")
    with pytest.raises(ModelError, match="scores have no derivative here"):
        opened(keras.Model(inputs, network(rounded)))


def test_a_network_that_does_not_run_is_told_in_one_sentence(keras, opened):
    class Net(keras.Model):
        def build(self, shape):
            self.built = True

        def call(self, x):
            raise RuntimeError("first line\nsecond line")

    network = Net()
    network.build((None, *SHAPE))
    with pytest.raises(
        ModelError, match=r"could not be run on images of shape \(8, 12, 3\): first line"
    ) as raised:
        opened(network)
    assert "\n" not in str(raised.value)
