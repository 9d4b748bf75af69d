"""What an ONNX graph takes and returns, found out by running it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_saliency.core.errors import ModelError
from napari_saliency.models.batches import parts
from napari_saliency.models.describe import Facts, check_repeatable, find_activation, find_shape, fit_shape
from napari_saliency.models.io_selection import io_notes
from napari_saliency.models.onnx.cost import find_effort
from napari_saliency.models.onnx.graph import LAYOUTS, End, find_channels, find_end, find_io, find_layouts
from napari_saliency.models.onnx.session import channels_last, open_session
from napari_saliency.models.probe_sizes import ModelCost, Place, find_free

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, OutputActivation
    from napari_saliency.models.onnx.files import OnnxFile
    from napari_saliency.models.onnx.graph import Layout, Sizes
    from napari_saliency.models.onnx.session import Session
    from napari_saliency.models.settings import Settings

Numbers = npt.NDArray[np.floating]

SURE = 1e-6, 1e-4
"""Probabilities of a softmax and of a sigmoid above which rounding leaves enough to tell their logits."""


class OnnxNetwork(NamedTuple):
    """A graph that is ready to run up to its logits, where these can be found.

    Attributes
    ----------
    session : Session
        What runs it.
    layouts : tuple of {"NCHW", "NHWC"}
        Orders of axes that its input may have.
    channels : int or None
        What its first convolution takes.
    activation : {"softmax", "sigmoid"} or None
        What follows its logits, where these were found.
    squashed : bool
        Whether its outputs may be probabilities.
    cost : Effort
        What a pixel costs.
    """

    session: Session
    layouts: tuple[Layout, ...]
    channels: int | None
    activation: OutputActivation | None
    squashed: bool
    cost: ModelCost = ModelCost()


class InputLayout(NamedTuple):
    """How pictures are given to a graph: the order of axes, and which."""

    layout: Layout
    place: Place


class Logits(NamedTuple):
    """A tensor that holds the logits, what follows it, and the order of its axes, if it has space."""

    name: str
    activation: OutputActivation
    order: Layout | None


class OnnxProbe(NamedTuple):
    """What was found out: for the description, the order of axes, and the only size of batches, if there is one."""

    facts: Facts
    layout: Layout
    batch: int | None


def open_network(file: OnnxFile, settings: Settings) -> OnnxNetwork:
    """Make a graph ready to run; it is changed.

    Raises
    ------
    ModelError
        If it is no classifier of pictures.
    """
    graph, io_selection = file.model.graph, find_io(file.model.graph, settings)
    end = End((), False) if settings.task == "regression" else find_end(graph, io_selection.output)
    network = OnnxNetwork(
        open_session(
            file, io_selection, [io_selection.output, *end.candidates], quickly=bool(end.candidates)
        ),
        find_layouts(graph, io_selection.entry),
        find_channels(graph, io_selection.entry),
        None,
        end.squashed,
    )
    laid = find_place(network, settings)
    network = network._replace(cost=find_effort(file, network.session, *laid))
    if not end.candidates:
        return network
    result = _find_logits(network, laid, end.candidates)
    if result is None:
        return network._replace(session=open_session(file, io_selection, [io_selection.output]))
    session = replace(open_session(file, io_selection, [result.name]), order=result.order)
    return network._replace(session=session, activation=result.activation, squashed=False)


def find_place(network: OnnxNetwork, settings: Settings) -> InputLayout:
    """Find the order of axes and the size that a graph takes: what it says, what the user says, what works.

    Raises
    ------
    ModelError
        If none does, or the user says otherwise than the graph.
    """
    entry = network.session.entry
    fitting = tuple(layout for layout in network.layouts if _fits(entry.picture(layout), settings))
    if not fitting:
        *size, channels = entry.picture(network.layouts[0])
        fit_shape(settings, (*size, channels or settings.channels or 3))
    errors = []
    for layout in fitting:
        try:
            return InputLayout(layout, _place_in(network, layout, settings, sure=len(fitting) == 1))
        except ModelError as error:
            errors.append(error)
    raise errors[0]


def _place_in(network: OnnxNetwork, layout: Layout, settings: Settings, *, sure: bool) -> Place:
    """Find the size that a graph takes if its axes have that order, and whether that is sure."""
    *size, channels = network.session.entry.picture(layout)
    channels = channels or network.channels
    run = partial(_run_one, network.session, layout)
    if sure and not (settings.size or any(size)):
        result = find_free(run, settings.channels or channels or 3, len(size))
        if result:
            return result
    side = max(each or 0 for each in size)
    square = tuple(each or side for each in size) if side else None
    asked = settings.model_copy(update={"size": settings.size or square})
    shape = find_shape(run, asked, channels, len(size))
    return Place(shape, shape, known=sure and all(size))


def probe(network: OnnxNetwork, settings: Settings, fingerprint: str) -> OnnxProbe:
    """Find out what a graph takes and returns.

    Raises
    ------
    ModelError
        If it is no classifier, or answers by chance.
    """
    (layout, place), session = find_place(network, settings), network.session
    x = np.random.default_rng(0).random((session.entry.batch or 2, *place.tried), np.float32)
    batch = session.entry.batch or _largest_batch(session, layout, x)
    run = partial(run_in_parts, session, layout, batch)
    outputs = run(x)
    check_repeatable(run, x, outputs, alone=True)
    implicit = find_activation(run, place.tried) if network.squashed else None
    quantity = settings.task == "regression"
    assumed: OutputActivation = "quantity" if quantity else "sigmoid" if outputs.shape[-1] == 1 else "softmax"
    io_selection, whole = session.io_selection, issubclass(session.number, np.integer)
    facts = Facts(
        shape=place.shape,
        known=place.known,
        n_outputs=outputs.shape[-1],
        fingerprint=fingerprint,
        activation=network.activation or implicit or assumed,
        space=outputs.shape[1:-1] if all(place.shape) else (None,) * (outputs.ndim - 2),
        raw=not (network.activation or implicit),
        implicit=implicit,
        guess="none" if whole else "",
        sure=whole,
        inputs=io_selection.inputs,
        outputs=io_selection.outputs,
        notes=tuple(io_notes([port.name for port in io_selection.others], io_selection.outputs)),
        multiple=place.multiple,
        work=network.cost.work,
        memory=network.cost.memory,
        gives=frozenset({"scores"}),
    )
    return OnnxProbe(facts, layout, batch)


def run_in_parts(session: Session, layout: Layout, batch: int | None, x: Array) -> Array:
    """Outputs of pictures (N, *size, C), so many at once as the graph takes."""
    return np.concatenate([session.run(part, layout)[0][:count] for part, count in parts(x, batch)])


def _find_logits(network: OnnxNetwork, laid: InputLayout, candidates: tuple[str, ...]) -> Logits | None:
    """Find among tensors before the output that from which its probabilities are computed.

    Told by their numbers, so that it does not matter how a softmax or sigmoid was spelled.
    """
    session, (layout, place) = network.session, laid
    picture = np.random.default_rng(0).random((session.entry.batch or 1, *place.tried), np.float32)
    rows = [
        session.run(scale * picture, layout, (session.output, *candidates))
        for scale in (0.1, 1, -1, 30, -30, 255)
    ]
    outputs = np.stack([output[0] for output, *_ in rows])
    for name, *values in zip(candidates, *(inner for _, *inner in rows), strict=True):
        for order in LAYOUTS if outputs.ndim > 2 else (None,):
            firsts = [_first(value, order) for value in values]
            if {np.shape(first) for first in firsts} == {outputs.shape[1:]}:
                classes = outputs.shape[-1]
                activation = _explains(np.reshape(firsts, (-1, classes)), outputs.reshape(-1, classes))
                if activation:
                    return Logits(name, activation, order)
    return None


def _first(value: Array, order: Layout | None) -> Array:
    """What a tensor holds for the first picture: a row of classes, or, in the order given, of each place."""
    if not np.ndim(value):
        return value
    return np.ravel(value[0]) if order is None else channels_last(value, order)[0]


def _fits(sizes: Sizes, settings: Settings) -> bool:
    given = *(settings.size or [None] * (len(sizes) - 1)), settings.channels
    return len(given) == len(sizes) and all(
        None in pair or pair[0] == pair[1] for pair in zip(sizes, given, strict=True)
    )


def _run_one(session: Session, layout: Layout, x: Array) -> Array:
    """Outputs of one picture, put so often into the batch as the graph wants."""
    return session.run(np.repeat(x, session.entry.batch or 1, 0), layout)[0][:1]


def _largest_batch(session: Session, layout: Layout, x: Array) -> int | None:
    """None if any number of pictures can be run at once: what a graph says of it need not hold inside."""
    try:
        session.run(x, layout)
    except ModelError:
        return 1
    return None


def _explains(logits: Numbers, outputs: Numbers) -> OutputActivation | None:
    """Tell whether outputs (T, K) are the softmax or sigmoid of what may be their logits, or its logarithm."""
    finite = np.isfinite(logits).all(-1) & ~np.isnan(outputs).any(-1)
    logits, outputs = logits[finite].astype(np.float64), outputs[finite].astype(np.float64)
    if not len(outputs):
        return None
    for p in (outputs, np.exp(np.minimum(outputs, 1))):
        if p.min() < 0 or p.max() > 1 + 1e-3:
            continue
        if p.shape[1] > 1 and np.allclose(p.sum(-1), 1, atol=1e-2):
            return "softmax" if _is_softmax(p, logits) else None
        if _is_sigmoid(p, logits):
            return "sigmoid"
    return None


def _is_softmax(p: Numbers, logits: Numbers) -> bool:
    total = np.logaddexp.reduce(logits, -1, keepdims=True)
    if np.abs(total).max() < 1e-3:  # the logarithms of probabilities, of which the same would be true
        return False
    sure = p > SURE[0]
    return bool((sure.sum(-1) > 1).any()) and _near(np.log(p[sure]), (logits - total)[sure])


def _is_sigmoid(p: Numbers, logits: Numbers) -> bool:
    sure = (p > SURE[1]) & (p < 1 - SURE[1])
    return bool(sure.any()) and _near(np.log(p[sure] / (1 - p[sure])), logits[sure])


def _near(result: Numbers, wanted: Numbers) -> bool:
    return bool(np.allclose(result, wanted, rtol=1e-2, atol=1e-2))
