"""Widgets made from a method's options: their kinds, folding, and what they say of values."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_saliency.api.explain import explain
from napari_saliency.methods import METHODS
from napari_saliency.models import InputSpec, Layer
from napari_saliency.session.state import ModelStatus, Phase, SourceImage
from napari_saliency.widgets.method_section import MethodSection
from napari_saliency.widgets.model_section import ModelSection
from napari_saliency.widgets.option_form import MORE, OptionForm, layer_choices
from tests.analytic import Linear
from tests.fakes import info
from tests.widgets.acting import EVERY, enter, preview, typed

pytestmark = pytest.mark.viewer
DEEP = info(layers=tuple(Layer(f"conv{n}_block{n % 3}", (7, 7), 8) for n in range(300)))


def test_layers_of_deep_networks_are_searched(made, qtbot):
    form = made(OptionForm)
    form.show_options(METHODS["grad_cam"].options, {}, DEEP)
    layer = form.widgets["layer"]
    assert len(layer.choices) == 301
    heard = []
    form.changed.connect(lambda values: heard.append(values["layer"]))
    typed(qtbot, layer.native, "conv217")
    assert layer.value == "conv217_block1"
    assert heard == ["conv217_block1"]


def test_methods_are_searched_and_grouped(made, session, qtbot):
    section = made(MethodSection, session)
    box = section.method
    names = [box.itemData(number) for number in range(box.count())]
    assert [name for name in names if name] == list(METHODS)
    assert names.index("smoothgrad") - names.index("deconvnet") == 2  # a line between two kinds
    assert names.index("vargrad") - names.index("smoothgrad_squared") == 1
    typed(qtbot, box, "cam")
    assert session.method == "grad_cam"
    assert "layer" in section.options.widgets
    tip = box.itemData(box.findData("occlusion"), Qt.ItemDataRole.ToolTipRole)
    assert METHODS["occlusion"].summary in tip
    assert METHODS["occlusion"].cite in tip


def test_what_is_seldom_changed_is_folded_away(made, qtbot):
    form = made(OptionForm)
    form.show_options(METHODS["smoothgrad"].options, {}, info())
    qtbot.wait(1)
    folded = ["precision", "layer", "absolute", "seed"]
    assert preview(form) == ["of", "samples", "noise"]
    assert form.more.text() == MORE
    before = form.sizeHint().height()
    form.more.click()
    qtbot.wait(1)
    assert preview(form) == ["of", "samples", "noise", *folded]
    assert form.sizeHint().height() > before
    form.more.click()
    assert form.sizeHint().height() == before
    form.show_options(METHODS["gradient"].options, {}, info())
    assert not form.more.isVisible()


def test_what_is_folded_away_and_was_changed_is_told(made):
    form = made(OptionForm)
    form.show_options(METHODS["smoothgrad"].options, {"seed": 5}, info())
    assert form.more.text() == f"{MORE} (1 changed)"
    form.widgets["precision"].value = 0.1
    assert form.more.text() == f"{MORE} (2 changed)"
    form.more.click()
    assert form.more.text() == MORE


def test_numbers_that_do_not_fit_the_picture_or_each_other_are_told_where_the_cost_stands(made, session):
    section = made(MethodSection, session)
    session.set_model(ModelStatus(Phase.READY, "ready", "net.keras", info()))
    section.choose("occlusion", window=(4, 16, 16))
    assert all(part in section.cost.text() for part in ("Window", "2 axes (y, x)", "3"))
    section.choose("occlusion", window=(8, 2), stride=4)
    assert all(part in section.cost.text().lower() for part in ("stride=4", "window=2"))
    section.choose("occlusion", window=(8, 4), stride=4)
    assert "passes of the model" in section.cost.text()


GIVES = frozenset(method.needs for method in METHODS.values())
COLOURED = [
    (name, option.name)
    for name, method in METHODS.items()
    for option in method.options
    if option.several and option.type is float
]


@pytest.mark.parametrize(("method", "option"), COLOURED)
def test_a_colour_of_other_channels_is_told_before_anything_is_run(made, session, method, option):
    section = made(MethodSection, session)
    session.set_model(ModelStatus(Phase.READY, "ready", "net.keras", info(gives=GIVES)))
    section.choose(method, **{option: (10, 20)})
    sentence = section.cost.text()
    assert all(part in sentence for part in ("10, 20", "2 numbers", "3 channels"))
    session.set_picture(SourceImage(1, "photo", lambda: (np.zeros((60, 80, 3), np.uint8), None)))
    assert section.cost.text() == sentence
    assert not session.of("explain")
    for right in ((10, 20, 30), 10, "black"):
        section.choose(method, **{option: right})
        assert "colour" not in section.cost.text()
    grey = info(gives=GIVES, input=InputSpec((224, 224), 1))
    section.choose(method, **{option: (10, 20, 30)})
    session.set_model(ModelStatus(Phase.READY, "ready", "grey.keras", grey))
    assert section.cost.text().startswith(
        "The colour 10, 20, 30 has 3 numbers, but the model takes 1 channel:"
    )


def test_a_colour_is_refused_in_the_words_of_the_method_itself(made, session):
    section = made(MethodSection, session)
    session.set_model(ModelStatus(Phase.READY, "ready", "net.keras", info()))
    section.choose("occlusion", fill=(10, 20))
    model = Linear()
    with pytest.raises(ValueError, match="colour") as raised:
        explain(model, np.zeros((8, 8, 3), np.uint8), method="occlusion", fill=(10, 20))
    assert section.cost.text().casefold() == f"{raised.value}.".casefold()


def test_colours_of_all_methods_that_compare_with_an_empty_picture_are_looked_at():
    assert {("occlusion", "fill"), ("integrated_gradients", "baseline"), ("lime", "fill")} <= {*COLOURED}
    assert {("kernel_shap", "fill"), ("rise", "fill")} <= {*COLOURED}


def test_explain_takes_numbers_that_are_still_being_typed(made, session, qtbot):
    section = made(MethodSection, session)
    section.choose("occlusion")
    enter(qtbot, section.options.widgets["window"].native, "4, 16", None)
    assert session.options["window"] == 0
    section.commit_edits()
    assert session.options["window"] == (4, 16)


def test_no_precision_is_off(made):
    form = made(OptionForm)
    form.show_options(METHODS["smoothgrad"].options, {}, info())
    assert form.widgets["precision"].native.text() == "off"
    assert form.values["precision"] == 0.0


def test_hidden_rows_leave_no_gap(made, session):
    """The form with two questions that are far apart is as high as one whose questions are neighbours."""
    heights = set()
    for asked in (("preprocessing", "labels"), ("preprocessing", "fit"), ("task", "labels")):
        form = made(ModelSection, session).form
        form._show(info(source="/home/me/net.keras"), asked)
        assert {name for name, title in form.titles.items() if title.isVisible()} == set(asked)
        boxes = [form.fields[name] for name in asked]
        form.layout().activate()
        heights.add(boxes[1].y() - boxes[0].y() - boxes[0].height())
        assert all(isinstance(title, QLabel) for title in form.titles.values())
    assert len(heights) == 1


def test_options_become_widgets_of_their_kind(made):
    form = made(OptionForm)
    form.show_options(EVERY.options, {"samples": 7}, info())
    assert form.values == {
        "samples": 7, "noise": 0.15, "share": 0.5, "squared": True,
        "baseline": "white", "layer": "", "text": "some", "seed": 0,
    }  # fmt: skip
    widgets = form.widgets
    assert (widgets["samples"].min, widgets["samples"].max) == (2, 100)
    assert widgets["noise"].step == 0.01
    assert widgets["samples"].tooltip == "How many."
    assert widgets["baseline"].choices == ("black", "white")
    assert widgets["layer"].choices == ("", "late", "early")
    EVERY.complete(form.values)


def test_changed_options_are_told_and_rows_are_replaced(made):
    form = made(OptionForm)
    heard = []
    form.changed.connect(heard.append)
    form.show_options(EVERY.options, {}, None)
    form.widgets["squared"].value = False
    assert heard[-1]["squared"] is False
    assert len(heard) == 1
    form.show_options((), {}, None)
    assert form.values == {}
    assert form.layout().count() == 0


def test_layers_are_named_with_their_size():
    assert layer_choices(info())[:2] == [("usual: late (7×7)", ""), ("late (7×7)", "late")]
    assert layer_choices(None) == [("usual", "")]
