"""Saliency maps that are one derivative: which pixels would change the score most if they changed.

A classifier gives a picture ``x`` a score ``S_c(x)`` for each class ``c``. Near this picture the
score is almost linear, ``S_c(x + d) ≈ S_c(x) + w·d``, and ``w``, the derivative of the score with
respect to every pixel, says how much each pixel matters: that is the saliency map. The others here
differ from it in one respect each.

The values are raw: signed, one for each channel. Taking the absolute value and the largest channel,
as the classical map is shown, is a matter of display.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.models.base import Model


@method("Gradient", needs="gradient", cite="Simonyan et al. 2014, eq. 4")
def gradient(model: Model, x: Array, targets: Targets) -> Iterator[Estimate]:
    """Derivative of the score with respect to every pixel: where a small change matters most."""
    _, values = model.gradient(x, targets)
    yield Estimate(values, 1, 1)


@method("Gradient × input", needs="gradient", cite="Shrikumar et al. 2016, section 3.1", contributes=True)
def gradient_x_input(model: Model, x: Array, targets: Targets) -> Iterator[Estimate]:
    """Gradient times pixel: what each pixel contributes to the score, were the model linear.

    Notes
    -----
    The pixel is the number that the model gets, so zero is what preprocessing makes zero: black for
    ``unit`` and ``none``, mid-grey for ``tf``, ImageNet's mean colour for ``caffe`` and ``torch``.
    """
    _, values = model.gradient(x, targets)
    yield Estimate(values * x, 1, 1)


@method("Guided backpropagation", needs="gradient", cite="Springenberg et al. 2015, section 3.4")
def guided_backprop(model: Model, x: Array, targets: Targets) -> Iterator[Estimate]:
    """Gradient that goes back only where it is positive and the ReLU was open: crisp outlines.

    Notes
    -----
    Looks convincing on networks that were never trained, too, and hardly depends on the class
    (Adebayo et al. 2018): read it as a drawing of what the network can see, not of why it decided.
    """
    _, values = model.gradient(x, targets, rule="guided")
    yield Estimate(values, 1, 1)


@method("Deconvnet", needs="gradient", cite="Zeiler and Fergus 2014, section 2.1")
def deconvnet(model: Model, x: Array, targets: Targets) -> Iterator[Estimate]:
    """Gradient that goes back only where it is positive, whether the ReLU was open or not.

    Notes
    -----
    Also called rectified backpropagation. As for guided backpropagation, the map depends little on
    the class.
    """
    _, values = model.gradient(x, targets, rule="deconvnet")
    yield Estimate(values, 1, 1)
