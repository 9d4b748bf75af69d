"""The standard error of a map as a layer of its own: where it comes, what it follows, when it goes."""

import numpy as np
import pytest

from napari_saliency.maps.reduction import Display
from napari_saliency.viewer.controller import Viewing
from napari_saliency.viewer.source_layer import OURS
from napari_saliency.viewer.synced_layers import KIND, STATE
from tests.fakes import FakeInspection, prediction

pytestmark = pytest.mark.viewer
PHOTO = np.random.default_rng(5).integers(0, 255, (60, 80, 3), np.uint8)
ERROR = np.full((4, 4, 3), 0.25, np.float32)


@pytest.fixture
def inspection():
    return FakeInspection(
        prediction(3), values=lambda index, title: np.full((4, 4, 3), index + 1.0, np.float32)
    )


@pytest.fixture
def posted():
    return []


@pytest.fixture
def viewing(viewer, inspection, posted):
    made = Viewing(viewer, inspection, posted.append, lambda call: call)
    viewer.add_image(PHOTO, name="photo")
    yield made
    made.close()


def of(viewer, kind):
    return [layer for layer in viewer.layers if layer.metadata.get(KIND) == kind]


def sampled(inspection, index=0, error=ERROR, **changes):
    """Let a map of a class come, with an error."""
    inspection.patient = True
    inspection.select_class(index)
    inspection.finish(stderr=error, **changes)


@pytest.fixture
def error(viewer, inspection, viewing):
    """The layer of the error of class 0."""
    viewing.errors = True
    sampled(inspection)
    (layer,) = of(viewer, "error")
    return layer


def test_it_lies_right_above_its_map_and_can_be_compared_with_it(viewer, inspection, viewing):
    sampled(inspection, 2)
    (shown,) = of(viewer, "map")
    shown.colormap = "viridis"
    assert not of(viewer, "error")
    viewing.errors = True
    (error,) = of(viewer, "error")
    assert list(viewer.layers).index(error) == list(viewer.layers).index(shown) + 1
    assert error.name == f"{inspection.explanation.name} · standard error"
    np.testing.assert_array_equal(error.data, np.full((4, 4), 0.25))
    np.testing.assert_array_equal(error.extent.world, shown.extent.world)
    assert error.contrast_limits == shown.contrast_limits == [0, 3]
    assert error.colormap.name == "saliency error cyan"
    assert viewing.pictures == [viewer.layers["photo"]]  # it is none
    viewing.errors = False
    assert [layer.name for layer in viewer.layers] == ["photo", shown.name]


def test_it_follows_classes_and_sharpening_maps_in_place(viewer, inspection, viewing, error):
    inspection.finish(stderr=ERROR / 2, done=9, total=50)
    np.testing.assert_array_equal(error.data, np.full((4, 4), 0.125))
    sampled(inspection, 1, ERROR * 3)
    assert of(viewer, "error") == [error]
    np.testing.assert_array_equal(error.data, np.full((4, 4), 0.75))
    assert error.contrast_limits == [0, 2]
    assert error.name == f"{inspection.explanation.name} · standard error"
    assert error.metadata[OURS] is inspection.explanation


def test_what_is_selected_stays_so(viewer, inspection, viewing):
    sampled(inspection)
    (shown,) = of(viewer, "map")
    assert viewer.layers.selection.active is shown
    viewing.errors = True
    assert viewer.layers.selection.active is shown
    viewer.layers.selection.active = of(viewer, "error")[0]
    viewing.errors = False
    assert viewer.layers.selection.active is shown


def test_what_the_user_sets_stays(viewer, inspection, viewing, error):
    chosen = {"opacity": 0.3, "blending": "additive", "gamma": 0.5, "visible": False, "name": "mine"}
    for name, value in chosen.items():
        setattr(error, name, value)
    error.contrast_limits = (0.1, 0.2)
    sampled(inspection, 1)
    assert {name: getattr(error, name) for name in chosen} == chosen
    assert error.contrast_limits == [0.1, 0.2]
    viewing.errors = False
    viewing.errors = True
    (again,) = of(viewer, "error")
    assert (again.opacity, again.gamma) == (0.3, 0.5)


def test_its_contrast_is_the_maps_until_it_is_set_by_hand(viewer, inspection, viewing, error):
    told = []
    viewing.contrast_changed.connect(told.append)
    (shown,) = of(viewer, "map")
    shown.contrast_limits = (0.25, 0.5)
    assert error.contrast_limits == [0.25, 0.5]
    assert of(viewer, "map")[0].contrast_limits == [0.25, 0.5]
    viewing.auto_contrast()
    assert error.contrast_limits == shown.contrast_limits == [0, 1]
    error.contrast_limits = (0, 0.3)
    assert told[-1] is True  # so that it can be undone
    shown.contrast_limits = (0, 0.5)
    assert error.contrast_limits == [0, 0.3]
    viewing.auto_contrast()
    assert told[-1] is False
    assert error.contrast_limits == [0, 1]


def test_it_follows_the_display(viewer, inspection, viewing, error):
    viewing.display = Display("sum", "signed")
    (shown,) = of(viewer, "map")
    np.testing.assert_allclose(error.data, np.full((4, 4), 0.75))
    assert error.contrast_limits == shown.contrast_limits == [-3, 3]
    assert (shown.colormap.name, error.colormap.name) == ("saliency diverging ±", "saliency error green ±")


def test_its_colours_are_never_the_maps_whoever_chose_those(viewer, inspection, viewing):
    viewing.errors = True
    for display, colours in ((Display(), "cyan"), (Display(colormap="cyan"), "green")):
        viewing.display = display
        sampled(inspection)
        assert of(viewer, "error")[0].colormap.name == f"saliency error {colours}"
    viewing.keep()
    viewing.display = Display()
    sampled(inspection)
    assert [layer.colormap.name[15:] for layer in of(viewer, "error")] == [
        "cyan",
        "green",
    ]  # that kept its own


def test_its_colours_are_not_those_that_the_user_gave_the_map(viewer, inspection, viewing):
    sampled(inspection)
    of(viewer, "map")[0].colormap = "cyan"  # napari's own
    viewing.errors = True
    assert of(viewer, "error")[0].colormap.name == "saliency error green"


def test_its_colours_are_the_users_until_the_maps_are_changed(viewer, inspection, viewing, error):
    error.colormap = "magma"
    sampled(inspection, 1)
    viewing.display = Display(clip=90)
    viewing.errors = False
    viewing.errors = True
    (again,) = of(viewer, "error")
    assert again.colormap.name == "magma"
    viewing.display = Display(colormap="jet")
    assert again.colormap.name == "saliency error cyan"


def test_a_display_that_is_changed_before_leaves_it_the_maps_look(viewer, inspection, viewing):
    viewing.display = Display(colormap="green")
    sampled(inspection)
    viewing.errors = True
    (shown,), (error,) = of(viewer, "map"), of(viewer, "error")
    assert (error.blending, error.interpolation2d) == (shown.blending, shown.interpolation2d)
    assert error.colormap.name == "saliency error cyan"


def test_it_goes_with_a_map_that_has_none_and_comes_back(viewer, inspection, viewing, error):
    error.gamma = 0.5
    inspection.finish(stderr=None, done=3, total=50)
    assert of(viewer, "error") == [error]  # of a map that may get one
    assert np.isnan(error.data).all()
    inspection.finish(stderr=None)
    assert not of(viewer, "error")
    assert viewing.errors
    inspection.finish(stderr=None, done=3, total=50)
    assert not of(viewer, "error")
    sampled(inspection, 1)
    assert [layer.gamma for layer in of(viewer, "error")] == [0.5]


def test_it_moves_with_the_picture(viewer, inspection, viewing, error):
    viewer.layers["photo"].translate = (50, 60)
    np.testing.assert_array_equal(error.extent.world, of(viewer, "map")[0].extent.world)
    assert error.extent.world[0].min() > 40


def test_deleting_it_is_switching_it_off(viewer, inspection, viewing, error, posted):
    told = []
    viewing.errors_changed.connect(told.append)
    viewer.layers.remove(error)
    for call in posted:
        call()
    assert told == [False]
    sampled(inspection, 1)
    assert not of(viewer, "error")


def test_clearing_the_viewer_does_no_harm(viewer, inspection, viewing, error, posted):
    viewer.layers.clear()
    for call in posted:
        call()
    assert viewing.errors
    viewer.add_image(PHOTO)
    sampled(inspection, 1)
    assert len(of(viewer, "error")) == len(of(viewer, "map")) == 1


def test_a_map_that_was_deleted_leaves_no_second_error(viewer, inspection, viewing, error):
    viewer.layers.remove(of(viewer, "map")[0])
    sampled(inspection, 1)
    assert of(viewer, "error") == [error]
    assert len(of(viewer, "map")) == 1


def test_keep_keeps_both(viewer, inspection, viewing, error):
    before = error.data.copy()
    viewing.keep()
    sampled(inspection, 1, ERROR * 2)
    (following,) = (layer for layer in of(viewer, "error") if layer is not error)
    assert (error.visible, following.visible) == (False, True)
    np.testing.assert_array_equal(error.data, before)
    viewing.errors = False
    assert of(viewer, "error") == [error]  # which is the user's


def test_each_picture_has_its_own(viewer, inspection, viewing, error):
    viewer.add_image(PHOTO, name="second")
    sampled(inspection, 1)
    assert len(of(viewer, "error")) == 2
    viewing.errors = False
    assert not of(viewer, "error")
    viewing.errors = True
    assert len(of(viewer, "error")) == 2


@pytest.mark.parametrize("wanted", [True, False])
def test_the_next_panel_takes_it_over_or_away(viewer, inspection, viewing, error, wanted):
    viewing.close()
    assert error.metadata[STATE] == "left"
    following = Viewing(viewer, inspection, [].append, lambda call: call)
    following.errors = wanted
    sampled(inspection, 1, ERROR * 2)
    assert of(viewer, "error") == [error] * wanted
    assert len(of(viewer, "map")) == 1
    following.close()
