"""A field for one number or several, and for the words that an option takes beside them."""

import pytest
from qtpy.QtCore import Qt

from napari_saliency.methods import METHODS
from tests.fakes import info
from tests.widgets.acting import enter, occlusion_form, said

pytestmark = pytest.mark.viewer


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


WINDOW = "Window", "whole numbers", "0 to 1024", "commas", "8."
FILL = "Fill", "black, white, mean, blur", "numbers", "0 to 255", "commas", "mean."
"""What the sentence names: the option, what it takes, and the value that holds meanwhile."""


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
    (sentence,) = said(form)
    assert [part for part in reported if part not in sentence] == []
    assert sentence.endswith(reported[-1])
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
