r"""Saliency maps from one derivative: where a small change of a pixel changes the score most.

Start here: these four methods are all that a saliency map is, and the other modules vary them.

A classifier gives a picture :math:`x` a score :math:`S_c(x)` for each class :math:`c`. Close to this picture the score
is nearly linear,

.. math:: S_c(x + d) \approx S_c(x) + \sum_i w_i d_i, \qquad w_i = \frac{\partial S_c}{\partial x_i}(x),

so the derivative :math:`w` says for every pixel how much the score changes if the pixel does. Laid out as a picture,
it is the saliency map (`gradient`). One backward pass through the network computes it.

The derivative says what would *change* the score, not what the score is made of. Multiplied by the picture it
becomes a first guess of that (`gradient_x_input`), which integrated gradients make exact. It is also noisy. Two methods
therefore change the backward pass at each ReLU :math:`y = \max(z, 0)`, and give crisper maps that depend less on
what the network has learnt (`guided_backprop`, `deconvnet`).

All maps are raw: signed, one value for each channel. Taking the absolute value and the largest channel, as the map is
usually shown, is a matter of display.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.models.base import Model


@method("Gradient", family="Gradients", needs="gradient", cite="Simonyan et al. 2014, eq. 4", linear=True)
def gradient(model: Model, x: Array, targets: Targets) -> Iterator[Estimate]:
    r"""Show where a small change of a pixel changes the score most: the derivative by every pixel.

    Notes
    -----
    .. math:: M = \frac{\partial S}{\partial x}

    **When to use:** first, and as the baseline for every other map: one pass, no options, every pixel.

    **When not to use:** to read how much of the score a pixel is responsible for; the map is noisy, and flat where the
    score is saturated.
    """
    _, values = model.gradient(x, targets)
    yield Estimate(values, 1, 1)


@method(
    "Gradient × input",
    family="Gradients",
    needs="gradient",
    cite="Shrikumar et al. 2016, section 3.1",
    contributes=True,
    linear=True,
)
def gradient_x_input(model: Model, x: Array, targets: Targets) -> Iterator[Estimate]:
    r"""Multiply gradient and pixel: what each pixel would contribute to the score if the model were linear.

    Notes
    -----
    .. math:: M = x \odot \frac{\partial S}{\partial x}

    The pixel is the number that the model gets, so zero is what preprocessing makes zero: black for
    ``unit`` and ``none``, mid-grey for ``tf``, ImageNet's mean colour for ``caffe`` and ``torch``.

    **When to use:** for a quick estimate of contributions with their signs, in one pass.

    **When not to use:** where pixels near that zero matter, as they get nothing; or where the contributions must add
    up to the score: integrated gradients do.
    """
    _, values = model.gradient(x, targets)
    yield Estimate(values * x, 1, 1)


@method(
    "Guided backpropagation",
    family="Gradients",
    needs="gradient",
    cite="Springenberg et al. 2015, section 3.4",
    needs_relu=True,
)
def guided_backprop(model: Model, x: Array, targets: Targets) -> Iterator[Estimate]:
    r"""Pass back only positive gradients, and only through open ReLUs: crisp outlines.

    Notes
    -----
    .. math:: R_z = [z > 0] \, [R_y > 0] \, R_y \quad \text{at every ReLU } y = \max(z, 0)

    The map looks convincing on networks that were never trained, too, and hardly depends on the class
    (Adebayo et al. 2018): it is a drawing of what the network can see, not of why it decided.

    **When to use:** to see which outlines and textures the network responds to, in fine detail.

    **When not to use:** to tell classes apart, or to check whether the network has learnt the right thing.
    """
    _, values = model.gradient(x, targets, rule="guided")
    yield Estimate(values, 1, 1)


@method(
    "Deconvnet",
    family="Gradients",
    needs="gradient",
    cite="Zeiler and Fergus 2014, section 2.1",
    needs_relu=True,
)
def deconvnet(model: Model, x: Array, targets: Targets) -> Iterator[Estimate]:
    r"""Pass back only positive gradients, whether a ReLU was open or not.

    Notes
    -----
    .. math:: R_z = [R_y > 0] \, R_y \quad \text{at every ReLU } y = \max(z, 0)

    Also called rectified backpropagation. As with guided backpropagation, the map depends little on the class.

    **When to use:** to compare with the literature; guided backpropagation is usually clearer.

    **When not to use:** to tell classes apart, or to check whether the network has learnt the right thing.
    """
    _, values = model.gradient(x, targets, rule="deconvnet")
    yield Estimate(values, 1, 1)
