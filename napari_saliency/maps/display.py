"""Choices of how a map is displayed, and their valid values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self, get_args

from napari_saliency.core.errors import quote

if TYPE_CHECKING:
    from napari_saliency.core.types import Shows

Reduction = Literal["auto", "max", "sum", "mean", "norm", "each"]
"""Reduction of channels to one: the value with the largest magnitude, their sum, mean or L2 norm.
``each`` keeps them apart. ``auto`` is ``each`` for stacks and ``max`` for other maps.
"""

Sign = Literal["absolute", "positive", "negative", "signed"]
"""Part of a signed map that is displayed."""

Contrast = Literal["per class", "shared"]
"""Contrast limits of each map alone, or shared by all computed maps."""

REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
SIGNS: tuple[Sign, ...] = get_args(Sign)
CONTRASTS: tuple[Contrast, ...] = get_args(Contrast)
COLORMAPS = ("heat", "jet", "green", "cyan", "diverging")
"""Names of the colormaps in `colormaps`; each also serves signed maps."""


@dataclass(frozen=True)
class Display:
    """Choices of how a map is displayed.

    Attributes
    ----------
    reduction : {"auto", "max", "sum", "mean", "norm", "each"}
        How channels are reduced to one. ``max`` takes the value with the largest magnitude, with its
        sign; ``norm`` has no sign; ``each`` keeps the channels apart, one at a time behind a slider.
        ``auto`` is ``each`` for methods that return a stack, and ``max`` for all others.
    sign : {"absolute", "positive", "negative", "signed"}
        Which values are displayed; ``negative`` displays their magnitudes. With ``norm``, positive and
        negative are the norms of the channels' positive and negative parts, and signed is the same as
        absolute.
    clip : float
        Percentile of the magnitudes, 50 to 100, at which the colormap ends.
    contrast : {"per class", "shared"}
        Whether contrast limits come from the map alone or from all computed maps.
    colormap : str, optional
        One of `COLORMAPS`; by default ``heat``, and ``diverging`` where both signs are displayed.

    Raises
    ------
    ValueError
        If a choice does not exist, or ``clip`` is out of range.
    """

    reduction: Reduction = "auto"
    sign: Sign = "absolute"
    clip: float = 99.5
    contrast: Contrast = "per class"
    colormap: str | None = None

    def __post_init__(self) -> None:
        choices = {
            "reduction": REDUCTIONS,
            "sign": SIGNS,
            "contrast": CONTRASTS,
            "colormap": (None, *COLORMAPS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} {quote(getattr(self, name))} is not one of {', '.join(map(str, allowed))}"
                )
        if not 50 <= self.clip <= 100:
            raise ValueError(f"clip {quote(self.clip)} must be a percentile between 50 and 100")

    @property
    def diverging(self) -> bool:
        """True if values of both signs are displayed."""
        return self.sign == "signed" and self.reduction != "norm"

    @property
    def shared(self) -> bool:
        """True if all computed maps have the same contrast limits."""
        return self.contrast == "shared"

    def of(self, shows: Shows) -> Self:
        """Replace ``auto`` by the reduction for a method that returns a map, a stack or an image."""
        if self.reduction != "auto":
            return self
        return replace(self, reduction="each" if shows == "stack" else "max")
