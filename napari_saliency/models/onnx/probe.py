"""Probe of an ONNX graph: what it takes and returns, found out by running it.

Tensors near the end, through which alone the output is computed, are made outputs of the graph, too. Their numbers
tell which of them holds the logits, so that no way of writing a softmax or sigmoid need be known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_saliency.models.cost import ModelCost
from napari_saliency.models.describe import Facts, fit_shape
from napari_saliency.models.onnx.cost import measure_cost
from napari_saliency.models.onnx.graph import LAYOUTS, End, find_channels, find_end, find_io, find_layouts
from napari_saliency.models.onnx.session import channels_last, open_session
from napari_saliency.models.probe import Declared, Evidence, ProbeResult, find_place, probe

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, OutputActivation
    from napari_saliency.models.onnx.files import OnnxFile
    from napari_saliency.models.onnx.graph import Layout, Sizes
    from napari_saliency.models.onnx.session import Session
    from napari_saliency.models.probe import Place
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
    cost : ModelCost
        What a pixel costs.
    """

    session: Session
    layouts: tuple[Layout, ...]
    channels: int | None
    activation: OutputActivation | None
    squashed: bool
    cost: ModelCost = ModelCost()


class Logits(NamedTuple):
    """A tensor that holds the logits, what follows it, and the order of its axes, if it has space."""

    name: str
    activation: OutputActivation
    order: Layout | None


@dataclass(frozen=True)
class ProbedOnnx:
    """A graph as the prober sees it, with one order of the axes of its input.

    Attributes
    ----------
    network : OnnxNetwork
        The graph.
    layout : {"NCHW", "NHWC"}
        Where its channels stand.
    is_certain : bool
        Whether no other order fits.
    """

    network: OnnxNetwork
    layout: Layout
    is_certain: bool

    @property
    def declared(self) -> Declared:
        entry = self.network.session.entry
        *sizes, channels = entry.picture(self.layout)
        is_free = self.is_certain and not any(sizes)
        return Declared(
            tuple(sizes), channels or self.network.channels, entry.batch, None, is_free, self.is_certain
        )

    def run(self, x: Array) -> Array:
        return self.network.session.run(x, self.layout)[0]

    def examine(self, x: Array, *, quantity: bool) -> Evidence[ProbedOnnx]:
        # Whether these are quantities was known to `open_network`, which looked for no logits then.
        network, session = self.network, self.network.session
        outputs, whole = self.run(x), issubclass(session.number, np.integer)
        facts = Facts(
            n_outputs=outputs.shape[-1],
            space=outputs.shape[1:-1],
            guess="none" if whole else "",
            sure=whole,
            inputs=session.io_selection.inputs,
            outputs=session.io_selection.outputs,
            work=network.cost.work,
            memory=network.cost.memory,
            gives=frozenset({"scores"}),
        )
        return Evidence(
            self,
            facts,
            activation=network.activation,
            is_linear=quantity or not network.squashed,
            outputs=outputs,
            zeroed=tuple(each.name for each in session.io_selection.others),
        )


def open_network(file: OnnxFile, settings: Settings) -> OnnxNetwork:
    """Make a graph ready to run; it is changed.

    Raises
    ------
    ModelError
        If it is not an image classifier.
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
    probed, place = find_graph_place(network, settings)
    network = network._replace(cost=measure_cost(file, network.session, probed.layout, place))
    if not end.candidates:
        return network
    result = _find_logits(probed, place, end.candidates)
    if result is None:
        return network._replace(session=open_session(file, io_selection, [io_selection.output]))
    session = replace(open_session(file, io_selection, [result.name]), order=result.order)
    return network._replace(session=session, activation=result.activation, squashed=False)


def find_graph_place(network: OnnxNetwork, settings: Settings) -> tuple[ProbedOnnx, Place]:
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
    candidates = (ProbedOnnx(network, layout, len(fitting) == 1) for layout in fitting)
    return find_place(candidates, settings)


def probe_onnx(network: OnnxNetwork, settings: Settings, fingerprint: str) -> ProbeResult[ProbedOnnx]:
    """Find out what a graph takes and returns.

    Raises
    ------
    ModelError
        If it is not a classifier, or answers by chance.
    """
    return probe(*find_graph_place(network, settings), settings, fingerprint)


def _find_logits(probed: ProbedOnnx, place: Place, candidates: tuple[str, ...]) -> Logits | None:
    """Find among tensors before the output that from which its probabilities are computed.

    Told by their numbers, so that it does not matter how a softmax or sigmoid was written.
    """
    session, layout = probed.network.session, probed.layout
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
    """Return a tensor's values for the first picture: a row of classes, or one of each place."""
    if not np.ndim(value):
        return value
    return np.ravel(value[0]) if order is None else channels_last(value, order)[0]


def _fits(sizes: Sizes, settings: Settings) -> bool:
    given = *(settings.size or [None] * (len(sizes) - 1)), settings.channels
    return len(given) == len(sizes) and all(
        None in pair or pair[0] == pair[1] for pair in zip(sizes, given, strict=True)
    )


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
