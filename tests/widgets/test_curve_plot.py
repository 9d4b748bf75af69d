"""The curves of a finding."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtGui import QPainter

from napari_saliency.checks import Curve
from napari_saliency.widgets.curve_plot import CurveView
from napari_saliency.widgets.style import MARGIN, Colours
from tests.widgets.acting import LINES, finding_of

pytestmark = pytest.mark.viewer


def test_curves_are_drawn_in_the_themes_colours(check, session, qtbot):
    session.show_checks(findings={"deletion": finding_of(curves=LINES)})
    curve = check.results["deletion"].curve
    qtbot.waitUntil(curve.isVisible)
    assert curve.limits == (0, 1)
    for theme in ("dark", "light"):
        colours = Colours.of_theme(theme)
        check.set_colours(colours)
        picture = curve.grab().toImage()
        preview = {
            picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())
        }
        assert colours.bar.name() in preview
        assert colours.muted.name() in preview


def test_a_curve_goes_through_its_points(check, session):
    """The map's line is where it should be, to a pixel and a half: at the top left, low in the middle."""
    line = Curve("map", np.float32([0, 0.5, 1]), np.float32([1, 0, 1]))
    session.show_checks(findings={"deletion": finding_of(curves=[line])})
    curve = check.results["deletion"].curve
    picture = curve.grab().toImage()
    scale = picture.width() / curve.width()
    left, right, top, bottom = 34, curve.width() - 4, 14 + 3.5, 90 - 16 - 2.5
    colour = check.colours.bar

    def is_near(x, y):
        places = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        near = [picture.pixelColor(round(a * scale), round(b * scale)) for a, b in places]
        return any(abs(c.blue() - colour.blue()) + abs(c.red() - colour.red()) < 60 for c in near)

    quarter = (left + (right - left) / 4, (top + bottom) / 2)
    assert is_near(left + 1, top + 1)
    assert is_near(*quarter)
    assert is_near((left + right) / 2, bottom)
    assert not is_near((left + right) / 2, top + 5)


AXES = [("share of pixels", "probability", 2), ("layers randomised", "similarity", 1)]


@pytest.mark.parametrize(("across", "up", "lines"), AXES)
def test_axes_are_named_where_the_panel_is_narrow_too(made, monkeypatch, across, up, lines):
    """In full, and apart from the names of the lines; with less room the name across ends in an ellipsis."""
    said = []
    monkeypatch.setattr(QPainter, "drawText", lambda painter, *a: said.append((a, painter.fontMetrics())))
    curve = made(
        lambda: CurveView(Colours.of_theme("dark")), width=280 - 2 * MARGIN - 14
    )  # bar for scrolling
    curve.show_curves([replace(line, across=across, up=up) for line in LINES[:lines]], curve._colours)
    curve.grab()
    placed = {a[-1]: (a[0], metrics.horizontalAdvance(a[-1])) for a, metrics in said}
    assert {across, up, *(line.label for line in LINES[:lines])} <= placed.keys()
    (right, width), (left, long) = placed[across], placed[LINES[lines - 1].label]
    assert left.x() + long < right.x()
    assert right.x() + width <= curve.width()
    assert placed[up][0].y() < 14  # above the highest number
    said.clear()
    curve.resize(150, curve.height())
    curve.grab()
    assert not any(a[-1] == across for a, _ in said)


@pytest.mark.parametrize("curves", [(), (Curve("map", np.float32([0]), np.float32([0])),)])
def test_no_curve_or_one_point_is_drawn_without_a_fault(check, session, curves):
    session.show_checks(findings={"deletion": finding_of(curves=curves)})
    check.results["deletion"].curve.grab()
