"""Plain, guided and rectified gradients
=====================================

With the softmax taken off: ``python mnist_cifar10_rules.py PHOTO MODEL``.
"""

import sys

from napari_saliency import Explanation, explain, load_model, show


def main(photo: str, model: str = "bundled:digits") -> list[Explanation]:
    network = load_model(model)
    return [explain(network, photo, method=rule) for rule in ("gradient", "guided_backprop", "deconvnet")]


if __name__ == "__main__":
    show(sys.argv[1], *main(*sys.argv[1:]))
