"""Steps of the demo; the demo as a whole is tested in `test_whole_viewer`."""

import pytest
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QDialog

from napari_saliency.app.demo import close_notifications
from napari_saliency.widgets.panel import SaliencyPanel
from tests.staged import StagedSession

pytestmark = pytest.mark.viewer


def test_notices_do_not_lie_over_the_picture(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    panel = SaliencyPanel(viewer, StagedSession())
    viewer.window.add_dock_widget(panel)

    def notices():
        return [dialog for dialog in panel.window().findChildren(QDialog) if dialog.isVisible()]

    show_warning("PyQt5 will be dropped")
    qtbot.waitUntil(lambda: bool(notices()))
    close_notifications(panel)
    qtbot.waitUntil(lambda: not notices())
