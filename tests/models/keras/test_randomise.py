"""Random weights in a Keras network: from the top down, nothing else, and never in the network itself."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import Settings, load_model
from tests.analytic import Convolutional, pictures, targets_of
from tests.models.comparing import assert_answers_differ
from tests.models.keras import networks

pytestmark = pytest.mark.framework

STRUCTURES = {structure.__name__: structure for structure in networks.STRUCTURES}
every_structure = pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)


def built(keras, structure, twin):
    return networks.with_weights(structure(keras), twin.arrays)


def normalised(keras):
    """With what is folded, what is shared, and what has initialisers under other names."""
    layers, x = keras.layers, keras.Input(networks.PICTURE)
    inputs, shared = x, layers.Conv2D(4, 3, padding="same", name="shared")
    x = layers.BatchNormalization(name="first_bn")(layers.Conv2D(4, 3, use_bias=False, name="first")(x))
    x = layers.ReLU()(shared(layers.ReLU()(shared(x))))
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.BatchNormalization(name="second_bn")(x)
    x = layers.SeparableConv2D(6, 3, name="separable")(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(4, "softmax", name="top")(layers.GlobalAveragePooling2D()(x)))


def trained(network):
    """Give a network weights that no initialiser makes."""
    random = np.random.default_rng(0)
    for variable in network.weights:
        variable.assign(np.abs(random.normal(1, 0.3, variable.shape)))
    return network


def values(network):
    return [variable.numpy() for variable in network.weights]


@every_structure
def test_pitfall_randomisation_check_re_initialises_everything_at_step_one(keras, opened, twin, structure):
    """Quantus on Keras makes all layers random at step one."""
    network = built(keras, structure, twin)
    model = opened(network)
    own, seen = values(network), []
    for stage in model.cascade(3):
        with stage.model._exchanged():
            now = values(network)
        lowest = {1: 4, 2: 2, 3: 0}[stage.done]  # from which array on weights may be others
        assert all(np.array_equal(a, b) for a, b in zip(now[:lowest], own[:lowest], strict=True))
        assert not np.array_equal(now[lowest], own[lowest])
        seen.append((stage.done, stage.total))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert all(np.array_equal(a, b) for a, b in zip(values(network), own, strict=True))


@every_structure
def test_the_model_itself_answers_as_before_wherever_it_is_stopped(keras, opened, twin, structure):
    model, x, targets = opened(built(keras, structure, twin)), pictures(twin, 2), targets_of(0, 1)
    scores, (value, gradient) = model.scores(x), model.gradient(x, targets)
    for taken in range(4):
        running = model.cascade(3)
        for _, stage in zip(range(taken), running, strict=False):
            assert not np.allclose(stage.model.scores(x), scores)
            np.testing.assert_array_equal(model.scores(x), scores)
        running.close()
        np.testing.assert_array_equal(model.scores(x), scores)
        np.testing.assert_array_equal(model.gradient(x, targets)[0], value)
        np.testing.assert_array_equal(model.gradient(x, targets)[1], gradient)


def test_it_answers_as_a_network_that_has_these_weights(keras, opened):
    """Batch normalisations that were folded away, too."""
    network = trained(normalised(keras))
    model, x = opened(network), pictures(Convolutional(), 2)
    for stage in model.cascade(20):
        with stage.model._exchanged():
            now = values(network)
        other = normalised(keras)
        other.set_weights(now)
        fresh = opened(other)
        targets = targets_of(0, 1)
        np.testing.assert_allclose(stage.model.scores(x), fresh.scores(x), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            stage.model.gradient(x, targets)[1], fresh.gradient(x, targets)[1], rtol=1e-2, atol=1e-4
        )
        layer = model.info.cam_layer
        for mine, its in zip(stage.model.tap(x, targets, layer), fresh.tap(x, targets, layer), strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-2, atol=1e-4)


def test_layers_come_from_the_top_and_one_that_is_used_twice_at_its_lowest_place(keras, opened):
    model = opened(trained(normalised(keras)))
    assert [stage.layer for stage in model.cascade(20)] == [
        "top",
        "separable",
        "second_bn",
        "depthwise",
        "shared",
        "first_bn",
        "first",
    ]


@pytest.mark.parametrize(
    ("viewed_layer", "wanted"),
    [
        ("depthwise", ["depthwise", "shared", "first_bn", "first"]),
        ("first_bn", ["first_bn", "first"]),
        ("first", ["first"]),
    ],
)
def test_inside_a_layer_those_that_come_after_it_are_left_out(keras, opened, viewed_layer, wanted):
    model = opened(trained(normalised(keras))).view_layer(viewed_layer)
    x = pictures(Convolutional())
    own = model.scores(x)
    stages = list(model.cascade(20))
    assert [(stage.layer, stage.total) for stage in stages] == [(name, len(wanted)) for name in wanted]
    for stage in model.cascade(20):
        assert not np.allclose(stage.model.scores(x), own)


def test_inside_a_branch_the_other_one_is_left_out(keras, opened):
    x = keras.Input((9, 13, 3))
    stem = keras.layers.Conv2D(4, 3, name="stem")(x)
    branches = [keras.layers.Conv2D(4, 3, name=name)(stem) for name in ("left", "right")]
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()(branches))
    model = opened(keras.Model(x, keras.layers.Dense(4, "softmax")(mean)))
    for name in ("left", "right"):
        assert [stage.layer for stage in model.view_layer(name).cascade(9)] == [name, "stem"]


def test_few_steps_are_spread_from_one_layer_to_all(keras, opened):
    model = opened(trained(normalised(keras)))
    assert [stage.done for stage in model.cascade(3)] == [1, 4, 7]


def test_weights_are_drawn_by_the_layers_own_initialisers(keras, opened):
    network = trained(normalised(keras))
    *_, last = opened(network).cascade(20, seed=1)
    with last.model._exchanged():
        result = {weight.path: weight.numpy() for weight in network.weights}
    for name in ("first_bn", "second_bn"):
        for part, wanted in (("gamma", 1), ("beta", 0), ("moving_mean", 0), ("moving_variance", 1)):
            assert (result[f"{name}/{part}"] == wanted).all()
    for name, fans in (
        ("first/kernel", 9 * 3 + 9 * 4),
        ("top/kernel", 6 + 4),
        ("separable/pointwise_kernel", 10),
    ):
        limit = (6 / fans) ** 0.5  # Glorot's uniform distribution
        assert 0.3 * limit < np.abs(result[name]).max() <= limit
        assert result[name].min() < 0 < result[name].max()
    assert np.abs(result["depthwise/kernel"]).max() < 0.7


def test_weights_of_a_layer_without_initialisers_are_mixed(keras, opened):
    class Scale(keras.layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight(shape=(shape[-1],), name="factor")

        def call(self, x):
            return x * self.factor

    network = keras.Sequential(
        [keras.Input((6, 8, 9)), Scale(), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    own = network.layers[0].factor
    own.assign(np.arange(9))
    *_, last = opened(network).cascade(5)
    with last.model._exchanged():
        result = own.numpy()
    np.testing.assert_array_equal(np.sort(result), np.arange(9))
    assert not np.array_equal(result, np.arange(9))


def test_the_same_seed_draws_the_same_weights(keras, opened, twin):
    model, x = opened(built(keras, networks.functional, twin)), pictures(twin)
    result = [[stage.model.scores(x) for stage in model.cascade(3, seed)] for seed in (4, 4, 5)]
    np.testing.assert_array_equal(result[0], result[1])
    assert not np.allclose(result[0], result[2])


def test_layers_of_one_shape_are_drawn_apart(keras, opened):
    layers = keras.layers
    network = keras.Sequential(
        [keras.Input((9, 13, 3)), *(layers.Conv2D(3, 3, padding="same") for _ in range(3)), layers.Flatten()]
    )
    network.add(layers.Dense(4))
    *_, last = opened(network).cascade(9)
    with last.model._exchanged():
        kernels = [layer.kernel.numpy() for layer in network.layers[:3]]
    for number in range(3):
        assert not np.allclose(kernels[number], kernels[number - 1])


def test_what_scales_pictures_is_not_learnt(keras, opened):
    scale = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])
    network = keras.Sequential(
        [keras.Input((9, 13, 3)), scale, keras.layers.Flatten(), keras.layers.Dense(4, name="top")]
    )
    assert [stage.layer for stage in opened(network).cascade(9)] == ["top"]


def test_a_random_network_gives_all_that_methods_ask_for_and_it_is_another(keras, opened, twin):
    model = opened(built(keras, networks.functional, twin))
    *_, stage = model.cascade(2)
    assert_answers_differ(model, stage.model, twin)


def test_a_savedmodel_keeps_its_weights_to_itself(keras, twin, tmp_path):
    built(keras, networks.functional, twin).export(tmp_path / "net", verbose=False)
    model = load_model(tmp_path / "net")
    assert "cascade" not in model.info.gives
    with pytest.raises(ModelError, match="keeps its weights to itself"):
        next(model.cascade(3))


def test_other_settings_leave_it_what_it_is(keras, opened, twin):
    model = opened(built(keras, networks.functional, twin))
    again = model.with_settings(Settings(labels=("a", "b", "c", "d")))
    x = pictures(twin)
    for one, other in zip(model.cascade(3), again.cascade(3), strict=True):
        np.testing.assert_array_equal(one.model.scores(x), other.model.scores(x))
        assert other.model.info.labels == ("a", "b", "c", "d")
