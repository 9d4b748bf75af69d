"""The bundled network of shapes in PyTorch, with the weights of the Keras file."""

from itertools import pairwise
from pathlib import Path

import keras
import torch
from torch import nn

import napari_saliency

FILE = Path(napari_saliency.__file__).parent / "bundled" / "watermark.keras"


class Scale(nn.Module):
    def forward(self, x):
        return x / 127.5 - 1


def build() -> nn.Module:
    sizes = [3, 16, 24, 32, 48, 48, 48]
    layers = [Scale()]
    for number, (before, after) in enumerate(pairwise(sizes)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        if number in (0, 2):
            layers.append(nn.MaxPool2d(2))
    end = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 4), nn.Softmax(dim=1)
    network = nn.Sequential(*layers, *end)
    weights = [layer.get_weights() for layer in keras.models.load_model(FILE).layers]
    kernels = [pair for pair in weights if pair]
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for layer, (kernel, bias) in zip(convolutions, kernels, strict=False):
            layer.weight.copy_(torch.tensor(kernel.transpose(3, 2, 0, 1)))
            layer.bias.copy_(torch.tensor(bias))
        network[-2].weight.copy_(torch.tensor(kernels[-1][0].T))
        network[-2].bias.copy_(torch.tensor(kernels[-1][1]))
    return network.eval()
