"""What a check finds out, and what it looks at; numpy only."""

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
"""Into how many parts of progress a map is cut that a check has made anew."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A line to be drawn.

    Attributes
    ----------
    label : str
        What it is of.
    x, y : (n,) float32
        The points, by growing ``x``.
    spread : (n,) float32, optional
        Standard deviation of ``y``, where it is a mean.
    across, up : str
        What ``x`` and ``y`` count, in a few words; the same of all curves of a finding.
    """

    label: str
    x: Array
    y: Array
    spread: Array | None = None
    across: str = ""
    up: str = ""


@dataclass(frozen=True, eq=False)
class Finding:
    """A check's answer so far.

    Attributes
    ----------
    done, total : int
        How far the check is; the last finding has ``done == total``, and it alone a verdict.
    figures : mapping of str to float
        What was measured.
    curves : tuple of Curve
        The same, to be drawn.
    verdict : str
        One sentence for whoever looks at the map.
    level : {"good", "doubtful", "bad", "not applicable"} or None
        The same in a word.
    notes : tuple of str
        How it was measured, where that was chosen here.
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
        """Whether the check ran to its end."""
        return self.done >= self.total

    def judged(self, level: Level, verdict: str) -> Finding:
        """End with a verdict."""
        return replace(self, done=self.total, level=level, verdict=verdict)


@dataclass(frozen=True, eq=False)
class Subject:
    """One map, and all that it was made of.

    Attributes
    ----------
    model : Model
        The model that is explained.
    x : (1, *space, C) float32
        The preprocessed picture.
    targets : Targets
        What was explained, of one picture.
    values : (h, w, C) or (h, w) float32; of volumes (z, y, x, C) or (z, y, x)
        The map; it covers ``x``, and may be coarser.
    method : str
        Id of the method.
    options : mapping
        All its options.
    diagnostics : mapping of str to float
        What the method says of its map.
    region : Region, optional
        What somebody has drawn on the picture, on the grid of ``x``.
    picture : Region, optional
        Where ``x`` shows the picture, and not the black around it; everywhere if there is none.
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
        """Size of what the model sees, without channels."""
        return self.x.shape[1:-1]

    @property
    def size(self) -> int:
        """How many of its pixels are the picture's."""
        return self.picture.size if self.picture else math.prod(self.space)

    def visible(self, space: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Which pixels of a map of a size show some of the picture, (*space) bool."""
        if self.picture is None:
            return np.ones(space, bool)
        share = self.picture.share(space)
        return np.asarray(share > share.max() / 1000)  # less is what rounding leaves

    def again(
        self,
        so_far: Finding,
        *,
        model: Model | None = None,
        x: Array | None = None,
        targets: Targets | None = None,
    ) -> Generator[Finding, None, Array]:
        """Make the map anew, of something else; yield ``so_far`` with its progress, and return the map.

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
