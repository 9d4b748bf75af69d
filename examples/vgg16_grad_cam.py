"""Grad-CAM with VGG16
===================

Of a tabby (281), or of a banana (954): ``python vgg16_grad_cam.py PHOTO CLASS``.
"""

import sys

from napari_saliency import Explanation, explain, load_model, show


def main(photo: str, index: str = "281", model: str = "keras:VGG16") -> Explanation:
    return explain(load_model(model), photo, int(index), "grad_cam")


if __name__ == "__main__":
    show(sys.argv[1], main(*sys.argv[1:]))
