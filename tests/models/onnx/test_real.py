"""SqueezeNet 1.1 gives in ONNX what it gives in Keras, and as PyTorch exports it."""

import numpy as np
import pytest

from napari_saliency.core.types import SCORES, Targets
from napari_saliency.images import prepare
from napari_saliency.methods import METHODS
from napari_saliency.models import load_model
from tests.models.torch.networks import squeezenet as build

pytestmark = [
    pytest.mark.framework,
    pytest.mark.data,
    # What PyTorch says of the exporter that needs nothing more than PyTorch.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")
OPTIONS = {"window": 64, "stride": 32}
ENDS = {"logits": torch.nn.Identity(), "softmax": torch.nn.Softmax(1), "log-softmax": torch.nn.LogSoftmax(1)}


@pytest.fixture(scope="module", params=ENDS)
def in_onnx(request, data_folder, tmp_path_factory):
    network = build(torch)
    network.load_state_dict(torch.load(data_folder / "imagenet" / "squeezenet1_1.pth"))
    whole = torch.nn.Sequential(network, ENDS[request.param]).eval()
    path = tmp_path_factory.mktemp("onnx") / "squeezenet.onnx"
    free = {"input": {0: "batch", 2: "height", 3: "width"}, "output": {0: "batch"}}
    torch.onnx.export(
        whole, (torch.zeros(2, 3, 224, 224),), path, dynamo=False, dynamic_axes=free, input_names=["input"],
        output_names=["output"],
    )  # fmt: skip
    return load_model(path, preprocessing="caffe", size=(224, 224))


@pytest.fixture(scope="module")
def x(squeezenet, chelsea):
    return prepare.prepare(chelsea, squeezenet.info.input).x[None]


def test_the_same_network_says_the_same(in_onnx, squeezenet, x):
    assert in_onnx.info.logits
    assert in_onnx.info.input.description == "224×224 RGB"
    wanted = squeezenet.scores(x)
    np.testing.assert_allclose(in_onnx.scores(x), wanted, atol=1e-4 * np.abs(wanted).max())
    np.testing.assert_allclose(*(m.predict(x)[0].probabilities for m in (in_onnx, squeezenet)), atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_occlusion_gives_the_map_that_keras_gives(in_onnx, squeezenet, x, score):
    targets = Targets(np.eye(1000, dtype=np.float32)[[285]], score)
    result, wanted = (
        list(METHODS["occlusion"].function(m, x, targets, **OPTIONS))[-1].values
        for m in (in_onnx, squeezenet)
    )
    assert np.abs(result - wanted).max() <= 1e-4 * np.abs(wanted).max()
