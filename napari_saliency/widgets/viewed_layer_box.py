"""The list in which the user chooses whether to explain the model's own output or a layer inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_saliency.core.placement import format_size
from napari_saliency.widgets.search_box import Search, widen

if TYPE_CHECKING:
    from napari_saliency.models import Layer
    from napari_saliency.session.session import Session
    from napari_saliency.session.state import ModelStatus

WHOLE = "of the model, or inside…"
HELP = (
    "<p>The list below shows the model's own classes or the <b>channels of a layer inside</b> it, strongest first. "
    "The map of a channel shows which parts of the image activate it.</p><p>Type to search for a layer.</p>"
)


class ViewedLayerBox(QComboBox):
    """A searchable list of the model's layers, the last one computed first."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._layers: tuple[Layer, ...] = ()
        self._requested = ""  # the layer chosen last, which may still be loading
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMaxVisibleItems(24)
        self.setToolTip(HELP)
        Search(self)
        self._add(WHOLE, "")
        self.activated.connect(self._choose)
        session.model_changed.connect(self._follow_model)
        self._follow_model(session.model)

    @property
    def viewed_layer(self) -> str:
        """Layer whose channels are listed now; empty for the model's own classes."""
        info = self._session.model.info
        return info.viewed_layer if info is not None else ""

    def _choose(self, number: int) -> None:
        layer = self.itemData(number)
        if layer != self._requested:
            self._requested = layer
            self._session.view_layer(layer)

    def _follow_model(self, status: ModelStatus) -> None:
        if status.info is None:  # it is loading, perhaps only to view another layer
            return
        self._requested = self.viewed_layer
        layers = (status.info.outer or status.info).layers
        if layers != self._layers:
            self._layers = layers
            self.clear()
            self._add(WHOLE, "")
            for layer in reversed(layers):
                text = f"{layer.name} ({format_size(layer.shape)}, {layer.channels} channels)"
                self._add(f"of {layer.name}", layer.name, text)
            widen(self)
        self.setVisible(bool(layers))
        self._show_current()

    def _add(self, text: str, layer: str, tooltip: str = "") -> None:
        self.addItem(text, layer)
        self.setItemData(self.count() - 1, tooltip, Qt.ItemDataRole.ToolTipRole)

    def _show_current(self) -> None:
        """Select the viewed layer in the list."""
        self.setCurrentIndex(max(0, self.findData(self.viewed_layer)))
