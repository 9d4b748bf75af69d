"""Class activation maps without a derivative: each channel is weighed by the score of the picture seen through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.layers import Layer, notes_on, upsampled, usual_layer
from napari_saliency.methods._shared.steps import chunks, prefetch
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.methods._shared.running_stats import Doubles
    from napari_saliency.models import ModelInfo
    from napari_saliency.models.base import Model

Weights = Literal["increase", "softmax"]


def _passes(options: Mapping[str, Any], info: ModelInfo, _: tuple[int, ...]) -> int:
    """Count one for the layer, one for the empty picture, and one for each channel."""
    name = options["layer"] or info.cam_layer
    return 2 + sum(layer.channels for layer in info.layers if layer.name == name)


@method(
    "Score-CAM",
    family="Class activation maps",
    order=1,
    needs="tap",
    cite="Wang et al. 2020, section 3 and algorithm 1",
    passes=_passes,
)
def score_cam(
    model: Model, x: Array, targets: Targets, *, layer: Layer = "", weights: Weights = "increase"
) -> Iterator[Estimate]:
    r"""Sum a layer's channels, each weighed by the score of the picture seen through it. Slow: a pass each.

    Parameters
    ----------
    weights : {"increase", "softmax"}
        A channel's weight: by how much the score exceeds that of the empty picture, the paper's
        definition; or the softmax over all channels of that, the paper's algorithm, where all weights are
        positive and only the best channels count.

    Notes
    -----
    .. math:: M = \max\Big(0, \sum_k w_k A_k\Big), \qquad w_k = S(x \odot m_k) - S(0)

    where :math:`m_k` is channel :math:`A_k`, interpolated bilinearly to the picture's size and then brought to 0..1; a
    channel that is the same everywhere shows nothing. It costs one forward pass for each channel of the layer and one
    for the empty picture, known from the start as the total; another class of the same picture costs none. What
    a mask hides becomes 0 in the numbers that the model gets: black for preprocessing ``unit`` and ``none``,
    mid-grey for ``tf``, ImageNet's mean colour for ``caffe`` and ``torch``. No negative values, by definition.

    **When to use:** where gradients are saturated or noisy and a coarse map is enough.

    **When not to use:** on layers with thousands of channels when time matters, or where zero is a colour that means
    something to the model.
    """
    layer = layer or usual_layer(model)
    run = model.score_cache(x, "score_cam", layer)
    activations = run.scores("activations", lambda: model.tap(x, targets, layer).activations)
    total = 1 + activations.shape[-1]
    result, passes = np.zeros((total, len(x))), np.full(len(x), total, np.float32)
    steps = chunks(total, len(x), model.info.together(x.shape[1:-1]))
    made = ((step, run.needed(step, partial(_seen, x, activations, range(*step)))) for step in steps)
    for (start, stop), pictures in prefetch(made):
        scores = run.scores((start, stop), partial(model.scores, pictures))
        result[start:stop] = model.weigh(scores, targets.repeat(stop - start)).reshape(-1, len(x))
        channels = np.einsum("kn,n...k->n...", _weigh(result[:stop], weights), activations[..., : stop - 1])
        values = np.maximum(channels, 0).astype(np.float32)
        notes = notes_on(values) if stop == total else ()
        yield Estimate(values, stop, total, diagnostics={"forward passes": passes}, notes=notes)


def _weigh(result: Doubles, weights: Weights) -> Doubles:
    """Return the channels' weights (K, N), given the values (1 + K, N) of the empty picture and through each."""
    increases = result[1:] - result[0]
    if weights == "increase":
        return np.asarray(increases, np.float64)
    powers = np.exp(increases - increases.max(axis=0, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=0), np.float64)


def _seen(x: Array, activations: Array, steps: range) -> Array:
    """Make pictures (M·N, *space, C): all N of the first of M steps, then of the next; step 0 is the empty picture."""
    channels = np.moveaxis(activations[..., max(steps.start - 1, 0) : steps.stop - 1], -1, 0)
    masks = _masks(channels.reshape(-1, *activations.shape[1:-1]), x.shape[1:-1])
    empty = int(steps.start == 0)
    seen = np.zeros((len(steps), *x.shape), np.float32)
    np.multiply(masks.reshape(-1, *x.shape[:-1], 1), x, out=seen[empty:])
    return seen.reshape(-1, *x.shape[1:])


def _masks(channels: Array, space: tuple[int, ...]) -> Array:
    """Bring channels (M, *own) to the picture's size, and then to 0..1; to 0 if they are the same everywhere."""
    axes = tuple(range(1, channels.ndim))
    masks = upsampled(channels, space)
    masks -= masks.min(axis=axes, keepdims=True)
    largest = masks.max(axis=axes, keepdims=True)
    return np.asarray(np.divide(masks, largest, out=np.zeros_like(masks), where=largest > 0), np.float32)
