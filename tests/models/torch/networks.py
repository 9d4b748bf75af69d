"""The small network of `networks`, written in PyTorch in every way that people write networks.

All of them compute what `tests.analytic.Convolutional` computes, with its weights. No framework is
imported here: each function is given ``torch``.
"""

import copy

import numpy as np

CLASSES, SIZE, SPACE = 4, (9, 13), (6, 3, 5)


def RELUS(torch):
    functional = torch.nn.functional
    return {
        "nn.ReLU": torch.nn.ReLU(),
        "nn.ReLU(inplace)": torch.nn.ReLU(inplace=True),
        "F.relu": functional.relu,
        "F.relu(inplace)": lambda x: functional.relu(x, inplace=True),
        "F.relu_": lambda x: functional.relu_(x * 1),
        "torch.relu": torch.relu,
        "Tensor.relu": lambda x: x.relu(),
        "Tensor.relu_": lambda x: x.relu_(),
        "clamp(min=0)": lambda x: x.clamp(min=0),
        "clamp_min": lambda x: torch.clamp_min(x, 0),
        "clamp_": lambda x: x.clamp_(min=0.0),
        "clip": lambda x: torch.clip(x, 0),
        "Hardtanh(0, inf)": torch.nn.Hardtanh(0, float("inf")),
        "maximum": lambda x: torch.maximum(x, torch.zeros(())),
        "in a module": torch.nn.Sequential(torch.nn.Sequential(torch.nn.ReLU())),
    }


def RELU6S(torch):
    functional = torch.nn.functional
    return {
        "nn.ReLU6": torch.nn.ReLU6(),
        "nn.ReLU6(inplace)": torch.nn.ReLU6(inplace=True),
        "F.relu6": functional.relu6,
        "F.hardtanh": lambda x: functional.hardtanh(x, 0.0, 6.0),
        "Hardtanh(0, 6)": torch.nn.Hardtanh(0, 6, inplace=True),
        "clamp(0, 6)": lambda x: x.clamp(0, 6),
        "clamp(0, 6)_": lambda x: torch.clamp_(x, min=0, max=6),
    }


def SOFTMAXES(torch):
    functional = torch.nn.functional
    return {
        "nn.Softmax": torch.nn.Softmax(1),
        "nn.LogSoftmax": torch.nn.LogSoftmax(-1),
        "F.softmax": lambda x: functional.softmax(x, 1),
        "F.log_softmax": lambda x: functional.log_softmax(x, -1),
        "torch.softmax": lambda x: torch.softmax(x, dim=-1),
        "Tensor.softmax": lambda x: x.softmax(1),
        "log of softmax": lambda x: x.softmax(1).log(),
        "softmax, Dropout": torch.nn.Sequential(torch.nn.Softmax(1), torch.nn.Dropout(0.5)),
        "of places, flattened": lambda x: x[:, :, None, None].softmax(1).flatten(1),
        "of places, squeezed": lambda x: x[:, :, None].softmax(1).squeeze(-1),
        "other precision": lambda x: x.softmax(1, dtype=torch.float64).float(),
        "in a module": torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(torch.nn.Softmax(1))),
    }


def LINEAR(torch):
    return {
        "Linear": torch.nn.Identity(),
        "view": lambda x: x.view(x.size(0), 2, 2).reshape(x.size(0), 4),
        "after a softmax beside": lambda x: (x.softmax(1), x)[1],
    }


def SIGMOIDS(torch):
    return {
        "nn.Sigmoid": torch.nn.Sigmoid(),
        "F.sigmoid": torch.nn.functional.sigmoid,
        "torch.sigmoid": torch.sigmoid,
        "Tensor.sigmoid_": lambda x: x.sigmoid_(),
    }


def HIDDEN(torch):
    return {
        "exp / sum": lambda x: x.exp() / x.exp().sum(1, keepdim=True),
        "two halves": lambda x: x.softmax(1) / 2 + x.softmax(1) / 2,
        "mean of places": lambda x: x[:, :, None].expand(-1, -1, 3).softmax(1).mean(-1),
    }


def network(torch, relu, end, twin):
    """Two convolutions, each followed by ``relu``, and a linear layer followed by ``end``."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 5, 3), torch.nn.Conv2d(5, 6, 3, 2)
            self.top = torch.nn.Linear(90, CLASSES)
            self.relu, self.end = relu, end

        def forward(self, x):
            x = self.relu(self.second(self.relu(self.first(x))))
            return self.end(self.top(x.flatten(1)))

    return with_weights(torch, Net(), twin)


def sequential(torch, twin, relu=None, end=None):
    """The same as a list of modules, which TorchScript can read."""
    nn = torch.nn
    relu, end = relu or nn.ReLU(inplace=True), end or nn.Softmax(1)
    body = nn.Conv2d(3, 5, 3), relu, nn.Conv2d(5, 6, 3, 2), copy.deepcopy(relu)
    return with_weights(torch, nn.Sequential(*body, nn.Flatten(), nn.Linear(90, CLASSES), end), twin)


def with_weights(torch, net, twin):
    arrays = [np.transpose(a, (3, 2, 0, 1)) if np.ndim(a) == 4 else a for a in twin.arrays[:-2]]
    _, height, width = SPACE
    head = np.reshape(twin.head, (height, width, -1, CLASSES))
    arrays += [np.transpose(head, (3, 2, 0, 1)).reshape(CLASSES, -1), twin.bias]
    parameters = [p for p in net.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.copy_(torch.tensor(array))
    return net


def squeezenet(torch):
    """SqueezeNet 1.1 with the names of torchvision's."""
    nn = torch.nn

    class Fire(nn.Module):
        def __init__(self, channels, squeezed, expanded):
            super().__init__()
            self.squeeze, self.squeeze_activation = nn.Conv2d(channels, squeezed, 1), nn.ReLU(inplace=True)
            self.expand1x1, self.expand1x1_activation = (
                nn.Conv2d(squeezed, expanded, 1),
                nn.ReLU(inplace=True),
            )
            self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
            self.expand3x3_activation = nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.squeeze_activation(self.squeeze(x))
            sides = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
            return torch.cat(sides, 1)

    class SqueezeNet(nn.Module):
        def __init__(self):
            super().__init__()
            pools = [nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(3)]
            fires = [
                Fire(64, 16, 64),
                Fire(128, 16, 64),
                pools[1],
                Fire(128, 32, 128),
                Fire(256, 32, 128),
                pools[2],
            ]
            fires += [Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)]
            self.features = nn.Sequential(nn.Conv2d(3, 64, 3, 2), nn.ReLU(inplace=True), pools[0], *fires)
            self.classifier = nn.Sequential(
                nn.Dropout(0.5), nn.Conv2d(512, 1000, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
            )

        def forward(self, x):
            return torch.flatten(self.classifier(self.features(x)), 1)

    return SqueezeNet()
