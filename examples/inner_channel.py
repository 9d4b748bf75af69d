"""What makes an inner channel respond
===================================

The strongest channel of a layer: ``python inner_channel.py PHOTO``.
"""

import sys

from napari_saliency import Explanation, explain, load_model, show


def main(photo: str, layer: str = "block5_conv3", model: str = "keras:VGG16") -> Explanation:
    return explain(load_model(model).view_layer(layer), photo, method="integrated_gradients")


if __name__ == "__main__":
    show(sys.argv[1], main(*sys.argv[1:]))
