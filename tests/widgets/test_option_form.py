"""How options and methods are chosen: by searching, unfolding and typing; and what is remembered of it."""

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_saliency.api.explain import explain
from napari_saliency.methods import METHODS
from napari_saliency.models import InputSpec, Layer
from napari_saliency.session.state import ModelStatus, Phase, SourceImage
from napari_saliency.widgets import preferences as remembered
from napari_saliency.widgets.method_section import MethodSection
from napari_saliency.widgets.model_section import ModelSection
from napari_saliency.widgets.option_form import MORE, OptionForm
from napari_saliency.widgets.search_box import Search, widen
from tests.analytic import Linear
from tests.fakes import FakeSession, info, prediction

pytestmark = pytest.mark.viewer
DEEP = info(layers=tuple(Layer(f"conv{n}_block{n % 3}", (7, 7), 8) for n in range(300)))


@pytest.fixture
def session():
    return FakeSession(prediction(3))


@pytest.fixture
def made(qtbot):
    """Make a widget and show it."""
    kept = []

    def make(kind, *arguments, width=320):
        widget = kind(*arguments)
        qtbot.addWidget(widget)
        widget.resize(width, 600)
        widget.show()
        kept.append(widget)
        return widget

    return make


def typed(qtbot, box, text, key=Qt.Key.Key_Return):
    """Search a list as a user does: give it the keyboard, and type."""
    with qtbot.waitActive(box.window(), timeout=2000):
        box.window().activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus, timeout=2000)
    qtbot.wait(20)  # all is selected
    qtbot.keyClicks(box.lineEdit(), text)
    qtbot.keyClick(box.lineEdit(), key)


# Searching


@pytest.fixture
def fruit(made):
    box = made(QComboBox)
    for name in ("apple", "banana", "blueberry"):
        box.addItem(name, name.upper())
    Search(box)
    return box


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("ERR", "blueberry"), ("banana", "banana"), ("b", "banana"), ("quince", "apple"), ("", "apple")],
)
@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_return_takes_the_first_that_was_found(fruit, qtbot, text, chosen, key):
    heard = []
    fruit.activated.connect(lambda number: heard.append(fruit.itemText(number)))
    typed(qtbot, fruit, text, key)
    assert fruit.currentText() == fruit.itemText(fruit.currentIndex()) == chosen
    assert set(heard) <= {chosen}
    assert bool(heard) == (chosen != "apple")
    assert fruit.count() == 3
    assert fruit.lineEdit().cursorPosition() == 0  # the beginning of a long name, not its end


def test_a_search_that_is_left_is_forgotten(made, qtbot):
    window = made(QWidget)
    fruit, other = QComboBox(), QLineEdit()
    fruit.addItems(["apple", "blueberry"])
    Search(fruit)
    rows = QVBoxLayout(window)
    rows.addWidget(fruit)
    rows.addWidget(other)
    typed(qtbot, fruit, "blu", Qt.Key.Key_Shift)
    assert fruit.currentText() == "blu"
    fruit.completer().popup().hide()
    qtbot.keyClick(fruit, Qt.Key.Key_Tab)
    assert other.hasFocus()
    assert fruit.currentText() == fruit.itemText(fruit.currentIndex()) == "apple"


def test_what_cannot_be_chosen_is_passed_over(fruit, qtbot):
    fruit.model().item(1).setEnabled(False)
    typed(qtbot, fruit, "b")
    assert fruit.currentText() == "blueberry"


def test_what_was_found_looks_like_the_window(made, qtbot):
    window = made(QWidget)
    window.setStyleSheet("QWidget { color: red; }")
    box = QComboBox(window)
    box.addItems(["a long item, longer than the list is wide", "b"])
    Search(box)
    widen(box)
    box.show()
    box.lineEdit().textEdited.emit("a")
    popup = box.completer().popup()
    assert "color: red" in popup.styleSheet()
    assert popup.minimumWidth() > 100


def test_what_was_found_goes_with_its_list(fruit, qtbot):
    typed(qtbot, fruit, "b", Qt.Key.Key_Shift)
    popup = fruit.completer().popup()
    assert popup.isVisible()
    fruit.hide()
    assert not popup.isVisible()


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


# Folding


def preview(form):
    return [name for name, widget in form.widgets.items() if widget.native.isVisible()]


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


def test_that_it_is_unfolded_is_remembered(made):
    made(OptionForm).more.click()
    form = made(OptionForm)
    form.show_options(METHODS["smoothgrad"].options, {}, info())
    assert "seed" in preview(form)
    form.more.click()
    assert not made(OptionForm).more.isChecked()


# Words for numbers


def enter(qtbot, field, text, key=Qt.Key.Key_Return):
    """Replace what stands in a field, as a user does."""
    with qtbot.waitActive(field.window(), timeout=2000):
        field.window().activateWindow()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus, timeout=2000)
    qtbot.wait(20)
    line = field.lineEdit() if isinstance(field, QComboBox) else field
    line.selectAll()
    if not text:
        qtbot.keyClick(line, Qt.Key.Key_Delete)
    qtbot.keyClicks(line, text)
    if key is not None:
        qtbot.keyClick(line, key)


def said(form):
    """What is told to be wrong, without the places where long words may break."""
    return [
        label.text().replace("\u200b", "")
        for label in form.findChildren(QLabel)
        if label.isVisible() and label.wordWrap()
    ]


def occlusion_form(made, **values):
    form = made(OptionForm)
    form.show_options(METHODS["occlusion"].options, values, info())
    return form


def test_what_is_automatic_is_called_so_and_stays_a_number(made, qtbot):
    form = occlusion_form(made)
    window = form.widgets["window"]
    assert (window.native.text(), window.native.placeholderText()) == ("", "automatic")
    assert form.values["window"] == 0
    enter(qtbot, window.native, "12")
    assert (window.native.text(), form.values["window"]) == ("12", 12)
    qtbot.keyClick(window.native, Qt.Key.Key_Down)
    assert (window.native.text(), form.values["window"]) == ("11", 11)
    window.value = 0
    assert window.native.text() == ""
    qtbot.keyClick(window.native, Qt.Key.Key_Down)
    assert form.values["window"] == 0
    qtbot.keyClick(window.native, Qt.Key.Key_Up)
    assert form.values["window"] == 1
    METHODS["occlusion"].complete(form.values)


@pytest.mark.parametrize(
    ("option", "text", "value", "shown"),
    [
        ("window", "16", 16, "16"),
        ("window", "4,16, 16", (4, 16, 16), "4, 16, 16"),
        ("window", " 4 16 ", (4, 16), "4, 16"),
        ("window", "4×16,", (4, 16), "4, 16"),
        ("window", "Automatic, 16", (0, 16), "automatic, 16"),
        ("window", "0, 16", (0, 16), "automatic, 16"),
        ("window", "automatic", 0, ""),
        ("window", "", 0, ""),
        ("window", "0", 0, ""),
        ("fill", "white", "white", "white"),
        ("fill", "Blur", "blur", "blur"),
        ("fill", "124", 124.0, "124"),
        ("fill", "0.1", 0.1, "0.1"),
        ("fill", "124, 116.5, 104", (124.0, 116.5, 104.0), "124, 116.5, 104"),
    ],
)
@pytest.mark.parametrize("end", [Qt.Key.Key_Return, Qt.Key.Key_Tab])
def test_one_number_or_several_are_taken_when_they_are_typed(made, qtbot, option, text, value, shown, end):
    form = occlusion_form(made, window=8)
    heard = []
    form.changed.connect(lambda values: heard.append(values[option]))
    native = form.widgets[option].native
    enter(qtbot, native, text, None)
    assert not heard
    qtbot.keyClick(native, end)
    assert heard == [value]
    assert type(form.values[option]) is type(value)
    assert (native.currentText() if option == "fill" else native.text()) == shown
    assert not said(form)
    METHODS["occlusion"].complete(form.values)


WINDOW = "Window takes whole numbers from 0 to 1024: one, or several with commas between. Until then it is 8."
FILL = (
    "Fill takes black, white, mean, blur, or numbers from 0 to 255: one, or several with commas between. "
    "Until then it is mean."
)


@pytest.mark.parametrize(
    ("option", "text", "reported"),
    [
        *(("window", text, WINDOW) for text in ("-", "4.5", "²", "4, , x", "2000", "-3", "mean", "9" * 5000)),
        *(("fill", text, FILL) for text in ("", "re", "256", "nan", "inf", "1, 2, white", "1e999", "-1")),
    ],
)
def test_what_an_option_does_not_take_is_told_and_the_value_before_holds(made, qtbot, option, text, reported):
    form = occlusion_form(made, window=8)
    before, heard = form.values, []
    form.changed.connect(heard.append)
    native = form.widgets[option].native
    line = native.lineEdit() if option == "fill" else native
    if len(text) > 9:
        line.setText(text)
        form.finish_typing()
    else:
        enter(qtbot, native, text)
    assert said(form) == [reported]
    assert (form.values, heard) == (before, [])
    assert line.text() == text  # to be mended
    enter(qtbot, native, "12")
    assert not said(form)
    assert form.values[option] == 12
    form.show_options(METHODS["gradient"].options, {}, info())
    assert not said(form)


def test_every_key_on_the_way_does_no_harm(made, qtbot):
    form = occlusion_form(made)
    for option, text in (("window", "4, 16, 16"), ("stride", "½×-.e,"), ("fill", "blu124, 1,,6e")):
        native = form.widgets[option].native
        for end in range(len(text) + 1):
            enter(qtbot, native, text[:end], None)
            form.finish_typing()
            METHODS["occlusion"].complete(form.values)


def test_words_beside_numbers_are_chosen_from_a_list(made, qtbot):
    form = occlusion_form(made, fill=(1.0, 2.0, 3.0))
    box = form.widgets["fill"].native
    assert (box.currentText(), form.values["fill"]) == ("1, 2, 3", (1.0, 2.0, 3.0))
    assert [box.itemText(n) for n in range(box.count())] == ["black", "white", "mean", "blur"]
    heard = []
    form.changed.connect(lambda values: heard.append(values["fill"]))
    enter(qtbot, box, "124")
    for number, word in ((1, "white"), (1, "white"), (3, "blur")):
        box.setCurrentIndex(number)
        box.activated.emit(number)
        assert (box.currentText(), form.values["fill"]) == (word, word)
    qtbot.keyClick(box, Qt.Key.Key_Up)
    assert form.values["fill"] == "mean"
    assert heard == [124.0, "white", "blur", "mean"]
    assert box.count() == 4


def test_numbers_that_do_not_fit_the_picture_or_each_other_are_told_where_the_cost_stands(made, session):
    section = made(MethodSection, session)
    session.set_model(ModelStatus(Phase.READY, "ready", "net.keras", info()))
    section.choose("occlusion", window=(4, 16, 16))
    reported = "Window takes one number, or one for each of the picture's 2 axes (y, x), not 3."
    assert section.cost.text() == reported
    section.choose("occlusion", window=(8, 2), stride=4)
    assert section.cost.text().startswith("Stride=4 is more than window=2: ")
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
    assert sentence.startswith("The colour 10, 20 has 2 numbers, but the model takes 3 channels: ")
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


def test_several_numbers_outlive_the_panel(made, session):
    options = {"window": (4, 16), "stride": (0, 8), "fill": (1.0, 2.5, 3.0)}
    made(MethodSection, session).choose("occlusion", **options)
    again = FakeSession(prediction(3))
    section = made(MethodSection, again)
    assert again.options == options
    assert section.options.widgets["stride"].native.text() == "automatic, 8"


def test_explain_takes_numbers_that_are_still_being_typed(made, session, qtbot):
    section = made(MethodSection, session)
    section.choose("occlusion")
    enter(qtbot, section.options.widgets["window"].native, "4, 16", None)
    assert session.options["window"] == 0
    section.settle()
    assert session.options["window"] == (4, 16)


def test_no_precision_is_off(made):
    form = made(OptionForm)
    form.show_options(METHODS["smoothgrad"].options, {}, info())
    assert form.widgets["precision"].native.text() == "off"
    assert form.values["precision"] == 0.0


# What outlives the panel


def test_the_next_panel_has_the_method_and_its_options(made, session):
    section = made(MethodSection, session)
    section.choose("occlusion", window=9)
    section.choose("smoothgrad", samples=12, of="grad_cam", layer="early")
    again = FakeSession(prediction(3))
    following = made(MethodSection, again)
    assert following.method.currentData() == again.method == "smoothgrad"
    assert (again.options["samples"], again.options["of"]) == (12, "grad_cam")
    assert again.options["layer"] == ""  # which is that of a model
    assert following.options.widgets["samples"].value == 12
    following.choose("gradient")
    following.method.setCurrentIndex(following.method.findData("occlusion"))
    following.method.activated.emit(following.method.currentIndex())
    assert again.options["window"] == 9


def test_a_method_that_the_model_at_hand_cannot_answer_is_remembered_all_the_same(made, session):
    section = made(MethodSection, session)
    section.choose("smoothgrad")
    scores = ModelStatus(Phase.READY, "ready", "net.onnx", info(gives=frozenset({"scores"})))
    session.set_model(scores)
    assert session.method == "occlusion"
    again = FakeSession(prediction(3))
    made(MethodSection, again)
    assert again.method == "smoothgrad"


@pytest.mark.parametrize(
    "kept",
    [
        "no json",
        "[1]",
        '{"smoothgrad": 3}',
        json.dumps({"smoothgrad": {"samples": -4, "colour": "red", "noise": "much"}, "gone": {"a": 1}}),
    ],
)
def test_what_another_version_has_kept_does_no_harm(made, session, kept):
    remembered.settings().setValue("method", "gone")
    remembered.settings().setValue("options", kept)
    section = made(MethodSection, session)
    assert session.method == "gradient"
    section.method.setCurrentIndex(section.method.findData("smoothgrad"))
    section.method.activated.emit(section.method.currentIndex())
    assert session.options == METHODS["smoothgrad"].complete({})


# Questions


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
