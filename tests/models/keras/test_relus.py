"""Rules for ReLUs of Keras networks, however the ReLUs were written."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from tests.analytic import Convolutional, pictures, targets_of
from tests.models.comparing import RULES, assert_rules_differ, assert_same_answers
from tests.models.keras import networks

pytestmark = pytest.mark.framework


@pytest.mark.parametrize("relu", networks.RELU6S.values(), ids=networks.RELU6S)
def test_pitfall_guided_backprop_silently_equal_to_the_plain_gradient_on_relu6(build, saturated, relu):
    model = build(networks.functional, relu, twin=saturated)
    assert_same_answers(model, saturated, ["logit"], [None, *RULES])
    assert_rules_differ(model, saturated)


@pytest.mark.parametrize("relu", networks.RELU6S.values(), ids=networks.RELU6S)
def test_pitfall_guided_backprop_changes_the_network_in_a_saturated_relu6(build, saturated, relu):
    """All units are beyond 6, or closed: nothing comes through them; deconvnet does not ask."""
    model = build(networks.functional, relu, twin=saturated)
    x, targets = np.float32(1e6) * pictures(saturated), targets_of(0)
    first = saturated.before_relus(x)[0]
    assert ((first > 6) | (first < 0)).all()
    assert (first > 6).any()
    for rule, any_left in ((None, False), ("guided", False), ("deconvnet", True)):
        assert model.gradient(x, targets, rule)[1].any() == any_left


def test_the_twins_relus_saturate(saturated):
    """They do, and the rule of a ReLU without a ceiling would give another map."""
    x = pictures(saturated, 3)
    assert all((z > 6).any() for z in saturated.before_relus(x))
    open_ended = Convolutional()
    open_ended.__dict__.update(saturated.__dict__, ceiling=np.inf)
    open_ended.before_relus = saturated.before_relus
    maps = [model.gradient(x, targets_of(0, 1, 2), "guided")[1] for model in (saturated, open_ended)]
    assert np.abs(maps[0] - maps[1]).max() > 0.1 * np.abs(maps[0]).max()


def test_another_ceiling_is_kept_to(build):
    twin = Convolutional(ceiling=0.5)
    model = build(
        networks.functional, lambda k, *c: networks.after(k, *c, k.layers.ReLU(max_value=0.5)), twin=twin
    )
    assert_same_answers(model, twin, ["logit"], [None, "guided"])


@pytest.fixture(scope="module")
def leaky(build):
    return build(
        networks.functional,
        lambda k, *c: networks.after(k, *c, k.layers.ReLU(negative_slope=0.3)),
        twin=Convolutional(slope=0.3),
    )


def test_pitfall_guided_backprop_changes_the_network_by_dropping_a_slope(leaky):
    assert_same_answers(leaky, Convolutional(slope=0.3))


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_pitfall_guided_backprop_silently_equal_to_the_plain_gradient_without_a_relu(leaky, rule):
    with pytest.raises(
        ModelError, match=f"net has no ReLU, so {rule} backpropagation would be the plain gradient"
    ):
        leaky.gradient(pictures(Convolutional()), targets_of(0), rule)


def own_activation(keras, name):
    """Activations that Keras, or an application of its, computes by ReLUs; none of them is one."""
    return {
        "hard_sigmoid": keras.layers.Activation("hard_sigmoid"),
        "hard_swish": keras.layers.Activation("hard_swish"),
        "MobileNetV3's": lambda x: x * (keras.layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)),
        "PReLU": keras.layers.PReLU(alpha_initializer="ones", shared_axes=[1, 2]),
    }[name]


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
@pytest.mark.parametrize("name", ["hard_sigmoid", "hard_swish", "MobileNetV3's", "PReLU"])
def test_a_rule_leaves_the_parts_of_other_activations_alone(keras, opened, name, rule):
    import tensorflow as tf

    activation = own_activation(keras, name)
    inputs = keras.Input(networks.PICTURE)
    first, second = keras.layers.Conv2D(4, 3), keras.layers.Conv2D(3, 3)
    pool = keras.layers.GlobalAveragePooling2D()
    without = keras.Model(inputs, pool(second(activation(first(inputs)))))
    with pytest.raises(ModelError, match="has no ReLU"):
        opened(without).gradient(pictures(Convolutional()), Targets(np.eye(1, 3, dtype=np.float32)), rule)
    with_one = keras.Model(inputs, pool(keras.ops.relu(second(activation(first(inputs))))))

    x = pictures(Convolutional())
    with tf.GradientTape() as tape:  # one ReLU before the mean: the rule by hand, the rest by the tape
        tensor = tf.constant(x)
        tape.watch(tensor)
        z = second(activation(first(tensor)))
        passed = np.zeros(z.shape, np.float32)
        passed[..., 1] = 1 / (z.shape[1] * z.shape[2])
        value = tf.reduce_sum(z * (passed * np.asarray(z > 0) if rule == "guided" else passed))
    weights = Targets(np.eye(3, dtype=np.float32)[[1]])
    result = opened(with_one).gradient(x, weights, rule)[1]
    np.testing.assert_allclose(result, tape.gradient(value, tensor), atol=1e-6)


def test_relus_beside_the_way_to_the_classes_do_not_count(keras, opened):
    x = inputs = keras.Input(networks.PICTURE)
    x = keras.layers.Conv2D(4, 3, activation="tanh")(x)
    outputs = keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(x))
    unused = keras.ops.relu(x)
    network = keras.Model(inputs, [outputs, unused])
    network = keras.Model(inputs, keras.layers.Identity()(network(inputs)[0]))
    with pytest.raises(ModelError, match="has no ReLU"):
        opened(network).gradient(pictures(Convolutional()), targets_of(0), "guided")


def test_pitfall_guided_backprop_changes_the_network(keras, opened, twin):
    network = networks.with_weights(networks.nested(keras), twin.arrays)
    x, targets = pictures(twin, 2), targets_of(0, 1)
    said = network(x).numpy()
    model = opened(network)
    before = model.scores(x), model.gradient(x, targets)[1]
    for rule in ("guided", "deconvnet"):
        value, _ = model.gradient(x, targets, rule)
        np.testing.assert_allclose(value, before[0][[0, 1], [0, 1]], rtol=1e-5)
    np.testing.assert_array_equal(model.scores(x), before[0])
    np.testing.assert_array_equal(model.gradient(x, targets)[1], before[1])
    np.testing.assert_array_equal(network(x).numpy(), said)
