"""The Method section: methods, their options, and what they cost."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_saliency.core.types import Prediction
from napari_saliency.methods import METHODS
from napari_saliency.models import InputSpec
from napari_saliency.session.state import SourceImage
from napari_saliency.widgets.class_table import ClassTableModel
from napari_saliency.widgets.method_section import MethodSection, cost_text
from tests.fakes import info
from tests.widgets.acting import PHOTO, focus, look, pick, ready

pytestmark = pytest.mark.viewer


def test_what_takes_long_says_so_before_it_is_run(made, session):
    section = made(MethodSection, session)
    cost, of_one = section.cost, METHODS["kernel_shap"].complete({})["samples"] + 2
    assert not cost.isVisible()  # a single pass
    section.choose("smoothgrad", of="kernel_shap", samples=100)
    assert cost.text() == f"About {round(of_one * 100, -4):,} passes of the model."
    section.options.widgets["samples"].value = 200
    assert cost.text() == f"About {round(of_one * 200, -4):,} passes of the model."
    section.options.widgets["precision"].value = 0.1
    assert cost.text().startswith("At most")
    section.choose("smoothgrad")
    assert not cost.isVisible()


def test_what_depends_on_the_size_of_the_picture_is_said_once_that_is_known(made, session):
    section = made(MethodSection, session)
    session.set_model(ready(input=InputSpec((None, None), 3)))
    section.choose("occlusion", window=2, stride=2)
    assert not section.cost.isVisible()
    session.set_picture(SourceImage(1, "photo", lambda: (PHOTO, None)))
    height, width = session.prepared.x.shape[:2]
    passes = 1 + -(-height // 2) * -(-width // 2)
    assert section.cost.text() == f"About {round(passes, 2 - len(str(passes))):,} passes of the model."


@pytest.mark.parametrize(
    ("passes", "text"), [(499, ""), (500, "About 500"), (4002, "About 4,000"), (204_999, "About 200,000")]
)
def test_passes_are_said_in_two_digits_if_they_are_many(passes, text):
    assert cost_text(passes, {}) == (text and f"{text} passes of the model.")


def test_each_method_keeps_its_options(made, session, qtbot):
    section = made(MethodSection, session)
    pick(section.method, "SmoothGrad")
    section.options.widgets["samples"].value = 12
    qtbot.waitUntil(lambda: session.options.get("samples") == 12)
    pick(section.method, "Grad-CAM")
    assert session.method == "grad_cam"
    pick(section.method, "SmoothGrad")
    assert section.options.widgets["samples"].value == 12
    assert session.options["samples"] == 12


@pytest.mark.parametrize("live", [False, True])
def test_explain_takes_the_options_that_were_set_just_before(made, session, live):
    section = made(MethodSection, session)
    look(session)
    section.choose("smoothgrad")
    session.live = live
    section.options.widgets["samples"].value = 12
    section.run.button.click()
    assert session.commands[-1] == ("explain",)
    assert dict(session.request.options)["samples"] == 12


@pytest.mark.parametrize("press", ["click", "key"])
@pytest.mark.parametrize(("option", "typed", "value"), [("samples", "12", 12), ("noise", "0.2", 0.2)])
def test_explain_takes_a_number_that_is_still_being_typed(made, session, qtbot, option, typed, value, press):
    section = made(MethodSection, session)
    look(session)
    section.choose("smoothgrad")
    field = section.options.widgets[option].native
    focus(qtbot, field)
    field.selectAll()
    qtbot.keyClicks(field, typed)
    if press == "click":
        qtbot.mouseClick(section.run.button, Qt.MouseButton.LeftButton)
    else:
        section.run.button.click()  # leaves the focus where it is, as does every click on a Mac
    assert dict(session.request.options)[option] == value


def test_with_live_numbers_on_the_way_are_passed_over(made, session, qtbot):
    section = made(MethodSection, session)
    section.choose("smoothgrad")
    section.run.live.setChecked(True)
    session.commands.clear()
    for number in (51, 52, 53):
        section.options.widgets["samples"].value = number
    qtbot.waitUntil(lambda: session.options["samples"] == 53)
    assert len(session.of("set_method")) == 1


@pytest.mark.parametrize("unfolded", [False, True])
def test_tab_goes_through_the_options_in_the_order_they_are_seen(made, session, qtbot, unfolded):
    section = made(MethodSection, session)
    look(session)
    for method in ("grad_cam", "smoothgrad"):
        section.choose(method)
    form = section.options
    fields = [form.widgets[name].native for name in ("score", "of", "samples", "noise")]
    folded = [form.widgets[name].native for name in ("precision", "absolute", "seed")]  # no layer: it is grey
    form.more.setChecked(unfolded)
    focus(qtbot, section.method)
    for widget in (
        *fields,
        form.more,
        *(folded * unfolded),
        section.run.button,
        section.run.live,
        section.method,
    ):
        qtbot.keyClick(section.window().focusWidget(), Qt.Key.Key_Tab)
        assert section.window().focusWidget() is widget


def test_methods_that_the_model_cannot_answer_are_not_offered(made, session):
    section = made(MethodSection, session, {name: METHODS[name] for name in ("gradient", "occlusion")})
    session.set_model(ready("net.onnx", gives=frozenset({"scores"})))
    items, gradient, occlusion = section.method.model(), *map(section.method.findData, section._methods)
    assert [items.item(n).isEnabled() for n in (gradient, occlusion)] == [False, True]
    assert "Gradient needs derivatives, which net does not give." in items.item(gradient).toolTip()
    assert "needs" not in items.item(occlusion).toolTip()
    assert session.method == section.method.currentData() == "occlusion"
    section.method.setCurrentIndex(gradient)  # as when its name is typed in full
    section.method.activated.emit(gradient)
    assert session.method == section.method.currentData() == "occlusion"
    session.set_model(ready("net.keras"))
    assert items.item(gradient).isEnabled()
    assert "needs" not in items.item(gradient).toolTip()
    assert session.method == "gradient"  # which the user has chosen, or not changed


def test_a_method_that_wraps_one_is_offered_where_any_can_be_wrapped(made, session):
    section = made(MethodSection, session)
    session.set_model(ready("net.onnx", gives=frozenset({"scores"})))
    enabled = {name for name in METHODS if section._item(name).isEnabled()}
    assert enabled == {
        "occlusion",
        "rise",
        "lime",
        "kernel_shap",
        "smoothgrad",
        "smoothgrad_squared",
        "vargrad",
    }
    section.choose("smoothgrad")
    assert section.options.widgets["of"].value == session.options["of"] == "occlusion"
    session.set_model(ready("net.keras"))
    section.choose("smoothgrad")
    assert section.options.widgets["of"].value == session.options["of"] == "gradient"


def test_a_layer_is_grey_and_left_out_while_the_method_inside_looks_at_none(made, session):
    section = made(MethodSection, session)
    session.set_model(ready("net.keras"))
    section.choose("smoothgrad", of="grad_cam", layer="late")
    layer = section.options.widgets["layer"]
    assert (layer.native.isEnabled(), session.options["layer"]) == (True, "late")
    section.options.widgets["of"].value = "gradient"
    assert (layer.native.isEnabled(), session.options["layer"]) == (False, "")
    section.options.widgets["of"].value = "layer_cam"
    assert (layer.native.isEnabled(), session.options["layer"]) == (True, "late")


def test_quantities_go_up_or_down_and_show_their_values(made, session):
    section = made(MethodSection, session)
    model = ready("fake:net", labels=("age", "weight"), activation="quantity")
    session.set_model(model)
    score = section.options.widgets["score"]
    assert score.choices == ("increase", "decrease")
    assert "(increase)" in score.tooltip
    score.value = "decrease"
    assert session.score == "decrease"
    nothing = np.full(2, np.nan, np.float32)
    table = ClassTableModel()
    table.set_prediction(Prediction(np.float32([31.25, -2e6]), nothing, nothing, ("age", "weight")))
    assert [table.data(table.index(row, 1)) for row in (0, 1)] == ["31.25", "-2e+06"]
    session.set_model(ready("fake:net"))
    assert section.options.widgets["score"].value == "logit"


def test_scores_are_chosen_and_stay_with_another_method(made, session):
    section = made(MethodSection, session)
    section.options.widgets["score"].value = "probability"
    assert session.score == "probability"
    pick(section.method, "Grad-CAM")
    assert section.options.widgets["score"].value == "probability"


def test_a_method_is_chosen_by_name(made, session):
    section = made(MethodSection, session)
    section.choose("smoothgrad", samples=9)
    assert section.method.currentText() == METHODS["smoothgrad"].title
    assert (session.method, session.options["samples"]) == ("smoothgrad", 9)


def test_layers_of_another_model_are_offered_and_the_old_one_forgotten(made, session):
    section = made(MethodSection, session)
    section.choose("grad_cam", layer="early")
    session.set_model(ready(layers=info().layers[1:]))
    assert section.options.widgets["layer"].choices == ("", "late")
    assert session.options == {"layer": ""}


def test_tooltips_tell_what_a_method_does(made, session):
    section = made(MethodSection, session)
    section.choose("grad_cam")
    assert METHODS["grad_cam"].summary in section.method.toolTip()
    assert METHODS["grad_cam"].cite in section.method.toolTip()
