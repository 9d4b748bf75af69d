"""keras-vis in two calls
======================

visualize_saliency and visualize_activation: ``python keras_vis.py PHOTO CLASS MODEL``.
"""

import sys

from napari_saliency import Explanation, explain, load_model, show

RULES = {None: "gradient", "guided": "guided_backprop", "relu": "deconvnet"}


def main(
    photo: str, index: str, model: str, modifier: str | None = None, steps: int = 256
) -> list[Explanation]:
    network = load_model(model)
    saliency = explain(network, photo, int(index), RULES[modifier])
    return [saliency, explain(network, photo, int(index), "activation_maximization", steps=steps)]


if __name__ == "__main__":
    show(sys.argv[1], *main(*sys.argv[1:]))
