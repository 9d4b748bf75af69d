"""A layer's channels in place of a model's classes: every method gives the map of the numpy twin."""

import numpy as np
import pytest

from napari_saliency import explain, explain_batch
from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import Region
from napari_saliency.core.types import Target, Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings
from tests.analytic import Convolutional, ConvolutionalLayerView, pictures
from tests.few import EVERYWHERE
from tests.models.comparing import RULES, assert_same_map
from tests.models.test_matrix import BUILD, FEW

pytestmark = pytest.mark.framework
RELUS = {"keras": "layers.ReLU", "torch": "nn.ReLU(inplace)", "onnx": ""}
ENDS = {"keras": "Dense(softmax)", "torch": "nn.Softmax", "onnx": "Softmax"}
SPACE, CHANNELS = (3, 5), 6


@pytest.fixture(scope="module", params=list(RELUS))
def whole(request, tmp_path_factory):
    """A model, and its twin in numpy."""
    twin, framework = Convolutional(), request.param
    folder = tmp_path_factory.mktemp("inside")
    return BUILD[framework](RELUS[framework], ENDS[framework], twin, folder), twin


@pytest.fixture(scope="module", params=["linear", "rectified"])
def pair(request, whole):
    """A layer of it, before or after its ReLU."""
    model, twin = whole
    return model.view_layer(layer_of(model, request.param)), ConvolutionalLayerView(twin, request.param)


def layer_of(model, which):
    """The name of a layer in a framework's words."""
    if not model.info.layers:
        return {"linear": "Conv_2_0", "rectified": "Relu_3_0"}[which]
    fitting = [one.name for one in model.info.layers if (one.shape, one.channels) == (SPACE, CHANNELS)]
    return fitting[{"linear": -2, "rectified": -1}[which]]


def channel(number, region=None, count=2):
    weights = Target(((number, 1.0),), "increase", region).dense(CHANNELS, SPACE)
    return Targets(np.stack([weights] * count))


def test_the_channels_are_what_the_layer_returns(pair):
    model, twin = pair
    x = pictures(twin, 3)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), rtol=1e-4, atol=1e-5)
    info = model.info
    assert info.labels[4] == f"{info.viewed_layer}[4]"
    assert (info.space, info.activation, len(info.labels)) == (SPACE, "quantity", CHANNELS)
    assert info.fingerprint != info.outer.fingerprint
    assert info.viewed_layer not in [layer.name for layer in info.layers]
    assert info.description.endswith(f"6 channels of {info.viewed_layer}")


def test_a_layers_channels_are_explained_as_those_of_the_numpy_twin(pair):
    """Gradients by every rule, of one channel and of several, and the layer before."""
    model, twin = pair
    x, targets = pictures(twin, 2), Targets(channel(4).weights - 0.5 * channel(1).weights)
    if "gradient" not in model.info.gives:
        with pytest.raises(ModelError, match="only be run forward"):
            model.gradient(x, targets)
        return
    for rule in (None, *RULES):
        for asked in (targets, channel(4)):
            value, gradient = model.gradient(x, asked, rule)
            wanted, oracle = twin.gradient(x, asked, rule)
            np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)
            assert_same_map(gradient, oracle, 2e-4)
    before = [one.name for one in model.info.layers if one.shape == (7, 11)][-1]
    result, oracle = model.tap(x, targets, before), twin.tap(x, targets, "first")
    assert_same_map(result.activations, oracle.activations, 2e-4)
    assert_same_map(result.gradients, oracle.gradients, 2e-4)


@pytest.mark.parametrize("name", [name for name in EVERYWHERE if not METHODS[name].wraps])
def test_every_method_explains_a_channel(whole, name):
    model, twin = (
        whole[0].view_layer(layer_of(whole[0], "rectified")),
        ConvolutionalLayerView(whole[1], "rectified"),
    )
    x, method = pictures(twin, 2), METHODS[name]
    if method.needs not in model.info.gives:
        with pytest.raises(ModelError):
            explain(model, np.zeros((9, 13, 3)), 4, name)
        return
    options = [dict(FEW.get(name, {})) for _ in range(2)]
    if method.needs == "tap":
        first = [one.name for one in model.info.layers if one.shape == (7, 11)][-1]
        options[0]["layer"], options[1]["layer"] = first, "first"
    result, wanted = (
        [*method.function(one, x, channel(4), **more)][-1].values
        for one, more in zip((model, twin), options, strict=True)
    )
    assert_same_map(result, wanted, 2e-4)


def test_a_region_of_one_place_is_a_unit(pair):
    """Only the pixels that the unit sees can matter to it."""
    model, twin = pair
    bits = np.zeros((9, 13), bool)
    bits[4, 6] = True
    region = Region((9, 13), np.packbits(bits).tobytes())
    x, targets = pictures(twin, 2), channel(1, region)
    places = np.argwhere(targets.weights[0, ..., 1])
    np.testing.assert_array_equal(places, [[1, 2]])
    np.testing.assert_allclose(
        model.weigh(model.scores(x), targets), twin.scores(x)[:, 1, 2, 1], rtol=1e-4, atol=1e-5
    )
    if "gradient" not in model.info.gives:
        with pytest.raises(ModelError, match="only be run forward"):
            model.gradient(x, targets)
        return
    value, values = model.gradient(x, targets)
    np.testing.assert_allclose(value, twin.scores(x)[:, 1, 2, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(values, twin.gradient(x, targets)[1], rtol=1e-3, atol=1e-5)
    assert not values[:, :2].any()
    assert not values[:, 7:].any()


def test_the_strongest_channel_is_explained_unless_another_is_named(pair):
    model, twin = pair
    image = (pictures(twin)[0] * 40 + 128).clip(0, 255).astype(np.uint8)
    means = twin.scores(image[None].astype(np.float32)).mean((0, 1, 2))
    prediction = model.predict(image[None].astype(np.float32))[0]
    np.testing.assert_array_equal(prediction.order(), np.argsort(-means, kind="stable"))
    np.testing.assert_allclose(prediction.logits, means, rtol=1e-4)
    result = explain(model, image, method="occlusion", window=4)
    assert result.label == f"{model.info.viewed_layer}[{means.argmax()}] ↑"
    down = explain(model, image, 3, "occlusion", "decrease", window=4)
    up = explain(model, image, f"{model.info.viewed_layer}[3]", "occlusion", window=4)
    np.testing.assert_allclose(down.values, -up.values)
    contrast = explain_batch(model, [image], Target.contrast(3, 4, "increase"), "occlusion", window=4)[0]
    other = explain(model, image, 4, "occlusion", window=4)
    np.testing.assert_allclose(contrast.values, up.values - other.values, atol=1e-3 * np.abs(up.values).max())


def test_the_whole_model_answers_as_before(whole):
    model, twin = whole
    x = pictures(twin, 2)
    model.view_layer(layer_of(model, "linear")).scores(x)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), rtol=1e-4, atol=1e-5)


def test_scores_that_are_kept_are_not_taken_for_a_layers(whole):
    """The same picture and options, asked of the whole model just before."""
    model, twin = whole
    image = np.random.default_rng(2).integers(0, 255, (9, 13, 3)).astype(np.uint8)
    explain(model, image, 1, "occlusion", window=4)
    viewed_layer = model.view_layer(layer_of(model, "linear"))
    result = explain(viewed_layer, image, 1, "occlusion", window=4).values
    wanted = explain(ConvolutionalLayerView(twin, "linear"), image, 1, "occlusion", window=4).values
    np.testing.assert_allclose(result, wanted, atol=1e-3 * np.abs(wanted).max())


def test_from_one_layer_to_another_and_back(whole):
    model, twin = whole
    x, (first, second) = pictures(twin), (layer_of(model, which) for which in ("linear", "rectified"))
    viewed_layer = model.view_layer(first).view_layer(second)
    assert viewed_layer.info == model.view_layer(second).info
    np.testing.assert_allclose(
        viewed_layer.scores(x), np.maximum(model.view_layer(first).scores(x), 0), atol=1e-5
    )
    outside = viewed_layer.with_settings(Settings(labels=tuple("abcd"), preprocessing="none", size=(9, 13)))
    assert (outside.info.labels, outside.info.viewed_layer, outside.info.outer) == (tuple("abcd"), "", None)
    np.testing.assert_allclose(outside.scores(x), twin.scores(x), rtol=1e-4, atol=1e-5)


def test_scores_that_were_kept_of_a_layer_are_not_the_models(whole):
    model, twin = whole
    image, named = np.zeros((9, 13, 3), np.uint8), Settings(preprocessing="none", size=(9, 13))
    image[2:5, 3:9] = 200, 30, 90
    viewed_layer = model.view_layer(layer_of(model, "linear"))
    explain(viewed_layer, image, 1, "occlusion", window=4)
    result, wanted = (
        explain(one, image, 1, "occlusion", window=4).values
        for one in (viewed_layer.with_settings(named), twin)
    )
    np.testing.assert_allclose(result, wanted, atol=1e-3 * np.abs(wanted).max())


def test_a_layer_that_does_not_exist_is_told(whole):
    model, _ = whole
    with pytest.raises(ModelError, match="no layer 'convolution 9' that can be looked into; it has"):
        model.view_layer("convolution 9")


def test_a_function_cannot_be_looked_into(tmp_path):
    model = BUILD["function"]("", "", Convolutional(), tmp_path)
    with pytest.raises(ModelError, match="no layer 'conv'"):
        model.view_layer("conv")


def test_a_layer_after_the_one_that_is_looked_at_is_no_layer_of_it(pair):
    model, twin = pair
    with pytest.raises(
        ModelError, match="is not a layer" if "tap" in model.info.gives else "only be run forward"
    ):
        model.tap(pictures(twin, 2), channel(0), model.info.viewed_layer)


def test_a_folded_convolution_is_looked_at_as_it_is():
    """A batch normalisation is folded into the convolution before it, but its own output is still there."""
    from napari_saliency.models.keras import keras
    from napari_saliency.models.keras.adapter import KerasModel
    from napari_saliency.models.sources import Source

    keras.utils.set_random_seed(3)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="before"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(5, 3, name="folded"),
            keras.layers.BatchNormalization(name="normed"),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    random = np.random.default_rng(0)
    network.set_weights([random.uniform(0.5, 1.5, w.shape) for w in network.get_weights()])
    model = KerasModel(network, Source("keras", "net"), Settings(preprocessing="none"))
    x = random.normal(size=(2, 8, 8, 3)).astype(np.float32)
    import tensorflow as tf

    targets = Targets(np.ones((2, 4, 4, 5), np.float32) * np.float32([1, -1, 0, 2, 0.5]))
    for layer in ("folded", "normed"):
        part = keras.Model(
            network.inputs, [network.get_layer("before").output, network.get_layer(layer).output]
        )
        with tf.GradientTape() as tape:
            given = tf.constant(x)
            tape.watch(given)
            before, channels = part(given, training=False)
            value = tf.reduce_sum(channels * targets.weights)
        by_picture, by_layer = tape.gradient(value, [given, before])
        viewed_layer = model.view_layer(layer)
        np.testing.assert_allclose(viewed_layer.scores(x), channels, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(viewed_layer.gradient(x, targets)[1], by_picture, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(
            viewed_layer.tap(x, targets, "before").gradients, by_layer, rtol=1e-4, atol=1e-3
        )
