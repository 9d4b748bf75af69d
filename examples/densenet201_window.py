"""DenseNet201 in a contrast window
================================

Channels summed, contrast limits at .3 and .7 of the range: ``python densenet201_window.py PHOTO``.
"""

import sys

from napari_saliency import Display, Explanation, explain, load_model, show


def main(photo: str, model: str = "keras:DenseNet201") -> tuple[Explanation, tuple[float, float]]:
    explanation = explain(load_model(model), photo)
    high = float(abs(explanation.values.sum(axis=-1)).max())
    return explanation, (0.3 * high, 0.7 * high)


if __name__ == "__main__":
    explanation, window = main(*sys.argv[1:])
    show(sys.argv[1], explanation, display=Display(reduction="sum"), contrast_limits=window)
