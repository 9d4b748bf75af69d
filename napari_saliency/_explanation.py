"""What comes out of it all: a map with everything needed to understand, place and repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_saliency import _display

if TYPE_CHECKING:
    from napari_saliency._placement import Placement
    from napari_saliency._types import Array, Prediction, Target


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model gives a picture a score.

    Attributes
    ----------
    values : (h, w, C) or (h, w) float32; of volumes (z, y, x, C) or (z, y, x)
        The map, raw: signed, not normalised, in units of score per unit of model input
        (class activation maps, which have no channels, in units of score).
    placement : Placement
        Where the map's pixels lie in the picture.
    target : Target
        What was explained.
    label : str
        The target in words, as in ``Egyptian cat``.
    score : float
        The target's value for this picture.
    method, title : str
        Id and name of the method.
    options : mapping
        All options of the method, the defaults included.
    prediction : Prediction
        What the model says of the picture.
    done, total : int
        How far the method went; equal unless it was stopped.
    stderr : array like ``values``, or None
        Standard error, of methods that sample.
    diagnostics : mapping
        Figures that tell how far the map can be trusted, as the completeness gap.
    notes : tuple of str
        Sentences to read with the map.
    provenance : mapping
        Model and its fingerprint, preprocessing, versions of the packages.
    """

    values: Array
    placement: Placement
    target: Target
    label: str
    score: float
    method: str
    title: str
    options: Mapping[str, Any]
    prediction: Prediction
    done: int
    total: int
    stderr: Array | None
    diagnostics: Mapping[str, float]
    notes: tuple[str, ...]
    provenance: Mapping[str, str]

    @property
    def name(self) -> str:
        """As in ``Egyptian cat · Grad-CAM``."""
        return f"{self.label} · {self.title}"

    @property
    def complete(self) -> bool:
        """Whether the method ran to its end."""
        return self.done >= self.total

    def reduced(self, display: _display.Display) -> Array:
        """One number for each pixel, (h, w) or (z, y, x); see `_display.reduce`."""
        return _display.reduce(self.values, display, len(self.placement.scale))

    def to_layer(self, display: _display.Display | None = None) -> tuple[Array, dict[str, Any], str]:
        """Make a layer of it, as napari's functions take and give them.

        Parameters
        ----------
        display : Display, optional
            How the map is shown; by default the largest magnitude of the channels.

        Returns
        -------
        data : (h, w) or (z, y, x) float32
            One view of the map, in its own units.
        attributes : dict
            For ``viewer.add_image(data, **attributes)``: name, place over a picture that was not moved
            or scaled, colours, and this explanation under ``metadata["saliency"]``.
        kind : str
            ``"image"``.
        """
        display = display or _display.Display()
        reduced = self.reduced(display)
        attributes = {
            "name": self.name,
            "scale": self.placement.scale,
            "translate": self.placement.translate,
            "metadata": {"saliency": self},
            **_display.appearance([reduced], display),
        }
        return reduced, attributes, "image"
