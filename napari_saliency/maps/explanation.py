"""The result of one explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_saliency.core.types import DIRECTIONS
from napari_saliency.maps import reduction
from napari_saliency.maps.colormaps import error_colormap
from napari_saliency.maps.display import Display

if TYPE_CHECKING:
    from napari_saliency.core.placement import Placement
    from napari_saliency.core.types import Array, Prediction, Shows, Target

    Pixels = Array | npt.NDArray[np.uint8]

ERROR = "standard error"


@dataclass(frozen=True, eq=False)
class Explanation:
    """A map, with everything needed to understand, place and reproduce it.

    Attributes
    ----------
    values : (h, w, C) or (h, w) float32; for volumes (z, y, x, C) or (z, y, x)
        The raw map: signed, not normalised. Derivatives are in units of score per unit of model input;
        contributions (gradient times input, path methods, occlusion) and class activation maps in units
        of score; squares and variances in the squared unit of the map they are computed from;
        activations in the layer's own unit. Methods that generate an image return that image, 0 to 255.
    placement : Placement
        Position of the map's pixels in the image.
    target : Target
        The explained target.
    label : str
        The target as text, as in ``Egyptian cat``.
    score : float
        The target's value for this image.
    method, title : str
        Id and name of the method; the name includes a wrapped method, as in ``SmoothGrad of Grad-CAM``.
    options : mapping
        All options of the method, including defaults.
    prediction : Prediction
        The model's prediction for the image.
    done, total : int
        Steps done, and steps in total; equal unless the method was stopped.
    stderr : array like ``values``, or None
        Standard error, for methods that sample.
    diagnostics : mapping
        Measures of the map's reliability, such as the completeness gap.
    notes : tuple of str
        Sentences to read with the map.
    provenance : mapping
        Model and its fingerprint, preprocessing, package versions.
    shows : {"map", "stack", "picture"}
        Kind of ``values``: a map; a stack, each of whose channels is a map; or a generated image.
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
        """Name of the layer, as in ``Egyptian cat · Grad-CAM``; a score other than the default comes last."""
        score = self.target.score
        default = score in ("logit", *DIRECTIONS)  # the label has an arrow for the direction
        suffix = [] if default else [score.replace("_", "-")]
        return " · ".join([self.label, self.title, *suffix])

    @property
    def error_name(self) -> str:
        """Name of the error's layer, as in ``Egyptian cat · SmoothGrad · standard error``."""
        return f"{self.name} · {ERROR}"

    @property
    def complete(self) -> bool:
        """True if the method was not stopped early."""
        return self.done >= self.total

    @property
    def picture(self) -> npt.NDArray[np.uint8]:
        """The generated image as uint8, (h, w, 3), or (h, w) if it is not RGB; for methods that generate one."""
        pixels = self.values if self.values.shape[-1] == 3 else self.values.mean(axis=-1)
        return np.rint(pixels).clip(0, 255).astype(np.uint8)

    def reduced(self, display: Display) -> Array:
        """Reduce the map to (h, w) or (z, y, x), or with the channels first; see `reduction.reduce`."""
        return reduction.reduce(self.values, display.of(self.shows), len(self.placement.scale))

    def reduced_error(self, display: Display) -> Array:
        """Reduce the standard error to the shape of `reduced`; see `reduction.reduce_error`.

        Raises
        ------
        ValueError
            If the method did not sample.
        """
        if self.stderr is None:
            raise ValueError(f"{self.title} did not sample, so its map has no standard error")
        axes = len(self.placement.scale)
        return reduction.reduce_error(self.stderr, self.values, display.of(self.shows), axes)

    def to_layer(
        self, display: Display | None = None, *, error: bool = False
    ) -> tuple[Pixels, dict[str, Any], str]:
        """Convert the map to a layer data tuple, as napari's readers and sample data return them.

        Parameters
        ----------
        display : Display, optional
            How the map is displayed; by default as the largest magnitude of the channels.
        error : bool
            Return the standard error instead, with the map's contrast limits, so that the two can be
            compared, and a colormap of another hue, so that they cannot be confused.

        Returns
        -------
        data : (h, w) or (z, y, x) float32
            The reduced map in its own units; channels that are kept apart come first. For methods that
            generate an image that image, uint8.
        attributes : dict
            Arguments of ``viewer.add_image(data, **attributes)``: name, position on an image layer that
            is not transformed, colormap, and this explanation as ``metadata["saliency"]``.
        kind : str
            ``"image"``.

        Raises
        ------
        ValueError
            If ``error`` is true and the method did not sample.
        """
        if self.shows == "picture":
            return (
                self.picture,
                {**self._layer_attributes(self.name), "rgb": self.values.shape[-1] == 3},
                "image",
            )
        display = display or Display()
        reduced = self.reduced(display)
        apart = reduced.ndim - len(self.placement.scale)  # 1 if the channels are kept apart
        attributes = {
            **self._layer_attributes(self.error_name if error else self.name, apart),
            **reduction.appearance([reduced], display),
        }
        if not error:
            return reduced, attributes, "image"
        colours = error_colormap(display, attributes["colormap"]["name"])
        return self.reduced_error(display), {**attributes, "colormap": colours}, "image"

    def _layer_attributes(self, name: str, apart: int = 0) -> dict[str, Any]:
        """Return the attributes that all layers have; ``apart`` axes precede the spatial ones."""
        return {
            "name": name,
            "scale": (1.0,) * apart + self.placement.scale,
            "translate": (0.0,) * apart + self.placement.translate,
            "metadata": {"saliency": self},
        }
