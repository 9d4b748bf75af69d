"""The standard error of a map as a layer of its own: where it comes, what it follows, when it goes."""

import numpy as np
import pytest

from napari_saliency.maps.display import Display
from napari_saliency.viewer.controller import LayerController
from napari_saliency.viewer.layer_record import State, is_generated, record_of
from tests.fakes import prediction
from tests.staged import StagedSession

pytestmark = pytest.mark.viewer
PHOTO = np.random.default_rng(5).integers(0, 255, (60, 80, 3), np.uint8)
ERROR = np.full((4, 4, 3), 0.25, np.float32)


@pytest.fixture
def session():
    return StagedSession(
        prediction(3), values=lambda index, title: np.full((4, 4, 3), index + 1.0, np.float32)
    )


@pytest.fixture
def posted():
    return []


@pytest.fixture
def controller(viewer, session, posted):
    made = LayerController(viewer, session, posted.append, lambda call: call)
    viewer.add_image(PHOTO, name="photo")
    yield made
    made.close()


def of(viewer, kind):
    made = [layer for layer in viewer.layers if is_generated(layer)]
    return [layer for layer in made if record_of(layer).shows == kind]


def sampled(session, index=0, error=ERROR, **changes):
    """Let a map of a class come, with an error."""
    session.patient = True
    session.select_class(index)
    session.finish(stderr=error, **changes)


@pytest.fixture
def error(viewer, session, controller):
    """The layer of the error of class 0."""
    controller.errors = True
    sampled(session)
    (layer,) = of(viewer, "error")
    return layer


def test_it_lies_right_above_its_map_and_can_be_compared_with_it(viewer, session, controller):
    sampled(session, 2)
    (displayed,) = of(viewer, "map")
    displayed.colormap = "viridis"
    assert not of(viewer, "error")
    controller.errors = True
    (error,) = of(viewer, "error")
    assert list(viewer.layers).index(error) == list(viewer.layers).index(displayed) + 1
    assert error.name == f"{session.explanation.name} · standard error"
    np.testing.assert_array_equal(error.data, np.full((4, 4), 0.25))
    np.testing.assert_array_equal(error.extent.world, displayed.extent.world)
    assert error.contrast_limits == displayed.contrast_limits == [0, 3]
    assert error.colormap.name == "saliency error cyan"
    assert controller.pictures == [viewer.layers["photo"]]  # it is none
    controller.errors = False
    assert [layer.name for layer in viewer.layers] == ["photo", displayed.name]


def test_it_follows_classes_and_sharpening_maps_in_place(viewer, session, controller, error):
    session.finish(stderr=ERROR / 2, done=9, total=50)
    np.testing.assert_array_equal(error.data, np.full((4, 4), 0.125))
    sampled(session, 1, ERROR * 3)
    assert of(viewer, "error") == [error]
    np.testing.assert_array_equal(error.data, np.full((4, 4), 0.75))
    assert error.contrast_limits == [0, 2]
    assert error.name == f"{session.explanation.name} · standard error"
    assert record_of(error).explanation is session.explanation


def test_what_is_selected_stays_so(viewer, session, controller):
    sampled(session)
    (displayed,) = of(viewer, "map")
    assert viewer.layers.selection.active is displayed
    controller.errors = True
    assert viewer.layers.selection.active is displayed
    viewer.layers.selection.active = of(viewer, "error")[0]
    controller.errors = False
    assert viewer.layers.selection.active is displayed


def test_what_the_user_sets_stays(viewer, session, controller, error):
    chosen = {"opacity": 0.3, "blending": "additive", "gamma": 0.5, "visible": False, "name": "mine"}
    for name, value in chosen.items():
        setattr(error, name, value)
    error.contrast_limits = (0.1, 0.2)
    sampled(session, 1)
    assert {name: getattr(error, name) for name in chosen} == chosen
    assert error.contrast_limits == [0.1, 0.2]
    controller.errors = False
    controller.errors = True
    (again,) = of(viewer, "error")
    assert (again.opacity, again.gamma) == (0.3, 0.5)


def test_its_contrast_is_the_maps_until_it_is_set_by_hand(viewer, session, controller, error):
    reported = []
    controller.contrast_changed.connect(reported.append)
    (displayed,) = of(viewer, "map")
    displayed.contrast_limits = (0.25, 0.5)
    assert error.contrast_limits == [0.25, 0.5]
    assert of(viewer, "map")[0].contrast_limits == [0.25, 0.5]
    controller.auto_contrast()
    assert error.contrast_limits == displayed.contrast_limits == [0, 1]
    error.contrast_limits = (0, 0.3)
    assert reported[-1] is True  # so that it can be undone
    displayed.contrast_limits = (0, 0.5)
    assert error.contrast_limits == [0, 0.3]
    controller.auto_contrast()
    assert reported[-1] is False
    assert error.contrast_limits == [0, 1]


def test_it_follows_the_display(viewer, session, controller, error):
    controller.display = Display("sum", "signed")
    (displayed,) = of(viewer, "map")
    np.testing.assert_allclose(error.data, np.full((4, 4), 0.75))
    assert error.contrast_limits == displayed.contrast_limits == [-3, 3]
    assert (displayed.colormap.name, error.colormap.name) == (
        "saliency diverging ±",
        "saliency error green ±",
    )


def test_its_colours_are_never_the_maps_whoever_chose_those(viewer, session, controller):
    controller.errors = True
    for display, colours in ((Display(), "cyan"), (Display(colormap="cyan"), "green")):
        controller.display = display
        sampled(session)
        assert of(viewer, "error")[0].colormap.name == f"saliency error {colours}"
    controller.keep()
    controller.display = Display()
    sampled(session)
    assert [layer.colormap.name[15:] for layer in of(viewer, "error")] == [
        "cyan",
        "green",
    ]  # that kept its own


def test_its_colours_are_not_those_that_the_user_gave_the_map(viewer, session, controller):
    sampled(session)
    of(viewer, "map")[0].colormap = "cyan"  # napari's own
    controller.errors = True
    assert of(viewer, "error")[0].colormap.name == "saliency error green"


def test_its_colours_are_the_users_until_the_maps_are_changed(viewer, session, controller, error):
    error.colormap = "magma"
    sampled(session, 1)
    controller.display = Display(clip=90)
    controller.errors = False
    controller.errors = True
    (again,) = of(viewer, "error")
    assert again.colormap.name == "magma"
    controller.display = Display(colormap="jet")
    assert again.colormap.name == "saliency error cyan"


def test_a_display_that_is_changed_before_leaves_it_the_maps_look(viewer, session, controller):
    controller.display = Display(colormap="green")
    sampled(session)
    controller.errors = True
    (displayed,), (error,) = of(viewer, "map"), of(viewer, "error")
    assert (error.blending, error.interpolation2d) == (displayed.blending, displayed.interpolation2d)
    assert error.colormap.name == "saliency error cyan"


def test_it_goes_with_a_map_that_has_none_and_comes_back(viewer, session, controller, error):
    error.gamma = 0.5
    session.finish(stderr=None, done=3, total=50)
    assert of(viewer, "error") == [error]  # of a map that may get one
    assert np.isnan(error.data).all()
    session.finish(stderr=None)
    assert not of(viewer, "error")
    assert controller.errors
    session.finish(stderr=None, done=3, total=50)
    assert not of(viewer, "error")
    sampled(session, 1)
    assert [layer.gamma for layer in of(viewer, "error")] == [0.5]


def test_it_moves_with_the_picture(viewer, session, controller, error):
    viewer.layers["photo"].translate = (50, 60)
    np.testing.assert_array_equal(error.extent.world, of(viewer, "map")[0].extent.world)
    assert error.extent.world[0].min() > 40


def test_deleting_it_is_switching_it_off(viewer, session, controller, error, posted):
    reported = []
    controller.errors_changed.connect(reported.append)
    viewer.layers.remove(error)
    for call in posted:
        call()
    assert reported == [False]
    sampled(session, 1)
    assert not of(viewer, "error")


def test_clearing_the_viewer_does_no_harm(viewer, session, controller, error, posted):
    viewer.layers.clear()
    for call in posted:
        call()
    assert controller.errors
    viewer.add_image(PHOTO)
    sampled(session, 1)
    assert len(of(viewer, "error")) == len(of(viewer, "map")) == 1


def test_a_map_that_was_deleted_leaves_no_second_error(viewer, session, controller, error):
    viewer.layers.remove(of(viewer, "map")[0])
    sampled(session, 1)
    assert of(viewer, "error") == [error]
    assert len(of(viewer, "map")) == 1


def test_keep_keeps_both(viewer, session, controller, error):
    before = error.data.copy()
    controller.keep()
    sampled(session, 1, ERROR * 2)
    (following,) = (layer for layer in of(viewer, "error") if layer is not error)
    assert (error.visible, following.visible) == (False, True)
    np.testing.assert_array_equal(error.data, before)
    controller.errors = False
    assert of(viewer, "error") == [error]  # which is the user's


def test_each_picture_has_its_own(viewer, session, controller, error):
    viewer.add_image(PHOTO, name="second")
    sampled(session, 1)
    assert len(of(viewer, "error")) == 2
    controller.errors = False
    assert not of(viewer, "error")
    controller.errors = True
    assert len(of(viewer, "error")) == 2


@pytest.mark.parametrize("wanted", [True, False])
def test_the_next_panel_takes_it_over_or_away(viewer, session, controller, error, wanted):
    controller.close()
    assert record_of(error).state is State.LEFT
    following = LayerController(viewer, session, [].append, lambda call: call)
    following.errors = wanted
    sampled(session, 1, ERROR * 2)
    assert of(viewer, "error") == [error] * wanted
    assert len(of(viewer, "map")) == 1
    following.close()
