"""Numbers as people type them."""

import pytest
from qtpy.QtCore import QLocale, Qt

from napari_saliency.widgets.option_form import OptionForm
from tests.fakes import info
from tests.widgets.acting import EVERY, focus

pytestmark = pytest.mark.viewer


@pytest.mark.parametrize(
    ("option", "typed", "value"),
    [
        ("samples", "100", 100),
        ("samples", "12", 12),
        ("samples", "1", 2),
        ("samples", "-", 7),
        ("samples", "²", 7),
        ("samples", "20 or so", 7),
        ("samples", "9.6", 10),
        ("samples", "9,6", 10),
        ("samples", "-3", 2),
        ("samples", "999999", 100),
        ("samples", "1e1", 10),
        ("seed", "-30", -30),
        ("seed", "2,000", 2000),
        ("noise", "0.25", 0.25),
        ("noise", "0,25", 0.25),
        ("noise", "0,120", 0.12),
        ("noise", "5", 1.0),
        ("noise", "1e-1", 0.1),
        ("share", "1.5", 1.5),
    ],
)
@pytest.mark.parametrize("end", [Qt.Key.Key_Return, Qt.Key.Key_Tab])
def test_numbers_are_taken_as_they_were_typed(made, qtbot, option, typed, value, end):
    form = made(OptionForm)
    form.show_options(EVERY.options, {"samples": 7}, info())
    heard = []
    form.changed.connect(lambda values: heard.append(values[option]))
    field = form.widgets[option].native
    field.setLocale(QLocale(QLocale.Language.English))
    focus(qtbot, field)
    field.selectAll()
    qtbot.keyClicks(field, typed)
    assert not heard
    qtbot.keyClick(field, end)
    assert form.values[option] == value
    assert heard == ([] if value == 7 else [value])


@pytest.mark.parametrize(("typed", "value"), [("0,25", 0.25), ("0.25", 0.25), ("0.120", 0.12)])
def test_numbers_may_be_typed_as_elsewhere(made, qtbot, typed, value):
    form = made(OptionForm)
    form.show_options(EVERY.options, {}, info())
    field = form.widgets["noise"].native
    field.setLocale(QLocale(QLocale.Language.German))
    focus(qtbot, field)
    field.selectAll()
    qtbot.keyClicks(field, typed)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert form.values["noise"] == value
