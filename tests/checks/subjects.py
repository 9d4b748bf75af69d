"""Maps of analytic models, ready to be checked."""

import numpy as np

from napari_saliency.checks import CHECKS, Subject
from napari_saliency.core.placement import Region
from napari_saliency.core.types import Targets
from napari_saliency.methods import METHODS
from tests.analytic import Convolutional, pictures, targets_of

FEW = {"steps": 6, "orders": 3, "samples": 3, "classes": 2}


def subject(
    model=None,
    method="gradient",
    index=0,
    *,
    values=None,
    region=None,
    picture=None,
    score="logit",
    **options,
):
    """A map of a picture, computed or given."""
    model = model or Convolutional()
    x, targets = pictures(model), targets_of(index, score=score)
    options = METHODS[method].complete(options)
    *_, estimate = METHODS[method].function(model, x, targets, **options)
    made = estimate.values[0] if values is None else np.asarray(values, np.float32)
    diagnostics = {key: float(np.ravel(value)[0]) for key, value in estimate.diagnostics.items()}
    return Subject(model, x, targets, made, method, options, diagnostics, region, picture)


def part(where, space):
    """A region, and its mask."""
    mask = np.zeros(space, bool)
    mask[where] = True
    return Region(space, np.packbits(mask).tobytes()), mask


def run(name, about, **options):
    """All findings of a check, with few steps for those that have steps."""
    known = {option.name for option in CHECKS[name].options}
    few = {option: value for option, value in FEW.items() if option in known}
    return list(CHECKS[name].function(about, **CHECKS[name].complete({**few, **options})))


def last(name, about, **options):
    return run(name, about, **options)[-1]


def weighted(index, count=4):
    return Targets(np.eye(count, dtype=np.float32)[[index]])
