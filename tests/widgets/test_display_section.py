"""The Display section: how a map is shown, and what it says about itself."""

import numpy as np
import pytest

from napari_saliency.api.explain import explain
from napari_saliency.core.types import Target
from napari_saliency.maps.display import Display
from napari_saliency.viewer.controller import LayerController
from napari_saliency.widgets.display_section import DisplaySection, summary
from tests.analytic import Spatial, pictures
from tests.fakes import explanation
from tests.widgets.acting import LONG, PHOTO

pytestmark = pytest.mark.viewer


@pytest.fixture
def display(made, viewer, controller, session):
    viewer.add_image(PHOTO)
    return made(DisplaySection, controller, session)


@pytest.mark.parametrize(
    ("control", "chosen"),
    [("reduction", "norm"), ("sign", "negative"), ("contrast", "shared"), ("colormap", "jet")],
)
def test_controls_change_the_display_and_run_nothing(display, controller, session, control, chosen):
    session.explain()
    session.commands.clear()
    display.controls[control].value = chosen
    assert getattr(controller.display, control) == chosen
    assert not session.commands


def test_controls_begin_with_the_displays_values(display):
    assert {name: control.value for name, control in display.controls.items()} == {
        "reduction": "auto", "sign": "absolute", "contrast": "per class", "colormap": "by sign",
    }  # fmt: skip
    assert display.clip.value() == Display().clip


def test_the_clip_is_a_percentile(display, controller):
    display.clip.setValue(93.7)
    assert controller.display.clip == 93.7
    display.controls["colormap"].value = "jet"
    display.controls["colormap"].value = "by sign"
    assert controller.display.colormap is None


def test_auto_contrast_is_offered_when_limits_are_the_users(display, viewer, controller, session, qtbot):
    session.explain()
    assert not display.by_hand.isVisible()
    viewer.layers[1].contrast_limits = (1, 2)
    assert display.by_hand.isVisible()
    display.by_hand.click()
    assert not display.by_hand.isVisible()


def test_the_error_is_offered_where_there_is_one(display, viewer, controller, session):
    assert not display.errors.isEnabled()
    assert "Explain" in display.errors.toolTip()  # the way out
    session.finish()
    assert not display.errors.isEnabled()
    assert "Gradient" in display.errors.toolTip()
    assert "SmoothGrad" in display.errors.toolTip()  # which does
    session.finish(stderr=np.ones((3, 4), np.float32))
    assert display.errors.isEnabled()
    assert "as strong as the map" in display.errors.toolTip()
    display.errors.click()
    assert controller.errors
    assert viewer.layers[2].name.endswith("standard error")
    controller.errors = False  # as when its layer was deleted
    assert not display.errors.isChecked()
    assert len(viewer.layers) == 2


def test_that_errors_are_wanted_outlives_the_panel(made, viewer, controller, session):
    made(DisplaySection, controller, session).errors.toggle()
    following = LayerController(viewer, session, [].append, lambda call: call)
    assert made(DisplaySection, following, session).errors.isChecked()
    assert following.errors
    following.close()


@pytest.mark.parametrize("order", [1, -1])
def test_the_error_of_a_map_is_read_as_a_sentence(order):
    figures = {"samples": 50.0, "relative standard error": 0.0312, "completeness_gap": 0.1}
    text = summary(explanation(diagnostics=dict(list(figures.items())[::order])))
    assert "standard error 3.1 % of the maximum" in text
    assert text.endswith(", 50 samples")


@pytest.mark.parametrize(
    ("precision", "end"), [(0.2, "48 samples were enough"), (0.1, "48 samples"), (0.0, "48 samples")]
)
def test_a_run_that_stopped_by_itself_says_why(precision, end):
    figures = {"samples": 48.0, "relative standard error": 0.18}
    text = summary(explanation(diagnostics=figures, options={"precision": precision}))
    assert text.endswith(f", standard error 18 % of the maximum, {end}")


def test_the_line_of_a_map_says_once_what_was_explained():
    result = explanation(
        target=Target.of_class(0, "log_probability"), title="VarGrad of Occlusion", score=-1.5
    )
    assert summary(result) == "class number 0 · VarGrad of Occlusion: log-probability -1.5"


def test_the_buttons_below_a_map_fit_when_all_are_there(display, viewer, session, qtbot):
    session.explain()
    viewer.layers[1].contrast_limits = (1, 2)
    qtbot.wait(1)
    assert display.by_hand.isVisible()
    assert display.minimumSizeHint().width() <= 304  # of a panel of 320


def test_keep_is_for_a_map_that_is_there(display, viewer, session):
    assert not display.keep.isEnabled()
    session.explain()
    display.keep.click()
    assert not display.keep.isEnabled()
    session.select_class(2)
    assert display.keep.isEnabled()
    assert len(viewer.layers) == 3


def test_keep_is_offered_again_when_a_display_change_makes_a_map(display, viewer, controller, session):
    session.explain()
    display.keep.click()
    display.controls["sign"].value = "signed"
    assert display.keep.isEnabled() == controller.has_map
    assert controller.has_map


def test_keep_is_not_offered_for_a_map_that_was_deleted(made, display, viewer, controller, session):
    session.explain()
    assert made(DisplaySection, controller, session).keep.isEnabled()  # also in a new panel
    viewer.layers.remove(viewer.layers[1])
    assert not display.keep.isEnabled()
    assert not made(DisplaySection, controller, session).keep.isEnabled()


def test_what_a_map_says_about_itself_is_shown(display, session):
    session.finish(notes=("No place raises the score.",), diagnostics={"completeness_gap": 0.0123})
    assert display.note.text() == "No place raises the score."
    assert "completeness gap 0.012" in display.summary.text()
    session.dismiss()
    assert display.summary.text() == ""


def test_pitfall_integrated_gradients_without_the_x_minus_baseline_factor():
    """Whoever looks at the map reads by how much it does not add up."""
    model = Spatial()
    result = explain(model, pictures(model)[0], 0, "integrated_gradients", steps=8)
    assert f"completeness gap {result.diagnostics['completeness gap']:.2g}" in summary(result)


@pytest.mark.parametrize("width", [300, 320])
def test_the_numbers_of_a_map_are_seen_in_full(made, viewer, controller, session, width, qtbot):
    viewer.add_image(PHOTO)
    section = made(DisplaySection, controller, session, width=width)
    session.finish(done=50, total=1000, diagnostics={"completeness_gap": 0.0123}, label=LONG)
    qtbot.wait(20)
    label = section.summary
    assert label.text().endswith("50 of 1000 steps, completeness gap 0.012")
    assert label.width() <= width
    assert label.wordWrap()
    assert label.height() >= label.heightForWidth(label.width())


def test_a_map_that_was_stopped_says_so():
    assert "12 of 50" in summary(explanation(done=12, total=50))
    assert "logit" in summary(explanation())
