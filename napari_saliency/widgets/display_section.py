"""Section: how maps are displayed; nothing here runs the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget
from superqt import QLabeledDoubleSlider

from napari_saliency.maps.display import COLORMAPS, CONTRASTS, REDUCTIONS, SIGNS
from napari_saliency.methods import RELATIVE_ERROR, SAMPLES
from napari_saliency.widgets import preferences as remembered
from napari_saliency.widgets.style import GAP, SMALL_PRINT, Section, note, row, set_text

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.session import Session
    from napari_saliency.viewer.controller import LayerController

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
REDUCTION_NAMES = {
    "auto": "auto",
    "max": "max | · |",
    "sum": "sum",
    "mean": "mean",
    "norm": "L2 norm",
    "each": "each",
}
HELP = {
    "reduction": "How the channels of a map are combined: largest magnitude (the usual map), sum, mean or L2 norm. "
    "Each: step through them with napari's slider. "
    "Auto: each for feature maps, largest magnitude for all others.",
    "sign": "Show values for the class (positive), against it (negative), their magnitude (absolute), "
    "or both signs in two colours (signed).",
    "clip": "Percentile of the map's values at which the colours end: a lower one shows more weak values.",
    "contrast": "Contrast limits of each map alone, or shared by all classes so that maps can be compared.",
    "colormap": "Every colormap is transparent at 0, so the picture stays visible. Auto: two colours for signed maps.",
}


KEEP = "Keep this map"
ERROR_HELP = (
    "Show the standard error of the map in a layer above it, in other colours and with the same contrast limits. "
    "Where it is as strong as the map, the map is not significant."
)
NO_ERROR = "{} does not sample, so it has no standard error. Choose a sampling method such as SmoothGrad."
NO_MAP = "No map yet: press Explain first."


class DisplaySection(Section):
    """Reduction, sign, clip, contrast and colormap; Keep; the standard error; the summary of the map."""

    def __init__(self, controller: LayerController, session: Session) -> None:
        super().__init__("Display")
        self._controller = controller
        display = controller.display
        self.controls: dict[str, ValueWidget[Any]] = {
            "reduction": _choice("reduction", [(REDUCTION_NAMES[name], name) for name in REDUCTIONS]),
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
        self.by_hand.setToolTip(
            "You set the contrast limits by hand. Press to make them follow the map again."
        )
        self.by_hand.clicked.connect(controller.auto_contrast)
        self.keep = QPushButton(KEEP)
        self.keep.setToolTip("Keep the map as a layer of its own. It is hidden when the next map appears.")
        self.keep.clicked.connect(lambda: controller.keep())
        controller.errors = remembered.flag(remembered.ERRORS)
        self.errors = QCheckBox("Show error")
        self.errors.setChecked(controller.errors)
        self.errors.toggled.connect(self._show_errors)
        self.summary, self.note = note(), note()
        self.summary.setObjectName(SMALL_PRINT)
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.summary.setMinimumHeight(2 * self.summary.fontMetrics().lineSpacing())  # as while computing
        self._lay_out()
        controller.contrast_changed.connect(self._show_by_hand)
        controller.map_changed.connect(self._offer_keep)
        controller.errors_changed.connect(self._follow_errors)
        session.explanation_changed.connect(self._describe)
        self._offer_keep(controller.has_map)
        self._describe(session.explanation)

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
        self.rows.addLayout(row(self.keep, self.by_hand, self.errors, stretch=0))
        self.rows.addWidget(self.summary)
        self.rows.addWidget(self.note)

    def _show_by_hand(self, by_hand: bool) -> None:
        self.by_hand.setVisible(by_hand)
        self.keep.setText(
            KEEP.split()[0] if by_hand else KEEP
        )  # with both in full, the row would be too wide

    def _show_errors(self, shown: bool) -> None:
        remembered.set_flag(remembered.ERRORS, shown)
        self._controller.errors = shown

    def _follow_errors(self, shown: bool) -> None:
        self.errors.setChecked(shown)

    def _offer_errors(self, explanation: Explanation | None) -> None:
        has_error = explanation is not None and explanation.stderr is not None
        self.errors.setEnabled(has_error)
        none = NO_MAP if explanation is None else NO_ERROR.format(explanation.title)
        self.errors.setToolTip(ERROR_HELP if has_error else none)

    def _offer_keep(self, has_map: bool) -> None:
        self.keep.setEnabled(has_map)

    def _change(self, _value: object = None) -> None:
        values = {name: control.value for name, control in self.controls.items()}
        values["colormap"] = None if values["colormap"] == BY_SIGN else values["colormap"]
        self._controller.display = replace(
            self._controller.display, **values, clip=round(self.clip.value(), 1)
        )

    def _describe(self, explanation: Explanation | None) -> None:
        self._offer_errors(explanation)
        if explanation is None:
            set_text(self.summary, "")
            set_text(self.note, "")
        else:
            set_text(self.summary, summary(explanation))
            set_text(self.note, " ".join(explanation.notes))


def summary(explanation: Explanation) -> str:
    """Summarise a map and its reliability in one line."""
    score = explanation.target.score.replace("_", "-")
    parts = [f"{explanation.label} · {explanation.title}: {score} {explanation.score:.3g}"]
    figures = dict(explanation.diagnostics)
    samples = figures.pop(SAMPLES, None)
    if not explanation.complete:
        parts.append(f"{explanation.done} of {explanation.total} steps")
        samples = None  # a partial count; the steps are given instead
    parts += [_figure(name, value) for name, value in figures.items()]
    if samples is not None:
        parts.append(f"{samples:.0f} samples" + " were enough" * _is_precise(explanation))
    return ", ".join(parts)


def _is_precise(explanation: Explanation) -> bool:
    """Return whether sampling stopped because the requested precision was reached."""
    precision: float = explanation.options.get("precision", 0.0)
    return 0 < precision >= explanation.diagnostics.get(RELATIVE_ERROR, 1.0)


def _figure(name: str, value: float) -> str:
    """Format one of the diagnostics of a map."""
    if name == RELATIVE_ERROR:
        return f"standard error {_brief(100 * value)} % of the maximum"
    return f"{name.replace('_', ' ')} {_brief(value)}"


def _brief(value: float) -> str:
    """Format a number with two digits, or all before the decimal point."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.2g}"


def _choice(name: str, choices: Any) -> ComboBox:  # noqa: ANN401 - names, or pairs of text and name
    return ComboBox(name=name, choices=choices, tooltip=HELP[name])
