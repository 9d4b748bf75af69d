"""What pictures cost a Keras network, and which sizes it takes where it leaves them open."""

import numpy as np
import pytest

from napari_saliency.api.explain import explain, explain_batch
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.models import Settings

pytestmark = pytest.mark.framework


def halving(keras, shape, times, dense=False):
    """Halves a picture some times, doubles it again, and joins what has the same size: a U-Net."""
    flat = len(shape) == 3
    k = keras.layers
    conv, pool, up = (
        (k.Conv2D, k.MaxPooling2D, k.UpSampling2D) if flat else (k.Conv3D, k.MaxPooling3D, k.UpSampling3D)
    )
    x = inputs = keras.Input(shape)
    kept = []
    for _ in range(times):
        x = conv(4, 3, padding="same", activation="relu")(x)
        kept.append(x)
        x = pool()(x)
    for other in reversed(kept):
        x = conv(4, 3, padding="same", activation="relu")(k.Concatenate()([up()(x), other]))
    if dense:
        return keras.Model(inputs, conv(3, 1, activation="softmax")(x))
    x = (k.GlobalAveragePooling2D if flat else k.GlobalAveragePooling3D)()(x)
    return keras.Model(inputs, k.Dense(3, activation="softmax")(x))


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("dense", [False, True])
def test_what_sizes_must_be_multiples_of_is_found_and_kept_to(keras, opened, times, dense):
    model = opened(halving(keras, (None, None, 3), times, dense), preprocessing="unit")
    assert model.info.input.multiple == 2**times
    picture = np.random.default_rng(0).integers(0, 255, (101, 150, 3), np.uint8)
    result = explain(model, picture, 1)
    assert result.values.shape[0] == 101 // 2**times * 2**times
    assert result.values.shape[1] == 150 // 2**times * 2**times
    # A centre crop that leaves less than one multiple out, so pixels stay square.
    assert result.placement.scale[0] == pytest.approx(result.placement.scale[1], rel=0.02)
    assert result.values.any()


def test_volumes_of_any_size_are_taken_in_multiples_too(keras, opened):
    model = opened(halving(keras, (None, None, None, 1), 2))
    assert model.info.input.multiple == 4
    assert explain(model, np.zeros((9, 22, 13), np.uint8), 0).values.shape == (8, 20, 12, 1)


def test_a_network_that_takes_any_size_is_given_the_pictures_own(keras, opened):
    network = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model = opened(network)
    assert model.info.input.multiple == 1
    pictures = [np.zeros((*size, 3), np.uint8) for size in ((37, 50), (37, 50), (80, 21))]
    shapes = [result.values.shape for result in explain_batch(model, pictures, 0)]
    assert shapes == [picture.shape for picture in pictures]
    fixed = model.with_settings(Settings(size=(20, 30)))
    assert explain(fixed, pictures[0], 0).values.shape == (20, 30, 3)


def test_a_size_that_does_not_fit_is_told_with_what_to_do(keras, opened):
    model = opened(halving(keras, (None, None, 3), 2)).with_settings(Settings(size=(37, 50)))
    for run in ("gradient", "grad_cam"):
        with pytest.raises(
            ModelError, match=r"could not be run on images of shape \(37, 50, 3\): .*"
        ) as said:
            explain(model, np.zeros((37, 50, 3), np.uint8), 0, run)
        assert "multiples of 32: set one in Settings or as size=(256, 384)" in str(said.value)
        assert "\n" not in str(said.value)


@pytest.mark.parametrize("shape", [(32, 40, 3), (16, 12, 20, 1)])
def test_costs_are_the_same_read_off_the_graph_and_measured(keras, opened, shape):
    from napari_saliency.models.keras.cost import costs, measured_costs

    fixed = opened(halving(keras, shape, 1))
    x = np.zeros((1, *shape), np.float32)
    assert costs(fixed._graph) == measured_costs(fixed._graph, x)
    free = opened(halving(keras, (*[None] * (len(shape) - 1), shape[-1]), 1))
    assert free.info.memory == pytest.approx(fixed.info.memory, rel=0.01)
    assert free.info.work == pytest.approx(fixed.info.work, rel=0.01)


@pytest.mark.parametrize("axes", [2, 3])
def test_costs_are_those_of_the_formula(keras, opened, axes):
    from napari_saliency.models.keras.cost import HELD

    shape = (10, 12, 8)[:axes]
    k = keras.layers
    inputs = keras.Input((*shape, 2))
    x = (k.Conv2D if axes == 2 else k.Conv3D)(5, 3, padding="same", activation="relu")(inputs)
    model = opened(keras.Model(inputs, k.Dense(3)(k.Flatten()(x))))
    assert model.info.work == 3**axes * 2 * 5  # for each pixel the whole kernel
    numbers = 3 * 5  # a convolution, its bias, its ReLU
    assert model.info.memory == pytest.approx(HELD * 4 * numbers, rel=0.05)


def test_a_network_of_any_size_without_convolutions(keras, opened):
    inputs = keras.Input((None, None, 3))
    model = opened(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(inputs))))
    assert model.info.work == 0
    assert explain(model, np.zeros((9, 7, 3), np.uint8), 0).values.shape == (9, 7, 3)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_picture_that_is_too_small_is_told_so(keras, opened, axes):
    k, sizes = keras.layers, (8, 9, 7)[:axes]
    conv, pool = (k.Conv2D, k.MaxPooling2D) if axes == 2 else (k.Conv3D, k.MaxPooling3D)
    mean = (k.GlobalAveragePooling2D if axes == 2 else k.GlobalAveragePooling3D)()
    network = keras.Sequential(
        [keras.Input((*[None] * axes, 3)), conv(4, 5), pool(3), conv(4, 3), mean, k.Dense(3)]
    )
    description = "picture of 9×8 pixels" if axes == 2 else "volume of 8×9×7 voxels"
    model = opened(network)
    x = np.zeros((1, *sizes, 3), np.float32)
    for run in (model.scores, lambda x: model.gradient(x, Targets(np.eye(1, 3, dtype=np.float32)))):
        with pytest.raises(
            ModelError, match=f"a {description} is too small for this model: give a larger one"
        ):
            run(x)
    with pytest.raises(ModelError, match=f"a {description} is too small for this model"):
        model.with_settings(Settings(size=sizes)).try_size()


def test_another_reason_is_told_without_where_it_was_found(keras, opened):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Reshape((16,))(keras.layers.Conv2D(4, 3)(inputs))
    model = opened(keras.Model(inputs, keras.layers.Dense(2)(x)))
    with pytest.raises(
        ModelError, match=r"\(8, 8, 3\): Input to reshape is a tensor with 144 values"
    ) as raised:
        model.scores(np.zeros((1, 8, 8, 3), np.float32))
    assert "node" not in str(raised.value)
    assert "File" not in str(raised.value)
