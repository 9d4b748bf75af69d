"""Widgets made from a method's options, with magicgui."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QGridLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_saliency.core.placement import format_size
from napari_saliency.methods import METHODS, LayerChoice, MethodChoice, wrappable
from napari_saliency.widgets import preferences as remembered
from napari_saliency.widgets.expression_edit import Typed
from napari_saliency.widgets.number_boxes import DecimalNumber, WholeNumber, prepare_typing
from napari_saliency.widgets.search_box import Search, widen
from napari_saliency.widgets.style import FOLD, GAP, note, set_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from magicgui.widgets.bases import ValueWidget

    from napari_saliency.methods import Option
    from napari_saliency.models import ModelInfo

LARGEST = 2**31 - 1  # of Qt's spin boxes


MORE = "More options"


class OptionForm(QWidget):
    """One row for each option of a method. Advanced options can be folded away."""

    changed = Signal(dict)  # name -> value, of all options

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(GAP)
        self._grid.setColumnStretch(1, 1)
        self.widgets: dict[str, ValueWidget[Any]] = {}
        self._options: Sequence[Option] = ()
        self._advanced: dict[str, tuple[Option, QLabel]] = {}
        self.more = QToolButton(self)
        self.more.setObjectName(FOLD)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.setCheckable(True)
        self.more.setChecked(remembered.flag(remembered.MORE))
        self.more.toggled.connect(self._unfold)
        self.more.hide()

    def show_options(
        self, options: Sequence[Option], values: Mapping[str, Any], info: ModelInfo | None
    ) -> None:
        """Replace all rows.

        Parameters
        ----------
        options : sequence of Option
            Options of a method.
        values : mapping
            Values chosen before; other options have their defaults.
        info : ModelInfo, optional
            The open model, whose layers some options offer as choices.
        """
        self.clear()
        self._options = options
        for option in sorted(options, key=lambda option: option.advanced):
            widget = option_widget(option, values.get(option.name, option.default), info)
            label = QLabel(field_label(option.name))
            label.setToolTip(option.help)
            widget.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            if option.advanced and not self._advanced:
                self._grid.addWidget(self.more, self._grid.rowCount(), 0, 1, 2)
            number = self._grid.rowCount()
            self._grid.addWidget(label, number, 0)
            self._grid.addWidget(widget.native, number, 1)
            if isinstance(widget, Typed):
                problem = note()
                self._grid.addWidget(problem, number + 1, 0, 1, 2)
                widget.problem.connect(partial(set_text, problem))
            widget.changed.connect(self._report)
            self.widgets[option.name] = widget
            if option.advanced:
                self._advanced[option.name] = option, label
        self._fold()

    def clear(self) -> None:
        """Remove all rows."""
        for widget in self.widgets.values():
            widget.changed.disconnect(self._report)
        self.widgets.clear()
        self._options = ()
        self._advanced.clear()
        self._grid.removeWidget(self.more)
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().hide()  # Qt deletes it later
            item.widget().deleteLater()

    def finish_typing(self) -> None:
        """Read what is still being typed."""
        for widget in self.widgets.values():
            if isinstance(widget, Typed):
                widget.take()
            elif isinstance(widget.native, QAbstractSpinBox):
                widget.native.interpretText()

    @property
    def values(self) -> dict[str, Any]:
        """Chosen values; the defaults for options without effect."""
        unused = self._unused
        return {name: unused.get(name, widget.value) for name, widget in self.widgets.items()}

    @property
    def fields(self) -> list[QWidget]:
        """Fields that can have the focus, from top to bottom, folded away or not."""
        fields = {name: widget.native for name, widget in self.widgets.items()}
        plain = [field for name, field in fields.items() if name not in self._advanced]
        return [*plain, self.more, *(fields[name] for name in self._advanced)]

    @property
    def _unused(self) -> dict[str, Any]:
        """Layer options without effect, because the wrapped method uses no layer, and their defaults."""
        inner = [self.widgets[o.name].value for o in self._options if isinstance(o.choices, MethodChoice)]
        if not inner or METHODS[inner[0]].looks:
            return {}
        return {o.name: o.default for o in self._options if isinstance(o.choices, LayerChoice)}

    def _report(self) -> None:
        self._fold()
        self.changed.emit(self.values)

    def _unfold(self, unfolded: bool) -> None:
        remembered.set_flag(remembered.MORE, unfolded)
        self._fold()

    def _fold(self) -> None:
        """Show the advanced options, or how many of them differ from their defaults."""
        unfolded, unused = self.more.isChecked(), self._unused
        for name, (_, label) in self._advanced.items():
            label.setVisible(unfolded)
            self.widgets[name].native.setVisible(unfolded)
            self.widgets[name].native.setEnabled(name not in unused)
        changed = sum(self.values[name] != option.default for name, (option, _) in self._advanced.items())
        self.more.setVisible(bool(self._advanced))
        self.more.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self.more.setText(f"{MORE} ({changed} changed)" if changed and not unfolded else MORE)


def option_widget(option: Option, value: Any, info: ModelInfo | None = None) -> ValueWidget[Any]:  # noqa: ANN401 - any option
    """Make the widget of one option: a spin box, a check box, a list or a line of text."""
    if option.several or option.keywords:
        return Typed(option, value)
    settings: dict[str, Any] = {"tooltip": option.help}
    choices: Sequence[Any]
    if searched := isinstance(option.choices, LayerChoice | MethodChoice):
        choices = layer_choices(info) if isinstance(option.choices, LayerChoice) else method_choices(info)
        value = value if value in [name for _, name in choices] else option.default
    else:
        choices = option.choices
    if choices:
        settings |= {"choices": list(choices), "widget_type": "ComboBox"}
    elif option.type in (int, float):
        settings |= _limits(option)
        settings["widget_type"] = WholeNumber if option.type is int else DecimalNumber
    made = cast("ValueWidget[Any]", create_widget(value, option.type, name=option.name, options=settings))
    if isinstance(made.native, QAbstractSpinBox):
        prepare_typing(made.native, option.min_text)
    elif searched:
        Search(made.native)
        widen(made.native)
    return made


def layer_choices(info: ModelInfo | None) -> list[tuple[str, str]]:
    """List the layers of a model as the user reads them, the last one computed first."""
    layers = info.layers if info is not None else ()
    named = {layer.name: f"{layer.name} ({format_size(layer.shape)})" for layer in layers}
    usual = named.get(info.cam_layer, "") if info is not None else ""
    return [
        (f"usual: {usual}" if usual else "usual", ""),
        *((text, name) for name, text in reversed(named.items())),
    ]


def method_choices(info: ModelInfo | None) -> list[tuple[str, str]]:
    """List the methods that another one can wrap and that the model supports."""
    able = (METHODS[name] for name in wrappable() if info is None or METHODS[name].needs in info.gives)
    return [(method.title, method.id) for method in able]


def field_label(name: str) -> str:
    """Format the name of a parameter for people."""
    return name.replace("_", " ").capitalize()


def _limits(option: Option) -> dict[str, Any]:
    low, high = option.limits or (-LARGEST, LARGEST)
    result = {"min": low, "max": high}
    if option.step is not None:
        result["step"] = option.step
    elif option.type is float and option.limits is not None:
        result["step"] = (high - low) / 100  # magicgui shows as many decimals as the step has
    return result
