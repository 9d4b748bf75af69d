"""The small network of `networks` as ONNX graphs, in the ways that exporters write them.

All of them compute what `tests.analytic.Convolutional` computes, with its weights. No framework is
imported here: each function is given ``onnx``.
"""

import numpy as np

CLASSES, SIZE = 4, (9, 13)


class Builder:
    """Puts a graph together, one operation after the other; every one returns its output's name."""

    def __init__(self, onnx):
        self.onnx, self.nodes, self.constants = onnx, [], []

    def __call__(self, kind, *inputs, outputs=1, domain="", **attributes):
        names = [self.constant(x) if isinstance(x, np.ndarray) else x for x in inputs]
        made = [f"{kind}_{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, names, made, domain=domain, **attributes))
        return made[0]

    def constant(self, array):
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def model(self, entry, output, opset=17, **notes):
        """A whole model; ``entry`` is (name, type, sizes), ``output`` one name or several."""
        helper = self.onnx.helper
        outputs = [self.onnx.ValueInfoProto(name=name) for name in np.atleast_1d(output).tolist()]
        inputs = [helper.make_tensor_value_info(*entry)]
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        helper.set_model_props(model, notes)
        return model


def f(*values, dtype=np.float32):
    return np.array(values, dtype)


def _sums(b, x, kind="ReduceSum"):
    """Along the classes; opset 17 wants the axes of sums as an input, those of maxima as an attribute."""
    if kind == "ReduceSum":
        return b(kind, x, np.array([-1]), keepdims=1)
    return b(kind, x, axes=[-1], keepdims=1)


def _exp(b, z):
    return b("Exp", b("Sub", z, _sums(b, z, "ReduceMax")))


def _divided(b, e):
    return b("Div", e, _sums(b, e))


def _logs(b, z):
    s = b("Sub", z, _sums(b, z, "ReduceMax"))
    return b("Sub", s, b("Log", _sums(b, b("Exp", s))))


def _places(b, z):
    return b("Reshape", z, np.array([0, CLASSES, 1, 1]))


SOFTMAXES = {
    "Softmax": lambda b, z: b("Softmax", z, axis=-1),
    "Softmax, axis 1": lambda b, z: b("Softmax", z, axis=1),
    "LogSoftmax": lambda b, z: b("LogSoftmax", z, axis=-1),
    "log of softmax": lambda b, z: b("Log", b("Softmax", z)),
    "Softmax, Identity": lambda b, z: b("Identity", b("Softmax", z)),
    "of places, flattened": lambda b, z: b("Flatten", b("Softmax", _places(b, z), axis=1)),
    "of places": lambda b, z: b("Softmax", _places(b, z), axis=1),
    "other precision": lambda b, z: b("Cast", b("Softmax", b("Cast", z, to=11)), to=1),
    "Exp / sum": lambda b, z: _divided(b, b("Exp", z)),
    "Exp / sum, shifted": lambda b, z: _divided(b, _exp(b, z)),
    "Exp × reciprocal": lambda b, z: (lambda e: b("Mul", e, b("Reciprocal", _sums(b, e))))(b("Exp", z)),
    "minus ReduceLogSumExp": lambda b, z: b("Sub", z, _sums(b, z, "ReduceLogSumExp")),
    "minus log of sum": _logs,
    "exp of minus log of sum": lambda b, z: b("Exp", _logs(b, z)),
    "clipped": lambda b, z: b("Clip", b("Softmax", z), np.array(1e-7, np.float32), np.array(1, np.float32)),
    "two halves": lambda b, z: b("Add", *[b("Mul", b("Softmax", z), f(0.5)) for _ in range(2)]),
    "shaped by its shape": lambda b, z: b("Reshape", b("Softmax", z), b("Shape", z)),
}

LINEAR = {
    "Gemm": lambda b, z: z,
    "Reshape": lambda b, z: b("Reshape", z, np.array([0, -1])),
    "of places": _places,
}


def _minus(b, z):
    return b("Exp", b("Neg", z))


SIGMOIDS = {
    "Sigmoid": lambda b, z: b("Sigmoid", z),
    "log of sigmoid": lambda b, z: b("Log", b("Sigmoid", z)),
    "1 / (1 + exp(-z))": lambda b, z: b("Div", f(1), b("Add", f(1), _minus(b, z))),
    "Reciprocal": lambda b, z: b("Reciprocal", b("Add", _minus(b, z), f(1))),
    "tanh": lambda b, z: b("Add", b("Mul", b("Tanh", b("Mul", z, f(0.5))), f(0.5)), f(0.5)),
}


HIDDEN = {
    "smoothed, then again a softmax": lambda b, z: b("Softmax", b("Log", b("Add", b("Softmax", z), f(0.01)))),
}


def body(b, twin, x, layout="NCHW", dtype=np.float32):
    """Two convolutions, each followed by a ReLU, and a linear layer; returns its output's name."""
    if layout == "NHWC":
        x = b("Transpose", x, perm=[0, 3, 1, 2])
    for stride, kernel, bias in zip((1, 2), twin.kernels, twin.biases, strict=True):
        weights = np.ascontiguousarray(np.transpose(kernel, (3, 2, 0, 1)).astype(dtype))
        x = b("Relu", b("Conv", x, weights, bias.astype(dtype), strides=[stride] * 2))
    flat = b("Flatten", b("Transpose", x, perm=[0, 2, 3, 1]))
    return b("Gemm", flat, twin.head.astype(dtype), twin.bias.astype(dtype))


def sizes(layout="NCHW", batch="N", size=SIZE):
    return [batch, 3, *size] if layout == "NCHW" else [batch, *size, 3]


def network(onnx, twin, end=SOFTMAXES["Softmax"], *, layout="NCHW", batch="N", size=SIZE, **notes):
    """A whole model that takes float32."""
    b = Builder(onnx)
    output = end(b, body(b, twin, "x", layout))
    return b.model(("x", onnx.TensorProto.FLOAT, sizes(layout, batch, size)), output, **notes)
