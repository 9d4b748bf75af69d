"""DeepLIFT's and LRP's rules on Keras networks: the maps of a numpy twin however they are built, or refused."""

import re

import numpy as np
import pytest

from napari_saliency import Target, explain
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Epsilon, Rescale, Targets
from napari_saliency.models import load_model
from tests.analytic import Convolutional, pictures, targets_of
from tests.models.keras import networks
from tests.rules import contributions

pytestmark = pytest.mark.framework

X = pictures(Convolutional(), 3)
WEIGHTED = Targets(np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32))
RULES = {
    "rescale": Rescale(np.random.default_rng(5).normal(size=X.shape).astype(np.float32)),
    "epsilon": Epsilon(0.05),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def assert_like_the_twin(model, twin, rule):
    wanted = contributions(twin, X, WEIGHTED, rule)
    for result, right in zip(contributions(model, X, WEIGHTED, rule), wanted, strict=True):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, right, rtol=1e-3, atol=1e-5 * np.abs(right).max())


@every_rule
@pytest.mark.parametrize("build", networks.STRUCTURES)
def test_a_network_that_is_built_in_any_way_gives_the_maps_of_numpy(keras, opened, twin, build, rule):
    assert_like_the_twin(opened(networks.with_weights(build(keras), twin.arrays)), twin, rule)


@every_rule
def test_so_does_a_saved_model(keras, twin, tmp_path, rule):
    networks.with_weights(networks.functional(keras), twin.arrays).export(tmp_path / "net", verbose=False)
    assert_like_the_twin(load_model(tmp_path / "net"), twin, rule)


def made(keras, *layers, size=(12, 14, 3)):
    """A network that shifts its picture and ends in means and a dense layer; a layer may be a function, too."""
    x = inputs = keras.Input(size)
    for layer in (
        keras.layers.Rescaling(0.5, 0.1),
        keras.layers.Conv2D(4, 3, bias_initializer="normal"),
        *layers,
    ):
        x = layer(x)
    dense = keras.layers.Dense(4, bias_initializer="normal")
    return keras.Model(inputs, dense(keras.layers.Flatten()(x)))


def tied(keras):
    """A layer used twice, and its input beside it."""
    layer = keras.layers.Conv2D(4, 3, padding="same", activation="relu")
    return lambda x: keras.layers.Concatenate()(
        [keras.layers.Add()([x, layer(layer(x))]), x - 0.5 * layer(x)]
    )


BODIES = {
    "tied": lambda k: [tied(k)],
    "overlapping maxima": lambda k: [k.layers.ReLU(), k.layers.MaxPooling2D(3, 2), k.layers.ReLU()],
    "the largest of all": lambda k: [k.layers.GlobalMaxPooling2D(keepdims=True)],
    "sloped": lambda k: [k.layers.LeakyReLU(), k.layers.PReLU(), k.layers.ReLU(max_value=6)],
    "enlarged": lambda k: [
        k.layers.UpSampling2D(2, interpolation="bilinear"),
        k.layers.ReLU(),
        k.layers.Cropping2D(2),
    ],
    "transposed": lambda k: [
        k.layers.Conv2DTranspose(3, 3, 2),
        k.layers.ReLU(),
        k.layers.AveragePooling2D(2),
    ],
    "separable": lambda k: [k.layers.SeparableConv2D(5, 3), k.layers.BatchNormalization(), k.layers.ReLU()],
    "moved": lambda k: [
        k.layers.Permute((2, 1, 3)),
        k.layers.ReLU(),
        k.layers.Reshape((60, 8)),
        k.layers.Dense(3),
    ],
}
CENTRED = {
    "smooth": lambda k: [
        k.layers.Activation("tanh"),
        k.layers.Activation("elu"),
        k.layers.Activation("selu"),
    ],
}
OFFSET = {
    "Sigmoid": lambda k: [k.layers.Activation("sigmoid")],
    "Softplus": lambda k: [k.layers.Activation("softplus")],
}


@pytest.mark.parametrize("name", [*BODIES, *CENTRED, *OFFSET])
def test_contributions_add_up_to_the_difference_and_relevance_to_gradient_times_input(keras, opened, name):
    """Shrikumar et al. 2017, section 2.1; Ancona et al. 2018, proposition 1, of networks of ReLUs."""
    model = opened(made(keras, *(BODIES | CENTRED | OFFSET)[name](keras)))
    x = np.random.default_rng(1).normal(size=(2, 12, 14, 3)).astype(np.float32)
    rule, targets = Rescale(np.roll(x, 1, 0) / 2), targets_of(0, 3)
    wanted = [model.weigh(model.scores(each), targets) for each in (x, rule.start)]
    difference, values = contributions(model, x, targets, rule)
    np.testing.assert_allclose(difference, wanted[0] - wanted[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(values.sum((1, 2, 3)), difference, rtol=1e-4, atol=1e-5)
    if name in BODIES:
        score, values = contributions(model, x, targets, Epsilon(1e-9))
        np.testing.assert_allclose(score, wanted[0], rtol=1e-5)
        share = 2e-5 * np.abs(values).max()
        np.testing.assert_allclose(values, x * model.gradient(x, targets)[1], rtol=1e-3, atol=share)
    if name in OFFSET:
        with pytest.raises(ModelError, match=rf"none is known for {name} \(.*\), which is not 0 at 0"):
            model.gradient(x, targets, Epsilon(0.01))


def gated(keras):
    """As blocks of squeeze and excitation do."""
    gate = keras.layers.Conv2D(4, 1, activation="sigmoid")
    return lambda x: x * gate(keras.layers.GlobalAveragePooling2D(keepdims=True)(x))


def attending(keras):
    attention = keras.layers.MultiHeadAttention(2, 3)
    return lambda x: attention(*[keras.layers.Reshape((120, 4))(x)] * 2)


REFUSED = {
    "LayerNormalization": (lambda k: [k.layers.LayerNormalization()], r"\w+ \(.*layer_normalization"),
    "GroupNormalization": (lambda k: [k.layers.GroupNormalization(2)], r"\w+ \(.*group_normalization"),
    "gate": (lambda k: [gated(k)], r"Mul of two tensors that both depend on the image \("),
    "attention": (
        lambda k: [attending(k)],
        r"\w+ of two tensors that both depend on the image \(.*attention",
    ),
    "softmax": (lambda k: [k.layers.Softmax()], r"Softmax \(.*softmax"),
    "mask": (lambda k: [lambda x: x * k.ops.cast(x > 0, "float32")], r"Greater \("),
    "swish": (
        lambda k: [k.layers.Activation("silu")],
        r"Mul of two tensors that both depend on the image \(",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pitfall_what_no_rule_is_known_for_is_refused_by_its_name(keras, opened, name):
    build, said = REFUSED[name]
    model = opened(made(keras, *build(keras)))
    assert not {"rescale", "epsilon"} & model.info.gives
    for method in ("deep_lift", "lrp"):
        with pytest.raises(
            ModelError, match=rf"needs a rule for each operation, and none is known for {said}"
        ):
            explain(model, np.zeros((12, 14, 3), np.uint8), 0, method)


@pytest.mark.parametrize("score", ["probability", "log_probability"])
@every_rule
def test_only_logits_are_explained(keras, opened, twin, rule, score):
    model = opened(networks.with_weights(networks.functional(keras), twin.arrays))
    with pytest.raises(ModelError, match=re.escape(f"choose the logit, not the {score}")):
        model.gradient(X, Targets(WEIGHTED.weights, score), rule)
    method = "lrp" if isinstance(rule, Epsilon) else "deep_lift"
    with pytest.raises(ModelError, match=re.escape(f"choose the logit, not the {score}")):
        explain(model, np.zeros(networks.PICTURE, np.uint8), Target.of_class(1, score), method)


def test_probabilities_that_are_spelled_by_hand_are_refused(keras, opened, twin):
    model = opened(
        networks.with_weights(networks.functional(keras, end=networks.HIDDEN["exp / sum"]), twin.arrays)
    )
    assert not {"rescale", "epsilon"} & model.info.gives
    assert model.info.unruled == "logits, and how this network comes to its softmax is not seen"


def test_batch_normalisations_are_layers_of_their_own_for_epsilon_although_they_are_folded_elsewhere(
    keras, opened
):
    """Relevance of a convolution and of the normalisation after it: eq. 58 twice, by hand."""
    inputs = keras.Input((5, 6, 3))
    convolution, normalisation = keras.layers.Conv2D(4, 1), keras.layers.BatchNormalization()
    outputs = keras.layers.Flatten()(normalisation(convolution(inputs)))
    network, random, epsilon = keras.Model(inputs, outputs), np.random.default_rng(0), 0.3
    convolution.set_weights([random.normal(size=(1, 1, 3, 4)), random.normal(size=4)])
    mean, variance = random.normal(size=4), random.uniform(0.5, 2, 4)
    normalisation.set_weights([random.uniform(0.5, 2, 4), random.normal(size=4), mean, variance])
    x = random.normal(size=(1, 5, 6, 3)).astype(np.float32)
    kernel, bias = (each.astype(np.float64) for each in convolution.get_weights())
    gamma, beta, *_ = normalisation.get_weights()
    factor = gamma / np.sqrt(variance + normalisation.epsilon)
    first = x @ kernel[0, 0] + bias
    second = (first - mean) * factor + beta
    kept = [z / (z + epsilon * np.where(z >= 0, 1, -1)) for z in (first, second)]
    wanted = (kept[1] * factor * kept[0]) @ kernel[0, 0].T
    _, result = opened(network).gradient(x, Targets(np.ones((1, 120), np.float32)), Epsilon(epsilon))
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-6)


@every_rule
def test_random_weights_are_explained_too(keras, opened, twin, rule):
    model = opened(networks.with_weights(networks.functional(keras), twin.arrays))
    own = model.gradient(X, WEIGHTED, rule)[1]
    for stage in model.cascade(2):
        value, values = contributions(stage.model, X, WEIGHTED, rule)
        assert not np.allclose(values, own)
        if isinstance(rule, Rescale):
            np.testing.assert_allclose(values.sum((1, 2, 3)), value, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(model.gradient(X, WEIGHTED, rule)[1], own)


@every_rule
def test_a_channel_inside_is_explained_too(keras, opened, twin, rule):
    whole = opened(networks.with_weights(networks.functional(keras), twin.arrays))
    model = whole.view_layer(whole.info.layers[-1].name)
    weights = np.zeros((3, *model.scores(X).shape[1:]), np.float32)
    weights[:, 1:, :2, 3] = 1
    score, values = contributions(model, X, Targets(weights), rule)
    here = model.weigh(model.scores(X), Targets(weights))
    if isinstance(rule, Rescale):
        there = model.weigh(model.scores(rule.start), Targets(weights))
        np.testing.assert_allclose(values.sum((1, 2, 3)), here - there, rtol=1e-4, atol=1e-6)
        here = here - there
    np.testing.assert_allclose(score, here, rtol=1e-4, atol=1e-6)
    assert np.abs(values).max() > 1e-3


def test_whole_numbers_are_explained_by_those_that_are_computed_with(keras, opened):
    inputs = keras.Input((5, 6, 3), dtype="uint8")
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    model = opened(keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(x))))
    x = np.random.default_rng(0).integers(0, 256, (1, 5, 6, 3)).astype(np.float32)
    difference, values = contributions(model, x, targets_of(1), Rescale(np.zeros_like(x)))
    np.testing.assert_allclose(values.sum(), difference[0], rtol=1e-4)
