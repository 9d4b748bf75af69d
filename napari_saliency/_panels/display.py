"""Section: how maps are shown; nothing here runs the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget
from superqt import QLabeledDoubleSlider

from napari_saliency._display import COLORMAPS, CONTRASTS, REDUCTIONS, SIGNS
from napari_saliency._panels._style import GAP, SMALL_PRINT, Section, note, row, say

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

    from napari_saliency._explanation import Explanation
    from napari_saliency._inspection import Inspection
    from napari_saliency._napari import Viewing

CLIP = (80.0, 100.0)
BY_SIGN = "by sign"
LABELS = {
    "reduction": "Channels",
    "sign": "Sign",
    "contrast": "Contrast",
    "colormap": "Colours",
    "clip": "Clip",
}
PLACES = {  # line, column, columns
    "reduction": (0, 0, 1),
    "sign": (0, 1, 1),
    "colormap": (0, 2, 1),
    "contrast": (1, 0, 1),
    "clip": (1, 1, 2),
}
REDUCTION_WORDS = {"max": "max | · |", "sum": "sum", "mean": "mean", "norm": "L2 norm"}
HELP = {
    "reduction": "How the channels of a map become one number: the largest magnitude (the classical map), "
    "sum, mean, or L2 norm",
    "sign": "What is shown of values that speak for the class (positive) and against it (negative); "
    "signed shows both, in two colours",
    "clip": "Percentile of the map's values where the colours end: lower shows more of what is weak",
    "contrast": "Contrast limits from each map alone, or the same for all classes, to compare them",
    "colormap": "All are transparent at 0, so that the picture stays readable; auto: two colours for signs",
}


class DisplaySection(Section):
    """Reduction, sign, clip, contrast and colormap; Keep; what a map says about itself."""

    def __init__(self, viewing: Viewing, inspection: Inspection) -> None:
        super().__init__("Display")
        self._viewing = viewing
        display = viewing.display
        self.controls: dict[str, ValueWidget[Any]] = {
            "reduction": _choice("reduction", [(REDUCTION_WORDS[name], name) for name in REDUCTIONS]),
            "sign": _choice("sign", SIGNS),
            "contrast": _choice("contrast", CONTRASTS),
            "colormap": _choice("colormap", [("auto", BY_SIGN), *((name, name) for name in COLORMAPS)]),
        }
        self.clip = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.clip.setRange(*CLIP)
        self.clip.setDecimals(1)
        self.clip.setValue(display.clip)
        self.clip.setToolTip(HELP["clip"])
        self.clip.valueChanged.connect(self._change)
        for name, control in self.controls.items():
            control.value = getattr(display, name) or BY_SIGN
            control.changed.connect(self._change)
        self.by_hand = QPushButton("Auto contrast")
        self.by_hand.setToolTip("You set the contrast limits by hand. Let them follow the map again.")
        self.by_hand.clicked.connect(viewing.auto_contrast)
        self.keep = QPushButton("Keep this map")
        self.keep.setToolTip("Leave the map as a layer of its own; it is hidden when the next one appears.")
        self.keep.clicked.connect(lambda: viewing.keep())
        self.summary, self.note = note(), note()
        self.summary.setObjectName(SMALL_PRINT)
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.summary.setMinimumHeight(2 * self.summary.fontMetrics().lineSpacing())  # as while it is computed
        self._lay_out()
        viewing.contrast_changed.connect(self._show_by_hand)
        viewing.map_changed.connect(self._offer_keep)
        inspection.explanation_changed.connect(self._describe)
        self._offer_keep(viewing.has_map)
        self._describe(inspection.explanation)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(GAP + 2)
        grid.setVerticalSpacing(0)
        grid.setRowMinimumHeight(2, GAP)
        natives: dict[str, QWidget] = {name: control.native for name, control in self.controls.items()}
        for native in natives.values():
            native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for name, (line, column, span) in PLACES.items():
            label, control = QLabel(LABELS[name]), natives.get(name, self.clip)
            label.setToolTip(HELP[name])
            grid.addWidget(label, 3 * line, column, 1, span)
            grid.addWidget(control, 3 * line + 1, column, 1, span)
            grid.setColumnStretch(column, 1)
        self.by_hand.hide()
        self.rows.addLayout(grid)
        self.rows.addLayout(row(self.keep, self.by_hand, stretch=0))
        self.rows.addWidget(self.summary)
        self.rows.addWidget(self.note)

    def _show_by_hand(self, by_hand: bool) -> None:
        self.by_hand.setVisible(by_hand)

    def _offer_keep(self, has_map: bool) -> None:
        self.keep.setEnabled(has_map)

    def _change(self, _value: object = None) -> None:
        values = {name: control.value for name, control in self.controls.items()}
        values["colormap"] = None if values["colormap"] == BY_SIGN else values["colormap"]
        self._viewing.display = replace(self._viewing.display, **values, clip=round(self.clip.value(), 1))

    def _describe(self, explanation: Explanation | None) -> None:
        if explanation is None:
            say(self.summary, "")
            say(self.note, "")
        else:
            say(self.summary, summary(explanation))
            say(self.note, " ".join(explanation.notes))


def summary(explanation: Explanation) -> str:
    """Tell in one line what a map is, and how far it can be trusted."""
    score = explanation.target.score.replace("_", "-")
    parts = [f"{explanation.name}: {score} {explanation.score:.3g}"]
    if not explanation.complete:
        parts.append(f"{explanation.done} of {explanation.total} steps")
    parts += [f"{name.replace('_', ' ')} {value:.2g}" for name, value in explanation.diagnostics.items()]
    return ", ".join(parts)


def _choice(name: str, choices: Any) -> ComboBox:  # noqa: ANN401 - names, or names with their words
    return ComboBox(name=name, choices=choices, tooltip=HELP[name])
