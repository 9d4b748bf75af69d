"""What comes out of it all: a map with everything needed to understand, place and repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_saliency.core.types import DIRECTIONS
from napari_saliency.maps import reduction
from napari_saliency.maps.colormaps import error_colormap

if TYPE_CHECKING:
    from napari_saliency.core.placement import Placement
    from napari_saliency.core.types import Array, Prediction, Shows, Target

    Pixels = Array | npt.NDArray[np.uint8]

ERROR = "standard error"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model gives a picture a score.

    Attributes
    ----------
    values : (h, w, C) or (h, w) float32; of volumes (z, y, x, C) or (z, y, x)
        The map, raw: signed, not normalised. Derivatives are in units of score per unit of model input;
        contributions (times the input, along a path, of what was covered) and class activation maps in units
        of score; squares and variances in the square of the map's that they are of; activations in the layer's
        own. Of methods that make a picture that picture, 0 to 255.
    placement : Placement
        Where the map's pixels lie in the picture.
    target : Target
        What was explained.
    label : str
        The target in words, as in ``Egyptian cat``.
    score : float
        The target's value for this picture.
    method, title : str
        Id and name of the method; the name says what it wraps, as in ``SmoothGrad of Grad-CAM``.
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
    shows : {"map", "stack", "picture"}
        What ``values`` are; the channels of a stack are maps of their own.
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
    shows: Shows = "map"

    @property
    def name(self) -> str:
        """As in ``Egyptian cat · Grad-CAM``, with the score at its end where that is not the usual one."""
        score = self.target.score
        usual = score in ("logit", *DIRECTIONS)  # a label says its direction
        given = [] if usual else [score.replace("_", "-")]
        return " · ".join([self.label, self.title, *given])

    @property
    def error_name(self) -> str:
        """As in ``Egyptian cat · SmoothGrad · standard error``."""
        return f"{self.name} · {ERROR}"

    @property
    def complete(self) -> bool:
        """Whether the method ran to its end."""
        return self.done >= self.total

    @property
    def picture(self) -> npt.NDArray[np.uint8]:
        """Of methods that make a picture: as pictures are kept, (h, w, 3), or (h, w) if it is not RGB."""
        pixels = self.values if self.values.shape[-1] == 3 else self.values.mean(axis=-1)
        return np.rint(pixels).clip(0, 255).astype(np.uint8)

    def reduced(self, display: reduction.Display) -> Array:
        """One number for each pixel, (h, w) or (z, y, x), channels first if apart; see `reduction.reduce`."""
        return reduction.reduce(self.values, display.of(self.shows), len(self.placement.scale))

    def reduced_error(self, display: reduction.Display) -> Array:
        """Standard error of `reduced`, of the same shape; see `reduction.reduce_error`.

        Raises
        ------
        ValueError
            If the map has none.
        """
        if self.stderr is None:
            raise ValueError(f"{self.title} did not sample, so its map has no standard error")
        axes = len(self.placement.scale)
        return reduction.reduce_error(self.stderr, self.values, display.of(self.shows), axes)

    def to_layer(
        self, display: reduction.Display | None = None, *, error: bool = False
    ) -> tuple[Pixels, dict[str, Any], str]:
        """Make a layer of it, as napari's functions take and give them.

        Parameters
        ----------
        display : Display, optional
            How the map is shown; by default the largest magnitude of the channels.
        error : bool
            Show its standard error, in colours of its own and with the map's contrast limits, so that they can
            be compared and not confused.

        Returns
        -------
        data : (h, w) or (z, y, x) float32
            One view of the map, in its own units; channels that are left apart come first. Of methods that
            make a picture that picture, uint8.
        attributes : dict
            For ``viewer.add_image(data, **attributes)``: name, place over a picture that was not moved
            or scaled, colours, and this explanation under ``metadata["saliency"]``.
        kind : str
            ``"image"``.

        Raises
        ------
        ValueError
            If the error is asked for of a map that has none.
        """
        if self.shows == "picture":
            return self.picture, {**self._place(self.name), "rgb": self.values.shape[-1] == 3}, "image"
        display = display or reduction.Display()
        reduced = self.reduced(display)
        apart = reduced.ndim - len(self.placement.scale)  # an axis of channels, or none
        attributes = {
            **self._place(self.error_name if error else self.name, apart),
            **reduction.appearance([reduced], display),
        }
        if not error:
            return reduced, attributes, "image"
        colours = error_colormap(display, attributes["colormap"]["name"])
        return self.reduced_error(display), {**attributes, "colormap": colours}, "image"

    def _place(self, name: str, apart: int = 0) -> dict[str, Any]:
        """What layers of every kind have; ``apart`` axes stand before the map's own."""
        return {
            "name": name,
            "scale": (1.0,) * apart + self.placement.scale,
            "translate": (0.0,) * apart + self.placement.translate,
            "metadata": {"saliency": self},
        }
