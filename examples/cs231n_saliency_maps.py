"""CS231n's saliency maps
======================

compute_saliency_maps of the course, with SqueezeNet 1.1: ``python cs231n_saliency_maps.py PHOTO CLASS WEIGHTS.pth``.
"""

import sys

import numpy as np

from napari_saliency import explain_batch, load_model


def compute_saliency_maps(X, y, model):
    """Largest magnitude over the channels of each correct score's gradient: (N, H, W) of pictures X, classes y."""
    return np.stack([abs(explanation.values).max(axis=-1) for explanation in explain_batch(model, X, y)])


def main(photo: str, index: str, weights: str, build: str = "torchvision.models:squeezenet1_1"):
    model = load_model(
        f"python:{build}?weights={weights}", trust=True, preprocessing="torch", size=(224, 224)
    )
    return compute_saliency_maps([photo], [int(index)], model)


if __name__ == "__main__":
    print(main(*sys.argv[1:]).shape)
