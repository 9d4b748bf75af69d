"""A picture is cut into pieces once, whatever is asked of it."""

import numpy as np
import pytest
import skimage.segmentation

from napari_saliency.api.check import check
from napari_saliency.api.explain import explain, explain_batch
from napari_saliency.methods._shared import segmentation
from napari_saliency.methods._shared.segmentation import memoized
from tests.analytic import Convolutional, Spatial, pictures
from tests.few import few

CUTTING = {"lime": 1, "kernel_shap": 1, "xrai": 6}  # scales
FEW = few()


@pytest.fixture
def cuts(monkeypatch):
    """Names of the algorithms that have run."""
    seen = []
    for name in ("slic", "felzenszwalb"):
        algorithm = getattr(skimage.segmentation, name)

        def counting(*args, algorithm=algorithm, name=name, **kwargs):
            seen.append(name)
            return algorithm(*args, **kwargs)

        monkeypatch.setattr(skimage.segmentation, name, counting)
    return seen


@pytest.fixture
def photos(request):
    """Pictures of this test alone, as what was cut is kept from one test to the next."""
    seed = sum(request.node.name.encode())
    return [np.random.default_rng(seed + n).uniform(0, 255, (12, 16, 3)).astype(np.float32) for n in (0, 1)]


@pytest.mark.parametrize("name", CUTTING)
def test_another_class_or_score_is_not_cut_again(name, cuts, photos):
    model, options = Spatial((12, 16, 3)), FEW[name]
    first = explain(model, photos[0], 0, name, **options)
    assert len(cuts) == CUTTING[name]
    other = explain(model, photos[0], 1, name, **options)
    explain(model, photos[0], 0, name, "probability", **options)
    assert len(cuts) == CUTTING[name]
    assert not np.array_equal(first.values, other.values)
    fresh = explain(
        Spatial((12, 16, 3)), photos[0], 1, name, **options
    )  # nor by another model, as checks ask
    np.testing.assert_array_equal(other.values, fresh.values)
    assert len(cuts) == CUTTING[name]


@pytest.mark.parametrize("name", CUTTING)
def test_a_check_that_makes_the_map_anew_cuts_nothing(name, cuts, photos):
    """Random weights, other classes: what they cost is runs of the model alone."""
    model, options = Convolutional((12, 16, 3)), FEW[name]
    result = explain(model, photos[0], 0, name, **options)
    report = check(model, photos[0], result, ["model_randomisation", "class_randomisation"])
    assert all(finding.complete for finding in report.findings.values())
    assert len(cuts) == CUTTING[name]


@pytest.mark.parametrize("name", CUTTING)
def test_another_picture_is_cut_and_both_are_kept(name, cuts, photos):
    model, options = Spatial((12, 16, 3)), FEW[name]
    explain_batch(model, photos, 0, name, **options)
    assert len(cuts) == 2 * CUTTING[name]
    explain_batch(model, photos, 1, name, **options)
    assert len(cuts) == 2 * CUTTING[name]


def test_superpixels_are_shared_and_those_of_another_number_are_others(cuts, photos):
    model = Spatial((12, 16, 3))
    for name, segments, wanted in (("lime", 6, 1), ("kernel_shap", 6, 1), ("lime", 8, 2)):
        explain(model, photos[0], 0, name, samples=20, segments=segments)
        assert len(cuts) == wanted


def test_a_picture_that_is_changed_in_place_is_another_one():
    cut = memoized(lambda picture: (picture > 0).astype(np.int32))
    picture = np.full((3, 4), -1, np.float32)
    assert not cut(picture).any()
    picture[:] = 1
    assert cut(picture).all()
    assert cut(picture.reshape(4, 3)).shape == (4, 3)


def test_what_is_kept_cannot_be_changed_and_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(segmentation, "MOST_BYTES", 100)
    runs = []
    cut = memoized(lambda picture: runs.append(1) or picture.astype(np.int32))
    one, two, three = np.arange(36, dtype=np.float32).reshape(3, 12)  # 48 bytes of labels each
    for picture in (one, two, one, two, three, two, three):
        cut(picture)
    assert len(runs) == 3
    cut(one)  # the oldest had to go
    assert len(runs) == 4
    with pytest.raises(ValueError, match="read-only"):
        cut(one)[0] = 1


def test_pieces_larger_than_all_that_is_kept_are_kept_alone(monkeypatch):
    monkeypatch.setattr(segmentation, "MOST_BYTES", 10)
    runs = []
    cut = memoized(lambda picture: runs.append(1) or picture.astype(np.int32))
    for _ in range(2):
        cut(pictures(Spatial()))
    assert len(runs) == 1
