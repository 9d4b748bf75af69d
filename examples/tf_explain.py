"""tf-explain's seven explainers
=============================

And SmoothGrad of Grad-CAM: ``python tf_explain.py PHOTO CLASS MODEL``.
"""

import sys

from napari_saliency import Explanation, explain, load_model, show

EXPLAINERS = ["activations", "gradient", "gradient_x_input", "smoothgrad", "integrated_gradients", "occlusion",
              "grad_cam"]  # fmt: skip


def main(photo: str, index: str, model: str) -> list[Explanation]:
    network = load_model(model)
    seven = [explain(network, photo, int(index), method) for method in EXPLAINERS]
    return [*seven, explain(network, photo, int(index), "smoothgrad", of="grad_cam", samples=20)]


if __name__ == "__main__":
    show(sys.argv[1], *main(*sys.argv[1:]))
