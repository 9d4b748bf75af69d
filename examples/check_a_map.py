"""Is this map true?
=================

Guided backpropagation is caught drawing the picture: ``python check_a_map.py PHOTO [MODEL]``.
"""

import sys

from napari_saliency import check, explain, load_model


def main(photo: str, source: str = "bundled:photos", method: str = "guided_backprop"):
    model = load_model(source)
    return check(model, photo, explain(model, photo, method=method))


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
