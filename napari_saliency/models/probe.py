"""The probe of a network: what it takes and returns, found out by running it; for every framework.

An adapter says what its network declares (`Declared`), how it is run, and what one pass shows (`Evidence`): the
protocol is `Probed`. `find_place` finds the size of its pictures, `probe` the rest. Networks that leave their sizes
open are tried on small pictures. Keras' networks say reliably that they take any size; others must also run on a second
size, which is not square, to be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.models.io_selection import io_notes
from napari_saliency.models.settings import SettingError

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, OutputActivation
    from napari_saliency.models.describe import Facts
    from napari_saliency.models.settings import Settings, Task

Shape = tuple[int | None, ...]

# Tried one after the other where nobody says a size: ImageNet's, then those of the usual data sets; of
# volumes those of MedMNIST, of patches of scans, and of video.
SIZES = {
    2: tuple((n, n) for n in (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)),
    3: (*((n, n, n) for n in (64, 32, 28, 96)), (16, 112, 112), (16, 224, 224), (128, 128, 128)),
}

MULTIPLES = (1, 2, 4, 8, 16, 32)
"""Networks that halve a picture and join the halves again take multiples of these alone."""

SIDES = {2: 96, 3: 32}
"""Multiples of all of them, as small as networks take; by the number of axes."""

MORE = {2: (32, 64), 3: (32, 32, 0)}
"""Additions for a second run: images that are not square, and that halve to other sizes."""


class Trial(NamedTuple):
    """A multiple, and a shape (*size, C) of pictures that shows whether it is the one."""

    multiple: int
    shape: tuple[int, ...]


class Place(NamedTuple):
    """Pictures that a network takes.

    Attributes
    ----------
    shape : (height, width, channels), or (z, y, x, channels)
        None for a size that is free.
    tried : tuple of int
        One such shape that it is known to take.
    multiple : int
        Of which free sizes are multiples.
    known : bool
        Whether the network or the user says so; otherwise it is a guess.
    """

    shape: Shape
    tried: tuple[int, ...]
    multiple: int = 1
    known: bool = False


class Declared(NamedTuple):
    """Sizes and channels that a network declares before it is run.

    Attributes
    ----------
    sizes : (height, width), or (z, y, x)
        None where it does not say.
    channels : int, optional
        What it says, or what its first convolution takes.
    batch : int, optional
        The only number of pictures that it takes at once.
    example : (*sizes, channels), optional
        Of a picture that it was made for.
    is_free : bool
        Whether it may take any size, which is then tried.
    is_certain : bool
        Whether these sizes are those of a picture; otherwise they may be meant in another order.
    """

    sizes: Shape
    channels: int | None = None
    batch: int | None = None
    example: tuple[int, ...] | None = None
    is_free: bool = False
    is_certain: bool = True


class Probed(Protocol):
    """A network as the prober sees it."""

    @property
    def declared(self) -> Declared:
        """Sizes and channels that it declares."""

    def run(self, x: Array) -> Array:
        """Return outputs (N, K), or (N, *space, K), of pictures (N, *size, C), as many as it takes at once.

        Raises
        ------
        ModelError
            If it cannot be run on them.
        """

    def examine(self, x: Array, *, quantity: bool) -> Evidence[Self]:
        """Run it once on pictures (N, *size, C), or read off it, what else it shows.

        Parameters
        ----------
        quantity : bool
            Whether its outputs are quantities, to be taken as they are.
        """


N = TypeVar("N", bound=Probed)


class Evidence(NamedTuple, Generic[N]):
    """Findings of one pass.

    Attributes
    ----------
    network : Probed
        The network, ready to answer: up to its logits, where these were found.
    facts : Facts
        What the adapter knows; the prober fills in the rest.
    activation : {"softmax", "sigmoid"}, optional
        What was seen to make probabilities of the outputs.
    is_linear : bool
        Whether nothing does.
    outputs : (N, K) or (N, *space, K) float32, optional
        Of the pictures, where it must be seen that they are always the same.
    zeroed : tuple of str
        Names of the inputs that are given zeros.
    trained : {"classification", "regression"}, optional
        What it was trained as, which counts where nothing else tells.
    """

    network: N
    facts: Facts
    activation: OutputActivation | None = None
    is_linear: bool = False
    outputs: Array | None = None
    zeroed: tuple[str, ...] = ()
    trained: Task | None = None


class ProbeResult(NamedTuple, Generic[N]):
    """Result of a probe.

    Attributes
    ----------
    network : Probed
        The network, ready to answer.
    facts : Facts
        For the model's description.
    batch : int, optional
        The only number of pictures that it takes at once; None where it takes any.
    """

    network: N
    facts: Facts
    batch: int | None = None


def probe(network: N, place: Place, settings: Settings, fingerprint: str) -> ProbeResult[N]:
    """Find out what a network returns.

    Parameters
    ----------
    network : Probed
        The network.
    place : Place
        What pictures it takes; see `find_place`.
    settings : Settings
        What the user says about it.
    fingerprint : str
        SHA-256 over the architecture and the weights.

    Raises
    ------
    ModelError
        If it is not a classifier, or answers by chance.
    """
    x = np.random.default_rng(0).random((network.declared.batch or 2, *place.tried), np.float32)
    quantity = settings.task == "regression"
    evidence, batch = _examine(network, x, quantity=quantity)
    if evidence.outputs is not None:
        check_repeatable(
            partial(run_in_parts, evidence.network, batch), x[: len(evidence.outputs)], evidence.outputs
        )
    facts, seen, implicit = evidence.facts, evidence.activation, None
    if not (seen or evidence.is_linear or quantity):
        implicit = find_activation(partial(_run_one, network, batch), place.tried)
    if implicit:
        lacking = f"logits, and how this network comes to its {implicit} is not seen"
        facts = replace(facts, gives=facts.gives - {"rescale", "epsilon"}, unruled=lacking)
    raw = not (seen or implicit)
    quantity |= raw and settings.task is None and evidence.trained == "regression"
    assumed: OutputActivation = "quantity" if quantity else "sigmoid" if facts.n_outputs == 1 else "softmax"
    # Of outputs that were only measured, the size says nothing where the picture's is free.
    measured = evidence.outputs is not None and None in place.shape
    facts = replace(
        facts,
        shape=place.shape,
        known=place.known,
        fingerprint=fingerprint,
        activation=seen or implicit or assumed,
        space=(None,) * len(facts.space) if measured else facts.space,
        raw=raw,
        implicit=implicit,
        notes=(*io_notes(evidence.zeroed, facts.outputs), *facts.notes),
        multiple=place.multiple,
    )
    return ProbeResult(evidence.network, facts, batch)


def _examine(network: N, x: Array, *, quantity: bool) -> tuple[Evidence[N], int | None]:
    """Examine a network on several pictures, or on one: what it says of their number need not hold inside."""
    batch = network.declared.batch
    try:
        return network.examine(x, quantity=quantity), batch
    except ModelError:
        if batch:
            raise
    return network.examine(x[:1], quantity=quantity), 1


def find_place(candidates: Iterable[N], settings: Settings) -> tuple[N, Place]:
    """Find what pictures a network takes.

    Parameters
    ----------
    candidates : iterable of Probed
        Ways to give it a picture, the likeliest first.
    settings : Settings
        What the user says about it.

    Raises
    ------
    ModelError
        If none of them works, that of the first; SettingError, if the user says what it does not have or take.
    """
    errors: list[ModelError] = []
    for network in candidates:
        try:
            return network, _place_of(network, settings)
        except ModelError as error:
            if isinstance(error, SettingError) and error.field == "output":
                raise
            errors.append(error)
    raise errors[0]


def _place_of(network: Probed, settings: Settings) -> Place:
    declared = network.declared
    run, axes = partial(_run_one, network, declared.batch), len(declared.sizes)
    if declared.is_free and not settings.size:
        place = find_free(run, settings.channels or declared.channels or 3, axes)
        if place:
            return place
    if declared.example and not (settings.size or settings.channels):
        return Place(declared.example, declared.example, known=True)
    side = max(size or 0 for size in declared.sizes)
    square = tuple(size or side for size in declared.sizes) if side else None
    asked = settings.model_copy(update={"size": settings.size or square})
    shape = find_shape(run, asked, declared.channels, axes)
    return Place(shape, shape, known=declared.is_certain and all(declared.sizes))


def parts(rows: Array, size: int | None) -> Iterator[tuple[Array, int]]:
    """Cut a batch into parts of one size, the last filled up; and how many rows of each count.

    Parameters
    ----------
    size : int or None
        Rows of a part; all in one where it is None.
    """
    size = size or len(rows)
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        yield np.resize(part, (size, *part.shape[1:])), len(part)


def run_in_parts(network: Probed, batch: int | None, x: Array) -> Array:
    """Run pictures (N, *size, C), so many at once as the network takes."""
    return np.concatenate([network.run(part)[:count] for part, count in parts(x, batch)])


def _run_one(network: Probed, batch: int | None, x: Array) -> Array:
    """Run one picture, put so often into the batch as the network wants."""
    return network.run(np.repeat(x, batch or 1, 0))[:1]


def trials(shape: Shape) -> Iterator[Trial]:
    """Small pictures of a shape (*size, C) whose free sizes are None, one for each multiple."""
    for multiple in MULTIPLES:
        yield Trial(multiple, tuple(size or SIDES[len(shape) - 1] + multiple for size in shape))


def find_free(run: Callable[[Array], object], channels: int, axes: int) -> Place | None:
    """Find what a network that does not say whether it takes any size wants multiples of.

    Parameters
    ----------
    run : callable
        Runs it on (1, *size, C) float32; raises ModelError if it does not take them.
    axes : int
        2 of pictures, 3 of volumes.

    Returns
    -------
    Place or None
        None if it takes no such sizes, as networks do that are made for one alone.
    """
    shape = *[None] * axes, channels
    for trial in trials(shape):
        more = (*MORE[axes], 0)
        larger = tuple(size + each for size, each in zip(trial.shape, more, strict=True))
        try:
            for each in (trial.shape, larger):
                run(np.zeros((1, *each), np.float32))
        except SettingError:  # another size would not help
            raise
        except ModelError:
            continue
        return Place(shape, trial.shape, trial.multiple)
    return None


def find_shape(
    run: Callable[[Array], object], settings: Settings, channels: int | None, axes: int = 2
) -> tuple[int, ...]:
    """Find size and channels of pictures that a model takes: what the user says, or what works first.

    Parameters
    ----------
    run : callable
        Runs the model on (1, H, W, C) or (1, Z, H, W, C) float32; raises ModelError if it does not take them.
    channels : int, optional
        What the model shows.
    axes : int
        2 of pictures, 3 of volumes.

    Raises
    ------
    ModelError
        If it takes none of the sizes; SettingError, if the user said which.
    """
    depth = settings.channels or channels or 3
    first: ModelError | None = None
    for size in [settings.size] if settings.size else SIZES[axes]:
        try:
            run(np.zeros((1, *size, depth), np.float32))
        except SettingError:  # another size would not help
            raise
        except ModelError as error:
            first = first or error
        else:
            return *size, depth
    if settings.size:
        raise SettingError("size", str(first)) from first
    names = "(height, width)" if axes == 2 else "(z, y, x)"
    if settings.channels:
        raise SettingError("channels", f"{first}; say the size of its pictures, too: size={names}")
    raise ModelError(f"{first}; say the size of its pictures: size={names}") from first


def find_activation(run: Callable[[Array], Array], shape: tuple[int, ...]) -> OutputActivation | None:
    """Tell logits from probabilities whose softmax or sigmoid was spelled by hand; None for logits.

    Parameters
    ----------
    run : callable
        Outputs (N, K), or (N, *space, K), of pictures (N, *shape).
    """
    picture = np.random.default_rng(0).random((1, *shape), np.float32)
    # Some so large that what is not squashed leaves 0..1; a softmax may overflow there, and says nothing then.
    outputs = np.concatenate([run(scale * picture) for scale in (1, -1, 30, -30, 1000, -1000)])
    outputs = outputs[np.isfinite(outputs).all(-1)]
    if not len(outputs) or outputs.min() < 0 or outputs.max() > 1 + 1e-3:
        return None
    several = outputs.shape[-1] > 1
    return "softmax" if several and np.allclose(outputs.sum(-1), 1, atol=1e-3) else "sigmoid"


def check_repeatable(run: Callable[[Array], Array], x: Array, outputs: Array) -> None:
    """Find networks that were saved as they are in training, with chance and their company in the answer.

    Parameters
    ----------
    run : callable
        Outputs (N, K) of pictures (N, H, W, C).
    x, outputs : (N, H, W, C), (N, K) float32
        Pictures, and what was found for them together.

    Raises
    ------
    ModelError
        If the first picture's outputs are not always the same.
    """
    again = np.concatenate([run(x[:1])[:1] for _ in range(2)])
    largest = np.abs(outputs[np.isfinite(outputs)]).max(initial=1e-3)
    if not np.allclose(again, outputs[:1], rtol=0, atol=1e-2 * largest, equal_nan=True):
        raise ModelError(
            f"it gives different outputs for the same image, alone or among {len(x)}, or from one run to the next: "
            "it was saved in training mode; call model.eval() before saving it"
        )
