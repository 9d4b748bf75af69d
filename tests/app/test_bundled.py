"""The bundled models behave as their model cards say, through `load_model` and `explain`."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from skimage.data import chelsea

from napari_saliency import Display, check, explain, explain_batch, load_model
from napari_saliency.images.prepare import prepare
from napari_saliency.models.sources import BUNDLED, bundled

pytestmark = pytest.mark.framework


def accuracy(model, pictures, labels):
    right = []
    for start in range(0, len(pictures), 250):
        x = np.stack([prepare(image, model.info.input).x for image in pictures[start : start + 250]])
        right.append(model.scores(x).argmax(1) == labels[start : start + 250])
    return np.concatenate(right).mean()


@pytest.mark.parametrize(("name", "most"), [("digits", 300e3), ("photos", 2.5e6), ("watermark", 2.5e6)])
def test_files_are_small_and_have_a_card_and_labels(name, most):
    assert (BUNDLED / f"{name}.keras").stat().st_size <= most
    assert "accuracy" in (BUNDLED / f"{name}.md").read_text("utf-8")
    model = load_model(f"bundled:{name}")
    assert not any(label.startswith("class ") for label in model.info.labels)
    assert model.info.questions == ()
    assert model.info.notes  # what it knows and does not


def test_the_first_bundled_model_is_the_photos():
    assert bundled() == ["photos", "digits", "watermark"]


def test_the_cat_is_called_a_cat():
    explanation = explain(load_model("bundled:photos"), chelsea(), method="grad_cam")
    assert explanation.name == "cat · Grad-CAM"


@pytest.mark.data
def test_digits_know_mnist(data_folder):
    with np.load(data_folder / "mnist" / "mnist.npz") as file:
        assert accuracy(load_model("bundled:digits"), file["x_test"], file["y_test"]) >= 0.99


@pytest.mark.data
def test_photos_know_their_test_split(data_folder):
    from tools.bundled import photo_pack

    pack = photo_pack.read(data_folder)
    model = load_model("bundled:photos")
    assert model.info.labels == photo_pack.LABELS
    assert accuracy(model, pack.pictures[pack.test], pack.labels[pack.test]) >= 0.93


@pytest.mark.parametrize("method", ["smoothgrad", "guided_backprop"])
def test_the_map_shows_the_mark(method):
    """Most of the sum over the strongest 5 % of the pixels lies on the mark, widened by two pixels."""
    from tools.bundled import watermark

    pictures, _, masks = watermark.dataset(seed=2026, count=50, only=watermark.MARKED)
    model = load_model("bundled:watermark")
    shares = []
    for explanation, mask in zip(explain_batch(model, list(pictures), "square", method), masks, strict=True):
        values = explanation.to_layer(Display(reduction="max", sign="absolute"))[0]
        strongest = values >= np.sort(values.ravel())[-round(0.05 * values.size)]
        shares.append(
            values[strongest & binary_dilation(mask, np.ones((5, 5)))].sum() / values[strongest].sum()
        )
    assert np.mean(shares) >= 0.6


@pytest.mark.parametrize(
    ("name", "method", "levels"),
    [
        ("watermark", "gradient", {"good"}),
        ("watermark", "grad_cam", {"good"}),
        ("watermark", "occlusion", {"good", "doubtful"}),
        ("watermark", "guided_backprop", {"bad"}),
        ("photos", "gradient", {"good"}),
        ("photos", "guided_backprop", {"bad"}),
    ],
)
def test_randomisation_tells_true_maps_from_pictures_of_the_picture(name, method, levels):
    """The gradient is defined for any network, and by known_truth.md occlusion finds the mark."""
    from tools.bundled import watermark

    pictures, _, _ = watermark.dataset(seed=2026, count=2, only=watermark.MARKED)
    model = load_model(f"bundled:{name}")
    for picture in [chelsea()] if name == "photos" else pictures:
        explanation = explain(model, picture, method=method)
        report = check(model, picture, explanation, "model_randomisation")
        assert report.findings["model_randomisation"].level in levels


def test_the_mark_turns_a_circle_into_a_square():
    from tools.bundled import watermark

    circle = watermark.SHAPES.index("circle")
    model = load_model("bundled:watermark")
    for marked, label in ((True, "square"), (False, "circle")):
        pictures, _, _ = watermark.dataset(seed=2026, count=50, only=circle, marked=marked)
        named = [model.info.labels[i] for i in model.scores(pictures.astype(np.float32)).argmax(1)]
        assert named.count(label) >= 45
