"""Small networks built as ResNet, DenseNet, MobileNetV2 and VGG are, in PyTorch and in Keras with the same weights.

`multipliers` derives DeepLIFT's and LRP's multipliers a second time: layer by layer, in float64, each linear layer by
its own transpose alone, with no hook and no graph of derivatives that reaches over two layers.
"""

import numpy as np

from napari_saliency.core.types import Epsilon

SIZE, CLASSES = (33, 33), 6


def _bottleneck(channels, stride=1, shortcut=()):
    body = [("conv", channels // 2, 1, 1), "bn", "relu", ("conv", channels // 2, 3, stride), "bn", "relu"]
    return ["add", [*body, ("conv", channels, 1, 1), "bn"], list(shortcut)]


def _dense_layer(growth):
    return ["cat", [], ["bn", "relu", ("conv", 2 * growth, 1, 1), "bn", "relu", ("conv", growth, 3, 1)]]


def _inverted(expanded, channels, stride=1, *, residual=False):
    body = [("conv", expanded, 1, 1), "bn", "relu6", ("depthwise", expanded, 3, stride), "bn", "relu6"]
    body += [("conv", channels, 1, 1), "bn"]
    return [["add", body, []]] if residual else body


STEM = [("conv", 8, 3, 2), "bn", "relu"]
ARCHITECTURES = {
    "ResNet": [
        *STEM, ("max", 3, 2), _bottleneck(8), "relu", _bottleneck(12, 2, [("conv", 12, 1, 2), "bn"]), "relu",
        _bottleneck(12), "relu", "mean", ("dense", CLASSES),
    ],
    "DenseNet": [
        *STEM, ("max", 3, 2), _dense_layer(4), _dense_layer(4), "bn", "relu", ("conv", 8, 1, 1), ("average", 2, 2),
        _dense_layer(4), "bn", "relu", "mean", ("dense", CLASSES),
    ],
    "MobileNetV2": [
        ("conv", 6, 3, 2), "bn", "relu6", *_inverted(12, 8), *_inverted(16, 8, residual=True), *_inverted(16, 12, 2),
        *_inverted(24, 12, residual=True), ("conv", 32, 1, 1), "bn", "relu6", "mean", ("dense", CLASSES),
    ],
    "VGG": [
        ("conv", 6, 3, 1), "bn", "relu", ("conv", 6, 3, 1), "relu", ("max", 2, 2), ("conv", 8, 3, 1), "bn", "relu",
        ("max", 2, 2), "flat", ("dense", 12), "relu", ("dense", CLASSES),
    ],
}  # fmt: skip


def in_torch(torch, name):
    """The network, whose batch normalisations have seen noise."""
    torch.manual_seed(0)
    network = _sequence(torch, ARCHITECTURES[name])
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, 0, 0.3)
            part.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(16, 3, *SIZE))
    return network.eval()


def _sequence(torch, spec):
    parts = []
    channels = torch.nn.LazyConv2d, torch.nn.LazyBatchNorm2d, torch.nn.LazyLinear
    for step in spec:
        parts += _branches(torch, step) if isinstance(step, list) else _layers(torch, step, *channels)
    network = torch.nn.Sequential(*parts)
    return network


def _branches(torch, step):
    kind, *bodies = step

    class Branches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.kind, self.bodies = kind, torch.nn.ModuleList(_sequence(torch, body) for body in bodies)

        def forward(self, x):
            one, other = (body(x) for body in self.bodies)
            return one + other if kind == "add" else torch.cat([one, other], 1)

    return [Branches()]


def _layers(torch, step, convolution, normalisation, linear):
    kind, *how = [step] if isinstance(step, str) else step
    nn = torch.nn
    if kind in ("conv", "depthwise"):
        filters, size, stride = how
        groups = filters if kind == "depthwise" else 1
        return [convolution(filters, size, stride, size // 2, groups=groups, bias=False)]
    return {
        "bn": lambda: [normalisation()],
        "relu": lambda: [nn.ReLU()],
        "relu6": lambda: [nn.ReLU6()],
        "max": lambda: [nn.MaxPool2d(*how)],
        "average": lambda: [nn.AvgPool2d(*how)],
        "mean": lambda: [nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        "flat": lambda: [nn.Flatten()],
        "dense": lambda: [linear(*how)],
    }[kind]()


def in_keras(keras, torch, name):
    """The same with the same weights."""
    made, inputs = [], keras.Input((*SIZE, 3))
    network = keras.Model(inputs, _called(keras, ARCHITECTURES[name], inputs, made))
    twin = [part for part in in_torch(torch, name).modules() if [*part.parameters(recurse=False)]]
    for layer, part in zip(made, twin, strict=True):
        layer.set_weights(_weights(layer, {key: value.numpy() for key, value in part.state_dict().items()}))
    return network


def _weights(layer, state):
    kernel = state["weight"]
    if kernel.ndim == 1:
        return [kernel, state["bias"], state["running_mean"], state["running_var"]]
    if kernel.ndim == 2:
        if hasattr(layer, "space"):  # what was flattened has the channels first in PyTorch
            kernel = (
                kernel.reshape(len(kernel), -1, *layer.space).transpose(0, 2, 3, 1).reshape(len(kernel), -1)
            )
        return [kernel.T, state["bias"]]
    return [
        kernel.transpose(2, 3, 0, 1) if "Depthwise" in type(layer).__name__ else kernel.transpose(2, 3, 1, 0)
    ]


def _called(keras, spec, x, made):
    for step in spec:
        if isinstance(step, list):
            kind, *bodies = step
            ends = [_called(keras, body, x, made) for body in bodies]
            x = (keras.layers.Add() if kind == "add" else keras.layers.Concatenate())(ends)
        else:
            x = _layer_called(keras, step, x, made)
    return x


def _layer_called(keras, step, x, made):
    kind, *how = [step] if isinstance(step, str) else step
    layers = keras.layers
    if kind in ("conv", "depthwise"):
        filters, size, stride = how
        x = layers.ZeroPadding2D(size // 2)(x) if size > 1 else x
        first = (
            layers.DepthwiseConv2D
            if kind == "depthwise"
            else lambda *more, **named: layers.Conv2D(filters, *more, **named)
        )
        made.append(first(size, strides=stride, use_bias=False))
        return made[-1](x)
    if kind in ("bn", "dense"):
        made.append(layers.BatchNormalization(epsilon=1e-5) if kind == "bn" else layers.Dense(*how))
        if hasattr(x, "flattened"):
            made[-1].space = x.flattened
        return made[-1](x)
    result = {
        "relu": lambda: layers.ReLU(),
        "relu6": lambda: layers.ReLU(max_value=6),
        "max": lambda: layers.MaxPooling2D(*how),
        "average": lambda: layers.AveragePooling2D(*how),
        "mean": lambda: layers.GlobalAveragePooling2D(),
        "flat": lambda: layers.Flatten(),
    }[kind]()(x)
    if kind == "flat":
        result.flattened = x.shape[1:3]
    return result


def multipliers(torch, network, x, rule, weights):
    """Multipliers (N, H, W, C) of weighted outputs (N, K), of a network from `in_torch`."""
    network = network.double()
    first = torch.tensor(np.moveaxis(x, -1, 1), dtype=torch.float64)
    start = None if isinstance(rule, Epsilon) else rule.start
    second = None if start is None else torch.tensor(np.moveaxis(start, -1, 1), dtype=torch.float64)
    result = _back(torch, network, (first, second), torch.tensor(weights, dtype=torch.float64), rule)
    network.float()
    return np.moveaxis(result.numpy(), 1, -1)


def _back(torch, part, inputs, above, rule):
    """From multipliers of what a part gives to those of what it takes; inputs of the image, and of the reference."""
    if isinstance(part, torch.nn.Sequential):
        given = [inputs]
        for inner in part:
            given.append([None if one is None else inner(one).detach() for one in given[-1]])
        for inner, one in zip(reversed(part), reversed(given[:-1]), strict=True):
            above = _back(torch, inner, one, above, rule)
        return above
    x, x0 = inputs
    y, y0 = (None if one is None else part(one).detach() for one in inputs)
    if "ReLU" in type(part).__name__:
        change, gain = (x, y) if x0 is None else (x - x0, y - y0)
        return torch.where(change == 0, 0, above * gain / change)
    if isinstance(part, torch.nn.MaxPool2d) and x0 is not None:
        highest, change = torch.maximum(y, y0), x - x0
        shares = _transposed(torch, part, x, above * (highest - y0))
        shares += _transposed(torch, part, x0, above * (y - highest))
        return torch.where(change == 0, _transposed(torch, part, x, above), shares / change)
    if x0 is None and not isinstance(part, (torch.nn.MaxPool2d, torch.nn.Flatten)) and _sums(part):
        above = above * y / (y + rule.epsilon * torch.where(y >= 0, 1, -1))
    if hasattr(part, "bodies"):
        width = [body(x).shape[1] for body in part.bodies]
        shares = above.split(width, 1) if part.kind == "cat" else [above] * 2
        bodies = zip(part.bodies, shares, strict=True)
        return sum(_back(torch, body, inputs, share, rule) for body, share in bodies)
    return _transposed(torch, part, x, above)


def _sums(part):
    return getattr(part, "kind", "add") == "add"


def _transposed(torch, part, x, above):
    """What a layer's transpose makes of multipliers."""
    x = x.clone().requires_grad_()
    (result,) = torch.autograd.grad(part(x), x, above)
    return result
