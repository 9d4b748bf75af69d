"""The whole panel in napari's window: opened, used, closed in every way."""

import gc
import threading
import warnings
import weakref
from functools import partial

import pytest
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.utils._proxies import PublicOnlyProxy
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QCoreApplication, QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import (
    QApplication,
    QLabel,
    QPlainTextEdit,
    QScrollArea,
)

from napari_saliency.engine import process as engine
from napari_saliency.session.model_loader import ENDED
from napari_saliency.session.session import Session
from napari_saliency.session.state import ModelStatus, Phase, Problem
from napari_saliency.viewer.layer_record import is_generated
from napari_saliency.widgets import panel as widgets_panel
from napari_saliency.widgets.classes_section import ClassSection
from napari_saliency.widgets.display_section import DisplaySection
from napari_saliency.widgets.method_section import MethodSection
from napari_saliency.widgets.model_section import ModelSection
from napari_saliency.widgets.panel import Poster, Release, SaliencyPanel, show_details
from napari_saliency.widgets.run_bar import OUTDATED
from napari_saliency.widgets.sections import SECTIONS, SectionEntry
from napari_saliency.widgets.style import Colours, Section
from tests.executors import Immediate
from tests.fakes import info, prediction
from tests.staged import StagedSession
from tests.widgets.acting import PHOTO

pytestmark = pytest.mark.viewer


@pytest.fixture
def session():
    return StagedSession(prediction(1000))


@pytest.fixture
def docked(make_napari_viewer, session):
    """Open the panel as a dock, with a picture to look at."""

    def dock(*, show=False, model=session, **more):
        viewer = make_napari_viewer(show=show)
        viewer.add_image(PHOTO, name="photo")
        panel = SaliencyPanel(viewer, model, **more)
        return viewer, panel, viewer.window.add_dock_widget(panel, name="Saliency")

    return dock


def flush():
    """Let Qt delete what waits for it."""
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()


def maps(viewer):
    return [layer for layer in viewer.layers if is_generated(layer)]


def test_napari_finds_and_makes_the_panel(make_napari_viewer, npe2pm, session, monkeypatch):
    monkeypatch.setattr(widgets_panel, "Session", lambda *_: session)
    with npe2pm.tmp_plugin(package="napari_saliency"):
        viewer = make_napari_viewer()
        _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
        assert isinstance(panel, SaliencyPanel)
        assert panel.viewer is viewer
        viewer.add_image(PHOTO)
        panel.section(MethodSection).run.button.click()
        assert len(maps(viewer)) == 1


def test_a_proxy_is_taken_off_the_viewer(make_napari_viewer, session, qtbot):
    viewer = make_napari_viewer()
    layer = viewer.add_image(PHOTO)
    panel = SaliencyPanel(PublicOnlyProxy(viewer), session)
    qtbot.addWidget(panel)
    assert panel.controller.source is layer
    panel.close()


def test_opened_with_nothing_it_starts_an_engine_with_the_bundled_model(
    make_napari_viewer, monkeypatch, qtbot
):
    started = []
    monkeypatch.setattr(engine, "start_engine", lambda: started.append(True) or Immediate())
    monkeypatch.setattr(engine, "warm_up", lambda: ("elsewhere", 1))
    monkeypatch.setattr(engine, "open_model", lambda source, settings, inside: info(source=source))
    panel = SaliencyPanel(make_napari_viewer())
    qtbot.addWidget(panel)
    qtbot.waitUntil(lambda: panel.session.model.phase is Phase.READY)
    assert started == [True]
    assert panel.session.model.source == "bundled:photos"
    panel.close()


def test_it_is_as_wide_as_it_should_be(docked):
    _, panel, _ = docked()
    assert 320 <= panel.sizeHint().width() <= 400
    assert panel.minimumSizeHint().width() <= 320
    content = panel.findChild(QScrollArea).widget()
    assert content.minimumSizeHint().width() <= panel.minimumSizeHint().width()


@pytest.mark.parametrize("unfolded", [False, True])
@pytest.mark.parametrize("width", [320, 500])
def test_all_that_matters_is_seen_without_scrolling(make_napari_viewer, session, qtbot, width, unfolded):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(PHOTO)
    panel = SaliencyPanel(viewer, session)
    qtbot.addWidget(panel)
    panel.section(MethodSection).choose("smoothgrad")  # the one with the most options
    panel.section(MethodSection).options.more.setChecked(unfolded)
    session.patient = True
    session.explain()
    session.cancel()
    session.finish(done=50, total=1000, diagnostics={"completeness_gap": 0.0123})
    assert "50 of 1000 steps" in panel.section(DisplaySection).summary.text()
    panel.resize(width, 880)  # what is left of a window of 1000
    panel.show()
    qtbot.waitExposed(panel)
    qtbot.wait(50)
    area = panel.findChild(QScrollArea)
    assert unfolded or area.widget().height() <= area.viewport().height()
    assert area.widget().width() <= area.viewport().width()
    assert panel.section(ClassSection).table.viewport().height() >= (5 if unfolded else 6) * 22
    panel.close()


def test_what_says_that_a_map_is_outdated_fits(make_napari_viewer, session, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(PHOTO)
    panel = SaliencyPanel(viewer, session)
    dock = viewer.window.add_dock_widget(panel, name="Saliency")
    dock.setFixedWidth(320)
    session.explain()
    panel.section(MethodSection).choose("smoothgrad")
    qtbot.wait(50)
    hint = panel.section(MethodSection).run.hint
    assert hint.text() == OUTDATED
    assert hint.fontMetrics().horizontalAdvance(OUTDATED) <= hint.contentsRect().width()
    panel.close()


def test_tab_goes_through_the_panel_and_computes_nothing(make_napari_viewer, session, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(PHOTO)
    panel = SaliencyPanel(viewer, session)
    viewer.window.add_dock_widget(panel, name="Saliency")
    window = panel.window()
    with qtbot.waitActive(window):
        window.activateWindow()
    panel.section(MethodSection).choose("smoothgrad")
    qtbot.wait(20)  # new fields are shown
    session.commands.clear()
    form, run = panel.section(MethodSection).options, panel.section(MethodSection).run
    panel.section(MethodSection).method.setFocus()
    expected = [
        *(field for field in form.fields if not field.isHidden()),
        run.button,
        run.live,
        panel.section(ClassSection).viewed_layer_box,
        panel.section(ClassSection).search,
        panel.section(ClassSection).table,
        panel.section(ClassSection).sum.button,
        panel.section(ClassSection).sum.line,
        panel.section(DisplaySection).controls["reduction"].native,
    ]
    for widget in expected:
        qtbot.keyClick(window.focusWidget(), Qt.Key.Key_Tab)
        assert window.focusWidget() is widget
    assert form.more in expected
    assert not session.commands
    panel.close()


def test_class_keys_work_in_the_canvas(docked, session):
    viewer, _, _ = docked()
    order = session.prediction.order().tolist()
    for key, row in (("]", 1), ("]", 2), ("[", 1)):
        viewer.window._qt_viewer.canvas._key_map_handler.press_key(key)
        assert session.selected == order[row]


def test_the_theme_is_followed(docked):
    viewer, panel, _ = docked()
    before = panel.section(ClassSection).table.delegate.colours
    viewer.theme = "light"
    assert panel.section(ClassSection).table.delegate.colours != before
    assert panel.section(ClassSection).colours.muted.name() in panel.styleSheet()


class Extra(Section):
    """A section as somebody else would write it."""

    def __init__(self, session, controller):
        super().__init__("Extra")
        self.session, self.controller = session, controller
        self.rows.addWidget(QLabel("something"))


def test_a_new_section_is_one_entry(docked, session):
    viewer, panel, _ = docked(sections=(*SECTIONS, SectionEntry(Extra)))
    extra = panel.section(Extra)
    assert (extra.session, extra.controller) == (session, panel.controller)
    assert panel.sections[-1] is extra
    assert len(panel.sections) == len(SECTIONS) + 1
    assert panel.findChild(QScrollArea).isAncestorOf(extra)
    below = [section.mapTo(panel, QPoint(0, 0)).y() for section in panel.sections]
    assert below == sorted(below)
    dark = extra.colours
    viewer.theme = "light"
    assert extra.colours not in (dark, Colours.of_theme("dark"))
    assert extra.colours == panel.section(ClassSection).colours


def test_a_section_may_be_missing_and_takes_the_spare_height_that_its_entry_says(docked):
    _, panel, _ = docked(sections=(SectionEntry(Extra), SectionEntry(Extra, stretch=2)))
    rows = panel.sections[0].parentWidget().layout()
    assert [rows.stretch(number) for number in range(rows.count())] == [0, 2]
    with pytest.raises(LookupError, match="ClassSection"):
        panel.section(ClassSection)


def test_problems_are_shown_with_napari(docked, session):
    docked()
    session.fail("The engine ended.", "Traceback")
    record = notification_manager.records[-1]
    assert record.message == "The engine ended."
    assert [label for label, _ in record.actions] == ["Details"]


def test_a_model_file_that_is_dropped_is_opened(docked, session, tmp_path):
    _, panel, _ = docked()
    path = tmp_path / "net.keras"
    path.touch()
    for name, taken in ((path, True), (tmp_path / "photo.jpg", False)):
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(name))])
        event = QDropEvent(
            QPointF(5, 5),
            Qt.DropAction.CopyAction,
            mime,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        before = len(session.of("open_model"))
        panel.dropEvent(event)
        assert len(session.of("open_model")) - before == taken
    assert session.of("open_model")[-1][1] == str(path)


def test_models_are_chosen_by_name(docked, session):
    _, panel, _ = docked()
    panel.choose_model("keras:VGG16")
    assert session.commands[-1] == ("open_model", "keras:VGG16", None)


# Closing


def close_panel(viewer, panel, dock):
    panel.close()


def close_dock(viewer, panel, dock):
    dock.destroyOnClose()


def close_window(viewer, panel, dock):
    viewer.close()


@pytest.mark.parametrize("close", [close_panel, close_dock, close_window])
def test_everything_is_let_go_however_it_is_closed(docked, session, close, qtbot):
    viewer, panel, dock = docked()
    session.patient = True
    session.explain()  # in the middle of a run
    close(viewer, panel, dock)
    flush()
    assert session.of("close") == [("close",)]
    count = len(session.commands)
    if close is not close_window:  # then the viewer goes on, and nothing of the panel must notice
        viewer.add_image(PHOTO)
        viewer.theme = "light"
    for key in "[]":
        assert key not in map(str, viewer.keymap)
    session.failed.emit(None)
    assert len(session.commands) == count


def test_a_closed_dock_leaves_no_panel_behind(docked):
    _viewer, panel, dock = docked()
    gone = weakref.ref(panel)
    dock.destroyOnClose()
    del panel, dock
    flush()
    gc.collect()
    assert gone() is None


def test_hidden_and_floating_docks_go_on(docked, session):
    viewer, _panel, dock = docked()
    dock.hide()
    dock.show()
    dock.setFloating(True)
    dock.setFloating(False)
    flush()
    assert not session.of("close")
    session.explain()
    assert len(maps(viewer)) == 1


def test_closed_and_opened_again_it_finds_the_picture(docked, qtbot):
    viewer, _, dock = docked()
    dock.destroyOnClose()
    again = StagedSession(prediction(5))
    panel = SaliencyPanel(viewer, again)
    viewer.window.add_dock_widget(panel, name="Saliency")
    again.explain()
    assert len(maps(viewer)) == 1
    viewer.window._qt_viewer.canvas._key_map_handler.press_key("]")
    assert again.selected is not None


def test_two_panels_side_by_side_do_not_mix(docked, session):
    viewer, _first, dock = docked()
    other = StagedSession(prediction(5))
    second = SaliencyPanel(viewer, other)
    viewer.window.add_dock_widget(second, name="Saliency 2")
    session.explain()
    other.explain()
    assert len(maps(viewer)) == 2
    dock.destroyOnClose()
    flush()
    assert session.of("close")
    assert not other.of("close")
    other.select_class(3)
    assert len(maps(viewer)) == 2


def test_quitting_lets_go_too(docked, session):
    docked()
    QCoreApplication.instance().aboutToQuit.emit()
    assert session.of("close") == [("close",)]


def test_release_takes_each_step_once():
    taken = []
    release = Release([partial(taken.append, 1), partial(taken.append, 2)])
    release()
    release()
    assert taken == [1, 2]


# Other threads


def test_calls_from_other_threads_arrive_in_the_windows(qtbot):
    poster, heard = Poster(), []
    thread = threading.Thread(target=lambda: poster.post(lambda: heard.append(threading.current_thread())))
    thread.start()
    thread.join()
    assert not heard
    qtbot.waitUntil(lambda: heard == [threading.main_thread()])


def test_calls_after_closing_are_dropped(qtbot):
    poster, heard = Poster(), []
    poster.post(lambda: heard.append(1))
    poster.close()
    poster.post(lambda: heard.append(2))
    qtbot.wait(20)
    assert not heard


def test_calls_after_qt_are_dropped(qtbot):
    poster = Poster()
    poster.deleteLater()
    flush()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        poster.post(lambda: None)


# With the real session: an engine that answers at once, a model that is made up


@pytest.fixture
def real(make_napari_viewer, monkeypatch, qtbot):
    """Open the panel with an session of its own, whose engine is this process."""
    predicted = prediction(6)
    answers = {
        "start_engine": Immediate,
        "warm_up": lambda: ("elsewhere", 1),
        "open_model": lambda source, settings, inside: info(predicted.labels, source=source),
        "predict": lambda x, region: predicted,
        "drop": lambda run: None,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(engine, name, answer)
    viewer = make_napari_viewer()
    panel = SaliencyPanel(viewer)
    qtbot.addWidget(panel)
    assert isinstance(panel.session, Session)
    yield viewer, panel
    panel.close()


def test_a_dropped_picture_is_ready_to_explain(real, qtbot):
    viewer, panel = real
    viewer.add_image(PHOTO)
    qtbot.waitUntil(lambda: panel.session.prediction is not None)
    assert panel.section(ClassSection).table.classes.rowCount() == 6
    assert panel.section(MethodSection).run.button.isEnabled()
    assert panel.section(ModelSection).state.text().startswith("ready")


def test_what_the_session_refuses_is_a_notification(real, qtbot):
    _, panel = real
    panel.session.explain()
    assert "There is no picture" in notification_manager.records[-1].message


def test_the_model_is_lost_and_said_so(docked, session):
    _, panel, _ = docked()
    session.set_model(ModelStatus(Phase.LOST, "lost; starting the engine again", "fake:net"))
    assert panel.section(ModelSection).state.text().startswith("lost")
    assert panel.section(MethodSection).run.button.isEnabled()


def test_details_can_be_read_and_closed(qtbot):
    dialog = show_details(Problem("It failed.", "Traceback\n  deep inside"))
    qtbot.addWidget(dialog)
    texts = [child.toPlainText() for child in dialog.children() if hasattr(child, "toPlainText")]
    assert texts == ["Traceback\n  deep inside"]
    dialog.reject()


@pytest.mark.parametrize("details", ["", "Traceback"])
def test_details_say_in_full_what_a_notice_says_briefly(qtbot, details):
    dialog = show_details(Problem("The whole sentence.", details, "Briefly."))
    qtbot.addWidget(dialog)
    assert dialog.findChild(QLabel).text() == "The whole sentence."
    assert dialog.findChild(QPlainTextEdit).isVisible() == bool(details)
    dialog.reject()


def test_the_notice_of_an_engine_that_ended_is_read_whole(qtbot):
    """napari elides a notice to its first line."""
    notice = NapariQtNotification(ENDED, "warning")
    qtbot.addWidget(notice)
    notice.show()
    QApplication.processEvents()
    assert notice.message.fontMetrics().horizontalAdvance(ENDED) < notice.message.width()
