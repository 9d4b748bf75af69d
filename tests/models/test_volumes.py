"""Classifiers of volumes, in Keras and PyTorch: the maps of a numpy twin, which has closed forms."""

import numpy as np
import pytest

from napari_saliency.api.explain import explain, explain_batch
from napari_saliency.core.errors import ModelError
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings, load_model
from napari_saliency.models.settings import SettingError
from napari_saliency.models.sources import Source
from tests.analytic import LABELS, Convolutional, pictures, targets_of
from tests.few import EVERYWHERE
from tests.models.comparing import FEW, assert_same_map, assert_same_primitives
from tests.models.keras.networks import with_weights

pytestmark = [
    pytest.mark.framework,
    # What PyTorch says of itself when it saves TorchScript and graphs, and TensorFlow of numpy.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

SHAPE, SPACE = (9, 7, 11, 2), (3, 2, 4)
KERAS = ["last", "first", "without size", "exported"]
TORCH = ["module", "script", "graph"]


@pytest.fixture(scope="module")
def twin():
    return Convolutional(SHAPE)


def in_keras(keras, twin, *, first=False, shape=SHAPE):
    k, order = keras.layers, "channels_first" if first else "channels_last"
    x = inputs = keras.Input((shape[-1], *shape[:-1]) if first else shape)
    x = k.Conv3D(5, 3, activation="relu", data_format=order, name="one")(x)
    x = k.Conv3D(6, 3, 2, activation="relu", data_format=order, name="two")(x)
    if shape[0] is None:
        x = k.Reshape((*SPACE, 6))(x)
    x = k.Flatten(data_format=order)(x)
    return with_weights(keras.Model(inputs, k.Dense(len(LABELS), activation="softmax")(x)), twin.arrays)


def in_torch(torch, twin):
    nn = torch.nn
    body = nn.Conv3d(2, 5, 3), nn.ReLU(), nn.Conv3d(5, 6, 3, 2), nn.ReLU(), nn.Flatten()
    net = nn.Sequential(*body, nn.Linear(int(np.prod(SPACE)) * 6, len(LABELS)), nn.Softmax(1))
    kernels = [np.transpose(kernel, (4, 3, 0, 1, 2)) for kernel in twin.kernels]
    head = np.reshape(twin.head, (*SPACE, 6, len(LABELS)))
    head = np.transpose(head, (4, 3, 0, 1, 2)).reshape(len(LABELS), -1)
    arrays = kernels[0], twin.biases[0], kernels[1], twin.biases[1], head, twin.bias
    with torch.no_grad():
        for parameter, array in zip(net.parameters(), arrays, strict=True):
            parameter.copy_(torch.tensor(np.ascontiguousarray(array)))
    return net.eval()


def open_keras(request, twin, form, folder):
    keras, opened = (request.getfixturevalue(name) for name in ("keras", "opened"))
    if form == "exported":
        in_keras(keras, twin).export(folder / "net", verbose=False)
        return load_model(folder / "net", preprocessing="none")
    shape = (None, None, None, 2) if form == "without size" else SHAPE
    return opened(in_keras(keras, twin, first=form == "first", shape=shape), preprocessing="none")


def open_torch(twin, form, folder):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    net, example, settings = in_torch(torch, twin), torch.zeros(1, 2, *SHAPE[:-1]), {"preprocessing": "none"}
    if form == "module":
        from napari_saliency.models.torch.adapter import open_module

        return open_module(net, Source("python", "net"), Settings(size=SHAPE[:-1], **settings))
    if form == "script":
        torch.jit.save(torch.jit.script(net), folder / "net.pt")
        return load_model(folder / "net.pt", size=SHAPE[:-1], **settings)
    torch.export.save(torch.export.export(net, (example,)), folder / "net.pt2")
    return load_model(folder / "net.pt2", **settings)


@pytest.fixture(scope="module", params=[*KERAS, *TORCH])
def model(request, twin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    if request.param in TORCH:
        return open_torch(twin, request.param, folder)
    return open_keras(request, twin, request.param, folder)


def test_what_a_model_of_volumes_says_of_itself(model):
    info = model.info
    assert info.input.description in ("9×7×11 (z×y×x) 2 channels", "any size (z×y×x) 2 channels")
    assert info.input.fit == "stretch"
    assert info.labels == tuple(f"class {i}" for i in range(4))
    assert info.logits
    cam = next(layer for layer in info.layers if layer.name == info.cam_layer)
    assert cam.shape in (SPACE, (0, 0, 0))
    assert cam.channels == 6


def test_it_answers_as_the_numpy_twin(model, twin):
    assert_same_primitives(model, twin, model.info.cam_layer)


def test_gradients_are_those_of_finite_differences(model, twin):
    x = pictures(twin)
    targets = targets_of(1)
    gradient = model.gradient(x, targets)[1][0].astype(np.float64)
    random = np.random.default_rng(0)
    for _ in range(3):
        step = 1e-6 * random.normal(size=x.shape)
        up, down = (twin.logits(x + sign * step)[0, 1] for sign in (1, -1))
        np.testing.assert_allclose((gradient * step[0]).sum(), (up - down) / 2, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("model", ["last", "module"], indirect=True)
@pytest.mark.parametrize("name", [name for name in EVERYWHERE if name != "xrai"])  # which refuses volumes
def test_every_method_gives_the_map_of_the_numpy_twin(model, twin, name):
    x, options = pictures(twin, 2), {**FEW.get(name, {}), **({"window": 4} if name == "occlusion" else {})}
    result, wanted = (
        [*METHODS[name].function(one, x, targets_of(0, 3), **options)][-1].values for one in (model, twin)
    )
    assert_same_map(result, wanted, 1e-3)


def test_maps_lie_over_their_volumes(model):
    depth = 18 if any(model.info.input.shape) else 9
    volume = np.random.default_rng(0).normal(size=(depth, 7, 11, 2)).astype(np.float32)
    fine, coarse = (explain(model, volume, 0, name) for name in ("gradient", "grad_cam"))
    for result in (fine, coarse):
        scale, translate, shape = result.placement.scale, result.placement.translate, result.values.shape[:3]
        edges = [(t - s / 2, t + (n - 0.5) * s) for t, s, n in zip(translate, scale, shape, strict=True)]
        np.testing.assert_allclose(edges, [(-0.5, n - 0.5) for n in volume.shape[:3]], atol=1e-9)
        data, attributes, _ = result.to_layer()
        assert data.shape == shape
        assert attributes["scale"] == scale
    assert fine.values.ndim == 4
    assert coarse.values.ndim == 3


def test_many_volumes_at_once(model):
    volumes = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
    for result, volume in zip(explain_batch(model, volumes, 1), volumes, strict=True):
        assert_same_map(result.values, explain(model, volume, 1).values)


# What does not fit -------------------------------------------------------------------------------


def test_a_picture_is_refused(model):
    with pytest.raises(ValueError, match="the model takes volumes"):
        explain(model, np.zeros((30, 40, 3), np.uint8))


def test_a_size_has_as_many_numbers_as_the_model_has_axes(model):
    with pytest.raises(SettingError, match=r"2 numbers|could not be run on images of shape \(8, 9, 2\)"):
        model.with_settings(Settings(size=(8, 9), channels=2))


def test_a_network_of_one_place_after_the_first_layer_has_no_map_of_places(keras, opened):
    inputs = keras.Input((4, 5, 6, 1))
    x = keras.layers.Flatten()(keras.layers.Conv3D(3, (4, 5, 6))(inputs))
    model = opened(keras.Model(inputs, keras.layers.Dense(2)(x)))
    assert not model.info.layers
    with pytest.raises(ModelError, match="no layer whose output has space"):
        explain(model, np.zeros((4, 5, 6), np.uint8), 0, "grad_cam")


def test_a_torch_network_that_says_no_size_is_tried_with_those_of_volumes():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from napari_saliency.models.torch.adapter import open_module

    nn = torch.nn
    net = nn.Sequential(nn.Conv3d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 26**3, 3))
    info = open_module(net, Source("python", "net"), Settings()).info
    assert info.input.description == "28×28×28 (z×y×x) grey"
    assert info.questions == ("size", "preprocessing", "labels")
    assert "Input size is a guess (28×28×28): say what the model was trained on." in info.notes


def test_a_function_of_volumes():
    from napari_saliency.models.python.function import CallableModel

    weights = np.random.default_rng(0).normal(size=(4, 5, 6, 1, 3)).astype(np.float32)

    def scores(x):
        return np.tensordot(x, weights, 4)

    scores.gradient = lambda x, w: (
        (scores(x) * w).sum(-1),
        np.einsum("nk,zyxck->nzyxc", w, weights),
    )
    settings = Settings(size=(4, 5, 6), channels=1, preprocessing="none")
    model = CallableModel(scores, Source("python", "scores"), settings)
    volume = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(explain(model, volume, 2).values, weights[..., 2], rtol=1e-5)


def test_an_onnx_file_of_volumes_is_run_forward(twin, tmp_path):
    onnx = pytest.importorskip("onnx", reason="ONNX is not installed")
    kernels = [np.transpose(kernel, (4, 3, 0, 1, 2)).astype(np.float32) for kernel in twin.kernels]
    head = np.reshape(twin.head, (*SPACE, 6, len(LABELS))).transpose(3, 0, 1, 2, 4).reshape(-1, len(LABELS))
    weights = {
        "k1": kernels[0],
        "b1": twin.biases[0],
        "k2": kernels[1],
        "b2": twin.biases[1],
        "w": head,
        "b": twin.bias,
    }
    make = onnx.helper
    nodes = [
        make.make_node("Conv", ["x", "k1", "b1"], ["c1"]),
        make.make_node("Relu", ["c1"], ["r1"]),
        make.make_node("Conv", ["r1", "k2", "b2"], ["c2"], strides=[2, 2, 2]),
        make.make_node("Relu", ["c2"], ["r2"]),
        make.make_node("Flatten", ["r2"], ["f"]),
        make.make_node("Gemm", ["f", "w", "b"], ["g"]),
        make.make_node("Softmax", ["g"], ["y"]),
    ]
    graph = make.make_graph(
        nodes,
        "net",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2, *SHAPE[:-1]])],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", len(LABELS)])],
        [onnx.numpy_helper.from_array(np.float32(array), name) for name, array in weights.items()],
    )
    opsets = [make.make_opsetid("", 13)]
    onnx.save(make.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "net.onnx")
    model = load_model(tmp_path / "net.onnx", preprocessing="none")
    assert model.info.input.description == "9×7×11 (z×y×x) 2 channels"
    x = pictures(twin, 3)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), atol=1e-3)
    volume = pictures(twin)[0]
    assert explain(model, volume, 1, "occlusion").values.shape == SHAPE[:-1]
