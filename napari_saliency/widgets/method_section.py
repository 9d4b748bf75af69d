"""Section: the method, its options, and running it."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from napari_saliency.core.types import DIRECTIONS, SCORES
from napari_saliency.methods import METHODS, LayerChoice, MethodChoice, Option
from napari_saliency.widgets.option_form import OptionForm, method_choices
from napari_saliency.widgets.preferences import remember_method, remembered_method, remembered_options
from napari_saliency.widgets.run_bar import RunBar
from napari_saliency.widgets.search_box import Search, widen
from napari_saliency.widgets.style import Section, combo, note, row, set_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtGui import QStandardItem

    from napari_saliency.core.types import Score
    from napari_saliency.methods import Method
    from napari_saliency.models import ModelInfo
    from napari_saliency.session.session import Session
    from napari_saliency.session.state import ModelStatus

SETTLED = 250  # milliseconds after the last change of a number that Live explains it
MANY = 500  # passes of the model from which their number is announced before the run
LISTED = 40  # rows of the open list, separators included
SCORE = "score"
SCORE_HELP = (
    "<p>Score of the class that is explained.</p>"
    "<p><b>logit</b>: the score before softmax; depends on this class alone.<br>"
    "<b>probability</b>: also rises when other classes fall.<br>"
    "<b>log-probability</b>: the probability on a logarithmic scale.</p>"
)
DIRECTION_HELP = "<p>Explain what makes the quantity larger (increase) or smaller (decrease).</p>"


class MethodSection(Section):
    """The method, its options, the score, and the button that runs it."""

    def __init__(self, session: Session, methods: Mapping[str, Method] = METHODS) -> None:
        super().__init__("Method")
        self._session, self._methods = session, methods
        self._chosen: dict[str, dict[str, Any]] = {session.method: dict(session.options)}
        self._chosen |= remembered_options(methods)
        self._layers: tuple[object, ...] = ()
        self._scores = SCORES
        self._preferred = remembered_method(methods) or session.method
        self.method = combo()
        Search(self.method)
        self.options, self.run = OptionForm(), RunBar(session, self.commit_edits)
        self.cost = note()
        self._fill()
        self.rows.removeWidget(self.heading)
        self.rows.addLayout(row(self.heading, self.method, stretch=1))
        self.rows.addWidget(self.options)
        self.rows.addWidget(self.cost)
        self.rows.addWidget(self.run)
        self._take_soon = qdebounced(self._take, timeout=SETTLED, parent=self)
        self.method.activated.connect(self._choose_method)
        self.options.changed.connect(self._keep_options)
        session.model_changed.connect(self._follow_model)
        session.prepared_changed.connect(self._show_cost)
        self._show_options()
        self._take()

    def choose(self, method: str, **options: object) -> None:
        """Choose a method and its options, as the user does."""
        self._chosen[method] = self._methods[method].complete(options)
        self.method.setCurrentIndex(self.method.findData(method))
        self._choose_method()

    def commit_edits(self) -> None:
        """Tell the session at once what is chosen, also a number that is still being typed."""
        self.options.finish_typing()
        self._take()

    def _fill(self) -> None:
        before = None
        for name, method in self._methods.items():
            family = method.function.__module__
            if before not in (None, family):
                self.method.insertSeparator(self.method.count())
            before = family
            self.method.addItem(method.title, name)
            self._item(name).setToolTip(_tip(method))
        self.method.setMaxVisibleItems(LISTED)
        self.method.setCurrentIndex(self.method.findData(self._preferred))
        widen(self.method)

    def _choose_method(self) -> None:
        if not self._item(self.method.currentData()).isEnabled():  # its name can still be typed in full
            self.method.setCurrentIndex(self.method.findData(self._session.method))
            return
        self._preferred = self.method.currentData()
        self._show_options()
        self._take()

    def _keep_options(self, values: dict[str, Any]) -> None:
        score = values.pop(SCORE)
        if score != self._session.score:
            self._session.set_score(score)
            self.run.refresh()
        self._chosen[self.method.currentData()] = values
        self._show_cost()
        if self._session.live:  # each number on the way would start a run
            self._take_soon()
        else:
            self._take()

    def _take(self) -> None:
        method = self.method.currentData()
        options = self._methods[method].complete(self._values(method))
        if (method, options) != (self._session.method, self._session.options):
            self._session.set_method(method, options)
            self.run.refresh()
        each = {name: _without_layers(self._methods[name], kept) for name, kept in self._chosen.items()}
        remember_method(self._preferred, each)

    def _values(self, name: str) -> dict[str, Any]:
        """Return the chosen options of a method; a wrapped method that the model cannot answer is replaced."""
        values, info = self._chosen.get(name, {}), self._session.model.info
        for option in self._methods[name].options:
            if isinstance(option.choices, MethodChoice):
                able = [inner for _, inner in method_choices(info)]
                if able and values.get(option.name, option.default) not in able:
                    values = {**values, option.name: able[0]}
        return values

    def _item(self, name: str) -> QStandardItem:
        return self.method.model().item(self.method.findData(name))

    def _show_options(self) -> None:
        name = self.method.currentData()
        self.method.setToolTip(self.method.itemData(self.method.currentIndex(), Qt.ItemDataRole.ToolTipRole))
        options = (_score(self._scores), *self._methods[name].options)
        score = self._session.score
        values = {SCORE: score if score in self._scores else self._scores[0], **self._values(name)}
        self.options.show_options(options, values, self._session.model.info)
        for one, next_one in pairwise((self.method, *self.options.fields, self.run.button, self.run.live)):
            QWidget.setTabOrder(one, next_one)  # otherwise new fields come last
        self._show_cost()

    def _show_cost(self, _change: object = None) -> None:
        """Show how many passes of the model a run takes, if they are many and the input size is known.

        Options that do not fit the picture, its channels or each other are reported instead.
        """
        info, prepared = self._session.model.info, self._session.prepared
        if info is None:
            set_text(self.cost, "")
            return
        sizes = info.input.shape if prepared is None else prepared.x.shape[:-1]
        space = tuple(size for size in sizes if size is not None)
        values = {name: value for name, value in self.options.values.items() if name != SCORE}
        method = self._methods[self.method.currentData()]
        try:
            method.check_colours(values, info.input.channels)
            passes = method.passes(values, info, space) if len(space) == len(sizes) else 0
        except ValueError as error:
            set_text(self.cost, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        else:
            set_text(self.cost, cost_text(passes, values))

    def _offer_methods(self, info: ModelInfo) -> None:
        """Enable only the methods that the model supports; if the user's choice is not among them, choose the first.

        A method that wraps another one may take very long: it is offered, but not chosen in the user's place.
        """
        able = []
        for name, method in self._methods.items():
            self._item(name).setEnabled(method.possible(info.gives))
            self._item(name).setToolTip(_tip(method, info))
            if method.needed(method.complete(self._chosen.get(name, {}))) <= info.gives:
                able.append(name)
        best = self._preferred if self._preferred in able or not able else able[0]
        if best != self.method.currentData():
            self.method.setCurrentIndex(self.method.findData(best))
            self._show_options()
            self._take()

    def _follow_model(self, status: ModelStatus) -> None:
        """Offer the methods and layers of the open model."""
        info = status.info
        if info is not None:
            self._offer_methods(info)
        if info is not None and (info.layers, info.scores) != (self._layers, self._scores):
            self._layers, self._scores = info.layers, info.scores
            self._chosen = {
                name: _without_layers(self._methods[name], values) for name, values in self._chosen.items()
            }
            self._show_options()
            self._take()
        self._show_cost()


def cost_text(passes: int, options: Mapping[str, Any]) -> str:
    """Return how many times a method runs the model, in two digits; "" if not many."""
    if passes < MANY:
        return ""
    about = round(passes, 2 - len(str(passes)))
    return f"{'At most' if options.get('precision') else 'About'} {about:,} passes of the model."


def _score(scores: tuple[Score, ...]) -> Option:
    choices = tuple((score.replace("_", "-"), score) for score in scores)
    return Option(SCORE, str, scores[0], DIRECTION_HELP if scores == DIRECTIONS else SCORE_HELP, choices)


def _tip(method: Method, info: ModelInfo | None = None) -> str:
    """Describe a method, and what a model lacks for it."""
    why = ""
    if info is not None and not method.possible(info.gives):
        why = f"<p><b>{escape(f'{method.title} {info.lacks(method.needs)}')}.</b></p>"
    return f"<p>{method.summary}</p><p><i>{method.cite}</i></p>{why}"


def _without_layers(method: Method, values: dict[str, Any]) -> dict[str, Any]:
    """Forget options that name a layer of another model."""
    named = {option.name for option in method.options if isinstance(option.choices, LayerChoice)}
    return {name: value for name, value in values.items() if name not in named}
