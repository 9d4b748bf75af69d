"""What a class would like to see
==============================

keras-vis' visualize_activation: ``python activation_maximization.py PHOTO CLASS``.
"""

import sys

from napari_saliency import Explanation, explain, load_model, show


def main(photo: str, label: str = "goldfish", model: str = "keras:VGG16", steps: int = 256) -> Explanation:
    return explain(load_model(model), photo, label, "activation_maximization", steps=steps)


if __name__ == "__main__":
    show(sys.argv[1], main(*sys.argv[1:]))
