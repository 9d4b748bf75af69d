"""Which layer class activation maps are made of, in all networks of keras.applications.

With weights that nobody trained, on small pictures. It is the layer that the literature names where it names one: the
last that has space before the pooling or flattening at the end. Of VGG that is ``block5_conv3``, as Selvaraju et al.
2017 have it, and not the pooling behind it.
"""

import gc
import re

import pytest

from napari_saliency.models.sources import APPLICATIONS

pytestmark = pytest.mark.framework

# Names of a family's networks → the layer. Where Keras itself counts layers the number depends on what was built
# before.
FAMILIES = {
    r"MobileNet": r"conv_pw_13_relu",
    r"MobileNetV2": r"out_relu",
    r"MobileNetV3(Small|Large)": r"activation(_\d+)?",
    r"VGG(16|19)": r"block5_conv[34]",
    r"ResNet(50|101|152)": r"conv5_block3_out",
    r"ResNet(50|101|152)V2": r"post_relu",
    r"DenseNet(121|169|201)": r"relu",
    r"InceptionV3": r"mixed10",
    r"InceptionResNetV2": r"conv_7b_ac",
    r"Xception": r"block14_sepconv2_act",
    r"EfficientNetB\d": r"top_activation",
    r"EfficientNetV2(B\d|S|M|L)": r"top_activation",
    r"NASNet(Mobile|Large)": r"activation(_\d+)?",
    r"ConvNeXt(Tiny|Small|Base|Large|XLarge)": r"add(_\d+)?",
}

LEAST = {"InceptionV3": 107, "InceptionResNetV2": 107, "Xception": 71}
"""Sides of the smallest pictures of those that take none of 64 pixels, or have no place left of one."""


def before_the_end(keras, network):
    """What the last pooling over all places, or else the flattening, takes: by Keras' own record of the calls."""
    ends = [each for each in network.layers if isinstance(each, keras.layers.GlobalAveragePooling2D)]
    ends = ends or [each for each in network.layers if isinstance(each, keras.layers.Flatten)]
    operation = ends[-1].input._keras_history.operation
    while isinstance(operation, (keras.layers.MaxPooling2D, keras.layers.Dropout)):
        operation = operation.input._keras_history.operation
    return operation


@pytest.fixture
def fast(monkeypatch):
    """Fill weights with one number: to draw hundreds of millions takes most of the time."""
    from keras.src.initializers.random_initializers import RandomNormal, TruncatedNormal, VarianceScaling

    def same(self, shape, dtype=None, **more):
        import keras

        return keras.ops.full(shape, 0.01, dtype or "float32")

    for kind in (RandomNormal, TruncatedNormal, VarianceScaling):
        monkeypatch.setattr(kind, "__call__", same)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_it_is_the_last_layer_with_space_before_the_end(keras, opened, fast, name):
    side = LEAST.get(name, 64)
    network = getattr(keras.applications, name)(weights=None, classes=4, input_shape=(side, side, 3))
    info, last = opened(network).info, before_the_end(keras, network)
    assert info.cam_layer == last.name
    (wanted,) = [layer for family, layer in FAMILIES.items() if re.fullmatch(family, name)]
    assert re.fullmatch(wanted, info.cam_layer)
    (layer,) = [layer for layer in info.layers if layer.name == info.cam_layer]
    assert (None, *layer.shape, layer.channels) == last.output.shape
    assert min(layer.shape) > 1
    del network, last
    gc.collect()


def test_all_networks_are_tried(keras):
    assert {name for name in dir(keras.applications) if name[0].isupper()} == set(APPLICATIONS)
