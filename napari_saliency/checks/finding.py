"""A check's subject and its findings; numpy only.

The black that pads an image is not part of it: in a check it has no turn, no area and no rank.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_saliency.methods import METHODS

if TYPE_CHECKING:
    from napari_saliency.core.placement import Region
    from napari_saliency.core.types import Array, Targets
    from napari_saliency.models.base import Model

Level = Literal["good", "doubtful", "bad", "not applicable"]

PARTS = 100
"""Units of progress that a map counts which a check computes again."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A line of a plot.

    Attributes
    ----------
    label : str
        Its name in the legend.
    x, y : (n,) float32
        The points, by growing ``x``.
    spread : (n,) float32, optional
        Standard deviation of ``y``, where it is a mean.
    across, up : str
        Axis labels of ``x`` and ``y``; the same for all curves of a finding.
    """

    label: str
    x: Array
    y: Array
    spread: Array | None = None
    across: str = ""
    up: str = ""


@dataclass(frozen=True, eq=False)
class Finding:
    """A check's result so far.

    Attributes
    ----------
    done, total : int
        Progress of the check; only the last finding has ``done == total`` and a verdict.
    figures : mapping of str to float
        The measurements.
    curves : tuple of Curve
        The same as curves.
    verdict : str
        One sentence for the user.
    level : {"good", "doubtful", "bad", "not applicable"} or None
        The verdict in one word.
    notes : tuple of str
        Choices made in measuring.
    """

    done: int
    total: int
    figures: Mapping[str, float] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    verdict: str = ""
    level: Level | None = None
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True if the check ran to its end."""
        return self.done >= self.total

    def judged(self, level: Level, verdict: str) -> Finding:
        """End with a verdict."""
        return replace(self, done=self.total, level=level, verdict=verdict)


@dataclass(frozen=True, eq=False)
class Subject:
    """One map, and everything that it was made from.

    Attributes
    ----------
    model : Model
        The explained model.
    x : (1, *space, C) float32
        The preprocessed picture.
    targets : Targets
        The explained target, of one picture.
    values : (h, w, C) or (h, w) float32; of volumes (z, y, x, C) or (z, y, x)
        The map; it covers ``x``, and may be coarser.
    method : str
        Id of the method.
    options : mapping
        All its options.
    diagnostics : mapping of str to float
        The method's own diagnostics of its map.
    region : Region, optional
        A region that the user has drawn on the picture, on the grid of ``x``.
    picture : Region, optional
        The part of ``x`` that shows the picture and not padding; everything if None.
    """

    model: Model
    x: Array
    targets: Targets
    values: Array
    method: str
    options: Mapping[str, Any]
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    region: Region | None = None
    picture: Region | None = None

    @property
    def space(self) -> tuple[int, ...]:
        """Size of the model's input, without channels."""
        return self.x.shape[1:-1]

    @property
    def size(self) -> int:
        """Number of input pixels that show the picture."""
        return self.picture.size if self.picture else math.prod(self.space)

    def visible(self, space: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Return which pixels of a map of this size show some of the picture, (*space) bool."""
        if self.picture is None:
            return np.ones(space, bool)
        share = self.picture.share(space)
        return np.asarray(share > share.max() / 1000)  # less is rounding

    def again(
        self,
        so_far: Finding,
        *,
        model: Model | None = None,
        x: Array | None = None,
        targets: Targets | None = None,
    ) -> Generator[Finding, None, Array]:
        """Compute the map again, with something replaced; yield ``so_far`` with its progress, and return the map.

        ``so_far.total`` counts `PARTS` for each map.
        """
        answers = METHODS[self.method].function(
            model or self.model,
            self.x if x is None else x,
            self.targets if targets is None else targets,
            **self.options,
        )
        before = so_far.done
        for estimate in answers:
            done = before + PARTS * estimate.done // estimate.total
            if so_far.done < done < before + PARTS:
                so_far = replace(so_far, done=done)
                yield so_far
        values: Array = estimate.values[0]
        return values
