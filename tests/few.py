"""Options with which every method ends soon."""

from collections.abc import Iterable

from napari_saliency.core.types import SCORES, Score
from napari_saliency.methods import METHODS


def few(samples: int = 5, steps: int = 8, segments: int = 6) -> dict[str, dict[str, int]]:
    """Method → those of these options that it has."""
    wanted = {"samples": samples, "steps": steps, "segments": segments}
    return {
        name: {option.name: wanted[option.name] for option in method.options if option.name in wanted}
        for name, method in METHODS.items()
    }


RULED = [name for name, found in METHODS.items() if found.needs in ("rescale", "epsilon")]
"""Methods that explain logits alone, of networks each of whose operations has a rule."""
EVERYWHERE = [name for name in METHODS if name not in RULED]
"""Methods that every model with derivatives gives."""

PRIMITIVE = ("occlusion", "gradient", "guided_backprop", "deconvnet", "grad_cam")
"""Methods that each show what one call gives: another score is another answer of these calls."""


def with_scores(names: Iterable[str]) -> list[tuple[str, Score]]:
    """Every method with the logit, and those that show a call with the other scores, too."""
    others = [score for score in SCORES if score != "logit"]
    return [
        *((name, "logit") for name in names),
        *((name, score) for name in names if name in PRIMITIVE for score in others),
    ]
