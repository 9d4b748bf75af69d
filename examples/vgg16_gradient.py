"""Vanilla gradient of VGG16
=========================

The top class, in jet at 0.8 over the picture: ``python vgg16_gradient.py PHOTO``.
"""

import sys

from napari_saliency import Explanation, explain, load_model, show


def main(photo: str, model: str = "keras:VGG16") -> Explanation:
    return explain(load_model(model), photo)


if __name__ == "__main__":
    show(sys.argv[1], main(*sys.argv[1:]), colormap="jet", opacity=0.8)
