"""DenseNet201 of torchvision
==========================

The same in PyTorch: ``python densenet201_torch.py PHOTO WEIGHTS.pth``.
"""

import sys

from napari_saliency import Display, Explanation, explain, load_model, show


def main(photo: str, weights: str, build: str = "torchvision.models:densenet201") -> Explanation:
    source = (
        f"python:{build}?weights={weights}"  # trust: torchvision may run, as it would if it were imported
    )
    return explain(load_model(source, trust=True, preprocessing="torch", size=(224, 224)), photo)


if __name__ == "__main__":
    show(sys.argv[1], main(*sys.argv[1:]), display=Display(reduction="sum"))
