"""PyTorch networks that take any size, and those that do not: found out when they are opened."""

import numpy as np
import pytest

from napari_saliency import explain, explain_batch, load_model
from napari_saliency.core.errors import ModelError
from napari_saliency.models import Settings
from napari_saliency.models.sources import Source

pytestmark = [
    pytest.mark.framework,
    # What PyTorch says of itself when it saves TorchScript and graphs.
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning",
        "ignore:Converting a tensor to a Python",
    ),
]  # fmt: skip

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn
FORMS = ("module", "scripted", "traced", "exported")
WORDS = {2: "hw", 3: "zyx"}


class Halving(nn.Module):
    """Halves a picture some times, doubles it again, and joins what has the same size: a U-Net."""

    def __init__(self, times: int, dense: bool = True, axes: int = 2, channels: int = 3):
        super().__init__()
        torch.manual_seed(0)
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.down = nn.ModuleList(
            [conv(channels if n == 0 else 4, 4, 3, padding=1) for n in range(times)]
        )  # fmt: skip
        self.up = nn.ModuleList([conv(4 if n == 0 else 8, 4, 3, padding=1) for n in range(times)])
        self.pool = nn.MaxPool2d(2) if axes == 2 else nn.MaxPool3d(2)
        self.twice = nn.Upsample(scale_factor=2.0)
        self.head = conv(8, 3, 1)
        self.dense = dense

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for conv in self.down:
            x = torch.relu(conv(x))
            kept.append(x)
            x = self.pool(x)
        for n, conv in enumerate(self.up):
            x = torch.cat([self.twice(torch.relu(conv(x))), kept[len(kept) - 1 - n]], 1)
        x = self.head(x)
        return x if self.dense else x.flatten(2).mean(2)


def opened(net, **settings):
    from napari_saliency.models.torch.adapter import open_module

    settings = Settings(**{"preprocessing": "unit"} | settings)
    return open_module(net.eval(), Source("python", "net"), settings)


def in_form(net, form, folder, axes=2, step=1, channels=3):
    """Open a network after it was saved in a form, of free sizes where that must be said."""
    if form == "module":
        return opened(net)
    example = torch.zeros(2, channels, *[64 + 32 * n for n in range(axes)])
    path = folder / ("net.pt2" if form == "exported" else "net.pt")
    if form == "exported":
        sizes = {n + 2: step * torch.export.Dim(word, min=2) for n, word in enumerate(WORDS[axes])}
        sizes |= {0: torch.export.Dim("n")}
        torch.export.save(torch.export.export(net.eval(), (example,), dynamic_shapes=(sizes,)), path)
    else:
        script = torch.jit.trace(net.eval(), example) if form == "traced" else torch.jit.script(net.eval())
        torch.jit.save(script, path)
    return load_model(path, preprocessing="unit")


def by_autograd(net, picture, index, mask=None):
    """Derivative of a class's logit, or its mean in a region, by a picture of the numbers 0 to 1."""
    x = torch.tensor(np.moveaxis(picture, -1, 0))[None].requires_grad_()
    z = net(x)[0, index]
    (gradient,) = torch.autograd.grad(z.mean() if mask is None else z[torch.tensor(mask)].mean(), x)
    return np.moveaxis(gradient[0].numpy(), 0, -1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("dense", [False, True])
def test_what_sizes_must_be_multiples_of_is_found_and_kept_to(form, times, dense, tmp_path):
    net, step = Halving(times, dense), 2**times
    model = in_form(net, form, tmp_path, step=step)
    assert model.info.input.description == "any size RGB"
    assert model.info.input.multiple == step
    assert model.info.space == ((None, None) if dense else ())
    assert "size" not in model.info.questions
    picture = np.random.default_rng(0).uniform(0, 255, (45, 70, 3)).astype(np.uint8)
    result = explain(model, picture, 1)
    assert result.values.shape == (45 // step * step, 70 // step * step, 3)
    assert result.values.any()


@pytest.mark.parametrize("form", FORMS)
def test_the_map_of_any_size_is_that_of_autograd(form, tmp_path):
    net = Halving(2)
    model = in_form(net, form, tmp_path, step=4).with_settings(Settings(preprocessing="none"))
    for height, width in ((20, 36), (40, 24)):
        picture = np.random.default_rng(1).uniform(0, 1, (height, width, 3)).astype(np.float32)
        mask = np.arange(height * width).reshape(height, width) % 3 == 0
        result = explain(model, picture, 2, region=mask)
        expected = by_autograd(net, picture, 2, mask)
        np.testing.assert_allclose(result.values, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("form", FORMS)
def test_volumes_of_any_size_are_taken_in_multiples_too(form, tmp_path):
    net = Halving(2, axes=3, channels=1)
    model = in_form(net, form, tmp_path, 3, 4, 1)
    assert model.info.input.description == "any size (z×y×x) grey"
    assert model.info.input.multiple == 4
    volume = np.random.default_rng(0).uniform(0, 255, (9, 22, 13)).astype(np.uint8)
    assert explain(model, volume, 0, region=np.ones(volume.shape, bool)).values.shape == (8, 20, 12, 1)


def pooling(end=None, channels=3):
    """A classifier that ends in a mean over all places."""
    torch.manual_seed(0)
    body = nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return nn.Sequential(*body, end or nn.Softmax(1)).eval()


def test_a_classifier_of_any_size_is_given_the_pictures_own():
    net = pooling()
    model = opened(net)
    assert model.info.input.multiple == 1
    assert any("say which in Settings" in note for note in model.info.notes)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (*size, 3), np.uint8) for size in ((37, 50), (37, 50), (80, 21))]
    result = explain_batch(model, pictures, 0)
    for one, picture in zip(result, pictures, strict=True):
        expected = by_autograd(net[:-1], picture.astype(np.float32) / 255, 0)
        np.testing.assert_allclose(one.values, expected, atol=1e-5 * np.abs(expected).max())


def test_a_size_that_is_said_counts():
    free = opened(pooling())
    for model in (free.with_settings(Settings(size=(20, 30))), opened(pooling(), size=(20, 30))):
        assert model.info.input.description == "30×20 RGB"
        assert explain(model, np.zeros((37, 50, 3), np.uint8), 0).values.shape == (20, 30, 3)
        assert not any("any size" in note for note in model.info.notes)
    assert free.info.input.description == "any size RGB"
    again = opened(pooling(), size=(20, 30)).with_settings(Settings())
    assert again.info.input.description == "any size RGB"


def flat(size, stride=1):
    inner = [(n - 3) // stride + 1 for n in size]
    body = nn.Conv2d(3, 2, 3, stride), nn.Flatten(), nn.Linear(2 * inner[0] * inner[1], 4)
    return nn.Sequential(*body)


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (96, 96), (128, 128), (224, 224)])
@pytest.mark.parametrize("stride", [1, 2, 16, 32])
def test_a_network_of_one_size_is_not_taken_for_one_of_any(size, stride):
    info = opened(flat(size, stride)).info
    assert None not in info.input.shape
    assert "size" in info.questions
    if stride == 1:
        assert info.input.shape == size


def test_squares_alone_are_not_any_size():
    class Square(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            x = self.conv(x).flatten(2)
            side = round(x.shape[2] ** 0.5)
            return x.reshape(-1, 4, side, side).mean((2, 3))

    assert opened(Square()).info.input.shape == (224, 224)


@pytest.mark.parametrize("form", ["exported", "traced"])
def test_a_graph_that_was_exported_for_one_size_keeps_it(form, tmp_path):
    net, example = flat((64, 96)).eval(), torch.zeros(2, 3, 64, 96)
    if form == "exported":
        torch.export.save(torch.export.export(net, (example,)), tmp_path / "net.pt2")
        info = load_model(tmp_path / "net.pt2").info
        assert info.input.description == "96×64 RGB"
        assert "size" not in info.questions
    else:
        torch.jit.trace(net, example).save(tmp_path / "net.pt")
        with pytest.raises(ModelError, match="say the size of its pictures"):
            load_model(tmp_path / "net.pt")


def test_a_picture_that_is_too_small_is_told_with_what_to_do():
    net = nn.Sequential(nn.Conv2d(3, 4, 11), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match="a picture of 9×8 pixels is too small for this model") as said:
        explain(opened(net), np.zeros((8, 9, 3), np.uint8), 0)
    assert str(said.value).endswith("in Settings or as size=(256, 384)")
    with pytest.raises(ModelError) as said:
        explain(opened(net, size=(20, 20)), np.zeros((8, 9, 3), np.uint8), 0, "guided_backprop")
    assert "multiples of 32" not in str(said.value)


@pytest.mark.parametrize("axes", [2, 3])
def test_costs_are_those_of_the_formula_whatever_the_size(axes):
    from napari_saliency.models.torch.probe import HELD

    conv = nn.Conv2d if axes == 2 else nn.Conv3d
    pool = nn.AdaptiveAvgPool2d if axes == 2 else nn.AdaptiveAvgPool3d
    net = nn.Sequential(conv(2, 5, 3, padding=1), nn.ReLU(), pool(1), nn.Flatten())
    free, fixed = opened(net), opened(net, size=(48, 64, 40)[:axes])
    for info in (free.info, fixed.info):
        assert info.work == 3**axes * 2 * 5  # for each pixel the whole kernel
        assert info.memory == pytest.approx(HELD * 4 * 2 * 5, rel=0.05)  # a convolution, and its ReLU


def test_what_memory_would_not_suffice_for_is_refused_before_it_runs(monkeypatch):
    from napari_saliency.models import cost

    model = opened(Halving(1))
    free = type("Free", (), {"available": 20_000_000})
    monkeypatch.setattr(cost.psutil, "virtual_memory", lambda: free)
    with pytest.raises(
        ModelError, match="give a smaller picture or a part of it, or open the model with size="
    ):
        model.predict(np.zeros((1, 1000, 1000, 3), np.float32))
    model.predict(np.zeros((1, 64, 64, 3), np.float32))


def test_the_narrowest_layer_of_a_segmentation_of_any_size_is_looked_at():
    model = opened(Halving(2))
    assert model.info.cam_layer == opened(Halving(2), size=(64, 64)).info.cam_layer
    assert {layer.shape for layer in model.info.layers} == {(0, 0)}
    assert explain(model, np.ones((40, 24, 3), np.uint8), 0, "grad_cam").values.shape == (10, 6)


def test_a_size_that_was_said_is_taken_back():
    model = opened(Halving(1), size=(64, 48))
    assert (model.info.input.shape, model.info.sized) == ((64, 48), True)
    assert model.with_settings(Settings(size=())).info.input.shape == (None, None)


class Valid(nn.Sequential):
    """Convolutions that add no edges, and a pooling."""

    def __init__(self) -> None:
        pool = nn.AdaptiveAvgPool2d(1)
        super().__init__(
            nn.Conv2d(3, 4, 5), nn.ReLU(), nn.MaxPool2d(3), nn.Conv2d(4, 3, 3), pool, nn.Flatten()
        )


@pytest.mark.parametrize("form", ["module", "scripted", "traced"])
def test_a_picture_that_is_too_small_is_told_so_in_every_form(form, tmp_path):
    model = in_form(Valid(), form, tmp_path)
    for size in ((3, 60), (8, 9)):
        description = (
            f"a picture of {size[1]}×{size[0]} pixels is too small for this model: give a larger one"
        )
        with pytest.raises(ModelError, match=description):
            model.scores(np.zeros((1, *size, 3), np.float32))
    with pytest.raises(ModelError, match="a picture of 9×8 pixels is too small for this model"):
        model.with_settings(Settings(size=(8, 9))).try_size()


def test_an_exported_graph_says_how_small_is_too_small(tmp_path):
    sizes = {n: torch.export.Dim(word, min=16, max=500) for n, word in ((2, "h"), (3, "w"))}
    sizes[0] = torch.export.Dim("n")
    graph = torch.export.export(Valid().eval(), (torch.zeros(2, 3, 96, 97),), dynamic_shapes=(sizes,))
    torch.export.save(graph, tmp_path / "net.pt2")
    model = load_model(tmp_path / "net.pt2", preprocessing="unit")
    with pytest.raises(ModelError, match="a picture of 40×12 pixels is too small for this model"):
        model.scores(np.zeros((1, 12, 40, 3), np.float32))


def test_another_reason_is_told_without_where_it_was_found():
    net = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 3)).eval())
    with pytest.raises(ModelError, match=r"shape \(40, 40, 3\): mat1 and mat2 shapes cannot be") as raised:
        opened(net, size=(40, 40))
    assert "Traceback" not in str(raised.value)
    assert ".py" not in str(raised.value)
