"""Several losses with weights
===========================

As keras-vis' visualize_saliency_with_losses: ``python weighted_losses.py PHOTO``.
"""

import sys

from napari_saliency import Explanation, Target, explain, load_model, show


def main(photo: str, model: str = "keras:VGG16") -> Explanation:
    # In words, which explain takes too: "tabby + 0.5 tiger cat - Egyptian cat".
    cats = Target.weighted({281: 1, 282: 0.5, 285: -1})
    return explain(load_model(model), photo, cats, "guided_backprop")


if __name__ == "__main__":
    show(sys.argv[1], main(*sys.argv[1:]))
