"""The sections of the panel, from top to bottom. A new one is its module and one entry here.

A section is a `Section`. It is made once, when the panel is built, and is given the session and the layer controller,
to whose signals it connects itself. It offers its title, its rows and ``set_colours(colours)``, which the panel
calls when it is built and whenever napari's theme changes. It releases nothing itself: the panel closes the session and
the controller, and Qt deletes the section's widgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_saliency.widgets.checks_section import CheckSection
from napari_saliency.widgets.classes_section import ClassSection
from napari_saliency.widgets.display_section import DisplaySection
from napari_saliency.widgets.method_section import MethodSection
from napari_saliency.widgets.model_section import ModelSection
from napari_saliency.widgets.picture_section import PictureSection

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency.session.session import Session
    from napari_saliency.viewer.controller import LayerController
    from napari_saliency.widgets.style import Section


class SectionEntry(NamedTuple):
    """One section of the panel.

    Attributes
    ----------
    make : callable
        ``make(session, controller)`` makes the section.
    stretch : int
        Share of the panel's spare height that the section takes; 0 if its height is that of its rows.
    """

    make: Callable[[Session, LayerController], Section]
    stretch: int = 0


SECTIONS: tuple[SectionEntry, ...] = (
    SectionEntry(lambda session, controller: PictureSection(controller, session)),
    SectionEntry(lambda session, _: ModelSection(session)),
    SectionEntry(lambda session, _: MethodSection(session)),
    SectionEntry(lambda session, _: ClassSection(session), stretch=1),
    SectionEntry(lambda session, controller: DisplaySection(controller, session)),
    SectionEntry(lambda session, _: CheckSection(session)),
)
