"""Which layer class activation maps are made of, in the networks of keras.applications.

One of each family, the smallest, with random weights and on small pictures: the others are built by the same
function with other numbers, and all 40 together take too long to build. It is the layer that the
literature names where it names one: the last that has space before the pooling or flattening at the end.
Of VGG that is ``block5_conv3``, as Selvaraju et al. 2017 have it, and not the pooling behind it.
"""

import gc
import re

import pytest

from napari_saliency.models._sources import APPLICATIONS

pytestmark = pytest.mark.framework

# Names of a family's networks → the one that is built, the side of its picture, and the layer. Where Keras itself
# counts layers the number depends on what was built before.
FAMILIES = {
    r"MobileNet": ("MobileNet", 64, r"conv_pw_13_relu"),
    r"MobileNetV2": ("MobileNetV2", 64, r"out_relu"),
    r"MobileNetV3(Small|Large)": ("MobileNetV3Small", 64, r"activation_\d+"),
    r"VGG(16|19)": ("VGG16", 64, r"block5_conv3"),
    r"ResNet(50|101|152)": ("ResNet50", 64, r"conv5_block3_out"),
    r"ResNet(50|101|152)V2": ("ResNet50V2", 64, r"post_relu"),
    r"DenseNet(121|169|201)": ("DenseNet121", 64, r"relu"),
    r"InceptionV3": ("InceptionV3", 107, r"mixed10"),
    r"InceptionResNetV2": ("InceptionResNetV2", 107, r"conv_7b_ac"),
    r"Xception": ("Xception", 71, r"block14_sepconv2_act"),
    r"EfficientNetB\d": ("EfficientNetB0", 64, r"top_activation"),
    r"EfficientNetV2(B\d|S|M|L)": ("EfficientNetV2B0", 64, r"top_activation"),
    r"NASNet(Mobile|Large)": ("NASNetMobile", 64, r"activation_\d+"),
    r"ConvNeXt(Tiny|Small|Base|Large|XLarge)": ("ConvNeXtTiny", 64, r"add(_\d+)?"),
}


def before_the_end(keras, network):
    """What the last pooling over all places, or else the flattening, takes: by Keras' own record of the calls."""
    ends = [each for each in network.layers if isinstance(each, keras.layers.GlobalAveragePooling2D)]
    ends = ends or [each for each in network.layers if isinstance(each, keras.layers.Flatten)]
    operation = ends[-1].input._keras_history.operation
    while isinstance(operation, (keras.layers.MaxPooling2D, keras.layers.Dropout)):
        operation = operation.input._keras_history.operation
    return operation


@pytest.mark.parametrize(("name", "side", "wanted"), FAMILIES.values(), ids=lambda value: str(value))
def test_it_is_the_last_layer_with_space_before_the_end(keras, opened, name, side, wanted):
    build = getattr(keras.applications, name)
    network = build(weights=None, classes=4, input_shape=(side, side, 3))
    info, last = opened(network).info, before_the_end(keras, network)
    assert info.cam_layer == last.name
    assert re.fullmatch(wanted, info.cam_layer)
    (layer,) = [layer for layer in info.layers if layer.name == info.cam_layer]
    assert (None, *layer.shape, layer.channels) == last.output.shape
    assert min(layer.shape) > 1
    del network, last
    gc.collect()


def test_every_network_is_of_a_family_that_is_tried(keras):
    offered = {name for name in dir(keras.applications) if name[0].isupper()}
    assert offered >= set(APPLICATIONS)
    for name in offered:
        assert sum(bool(re.fullmatch(family, name)) for family in FAMILIES) == 1
